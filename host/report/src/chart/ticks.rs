//! Round numbers for axes, and numbers as axes show them.

use jiff::Timestamp;

/// About `count` round numbers in a range: 1, 2 or 5 times a power of ten apart.
pub(super) fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 || count == 0 {
        return vec![low];
    }
    let rough = span / count as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        // A tick or two more are better than one.
        .find(|step| *step >= rough * 0.75)
        .unwrap_or(power * 10.0);
    let first = (low / step - 1e-9).ceil();
    (0..=count * 2)
        .map(|i| (first + i as f64) * step)
        .take_while(|tick| *tick <= high + step * 1e-9)
        // −0 is 0.
        .map(|tick| if tick == 0.0 { 0.0 } else { tick })
        .collect()
}

/// Up to four digits that count, without an exponent where that is readable.
pub(crate) fn short(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e7).contains(&magnitude) {
        return format!("{value:.2e}");
    }
    let digits = if magnitude >= 1000.0 {
        0
    } else if magnitude >= 100.0 {
        1
    } else if magnitude >= 1.0 {
        2
    } else {
        4
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// `37 %`, `0.4 %`.
pub(crate) fn percent(share: f64) -> String {
    let value = share * 100.0;
    if value >= 10.0 || value == 0.0 {
        format!("{value:.0} %")
    } else {
        format!("{value:.1} %")
    }
}

/// A moment on an axis of so many seconds: the time of day, or the day.
pub(super) fn moment(at: Timestamp, span_seconds: f64) -> String {
    let form = if span_seconds > 3.0 * 86_400.0 {
        "%d %b"
    } else if span_seconds > 600.0 {
        "%H:%M"
    } else {
        "%H:%M:%S"
    };
    at.strftime(form).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(0.0, 2.0, 4), [0.0, 0.5, 1.0, 1.5, 2.0]);
        assert_eq!(ticks(0.13, 0.94, 4), [0.2, 0.4, 0.6000000000000001, 0.8]);
        assert_eq!(ticks(-30.0, 70.0, 5), [-20.0, 0.0, 20.0, 40.0, 60.0]);
        assert_eq!(ticks(3.0, 3.0, 4), [3.0]);
        assert_eq!(ticks(f64::NEG_INFINITY, 1.0, 4).len(), 1);
    }

    #[test]
    fn numbers_are_short() {
        let all = [0.0, 0.05, 0.6000000000000001, 12.5, 1234.56, 1e9, -3.0];
        let shown: Vec<String> = all.into_iter().map(short).collect();
        assert_eq!(shown, ["0", "0.05", "0.6", "12.5", "1235", "1.00e9", "-3"]);
    }
}
