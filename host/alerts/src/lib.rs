//! Alerts: rules over what is measured, the states of their alerts, and durable delivery of what changes.
//!
//! - A tenant's [`RulesFile`] says what is too low or too high, over metrics of a [`Catalogue`].
//! - [`Alerts::observe`] compares values with the rules: `inactive → pending → firing → resolved`, one
//!   alert for each rule and thing that it looks at.
//! - What begins to fire, and what resolves, becomes a [`Notification`] for each receiver: stored in the
//!   same commit as the state, delivered at least once by [`Alerts::run`], in order for each alert.
//! - Receivers are webhooks, Alertmanagers, Slack's incoming webhooks and e-mail. Their addresses are a
//!   tenant's word, so they are public ones unless the operator allows others: [`Network`].
//!
//! This crate measures nothing and knows no model, plugin or server: values come with their times, and
//! every call but [`Alerts::run`] and [`Alerts::test_receiver`] takes the time as an argument. Calls that
//! aren't `async` may wait for the disk, so asynchronous callers put them into `spawn_blocking`.
//!
//! Everything is a tenant's: no call reads or changes what is another's, and each number of things that
//! a tenant can have has a limit.

mod alerts;
mod error;
mod instance;
mod keys;
mod lane;
mod name;
mod network;
mod notification;
mod pattern;
mod period;
mod phase;
mod random;
mod receivers;
mod rules;
mod silence;
mod tenant;
mod worker;

pub use alerts::{Alert, Alerts, OBSERVATIONS_MAX, Options};
pub use error::AlertsError;
pub use instance::{Condition, Observation, Window};
pub use lane::{IN_FLIGHT_MAX, Retry, WAITING_MAX};
pub use name::{
    LABEL_NAME_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_MAX, LINK_BYTES_MAX, Labels, NAME_CHARS_MAX,
    TEXT_BYTES_MAX,
};
pub use network::{Allowed, Network};
pub use notification::{Notification, Status};
pub use pattern::{MATCHERS_MAX, Matcher, Pattern};
pub use period::{PERIOD_MAX, Period};
pub use phase::Phase;
pub use receivers::{
    AlertmanagerSpec, DELIVERY_HEADER, DeliveryError, EmailSpec, EmailTls, Failure, ReceiverSpec,
    ReceiverView, SIGNATURE_HEADER, Secret, SlackSpec, WebhookSpec, signature,
};
pub use rules::{
    Catalogue, FILE_BYTES_MAX, Kind, Metric, NoData, Operator, RULES_MAX, Rule, RulesFile, Selector,
    Severity, Unit,
};
pub use silence::{SILENCES_MAX, Silence, SilenceSpec};
pub use tenant::{INSTANCES_MAX, Observed, RECEIVERS_MAX, Standing};
