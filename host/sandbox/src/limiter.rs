//! Memory and tables of one instance, summed over all of them.
//!
//! wasmtime's own `StoreLimits` counts each memory alone. A refused growth is `memory.grow`'s −1, so
//! that a guest may cope; if it traps afterwards, [`Limiter::refused`] says why it most likely did.

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use crate::error::Cause;
use crate::meter::Meter as TenantMeter;
use crate::reclaim;

/// Core instances, memories and tables of one store, as far as the pool has them anyway.
const ITEMS_MAX: usize = 256;

/// What a guest was refused last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Memory,
    /// The tenant's instances have all the memory that they may have together.
    TenantMemory,
    Table,
}

#[derive(Debug)]
pub(crate) struct Limiter {
    tenant: Arc<TenantMeter>,
    memory: Meter,
    table: Meter,
    refused: Option<Refused>,
}

#[derive(Debug)]
struct Meter {
    used: usize,
    max: usize,
    /// What the growth under way adds: taken back if it fails.
    adding: usize,
}

impl Meter {
    fn grow(&mut self, current: usize, desired: usize) -> bool {
        self.adding = desired.saturating_sub(current);
        match self.used.checked_add(self.adding) {
            Some(used) if used <= self.max => {
                self.used = used;
                true
            }
            _ => {
                self.adding = 0;
                false
            }
        }
    }

    /// Undo the growth under way; gives what it would have added.
    fn take_back(&mut self) -> usize {
        let added = std::mem::take(&mut self.adding);
        self.used = self.used.saturating_sub(added);
        added
    }
}

impl Limiter {
    pub(crate) fn new(tenant: Arc<TenantMeter>, memory_bytes: usize, table_elements: usize) -> Self {
        let meter = |max| Meter {
            used: 0,
            max,
            adding: 0,
        };
        Self {
            tenant,
            memory: meter(memory_bytes),
            table: meter(table_elements),
            refused: None,
        }
    }

    /// The account of the instance's tenant.
    pub(crate) fn tenant(&self) -> &TenantMeter {
        &self.tenant
    }

    /// Bytes of linear memory, which never shrinks: also the peak.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory.used
    }

    /// The limit that a growth was refused for, as a cause.
    pub(crate) fn refusal(&self) -> Option<Cause> {
        Some(match self.refused? {
            Refused::Memory => Cause::Memory {
                limit_bytes: self.memory.max,
            },
            Refused::TenantMemory => Cause::TenantMemory {
                limit_bytes: self.tenant.memory_bytes_max(),
            },
            Refused::Table => Cause::Table {
                limit: self.table.max,
            },
        })
    }

    /// A new call on the same instance.
    pub(crate) fn forget_refusal(&mut self) {
        self.refused = None;
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.tenant.give_memory(self.memory.used);
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        reclaim::before_growing();
        if !self.memory.grow(current, desired) {
            self.refused = Some(Refused::Memory);
            return Ok(false);
        }
        if !self.tenant.take_memory(self.memory.adding) {
            self.memory.take_back();
            self.refused = Some(Refused::TenantMemory);
            return Ok(false);
        }
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        let taken = self.memory.take_back();
        self.tenant.give_memory(taken);
        self.refused = Some(Refused::Memory);
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let granted = self.table.grow(current, desired);
        if !granted {
            self.refused = Some(Refused::Table);
        }
        Ok(granted)
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.table.take_back();
        self.refused = Some(Refused::Table);
        Ok(())
    }

    fn instances(&self) -> usize {
        ITEMS_MAX
    }

    fn tables(&self) -> usize {
        ITEMS_MAX
    }

    fn memories(&self) -> usize {
        ITEMS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_summed_and_a_failed_growth_is_taken_back() {
        let mut limiter = Limiter::new(Arc::default(), 100, 10);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap()); // Another memory.
        assert_eq!(limiter.refusal(), None);
        assert!(!limiter.memory_growing(60, 61, None).unwrap());
        assert_eq!(limiter.refusal(), Some(Cause::Memory { limit_bytes: 100 }));
        assert_eq!(limiter.memory_bytes(), 100);
        limiter.forget_refusal();

        let mut limiter = Limiter::new(Arc::default(), 100, 10);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("no")).unwrap();
        assert_eq!(limiter.memory_bytes(), 0);
        assert!(limiter.memory_growing(0, 100, None).unwrap());
        assert!(!limiter.memory_growing(100, usize::MAX, None).unwrap());

        let tenant = Arc::new(TenantMeter::default());
        tenant.set_memory_bytes_max(150);
        let mut first = Limiter::new(Arc::clone(&tenant), 100, 10);
        assert!(first.memory_growing(0, 100, None).unwrap());
        let mut second = Limiter::new(Arc::clone(&tenant), 100, 10);
        assert!(!second.memory_growing(0, 60, None).unwrap());
        assert_eq!(second.refusal(), Some(Cause::TenantMemory { limit_bytes: 150 }));
        drop(first);
        assert!(second.memory_growing(0, 60, None).unwrap());
        assert_eq!(tenant.memory_bytes(), 60);

        assert!(limiter.table_growing(0, 10, None).unwrap());
        assert!(!limiter.table_growing(10, 11, None).unwrap());
        assert_eq!(limiter.refusal(), Some(Cause::Table { limit: 10 }));
    }
}
