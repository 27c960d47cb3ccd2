//! Printing for people and for machines.

use serde_json::Value;

/// Print the server's answer as JSON, one document on standard output.
pub(crate) fn json(value: &Value) {
    println!("{value:#}");
}

/// The elements of a list in an answer; none where there is no such list.
pub(crate) fn list<'a>(answer: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    answer.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// Print the list `key` of an answer as a table, a row for each object, a column for each field.
pub(crate) fn table_of(answer: &Value, key: &str, columns: &[(&str, &str)]) {
    let header: Vec<&str> = columns.iter().map(|(title, _)| *title).collect();
    let rows: Vec<Vec<String>> = list(answer, key)
        .map(|row| columns.iter().map(|(_, field)| cell(row, field)).collect())
        .collect();
    table(&header, &rows);
}

/// Print rows of cells in aligned columns under a header. Numbers stay left: these are names and
/// short facts, not sums.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) {
    print!("{}", render(header, rows));
}

fn render(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (i, cell) in cells.enumerate() {
            let width = widths.get(i).copied().unwrap_or(0);
            let pad = width.saturating_sub(cell.chars().count());
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
        Some(Value::String(text)) => one_line(text),
        Some(other) => one_line(&other.to_string()),
    }
}

/// A field that may have several lines, such as a plugin's help.
pub(crate) fn text(object: &Value, key: &str) -> String {
    let text = object.get(key).and_then(Value::as_str).unwrap_or_default();
    tamed(text, |c| matches!(c, '\n' | '\t'))
}

/// A text as one line. What others wrote can't move the cursor or set the terminal's title.
pub(crate) fn one_line(text: &str) -> String {
    tamed(text, |_| false)
}

fn tamed(text: &str, allowed: fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && !allowed(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
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
    fn what_others_wrote_does_not_drive_the_terminal() {
        let object = serde_json::json!({"a": "x\u{1b}[2J\ny", "b": ["\u{9b}2J"]});
        assert_eq!(cell(&object, "a"), "x\\u{1b}[2J\\ny");
        assert_eq!(text(&object, "a"), "x\\u{1b}[2J\ny");
        assert_eq!(cell(&object, "b"), "[\"\\u{9b}2J\"]");
    }

    #[test]
    fn columns_line_up() {
        let text = render(
            &["NAME", "V"],
            &[vec!["ü".into(), "1".into()], vec!["longer".into(), "22".into()]],
        );
        assert_eq!(text, "NAME    V\nü       1\nlonger  22\n");
    }
}
