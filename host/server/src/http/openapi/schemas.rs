//! JSON Schemas of the Rust types that are read and written.
//!
//! A type that is both read and written may look different each way: what has a default can be left
//! out of a request, and is always in an answer. So there are two generators, and where a type comes
//! out of both with two forms, that of requests is named `…Input`.

use std::collections::BTreeSet;

use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};

/// Where the document keeps schemas.
const PLACE: &str = "#/components/schemas/";

/// What was asked for so far.
pub(super) struct Schemas {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
            settings.transforms = vec![Box::new(Tidy)];
        });
        Self {
            read: settings.clone().for_deserialize().into_generator(),
            written: settings.for_serialize().into_generator(),
        }
    }

    /// What a request has; its references are for [`Renamed::apply`] to complete.
    pub(super) fn read<T: JsonSchema>(&mut self) -> Value {
        self.read.subschema_for::<T>().to_value()
    }

    /// What an answer has.
    pub(super) fn written<T: JsonSchema>(&mut self) -> Value {
        self.written.subschema_for::<T>().to_value()
    }

    /// The members of an object that a request has: the parameters of a query.
    pub(super) fn members<T: JsonSchema>(&mut self) -> Vec<(String, Value, bool)> {
        let mut schema = T::json_schema(&mut self.read);
        Tidy.transform(&mut schema);
        let required: BTreeSet<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let members = schema.get("properties").and_then(Value::as_object);
        members
            .into_iter()
            .flatten()
            .map(|(name, member)| (name.clone(), member.clone(), required.contains(name.as_str())))
            .collect()
    }

    /// All definitions, and the names that requests' references have to be changed to.
    pub(super) fn finish(mut self) -> (Map<String, Value>, Renamed) {
        let written = self.written.take_definitions(true);
        let read = self.read.take_definitions(true);
        let mut renamed = Renamed(BTreeSet::new());
        // A type that refers to one with two forms has two forms too.
        loop {
            let more: BTreeSet<String> = read
                .iter()
                .filter(|(name, schema)| {
                    written.get(*name).is_some_and(|other| {
                        let mut schema = (*schema).clone();
                        renamed.apply(&mut schema);
                        schema != *other
                    })
                })
                .map(|(name, _)| name.clone())
                .collect();
            if more.len() == renamed.0.len() {
                break;
            }
            renamed.0 = more;
        }
        let mut all = written;
        for (name, mut schema) in read {
            renamed.apply(&mut schema);
            all.insert(renamed.name(&name), schema);
        }
        (all, renamed)
    }
}

/// Types whose form in requests has a name of its own.
pub(super) struct Renamed(BTreeSet<String>);

impl Renamed {
    fn name(&self, name: &str) -> String {
        match self.0.contains(name) {
            true => format!("{name}Input"),
            false => name.to_owned(),
        }
    }

    /// Let a request's schema refer to requests' forms.
    pub(super) fn apply(&self, schema: &mut Value) {
        match schema {
            Value::Object(map) => {
                for (key, value) in map {
                    match value {
                        Value::String(target) if key == "$ref" => {
                            if let Some(name) = target.strip_prefix(PLACE) {
                                *target = format!("{PLACE}{}", self.name(name));
                            }
                        }
                        other => self.apply(other),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.apply(item)),
            _ => {}
        }
    }
}

/// What the derive can't know: the largest number of each type; and links in comments, which lead
/// nowhere outside of Rust.
#[derive(Clone)]
struct Tidy;

impl Transform for Tidy {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let largest: Option<u64> = match schema.get("format").and_then(Value::as_str) {
            Some("uint8") => Some(u8::MAX.into()),
            Some("uint16") => Some(u16::MAX.into()),
            Some("uint32") => Some(u32::MAX.into()),
            Some("uint64" | "uint") => Some(u64::MAX),
            _ => None,
        };
        if let Some(max) = largest
            && schema.get("maximum").is_none()
        {
            schema.insert("maximum".to_owned(), max.into());
        }
        if let Some(Value::String(text)) = schema.get_mut("description") {
            *text = text.replace("[`", "`").replace("`]", "`");
        }
    }
}
