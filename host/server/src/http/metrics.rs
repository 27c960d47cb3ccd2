//! `/metrics`: each caller's own series, of what there is.
//!
//! A registry of metrics forgets nothing by itself, and handles to its series are kept by whoever counts.
//! So a series is shown while its tenant has a deployment of its name, and isn't any more once that is
//! deleted; made again, it goes on from where it was, as Prometheus expects of a counter.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use caisson_access::Action;
use caisson_registry::TenantId;
use caisson_serving::LoadState;

use super::Context;
use super::auth::Caller;

/// Everything, for who may watch the whole server; for others their own tenant's series.
pub(crate) async fn render(State(context): State<Context>, caller: Caller) -> Response {
    context.app.serving.publish_metrics();
    let everything = context.app.developer.is_some()
        || caisson_access::SYSTEM_TENANT
            .parse()
            .is_ok_and(|system| caller.allow_on(Action::MetricsRead, &system, "*").is_ok());
    let seen = Seen {
        tenant: (!everything).then(|| caller.tenant()),
        deployments: caller.principal().deployments(),
        known: context.app.serving.load_states(),
    };
    let text: String = context
        .metrics
        .render()
        .lines()
        .filter(|line| seen.shows(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// What a caller sees.
struct Seen<'a> {
    /// The only tenant.
    tenant: Option<&'a TenantId>,
    /// The only deployments, where the key is for some.
    deployments: Option<&'a std::collections::BTreeSet<String>>,
    /// The deployments that there are.
    known: BTreeMap<(TenantId, String), LoadState>,
}

impl Seen<'_> {
    fn shows(&self, line: &str) -> bool {
        if line.starts_with('#') || line.is_empty() {
            return true;
        }
        let Some(tenant) = label(line, "tenant") else {
            // Of the server as a whole.
            return self.tenant.is_none() && self.deployments.is_none();
        };
        if self.tenant.is_some_and(|only| only.as_str() != tenant) {
            return false;
        }
        match label(line, "deployment") {
            None => self.deployments.is_none(),
            Some(name) => {
                self.deployments.is_none_or(|only| only.contains(name))
                    && tenant
                        .parse()
                        .is_ok_and(|tenant| self.known.contains_key(&(tenant, name.to_owned())))
            }
        }
    }
}

/// The value of a label. Names of tenants and deployments have nothing that the format escapes, and a
/// quote in another label's value is escaped, so no value is taken for a label.
fn label<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    let (_, labels) = line.split_once('{')?;
    let mut rest = labels;
    loop {
        let (name, after) = rest.split_once("=\"")?;
        let end = closing_quote(after)?;
        if name.trim_start_matches(',') == key {
            return after.get(..end);
        }
        rest = after.get(end + 1..)?;
    }
}

/// Where a quoted value ends.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_told_from_what_values_say() {
        let line = r#"calls{stage="a\",tenant=\"evil\\",tenant="acme",deployment="churn",le="0.1"} 3"#;
        assert_eq!(label(line, "tenant"), Some("acme"));
        assert_eq!(label(line, "deployment"), Some("churn"));
        assert_eq!(label(line, "le"), Some("0.1"));
        assert_eq!(label(line, "other"), None);
        assert_eq!(label("up 1", "tenant"), None);
    }

    #[test]
    fn a_series_is_shown_to_its_tenant_while_there_is_its_deployment() {
        let acme: TenantId = "acme".parse().unwrap();
        let known = BTreeMap::from([((acme.clone(), "churn".to_owned()), LoadState::Ready)]);
        let own = Seen {
            tenant: Some(&acme),
            deployments: None,
            known: known.clone(),
        };
        let all = Seen {
            tenant: None,
            deployments: None,
            known,
        };
        for (line, to_own, to_all) in [
            (r#"r{tenant="acme",deployment="churn"} 1"#, true, true),
            (r#"r{tenant="acme",deployment="gone"} 1"#, false, false),
            (r#"r{tenant="other",deployment="churn"} 1"#, false, false),
            (r#"r{tenant="acme"} 1"#, true, true),
            (r#"r{tenant="other"} 1"#, false, true),
            ("up 1", false, true),
            ("# TYPE r counter", true, true),
        ] {
            assert_eq!((own.shows(line), all.shows(line)), (to_own, to_all), "{line}");
        }
    }
}
