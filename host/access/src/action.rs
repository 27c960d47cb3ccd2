//! Actions and what they are done to: `deployment:predict` on `churn` is `deployment:churn:predict`.

use std::fmt;

use caisson_registry::TenantId;

macro_rules! actions {
    ($($(#[doc = $doc:literal])+ $action:ident = $kind:ident $text:literal),+ $(,)?) => {
        /// Everything that may be permitted or refused, named `resource:verb`. The same list is in
        /// `policies/caisson.cedarschema`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[doc = $doc])+ $action,)+
        }

        impl Action {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$action),+];

            /// `deployment:predict` …
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$action => $text,)+
                }
            }

            /// What it is done to.
            pub fn kind(self) -> Kind {
                match self {
                    $(Self::$action => Kind::$kind,)+
                }
            }
        }
    };
}

actions! {
    /// See which plugins there are.
    PluginList = Plugin "plugin:list",
    /// Read a plugin's description.
    PluginRead = Plugin "plugin:read",
    /// Upload a plugin.
    PluginPush = Plugin "plugin:push",
    /// Keep a plugin version from new uses, or let it be used again.
    PluginYank = Plugin "plugin:yank",
    /// Delete a plugin version.
    PluginDelete = Plugin "plugin:delete",
    /// See which models there are.
    ModelList = Model "model:list",
    /// Read a model's description.
    ModelRead = Model "model:read",
    /// Register a version.
    ModelRegister = Model "model:register",
    /// Change a description or tags.
    ModelDescribe = Model "model:describe",
    /// Delete a version.
    ModelDelete = Model "model:delete",
    /// Ask for a version's approval.
    ModelSubmit = Model "model:submit",
    /// Point an alias at a version.
    ModelSetAlias = Model "model:set-alias",
    /// Point an alias at a version that deployments in production follow.
    ModelSetProtectedAlias = Model "model:set-protected-alias",
    /// Give a version the approval that was asked for.
    ModelApprove = Model "model:approve",
    /// Refuse it.
    ModelReject = Model "model:reject",
    /// Say that a version isn't to be used any more.
    ModelArchive = Model "model:archive",
    /// See which deployments there are.
    DeploymentList = Deployment "deployment:list",
    /// Read a deployment's description and state.
    DeploymentRead = Deployment "deployment:read",
    /// Get predictions.
    DeploymentPredict = Deployment "deployment:predict",
    /// Say what came true of a prediction.
    DeploymentFeedback = Deployment "deployment:feedback",
    /// Get the monitors' report on given rows.
    DeploymentDrift = Deployment "deployment:drift",
    /// Read what was sent and answered, from the prediction log.
    DeploymentReadPredictions = Deployment "deployment:read-predictions",
    /// Tell performance now, rather than at the next turn.
    DeploymentEvaluate = Deployment "deployment:evaluate",
    /// Make a revision and let it serve.
    DeploymentDeploy = Deployment "deployment:deploy",
    /// Let an earlier revision serve again.
    DeploymentRollback = Deployment "deployment:rollback",
    /// Serve the live revision, prepared again.
    DeploymentLoad = Deployment "deployment:load",
    /// Take a deployment out of service until it is loaded, or the server starts, again.
    DeploymentUnload = Deployment "deployment:unload",
    /// Stop serving.
    DeploymentDelete = Deployment "deployment:delete",
    /// Read alerts, the rules behind them, and silences.
    AlertRead = Alert "alert:read",
    /// Replace the rules.
    AlertConfigure = Alert "alert:configure",
    /// Silence alerts, or end a silence.
    AlertSilence = Alert "alert:silence",
    /// See who is told of alerts.
    ReceiverRead = Receiver "receiver:read",
    /// Add or replace a receiver.
    ReceiverUpdate = Receiver "receiver:update",
    /// Remove a receiver.
    ReceiverDelete = Receiver "receiver:delete",
    /// Send a test to a receiver.
    ReceiverTest = Receiver "receiver:test",
    /// Make a tenant.
    TenantCreate = Tenant "tenant:create",
    /// See which tenants there are.
    TenantList = Tenant "tenant:list",
    /// Read a tenant's record.
    TenantRead = Tenant "tenant:read",
    /// Change a tenant's settings.
    TenantConfigure = Tenant "tenant:configure",
    /// Let none of a tenant's keys in.
    TenantSuspend = Tenant "tenant:suspend",
    /// Let them in again.
    TenantResume = Tenant "tenant:resume",
    /// Delete a tenant.
    TenantDelete = Tenant "tenant:delete",
    /// Read quotas and what is used of them.
    QuotaRead = Quota "quota:read",
    /// Change quotas.
    QuotaUpdate = Quota "quota:update",
    /// See which keys there are.
    KeyList = Key "key:list",
    /// Make a key.
    KeyCreate = Key "key:create",
    /// Take a key back.
    KeyRevoke = Key "key:revoke",
    /// Read the tenant's policies.
    PolicyRead = Policy "policy:read",
    /// Write a policy.
    PolicyUpdate = Policy "policy:update",
    /// Delete a policy.
    PolicyDelete = Policy "policy:delete",
    /// Read the audit log.
    AuditRead = Audit "audit:read",
    /// Write a backup of everything.
    BackupCreate = Backup "backup:create",
    /// Read the metrics of the whole server.
    MetricsRead = Metrics "metrics:read",
}

/// What an action is done to: the first half of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A plugin.
    Plugin,
    /// A model.
    Model,
    /// A deployment.
    Deployment,
    /// A tenant's alerts.
    Alert,
    /// A tenant's receivers of alerts.
    Receiver,
    /// A tenant.
    Tenant,
    /// A tenant's quotas.
    Quota,
    /// A tenant's keys.
    Key,
    /// A tenant's policies.
    Policy,
    /// A tenant's part of the audit log.
    Audit,
    /// The whole server's data.
    Backup,
    /// The whole server's metrics.
    Metrics,
}

impl Kind {
    /// `deployment` …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plugin => "plugin",
            Self::Model => "model",
            Self::Deployment => "deployment",
            Self::Alert => "alert",
            Self::Receiver => "receiver",
            Self::Tenant => "tenant",
            Self::Quota => "quota",
            Self::Key => "key",
            Self::Policy => "policy",
            Self::Audit => "audit",
            Self::Backup => "backup",
            Self::Metrics => "metrics",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Action {
    /// What is done: the second half of its name.
    pub fn verb(self) -> &'static str {
        self.as_str().split_once(':').map_or("", |(_, verb)| verb)
    }

    /// Does it change anything? Such actions are in the audit log, done or not. So is reading what a
    /// deployment's callers sent. Labels come as often as predictions are asked for, and are kept themselves.
    pub fn changes(self) -> bool {
        !matches!(
            self.verb(),
            "list" | "read" | "predict" | "drift" | "feedback" | "evaluate"
        )
    }

    /// Is it about the tenant's policies themselves? Those can't decide it: see [`crate::Access::authorize`].
    pub(crate) fn is_about_policies(self) -> bool {
        self.kind() == Kind::Policy
    }
}

/// Which one of a tenant's things an action is done to. The action says of what kind it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource<'a> {
    /// Its owner. For the server as a whole (backups, metrics, the list of tenants) `system`.
    pub tenant: &'a TenantId,
    /// Its name, or [`Resource::ANY_NAME`]. A caller's text; it need not exist, nor be a name.
    pub name: &'a str,
}

impl<'a> Resource<'a> {
    /// Stands for all of a kind, or none in particular.
    pub const ANY_NAME: &'static str = "*";

    /// The tenant's thing of this name.
    pub fn new(tenant: &'a TenantId, name: &'a str) -> Self {
        Self { tenant, name }
    }

    /// All of the tenant's things of a kind, as in a list.
    pub fn all(tenant: &'a TenantId) -> Self {
        Self::new(tenant, Self::ANY_NAME)
    }

    /// `deployment:churn:predict`, for messages.
    pub(crate) fn permission(&self, action: Action) -> String {
        let name = caisson_registry::shown(self.name);
        format!("{}:{name}:{}", action.kind().as_str(), action.verb())
    }
}
