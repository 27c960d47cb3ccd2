//! Printing for people and for machines.

use std::fmt;
use std::io::{self, Write as _};

use serde_json::Value;

/// What a shell says of a program that a closed pipe ended: 128 and the signal's number.
const PIPE_CLOSED: i32 = 141;

/// Write to standard output. Nobody reads any more (`caisson metrics | head`): the program ends, as other
/// programs do. Anything else that goes wrong is told, since whoever reads would take a part for the whole.
pub(crate) fn write(what: fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_fmt(what).and_then(|()| out.flush()) {
        end_if_closed(&error);
        eprintln!("error: writing to standard output: {error}");
        std::process::exit(1);
    }
}

/// End the program if this is the error of writing to who has stopped reading.
pub(crate) fn end_if_closed(error: &io::Error) {
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(PIPE_CLOSED);
    }
}

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
        .map(|row| {
            let cell = |field| match is_time(field) {
                true => time(row, field),
                false => cell(row, field),
            };
            columns.iter().map(|(_, field)| cell(field)).collect()
        })
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
        Some(Value::Array(list)) if !list.is_empty() && list.iter().all(Value::is_string) => {
            let texts: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            one_line(&texts.join(", "))
        }
        Some(other) => one_line(&other.to_string()),
    }
}

/// Does a field of the API hold a moment?
fn is_time(field: &str) -> bool {
    field.ends_with("_at") || ["at", "until", "since"].contains(&field)
}

/// A moment, to the second: what people read, and `--from` takes.
pub(crate) fn time(object: &Value, key: &str) -> String {
    let moment = object.get(key).and_then(Value::as_str);
    match moment.and_then(|text| text.parse::<jiff::Timestamp>().ok()) {
        Some(moment) => moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        None => cell(object, key),
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
        assert_eq!(cell(&object, "b"), "\\u{9b}2J");
    }

    #[test]
    fn moments_are_told_to_the_second() {
        let object = serde_json::json!({"at": "2026-01-02T03:04:05.999999Z", "until": "soon", "x": ["a", "b"], "y": []});
        assert_eq!(time(&object, "at"), "2026-01-02T03:04:05Z");
        assert_eq!(time(&object, "until"), "soon");
        assert_eq!(time(&object, "expires_at"), "-");
        assert_eq!(cell(&object, "x"), "a, b");
        assert_eq!(cell(&object, "y"), "[]");
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
