//! What processes use, by the kernel's accounting (Linux's `/proc`).

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// The unit of CPU times in `/proc`, which the kernel's interface fixes at 100 a second.
const TICK: Duration = Duration::from_millis(10);

/// Bytes of memory.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// All that are resident.
    pub(crate) resident: u64,
    /// Those of them that are no page of a file.
    pub(crate) private: u64,
    /// Resident, a page that n processes share counted as 1/n.
    pub(crate) proportional: u64,
}

/// What one process uses now.
pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let bytes = |key: &str| -> Result<u64> {
        let mut values = text.lines().filter_map(|line| line.strip_prefix(key));
        let value = values.next().and_then(|value| value.trim().strip_suffix(" kB"));
        let kib: u64 = value.with_context(|| format!("{path} has no {key}"))?.parse()?;
        Ok(kib * 1024)
    };
    Ok(Memory {
        resident: bytes("Rss:")?,
        private: bytes("Anonymous:")?,
        proportional: bytes("Pss:")?,
    })
}

/// The cores that this process may run on in two halves, as `taskset` takes them; of one core, it twice.
pub(crate) fn halves() -> Result<(String, String)> {
    let text = fs::read_to_string("/proc/self/status")?;
    let mut lists = text
        .lines()
        .filter_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let list = lists
        .next()
        .context("/proc/self/status has no Cpus_allowed_list")?;
    let cores = cores(list.trim())?;
    let (first, second) = cores.split_at(cores.len().div_ceil(2));
    let list = |cores: &[u32]| cores.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let second = if second.is_empty() { first } else { second };
    Ok((list(first), list(second)))
}

/// The numbers in `0-3,8`.
fn cores(list: &str) -> Result<Vec<u32>> {
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cores.extend(first.parse::<u32>()?..=last.parse()?);
    }
    Ok(cores)
}

/// Keep a process, with all threads that it has, on these cores.
pub(crate) fn pin(pid: u32, cores: &str) -> Result<()> {
    let mut taskset = Command::new("taskset");
    taskset.args(["--all-tasks", "--cpu-list", "--pid", cores, &pid.to_string()]);
    let output = taskset.output().context("running taskset (util-linux)")?;
    ensure!(
        output.status.success(),
        "taskset: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// The fields of a `/proc/PID/stat` from the third on: the second, the program's name, may hold spaces.
fn stat(pid: &str) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// One number of them, by proc(5)'s numbering.
fn field(stat: &[String], number: usize) -> Option<u64> {
    stat.get(number - 3)?.parse().ok()
}

/// A process and all that descend from it.
pub(crate) fn tree(root: u32) -> BTreeSet<u32> {
    let processes: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let parent = field(&stat(&name)?, 4)?;
            Some((name.parse().ok()?, u32::try_from(parent).ok()?))
        })
        .collect();
    let mut found = BTreeSet::from([root]);
    loop {
        let before = found.len();
        let children = processes.iter().filter(|(_, parent)| found.contains(parent));
        let children: Vec<u32> = children.map(|(pid, _)| *pid).collect();
        found.extend(children);
        if found.len() == before {
            return found;
        }
    }
}

/// User and system time so far of these processes; those that have ended count nothing.
pub(crate) fn cpu(pids: &BTreeSet<u32>) -> Duration {
    let ticks = |pid: &u32| -> Option<u64> {
        let stat = stat(&pid.to_string())?;
        Some(field(&stat, 14)? + field(&stat, 15)?)
    };
    ticks_to_time(pids.iter().filter_map(ticks).sum())
}

/// The memory of these processes together.
pub(crate) fn memory_of(pids: &BTreeSet<u32>) -> Memory {
    let each = pids.iter().filter_map(|pid| memory(*pid).ok());
    each.fold(Memory::default(), |sum, one| Memory {
        resident: sum.resident + one.resident,
        private: sum.private + one.private,
        proportional: sum.proportional + one.proportional,
    })
}

/// User and system time of the children of this program that have ended.
pub(crate) fn ended_children_cpu() -> Duration {
    let ticks = stat("self").and_then(|stat| Some(field(&stat, 16)? + field(&stat, 17)?));
    ticks_to_time(ticks.unwrap_or(0))
}

/// What all of the machine's cores have been busy with so far, together.
pub(crate) fn machine_cpu() -> Duration {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    ticks_to_time(busy_ticks(&text))
}

/// Of the first line of `/proc/stat`, `cpu user nice system idle iowait irq softirq steal …`, all but idle
/// and iowait; what comes after steal is part of user.
fn busy_ticks(text: &str) -> u64 {
    let fields = text.lines().next().unwrap_or_default().split_whitespace();
    let numbers = fields.skip(1).take(8).map(|number| number.parse().unwrap_or(0));
    let busy = numbers.enumerate().filter(|(at, _)| !matches!(at, 3 | 4));
    busy.map(|(_, ticks): (usize, u64)| ticks).sum()
}

fn ticks_to_time(ticks: u64) -> Duration {
    TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_idle_is_busy() {
        let text = "cpu  100 20 30 5000 600 7 8 9 11 12\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy_ticks(text), 100 + 20 + 30 + 7 + 8 + 9);
        assert_eq!(busy_ticks(""), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_is_in_the_tree_and_has_memory() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mine = std::process::id();
        let found = tree(mine);
        let memory = memory_of(&BTreeSet::from([mine]));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&mine) && found.contains(&child.id()), "{found:?}");
        assert!(memory.proportional > 0 && memory.proportional <= memory.resident);
        assert!(tree(child.id()).len() == 1, "it has ended");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn work_takes_time() {
        let mine = BTreeSet::from([std::process::id()]);
        let (before, machine) = (cpu(&mine), machine_cpu());
        while cpu(&mine) < before + TICK * 3 {
            std::hint::black_box(tree(1));
        }
        assert!(machine_cpu() > machine);
    }
}
