//! Two samples of categories: two bars each.

use super::{close, label, open, percent, rect};
use crate::model::Category;
use crate::page::Page;

const WIDTH: f64 = 320.0;
const ROW: f64 = 28.0;
const NAMES: f64 = 104.0;
const VALUES: f64 = 44.0;
/// Characters of a name.
const NAME_CHARS_MAX: usize = 16;

/// Draw them.
pub(crate) fn categories(page: &mut Page, title: &str, list: &[Category]) {
    let largest = list
        .iter()
        .flat_map(|category| [category.reference, category.current])
        .fold(f64::MIN_POSITIVE, f64::max);
    let width = |share: f64| share / largest * (WIDTH - NAMES - VALUES);
    open(page, WIDTH, ROW * list.len() as f64 + 4.0, title);
    for (i, category) in list.iter().enumerate() {
        let top = ROW * i as f64 + 4.0;
        let mut name: String = category.name.chars().take(NAME_CHARS_MAX).collect();
        if category.name.chars().count() > NAME_CHARS_MAX {
            name.push('…');
        }
        label(page, "name end", (NAMES - 8.0, top + 14.0), &name);
        rect(page, "reference", NAMES, top, width(category.reference), 9.0);
        rect(
            page,
            "current-bar",
            NAMES,
            top + 10.0,
            width(category.current),
            9.0,
        );
        label(
            page,
            "tick",
            (NAMES + width(category.reference) + 4.0, top + 8.0),
            &percent(category.reference),
        );
        label(
            page,
            "tick",
            (NAMES + width(category.current) + 4.0, top + 19.0),
            &percent(category.current),
        );
    }
    close(page);
}
