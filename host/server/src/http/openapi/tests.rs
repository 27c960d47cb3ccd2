use std::collections::BTreeSet;

use super::*;

fn operations(document: &Value) -> Vec<(String, &Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((format!("{method} {path}"), operation));
        }
    }
    all
}

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(target) if key == "$ref" => drop(found.insert(target)),
                    other => references(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_route_is_described_in_full() {
    let document = document().unwrap();
    let all = operations(&document);
    assert_eq!(all.len(), routes().len());
    let mut ids = BTreeSet::new();
    for (what, operation) in all {
        let id = operation["operationId"].as_str().unwrap();
        assert!(
            ids.insert(id.to_owned()),
            "{what}: two operations are called {id}"
        );
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{what}");
        let responses = operation["responses"].as_object().unwrap();
        let success = |status: &&String| status.starts_with('2');
        assert!(
            responses.keys().any(|status| success(&status)),
            "{what} never succeeds"
        );
        for (status, response) in responses.iter().filter(|(status, _)| success(status)) {
            let content = response["content"].as_object().unwrap();
            assert!(!content.is_empty(), "{what} {status}");
            for (media, content) in content {
                assert!(content.get("schema").is_some(), "{what} {status} {media}");
            }
        }
        // Known and public routes say so.
        assert!(operation["security"].is_array(), "{what}");
        if let Some(body) = operation.get("requestBody") {
            for (media, content) in body["content"].as_object().unwrap() {
                assert!(content.get("schema").is_some(), "{what} {media}");
            }
        }
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = document().unwrap();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        let target = document.pointer(reference.strip_prefix('#').unwrap());
        assert!(target.is_some(), "{reference} leads nowhere");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        let reference = format!("#/components/schemas/{name}");
        assert!(found.contains(reference.as_str()), "{name} is never used");
    }
}

#[test]
fn every_schema_is_one_and_every_example_is_of_its_schema() {
    let document = document().unwrap();
    let schemas = &document["components"]["schemas"];
    let validator = |schema: &Value| {
        let whole = json!({ "allOf": [schema], "components": { "schemas": schemas } });
        jsonschema::validator_for(&whole).unwrap_or_else(|e| panic!("{schema}: {e}"))
    };
    for (name, schema) in schemas.as_object().unwrap() {
        assert!(jsonschema::meta::is_valid(schema), "{name}: {schema}");
    }
    for (what, operation) in operations(&document) {
        let content = operation
            .pointer("/requestBody/content")
            .and_then(Value::as_object);
        for (media, content) in content.into_iter().flatten() {
            if let Some(example) = content.get("example") {
                let outcome = validator(&content["schema"])
                    .validate(example)
                    .map_err(|e| e.to_string());
                assert_eq!(outcome, Ok(()), "{what} {media}");
            }
        }
    }
}

#[test]
fn the_rule_of_a_route_is_its_security() {
    let document = document().unwrap();
    for Route {
        path, method, rule, ..
    } in routes()
    {
        let operation = &document["paths"][path][method.as_str().to_ascii_lowercase()];
        let open = operation["security"] == json!([]);
        assert_eq!(open, rule == super::super::auth::Rule::Public, "{method} {path}");
        assert_eq!(
            open,
            operation["responses"].get("401").is_none(),
            "{method} {path}"
        );
        let permission = operation["x-caisson-permission"].as_str();
        assert_eq!(permission, rule.action().map(|a| a.as_str()), "{method} {path}");
    }
}

#[test]
fn names_are_those_that_the_registry_takes() {
    let schema = common::name("", caisson_registry::NAME_CHARS_MAX);
    let validator = jsonschema::validator_for(&schema).unwrap();
    let long = "a".repeat(caisson_registry::NAME_CHARS_MAX);
    let longer = format!("{long}a");
    for name in [
        "a", "one-hot", "x2", &long, &longer, "", "../x", "A", "-a", "a-", "2a", "a b", "ü", "a\n",
    ] {
        let taken = caisson_registry::check_name("plugin", name).is_ok();
        assert_eq!(validator.is_valid(&json!(name)), taken, "{name:?}");
    }
}

#[test]
fn what_is_read_and_written_in_two_forms_has_two_names() {
    let document = document().unwrap();
    let schemas = &document["components"]["schemas"];
    // A stage's config has a default, so it may be left out of a request alone.
    let required = |name: &str| schemas[name]["required"].as_array().cloned().unwrap_or_default();
    assert!(required("StageSpec").contains(&json!("config")), "{schemas}");
    assert!(!required("StageSpecInput").contains(&json!("config")));
    let transforms = &schemas["DeploymentSpecInput"]["properties"]["transforms"]["items"];
    assert_eq!(transforms["$ref"], "#/components/schemas/StageSpecInput");
}
