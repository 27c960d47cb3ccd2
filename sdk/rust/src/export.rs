//! `export!`: make a component of a plugin.

/// Export a plugin. Say the world, then the type; once a crate:
///
/// ```
/// # use caisson_plugin::prelude::*;
/// # #[derive(Deserialize, JsonSchema)] struct Config {}
/// struct Keep;
/// # impl Transform for Keep {
/// #     type Config = Config;
/// #     const ABOUT: About = About { name: "keep", version: "0.1.0", help: "Changes nothing." };
/// #     fn configure(_: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> { Ok((Self, (**input).clone())) }
/// #     fn apply(&self, input: Batch) -> Result<Batch, Error> { Ok(input) }
/// # }
/// // impl Transform for Keep { … }
///
/// caisson_plugin::export!(transform: Keep);
/// # fn main() {}
/// ```
///
/// The worlds are `transform:`, `validator:`, `drift_check:` and `predictor:`. Built for
/// WebAssembly, the crate then has the exports of that world; built natively, the type can be
/// tested with [`testing::configure`](crate::testing::configure).
#[macro_export]
macro_rules! export {
    (transform: $plugin:ty $(,)?) => {
        $crate::export!(@plugin $plugin, Transform, (plugin, output) => (plugin, ::core::option::Option::Some(output)));

        #[cfg(target_family = "wasm")]
        const _: () = {
            $crate::export!(@state $plugin);

            impl $crate::guest::transform::Guest for Guest {
                $crate::export!(@describe $plugin);

                fn configure(
                    config: ::std::string::String,
                    input: $crate::guest::types::Schema,
                ) -> ::core::result::Result<$crate::guest::types::Schema, $crate::guest::types::Error> {
                    STATE.with(|state| state.configure_with_output(&config, input))
                }

                fn apply(
                    input: $crate::guest::types::Batch,
                ) -> ::core::result::Result<$crate::guest::types::Batch, $crate::guest::types::Error> {
                    STATE.with(|state| {
                        state.call(input, <$plugin as $crate::Transform>::apply, $crate::guest::lower_batch)
                    })
                }
            }

            $crate::guest::transform::export_transform!(Guest with_types_in $crate::guest::transform);
        };
    };

    (validator: $plugin:ty $(,)?) => {
        $crate::export!(@plugin $plugin, Validator, plugin => (plugin, ::core::option::Option::None));

        #[cfg(target_family = "wasm")]
        const _: () = {
            $crate::export!(@state $plugin);

            impl $crate::guest::validator::Guest for Guest {
                $crate::export!(@describe $plugin);

                fn configure(
                    config: ::std::string::String,
                    input: $crate::guest::types::Schema,
                ) -> ::core::result::Result<(), $crate::guest::types::Error> {
                    STATE.with(|state| state.configure(&config, input))
                }

                fn validate(
                    input: $crate::guest::types::Batch,
                ) -> ::core::result::Result<
                    ::std::vec::Vec<$crate::guest::types::Violation>,
                    $crate::guest::types::Error,
                > {
                    STATE.with(|state| {
                        state.call(
                            input,
                            |plugin, input| <$plugin as $crate::Validator>::validate(plugin, &input),
                            $crate::guest::lower_violations,
                        )
                    })
                }
            }

            $crate::guest::validator::export_validator!(Guest with_types_in $crate::guest::validator);
        };
    };

    (drift_check: $plugin:ty $(,)?) => {
        $crate::export!(@plugin $plugin, DriftCheck, plugin => (plugin, ::core::option::Option::None));

        #[cfg(target_family = "wasm")]
        const _: () = {
            $crate::export!(@state $plugin);

            impl $crate::guest::drift_check::Guest for Guest {
                $crate::export!(@describe $plugin);

                fn configure(
                    config: ::std::string::String,
                    input: $crate::guest::types::Schema,
                ) -> ::core::result::Result<(), $crate::guest::types::Error> {
                    STATE.with(|state| state.configure(&config, input))
                }

                fn fit(
                    reference: $crate::guest::types::Batch,
                ) -> ::core::result::Result<::std::vec::Vec<u8>, $crate::guest::types::Error> {
                    STATE.with(|state| {
                        state.call(
                            reference,
                            |plugin, reference| <$plugin as $crate::DriftCheck>::fit(plugin, &reference),
                            |sketch| sketch,
                        )
                    })
                }

                fn check(
                    sketch: ::std::vec::Vec<u8>,
                    current: $crate::guest::types::Batch,
                ) -> ::core::result::Result<
                    $crate::guest::types::DriftReport,
                    $crate::guest::types::Error,
                > {
                    STATE.with(|state| {
                        state.call(
                            current,
                            |plugin, current| {
                                <$plugin as $crate::DriftCheck>::check(plugin, &sketch, &current)
                            },
                            $crate::guest::lower_report,
                        )
                    })
                }
            }

            $crate::guest::drift_check::export_drift_check!(
                Guest with_types_in $crate::guest::drift_check
            );
        };
    };

    (predictor: $plugin:ty $(,)?) => {
        $crate::export!(@plugin $plugin, Predictor, (plugin, output) => (plugin, ::core::option::Option::Some(output)));

        #[cfg(target_family = "wasm")]
        const _: () = {
            $crate::export!(@state $plugin);

            impl $crate::guest::predictor::Guest for Guest {
                $crate::export!(@describe $plugin);

                fn configure(
                    config: ::std::string::String,
                    input: $crate::guest::types::Schema,
                ) -> ::core::result::Result<$crate::guest::types::Schema, $crate::guest::types::Error> {
                    STATE.with(|state| state.configure_with_output(&config, input))
                }

                fn predict(
                    input: $crate::guest::types::Batch,
                ) -> ::core::result::Result<$crate::guest::types::Batch, $crate::guest::types::Error> {
                    STATE.with(|state| {
                        state.call(
                            input,
                            |plugin, input| {
                                $crate::guest::with_models(|models| {
                                    <$plugin as $crate::Predictor>::predict(plugin, models, &input)
                                })
                            },
                            $crate::guest::lower_batch,
                        )
                    })
                }
            }

            $crate::guest::predictor::export_predictor!(Guest with_types_in $crate::guest::predictor);
        };
    };

    // The rest is the macro's own.
    (@plugin $plugin:ty, $world:ident, $got:pat => $given:expr) => {
        $crate::export!(@plugin_impl $plugin, $world, $got => $given);
    };
    (@plugin_impl $plugin:ty, $world:ident, $got:pat => $given:expr) => {
        impl $crate::Plugin for $plugin {
            type Config = <$plugin as $crate::$world>::Config;

            const WORLD: $crate::World = $crate::World::$world;

            const ABOUT: $crate::About = <$plugin as $crate::$world>::ABOUT;

            fn configure_any(
                config: <$plugin as $crate::$world>::Config,
                input: &::std::sync::Arc<$crate::Schema>,
            ) -> ::core::result::Result<(Self, ::core::option::Option<$crate::Schema>), $crate::Error> {
                <$plugin as $crate::$world>::configure(config, input).map(|$got| $given)
            }
        }
    };
    (@state $plugin:ty) => {
        // One thread, so this is a plain static; it needs no `Sync` of the plugin.
        ::std::thread_local! {
            static STATE: $crate::guest::State<$plugin> = const { $crate::guest::State::new() };
        }

        struct Guest;
    };
    (@describe $plugin:ty) => {
        fn describe() -> $crate::guest::types::Manifest {
            $crate::guest::describe::<$plugin>()
        }
    };
}
