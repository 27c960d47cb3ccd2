//! W3C Trace Context, as a caller sends it: `traceparent` and `tracestate`.
//!
//! A header that isn't what the recommendation says is as good as none: the request starts a trace of its
//! own, and nothing is refused for it.

use axum::http::{HeaderMap, HeaderName};
use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Bytes of a `tracestate` that is passed on: what the recommendation asks everyone to pass on.
const TRACESTATE_BYTES_MAX: usize = 512;

/// The caller's span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) is_sampled: bool,
    pub(super) state: TraceState,
}

impl Parent {
    /// What the headers say.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut sent = headers.get_all(TRACEPARENT).iter();
        let (first, None) = (sent.next()?, sent.next()) else {
            return None;
        };
        let (trace, span, is_sampled) = parse(first.as_bytes())?;
        Some(Self {
            trace,
            span,
            is_sampled,
            state: state(headers),
        })
    }
}

/// `00-<32 hex>-<16 hex>-<2 hex>`; of versions to come, this much.
fn parse(text: &[u8]) -> Option<(TraceId, SpanId, bool)> {
    let (head, rest) = text.split_at_checked(55)?;
    let version: [u8; 1] = hex(head.get(..2)?)?;
    match version {
        [0xff] => return None,
        [0] if !rest.is_empty() => return None,
        _ if !rest.is_empty() && rest.first() != Some(&b'-') => return None,
        _ => {}
    }
    if [2, 35, 52].iter().any(|&at| head.get(at) != Some(&b'-')) {
        return None;
    }
    let trace = TraceId::from_bytes(hex(head.get(3..35)?)?);
    let span = SpanId::from_bytes(hex(head.get(36..52)?)?);
    let [flags] = hex(head.get(53..55)?)?;
    let is_valid = trace != TraceId::INVALID && span != SpanId::INVALID;
    is_valid.then(|| (trace, span, TraceFlags::new(flags).is_sampled()))
}

/// Hexadecimal in lower case, of exactly this many bytes.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_chunks::<2>().0) {
        for digit in pair {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            *byte = (*byte << 4) | value;
        }
    }
    Some(bytes)
}

/// What other systems keep along; nothing where it can't be read.
fn state(headers: &HeaderMap) -> TraceState {
    let sent: Option<Vec<&str>> = headers
        .get_all(TRACESTATE)
        .iter()
        .map(|value| value.to_str().ok())
        .collect();
    let Some(sent) = sent else {
        return TraceState::NONE;
    };
    let joined = sent.join(",");
    match joined.len() <= TRACESTATE_BYTES_MAX {
        true => joined.parse().unwrap_or(TraceState::NONE),
        false => TraceState::NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(parents: &[&str], states: &[&str]) -> Option<Parent> {
        let mut headers = HeaderMap::new();
        for value in parents {
            headers.append(TRACEPARENT, value.parse().unwrap());
        }
        for value in states {
            headers.append(TRACESTATE, value.parse().unwrap());
        }
        Parent::of(&headers)
    }

    #[test]
    fn a_parent_is_what_the_headers_say() {
        let parent = of(&[GOOD], &["a=1,b=2", "c=3"]).unwrap();
        assert_eq!(parent.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(parent.span.to_string(), "b7ad6b7169203331");
        assert!(parent.is_sampled);
        assert_eq!(parent.state.header(), "a=1,b=2,c=3");
        // Flags that we don't know say nothing; a version to come has this much, and more.
        assert!(!of(&[&GOOD.replace("-01", "-fe")], &[]).unwrap().is_sampled);
        let next = format!("{}-more", GOOD.replacen("00-", "cc-", 1));
        assert!(of(&[&next], &[]).unwrap().is_sampled);
        let bad_state = of(&[GOOD], &["=,;"]).unwrap();
        assert_eq!(bad_state.state, TraceState::NONE);
        let long = format!("a={}", "x".repeat(600));
        assert_eq!(of(&[GOOD], &[&long]).unwrap().state, TraceState::NONE);
    }

    #[test]
    fn what_is_malformed_is_none() {
        let zero_trace = GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32));
        let zero_span = GOOD.replace("b7ad6b7169203331", &"0".repeat(16));
        for bad in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &GOOD.replacen("00-", "ff-", 1),
            &format!("{GOOD}-more"),
            &format!("{GOOD}0"),
            &GOOD.replace('-', "_"),
            &GOOD.replace("0af7", "+af7"),
            &GOOD.replace("-01", "-0g"),
            &GOOD[..54],
            &zero_trace,
            &zero_span,
            &format!("{}x", GOOD.replacen("00-", "cc-", 1)),
        ] {
            assert_eq!(of(&[bad], &[]), None, "{bad}");
        }
        assert_eq!(of(&[GOOD, GOOD], &[]), None);
        assert_eq!(of(&[], &["a=1"]), None);
    }
}
