//! What the system says of this process, under the names that all of Prometheus's clients give it.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use caisson_metrics::{Exposition, catalogue as metric};
use rustix::time::{ClockId, clock_gettime};

/// Write down what can be read; what can't has no sample.
pub(super) fn expose(to: &mut Exposition) {
    let cpu = Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default();
    to.value(&metric::PROCESS_CPU_SECONDS, &[], cpu.as_secs_f64());
    if let Some(bytes) = resident_bytes() {
        to.count(&metric::PROCESS_MEMORY_BYTES, &[], bytes);
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // One of them is the folder that is being read.
        let open = files.count().saturating_sub(1);
        to.count(&metric::PROCESS_OPEN_FDS, &[], open as u64);
    }
    if let Some(start) = started() {
        to.value(&metric::PROCESS_START_SECONDS, &[], start);
    }
}

fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Seconds since 1970.
fn started() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, in parentheses, may have any characters.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: f64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    let since_boot = ticks / rustix::param::clock_ticks_per_second() as f64;
    let boot = Duration::try_from(clock_gettime(ClockId::Boottime)).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(now.as_secs_f64() - boot.as_secs_f64() + since_boot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_started_a_moment_ago_and_has_memory() {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs_f64();
        let started = started().unwrap();
        assert!(
            started <= now + 1.0 && started > now - 600.0,
            "{started} at {now}"
        );
        assert!(resident_bytes().unwrap() > 1 << 20);
    }
}
