//! Two samples of numbers: the reference as bars, the current rows as a line of steps over them. Areas are
//! shares, whatever the bins' widths.

use super::ticks::{short, ticks};
use super::{close, label, line, open, rect};
use crate::model::Bin;
use crate::page::Page;

const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 8.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 22.0;

/// Draw them. Bins without a width are left out.
pub(crate) fn bins(page: &mut Page, title: &str, bins: &[Bin]) {
    let bins: Vec<&Bin> = bins.iter().filter(|bin| bin.to > bin.from).collect();
    let (Some(first), Some(last)) = (bins.first(), bins.last()) else {
        return;
    };
    let (low, high) = (first.from, last.to);
    let density = |share: f64, bin: &Bin| share / (bin.to - bin.from);
    let tallest = bins
        .iter()
        .flat_map(|bin| [density(bin.reference, bin), density(bin.current, bin)])
        .fold(f64::MIN_POSITIVE, f64::max);
    let x = |value: f64| LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT);
    let base = HEIGHT - BOTTOM;
    let y = |density: f64| base - density / tallest * (base - TOP);
    open(page, WIDTH, HEIGHT, title);
    for bin in &bins {
        let top = y(density(bin.reference, bin));
        rect(
            page,
            "reference",
            x(bin.from),
            top,
            x(bin.to) - x(bin.from),
            base - top,
        );
    }
    page.markup("<path class=\"current\" d=\"M")
        .number(x(low))
        .markup(" ")
        .number(base);
    for bin in &bins {
        let top = y(density(bin.current, bin));
        page.markup("V").number(top).markup("H").number(x(bin.to));
    }
    page.markup("V").number(base).markup("\"/>");
    line(page, "axis", (LEFT, base), (WIDTH - RIGHT, base));
    for tick in ticks(low, high, 4) {
        line(page, "axis", (x(tick), base), (x(tick), base + 4.0));
        label(page, "tick middle", (x(tick), HEIGHT - 6.0), &short(tick));
    }
    close(page);
}
