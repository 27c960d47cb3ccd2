//! Printing for people and for machines.

use serde_json::Value;

/// Print the server's answer as JSON, one document on standard output.
pub(crate) fn json(value: &Value) {
    println!("{value:#}");
}

/// Print rows of cells in aligned columns under a header. Numbers stay left: these are names and
/// short facts, not sums.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) {
    print!("{}", render(header, rows));
}

fn render(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter()
            .filter_map(|r| r.get(column))
            .map(|c| c.chars().count())
            .chain(header.get(column).map(|h| h.chars().count()))
            .max()
            .unwrap_or(0)
    };
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (i, cell) in cells.enumerate() {
            let pad = width(i).saturating_sub(cell.chars().count());
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', pad + 2));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(&mut header.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    out
}

/// A field of a JSON object as a cell: strings bare, absent and null as `-`.
pub(crate) fn cell(object: &Value, key: &str) -> String {
    match object.get(key) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A number with four significant digits, or `-`.
pub(crate) fn number(object: &Value, key: &str) -> String {
    match object.get(key).and_then(Value::as_f64) {
        None => "-".to_owned(),
        Some(x) if x != 0.0 && !(1e-3..1e6).contains(&x.abs()) => format!("{x:.2e}"),
        Some(x) => format!("{x:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let text = render(
            &["NAME", "V"],
            &[vec!["ü".into(), "1".into()], vec!["longer".into(), "22".into()]],
        );
        assert_eq!(text, "NAME    V\nü       1\nlonger  22\n");
    }
}
