//! Days and times of the proleptic Gregorian calendar, in UTC or at a fixed offset.
//!
//! Days are counted from 1970-01-01. The two conversions are `days_from_civil` and
//! `civil_from_days` of Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"
//! (<https://howardhinnant.github.io/date_algorithms.html>), exact over the whole range here. Years
//! run from 1 to 9999, the years that RFC 3339 and Python's `datetime` can both write.

use caisson_data::DataType;

use crate::Need;

/// The columns that hold days or times: text that [`Timestamp::parse`] reads, or integers.
pub const NEEDED: Need = Need::new("a scalar of text, int32 or int64", |field| {
    field.is_scalar()
        && matches!(
            field.data_type,
            DataType::Text | DataType::Int32 | DataType::Int64
        )
});

/// Seconds in a day.
pub const DAY_SECONDS: i64 = 86_400;
/// 0001-01-01.
pub const DAY_MIN: i64 = -719_162;
/// 9999-12-31.
pub const DAY_MAX: i64 = 2_932_896;
/// RFC 3339 writes offsets up to 23:59.
const OFFSET_SECONDS_MAX: i32 = 86_340;

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// 1 to 9999.
    pub year: i32,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
}

impl Date {
    /// The date of a day, counted from 1970-01-01; `None` outside years 1 to 9999.
    pub fn from_days(days: i64) -> Option<Self> {
        if !(DAY_MIN..=DAY_MAX).contains(&days) {
            return None;
        }
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // Months counted from March, so that the leap day is the last of the year.
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Some(Self {
            year: i32::try_from(year).ok()?,
            month: u32::try_from(month).ok()?,
            day: u32::try_from(day).ok()?,
        })
    }

    /// Days since 1970-01-01.
    pub fn days(self) -> i64 {
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let shifted = i64::from((self.month + 9) % 12);
        let day_of_year = (153 * shifted + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    /// A date that exists, or `None`.
    pub fn new(year: i32, month: u32, day: u32) -> Option<Self> {
        let exists = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day);
        exists.then_some(Self { year, month, day })
    }

    /// `2024-02-29`, nothing before or after.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') {
            return None;
        }
        let year = i32::try_from(digits(bytes.get(..4)?)?).ok()?;
        Self::new(year, digits(bytes.get(5..7)?)?, digits(bytes.get(8..)?)?)
    }

    /// From Monday, 0, to Sunday, 6, as in ISO 8601 less one and as in pandas.
    pub fn weekday(self) -> u32 {
        // 1970-01-01 was a Thursday. The remainder is 0 to 6.
        (self.days() + 3).rem_euclid(7) as u32
    }

    /// 1 for 1 January.
    pub fn day_of_year(self) -> u32 {
        let first = Self {
            month: 1,
            day: 1,
            ..self
        };
        // At most 366.
        (self.days() - first.days() + 1) as u32
    }

    /// Week of ISO 8601, 1 to 53: weeks start on Monday, and week 1 holds the year's first Thursday.
    pub fn iso_week(self) -> u32 {
        let days = self.days();
        let thursday = days - i64::from(self.weekday()) + 3;
        // Never out of range: 0001-01-01 is a Monday and 9999-12-31 a Friday.
        Self::from_days(thursday).map_or(1, |t| (t.day_of_year() - 1) / 7 + 1)
    }

    /// 28 to 31.
    pub fn days_in_month(self) -> u32 {
        days_in_month(self.year, self.month)
    }

    /// 365 or 366.
    pub fn days_in_year(self) -> u32 {
        if is_leap(self.year) { 366 } else { 365 }
    }
}

/// Is there a 29 February?
pub fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A date, with a time of day and an offset from UTC where the text says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00 on the text's own clock. Fractions are cut.
    pub local_seconds: i64,
    /// Seconds east of UTC; `None` where the text has no offset.
    pub offset_seconds: Option<i32>,
}

impl Timestamp {
    /// Read an ISO 8601 date (`2024-02-29`) or an RFC 3339 time (`2024-02-29T23:59:59.5+02:00`).
    /// A space may stand for the `T`; seconds, fraction and offset may be absent; a leap second 60
    /// counts as 59.
    pub fn parse(text: &str) -> Option<Self> {
        let days = Date::parse(text.get(..10)?)?.days();
        let rest = text.get(10..)?;
        if rest.is_empty() {
            return Some(Self {
                local_seconds: days * DAY_SECONDS,
                offset_seconds: None,
            });
        }
        let time = rest.strip_prefix(['T', 't', ' '])?;
        let (hour_minute, rest) = time.split_at_checked(5)?;
        let minutes = parse_hour_minute(hour_minute)?;
        let (seconds, rest) = match rest.strip_prefix(':') {
            None => (0, rest),
            Some(rest) => {
                let (seconds, rest) = rest.split_at_checked(2)?;
                let seconds = digits(seconds.as_bytes()).filter(|&s| s <= 60)?.min(59);
                let rest = match rest.strip_prefix('.') {
                    None => rest,
                    Some(fraction) => {
                        let end = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
                        (end.len() < fraction.len()).then_some(end)?
                    }
                };
                (seconds, rest)
            }
        };
        Some(Self {
            local_seconds: days * DAY_SECONDS + i64::from(minutes) * 60 + i64::from(seconds),
            offset_seconds: match rest {
                "" => None,
                offset => Some(parse_offset(offset)?),
            },
        })
    }

    /// The day on which it is on a clock `offset_seconds` east of UTC, counted from 1970-01-01.
    pub fn day_at(self, offset_seconds: i32) -> i64 {
        self.seconds_at(offset_seconds).div_euclid(DAY_SECONDS)
    }

    /// Seconds since 1970-01-01T00:00:00 on a clock `offset_seconds` east of UTC. Text without an
    /// offset is on that clock already.
    pub fn seconds_at(self, offset_seconds: i32) -> i64 {
        match self.offset_seconds {
            None => self.local_seconds,
            Some(own) => self.local_seconds - i64::from(own) + i64::from(offset_seconds),
        }
    }
}

/// `Z`, `+02:00` or `-05:30`, in seconds east of UTC.
pub fn parse_offset(text: &str) -> Option<i32> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = match text.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, text.strip_prefix('-')?),
    };
    let seconds = i32::try_from(parse_hour_minute(rest)?).ok()? * 60;
    (seconds <= OFFSET_SECONDS_MAX).then_some(sign * seconds)
}

/// `23:59`, in minutes.
fn parse_hour_minute(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 {
        return None;
    }
    let hour = digits(hour.as_bytes()).filter(|&h| h < 24)?;
    Some(hour * 60 + digits(minute.as_bytes()).filter(|&m| m < 60)?)
}

/// A few ASCII digits and nothing else.
fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0u32, |n, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_ten_thousand_years_comes_back() {
        let mut previous = None;
        for days in DAY_MIN..=DAY_MAX {
            let date = Date::from_days(days).expect("in range");
            assert_eq!(date.days(), days);
            assert_eq!(Date::new(date.year, date.month, date.day), Some(date));
            assert!(previous < Some(date));
            previous = Some(date);
        }
        assert_eq!(Date::from_days(DAY_MIN - 1), None);
        assert_eq!(Date::from_days(DAY_MAX + 1), None);
        assert_eq!(Date::from_days(i64::MIN), None);
        assert_eq!(Date::parse("0001-01-01").map(Date::days), Some(DAY_MIN));
        assert_eq!(Date::parse("9999-12-31").map(Date::days), Some(DAY_MAX));
        assert_eq!(Date::parse("9999-12-31").map(Date::iso_week), Some(52));
    }

    #[test]
    fn times_are_read_with_and_without_offset() {
        let seconds = |text: &str| Timestamp::parse(text).map(|t| t.seconds_at(0));
        assert_eq!(seconds("1970-01-01"), Some(0));
        assert_eq!(seconds("1970-01-02T00:00:01Z"), Some(86_401));
        assert_eq!(seconds("1970-01-02 00:00"), Some(86_400));
        assert_eq!(seconds("1970-01-01T02:00:00.999+02:00"), Some(0));
        assert_eq!(seconds("1969-12-31T19:00:00-05:00"), Some(0));
        assert_eq!(seconds("2016-12-31T23:59:60Z"), seconds("2016-12-31T23:59:59Z"));
        let east = Timestamp::parse("2024-02-29T12:00:00+09:00").expect("a time");
        assert_eq!(east.seconds_at(9 * 3600), east.local_seconds);
        let early = Timestamp::parse("1970-01-01T00:30:00+01:00").expect("a time");
        assert_eq!((early.day_at(0), early.day_at(3600)), (-1, 0));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "x",
            "2024-02-30",
            "2023-02-29",
            "2024-13-01",
            "2024-00-10",
            "0000-01-01",
            "24-01-01",
            "2024-1-01",
            "2024-01-01T",
            "2024-01-01T24:00:00",
            "2024-01-01T12:60:00",
            "2024-01-01T12:00:61",
            "2024-01-01T12:00:00.",
            "2024-01-01T12:00:00.Z",
            "2024-01-01T12:00:00+2:00",
            "2024-01-01T12:00:00+24:00",
            "2024-01-01T12:00:00Zx",
            "2024-01-01Z",
            "2024-01-01T12",
            "+024-01-01",
            "2024-01-01T12:00:+1",
            "２０２４-01-01",
            "2024-01-0é",
            "2024-01-01T12:0é",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text:?}");
        }
    }
}
