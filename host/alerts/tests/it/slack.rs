//! Incoming webhooks as Slack has them.

use caisson_alerts::DELIVERY_HEADER;

use crate::sink::Sink;
use crate::support::{Fixture, RULE, accuracy, deliver, now, receiver};

#[test]
fn a_message_is_text_in_which_nothing_is_markup_by_accident() {
    let (fixture, sink) = (Fixture::new(), Sink::start());
    let rules = RULE.replace("labels", "description: 'see <runbook> & co', labels");
    fixture.alerts.put_rules("acme", &rules, now()).unwrap();
    let spec = serde_json::json!({"name": "chat", "slack": {"url": sink.url()}});
    fixture.alerts.put_receiver("acme", receiver(spec)).unwrap();
    let mut value = accuracy(0.1, now());
    value.deployment = "churn".to_owned();
    value.evidence = Some("https://example.org/a|b>c".to_owned());
    fixture.alerts.observe("acme", &[value], now()).unwrap();
    let request = deliver(&fixture.alerts, || sink.wait(1).remove(0));
    let body = request.json();
    let lines: Vec<&str> = body["text"].as_str().unwrap().lines().collect();
    assert_eq!(
        lines[..4],
        [
            "*[FIRING] critical: accuracy-low (churn)*",
            "accuracy of churn is 0.1, below the threshold 0.85",
            "see &lt;runbook&gt; &amp; co",
            "<https://example.org/a%7Cb&gt;c|evidence>",
        ]
    );
    // The id, for whoever sees it twice.
    assert_eq!(lines[4], format!("`{}`", request.headers[DELIVERY_HEADER]));
}
