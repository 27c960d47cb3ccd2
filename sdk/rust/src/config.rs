//! From a config's JSON to the plugin's own type, and that type's JSON Schema.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::Error;

/// Read a config. A mistake is reported with the path of the key: `bins[2].edge: invalid type …`.
pub(crate) fn parse<C: DeserializeOwned>(json: &str) -> Result<C, Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let config = serde_path_to_error::deserialize(&mut deserializer).map_err(|e| {
        let path = e.path().to_string();
        match path.as_str() {
            "." => Error::InvalidConfig(e.into_inner().to_string()),
            _ => Error::InvalidConfig(format!("{path}: {}", e.into_inner())),
        }
    })?;
    deserializer
        .end()
        .map_err(|e| Error::InvalidConfig(e.to_string()))?;
    Ok(config)
}

/// The JSON Schema (draft 2020-12) of a config.
pub(crate) fn json_schema<C: JsonSchema>() -> String {
    schemars::SchemaGenerator::default()
        .into_root_schema_for::<C>()
        .as_value()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "read by the derives alone")]
    struct Config {
        bins: Vec<Bin>,
    }

    #[derive(Debug, serde::Deserialize, JsonSchema)]
    #[allow(dead_code, reason = "read by the derives alone")]
    struct Bin {
        edge: f32,
    }

    #[test]
    fn mistakes_name_their_path() {
        let error = parse::<Config>(r#"{"bins":[{"edge":1},{"edge":"x"}]}"#).unwrap_err();
        assert!(
            error.to_string().contains("bins[1].edge: invalid type"),
            "{error}"
        );
        let error = parse::<Config>(r#"{"bin":[]}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `bin`"), "{error}");
        let error = parse::<Config>("{\"bins\":[]} x").unwrap_err();
        assert!(error.to_string().contains("trailing characters"), "{error}");
        assert!(parse::<Config>("{\"bins\":[]}").unwrap().bins.is_empty());
    }

    #[test]
    fn the_schema_is_draft_2020_12() {
        let schema: serde_json::Value = serde_json::from_str(&json_schema::<Config>()).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["required"], serde_json::json!(["bins"]));
    }
}
