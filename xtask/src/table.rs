//! The example's CSV files, and tables on the terminal.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Number, Value};

/// A CSV file of numbers: no quotes, an empty field for a missing value.
pub(crate) struct Csv {
    pub(crate) columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Csv {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let split = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
        let mut lines = text.lines();
        let columns = split(lines.next().context("the file is empty")?);
        let rows: Vec<_> = lines.map(split).collect();
        ensure!(
            rows.iter().all(|row| row.len() == columns.len()),
            "a row has another number of fields than the header"
        );
        Ok(Self { columns, rows })
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// One column's numbers.
    pub(crate) fn numbers(&self, column: &str) -> Result<Vec<f64>> {
        let at = self
            .columns
            .iter()
            .position(|name| name == column)
            .with_context(|| format!("no column {column}"))?;
        let fields = self.rows.iter().filter_map(|row| row.get(at));
        fields
            .map(|field| field.parse().with_context(|| format!("{column}: `{field}`")))
            .collect()
    }

    /// The rows as the API takes them: `[{"column": 1.5, "missing": null}, …]`.
    pub(crate) fn json_rows(&self) -> Result<Vec<Value>> {
        self.rows.iter().map(|row| self.json_row(row)).collect()
    }

    fn json_row(&self, row: &[String]) -> Result<Value> {
        let mut object = Map::new();
        for (name, field) in self.columns.iter().zip(row) {
            let value = match field.as_str() {
                "" => Value::Null,
                // The digits go over as they stand in the file.
                digits => Value::Number(
                    digits
                        .parse::<Number>()
                        .with_context(|| format!("{name}: `{digits}`"))?,
                ),
            };
            object.insert(name.clone(), value);
        }
        Ok(Value::Object(object))
    }
}

/// Rows of text in aligned columns: the first to the left, the others to the right.
pub(crate) fn print(header: &[&str], rows: &[Vec<String>]) {
    let mut widths: Vec<usize> = header.iter().map(|text| text.chars().count()).collect();
    for row in rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (column, (cell, width)) in cells.zip(&widths).enumerate() {
            let width = *width;
            text += &if column == 0 {
                format!("{cell:<width$}")
            } else {
                format!("  {cell:>width$}")
            };
        }
        println!("   {}", text.trim_end());
    };
    line(&mut header.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_for_the_api() {
        let csv = Csv::parse("id,gap\n7,\n8,1.25\n").unwrap();
        assert_eq!(
            Value::Array(csv.json_rows().unwrap()),
            serde_json::json!([{"gap": null, "id": 7}, {"gap": 1.25, "id": 8}])
        );
        assert_eq!(csv.numbers("id").unwrap(), [7.0, 8.0]);
        assert!(csv.numbers("gap").is_err(), "a missing value is no number");
        assert!(csv.numbers("age").is_err());
    }

    #[test]
    fn files_that_are_no_tables() {
        assert!(Csv::parse("").is_err());
        assert!(Csv::parse("a,b\n1\n").is_err());
        assert!(Csv::parse("a\nx\n").unwrap().json_rows().is_err());
    }
}
