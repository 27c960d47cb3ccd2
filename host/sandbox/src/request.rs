//! What a stage is asked to be, and how it runs.

use std::sync::Arc;

use caisson_data::Schema;

use crate::error::StageLabel;
use crate::graph::Graphs;
use crate::limits::Limits;
use crate::manifest::World;
use crate::meter::Meter;
use crate::wasi::Grants;

/// Bytes of a config: it is copied into the guest and kept with the revision.
pub const CONFIG_BYTES_MAX: usize = 1 << 20;
/// Calls that one warm instance serves, unless the stage says otherwise.
pub const WARM_USES_DEFAULT: u32 = 1000;
/// Warm instances of one stage, unless the stage says otherwise.
pub const WARM_INSTANCES_PER_STAGE_DEFAULT: usize = 4;

/// Whether calls share instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// Every call its own instance.
    #[default]
    Fresh,
    /// Calls take turns on instances that keep their memory from one to the next: faster, and for
    /// plugins that their tenant trusts not to carry data over.
    Warm {
        /// Instances at most.
        instances: usize,
        /// Calls that one instance serves before it is replaced.
        uses: u32,
        /// Linear memory above which an instance is replaced.
        memory_bytes: usize,
    },
}

impl Isolation {
    /// Warm, with the default numbers and half the memory limit.
    pub fn warm(limits: &Limits) -> Self {
        Self::Warm {
            instances: WARM_INSTANCES_PER_STAGE_DEFAULT,
            uses: WARM_USES_DEFAULT,
            memory_bytes: limits.memory_bytes / 2,
        }
    }

    pub(crate) fn check(self, instances_max: usize) -> Result<(), String> {
        match self {
            Self::Warm { instances, .. } if !(1..=instances_max).contains(&instances) => Err(format!(
                "a stage has 1 to {instances_max} warm instances, not {instances}"
            )),
            Self::Warm { uses: 0, .. } => Err("a warm instance serves 1 call or more, not 0".to_owned()),
            _ => Ok(()),
        }
    }
}

/// What a stage is made from.
pub struct StageRequest<'a> {
    /// Whose stage it will be.
    pub label: StageLabel,
    /// The component, as uploaded.
    pub component: &'a [u8],
    /// The world that it must be of.
    pub world: World,
    /// The config, JSON, already valid under the manifest's schema.
    pub config: &'a str,
    /// The schema of its input.
    pub input: Arc<Schema>,
    /// What it may use.
    pub limits: Limits,
    /// Whether calls share instances.
    pub isolation: Isolation,
    /// Adds up what it uses together with its tenant's other stages.
    pub meter: Arc<Meter>,
    /// What it may have of the outside world.
    pub grants: Grants,
    /// The models that it may use; `None` for no models.
    pub graphs: Option<Arc<dyn Graphs>>,
}

/// How calls of a stage get their instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageKind {
    /// A new instance each, configured before.
    Preinitialised,
    /// Turns on instances that live on.
    Warm {
        /// Why: asked for, or what kept the plugin from being snapshotted.
        reason: String,
    },
}
