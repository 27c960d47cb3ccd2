//! From a core module to a component.

use wit_component::ComponentEncoder;

/// Why a core module can't become a component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// No world is recorded in the module.
    #[error(
        "the module says nothing of the world that it implements: does the crate call \
         `caisson_plugin::export!`?"
    )]
    NoWorld,
    /// The module doesn't match its world, or imports something from outside it.
    #[error("the module does not make a component: {0}")]
    Invalid(String),
}

/// Wrap a core module that `wit-bindgen` wrote its world into as a component, and validate it.
///
/// # Errors
///
/// [`EncodeError::NoWorld`] for a module without a world; [`EncodeError::Invalid`], with
/// `wit-component`'s whole reason, for one that doesn't keep to its world.
pub fn encode(module: &[u8]) -> Result<Vec<u8>, EncodeError> {
    // Without this check the encoder would make an empty component of any module.
    let (with_world, _) = wit_component::metadata::decode(module).map_err(|e| invalid(&e))?;
    if with_world.is_none() {
        return Err(EncodeError::NoWorld);
    }
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|e| invalid(&e))
}

fn invalid(error: &dyn std::fmt::Display) -> EncodeError {
    EncodeError::Invalid(format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_module_are_refused() {
        assert!(matches!(encode(b"not wasm"), Err(EncodeError::Invalid(_))));
        assert!(matches!(
            encode(b""),
            Err(EncodeError::Invalid(_) | EncodeError::NoWorld)
        ));
    }

    #[test]
    fn a_module_without_a_world_is_refused() {
        let empty_module = b"\0asm\x01\0\0\0";
        assert!(matches!(encode(empty_module), Err(EncodeError::NoWorld)));
    }
}
