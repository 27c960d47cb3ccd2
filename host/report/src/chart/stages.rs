//! Stages' times as bars, in the order of the pipeline.

use super::{close, label, open, percent, rect, short};
use crate::model::StageTime;
use crate::page::Page;

const WIDTH: f64 = 720.0;
const ROW: f64 = 30.0;
const NAMES: f64 = 250.0;
const VALUES: f64 = 170.0;
/// Characters of a name.
const NAME_CHARS_MAX: usize = 38;

/// Draw them.
pub(crate) fn stages(page: &mut Page, stages: &[StageTime]) {
    let largest = stages
        .iter()
        .map(|stage| stage.share)
        .fold(f64::MIN_POSITIVE, f64::max);
    open(
        page,
        WIDTH,
        ROW * stages.len() as f64 + 4.0,
        "Share of all stages' time, by stage",
    );
    for (i, stage) in stages.iter().enumerate() {
        let top = ROW * i as f64 + 4.0;
        let mut name: String = stage.name.chars().take(NAME_CHARS_MAX).collect();
        if stage.name.chars().count() > NAME_CHARS_MAX {
            name.push('…');
        }
        let width = stage.share / largest * (WIDTH - NAMES - VALUES);
        label(page, "name end", (NAMES - 8.0, top + 15.0), &name);
        let class = if stage.share >= largest && stages.len() > 1 {
            "worst"
        } else {
            "current-bar"
        };
        rect(page, class, NAMES, top, width.max(1.0), 20.0);
        let p95 = stage
            .p95_ms
            .map_or_else(String::new, |p95| format!(", p95 {} ms", short(p95)));
        let value = format!("{} · {} ms{p95}", percent(stage.share), short(stage.mean_ms));
        label(page, "tick", (NAMES + width + 6.0, top + 14.5), &value);
    }
    close(page);
}
