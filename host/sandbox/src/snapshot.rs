//! Pre-initialisation: a configured instance becomes a component.
//!
//! The child compiled the component with accessors to its memories and globals (`wasmtime-wizer`).
//! After `configure`, [`state`] reads them all, and [`component`] writes them into the component as
//! its initial state. Reading is asynchronous and bounded like any call; writing is pure computation
//! on a blocking thread, where a panic of the rewriter is an error.

use std::collections::HashMap;

use futures_util::FutureExt;
use wasmtime::Store;
use wasmtime::component::types::{ComponentItem, Type};
use wasmtime::component::{Component, ComponentExportIndex, Instance, Lift};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use crate::guest::Guest;

/// Where the accessors are.
const ACCESSORS: &str = "wasmtime:wizer/access";

/// All memories and globals of an instance.
#[derive(Default)]
pub(crate) struct State(HashMap<String, Value>);

enum Value {
    Memory(Vec<u8>),
    S32(i32),
    S64(i64),
    F32(u32),
    F64(u64),
}

/// Read the state of an instance of an instrumented component.
pub(crate) async fn state(
    store: &mut Store<Guest>,
    instance: &Instance,
    component: &Component,
) -> wasmtime::Result<State> {
    // What is copied here is bounded by the memory limit, not by that of answers.
    let memory = store.data().limiter.memory_bytes();
    store.set_hostcall_fuel(memory.saturating_add(1));
    let engine = component.engine().clone();
    let ty = component.component_type();
    let missing = || wasmtime::Error::msg("the component has no snapshot accessors");
    let Some(ComponentItem::ComponentInstance(accessors)) =
        ty.get_export(&engine, ACCESSORS).map(|item| item.ty)
    else {
        return Err(missing());
    };
    let parent = component.get_export_index(None, ACCESSORS).ok_or_else(missing)?;
    let mut state = State::default();
    for (name, item) in accessors.exports(&engine) {
        let ComponentItem::ComponentFunc(function) = item.ty else {
            continue;
        };
        let index = component
            .get_export_index(Some(&parent), name)
            .ok_or_else(missing)?;
        let value = match function.results().next() {
            Some(Type::List(_)) => Value::Memory(read(store, instance, &index).await?),
            Some(Type::S32) => Value::S32(read(store, instance, &index).await?),
            Some(Type::S64) => Value::S64(read(store, instance, &index).await?),
            Some(Type::Float32) => Value::F32(read::<f32>(store, instance, &index).await?.to_bits()),
            Some(Type::Float64) => Value::F64(read::<f64>(store, instance, &index).await?.to_bits()),
            _ => return Err(wasmtime::Error::msg("a snapshot accessor of an unknown type")),
        };
        state.0.insert(name.to_owned(), value);
    }
    Ok(state)
}

async fn read<R: Lift + Send + Sync + 'static>(
    store: &mut Store<Guest>,
    instance: &Instance,
    index: &ComponentExportIndex,
) -> wasmtime::Result<R> {
    let function = instance.get_typed_func::<(), (R,)>(&mut *store, index)?;
    Ok(function.call_async(&mut *store, ()).await?.0)
}

/// The component `wasm` with this state as its initial one. Blocks; the error says why not.
pub(crate) fn component(wasm: &[u8], state: State) -> Result<Vec<u8>, String> {
    let write = || {
        let mut wizer = Wizer::new();
        // The contract's world stays whole; the host knows not to configure twice.
        wizer.keep_init_func(true);
        let (context, _) = wizer.instrument_component(wasm)?;
        let mut state = Reader { state, missed: None };
        // Ready at once: everything was read before.
        let snapshot = wizer
            .snapshot_component(&context, &mut state)
            .now_or_never()
            .unwrap_or_else(|| Err(wasmtime::Error::msg("the snapshot did not finish")))?;
        match state.missed {
            None => Ok(snapshot),
            Some(name) => Err(wasmtime::Error::msg(format!("accessor `{name}` is missing"))),
        }
    };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(write)) {
        Ok(result) => result.map_err(|e| format!("{e:#}")),
        Err(_) => Err("the component uses something that can't be snapshotted".to_owned()),
    }
}

struct Reader {
    state: State,
    missed: Option<String>,
}

macro_rules! scalar {
    ($function:ident, $variant:ident, $ty:ty) => {
        async fn $function(&mut self, _: &str, name: &str) -> $ty {
            match self.state.0.get(name) {
                Some(Value::$variant(value)) => *value,
                _ => {
                    self.missed = Some(name.to_owned());
                    Default::default()
                }
            }
        }
    };
}

impl ComponentInstanceState for Reader {
    async fn call_func_ret_list_u8(&mut self, _: &str, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        match self.state.0.get(name) {
            Some(Value::Memory(bytes)) => contents(bytes),
            _ => {
                self.missed = Some(name.to_owned());
                contents(&[]);
            }
        }
    }

    scalar!(call_func_ret_s32, S32, i32);
    scalar!(call_func_ret_s64, S64, i64);
    scalar!(call_func_ret_f32, F32, u32);
    scalar!(call_func_ret_f64, F64, u64);
}
