//! The forms of rows, by their media types: what a body is, and what an answer is to be.

use axum::http::{HeaderMap, StatusCode, header};

use super::super::error::ApiError;
use super::super::media_type;

/// A form of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// `{"rows": […]}`, as a whole.
    Json,
    /// A header and rows.
    Csv,
    /// A JSON object a line.
    Ndjson,
    /// An Arrow IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
}

/// What an `Accept` header may name, in the order in which answers are preferred.
const FORMS: [Form; 5] = [Form::Json, Form::Ndjson, Form::Csv, Form::Arrow, Form::Parquet];

impl Form {
    /// Its media type.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv",
            Self::Ndjson => "application/x-ndjson",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    fn named(media_type: &str) -> Option<Self> {
        match media_type {
            // Names without the `x-`, which nobody has registered either.
            "application/ndjson" | "application/jsonl" => Some(Self::Ndjson),
            _ => FORMS.into_iter().find(|form| form.media_type() == media_type),
        }
    }

    /// What a body is. Clients that say nothing mean JSON; `curl -d` says a form and means JSON too.
    ///
    /// # Errors
    ///
    /// 415.
    pub(crate) fn of_body(headers: &HeaderMap) -> Result<Self, ApiError> {
        match media_type(headers).as_deref() {
            None | Some("application/x-www-form-urlencoded" | "") => Ok(Self::Json),
            Some(name) => Self::named(name).ok_or_else(|| {
                ApiError::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "media-type",
                    format!("this route takes {}, not `{}`", list(), name.escape_debug()),
                )
            }),
        }
    }

    /// What the answer to a body of this form is to be, by the header `Accept` (RFC 9110): the form with
    /// the highest weight; among equals the one that is the rule for such a body.
    ///
    /// # Errors
    ///
    /// 406.
    pub(crate) fn of_answer(self, headers: &HeaderMap) -> Result<Self, ApiError> {
        let rule = match self {
            // As it always was.
            Self::Json | Self::Csv => Self::Json,
            streamed => streamed,
        };
        let ranges: Vec<Range> = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(Range::parse)
            .collect();
        if ranges.is_empty() {
            return Ok(rule);
        }
        let mut best: Option<(Self, f32)> = None;
        for form in [rule].into_iter().chain(FORMS) {
            let weight = weight(form, &ranges);
            if weight > best.map_or(0.0, |(_, most)| most) {
                best = Some((form, weight));
            }
        }
        best.map(|(form, _)| form).ok_or_else(|| {
            ApiError::new(
                StatusCode::NOT_ACCEPTABLE,
                "not-acceptable",
                format!("answers are {}, and the header Accept takes none of them", list()),
            )
        })
    }
}

fn list() -> String {
    FORMS.map(Form::media_type).join(", ")
}

/// One range of an `Accept` header.
struct Range {
    name: String,
    weight: f32,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
        let weight = parts
            .filter_map(|part| part.split_once('='))
            .find(|(key, _)| key.trim().eq_ignore_ascii_case("q"))
            .map_or(Some(1.0), |(_, value)| value.trim().parse().ok())
            .filter(|weight| (0.0..=1.0).contains(weight))
            // A weight that is none is read as if the range weren't there.
            .unwrap_or(0.0);
        Some(Self { name, weight })
    }

    /// How exactly it means this form; `None` for not at all.
    fn exactness(&self, form: Form) -> Option<u8> {
        let kind = form.media_type().split('/').next().unwrap_or_default();
        if Form::named(&self.name) == Some(form) {
            Some(2)
        } else if self.name.strip_suffix("/*") == Some(kind) {
            Some(1)
        } else {
            (self.name == "*/*").then_some(0)
        }
    }
}

/// The weight of the range that means this form most exactly.
fn weight(form: Form, ranges: &[Range]) -> f32 {
    ranges
        .iter()
        .filter_map(|range| Some((range.exactness(form)?, range.weight)))
        .max_by_key(|(exactness, _)| *exactness)
        .map_or(0.0, |(_, weight)| weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn answer(body: Form, accept: &'static str) -> Option<Form> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        body.of_answer(&headers).ok()
    }

    #[test]
    fn accept_chooses() {
        use Form::{Arrow, Csv, Json, Ndjson, Parquet};
        assert_eq!(Csv.of_answer(&HeaderMap::new()).unwrap(), Json);
        assert_eq!(Arrow.of_answer(&HeaderMap::new()).unwrap(), Arrow);
        for (body, accept, expected) in [
            (Csv, "*/*", Some(Json)),
            (Ndjson, "*/*", Some(Ndjson)),
            (Ndjson, "application/json", Some(Json)),
            (Json, "text/csv", Some(Csv)),
            (Json, "text/*", Some(Csv)),
            (Json, "application/*;q=0.5, text/csv", Some(Csv)),
            (Parquet, "application/*", Some(Parquet)),
            (Json, "application/jsonl", Some(Ndjson)),
            (Json, "APPLICATION/VND.APACHE.ARROW.STREAM", Some(Arrow)),
            (Json, "application/json;q=0, */*", Some(Ndjson)),
            (Json, "text/csv;q=0.2, application/x-ndjson;q=0.3", Some(Ndjson)),
            (Json, "text/html", None),
            (Json, "text/csv;q=2", None),
        ] {
            assert_eq!(answer(body, accept), expected, "{body:?} {accept}");
        }
    }
}
