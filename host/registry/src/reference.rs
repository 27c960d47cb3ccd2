//! `name@version` as people write it.

use crate::RegistryError;
use crate::names::{check_name, shorten};

/// Bytes in what follows the `@`: a semantic version or a list of comparators.
pub(crate) const VERSION_BYTES_MAX: usize = 128;

/// Split `name@version` or `name`, and check the name and the version's length.
///
/// # Errors
///
/// [`RegistryError::InvalidName`], [`RegistryError::InvalidVersion`].
pub(crate) fn split<'a>(
    kind: &'static str,
    reference: &'a str,
) -> Result<(&'a str, Option<&'a str>), RegistryError> {
    let (name, version) = match reference.split_once('@') {
        Some((name, version)) => (name, Some(version.trim())),
        None => (reference, None),
    };
    check_name(kind, name)?;
    if let Some(version) = version {
        check_version_length(kind, version)?;
    }
    Ok((name, version))
}

pub(crate) fn check_version_length(kind: &'static str, version: &str) -> Result<(), RegistryError> {
    if (1..=VERSION_BYTES_MAX).contains(&version.len()) {
        return Ok(());
    }
    Err(RegistryError::InvalidVersion {
        kind,
        version: shorten(version),
        detail: format!("it has 1 to {VERSION_BYTES_MAX} bytes"),
    })
}
