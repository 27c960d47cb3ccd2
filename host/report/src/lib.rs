//! A deployment's report: from what is known of it to one HTML file that a person can look at.
//!
//! [`render`] takes a [`Report`] and gives a page that needs nothing else: styles and charts (SVG) are in
//! it, there is no script, and its own Content-Security-Policy forbids to load anything or to run
//! anything. So it can be sent by e-mail, opened offline, kept, and printed.
//!
//! Every text of a tenant is escaped where it is written ([`Page`] takes no other). A part that isn't known
//! says so, and how to get it. The page is bounded: the constants below say by what, and what is left out
//! is counted in it.
//!
//! | module | what |
//! | --- | --- |
//! | [`model`] | what a report says |
//! | `page` | writing, escaping |
//! | `chart` | bars, lines and bins as SVG |
//! | `sections` | the parts of the page |

mod chart;
pub mod model;
mod page;
mod sections;

pub use model::Report;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use page::Page;
use sha2::{Digest as _, Sha256};

/// Features and predictions that get a chart, those that matter most: a chart is about 3 KB.
pub const CHARTS_MAX: usize = 120;
/// Categories of one chart.
pub const CATEGORIES_MAX: usize = 12;
/// Lines of one section: monitors by features, or metrics by segments.
pub const SERIES_MAX: usize = 60;
/// Points of one line, the newest.
pub const POINTS_MAX: usize = 400;
/// Characters of a name or a sentence of a tenant that are shown.
pub const TEXT_CHARS_MAX: usize = 400;

const STYLE: &str = include_str!("style.css");

/// A number as the page shows it: up to four digits that count.
pub fn number(value: f64) -> String {
    chart::short(value)
}

/// The page's Content-Security-Policy, which a server may say as well: its own style, and nothing else.
pub fn policy() -> String {
    let digest = BASE64.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
}

/// The page.
pub fn render(report: &Report) -> String {
    let mut page = Page::new();
    page.markup("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.markup("<meta http-equiv=\"Content-Security-Policy\" content=\"");
    page.text(&policy());
    page.markup("\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.markup("<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n");
    // Or the browser asks whichever server it came from for one.
    page.markup("<link rel=\"icon\" href=\"data:,\">\n<title>");
    page.text(&report.deployment);
    page.markup(" — Caisson report</title>\n<style>");
    page.markup(STYLE);
    page.markup("</style>\n</head>\n<body>\n");
    sections::write(&mut page, report);
    page.markup("</body>\n</html>\n");
    page.finish()
}
