//! The time slice of a thread, as Linux 6.12 and later take it from `sched_setattr`.

use std::io;
use std::time::Duration;

/// Ask that this thread, once it has a processor, is not interrupted for so long by threads that ask for as
/// much, and that it interrupts those that ask for more as soon as it has something to do. Linux takes
/// 0.1 to 100 ms. It changes no thread's share of the processors, and needs no privilege; before 6.12 it has
/// no effect.
///
/// Threads and processes that this thread starts have the same.
///
/// # Errors
///
/// The system's, where it doesn't know the call or a filter forbids it.
pub(crate) fn set_slice(nice: i32, slice: Duration) -> io::Result<()> {
    let size = u32::try_from(size_of::<libc::sched_attr>()).map_err(io::Error::other)?;
    let attributes = libc::sched_attr {
        size,
        sched_policy: 0,
        sched_flags: KEEP_POLICY,
        sched_nice: nice,
        sched_priority: 0,
        sched_runtime: u64::try_from(slice.as_nanos()).map_err(io::Error::other)?,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel reads `size` bytes at the pointer, which are the whole of an initialised structure
    // that outlives the call, and keeps nothing of it. 0 is the calling thread; flags there are none.
    let done = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `SCHED_FLAG_KEEP_POLICY`: whoever started the process may have chosen another than the usual.
const KEEP_POLICY: u64 = 0x08;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_taken_and_a_niceness_kept() {
        std::thread::spawn(|| {
            let thread = rustix::thread::gettid();
            rustix::process::setpriority_process(Some(thread), 3).unwrap();
            set_slice(3, Duration::from_micros(100)).unwrap();
            assert_eq!(rustix::process::getpriority_process(Some(thread)).unwrap(), 3);
        })
        .join()
        .unwrap();
    }
}
