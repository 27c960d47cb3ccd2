//! The clients: each kind does one thing again and again, and knows what should come of it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::revisions::{self, Revision};
use crate::compare::case::Encoding;
use crate::compare::fixture::{Fixture, WITH_STAGES};
use crate::http::Api;
use crate::raw::{self, Connection};
use crate::site;

/// The version that the component which is uploaded says it has; others of the same length take its place.
const UPLOADED_VERSION: &[u8] = b"1.2.3";
/// What a hostile tenant's plugins do, and its deployments are called.
pub(super) const HOSTILE: [&str; 2] = ["loop", "grab-memory"];

/// What the clients have to do with.
pub(super) struct World {
    pub(super) fixture: Fixture,
    /// Who predicts, deploys and uploads.
    pub(super) tenant: Api,
    pub(super) hostile: Api,
    /// Without a key.
    pub(super) stranger: Api,
    /// The component of which versions are uploaded.
    pub(super) component: Vec<u8>,
}

/// A kind of client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Predicts,
    Swaps,
    Uploads,
    SendsNonsense,
    HangsUp,
    IsHostile,
}

impl Client {
    pub(super) const ALL: [Self; 6] = [
        Self::Predicts,
        Self::Swaps,
        Self::Uploads,
        Self::SendsNonsense,
        Self::HangsUp,
        Self::IsHostile,
    ];

    /// What `--clients` calls it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Predicts => "predict",
            Self::Swaps => "swap",
            Self::Uploads => "upload",
            Self::SendsNonsense => "nonsense",
            Self::HangsUp => "hang-up",
            Self::IsHostile => "hostile",
        }
    }

    /// The kinds of a list, `swap,upload`; all if there is none.
    pub(super) fn choose(list: Option<&str>) -> Result<Vec<Self>> {
        let Some(list) = list else {
            return Ok(Self::ALL.to_vec());
        };
        let named = |word: &str| {
            let words: Vec<&str> = Self::ALL.iter().map(|client| client.word()).collect();
            let found = Self::ALL.into_iter().find(|client| client.word() == word);
            found.with_context(|| format!("no client is `{word}`; there are {}", words.join(", ")))
        };
        list.split(',').map(|word| named(word.trim())).collect()
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Predicts => "predictions, each checked",
            Self::Swaps => "swaps of model and stages",
            Self::Uploads => "uploads of plugins",
            Self::SendsNonsense => "bad requests",
            Self::HangsUp => "cancelled requests",
            Self::IsHostile => "a hostile tenant's plugins",
        }
    }

    /// Threads of this kind: more of those that only wait for the server.
    pub(super) fn threads(self) -> usize {
        match self {
            Self::Predicts => 3,
            Self::IsHostile => 4,
            _ => 1,
        }
    }

    /// Between two of its requests. Deploys and uploads keep something for ever, so that they come at a
    /// rate that a person's clients could have.
    pub(super) fn pause(self) -> Duration {
        Duration::from_millis(match self {
            Self::Predicts | Self::IsHostile => 0,
            Self::Swaps => 250,
            Self::Uploads => 1_000,
            Self::SendsNonsense | Self::HangsUp => 10,
        })
    }

    /// Its request number so and so: the status, nothing if none was waited for, or what is wrong.
    pub(super) fn act(self, world: &World, number: u64) -> Result<Option<u16>> {
        match self {
            Self::Predicts => predict(world, number),
            Self::Swaps => {
                let spec = Revision::of_turn(number).spec(&world.fixture);
                expect(world.tenant.post_json("/v1/deployments", &spec)?, &[200, 201])
            }
            Self::Uploads => {
                let component = versioned(&world.component, number)?;
                let answer = world.tenant.post("/v1/plugins", "application/wasm", &component)?;
                expect(answer, &[200, 201])
            }
            Self::SendsNonsense => send_nonsense(world, number),
            Self::HangsUp => hang_up(world, number),
            Self::IsHostile => {
                let behave = pick(&HOSTILE, number);
                let path = format!("/v1/deployments/{behave}/predict");
                let answer = world.hostile.post_json(&path, &json!({"rows": [{"x": 1.0}]}))?;
                // The plugin's failure, too late, too busy, or over its quota: never an answer.
                expect(answer, &[429, 500, 503, 504])
            }
        }
    }
}

/// The status, if it is one of those.
fn expect(answer: crate::http::Answer, statuses: &[u16]) -> Result<Option<u16>> {
    ensure!(
        statuses.contains(&answer.status),
        "{} where {statuses:?} was expected: {}",
        answer.status,
        answer.body
    );
    Ok(Some(answer.status))
}

/// One of them, in turn.
fn pick<'a, T: ?Sized>(from: &[&'a T], number: u64) -> &'a T
where
    &'a T: Default,
{
    let at = usize::try_from(number).unwrap_or(0) % from.len().max(1);
    from.get(at).copied().unwrap_or_default()
}

/// Some rows, as JSON or binary: the answer is one revision's, whole.
fn predict(world: &World, number: u64) -> Result<Option<u16>> {
    let fixture = &world.fixture;
    let number = usize::try_from(number).unwrap_or(0);
    let count = [1, 4, 16].get(number % 3).copied().unwrap_or(1);
    let first = (number * 7) % (fixture.len() - count + 1);
    let encoding = if number.is_multiple_of(2) {
        Encoding::Json
    } else {
        Encoding::Binary
    };
    let request = fixture.rows_request(first..first + count, encoding);
    let answer = world
        .tenant
        .exchange(&request.path, &request.headers, &request.body)?;
    ensure!(
        answer.status == 200,
        "{}: {}",
        answer.status,
        String::from_utf8_lossy(&answer.body)
    );
    revisions::of_answer(fixture, first..first + count, &answer)?;
    Ok(Some(answer.status))
}

/// The component with another version, of a thousand; and so another digest.
fn versioned(component: &[u8], number: u64) -> Result<Vec<u8>> {
    let version = format!("{}.{}.{}", number / 100 % 10, number / 10 % 10, number % 10);
    let mut bytes = component.to_vec();
    let mut found = false;
    let mut from = 0;
    while let Some(rest) = bytes.get_mut(from..) {
        let at = rest
            .windows(UPLOADED_VERSION.len())
            .position(|window| window == UPLOADED_VERSION);
        let Some(place) = at.and_then(|at| {
            from += at + UPLOADED_VERSION.len();
            rest.get_mut(at..at + UPLOADED_VERSION.len())
        }) else {
            break;
        };
        place.copy_from_slice(version.as_bytes());
        found = true;
    }
    ensure!(found, "the component doesn't say its version");
    Ok(site::variant(&bytes, number))
}

/// What no server may take; each has the answer that it should get.
fn send_nonsense(world: &World, number: u64) -> Result<Option<u16>> {
    let infer = format!("/v2/models/{WITH_STAGES}/infer");
    let tensor = |shape: Value, data: Value| {
        json!({"inputs": [{"name": "input", "datatype": "FP32", "shape": shape, "data": data}]}).to_string()
    };
    let json = "application/json";
    let (tenant, wasm) = (&world.tenant, "application/wasm");
    let (api, path, kind, body, status): (&Api, &str, &str, String, u16) = match number % 8 {
        0 => (tenant, &infer, json, String::from("{\"inputs\": [{"), 400),
        1 => (
            tenant,
            &infer,
            json,
            tensor(json!([1, 30]), json!([1.0, 2.0])),
            400,
        ),
        2 => (
            tenant,
            &infer,
            json,
            tensor(json!([1, 2]), json!([1.0, 2.0])),
            400,
        ),
        3 => (tenant, &infer, json, tensor(json!([-1, 30]), json!("x")), 400),
        4 => (
            tenant,
            "/v2/models/nobody/infer",
            json,
            tensor(json!([1]), json!([1.0])),
            404,
        ),
        5 => (&world.stranger, &infer, json, String::from("{}"), 401),
        6 => (
            tenant,
            "/v1/plugins",
            wasm,
            String::from("\0asm, but not really"),
            400,
        ),
        _ => (
            tenant,
            "/v1/deployments",
            json,
            json!({"name": "No Name!", "input": []}).to_string(),
            400,
        ),
    };
    expect(api.post(path, kind, body.as_bytes())?, &[status])
        .with_context(|| format!("bad request of kind {}", number % 8))
}

/// A request that its client gives up: within its head, within its body, or before its answer.
fn hang_up(world: &World, number: u64) -> Result<Option<u16>> {
    let rows = world.fixture.len();
    let mut request = world.fixture.rows_request(0..rows, Encoding::Json);
    if let Some(key) = world.tenant.key() {
        request.headers.push(("Authorization", format!("Bearer {key}")));
    }
    let bytes = raw::post(&request.path, &request.headers, &request.body);
    let head = bytes.len() - request.body.len();
    let sent = match number % 4 {
        0 => head / 2,
        1 => head + request.body.len() / 2,
        _ => bytes.len(),
    };
    let mut connection = Connection::open(world.tenant.url())?;
    connection.send(bytes.get(..sent).unwrap_or_default())?;
    if number % 4 == 3 {
        // It is at work by now.
        std::thread::sleep(Duration::from_micros(500));
    }
    drop(connection);
    if number.is_multiple_of(50) {
        // And the server still answers those who wait.
        let mut connection = Connection::open(world.tenant.url())?;
        connection.send(&bytes)?;
        let reply = connection.receive()?;
        if reply.status != 200 {
            bail!(
                "{} after cancelled requests: {}",
                reply.status,
                String::from_utf8_lossy(&reply.body)
            );
        }
        return Ok(Some(reply.status));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_take_the_place_of_the_one() {
        let component = b"name\x001.2.3\x00and 1.2.3 again";
        let uploaded = versioned(component, 427).unwrap();
        assert!(
            uploaded.starts_with(b"name\x004.2.7\x00and 4.2.7 again"),
            "{uploaded:?}"
        );
        assert_eq!(uploaded, versioned(component, 427).unwrap());
        assert_ne!(uploaded, versioned(component, 428).unwrap());
        assert!(versioned(b"no version", 1).is_err());
    }

    #[test]
    fn clients_by_name() {
        assert_eq!(Client::choose(None).unwrap(), Client::ALL);
        assert_eq!(
            Client::choose(Some("upload, swap")).unwrap(),
            [Client::Uploads, Client::Swaps]
        );
        let error = Client::choose(Some("swap,sleep")).unwrap_err().to_string();
        assert!(error.contains("sleep") && error.contains("hang-up"), "{error}");
    }

    #[test]
    fn turns() {
        assert_eq!(pick(&HOSTILE, 0), "loop");
        assert_eq!(pick(&HOSTILE, 3), "grab-memory");
    }
}
