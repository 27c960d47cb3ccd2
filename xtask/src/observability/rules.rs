//! Rules for Prometheus: what is worth computing once, and what is worth waking somebody for.

use caisson_metrics::catalogue as metric;

/// A recorded series.
struct Recorded {
    name: &'static str,
    expr: String,
}

/// An alert.
struct Alert {
    name: &'static str,
    expr: String,
    for_: &'static str,
    severity: &'static str,
    summary: &'static str,
    description: &'static str,
}

/// The text of the file.
pub(super) fn text() -> String {
    let mut text = String::from(
        "# Made by `cargo xtask observability` from the list of metrics. Thresholds are a start: copy the file\n\
         # and set your own.\ngroups:\n  - name: caisson-recording\n    rules:\n",
    );
    for Recorded { name, expr } in recorded() {
        text.push_str(&format!(
            "      - record: {name}\n        expr: |-\n          {expr}\n"
        ));
    }
    text.push_str("  - name: caisson-alerts\n    rules:\n");
    for alert in alerts() {
        text.push_str(&format!(
            "      - alert: {}\n        expr: |-\n          {}\n        for: {}\n        labels:\n          severity: {}\n        \
             annotations:\n          summary: {}\n          description: {}\n",
            alert.name,
            alert.expr,
            alert.for_,
            alert.severity,
            quoted(alert.summary),
            quoted(alert.description),
        ));
    }
    text
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\\\""))
}

fn recorded() -> Vec<Recorded> {
    let (requests, failures) = (metric::REQUESTS.name, metric::REQUEST_FAILURES.name);
    let (latency, stage, queue) = (
        metric::REQUEST_SECONDS.name,
        metric::STAGE_SECONDS.name,
        metric::QUEUE_SECONDS.name,
    );
    let by = "sum by (tenant, deployment)";
    vec![
        Recorded {
            name: "caisson:requests:rate5m",
            expr: format!("{by} (rate({requests}[5m]))"),
        },
        Recorded {
            name: "caisson:request_failures:ratio5m",
            expr: format!("{by} (rate({failures}[5m])) / {by} (rate({requests}[5m]))"),
        },
        Recorded {
            name: "caisson:request_seconds:p50_5m",
            expr: format!(
                "histogram_quantile(0.5, sum by (le, tenant, deployment) (rate({latency}_bucket[5m])))"
            ),
        },
        Recorded {
            name: "caisson:request_seconds:p99_5m",
            expr: format!(
                "histogram_quantile(0.99, sum by (le, tenant, deployment) (rate({latency}_bucket[5m])))"
            ),
        },
        Recorded {
            name: "caisson:stage_seconds:p99_5m",
            expr: format!(
                "histogram_quantile(0.99, sum by (le, tenant, deployment, stage) (rate({stage}_bucket[5m])))"
            ),
        },
        Recorded {
            name: "caisson:stage_seconds:rate5m",
            expr: format!("sum by (tenant, deployment, stage) (rate({stage}_sum[5m]))"),
        },
        Recorded {
            name: "caisson:queue_seconds:mean5m",
            expr: format!("{by} (rate({queue}_sum[5m])) / {by} (rate({queue}_count[5m]))"),
        },
    ]
}

fn alerts() -> Vec<Alert> {
    let increase = |name: &str, by: &str| format!("sum by ({by}) (increase({name}[10m])) > 0");
    vec![
        Alert {
            name: "CaissonAbsent",
            expr: format!("absent({})", metric::BUILD_INFO.name),
            for_: "5m",
            severity: "critical",
            summary: "No Caisson is being scraped",
            description: "No server has answered Prometheus with an operator's key for five minutes.",
        },
        Alert {
            name: "CaissonRequestsFail",
            expr: "caisson:request_failures:ratio5m > 0.05 and caisson:requests:rate5m > 0.1".to_owned(),
            for_: "10m",
            severity: "critical",
            summary: "{{ $labels.tenant }}/{{ $labels.deployment }} fails",
            description: "{{ $value | humanizePercentage }} of its requests failed in the last five minutes.",
        },
        Alert {
            name: "CaissonRequestsSlow",
            expr: "caisson:request_seconds:p99_5m > 1".to_owned(),
            for_: "10m",
            severity: "warning",
            summary: "{{ $labels.tenant }}/{{ $labels.deployment }} is slow",
            description: "Its 99th percentile is {{ $value | humanizeDuration }}; caisson:stage_seconds:rate5m says where the time goes.",
        },
        Alert {
            name: "CaissonQueueRefuses",
            expr: increase(metric::QUEUE_REFUSALS.name, "tenant, deployment"),
            for_: "5m",
            severity: "warning",
            summary: "{{ $labels.tenant }}/{{ $labels.deployment }} gets more than it can answer",
            description: "Requests were refused because its queue was full or their time in it was over.",
        },
        Alert {
            name: "CaissonPluginFails",
            expr: format!(
                "sum by (tenant, deployment, stage, cause) (increase({}{{cause!~\"bad-input|busy|tenant-suspended\"}}[10m])) > 0",
                metric::PLUGIN_FAILURES.name
            ),
            for_: "5m",
            severity: "warning",
            summary: "{{ $labels.stage }} of {{ $labels.tenant }}/{{ $labels.deployment }} fails",
            description: "{{ $value | humanize }} calls in ten minutes; cause: {{ $labels.cause }}.",
        },
        Alert {
            name: "CaissonDeploymentNotServed",
            expr: format!("{}{{state=\"failed\"}} > 0", metric::DEPLOYMENTS.name),
            for_: "5m",
            severity: "warning",
            summary: "Deployments of {{ $labels.tenant }} can't be served",
            description: "{{ $value }} of them failed to load; the readiness route and the log say why.",
        },
        Alert {
            name: "CaissonDrifted",
            expr: format!("{} == 2", metric::DRIFT_STATUS.name),
            for_: "0m",
            severity: "warning",
            summary: "{{ $labels.monitor }} of {{ $labels.tenant }}/{{ $labels.deployment }} sees drift",
            description: "The verdict is as of its last look, which caisson's drift timestamp dates.",
        },
        Alert {
            name: "CaissonLogDropsRows",
            expr: increase(metric::LOG_DROPPED_ROWS.name, "tenant, deployment, reason"),
            for_: "5m",
            severity: "warning",
            summary: "The prediction log of {{ $labels.tenant }}/{{ $labels.deployment }} is incomplete",
            description: "{{ $value | humanize }} rows were dropped in ten minutes; reason: {{ $labels.reason }}.",
        },
        Alert {
            name: "CaissonNotificationsLost",
            expr: increase(metric::ALERT_NOTIFICATIONS_LOST.name, "tenant, reason"),
            for_: "0m",
            severity: "warning",
            summary: "Notifications of {{ $labels.tenant }} were not delivered",
            description: "Its receivers fail or are too slow; `caisson alert receiver list` says which.",
        },
        Alert {
            name: "CaissonDiskFills",
            expr: format!("{} < 2e9", metric::DISK_FREE_BYTES.name),
            for_: "5m",
            severity: "critical",
            summary: "The disk of Caisson's data folder is nearly full",
            description: "{{ $value | humanize1024 }}B are left; changes are refused before it is full.",
        },
        Alert {
            name: "CaissonTracesLost",
            expr: format!(
                "sum by (outcome) (increase({}{{outcome!=\"exported\"}}[10m])) > 0",
                metric::TRACES.name
            ),
            for_: "10m",
            severity: "info",
            summary: "Traces don't reach the collector",
            description: "{{ $value | humanize }} in ten minutes: {{ $labels.outcome }}.",
        },
    ]
}
