//! What a person who waits gets to read: a headline a step, the tools' own lines under it, and how
//! long it took.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Do one step under its headline. The closure gets a function that prints a line of progress, and
/// returns what the step found or made, in a few words.
pub(crate) fn step(name: &str, work: impl FnOnce(&mut dyn FnMut(&str)) -> Result<String>) -> Result<()> {
    let start = Instant::now();
    eprintln!("• {name}");
    let outcome = work(&mut |line: &str| {
        for line in line.lines() {
            eprintln!("    {line}");
        }
    })
    .with_context(|| name.to_owned())?;
    eprintln!("  {outcome} ({})", duration(start));
    Ok(())
}

/// Write what was measured for programs, and say where.
pub(crate) fn save(file: &Path, json: &Value) -> Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, format!("{json}\n")).with_context(|| file.display().to_string())?;
    println!("   ({})", file.display());
    Ok(())
}

/// `0.3 s`, `12 s`, `3 min 20 s`.
pub(crate) fn duration(start: Instant) -> String {
    let elapsed = start.elapsed();
    match elapsed.as_secs() {
        0..10 => format!("{:.1} s", elapsed.as_secs_f64()),
        seconds @ 10..120 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// `96 KB`, `1.2 MB`.
pub(crate) fn bytes(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let count_f = count as f64;
    if count < 1_000_000 {
        format!("{:.0} KB", count_f / 1e3)
    } else {
        format!("{:.1} MB", count_f / 1e6)
    }
}
