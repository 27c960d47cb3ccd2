//! The one wasmtime engine of the process, and its twin in the compiling child.
//!
//! Both come from [`base`], so that what the child compiles is what the host accepts. The host's
//! engine has no compiler at all: nothing can be compiled in the serving process.

use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};
use wasmtime::{Config, Enabled, Engine, PoolingAllocationConfig};

use crate::config::{MEMORY_KEEP_RESIDENT_BLIND_MAX, SandboxConfig};
use crate::error::SandboxError;
use crate::limits::MEMORY_BYTES_MAX;

/// Core instances of one component: a Rust plugin has 3, componentize-py about 40. They cost the
/// pool a counter, no reservation.
const CORE_INSTANCES_PER_COMPONENT_MAX: u32 = 128;
/// Elements of one table in the pool: 8 bytes of address space each.
const TABLE_ELEMENTS_MAX: usize = 1 << 17;
/// Bytes of wasmtime's own bookkeeping for one instance; CPython needs about 300 KiB.
const INSTANCE_BOOKKEEPING_BYTES_MAX: usize = 4 << 20;
/// The stack on which a guest runs, and the part of it that wasm code may use; the rest is for host
/// calls made from it.
const STACK_BYTES: usize = 1 << 20;
const WASM_STACK_BYTES: usize = 512 << 10;

fn base() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // Asynchronous functions of the component model: not in the contract, and warm calls cost
        // three times as much with them.
        .concurrency_support(false)
        // Proposals that no plugin needs and most advisories need.
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        // The same batch gives the same result on every machine.
        .relaxed_simd_deterministic(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(STACK_BYTES)
        .memory_init_cow(true)
        // Traps are told by their kind; walking a guest's stack at each would only make them
        // dearer.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .native_unwind_info(false);
    config
}

/// The engine of the compiling child: it never instantiates, so it reserves nothing.
///
/// It compiles on one thread: wasmtime's feature `parallel-compilation` is off in this build.
pub(crate) fn compiling() -> wasmtime::Result<Engine> {
    Engine::new(&base())
}

/// The host's engine.
pub(crate) fn serving(config: &SandboxConfig) -> Result<Engine, SandboxError> {
    let count = |n: usize, what: &str| {
        u32::try_from(n)
            .ok()
            .filter(|&n| n > 0)
            .ok_or_else(|| SandboxError::Config(format!("{n} is no sensible number of {what}")))
    };
    let instances = count(config.instances, "instances")?;
    let total = |each: u32, what: &str| {
        instances
            .checked_mul(each)
            .ok_or_else(|| SandboxError::Config(format!("too many {what}")))
    };
    let keep_resident = if PoolingAllocationConfig::is_pagemap_scan_available() {
        config.memory_keep_resident_bytes
    } else {
        config
            .memory_keep_resident_bytes
            .min(MEMORY_KEEP_RESIDENT_BLIND_MAX)
    };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(total(CORE_INSTANCES_PER_COMPONENT_MAX, "core instances")?)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT_MAX)
        .total_memories(total(config.upload.memories, "memories")?)
        .max_memories_per_component(config.upload.memories)
        .total_tables(total(config.upload.tables, "tables")?)
        .max_tables_per_component(config.upload.tables)
        .total_stacks(instances)
        .max_memory_size(MEMORY_BYTES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_component_instance_size(INSTANCE_BOOKKEEPING_BYTES_MAX)
        .max_core_instance_size(INSTANCE_BOOKKEEPING_BYTES_MAX)
        .linear_memory_keep_resident(keep_resident)
        .table_keep_resident(TABLE_KEEP_RESIDENT_BYTES)
        .max_unused_warm_slots(instances)
        .pagemap_scan(Enabled::Auto);
    let mut engine = base();
    engine.enable_compiler(false).allocation_strategy(pool);
    Engine::new(&engine).map_err(|e| SandboxError::Engine(format!("{e:#}")))
}

/// Bytes of a table that a slot clears itself rather than through the system: the function table of
/// a Rust plugin has a few hundred elements.
const TABLE_KEEP_RESIDENT_BYTES: usize = 16 << 10;

/// Identifies wasmtime's version and every setting that compiled code depends on.
pub(crate) fn compatibility() -> Result<String, SandboxError> {
    struct Sha(Sha256);
    impl Hasher for Sha {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0 // Nobody asks: the digest is read below.
        }
    }
    let engine = compiling().map_err(|e| SandboxError::Engine(format!("{e:#}")))?;
    let mut sha = Sha(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut sha);
    Ok(hex::encode(sha.0.finalize()))
}
