//! A headless browser that looks at a page of the file system, without a network.
//!
//! Chromium, as Debian's package `chromium` has it. Where it isn't installed, [`find`] says how to get it:
//! a test without it is skipped with that sentence, and fails where the variable `CI` is set.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

/// Names that it goes by.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// Time that the page gets, in its own clock, milliseconds.
const BUDGET_MS: u32 = 5_000;
/// The page that looks into another one; `PAGE` stands for its address.
const LOOK: &str = include_str!("look.html");

/// The browser.
#[derive(Debug, Clone)]
pub struct Browser {
    program: PathBuf,
}

/// What the browser made of a page.
#[derive(Debug, Clone, Deserialize)]
pub struct Seen {
    /// The page's title.
    pub title: String,
    /// All its text.
    pub text: String,
    /// Width and height of every chart, as laid out.
    pub charts: Vec<(f64, f64)>,
    /// Elements that run something or load something.
    pub active: Vec<String>,
    /// How far the page is wider than its window.
    pub overflow: f64,
    /// The number of elements.
    pub elements: usize,
    /// What was written to the console, the browser's own complaints included.
    #[serde(default)]
    pub console: Vec<String>,
    /// Addresses that were asked for, beside the page itself.
    #[serde(default)]
    pub requests: Vec<String>,
}

/// The installed browser; `None`, with a sentence on standard error, where there is none.
///
/// # Errors
///
/// There is none, and the variable `CI` says that there has to be.
pub fn find() -> Result<Option<Browser>> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders)
        .flat_map(|folder| PROGRAMS.map(|program| folder.join(program)))
        .find(|program| program.is_file());
    if let Some(program) = found {
        return Ok(Some(Browser { program }));
    }
    let missing = "this test looks at a page in Chromium, which isn't installed: `apt-get install chromium`";
    if std::env::var_os("CI").is_some() {
        bail!("{missing}");
    }
    eprintln!("skipped: {missing}");
    Ok(None)
}

impl Browser {
    /// Open a page in a window of this size, and look at it.
    ///
    /// # Errors
    ///
    /// The browser fails, or can't say what it sees.
    pub fn look(&self, page: &Path, (width, height): (u32, u32)) -> Result<Seen> {
        let folder = tempfile::tempdir()?;
        let look = folder.path().join("look.html");
        let address = address(page)?;
        let text = LOOK
            .replace("PAGE", &address)
            .replace("WIDTH", &width.to_string())
            .replace("HEIGHT", &height.to_string());
        std::fs::write(&look, text)?;
        let net_log = folder.path().join("net.json");
        let output = self.run(
            folder.path(),
            &[
                format!("--window-size={width},{height}").into(),
                format!("--log-net-log={}", net_log.display()).into(),
                // The looking page reads the other one's layout.
                "--allow-file-access-from-files".into(),
                "--disable-web-security".into(),
                "--dump-dom".into(),
                look.into_os_string(),
            ],
        )?;
        let dom = String::from_utf8_lossy(&output.stdout);
        let found = dom
            .split_once("<pre id=\"seen\">")
            .and_then(|(_, rest)| rest.split_once("</pre>"))
            .map(|(json, _)| json)
            .with_context(|| format!("the browser shows `{dom}`"))?;
        let json = found
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&nbsp;", "\u{a0}")
            .replace("&amp;", "&");
        let mut seen: Seen = serde_json::from_str(&json).with_context(|| json.clone())?;
        let said = String::from_utf8_lossy(&output.stderr);
        seen.console = said
            .lines()
            .filter(|line| line.contains(":CONSOLE"))
            .map(str::to_owned)
            .collect();
        seen.requests = requests(&net_log)?;
        Ok(seen)
    }

    /// Print a page.
    ///
    /// # Errors
    ///
    /// The browser fails.
    pub fn pdf(&self, page: &Path) -> Result<Vec<u8>> {
        let folder = tempfile::tempdir()?;
        let pdf = folder.path().join("page.pdf");
        let out = format!("--print-to-pdf={}", pdf.display());
        let args = [out.into(), "--no-pdf-header-footer".into(), address(page)?.into()];
        self.run(folder.path(), &args)?;
        std::fs::read(&pdf).context("the browser printed nothing")
    }

    /// Take a picture of a page.
    ///
    /// # Errors
    ///
    /// The browser fails.
    pub fn screenshot(&self, page: &Path, png: &Path, (width, height): (u32, u32), dark: bool) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut args = vec![
            format!("--screenshot={}", png.display()).into(),
            format!("--window-size={width},{height}").into(),
            "--hide-scrollbars".into(),
        ];
        if dark {
            args.push("--blink-settings=preferredColorScheme=0".into());
        }
        args.push(address(page)?.into());
        self.run(folder.path(), &args).map(drop)
    }

    fn run(&self, folder: &Path, args: &[OsString]) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command
            .args([
                "--headless",
                // Containers have no user namespaces; the pages are this test's own.
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-default-apps",
                "--disable-extensions",
                "--disable-sync",
                "--host-resolver-rules=MAP * ~NOTFOUND",
                "--enable-logging=stderr",
            ])
            .arg(format!("--virtual-time-budget={BUDGET_MS}"))
            .arg(format!("--user-data-dir={}", folder.join("profile").display()))
            .args(args);
        let output = command
            .output()
            .with_context(|| self.program.display().to_string())?;
        ensure!(
            output.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(output)
    }
}

fn address(page: &Path) -> Result<String> {
    let page = page.canonicalize().with_context(|| page.display().to_string())?;
    Ok(format!("file://{}", page.display()))
}

/// The addresses in a log of the network that a page asked for. The browser asks for some of its own, which
/// have no page as their origin.
fn requests(net_log: &Path) -> Result<Vec<String>> {
    const BROWSER: &str = "not an origin";
    let log: Value = serde_json::from_slice(&std::fs::read(net_log)?).context("the log of the network")?;
    let events = log.get("events").and_then(Value::as_array).context("no events")?;
    let asked = events.iter().filter_map(|event| {
        let origin = event.pointer("/params/initiator")?.as_str()?;
        let address = event.pointer("/params/url")?.as_str()?;
        let local = address.starts_with("file:") || address.starts_with("data:");
        (origin != BROWSER && !local).then(|| address.to_owned())
    });
    Ok(asked.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_does_is_seen() {
        let Some(browser) = find().unwrap() else { return };
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("page.html");
        let text = "<title>t</title><img src=\"http://example.invalid/x.png\">\
                    <script>console.error('a complaint')</script><p onclick=\"x()\">text</p>\
                    <svg width=\"40\" height=\"20\"></svg><div style=\"width: 5000px\">wide</div>";
        std::fs::write(&page, text).unwrap();
        let seen = browser.look(&page, (800, 600)).unwrap();
        assert_eq!(seen.requests, ["http://example.invalid/x.png"]);
        assert!(
            seen.console.iter().any(|line| line.contains("a complaint")),
            "{seen:?}"
        );
        assert_eq!(seen.active.len(), 3, "{:?}", seen.active);
        assert_eq!(
            (seen.title.as_str(), seen.charts.as_slice()),
            ("t", &[(40.0, 20.0)][..])
        );
        assert!(seen.overflow > 4000.0 && seen.text.contains("wide"));
    }
}
