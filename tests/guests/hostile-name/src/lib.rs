//! A plugin that would like to be a path.

use caisson_plugin::prelude::*;

/// Nothing to set.
#[derive(Deserialize, JsonSchema)]
pub struct Config {}

struct Hostile;

impl Transform for Hostile {
    type Config = Config;

    const ABOUT: About = About {
        name: "../x",
        version: "0.1.0",
        help: "Its name climbs out of a folder.",
    };

    fn configure(_: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> {
        Ok((Self, (**input).clone()))
    }

    fn apply(&self, input: Batch) -> Result<Batch, Error> {
        Ok(input)
    }
}

caisson_plugin::export!(transform: Hostile);
