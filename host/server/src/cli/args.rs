//! What is typed in more than one command: pairs, sizes, points in time.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::{Number, Value};

/// `KEY=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

/// `NAME=NUMBER`, such as `auc=0.81`.
pub(crate) fn metric(text: &str) -> Result<(String, f64), String> {
    let (name, value) = pair(text)?;
    let value: f64 = value.parse().map_err(|_| format!("`{value}` is no number"))?;
    if !value.is_finite() {
        return Err(format!("a metric is a finite number, and this is {value}"));
    }
    Ok((name, value))
}

/// `NAME=AMOUNT`: a number, or a size such as `10GiB`.
pub(crate) fn amount(text: &str) -> Result<(String, Value), String> {
    const UNITS: [(&str, u32); 4] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let (name, text) = pair(text)?;
    let wrong = || format!("`{text}` is no amount; write a number, or a size such as 512MiB");
    for (unit, bits) in UNITS {
        if let Some(count) = text.strip_suffix(unit) {
            let count: u64 = count.trim_end().parse().map_err(|_| wrong())?;
            let bytes = count.checked_mul(1 << bits).ok_or_else(wrong)?;
            return Ok((name, bytes.into()));
        }
    }
    let number: Option<Number> = match text.parse::<u64>() {
        Ok(whole) => Some(whole.into()),
        Err(_) => text.parse().ok().and_then(Number::from_f64),
    };
    number.map(|number| (name, number.into())).ok_or_else(wrong)
}

/// A point in time: RFC 3339, or a duration (`30d`, `1h30m`) before or after now.
#[derive(Debug, Clone, Copy)]
pub(crate) enum When {
    /// That one.
    At(Timestamp),
    /// This far away.
    Away(Span),
}

impl When {
    /// What a flag says.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse() {
            return Ok(Self::At(time));
        }
        match text.parse::<Span>() {
            Ok(span) if span.is_positive() => Ok(Self::Away(span)),
            _ => Err("write a time (2026-12-31T18:00:00Z) or a duration (30d, 12h, 1h30m)".to_owned()),
        }
    }

    /// With a duration counted from now on, as RFC 3339.
    pub(crate) fn to_come(self) -> Result<String, jiff::Error> {
        self.resolve(|span| span)
    }

    /// With a duration counted back from now, as RFC 3339.
    pub(crate) fn gone_by(self) -> Result<String, jiff::Error> {
        self.resolve(|span| -span)
    }

    fn resolve(self, direction: impl Fn(Span) -> Span) -> Result<String, jiff::Error> {
        match self {
            Self::At(time) => Ok(time.to_string()),
            Self::Away(span) => {
                // Days and months have a length in a time zone only.
                let now = Timestamp::now().to_zoned_datetime(TimeZone::UTC);
                let time = now.checked_add(direction(span))?;
                // Nobody who writes a duration means it to the nanosecond.
                Ok(time.timestamp().strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_and_numbers() {
        assert_eq!(pair("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert_eq!(pair("a=").unwrap(), ("a".to_owned(), String::new()));
        assert!(pair("a").is_err() && pair("=b").is_err());
        assert_eq!(metric("auc=0.81").unwrap(), ("auc".to_owned(), 0.81));
        for bad in ["auc=x", "auc=NaN", "auc=inf", "auc"] {
            assert!(metric(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn amounts_are_numbers_and_sizes() {
        let of = |text: &str| amount(&format!("x={text}")).map(|(_, value)| value.to_string());
        assert_eq!(of("10"), Ok("10".to_owned()));
        assert_eq!(of("0.5"), Ok("0.5".to_owned()));
        assert_eq!(of("2GiB"), Ok((2u64 << 30).to_string()));
        assert_eq!(of("9007199254740993"), Ok("9007199254740993".to_owned()));
        for bad in ["", "x", "NaN", "1.5GiB", "-1MiB", "99999999999TiB"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_absolute_or_relative() {
        let at = When::parse("2026-01-02T03:04:05Z").unwrap();
        assert_eq!(at.to_come().unwrap(), "2026-01-02T03:04:05Z");
        let hours = |text: &str| {
            let time: Timestamp = text.parse().unwrap();
            let seconds = time.as_second() - Timestamp::now().as_second();
            (seconds as f64 / 3600.0).round()
        };
        let span = When::parse("30d").unwrap();
        assert_eq!(span.to_come().unwrap().len(), "2026-01-02T03:04:05Z".len());
        assert_eq!(hours(&span.to_come().unwrap()), 720.0);
        assert_eq!(hours(&span.gone_by().unwrap()), -720.0);
        for bad in ["", "tomorrow", "-30d", "30d ago", "2026-01-02", "0s"] {
            assert!(When::parse(bad).is_err(), "{bad}");
        }
    }
}
