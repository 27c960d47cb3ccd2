//! The WebAssembly side: what [`export!`](crate::export) expands to. Nothing here is compiled
//! natively.
//!
//! Each world has its own bindings over one set of types, so a plugin imports only what its world
//! has; `wit-component` leaves out what a component doesn't use. Lists cross by moving: between the
//! contract's types and [`caisson_data`]'s no element is touched, and the host's blocks aren't
//! checked again.
//!
//! A panic is written to the log at error level, and then the instance aborts; the host answers the
//! request with an error and drops the instance.

mod bindings;
mod convert;
mod nn;

use std::cell::{OnceCell, RefCell};
use std::sync::{Arc, Once};

pub use self::bindings::{drift_check, predictor, transform, types, validator};
use self::convert::{lift_batch, lift_schema, lower_error, lower_schema};
pub use self::convert::{lower_batch, lower_report, lower_violations};
use crate::plugin::{self, Plugin};
use crate::{Batch, Error, Level, Models, Schema};

/// Write one line to the host's log.
pub(crate) fn log(level: Level, message: &str) {
    use bindings::log;
    let level = match level {
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
    };
    log::log(level, message);
}

/// From here on a panic goes to the log. Snapshotted with the instance, so it costs a request
/// nothing.
fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let message = info.payload_as_str().unwrap_or("a value that is no text");
            let line = match info.location() {
                Some(place) => format!("panicked at {place}: {message}"),
                None => format!("panicked: {message}"),
            };
            log(Level::Error, &line);
        }));
    });
}

/// The manifest.
pub fn describe<P: Plugin>() -> types::Manifest {
    log_panics();
    types::Manifest {
        name: P::ABOUT.name.to_owned(),
        version: P::ABOUT.version.to_owned(),
        world: convert::world_kind(P::WORLD),
        config_schema: crate::config::json_schema::<P::Config>(),
        help: P::ABOUT.help.to_owned(),
    }
}

/// Memory that a configured instance has to spare: 65,536 floats in and out, twice over. It is zero,
/// so the snapshot is no larger for it.
const SPARE_BYTES: usize = 1 << 20;

/// A plugin between `configure` and the calls that follow.
pub struct State<P> {
    configured: OnceCell<(P, Arc<Schema>)>,
}

impl<P: Plugin> State<P> {
    /// Not configured yet.
    pub const fn new() -> Self {
        Self {
            configured: OnceCell::new(),
        }
    }

    /// `configure` of a world without an output schema.
    ///
    /// # Errors
    ///
    /// What the plugin gives.
    pub fn configure(&self, config: &str, input: types::Schema) -> Result<(), types::Error> {
        self.try_configure(config, input).map(|_| ()).map_err(lower_error)
    }

    /// `configure` of a world with an output schema.
    ///
    /// # Errors
    ///
    /// What the plugin gives.
    pub fn configure_with_output(
        &self,
        config: &str,
        input: types::Schema,
    ) -> Result<types::Schema, types::Error> {
        self.try_configure(config, input)
            .and_then(|output| output.ok_or_else(|| Error::internal("the plugin gave no output schema")))
            .map(lower_schema)
            .map_err(lower_error)
    }

    fn try_configure(&self, config: &str, input: types::Schema) -> Result<Option<Schema>, Error> {
        log_panics();
        // The snapshot is taken after this call. Memory that was taken and given back is in it, so
        // calls whose data fit need not grow memory, which costs more than the call.
        drop(std::hint::black_box(vec![0u8; SPARE_BYTES]));
        let input = Arc::new(lift_schema(input)?);
        let (plugin, output) = plugin::configure::<P>(config, &input)?;
        self.configured
            .set((plugin, input))
            .map_err(|_| Error::internal("configure was called twice"))?;
        Ok(output)
    }

    /// A call on a batch: lift it, run the plugin, lower the result.
    ///
    /// # Errors
    ///
    /// What the plugin gives; `internal` before `configure`.
    pub fn call<T, U>(
        &self,
        input: types::Batch,
        run: impl FnOnce(&P, Batch) -> Result<T, Error>,
        lower: impl FnOnce(T) -> U,
    ) -> Result<U, types::Error> {
        let Some((plugin, schema)) = self.configured.get() else {
            return Err(lower_error(Error::internal(
                "the plugin was called before configure",
            )));
        };
        run(plugin, lift_batch(schema, input))
            .map(lower)
            .map_err(lower_error)
    }
}

/// Run with the models of this instance. Loaded ones are kept, so a warm instance loads each once.
///
/// # Errors
///
/// What the plugin gives.
pub fn with_models<T>(run: impl FnOnce(&mut Models) -> Result<T, Error>) -> Result<T, Error> {
    thread_local! {
        static MODELS: RefCell<Option<Models>> = const { RefCell::new(None) };
    }
    MODELS.with(|models| run(models.borrow_mut().get_or_insert_with(nn::models)))
}
