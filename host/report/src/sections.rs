//! The parts of the page, in its order.

use caisson_diagnosis::{Absent, Event, EventKind, Finding, Question, Severity};
use jiff::Timestamp;

use crate::chart::{self, percent};
use crate::model::{
    Distribution, Distributions, Group, Latency, Part, Report, Series, Shape, Status, Verdict,
};
use crate::page::Page;
use crate::{CATEGORIES_MAX, CHARTS_MAX, SERIES_MAX};

pub(crate) fn write(page: &mut Page, report: &Report) {
    header(page, report);
    page.markup("<main>\n");
    summary(page, &report.verdicts);
    diagnosis(page, report);
    section(
        page,
        "<section id=\"distributions\">",
        "Distributions",
        &report.distributions,
        distributions,
    );
    let events = &report.diagnosis.events;
    section(
        page,
        "<section id=\"drift\">",
        "Drift over time",
        &report.drift,
        |page, list| {
            page.element("<p class=\"lead\">", "One chart a monitored feature: its statistic, window by window, and the threshold. Vertical lines are changes: ▲ deploy, ↩ rollback, ⇄ alias.", "</p>\n");
            series(page, list, events);
        },
    );
    section(
        page,
        "<section id=\"performance\">",
        "Performance over time",
        &report.performance,
        |page, list| {
            page.element(
                "<p class=\"lead\">",
                "Metrics against labels, with their intervals where they have one.",
                "</p>\n",
            );
            series(page, list, events);
        },
    );
    section(
        page,
        "<section id=\"latency\">",
        "Latency",
        &report.latency,
        |page, found| latency(page, found, events),
    );
    timeline(page, events);
    unknown(page, &report.diagnosis.unknown);
    page.markup("</main>\n<footer>");
    page.text("Made by Caisson from what it has measured. The page loads nothing and runs nothing.");
    page.markup("</footer>\n");
}

fn header(page: &mut Page, report: &Report) {
    page.markup("<header>\n")
        .element("<p class=\"kicker\">Caisson report · ", &report.tenant, "</p>\n");
    page.element("<h1>", &report.deployment, "</h1>\n");
    if !report.description.is_empty() {
        page.element("<p class=\"lead\">", &report.description, "</p>\n");
    }
    let model = report
        .model
        .as_ref()
        .map_or_else(String::new, |model| format!(" · model {model}"));
    let line = format!("revision {}{model} · {}", report.revision, moment(report.made_at));
    page.element("<p class=\"meta\">", &line, "</p>\n");
    page.markup("<nav><a href=\"#summary\">Summary</a><a href=\"#diagnosis\">Diagnosis</a><a href=\"#distributions\">Distributions</a><a href=\"#drift\">Drift</a><a href=\"#performance\">Performance</a><a href=\"#latency\">Latency</a><a href=\"#timeline\">Time line</a></nav>\n</header>\n");
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn word(status: Status) -> (&'static str, &'static str) {
    match status {
        Status::Good => ("<span class=\"badge good\">", "good"),
        Status::Unknown => ("<span class=\"badge unknown\">", "unknown"),
        Status::Warning => ("<span class=\"badge warning\">", "look"),
        Status::Bad => ("<span class=\"badge bad\">", "bad"),
    }
}

fn badge(page: &mut Page, status: Status) {
    let (open, text) = word(status);
    page.element(open, text, "</span>");
}

fn summary(page: &mut Page, verdicts: &[Verdict]) {
    page.markup("<section id=\"summary\"><h2>Summary</h2>\n<ul class=\"cards\">\n");
    for verdict in verdicts {
        page.markup("<li>").element("<h3>", &verdict.label, "</h3>");
        badge(page, verdict.status);
        page.element("<p>", &verdict.text, "</p></li>\n");
    }
    page.markup("</ul></section>\n");
}

fn diagnosis(page: &mut Page, report: &Report) {
    page.markup("<section id=\"diagnosis\"><h2>Diagnosis</h2>\n");
    let found = &report.diagnosis;
    for (question, title, answer) in [
        (Question::Slow, "Why is it slow?", &found.slow),
        (Question::Wrong, "Why is it wrong?", &found.wrong),
    ] {
        page.element("<h3>", title, "</h3>\n")
            .markup("<p class=\"answer\">")
            .prose(answer)
            .markup("</p>\n");
        page.markup("<ol class=\"findings\">\n");
        for finding in found.of(question) {
            write_finding(page, finding);
        }
        page.markup("</ol>\n");
    }
    page.markup("</section>\n");
}

fn write_finding(page: &mut Page, finding: &Finding) {
    page.markup(match finding.severity {
        Severity::Critical => "<li class=\"bad\">",
        Severity::Warning => "<li class=\"warning\">",
        Severity::Notice => "<li class=\"unknown\">",
    });
    let severity = match finding.severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Notice => "notice",
    };
    page.element("<p class=\"sentence\"><b>", severity, "</b> ")
        .prose(&finding.sentence)
        .markup("</p>");
    page.markup("<dl>");
    for fact in &finding.evidence {
        page.markup("<div><dt>")
            .prose(&fact.label)
            .markup("</dt><dd>")
            .prose(&fact.value);
        if let Some(link) = &fact.link {
            page.element(" <code>", link, "</code>");
        }
        page.markup("</dd></div>");
    }
    page.markup("</dl>")
        .markup("<p class=\"next\">→ ")
        .prose(&finding.next_step)
        .markup("</p></li>\n");
}

/// A section whose content may not be known.
fn section<T>(
    page: &mut Page,
    open: &'static str,
    title: &'static str,
    part: &Part<T>,
    write: impl FnOnce(&mut Page, &T),
) {
    page.markup(open).element("<h2>", title, "</h2>\n");
    match part {
        Part::Known(known) => write(page, known),
        Part::Unknown(absent) => missing(page, absent),
    }
    page.markup("</section>\n");
}

fn missing(page: &mut Page, absent: &Absent) {
    page.element("<p class=\"absent\"><b>", &absent.what, "</b> ")
        .prose(&absent.how)
        .markup("</p>\n");
}

fn left_out(page: &mut Page, count: usize, what: &str) {
    if count > 0 {
        page.element(
            "<p class=\"meta\">",
            &format!("{count} more {what} aren't drawn."),
            "</p>\n",
        );
    }
}

fn distributions(page: &mut Page, found: &Distributions) {
    page.markup("<p class=\"legend\"><span class=\"key reference\"></span>")
        .text(&found.reference);
    page.markup("<span class=\"key current\"></span>")
        .text(&found.current)
        .markup("</p>\n");
    for (group, title) in [(Group::Prediction, "Predictions"), (Group::Feature, "Features")] {
        let of: Vec<&Distribution> = found
            .columns
            .iter()
            .filter(|column| column.group == group)
            .collect();
        if of.is_empty() {
            continue;
        }
        page.element("<h3>", title, "</h3>\n")
            .markup("<div class=\"grid\">\n");
        for column in of.iter().take(CHARTS_MAX) {
            distribution(page, column);
        }
        page.markup("</div>\n");
        left_out(page, of.len().saturating_sub(CHARTS_MAX), "columns");
    }
}

fn distribution(page: &mut Page, column: &Distribution) {
    page.markup("<figure><figcaption>")
        .element("<span class=\"title\">", &column.name, "</span>");
    badge(page, column.status);
    page.markup("</figcaption>");
    let title = format!("{}: reference against current", column.name);
    match &column.shape {
        Shape::Numbers(bins) => chart::bins(page, &title, bins),
        Shape::Categories(list) => {
            let shown: Vec<_> = list.iter().take(CATEGORIES_MAX).cloned().collect();
            chart::categories(page, &title, &shown);
            left_out(page, list.len().saturating_sub(CATEGORIES_MAX), "categories");
        }
        Shape::Nothing(why) => _ = page.element("<p class=\"absent\">", why, "</p>"),
    }
    let mut facts = Vec::new();
    if let Some(share) = column.importance {
        facts.push(format!("importance {}", percent(share)));
    }
    if let Some((before, now)) = column.missing.filter(|(before, now)| *before > 0.0 || *now > 0.0) {
        facts.push(format!("missing {} → {}", percent(before), percent(now)));
    }
    if !column.detail.is_empty() {
        facts.push(column.detail.clone());
    }
    if !facts.is_empty() {
        page.markup("<p class=\"note\">")
            .prose(&facts.join(" · "))
            .markup("</p>");
    }
    page.markup("</figure>\n");
}

fn series(page: &mut Page, list: &[Series], events: &[Event]) {
    page.markup("<div class=\"grid wide\">\n");
    for one in list.iter().take(SERIES_MAX) {
        page.markup("<figure><figcaption>")
            .element("<span class=\"title\">", &one.title, "</span>");
        let last = one.points.iter().rev().find(|point| point.value.is_some());
        if let Some(last) = last {
            badge(page, last.status);
        }
        page.markup("</figcaption>");
        if one.points.is_empty() {
            page.element("<p class=\"absent\">", "No window has closed yet.", "</p>");
        }
        chart::lines(page, one, events);
        if !one.note.is_empty() {
            page.element("<p class=\"note\">", &one.note, "</p>");
        }
        page.markup("</figure>\n");
    }
    page.markup("</div>\n");
    left_out(page, list.len().saturating_sub(SERIES_MAX), "lines");
}

fn latency(page: &mut Page, found: &Latency, events: &[Event]) {
    page.element("<p class=\"lead\">", &found.of, "</p>\n");
    if found.stages.is_empty() {
        page.element("<p class=\"absent\">", "No stage was called.", "</p>\n");
    } else {
        page.markup("<figure class=\"full\">");
        chart::stages(page, &found.stages);
        page.markup("</figure>\n<table><thead><tr><th>stage</th><th>calls</th><th>mean</th><th>p95</th><th>share</th></tr></thead><tbody>\n");
        for stage in &found.stages {
            page.element("<tr><td>", &stage.name, "</td>");
            page.element("<td>", &stage.calls.to_string(), "</td>");
            page.element("<td>", &format!("{} ms", chart::short(stage.mean_ms)), "</td>");
            let p95 = stage
                .p95_ms
                .map_or_else(|| "—".to_owned(), |p95| format!("{} ms", chart::short(p95)));
            page.element("<td>", &p95, "</td>");
            page.element("<td>", &percent(stage.share), "</td></tr>\n");
        }
        page.markup("</tbody></table>\n");
    }
    series(page, &found.series, events);
}

fn timeline(page: &mut Page, events: &[Event]) {
    page.markup("<section id=\"timeline\"><h2>Time line</h2>\n");
    if events.is_empty() {
        page.element(
            "<p class=\"absent\">",
            "Nothing was changed and nothing was raised.",
            "</p>\n",
        );
    }
    page.markup("<ol class=\"timeline\">\n");
    for event in events {
        page.markup(match event.kind {
            EventKind::Deploy
            | EventKind::Watch
            | EventKind::Rollback
            | EventKind::Alias
            | EventKind::Model => "<li class=\"change\">",
            EventKind::AlertFiring => "<li class=\"bad\">",
            EventKind::AlertResolved => "<li class=\"good\">",
            EventKind::Drift | EventKind::Performance => "<li class=\"warning\">",
        });
        page.element("<time>", &moment(event.at), "</time> ")
            .text(&event.text);
        if let Some(by) = &event.by {
            page.element(" <span class=\"meta\">by ", by, "</span>");
        }
        page.markup("</li>\n");
    }
    page.markup("</ol></section>\n");
}

fn unknown(page: &mut Page, absent: &[Absent]) {
    if absent.is_empty() {
        return;
    }
    page.markup("<section id=\"unknown\"><h2>What isn't known</h2>\n<ul>\n");
    for one in absent {
        page.element("<li><b>", &one.what, "</b> ")
            .prose(&one.how)
            .markup("</li>\n");
    }
    page.markup("</ul></section>\n");
}
