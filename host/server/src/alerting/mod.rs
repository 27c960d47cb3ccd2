//! Alerts on what this server measures of its deployments.
//!
//! [`catalogue`] is what rules may name. [`Alerting`] compares rules with it at an interval, and delivers.

mod catalogue;
mod performance;
mod round;
mod windows;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::MissedTickBehavior;

use crate::app::App;
pub(crate) use catalogue::catalogue;
use round::Seen;

/// The tasks that evaluate rules and deliver notifications.
pub(crate) struct Alerting {
    stop: watch::Sender<bool>,
    evaluating: JoinHandle<()>,
    delivering: JoinHandle<()>,
}

impl Alerting {
    /// Start both.
    pub(crate) fn start(app: &Arc<App>, interval: Duration) -> Self {
        let (stop, stopped) = watch::channel(false);
        let evaluating = tokio::spawn(evaluate(Arc::clone(app), interval, ended(stopped.clone())));
        let delivering = tokio::spawn(app.alerts.clone().run(ended(stopped)));
        Self {
            stop,
            evaluating,
            delivering,
        }
    }

    /// End both. What is being delivered gets the time that a delivery has; what waits is stored, and
    /// delivered after the next start.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        for (task, what) in [(self.evaluating, "evaluation"), (self.delivering, "delivery")] {
            if let Err(error) = task.await {
                tracing::error!(%error, "the {what} of alerts ended early");
            }
        }
    }
}

async fn ended(mut stopped: watch::Receiver<bool>) {
    // Its sender gone means the same.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Compare all tenants' rules with what was measured, again and again.
async fn evaluate(app: Arc<App>, interval: Duration, ended: impl Future<Output = ()>) {
    tokio::pin!(ended);
    let mut turns = tokio::time::interval(interval);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = Seen::default();
    loop {
        tokio::select! {
            () = &mut ended => return,
            _ = turns.tick() => {}
        }
        let app = Arc::clone(&app);
        let turn = spawn_blocking(move || {
            round::run(&app, &mut seen);
            seen
        });
        seen = turn.await.unwrap_or_else(|error| {
            tracing::error!(%error, "an evaluation of alert rules ended early");
            Seen::default()
        });
    }
}
