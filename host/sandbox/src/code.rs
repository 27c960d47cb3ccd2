//! Compiled components: in memory while somebody uses them, on disk, or from the child.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::{Cache, Cached};
use crate::compile::Compiler;
use crate::error::UploadError;
use crate::limits::UploadLimits;

/// SHA-256 of bytes, in lower-case hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// What code of a component is kept under.
pub(crate) fn name(wasm: &[u8], instrument: bool) -> String {
    let kind = if instrument { "snapshot" } else { "plain" };
    format!("{}-{kind}", digest(wasm))
}

/// Loaded code.
pub(crate) struct Code {
    pub(crate) component: Component,
    /// Why it has no snapshot accessors, if it was to have them.
    pub(crate) plain: Option<String>,
}

/// Where code comes from.
pub(crate) struct Codes {
    engine: Engine,
    compiler: Compiler,
    cache: Option<Arc<Cache>>,
    limits: UploadLimits,
    /// Code in use, so that two stages of one component share it. Bounded by what is in use: an
    /// entry whose code is gone is removed when the next is added.
    loaded: Mutex<HashMap<String, Weak<Code>>>,
}

impl Codes {
    pub(crate) fn new(
        engine: Engine,
        compiler: Compiler,
        cache: Option<Cache>,
        limits: UploadLimits,
    ) -> Self {
        Self {
            engine,
            compiler,
            cache: cache.map(Arc::new),
            limits,
            loaded: Mutex::default(),
        }
    }

    /// Code of a component, with snapshot accessors where asked for and possible.
    pub(crate) async fn get(&self, wasm: &[u8], instrument: bool) -> Result<Arc<Code>, UploadError> {
        let name = name(wasm, instrument);
        match self.find(&name).await? {
            Some(code) => Ok(code),
            None => {
                let code = self.compile(&name, wasm, instrument).await?;
                self.share(name, code)
            }
        }
    }

    /// Code that was compiled before, by its [`name`].
    pub(crate) async fn find(&self, name: &str) -> Result<Option<Arc<Code>>, UploadError> {
        if let Some(code) = self.in_memory(name) {
            return Ok(Some(code));
        }
        let found = self.on_disk(name).await?;
        found.map(|code| self.share(name.to_owned(), code)).transpose()
    }

    fn share(&self, name: String, code: Code) -> Result<Arc<Code>, UploadError> {
        self.check(&code.component)?;
        let code = Arc::new(code);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, code| code.strong_count() > 0);
        // Somebody may have been quicker; then theirs is shared and ours goes.
        if let Some(theirs) = loaded.get(&name).and_then(Weak::upgrade) {
            return Ok(theirs);
        }
        loaded.insert(name, Arc::downgrade(&code));
        Ok(code)
    }

    fn in_memory(&self, name: &str) -> Option<Arc<Code>> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.get(name)?.upgrade()
    }

    async fn on_disk(&self, name: &str) -> Result<Option<Code>, UploadError> {
        let Some(cache) = self.cache.clone() else {
            return Ok(None);
        };
        let name = name.to_owned();
        let engine = self.engine.clone();
        blocking(move || {
            // Authentic, and yet not for this engine: a miss as well.
            load(cache.get(&name)?, &engine)
                .inspect_err(|error| tracing::warn!(artifact = name, %error, "compiled code does not load; compiling anew"))
                .ok()
        })
        .await
    }

    async fn compile(&self, name: &str, wasm: &[u8], instrument: bool) -> Result<Code, UploadError> {
        let artifact = self.compiler.compile(wasm, instrument).await?;
        let cache = self.cache.clone();
        let name = name.to_owned();
        let engine = self.engine.clone();
        blocking(move || {
            let kept = cache.and_then(|cache| {
                cache.put(&name, &artifact);
                cache.get(&name)
            });
            // What is kept is mapped from its file, which takes the least memory.
            load(kept.unwrap_or_else(|| artifact.into()), &engine)
        })
        .await?
    }

    /// What was kept under this name by [`Self::keep_record`].
    pub(crate) async fn record(&self, name: &str) -> Result<Option<Vec<u8>>, UploadError> {
        let Some(cache) = self.cache.clone() else {
            return Ok(None);
        };
        let name = name.to_owned();
        blocking(move || cache.get_record(&name)).await
    }

    /// Keep something that can be found again at a cost.
    pub(crate) async fn keep_record(&self, name: String, record: Vec<u8>) -> Result<(), UploadError> {
        let Some(cache) = self.cache.clone() else {
            return Ok(());
        };
        blocking(move || cache.put_record(&name, &record)).await
    }

    /// Refuse what the pool could never instantiate.
    fn check(&self, component: &Component) -> Result<(), UploadError> {
        let most = |what, found: u64, limit: u64| {
            if found > limit {
                return Err(UploadError::TooComplex { what, found, limit });
            }
            Ok(())
        };
        let Some(resources) = component.resources_required() else {
            return Err(UploadError::Invalid(
                "it imports core modules or components".to_owned(),
            ));
        };
        most(
            "linear memories",
            resources.num_memories.into(),
            self.limits.memories.into(),
        )?;
        most("tables", resources.num_tables.into(), self.limits.tables.into())
    }
}

fn load(cached: Cached, engine: &Engine) -> Result<Code, UploadError> {
    match cached.code.load(engine) {
        Ok(component) => Ok(Code {
            component,
            plain: cached.plain,
        }),
        Err(error) => {
            let error = format!("{error:#}");
            // wasmtime holds code against the sizes of the pool's slots when it is loaded.
            Err(if error.contains("pooling allocator") {
                UploadError::DoesNotFit(crate::text::tame(&error, crate::error::GUEST_TEXT_BYTES_MAX))
            } else {
                UploadError::Host(format!("compiled code can't be loaded: {error}"))
            })
        }
    }
}

/// Run something that takes a while on a thread for such things.
pub(crate) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, UploadError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| UploadError::Host(format!("a helper thread failed: {e}")))
}
