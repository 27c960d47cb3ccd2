//! Numbers and names as the sentences of a report show them.

/// Characters of a category's name in a sentence: enough to recognise it, and a report of hundreds
/// of features stays readable.
const NAME_CHARS_MAX: usize = 40;

/// At most four significant digits: `49.5`, `0.001234`, `1.23e9`.
pub fn short(x: f64) -> String {
    let magnitude = x.abs();
    if x == 0.0 || !x.is_finite() {
        return if x == 0.0 { "0".to_owned() } else { x.to_string() };
    }
    if !(1e-4..1e6).contains(&magnitude) {
        let text = format!("{x:.3e}");
        return match text.split_once('e') {
            Some((digits, exponent)) => format!("{}e{exponent}", trim(digits)),
            None => text,
        };
    }
    let decimals = (3 - magnitude.log10().floor() as i32).clamp(0, 8) as usize;
    trim(&format!("{x:.decimals$}")).to_owned()
}

/// `49.50` to `49.5`, `3.0` to `3`; whole numbers as they are.
fn trim(number: &str) -> &str {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
}

/// A share as a percentage with at most one decimal: `12.5 %`; a share that isn't 0 never shows
/// as 0.
pub fn percent(share: f64) -> String {
    let percentage = share * 100.0;
    if percentage > 0.0 && percentage < 0.05 {
        "< 0.1 %".to_owned()
    } else {
        format!("{} %", trim(&format!("{percentage:.1}")))
    }
}

/// A p-value: `0.031`, `2.1e-9`.
pub fn p_value(p: f64) -> String {
    if p < 1e-300 {
        "below 1e-300".to_owned()
    } else if p < 1e-4 {
        format!("{p:.1e}")
    } else {
        short((p * 1e4).round() / 1e4)
    }
}

/// A category's name in backquotes, cut and without control characters.
pub fn quoted(name: &str) -> String {
    let mut shown: String = name
        .chars()
        .take(NAME_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if name.chars().nth(NAME_CHARS_MAX).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (49.5, "49.5"),
            (-3.0, "-3"),
            (1234.6, "1235"),
            (123_456.7, "123457"),
            (0.001_234_56, "0.001235"),
            (1.5e9, "1.5e9"),
            (-2.5e-9, "-2.5e-9"),
            (1e300, "1e300"),
            (100.0, "100"),
            (f64::INFINITY, "inf"),
            (999_999.9, "1000000"),
        ];
        for (x, expected) in cases {
            assert_eq!(short(x), expected);
        }
        assert_eq!(percent(0.125), "12.5 %");
        assert_eq!(percent(0.3), "30 %");
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(1e-5), "< 0.1 %");
        assert_eq!(p_value(0.0312), "0.0312");
        assert_eq!(p_value(2.13e-9), "2.1e-9");
        assert_eq!(p_value(0.0), "below 1e-300");
    }

    #[test]
    fn names_are_cut_and_harmless() {
        assert_eq!(quoted("gold"), "`gold`");
        assert_eq!(quoted("a\nb"), "`a b`");
        assert_eq!(quoted(&"ä".repeat(41)), format!("`{}…`", "ä".repeat(40)));
    }
}
