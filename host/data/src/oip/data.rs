//! The `data` of one tensor.

use crate::codec::{BytesAs, DecodeError, Elements, Reader, Token, code, refuse};
use crate::schema::Field;

/// Reads `data`, and notes which rows are missing.
pub(super) struct DataReader<'b, 's> {
    elements: Elements<'b>,
    field: &'s Field,
    row_elements: usize,
    /// Row being read.
    row: usize,
    /// Elements of it that were read.
    in_row: usize,
    /// Those of them that are null.
    nulls: Vec<usize>,
    missing: Vec<usize>,
}

impl<'b, 's> DataReader<'b, 's> {
    pub(super) fn new(elements: Elements<'b>, field: &'s Field) -> Self {
        Self {
            elements,
            field,
            row_elements: field.row_elements(),
            row: 0,
            in_row: 0,
            nulls: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Read the list, flat or nested, of a tensor of this shape; gives the missing rows.
    pub(super) fn read(mut self, reader: &mut Reader<'_>, shape: &[u32]) -> Result<Vec<usize>, DecodeError> {
        if !reader.opens(b'[')? {
            return refuse(code::WRONG_SHAPE, "`data` must be a list");
        }
        let (rows, inner) = shape
            .split_first()
            .map_or((0, &[][..]), |(&rows, inner)| (rows as usize, inner));
        // With one dimension, flat and nested are the same. With more, nulls before the first other
        // value wait until it shows whether they are rows or elements.
        let mut nested = inner.is_empty().then_some(false);
        let mut waiting = 0;
        let mut first = true;
        while reader.more(b']', &mut first)? {
            if nested.is_none() {
                if reader.null()? {
                    waiting += 1;
                    continue;
                }
                let lists = reader.peek()? == b'[';
                nested = Some(lists);
                self.nulls_so_far(waiting, lists)?;
            }
            let row = self.row;
            if nested == Some(false) {
                self.element(reader)
            } else {
                self.nested_row(reader, inner)
            }
            .map_err(|e| e.in_row(row))?;
        }
        let as_rows = match nested {
            Some(nested) => nested,
            // Nulls alone, or nothing.
            None => waiting > 0 && waiting == rows,
        };
        if nested.is_none() {
            self.nulls_so_far(waiting, as_rows)?;
        }
        let (found, needed, unit) = if as_rows {
            (self.row, rows, "rows")
        } else {
            let found = self.row * self.row_elements + self.in_row;
            (found, rows * self.row_elements, "elements")
        };
        if found != needed {
            return refuse(
                code::WRONG_SHAPE,
                format!("the shape {shape:?} needs {needed} {unit} and `data` has {found}"),
            );
        }
        Ok(self.missing)
    }

    fn nulls_so_far(&mut self, count: usize, as_rows: bool) -> Result<(), DecodeError> {
        for _ in 0..count {
            if as_rows {
                self.missing_row()?
            } else {
                self.null()?
            }
        }
        Ok(())
    }

    fn missing_row(&mut self) -> Result<(), DecodeError> {
        self.elements.skip(self.row_elements)?;
        self.missing.push(self.row);
        self.row += 1;
        Ok(())
    }

    fn nested_row(&mut self, reader: &mut Reader<'_>, inner: &[u32]) -> Result<(), DecodeError> {
        if reader.null()? {
            return self.missing_row();
        }
        self.list(reader, inner)?;
        if self.row_elements == 0 {
            self.row += 1;
        }
        Ok(())
    }

    fn list(&mut self, reader: &mut Reader<'_>, shape: &[u32]) -> Result<(), DecodeError> {
        let Some((&length, inner)) = shape.split_first() else {
            return self.element(reader);
        };
        if !reader.opens(b'[')? {
            return refuse(code::WRONG_SHAPE, format!("expected a list of {length}"));
        }
        let mut first = true;
        let mut found = 0;
        while reader.more(b']', &mut first)? {
            if found == length {
                return refuse(
                    code::WRONG_SHAPE,
                    format!("a list has more elements than its dimension of {length}"),
                );
            }
            found += 1;
            self.list(reader, inner)?;
        }
        if found != length {
            return refuse(
                code::WRONG_SHAPE,
                format!("a list has {found} elements where its dimension is {length}"),
            );
        }
        Ok(())
    }

    fn element(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        if self.elements.put_plain(reader) {
            return self.advance();
        }
        if reader.null()? {
            return self.null();
        }
        let token = reader.token()?;
        if matches!(token, Token::List) {
            return refuse(code::WRONG_SHAPE, "lists nest deeper than the shape");
        }
        self.elements.put(&token).map_err(|e| {
            let at = self.row * self.row_elements + self.in_row;
            e.in_element(at, self.row_elements)
        })?;
        self.advance()
    }

    fn null(&mut self) -> Result<(), DecodeError> {
        self.elements.skip(1)?;
        self.nulls.push(self.in_row);
        self.advance()
    }

    fn advance(&mut self) -> Result<(), DecodeError> {
        if self.row_elements == 0 {
            return refuse(code::WRONG_SHAPE, "an element where the shape has none");
        }
        self.in_row += 1;
        if self.in_row < self.row_elements {
            return Ok(());
        }
        if self.nulls.len() == self.in_row {
            self.missing.push(self.row);
        } else if !self.nulls.is_empty() {
            if !self.field.data_type.is_float() {
                return refuse(
                    code::WRONG_TYPE,
                    format!(
                        "an element is null, which {} can't say of a part of a row",
                        self.field.data_type
                    ),
                );
            }
            for &at in &self.nulls {
                self.elements
                    .put_back(self.in_row - at, &Token::Special(f64::NAN))?;
            }
        }
        self.nulls.clear();
        self.in_row = 0;
        self.row += 1;
        Ok(())
    }
}

/// How the bytes of a tensor are written, going by its parameters.
pub(super) fn bytes_as(content_type: Option<&str>) -> BytesAs {
    match content_type {
        Some(super::BASE64) => BytesAs::Base64,
        _ => BytesAs::Utf8,
    }
}
