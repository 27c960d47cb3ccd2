//! The table of all metrics, for people.

use caisson_metrics::catalogue::{ALL, Topic};

/// The text of the page.
pub(super) fn text() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         Everything that `GET /metrics` has. Made by `cargo xtask observability` from the list in \
         `host/metrics/src/catalogue.rs`; `caisson metrics` prints the same.\n",
    );
    for topic in Topic::ALL {
        text.push_str(&format!(
            "\n## {}\n\n| metric | type | labels | |\n| --- | --- | --- | --- |\n",
            topic.title()
        ));
        for metric in ALL.iter().filter(|metric| metric.topic == topic) {
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            text.push_str(&format!(
                "| `{}` | {} | {} | {} |\n",
                metric.name,
                metric.kind.as_str(),
                labels.join(" "),
                metric.help
            ));
        }
    }
    text
}
