//! What access adds to each request: authenticate, authorize and admit, with 1,000 tenants and 10,000
//! keys, another key each time. At the median it has to cost far less than 5 µs.
//!
//! Criterion gives means; the median and the tail of single requests are printed beside them. Names
//! are stable: `access/{authenticate,authorize,admit,request,decide}`, where `decide` is an
//! authorization that nothing kept answers.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench may end with a message"
)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use caisson_access::{
    Access, Action, Admission, Decision, FirstAdmin, KeyText, NewKey, NewTenant, Principal, Quotas, Resource,
    Role,
};
use caisson_registry::TenantId;
use caisson_store::Store;
use criterion::{Criterion, criterion_group, criterion_main};

const TENANTS: usize = 1000;
const KEYS_PER_TENANT: usize = 10;
/// Single requests timed for the median.
const REQUESTS: usize = 500_000;

struct Bench {
    access: Access,
    keys: Vec<(TenantId, KeyText)>,
    /// Of a xorshift generator.
    state: u64,
}

impl Bench {
    fn next(&mut self) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state as usize
    }

    fn key(&mut self) -> usize {
        self.next() % self.keys.len()
    }
}

fn bench() -> (tempfile::TempDir, Bench) {
    // 11,000 commits wait for the disk; memory is one that needs no waiting for.
    let memory = Path::new("/dev/shm");
    let dir = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    }
    .expect("a temporary folder");
    let store = Store::open(dir.path().join("data")).expect("a store");
    let access = Access::open(
        store,
        Quotas {
            requests_per_second: Some(1e6),
            requests_burst: Some(1_000_000),
            concurrent_requests: Some(1000),
            cpu_seconds_per_second: Some(4.0),
            ..Quotas::default()
        },
    )
    .expect("access");
    let FirstAdmin::Created(text) = access.ensure_admin(None).expect("an operator") else {
        panic!("the folder is new");
    };
    let admin = access.authenticate(text.expose()).expect("the operator");
    let mut keys = Vec::new();
    for n in 0..TENANTS {
        let id: TenantId = format!("tenant-{n}").parse().expect("a name");
        access
            .create_tenant(NewTenant::named(id.clone()))
            .expect("a tenant");
        if n % 2 == 0 {
            let text = r#"forbid (principal, action == Action::"deployment:delete", resource);"#;
            access.put_policy(&id, "keep", text, &admin).expect("a policy");
        }
        for k in 0..KEYS_PER_TENANT {
            let new = NewKey {
                name: format!("key-{k}"),
                owner: None,
                role: if k == 0 { Role::Developer } else { Role::Predictor },
                expires_at: None,
                deployments: None,
            };
            let (_, text) = access.create_key(&id, new, &admin).expect("a key");
            keys.push((id.clone(), text));
        }
    }
    let state = 0x9E37_79B9_7F4A_7C15;
    (dir, Bench { access, keys, state })
}

fn authorize(access: &Access, principal: &Principal, tenant: &TenantId, name: &str) -> Decision {
    access.authorize(principal, Action::DeploymentPredict, &Resource::new(tenant, name))
}

/// All that stands before a request.
fn request(access: &Access, tenant: &TenantId, text: &str) -> (Arc<Principal>, Admission) {
    let principal = access.authenticate(black_box(text)).expect("a key");
    assert!(authorize(access, &principal, tenant, "churn").is_allowed());
    let admission = principal
        .tenant()
        .admit(Instant::now())
        .expect("within the quota");
    (principal, admission)
}

fn access(c: &mut Criterion) {
    let (_dir, mut b) = bench();
    let principals: Vec<Arc<Principal>> = b
        .keys
        .iter()
        .map(|(tenant, text)| request(&b.access, tenant, text.expose()).0)
        .collect();
    let mut group = c.benchmark_group("access");
    group.bench_function("authenticate", |bencher| {
        bencher.iter(|| {
            let key = b.key();
            black_box(b.access.authenticate(b.keys[key].1.expose()).expect("a key"));
        });
    });
    group.bench_function("authorize", |bencher| {
        bencher.iter(|| {
            let key = b.key();
            assert!(authorize(&b.access, &principals[key], &b.keys[key].0, "churn").is_allowed());
        });
    });
    group.bench_function("admit", |bencher| {
        bencher.iter(|| {
            let key = b.key();
            drop(black_box(
                principals[key].tenant().admit(Instant::now()).expect("a slot"),
            ));
        });
    });
    group.bench_function("request", |bencher| {
        bencher.iter(|| {
            let key = b.key();
            let (tenant, text) = &b.keys[key];
            drop(black_box(request(&b.access, tenant, text.expose())));
        });
    });
    group.bench_function("decide", |bencher| {
        bencher.iter(|| {
            let key = b.key();
            let name = format!("churn-{}", b.next());
            assert!(authorize(&b.access, &principals[key], &b.keys[key].0, &name).is_allowed());
        });
    });
    group.finish();

    let mut nanos: Vec<u128> = (0..REQUESTS)
        .map(|_| {
            let key = b.key();
            let (tenant, text) = &b.keys[key];
            let started = Instant::now();
            let held = request(&b.access, tenant, text.expose());
            let took = started.elapsed().as_nanos();
            drop(held);
            took
        })
        .collect();
    nanos.sort_unstable();
    let at = |share: f64| nanos[((nanos.len() - 1) as f64 * share) as usize];
    println!(
        "access/request, {REQUESTS} single ones: median {} ns, 90 % {} ns, 99 % {} ns",
        at(0.5),
        at(0.9),
        at(0.99)
    );
}

criterion_group!(benches, access);
criterion_main!(benches);
