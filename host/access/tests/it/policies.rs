//! Tenants' own policies: what they change, and what they can't.

use std::time::{Duration, Instant};

use caisson_access::{Access, AccessError, Action, PolicyError, Principal, Quotas, Resource, Role};
use caisson_registry::TenantId;
use caisson_store::{Commit, Expect, Op, Store};

use super::{Fixture, fixture, id, new_key, restarted};

const EVERYTHING: &str = "permit (principal, action, resource);";
const NOTHING: &str = "forbid (principal, action, resource);";

fn put(f: &Fixture, tenant: &TenantId, name: &str, text: &str) {
    f.access.put_policy(tenant, name, text, &f.admin).unwrap();
}

fn problem(access: &Access, tenant: &TenantId, text: &str, by: &Principal) -> PolicyError {
    match access.put_policy(tenant, "mine", text, by).unwrap_err() {
        AccessError::Policy(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn a_policy_permits_and_forbids_at_once() {
    let f = fixture();
    let acme = f.tenant("acme");
    let board = f.principal(&acme, new_key("dashboard", Role::Viewer));
    let developer = f.role(&acme, Role::Developer);
    let predict = |name| f.allowed(&board, Action::DeploymentPredict, &acme, name);
    assert!(!predict("churn"));
    put(
        &f,
        &acme,
        "dashboard",
        r#"permit (principal, action == Action::"deployment:predict", resource == Deployment::"churn")
           when { principal.name == "dashboard" };"#,
    );
    assert!(predict("churn") && !predict("fraud"));

    assert!(f.allowed(&developer, Action::DeploymentDelete, &acme, "churn"));
    put(
        &f,
        &acme,
        "keep-churn",
        r#"forbid (principal, action == Action::"deployment:delete", resource)
           when { resource.name like "churn*" };"#,
    );
    assert_eq!(
        f.refused(&developer, Action::DeploymentDelete, &acme, "churn-2"),
        "`deployment:churn-2:delete` is not permitted: the policy `keep-churn` forbids it"
    );
    let f = restarted(f);
    let developer = f.role(&acme, Role::Developer);
    assert!(!f.allowed(&developer, Action::DeploymentDelete, &acme, "churn"));
    f.access.delete_policy(&acme, "keep-churn").unwrap();
    assert!(f.allowed(&developer, Action::DeploymentDelete, &acme, "churn"));
    let left: Vec<String> = f
        .access
        .policies(&acme)
        .unwrap()
        .into_iter()
        .map(|p| p.name)
        .collect();
    assert_eq!(left, ["dashboard"]);
    assert_eq!(
        f.access.policy(&acme, "keep-churn").unwrap_err().code(),
        "not-found"
    );
    assert_eq!(
        f.access.delete_policy(&acme, "keep-churn").unwrap_err().code(),
        "not-found"
    );
}

#[test]
fn the_readmes_example_works() {
    let f = fixture();
    let acme = f.tenant("acme");
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```cedar\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    put(&f, &acme, "example", example);
    let board = f.principal(&acme, new_key("dashboard", Role::Viewer));
    assert!(f.allowed(&board, Action::DeploymentPredict, &acme, "churn"));
    for (role, may) in [(Role::Developer, false), (Role::Admin, true)] {
        let who = f.role(&acme, role);
        assert_eq!(
            f.allowed(&who, Action::DeploymentDelete, &acme, "prod-churn"),
            may,
            "{role}"
        );
    }
}

/// A release whose schema lacks an attribute that a stored policy names.
#[test]
fn a_policy_that_cannot_be_read_any_more_closes_its_tenant_alone() {
    let f = fixture();
    let (acme, other) = (f.tenant("acme"), f.tenant("other"));
    let (_, key) = f.key(&acme, new_key("admin", Role::Admin));
    let (_, others) = f.key(&other, new_key("admin", Role::Admin));
    let dir = f.dir;
    drop((f.access, f.admin));
    let record = r#"{"format":1,"record":{"name":"old","text":"forbid (principal, action, resource) when { resource.stage == 1 };",
        "updated_at":"2026-01-01T00:00:00Z","updated_by":"acme/admin"}}"#;
    let store = Store::open(dir.path().join("data")).unwrap();
    let op = Op::put("access-policy/acme/old", Expect::Absent, record);
    assert_eq!(store.metadata().commit(&[op]).unwrap(), Commit::Done);
    let access = Access::open(store, Quotas::default()).unwrap();

    let admin = access.authenticate(key.expose()).unwrap();
    let decide = |action, name| access.authorize(&admin, action, &Resource::new(&acme, name));
    let refused = decide(Action::DeploymentPredict, "churn")
        .into_result()
        .unwrap_err();
    assert!(
        refused.to_string().contains("the policy `old` can't be used"),
        "{refused}"
    );
    assert!(decide(Action::PolicyUpdate, "old").is_allowed());
    let others = access.authenticate(others.expose()).unwrap();
    let resource = Resource::new(&other, "churn");
    assert!(
        access
            .authorize(&others, Action::DeploymentPredict, &resource)
            .is_allowed()
    );
    // Another policy beside it doesn't open it; deleting it does.
    access.put_policy(&acme, "new", EVERYTHING, &admin).unwrap();
    assert!(!decide(Action::DeploymentPredict, "churn").is_allowed());
    access.delete_policy(&acme, "old").unwrap();
    assert!(decide(Action::DeploymentPredict, "churn").is_allowed());
}

#[test]
fn a_tenants_policies_stay_in_the_tenant() {
    let f = fixture();
    let (acme, other) = (f.tenant("acme"), f.tenant("other"));
    let everyone: Vec<_> = [&acme, &other, &id("system")]
        .into_iter()
        .flat_map(|tenant| Role::ALL.map(|role| f.role(tenant, role)))
        .collect();
    let all = |of: &TenantId, but: &TenantId| -> Vec<bool> {
        everyone
            .iter()
            .filter(|who| who.tenant().id() != but)
            .flat_map(|who| {
                Action::ALL
                    .iter()
                    .map(|&action| f.allowed(who, action, of, "churn"))
            })
            .collect()
    };
    let nobody = id("nobody");
    let before = [all(&other, &nobody), all(&acme, &acme), all(&id("std"), &nobody)];
    for text in [EVERYTHING, NOTHING] {
        put(&f, &acme, "all", text);
        // Everyone in another tenant, operators included, and others in this one, as before.
        let after = [all(&other, &nobody), all(&acme, &acme), all(&id("std"), &nobody)];
        assert_eq!(before, after, "{text}");
    }
}

#[test]
fn no_policy_gives_what_is_the_servers() {
    let f = fixture();
    let acme = f.tenant("acme");
    put(&f, &acme, "all", EVERYTHING);
    let viewer = f.role(&acme, Role::Viewer);
    for &action in Action::ALL {
        let servers = [
            "tenant:create",
            "tenant:list",
            "tenant:suspend",
            "tenant:resume",
            "tenant:delete",
            "quota:update",
            "backup:create",
            "metrics:read",
        ]
        .contains(&action.as_str());
        let about_policies = action.as_str().starts_with("policy:");
        assert_eq!(
            f.allowed(&viewer, action, &acme, "churn"),
            !servers && !about_policies,
            "{action}"
        );
    }
}

#[test]
fn no_policy_shuts_its_tenant_out() {
    let f = fixture();
    let acme = f.tenant("acme");
    let admin = f.role(&acme, Role::Admin);
    put(&f, &acme, "nothing", NOTHING);
    for &action in Action::ALL {
        let about_policies = action.as_str().starts_with("policy:");
        assert_eq!(f.allowed(&admin, action, &acme, "*"), about_policies, "{action}");
    }
    f.access.delete_policy(&acme, "nothing").unwrap();
    assert!(f.allowed(&admin, Action::KeyCreate, &acme, "*"));
}

#[test]
fn a_policy_without_an_answer_refuses() {
    let f = fixture();
    let acme = f.tenant("acme");
    let admin = f.role(&acme, Role::Admin);
    put(
        &f,
        &acme,
        "sum",
        r#"forbid (principal, action == Action::"key:list", resource)
           when { 9223372036854775807 + 1 == 0 };"#,
    );
    let refused = f.refused(&admin, Action::KeyList, &acme, "*");
    assert!(refused.contains("the policy `sum` has no answer"), "{refused}");
    assert!(f.allowed(&admin, Action::KeyCreate, &acme, "*"));
}

#[test]
fn what_is_no_policy_is_refused_with_its_place() {
    let f = fixture();
    let acme = f.tenant("acme");
    for (text, at, hint) in [
        (
            "permit (principal, action, resource)",
            Some((1, 37)),
            "unexpected end of input",
        ),
        (
            "permit (\n  principal,\n  akshun,\n  resource);",
            Some((3, 3)),
            "akshun",
        ),
        (
            "permit (principal, action == Action::\"deployment:predikt\",\n resource);",
            Some((1, 30)),
            "did you mean `Action::\"deployment:predict\"`",
        ),
        (
            "permit (principal, action, resource)\nwhen { resource.owner == principal };",
            Some((2, 8)),
            "owner",
        ),
        (
            "permit (principal, action, resource)\nwhen { principal.name == 1 };",
            Some((2, 8)),
            "String",
        ),
        (
            "permit (principal, action == Action::\"plugin:push\", resource is Deployment);",
            Some((1, 1)),
            "impossible",
        ),
        (
            "forbid (principal, action, resource) when { principal.name == \"a\" && principal has shoe };",
            Some((1, 1)),
            "impossible",
        ),
        (
            "permit (principal == ?principal, action, resource);",
            None,
            "?principal",
        ),
        ("", None, "empty"),
        ("// nothing", None, "empty"),
    ] {
        let error = problem(&f.access, &acme, text, &f.admin);
        assert_eq!(error.issues[0].at, at, "{text}: {error}");
        assert!(error.issues[0].message.contains(hint), "{text}: {error}");
        assert!(!error.to_string().contains("policy0"), "{error}");
    }
    let put = |name: &str, text: &str| f.access.put_policy(&acme, name, text, &f.admin);
    assert_eq!(put("../x", EVERYTHING).unwrap_err().code(), "bad-name");
    let long = format!("{EVERYTHING} // {}", "x".repeat(8192));
    assert_eq!(put("long", &long).unwrap_err().code(), "too-many");
    for n in 0..32 {
        put(&format!("p{n}"), EVERYTHING).unwrap();
    }
    assert_eq!(put("p32", EVERYTHING).unwrap_err().code(), "too-many");
    put("p31", NOTHING).unwrap();
}

/// As large as a policy may be, each in a shape that a parser, validator or evaluator which calls
/// itself goes deep on, with the stack of a thread that serves requests.
#[test]
fn no_policy_ends_the_process() {
    /// A tenth of a second is usual.
    const PATIENCE: Duration = Duration::from_secs(10);
    let condition =
        |condition: String| format!("permit (principal, action, resource) when {{ {condition} }};");
    let fill = |open: &str, middle: &str, close: &str| {
        let times = (8192 - 64 - middle.len()) / (open.len() + close.len());
        format!("{}{middle}{}", open.repeat(times), close.repeat(times))
    };
    let texts = [
        condition(fill("(", "true", ")")),
        condition(fill("(\")\"==", "\"\"", ")")),
        condition(fill("(//)\n", "true", ")")),
        condition(fill("[", "1", "]")),
        condition(fill("{a:", "1", "}")),
        condition(fill("!", "true", "")),
        condition(fill("-", "1", "")),
        condition(fill("true&&", "true", "")),
        condition(fill("true||", "true", "")),
        condition(fill("1+", "1", "") + "==1"),
        condition(fill("1*", "1", "") + "==1"),
        condition(fill("1-", "1", "") + "==1"),
        condition(fill("if true then true else ", "true", "")),
        condition(fill("if ", "true", " then true else true")),
        condition("principal".to_owned() + &".tenant".repeat(1150) + " == principal.tenant"),
        condition("principal has tenant".to_owned() + &".tenant".repeat(1150)),
        condition("[1]".to_owned() + &".contains(1)".repeat(660)),
        condition(fill("[", "1", "].contains(1)")),
        condition(format!("principal.name like \"{}\"", "*a".repeat(4000))),
        condition("principal has tenant\n.//\n tenant".to_owned() + &".tenant".repeat(1100)),
        condition(fill(
            "principal has tenant.tenant.tenant.tenant.tenant.tenant.tenant.tenant&&",
            "true",
            "",
        )),
        condition(fill(
            "principal has tenant.tenant.tenant.tenant.tenant.tenant.tenant.tenant||",
            "true",
            "",
        )),
        condition(format!("[{}].contains(1)", vec!["1"; 4000].join(","))),
        "permit(principal,action,resource);".repeat(240),
        "@a(\"\")".repeat(1000) + EVERYTHING,
        "\u{0}".repeat(8192),
        "\"".repeat(8191),
    ];
    for text in texts {
        std::thread::Builder::new()
            .stack_size(2 << 20)
            .spawn(move || {
                let f = fixture();
                let acme = f.tenant("acme");
                let viewer = f.role(&acme, Role::Viewer);
                let started = Instant::now();
                // Some are refused and some are not; either way in time.
                let put = f.access.put_policy(&acme, "deep", &text, &f.admin);
                assert!(started.elapsed() < PATIENCE, "{put:?}");
                let started = Instant::now();
                let _either = f.decide(&viewer, Action::DeploymentPredict, &acme, &"a".repeat(128));
                assert!(started.elapsed() < PATIENCE, "{text}");
            })
            .unwrap()
            .join()
            .unwrap();
    }
}
