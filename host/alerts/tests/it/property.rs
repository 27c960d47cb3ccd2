//! Whatever values come, in whatever order, with restarts, silences and changes of rules between them: a
//! receiver hears firing, resolved, firing, resolved, and in the end what is so.

use std::collections::BTreeMap;

use caisson_alerts::{Options, Retry, SilenceSpec, Status};
use jiff::SignedDuration;
use proptest::prelude::*;

use crate::sink::Sink;
use crate::support::{Fixture, accuracy, deliver, minutes, now, options, until, webhook};

#[derive(Debug, Clone)]
enum Step {
    /// A value of a deployment, so many minutes after, or before, the latest.
    Value {
        deployment: usize,
        low: bool,
        after: i64,
    },
    Restart,
    Tick {
        after: i64,
    },
    Silence {
        minutes: i64,
    },
    Rules {
        held: u8,
        keep: u8,
        resolve: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..3_usize, any::<bool>(), -1..6_i64)
            .prop_map(|(deployment, low, after)| Step::Value { deployment, low, after }),
        1 => Just(Step::Restart),
        2 => (0..200_i64).prop_map(|after| Step::Tick { after }),
        1 => (1..20_i64).prop_map(|minutes| Step::Silence { minutes }),
        1 => (0..8_u8, 0..8_u8, any::<bool>())
            .prop_map(|(held, keep, resolve)| Step::Rules { held, keep, resolve }),
    ]
}

/// The times of these tests are long ago.
fn patient() -> Options {
    Options {
        retry: Retry {
            age_max: SignedDuration::MAX,
            ..options().retry
        },
        ..options()
    }
}

fn rules(held: u8, keep: u8, resolve: bool) -> String {
    let no_data = if resolve { "resolve" } else { "keep" };
    format!(
        "rules: [{{name: low, metric: accuracy, operator: '<', threshold: 0.5, severity: info, \
         for: {held}m, keep_firing_for: {keep}m, no_data: {no_data}, no_data_after: 2h}}]"
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn firing_and_resolved_alternate(steps in proptest::collection::vec(step(), 1..60)) {
        let sink = Sink::start();
        let mut fixture = Fixture::with(patient());
        fixture.alerts.put_rules("acme", &rules(2, 2, false), minutes(0)).unwrap();
        fixture.alerts.put_receiver("acme", webhook("hook", &sink.url())).unwrap();
        let mut minute = 0;
        for step in &steps {
            match *step {
                Step::Value { deployment, low, after } => {
                    minute += after.max(0);
                    let mut value = accuracy(if low { 0.1 } else { 0.9 }, minutes(minute + after.min(0)));
                    value.deployment = format!("d{deployment}");
                    fixture.alerts.observe("acme", &[value], minutes(minute)).unwrap();
                }
                Step::Restart => fixture = fixture.reopen(patient()),
                Step::Tick { after } => {
                    minute += after;
                    fixture.alerts.tick(minutes(minute)).unwrap();
                }
                Step::Silence { minutes: length } => {
                    let spec = SilenceSpec {
                        matchers: vec!["alertname=*".parse().unwrap()],
                        from: minutes(minute),
                        until: minutes(minute) + SignedDuration::from_mins(length),
                        author: "ada".to_owned(),
                        comment: "now and then".to_owned(),
                    };
                    fixture.alerts.silence("acme", spec, minutes(minute)).unwrap();
                }
                Step::Rules { held, keep, resolve } => {
                    let file = rules(held, keep, resolve);
                    fixture.alerts.put_rules("acme", &file, minutes(minute)).unwrap();
                }
            }
        }
        // Every silence is over, and nothing is absent yet.
        minute += 30;
        let fires: BTreeMap<String, bool> = fixture
            .alerts
            .alerts("acme", minutes(minute))
            .into_iter()
            .map(|alert| (alert.id, alert.phase.is_firing()))
            .collect();
        let untold: usize = fixture.alerts.receivers("acme")[0].waiting;
        fixture = fixture.reopen(patient());
        prop_assert_eq!(fixture.alerts.receivers("acme")[0].waiting, untold);
        // After a restart nothing is absent for as long as the rule allows.
        fixture.alerts.tick(minutes(minute)).unwrap();
        let waiting = fixture.alerts.receivers("acme")[0].waiting;
        let requests = if waiting == 0 {
            Vec::new()
        } else {
            deliver(&fixture.alerts, || {
                let requests = sink.wait(waiting);
                until("nothing waits", || fixture.alerts.receivers("acme")[0].waiting == 0);
                requests
            })
        };
        let mut told: BTreeMap<String, Status> = BTreeMap::new();
        for request in &requests {
            let notification: caisson_alerts::Notification = serde_json::from_str(&request.body).unwrap();
            let before = told.insert(notification.alert.clone(), notification.status);
            let expected = match before {
                None | Some(Status::Resolved) => Status::Firing,
                _ => Status::Resolved,
            };
            prop_assert_eq!(notification.status, expected, "after {:?}: {:?}", before, notification);
        }
        let told: BTreeMap<String, bool> = told.into_iter().map(|(id, s)| (id, s == Status::Firing)).collect();
        for (id, fires) in fires {
            prop_assert_eq!(told.get(&id).copied().unwrap_or(false), fires, "{}", id);
        }
        prop_assert!(fixture.alerts.receivers("acme")[0].last_delivery.is_none_or(|at| at <= now()));
    }
}
