//! Numbers as people read them.

/// `0.42 ms`, `8.2 ms`, `1.3 s`.
pub(crate) fn ms(value: f64) -> String {
    if value >= 1000.0 {
        format!("{:.1} s", value / 1000.0)
    } else if value >= 100.0 {
        format!("{value:.0} ms")
    } else if value >= 1.0 {
        format!("{value:.1} ms")
    } else {
        format!("{value:.2} ms")
    }
}

/// `0.4 %`, `37 %`.
pub(crate) fn percent(share: f64) -> String {
    let value = share * 100.0;
    if value >= 10.0 || value == 0.0 {
        format!("{value:.0} %")
    } else {
        format!("{value:.1} %")
    }
}

/// Three digits that count.
pub(crate) fn short(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-3..1e6).contains(&magnitude) {
        format!("{value:.2e}")
    } else if magnitude >= 100.0 {
        format!("{value:.0}")
    } else if magnitude >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

/// `12 minutes`, `3 hours`, `95 days`.
pub(crate) fn duration(seconds: f64) -> String {
    let of = |count: f64, unit: &str| {
        let count = count.round().max(1.0);
        format!("{count} {unit}{}", if count == 1.0 { "" } else { "s" })
    };
    match seconds {
        s if s < 90.0 => of(s, "second"),
        s if s < 5400.0 => of(s / 60.0, "minute"),
        s if s < 172_800.0 => of(s / 3600.0, "hour"),
        s => of(s / 86_400.0, "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(
            [ms(0.417), ms(8.25), ms(250.4), ms(1300.0)],
            ["0.42 ms", "8.2 ms", "250 ms", "1.3 s"]
        );
        assert_eq!(
            [percent(0.0), percent(0.004), percent(0.37)],
            ["0 %", "0.4 %", "37 %"]
        );
        assert_eq!(
            [short(0.0), short(0.1234), short(12.345), short(1e-9)],
            ["0.000", "0.123", "12.35", "1.00e-9"]
        );
        assert_eq!(
            [duration(1.0), duration(720.0), duration(8.2e6)],
            ["1 second", "12 minutes", "95 days"]
        );
    }
}
