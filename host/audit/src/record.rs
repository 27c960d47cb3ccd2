//! What is recorded, and its line.
//!
//! A line is JSON with the fields of [`Record`] in their order, always all of them. `hash` is the
//! last, and is the SHA-256 of the line without it; `prev` is the SHA-256 of the whole line before.

use std::net::SocketAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::chain::Hash;
use crate::text::tame;

/// Bytes of a tenant's name, a key's id and name, and a request's id. Caisson's own are shorter;
/// those of refused requests are whatever was sent.
const NAME_BYTES_MAX: usize = 128;
/// Bytes of a role, an action and a code: words of our own.
const WORD_BYTES_MAX: usize = 64;
/// Bytes of a resource: a path of a few names.
const RESOURCE_BYTES_MAX: usize = 512;
/// Bytes of a detail: a sentence or two.
const DETAIL_BYTES_MAX: usize = 1024;

/// Bytes of a line without its end: all fields at their longest, each byte escaped by JSON, and
/// what stands around them.
pub(crate) const LINE_BYTES_MAX: usize = 8 * 1024;
const _: () = assert!(
    2 * (4 * NAME_BYTES_MAX + 3 * WORD_BYTES_MAX + RESOURCE_BYTES_MAX + DETAIL_BYTES_MAX) + 1024
        < LINE_BYTES_MAX
);

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AuditActor")]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// A request without a key, or with one that nobody has.
    Anonymous,
    /// Caisson itself.
    Host,
    /// The holder of a key.
    #[serde(untagged)]
    Key {
        /// The key's id, which is no secret.
        key_id: String,
        /// What its owner calls it.
        key_name: String,
        /// What it may do.
        role: String,
    },
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AuditOutcome")]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was not allowed, or made no sense.
    Refused,
    /// It was allowed, and went wrong.
    Failed,
}

/// What happened. Texts are cut at the crate's limits and control characters in them escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Whose records it belongs to; none for what concerns the whole installation.
    pub tenant: Option<String>,
    /// Who did it.
    pub actor: Actor,
    /// From where.
    pub from: Option<SocketAddr>,
    /// What was done: `model.create`, `key.revoke`.
    pub action: String,
    /// To what: `models/churn/3`.
    pub resource: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The HTTP status of the answer; 0 where there was no request.
    pub status: u16,
    /// The error's stable code.
    pub code: Option<String>,
    /// What else is worth knowing. Never a secret, and no payload.
    pub detail: String,
    /// The request's id, to find it in the other logs.
    pub request_id: Option<String>,
}

impl Event {
    /// An event of Caisson's own.
    pub(crate) fn of_host(action: &str, resource: String, outcome: Outcome, detail: String) -> Self {
        Self {
            tenant: None,
            actor: Actor::Host,
            from: None,
            action: action.to_owned(),
            resource,
            outcome,
            status: 0,
            code: None,
            detail,
            request_id: None,
        }
    }

    /// The same within the limits.
    pub(crate) fn tamed(self) -> Self {
        let cut = |max: usize| move |text: String| tame(&text, max);
        Self {
            tenant: self.tenant.map(cut(NAME_BYTES_MAX)),
            actor: match self.actor {
                Actor::Key {
                    key_id,
                    key_name,
                    role,
                } => Actor::Key {
                    key_id: tame(&key_id, NAME_BYTES_MAX),
                    key_name: tame(&key_name, NAME_BYTES_MAX),
                    role: tame(&role, WORD_BYTES_MAX),
                },
                other => other,
            },
            from: self.from,
            action: tame(&self.action, WORD_BYTES_MAX),
            resource: tame(&self.resource, RESOURCE_BYTES_MAX),
            outcome: self.outcome,
            status: self.status,
            code: self.code.map(cut(WORD_BYTES_MAX)),
            detail: tame(&self.detail, DETAIL_BYTES_MAX),
            request_id: self.request_id.map(cut(NAME_BYTES_MAX)),
        }
    }
}

/// One record of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AuditRecord")]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its number: 1, 2, 3, … without gaps.
    pub seq: u64,
    /// When: RFC 3339 in UTC with microseconds. For a record with a count, when it began.
    #[serde(with = "time")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub time: Timestamp,
    /// Whose record it is; none for what concerns the whole installation.
    pub tenant: Option<String>,
    /// Who did it.
    pub actor: Actor,
    /// From where.
    #[schemars(with = "Option<String>")]
    pub from: Option<SocketAddr>,
    /// What was done.
    pub action: String,
    /// To what.
    pub resource: String,
    /// How it ended.
    #[serde(rename = "result")]
    pub outcome: Outcome,
    /// The HTTP status of the answer; 0 where there was no request.
    pub status: u16,
    /// The error's stable code.
    pub code: Option<String>,
    /// What else is worth knowing.
    pub detail: String,
    /// The request's id, to find it in the other logs.
    pub request_id: Option<String>,
    /// How many times it happened; more than 1 only for refusals.
    pub count: u64,
    /// SHA-256 of the line before, in hexadecimal; of nothing (zeros) for the first.
    pub prev: String,
    /// SHA-256 of this line without its hash, in hexadecimal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
}

/// What stands before the hash of a line.
const HASH_START: &[u8] = b",\"hash\":\"";
/// What stands after it.
const HASH_END: &[u8] = b"\"}";
/// Bytes of the end of a line that is its hash.
const HASH_BYTES: usize = HASH_START.len() + 2 * Hash::BYTES + HASH_END.len();

impl Record {
    /// The record of an event (within its limits), and its line without the line's end.
    ///
    /// # Errors
    ///
    /// None in practice: every field has a form in JSON.
    pub(crate) fn seal(
        seq: u64,
        time: Timestamp,
        event: Event,
        count: u64,
        prev: Hash,
    ) -> serde_json::Result<(Self, Vec<u8>)> {
        let mut record = Self {
            seq,
            time: in_microseconds(time),
            tenant: event.tenant,
            actor: event.actor,
            from: event.from,
            action: event.action,
            resource: event.resource,
            outcome: event.outcome,
            status: event.status,
            code: event.code,
            detail: event.detail,
            request_id: event.request_id,
            count,
            prev: prev.to_string(),
            hash: String::new(),
        };
        let mut line = serde_json::to_vec(&record)?;
        record.hash = Hash::of(&line).to_string();
        line.pop();
        line.extend_from_slice(HASH_START);
        line.extend_from_slice(record.hash.as_bytes());
        line.extend_from_slice(HASH_END);
        Ok((record, line))
    }

    /// The record in a line, if the line is what its hash says.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(line).map_err(|e| format!("is no record: {e}"))?;
        let (body, end) = line
            .split_at_checked(line.len().saturating_sub(HASH_BYTES))
            .unwrap_or_default();
        if end != [HASH_START, record.hash.as_bytes(), HASH_END].concat() {
            return Err("is no record: its hash is not where it belongs".to_owned());
        }
        if Hash::of_parts(&[body, b"}"]).to_string() != record.hash {
            return Err("was changed: it doesn't have its own hash".to_owned());
        }
        Ok(record)
    }
}

/// Nothing finer is written, and what is read back is equal.
fn in_microseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

/// Times as text.
pub(crate) mod time {
    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn huge() -> Event {
        let text = "\\\"".repeat(10_000);
        Event {
            tenant: Some(text.clone()),
            actor: Actor::Key {
                key_id: text.clone(),
                key_name: text.clone(),
                role: text.clone(),
            },
            from: Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap()),
            action: text.clone(),
            resource: text.clone(),
            outcome: Outcome::Refused,
            status: u16::MAX,
            code: Some(text.clone()),
            detail: text.clone(),
            request_id: Some(text),
        }
    }

    #[test]
    fn the_longest_record_fits_a_line() {
        let (record, line) = Record::seal(
            u64::MAX,
            Timestamp::now(),
            huge().tamed(),
            u64::MAX,
            Hash::default(),
        )
        .unwrap();
        assert!(line.len() <= LINE_BYTES_MAX, "{}", line.len());
        assert_eq!(Record::parse(&line).unwrap(), record);
        assert_eq!(serde_json::to_vec(&record).unwrap(), line);
    }

    #[test]
    fn a_line_is_as_documented() {
        let mut event = Event::of_host("a.b", "x/1".to_owned(), Outcome::Done, "line\nbreak".to_owned());
        event.actor = Actor::Key {
            key_id: "k1".to_owned(),
            key_name: "ci".to_owned(),
            role: "admin".to_owned(),
        };
        event.tenant = Some("acme".to_owned());
        let time = "2026-01-02T03:04:05.1Z".parse().unwrap();
        let (record, line) = Record::seal(7, time, event.tamed(), 1, Hash::default()).unwrap();
        let zeros = "0".repeat(64);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            r#"{"seq":7,"time":"2026-01-02T03:04:05.100000Z","tenant":"acme","#.to_owned()
                + r#""actor":{"key_id":"k1","key_name":"ci","role":"admin"},"from":null,"action":"a.b","#
                + r#""resource":"x/1","result":"done","status":0,"code":null,"detail":"line\\nbreak","#
                + &format!(
                    r#""request_id":null,"count":1,"prev":"{zeros}","hash":"{}"}}"#,
                    record.hash
                )
        );
    }
}
