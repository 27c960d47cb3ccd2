//! A transform's output schema, made from its input schema, and the batches of it.

use std::sync::Arc;

use caisson_data::{Batch, BatchBuilder, Field, Schema};

use crate::Error;
use crate::edit::BatchExt;
use crate::select::Need;

/// An input schema on its way to an output schema.
///
/// ```
/// # use caisson_plugin::prelude::*;
/// # use caisson_plugin::testing::{batch, schema};
/// let input = schema!["city": text, "spent": fp32, "visits": fp32];
/// let mut plan = OutputPlan::of(&input);
/// plan.remove("city")?;
/// plan.append(Field::new("spent_per_visit", DataType::Fp32));
/// let output = plan.finish()?;
///
/// let rows = batch!["city": text = ["Kiel"], "spent": fp32 = [12.0], "visits": fp32 = [3.0]];
/// let mut builder = output.begin(&rows)?; // `spent` and `visits` are there already
/// builder.fill(2, [Some(4.0f32)])?;
/// assert_eq!(
///     builder.finish()?,
///     batch!["spent": fp32 = [12.0], "visits": fp32 = [3.0], "spent_per_visit": fp32 = [4.0]]
/// );
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct OutputPlan {
    /// Each with its position in the input, where it is kept as it is.
    fields: Vec<(Field, Option<usize>)>,
    input: Schema,
}

impl OutputPlan {
    /// Every column of the input, kept as it is.
    pub fn of(input: &Schema) -> Self {
        Self {
            fields: input
                .fields()
                .iter()
                .enumerate()
                .map(|(i, f)| (f.clone(), Some(i)))
                .collect(),
            input: input.clone(),
        }
    }

    /// No column at all: for outputs that keep nothing.
    pub fn empty(input: &Schema) -> Self {
        Self {
            fields: Vec::new(),
            input: input.clone(),
        }
    }

    /// Drop a column.
    ///
    /// # Errors
    ///
    /// [`Error::SchemaMismatch`] for a name that isn't there.
    pub fn remove(&mut self, name: &str) -> Result<(), Error> {
        let at = self.position(name)?;
        self.fields.remove(at);
        Ok(())
    }

    /// Put another column in the place of one; the plugin fills it.
    ///
    /// # Errors
    ///
    /// [`Error::SchemaMismatch`] for a name that isn't there.
    pub fn replace(&mut self, name: &str, field: Field) -> Result<(), Error> {
        let at = self.position(name)?;
        if let Some(place) = self.fields.get_mut(at) {
            *place = (field, None);
        }
        Ok(())
    }

    /// Put columns in the place of one; the plugin fills them.
    ///
    /// # Errors
    ///
    /// [`Error::SchemaMismatch`] for a name that isn't there.
    pub fn replace_with(&mut self, name: &str, fields: impl IntoIterator<Item = Field>) -> Result<(), Error> {
        let at = self.position(name)?;
        self.fields.splice(at..=at, fields.into_iter().map(|f| (f, None)));
        Ok(())
    }

    /// Add a column at the end; the plugin fills it.
    pub fn append(&mut self, field: Field) {
        self.fields.push((field, None));
    }

    /// The finished plan.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] when two columns have one name or another bound of schemas is
    /// passed.
    pub fn finish(self) -> Result<Output, Error> {
        let kept = self
            .fields
            .iter()
            .enumerate()
            .filter_map(|(to, (_, from))| from.map(|from| (from, to)))
            .collect();
        let fields = self.fields.into_iter().map(|(f, _)| f).collect();
        Ok(Output {
            schema: Arc::new(Schema::new(fields)?),
            kept,
        })
    }

    fn position(&self, name: &str) -> Result<usize, Error> {
        match self.fields.iter().position(|(f, _)| f.name == name) {
            Some(at) => Ok(at),
            // The same words as everywhere, where the input lacks it; else it was removed before.
            None => match Need::ANY.find(&self.input, name) {
                Err(unknown) => Err(unknown),
                Ok(_) => Err(Error::SchemaMismatch(format!(
                    "column `{name}` is used by two settings"
                ))),
            },
        }
    }
}

/// A transform's output schema, and which of its columns are the input's own.
#[derive(Debug, Clone)]
pub struct Output {
    schema: Arc<Schema>,
    /// Positions in input and output.
    kept: Vec<(usize, usize)>,
}

impl Output {
    /// The schema, shared: what batches are made with.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// A copy of the schema: what `configure` returns.
    pub fn to_schema(&self) -> Schema {
        (*self.schema).clone()
    }

    /// The position of an output column.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for a name that isn't there.
    pub fn index_of(&self, name: &str) -> Result<usize, Error> {
        self.schema
            .index_of(name)
            .ok_or_else(|| Error::Internal(format!("the output has no column `{name}`")))
    }

    /// A builder with as many rows as `input`, in which the kept columns are filled and all others
    /// are zero and present.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for a batch of another schema than the plan's input.
    pub fn begin(&self, input: &Batch) -> Result<BatchBuilder, Error> {
        let mut builder = BatchBuilder::new(self.schema.clone(), input.rows())?;
        for &(from, to) in &self.kept {
            builder.copy_column(to, input.at(from)?)?;
        }
        Ok(builder)
    }
}
