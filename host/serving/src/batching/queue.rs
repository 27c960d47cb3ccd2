//! The requests that wait for a run, and which of them go into the next one.
//!
//! Pure: it is told the time and starts nothing. Priorities are strict and their order within one is
//! first in, first out; a request is taken whole or not at all.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Who may wait, and how they are put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Rows of one run at most.
    pub(crate) rows_max: usize,
    /// Rows that a run had better have, ascending; empty for as many as there are.
    pub(crate) preferred: Vec<usize>,
    /// How long the first may wait for others.
    pub(crate) delay: Duration,
    /// Requests that may wait.
    pub(crate) requests_max: usize,
    /// How long one may wait for its turn.
    pub(crate) timeout: Duration,
    /// Priorities, from 1.
    pub(crate) levels: u32,
    /// That of a request that says none.
    pub(crate) default_level: u32,
}

/// One that waits, with whatever the caller of the queue wants to have back.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    /// The request.
    pub(crate) what: T,
    /// Its rows.
    pub(crate) rows: usize,
    /// Since when it waits.
    pub(crate) since: Instant,
    /// When its turn must have come.
    until: Instant,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Now {
    /// Nobody waits.
    Nothing,
    /// Take a run of at most so many rows.
    Run(usize),
    /// Others may come until then.
    Wait(Instant),
}

/// The queue of one revision.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    rules: Rules,
    levels: Vec<VecDeque<Waiting<T>>>,
    requests: usize,
    rows: usize,
}

impl<T> Queue<T> {
    pub(crate) fn new(rules: Rules) -> Self {
        let levels = (0..rules.levels.max(1)).map(|_| VecDeque::new()).collect();
        Self {
            rules,
            levels,
            requests: 0,
            rows: 0,
        }
    }

    /// Requests that wait.
    pub(crate) fn len(&self) -> usize {
        self.requests
    }

    /// Put one at the end of its priority. It is given back when the queue is full.
    pub(crate) fn push(
        &mut self,
        what: T,
        rows: usize,
        priority: u32,
        timeout: Option<Duration>,
        now: Instant,
    ) -> Result<(), T> {
        if self.requests >= self.rules.requests_max {
            return Err(what);
        }
        let level = match priority {
            p if (1..=self.rules.levels).contains(&p) => p,
            _ => self.rules.default_level,
        };
        let timeout = timeout.unwrap_or(self.rules.timeout).min(self.rules.timeout);
        let Some(queue) = self.levels.get_mut((level as usize).saturating_sub(1)) else {
            return Err(what);
        };
        queue.push_back(Waiting {
            what,
            rows,
            since: now,
            until: now + timeout,
        });
        self.requests += 1;
        self.rows += rows;
        Ok(())
    }

    /// Take out those whose time is over, and those that `gone` says nobody waits for.
    pub(crate) fn expired(&mut self, now: Instant, gone: impl Fn(&T) -> bool) -> Vec<Waiting<T>> {
        let over = |w: &Waiting<T>| w.until <= now || gone(&w.what);
        let mut out = Vec::new();
        for queue in &mut self.levels {
            // The usual case by far: nobody's, and nothing is moved.
            if !queue.iter().any(over) {
                continue;
            }
            for waiting in std::mem::take(queue) {
                if over(&waiting) {
                    self.requests -= 1;
                    self.rows -= waiting.rows;
                    out.push(waiting);
                } else {
                    queue.push_back(waiting);
                }
            }
        }
        out
    }

    /// What to do now: run a preferred size as soon as there are rows for one; else wait for others
    /// until the first has waited for the delay, and then run what is there.
    pub(crate) fn now(&self, now: Instant) -> Now {
        if self.requests == 0 {
            return Now::Nothing;
        }
        let rules = &self.rules;
        if self.rows >= rules.rows_max {
            return Now::Run(rules.rows_max);
        }
        if let Some(&size) = rules.preferred.iter().rfind(|&&size| size <= self.rows) {
            return Now::Run(size);
        }
        if rules.delay.is_zero() {
            return Now::Run(rules.rows_max);
        }
        let first = self
            .levels
            .iter()
            .filter_map(|queue| queue.front())
            .map(|w| w.since);
        match first.min().map(|since| since + rules.delay) {
            Some(until) if until > now => {
                // Who is less patient than that is told in time.
                let impatient = self.levels.iter().flatten().map(|w| w.until).min();
                Now::Wait(impatient.map_or(until, |impatient| until.min(impatient)))
            }
            _ => Now::Run(rules.rows_max),
        }
    }

    /// Take requests of at most so many rows together, at least one.
    pub(crate) fn take(&mut self, rows_max: usize) -> Vec<Waiting<T>> {
        let mut taken = Vec::with_capacity(self.requests.min(rows_max));
        let mut rows = 0;
        'all: for queue in &mut self.levels {
            while let Some(next) = queue.front() {
                if !taken.is_empty() && rows + next.rows > rows_max {
                    break 'all;
                }
                rows += next.rows;
                taken.extend(queue.pop_front());
            }
        }
        self.requests -= taken.len();
        self.rows -= rows;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            rows_max: 8,
            preferred: Vec::new(),
            delay: Duration::ZERO,
            requests_max: 4,
            timeout: Duration::from_secs(1),
            levels: 2,
            default_level: 2,
        }
    }

    fn names(taken: &[Waiting<&'static str>]) -> Vec<&'static str> {
        taken.iter().map(|w| w.what).collect()
    }

    #[test]
    fn what_is_there_runs_at_once_without_a_delay() {
        let now = Instant::now();
        let mut queue = Queue::new(rules());
        assert_eq!(queue.now(now), Now::Nothing);
        queue.push("a", 1, 0, None, now).unwrap();
        assert_eq!(queue.now(now), Now::Run(8));
        assert_eq!(names(&queue.take(8)), ["a"]);
        assert_eq!((queue.now(now), queue.len(), queue.rows), (Now::Nothing, 0, 0));
    }

    #[test]
    fn more_urgent_ones_go_first_and_a_request_stays_whole() {
        let now = Instant::now();
        let mut queue = Queue::new(rules());
        for (name, rows, priority) in [("a", 5, 0), ("b", 4, 2), ("c", 2, 1), ("d", 1, 9)] {
            queue.push(name, rows, priority, None, now).unwrap();
        }
        assert_eq!(queue.push("e", 1, 1, None, now), Err("e"));
        assert_eq!(names(&queue.take(8)), ["c", "a"]);
        assert_eq!(names(&queue.take(8)), ["b", "d"]);
    }

    #[test]
    fn one_that_is_larger_than_a_run_runs_alone() {
        let now = Instant::now();
        let mut queue = Queue::new(rules());
        queue.push("large", 20, 0, None, now).unwrap();
        queue.push("small", 1, 0, None, now).unwrap();
        assert_eq!(names(&queue.take(8)), ["large"]);
        assert_eq!(names(&queue.take(8)), ["small"]);
    }

    #[test]
    fn a_delay_ends_with_time_or_rows() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let mut queue = Queue::new(Rules {
            delay: ms(5),
            ..rules()
        });
        queue.push("a", 1, 0, None, now).unwrap();
        assert_eq!(queue.now(now), Now::Wait(now + ms(5)));
        assert_eq!(queue.now(now + ms(5)), Now::Run(8));
        queue.push("b", 7, 0, None, now).unwrap();
        assert_eq!(queue.now(now), Now::Run(8));
    }

    #[test]
    fn preferred_sizes_need_no_delay() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let preferred = vec![2, 4];
        let mut queue = Queue::new(Rules {
            delay: ms(5),
            preferred,
            ..rules()
        });
        queue.push("a", 1, 0, None, now).unwrap();
        assert_eq!(queue.now(now), Now::Wait(now + ms(5)));
        queue.push("b", 1, 0, None, now).unwrap();
        assert_eq!(queue.now(now), Now::Run(2));
        queue.push("c", 3, 0, None, now).unwrap();
        assert_eq!(queue.now(now), Now::Run(4));
        assert_eq!(names(&queue.take(4)), ["a", "b"]);
    }

    #[test]
    fn whose_time_is_over_is_taken_out() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let mut queue = Queue::new(rules());
        queue
            .push("patient", 1, 0, Some(Duration::from_secs(60)), now)
            .unwrap();
        queue.push("short", 2, 0, Some(ms(3)), now).unwrap();
        queue.push("gone", 3, 1, None, now).unwrap();
        let out = queue.expired(now + ms(3), |what| *what == "gone");
        assert_eq!(names(&out), ["gone", "short"]);
        assert_eq!((queue.len(), queue.rows), (1, 1));
        // Nobody waits for longer than the deployment allows.
        assert_eq!(
            names(&queue.expired(now + Duration::from_secs(1), |_| false)),
            ["patient"]
        );
    }
}
