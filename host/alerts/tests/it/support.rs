//! What most tests need: a store, alerts, rules, values.

use std::path::PathBuf;
use std::time::Duration;

use caisson_alerts::{
    Alerts, Catalogue, Kind, Metric, Network, Observation, Options, ReceiverSpec, Retry, Unit,
};
use caisson_store::Store;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub(crate) const RULE: &str = "
rules:
  - {name: accuracy-low, metric: accuracy, operator: '<', threshold: 0.85, severity: critical, labels: {team: churn}}
";

pub(crate) fn catalogue() -> Catalogue {
    Catalogue::new([
        Metric::new("accuracy", "accuracy", Kind::Performance, Unit::Ratio),
        Metric::new(
            "latency_p95_ms",
            "95th percentile of latency",
            Kind::Latency,
            Unit::Milliseconds,
        ),
        Metric::new("error_rate", "error rate", Kind::Errors, Unit::Ratio),
        Metric::new("drift", "drift", Kind::Drift, Unit::Ratio)
            .with_param("check")
            .with_param("column"),
        Metric::new("drift_score", "largest drift statistic", Kind::Drift, Unit::Ratio).with_param("monitor"),
        Metric::new("missing_rate", "missing values", Kind::DataQuality, Unit::Ratio).with_param("column"),
    ])
}

/// Loopback is allowed, and what fails is soon tried again.
pub(crate) fn options() -> Options {
    Options {
        catalogue: catalogue(),
        network: Network::new(vec!["127.0.0.0/8".parse().unwrap()]),
        base_url: Some("https://caisson.example.org".to_owned()),
        timeout: Duration::from_secs(5),
        retry: Retry {
            first: Duration::from_millis(20),
            longest: Duration::from_millis(200),
            ..Retry::default()
        },
        tick: Duration::from_millis(100),
        ..Options::default()
    }
}

pub(crate) struct Fixture {
    pub(crate) alerts: Alerts,
    pub(crate) dir: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(options())
    }

    pub(crate) fn with(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let alerts = Alerts::open(Store::open(dir.path()).unwrap(), options).unwrap();
        Self { alerts, dir }
    }

    /// As after a restart.
    pub(crate) fn reopen(self, options: Options) -> Self {
        let Self { alerts, dir } = self;
        drop(alerts);
        let alerts = Alerts::open(Store::open(dir.path()).unwrap(), options).unwrap();
        Self { alerts, dir }
    }

    /// A tenant with the rule and one webhook.
    pub(crate) fn acme(&self, url: &str) {
        self.alerts.put_rules("acme", RULE, now()).unwrap();
        self.alerts.put_receiver("acme", webhook("hook", url)).unwrap();
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// So many minutes ago, or ahead.
pub(crate) fn minutes(minutes: i64) -> Timestamp {
    start() + SignedDuration::from_mins(minutes)
}

/// A moment, for tests that need no clock.
pub(crate) fn start() -> Timestamp {
    "2026-03-01T10:00:00Z".parse().unwrap()
}

pub(crate) fn webhook(name: &str, url: &str) -> ReceiverSpec {
    receiver(serde_json::json!({"name": name, "webhook": {"url": url}}))
}

pub(crate) fn receiver(json: serde_json::Value) -> ReceiverSpec {
    serde_json::from_value(json).unwrap()
}

/// An accuracy of the deployment churn.
pub(crate) fn accuracy(value: f64, at: Timestamp) -> Observation {
    observation("accuracy", "churn", value, at)
}

pub(crate) fn observation(metric: &str, deployment: &str, value: f64, at: Timestamp) -> Observation {
    Observation {
        metric: metric.to_owned(),
        params: [].into(),
        deployment: deployment.to_owned(),
        segment: [].into(),
        rule: None,
        value,
        at,
        window: None,
        evidence: Some("/v1/monitors/churn".to_owned()),
    }
}

/// Deliver while `wait` runs, in a runtime of its own that is dropped afterwards.
pub(crate) fn deliver<T>(alerts: &Alerts, wait: impl FnOnce() -> T) -> T {
    let runtime = runtime();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = runtime.spawn(alerts.clone().run(async {
        let _ = stopped.await;
    }));
    let result = wait();
    drop(stop);
    runtime.block_on(task).unwrap();
    result
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Wait until it is so.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let end = std::time::Instant::now() + crate::sink::PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < end, "{what} never came");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An authority, and the certificate of a server named `localhost`.
pub(crate) struct Certificates {
    pub(crate) root: CertificateDer<'static>,
    dir: tempfile::TempDir,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let authority = params.self_signed(&authority_key).unwrap();
        let issuer = rcgen::Issuer::new(params, authority_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        std::fs::write(dir.path().join("chain.pem"), certificate.pem()).unwrap();
        std::fs::write(dir.path().join("key.pem"), key.serialize_pem()).unwrap();
        Self {
            root: authority.der().clone(),
            dir,
        }
    }

    pub(crate) fn chain(&self) -> PathBuf {
        self.dir.path().join("chain.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }

    pub(crate) fn server(&self) -> rustls::ServerConfig {
        let chain = CertificateDer::from_pem_file(self.chain()).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.key()).unwrap();
        rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .unwrap()
    }
}
