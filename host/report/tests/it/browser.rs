//! Pages in a real browser.

use std::fs;
use std::path::PathBuf;

use caisson_report::{Report, render};
use caisson_test_tools::browser::{self, Seen};

use crate::markup::HOSTILE;
use crate::{bare, full};

/// The page as a file, which stays for who wants to look at it.
fn file(name: &str, report: &Report) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(&folder).unwrap();
    let page = folder.join(format!("{name}.html"));
    fs::write(&page, render(report)).unwrap();
    page
}

/// It loads nothing, runs nothing, complains of nothing, and shows everything.
#[track_caller]
fn assert_sound(seen: &Seen) {
    assert!(seen.console.is_empty(), "{:?}", seen.console);
    assert!(seen.requests.is_empty(), "{:?}", seen.requests);
    assert!(seen.active.is_empty(), "{:?}", seen.active);
    assert!(seen.overflow <= 0.0, "wider than its window by {}", seen.overflow);
    for (width, height) in &seen.charts {
        assert!(*width > 150.0 && *height > 25.0, "a chart of {width} × {height}");
    }
}

#[test]
fn a_full_report_is_laid_out_and_printed() {
    let Some(browser) = browser::find().unwrap() else {
        return;
    };
    let page = file("full", &full("churn"));
    for window in [(1280, 900), (390, 800)] {
        let seen = browser.look(&page, window).unwrap();
        assert_sound(&seen);
        assert_eq!(seen.title, "churn — Caisson report");
        // Eight columns with a chart, five lines, and the stages.
        assert_eq!(seen.charts.len(), 8 + 5 + 1);
        for text in [
            "Why is it slow?",
            "feature_5",
            "importance 31 %",
            "missing 1.0 % → 12 %",
            "revision 7 went live",
        ] {
            assert!(seen.text.contains(text), "{text}");
        }
    }
    let pdf = browser.pdf(&page).unwrap();
    assert!(
        pdf.starts_with(b"%PDF") && pdf.len() > 20_000,
        "{} bytes",
        pdf.len()
    );
    let png = page.with_extension("png");
    browser.screenshot(&page, &png, (1280, 4200), false).unwrap();
    assert!(fs::metadata(png).unwrap().len() > 50_000);
}

#[test]
fn hostile_names_are_text() {
    let Some(browser) = browser::find().unwrap() else {
        return;
    };
    let elements = browser
        .look(&file("plain", &full("x")), (1280, 900))
        .unwrap()
        .elements;
    for (i, name) in HOSTILE.into_iter().enumerate() {
        let seen = browser
            .look(&file(&format!("hostile-{i}"), &full(name)), (1280, 900))
            .unwrap();
        assert_sound(&seen);
        assert_eq!(seen.elements, elements, "{name} made elements");
        let shown: String = name
            .chars()
            .filter(|c| !matches!(c, '\u{0}' | '\u{202e}'))
            .collect();
        assert!(
            seen.text.contains(&shown) || shown.contains("&lt;"),
            "{name} isn't shown"
        );
    }
}

#[test]
fn a_report_of_nothing_is_a_page_too() {
    let Some(browser) = browser::find().unwrap() else {
        return;
    };
    let seen = browser.look(&file("bare", &bare()), (1280, 900)).unwrap();
    assert_sound(&seen);
    assert!(seen.charts.is_empty() && seen.text.contains("Add labels to the deployment's file."));
}
