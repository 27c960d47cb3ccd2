//! What is written.

use caisson_report::model::{Bin, Part, Point, Shape, Status};
use caisson_report::{CHARTS_MAX, POINTS_MAX, SERIES_MAX, policy, render};

use crate::{bare, full, now};

/// What a tenant may call things, to get out of where they are written.
pub const HOSTILE: [&str; 6] = [
    "<script>alert(1)</script>",
    "</title></style></svg><img src=x onerror=alert(1)>",
    "\" onload=\"alert(1)",
    "' onmouseover='alert(1)",
    "-->]]>{{7*7}}${7*7}&lt;b&gt;",
    "javascript:alert(1)\u{202e}\u{0}",
];

/// The tags of a page, as a parser of tags sees them, and the texts between.
fn tags(page: &str) -> Vec<&str> {
    page.match_indices('<')
        .map(|(at, _)| {
            let rest = &page[at..];
            &rest[..=rest.find('>').expect("a tag ends")]
        })
        .collect()
}

#[test]
fn names_add_no_tag_and_no_attribute() {
    let plain = render(&full("plain"));
    for name in HOSTILE {
        let page = render(&full(name));
        let shape = |page: &str| -> Vec<String> {
            // Numbers of the geometry may differ with a name's length, names of tags and attributes not.
            tags(page)
                .iter()
                .map(|tag| tag.split('"').step_by(2).collect())
                .collect()
        };
        assert_eq!(shape(&page), shape(&plain), "{name}");
        assert!(!page.contains("<script") && !page.contains("<img"), "{name}");
        assert!(!page.contains('\u{202e}') && !page.contains('\u{0}'), "{name}");
    }
}

#[test]
fn the_page_needs_and_allows_nothing_else() {
    let page = render(&full("churn"));
    let policy = policy();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    for word in [
        "http://", "https://", "<script", "@import", "url(", " style=", " on",
    ] {
        let inside: Vec<&str> = tags(&page).into_iter().filter(|tag| tag.contains(word)).collect();
        assert!(inside.is_empty(), "{word}: {inside:?}");
    }
    let style = page
        .split("<style>")
        .nth(1)
        .unwrap()
        .split("</style>")
        .next()
        .unwrap();
    assert!(!style.contains("url(") && !style.contains("@import") && !style.contains('<'));
}

#[test]
fn what_is_not_known_says_how_to_get_it() {
    let page = render(&bare());
    for what in ["monitors", "windows", "labels"] {
        assert!(
            page.contains(&format!("Add {what} to the deployment&#39;s file.")),
            "{what}"
        );
    }
    assert!(page.contains("No stage was called.") && page.contains("No window has closed yet."));
}

#[test]
fn a_page_is_bounded() {
    let mut report = full("churn");
    let Part::Known(found) = &mut report.distributions else {
        panic!("distributions")
    };
    let one = found.columns[4].clone();
    found.columns = vec![one; 3_000];
    let Part::Known(list) = &mut report.drift else {
        panic!("drift")
    };
    let point = list[0].points[0];
    list[0].points = vec![point; 100_000];
    let line = list[0].clone();
    *list = vec![line; 1_000];
    let page = render(&report);
    assert!(page.len() < 8 << 20, "{} bytes", page.len());
    assert!(page.contains(&format!("{} more columns", 3_000 - CHARTS_MAX)));
    assert!(page.contains(&format!("{} more lines", 1_000 - SERIES_MAX)));
    let dots = page.matches("<circle").count();
    assert!(dots <= (SERIES_MAX + 6) * POINTS_MAX, "{dots}");
}

#[test]
fn odd_numbers_draw_something() {
    let mut report = full("churn");
    let Part::Known(found) = &mut report.distributions else {
        panic!("distributions")
    };
    let bin = |from, to, share| Bin {
        from,
        to,
        reference: share,
        current: share,
    };
    found.columns[0].shape = Shape::Numbers(vec![bin(1.0, 1.0, 1.0)]);
    found.columns[1].shape =
        Shape::Numbers(vec![bin(-1e300, 1e300, f64::NAN), bin(1e300, f64::INFINITY, 0.0)]);
    let Part::Known(list) = &mut report.performance else {
        panic!("performance")
    };
    let point = |value| Point {
        at: now(),
        value,
        interval: Some((f64::NEG_INFINITY, f64::INFINITY)),
        status: Status::Unknown,
    };
    list[0].points = vec![point(Some(3.0))];
    list[1].points = vec![point(None), point(Some(f64::NAN)), point(Some(f64::INFINITY))];
    let page = render(&report);
    for tag in tags(&page) {
        assert!(!tag.contains("NaN") && !tag.contains("inf"), "{tag}");
    }
}
