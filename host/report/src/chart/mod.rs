//! Charts as SVG: no style attributes, so that the page's policy can forbid them.

mod bins;
mod categories;
mod lines;
mod stages;
mod ticks;

pub(crate) use bins::bins;
pub(crate) use categories::categories;
pub(crate) use lines::lines;
pub(crate) use stages::stages;
pub(crate) use ticks::{percent, short};

use crate::page::Page;

/// The open tag of a chart, and what it shows for who can't see it.
pub(crate) fn open(page: &mut Page, width: f64, height: f64, title: &str) {
    page.markup("<svg class=\"chart\" role=\"img\" viewBox=\"0 0 ")
        .number(width)
        .markup(" ")
        .number(height)
        .markup("\" width=\"")
        .number(width)
        .markup("\" height=\"")
        .number(height)
        .markup("\"><title>")
        .text(title)
        .markup("</title>");
}

pub(crate) fn close(page: &mut Page) {
    page.markup("</svg>");
}

pub(crate) fn rect(page: &mut Page, class: &'static str, x: f64, y: f64, width: f64, height: f64) {
    page.markup("<rect class=\"")
        .markup(class)
        .markup("\" x=\"")
        .number(x)
        .markup("\" y=\"")
        .number(y)
        .markup("\" width=\"")
        .number(width.max(0.0))
        .markup("\" height=\"")
        .number(height.max(0.0))
        .markup("\"/>");
}

pub(crate) fn line(page: &mut Page, class: &'static str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    page.markup("<line class=\"")
        .markup(class)
        .markup("\" x1=\"")
        .number(x1)
        .markup("\" y1=\"")
        .number(y1)
        .markup("\" x2=\"")
        .number(x2)
        .markup("\" y2=\"")
        .number(y2)
        .markup("\"/>");
}

pub(crate) fn label(page: &mut Page, class: &'static str, (x, y): (f64, f64), text: &str) {
    page.markup("<text class=\"")
        .markup(class)
        .markup("\" x=\"")
        .number(x)
        .markup("\" y=\"")
        .number(y)
        .markup("\">")
        .text(text)
        .markup("</text>");
}
