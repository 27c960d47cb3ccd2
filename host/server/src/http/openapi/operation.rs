//! One operation: what a route takes and what it answers, in the words of its topic's module.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::schemas::{Renamed, Schemas};

/// The description of one method of one path.
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) path: &'static str,
    id: &'static str,
    summary: &'static str,
    about: &'static str,
    /// Of the path, where they are others than their name says.
    path_parameters: BTreeMap<&'static str, Value>,
    /// Of query and headers.
    parameters: Vec<Value>,
    body: Map<String, Value>,
    body_may_be_absent: bool,
    answers: BTreeMap<u16, Value>,
    pub(super) errors: BTreeSet<u16>,
}

macro_rules! verbs {
    ($($verb:ident $method:ident),+) => {
        $(pub(super) fn $verb(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
            Operation::new(Method::$method, path, id, summary)
        })+
    };
}
verbs!(get GET, post POST, put PUT, patch PATCH, delete DELETE);

impl Operation {
    fn new(method: Method, path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            path,
            id,
            summary,
            about: "",
            path_parameters: BTreeMap::new(),
            parameters: Vec::new(),
            body: Map::new(),
            body_may_be_absent: false,
            answers: BTreeMap::new(),
            errors: BTreeSet::new(),
        }
    }

    /// More than the summary says.
    pub(super) fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// A parameter of the path that isn't what its name says elsewhere.
    pub(super) fn path(mut self, name: &'static str, schema: Value) -> Self {
        self.path_parameters.insert(name, schema);
        self
    }

    /// The parameters of the query.
    pub(super) fn query<T: JsonSchema>(mut self, schemas: &mut Schemas) -> Self {
        for (name, mut schema, required) in schemas.members::<T>() {
            // A query has no null: what may be left out is left out.
            without_null(&mut schema);
            let about = schema.as_object_mut().and_then(|s| s.remove("description"));
            let mut parameter =
                json!({ "name": name, "in": "query", "required": required, "schema": schema });
            set(&mut parameter, "description", about);
            self.parameters.push(parameter);
        }
        self.fails(&[400])
    }

    /// Of the parameters of the query just named, all but this one.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.parameters
            .retain(|p| p.get("name").is_none_or(|n| n != name));
        self
    }

    /// Does it read its query?
    pub(super) fn has_query(&self) -> bool {
        self.parameters
            .iter()
            .any(|p| p.get("in").is_some_and(|at| at == "query"))
    }

    /// A header that changes what is done.
    pub(super) fn header(mut self, name: &str, about: &str, schema: Value) -> Self {
        self.parameters
            .push(json!({ "name": name, "in": "header", "description": about, "schema": schema }));
        self.fails(&[400])
    }

    /// A body in JSON, which must be there.
    pub(super) fn takes<T: JsonSchema>(self, schemas: &mut Schemas, example: Value) -> Self {
        let schema = schemas.read::<T>();
        self.takes_as(
            "application/json",
            json!({ "schema": schema, "example": example }),
        )
    }

    /// A body in JSON, or none.
    pub(super) fn may_take<T: JsonSchema>(mut self, schemas: &mut Schemas, example: Value) -> Self {
        self.body_may_be_absent = true;
        self.takes::<T>(schemas, example)
    }

    /// A body of another media type, which must be there.
    pub(super) fn takes_as(mut self, media: &str, content: Value) -> Self {
        self.body.insert(media.to_owned(), content);
        self.fails(&[400, 408, 413])
    }

    /// A success, in JSON.
    pub(super) fn answers<T: JsonSchema>(self, schemas: &mut Schemas, status: u16, about: &str) -> Self {
        let schema = schemas.written::<T>();
        self.answers_as(status, about, "application/json", json!({ "schema": schema }))
    }

    /// 200, in JSON.
    pub(super) fn ok<T: JsonSchema>(self, schemas: &mut Schemas, about: &str) -> Self {
        self.answers::<T>(schemas, 200, about)
    }

    /// An answer of another media type, which may be one of several with this status.
    pub(super) fn answers_as(mut self, status: u16, about: &str, media: &str, content: Value) -> Self {
        let answer = self
            .answers
            .entry(status)
            .or_insert_with(|| json!({ "description": about, "content": {} }));
        if let Some(all) = answer.get_mut("content").and_then(Value::as_object_mut) {
            all.insert(media.to_owned(), content);
        }
        self
    }

    /// A header of an answer.
    pub(super) fn answer_header(mut self, status: u16, name: &str, about: &str, schema: Value) -> Self {
        if let Some(Value::Object(answer)) = self.answers.get_mut(&status) {
            let headers = answer.entry("headers").or_insert_with(|| json!({}));
            set(
                headers,
                name,
                Some(json!({ "description": about, "schema": schema })),
            );
        }
        self
    }

    /// Errors besides those that the route's rule and its parameters bring.
    pub(super) fn fails(mut self, statuses: &[u16]) -> Self {
        self.errors.extend(statuses);
        self
    }

    /// As the document has it. `parameter` describes one of the path; `errors` are all of them.
    pub(super) fn render(
        self,
        tag: &str,
        renamed: &Renamed,
        parameter: impl Fn(&str) -> Option<Value>,
        errors: &BTreeSet<u16>,
    ) -> Result<Map<String, Value>, String> {
        let mut parameters = Vec::new();
        for name in path_parameters(self.path) {
            let schema = self
                .path_parameters
                .get(name)
                .cloned()
                .or_else(|| parameter(name));
            let schema = schema
                .ok_or_else(|| format!("`{name}` of {} {} is not described", self.method, self.path))?;
            parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
        }
        parameters.extend(self.parameters);
        let mut responses: Map<String, Value> = errors
            .iter()
            .map(|status| {
                let place = format!("#/components/responses/{status}");
                (status.to_string(), json!({ "$ref": place }))
            })
            .collect();
        responses.extend(
            self.answers
                .into_iter()
                .map(|(s, answer)| (s.to_string(), answer)),
        );
        let mut operation = Map::new();
        operation.insert("operationId".to_owned(), self.id.into());
        operation.insert("summary".to_owned(), self.summary.into());
        if !self.about.is_empty() {
            operation.insert("description".to_owned(), self.about.into());
        }
        operation.insert("tags".to_owned(), json!([tag]));
        if !parameters.is_empty() {
            let mut parameters = Value::Array(parameters);
            renamed.apply(&mut parameters);
            operation.insert("parameters".to_owned(), parameters);
        }
        if !self.body.is_empty() {
            let mut body = json!({ "required": !self.body_may_be_absent, "content": self.body });
            renamed.apply(&mut body);
            operation.insert("requestBody".to_owned(), body);
        }
        operation.insert("responses".to_owned(), responses.into());
        Ok(operation)
    }
}

/// The parameters of a path: `{name}` and so on.
pub(super) fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

/// Set a member of an object, if there is a value.
pub(super) fn set(object: &mut Value, key: &str, value: Option<Value>) {
    if let (Value::Object(map), Some(value)) = (object, value) {
        map.insert(key.to_owned(), value);
    }
}

fn without_null(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|t| t != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            map.insert("type".to_owned(), one);
        }
    }
    if map.get("default").is_some_and(Value::is_null) {
        map.remove("default");
    }
    if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|t| t != "null"));
        if let [Value::Object(one)] = choices.as_slice() {
            let one = one.clone();
            map.remove("anyOf");
            map.extend(one);
        }
    }
}
