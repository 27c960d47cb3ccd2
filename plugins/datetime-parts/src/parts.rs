//! The parts of a moment.

use std::collections::BTreeSet;
use std::f64::consts::TAU;

use caisson_plugin::dates::{DAY_SECONDS, Date, is_leap};
use caisson_plugin::prelude::*;

/// A time on the config's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    date: Date,
    second_of_day: u32,
    is_holiday: bool,
    southern: bool,
}

impl Moment {
    /// `None` outside the years 1 to 9999.
    pub(crate) fn new(seconds: i64, holidays: &BTreeSet<i64>, southern: bool) -> Option<Self> {
        let days = seconds.div_euclid(DAY_SECONDS);
        Some(Self {
            date: Date::from_days(days)?,
            // 0 to 86,399.
            second_of_day: seconds.rem_euclid(DAY_SECONDS) as u32,
            is_holiday: holidays.contains(&days),
            southern,
        })
    }
}

/// See the table at the head of the crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    DayOfYear,
    DayOfWeek,
    DaysInMonth,
    Hour,
    Minute,
    Second,
    Season,
    IsWeekend,
    IsHoliday,
    IsMonthStart,
    IsMonthEnd,
    IsLeapYear,
}

impl Part {
    /// As in the config and in the outputs' names.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Year => "year",
            Self::Quarter => "quarter",
            Self::Month => "month",
            Self::Week => "week",
            Self::Day => "day",
            Self::DayOfYear => "day_of_year",
            Self::DayOfWeek => "day_of_week",
            Self::DaysInMonth => "days_in_month",
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::Second => "second",
            Self::Season => "season",
            Self::IsWeekend => "is_weekend",
            Self::IsHoliday => "is_holiday",
            Self::IsMonthStart => "is_month_start",
            Self::IsMonthEnd => "is_month_end",
            Self::IsLeapYear => "is_leap_year",
        }
    }

    /// Type of the output, unless the config says another.
    pub(crate) const fn data_type(self) -> DataType {
        match self {
            Self::IsWeekend | Self::IsHoliday | Self::IsMonthStart | Self::IsMonthEnd | Self::IsLeapYear => {
                DataType::Boolean
            }
            _ => DataType::Int32,
        }
    }

    /// The part's number; 0 or 1 for a flag.
    pub(crate) fn of(self, moment: &Moment) -> i32 {
        let date = moment.date;
        let number = match self {
            Self::Year => return date.year,
            Self::Quarter => date.month.div_ceil(3),
            Self::Month => date.month,
            Self::Week => date.iso_week(),
            Self::Day => date.day,
            Self::DayOfYear => date.day_of_year(),
            Self::DayOfWeek => date.weekday(),
            Self::DaysInMonth => date.days_in_month(),
            Self::Hour => moment.second_of_day / 3600,
            Self::Minute => moment.second_of_day / 60 % 60,
            Self::Second => moment.second_of_day % 60,
            Self::Season => (date.month / 3 + if moment.southern { 2 } else { 0 }) % 4,
            Self::IsWeekend => u32::from(date.weekday() >= 5),
            Self::IsHoliday => u32::from(moment.is_holiday),
            Self::IsMonthStart => u32::from(date.day == 1),
            Self::IsMonthEnd => u32::from(date.day == date.days_in_month()),
            Self::IsLeapYear => u32::from(is_leap(date.year)),
        };
        // None is above 366.
        number as i32
    }
}

/// A part that comes round again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cycle {
    Month,
    Day,
    DayOfYear,
    DayOfWeek,
    Hour,
    Minute,
    Second,
}

impl Cycle {
    const fn part(self) -> Part {
        match self {
            Self::Month => Part::Month,
            Self::Day => Part::Day,
            Self::DayOfYear => Part::DayOfYear,
            Self::DayOfWeek => Part::DayOfWeek,
            Self::Hour => Part::Hour,
            Self::Minute => Part::Minute,
            Self::Second => Part::Second,
        }
    }

    /// As in the config and in the outputs' names.
    pub(crate) const fn name(self) -> &'static str {
        self.part().name()
    }

    /// 0 to 2π.
    pub(crate) fn angle(self, moment: &Moment) -> f64 {
        let (first, period) = match self {
            Self::Month => (1, 12),
            Self::Day => (1, moment.date.days_in_month()),
            Self::DayOfYear => (1, moment.date.days_in_year()),
            Self::DayOfWeek => (0, 7),
            Self::Hour => (0, 24),
            Self::Minute | Self::Second => (0, 60),
        };
        TAU * f64::from(self.part().of(moment) - first) / f64::from(period)
    }
}
