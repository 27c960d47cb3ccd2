//! What one client knows of what it changed: what was acknowledged, and the one change that was sent
//! and not answered when the server was killed. After a start the server must show the first, or the
//! first with the second; anything else is a finding.

use std::collections::BTreeMap;
use std::fmt::Debug;

use anyhow::{Result, ensure};

/// A value that its client alone changes.
#[derive(Debug, Clone)]
pub(super) struct Known<T> {
    acknowledged: T,
    sent: Option<T>,
}

impl<T: Clone + PartialEq + Debug> Known<T> {
    pub(super) fn new(acknowledged: T) -> Self {
        Self {
            acknowledged,
            sent: None,
        }
    }

    /// The last acknowledged value.
    pub(super) fn get(&self) -> &T {
        &self.acknowledged
    }

    /// A change to this is about to be sent.
    pub(super) fn send(&mut self, to: T) {
        self.sent = Some(to);
    }

    /// The change that was sent is acknowledged.
    pub(super) fn acknowledge(&mut self) {
        if let Some(to) = self.sent.take() {
            self.acknowledged = to;
        }
    }

    /// The server shows this after a start: it is what counts from now on. Gives whether a change that
    /// was never answered was made.
    pub(super) fn settle(&mut self, seen: T) -> Result<Survived> {
        let sent = self.sent.take();
        let survived = match &sent {
            None => Survived::NothingSent,
            Some(sent) if *sent == seen => Survived::Made,
            Some(_) => Survived::Lost,
        };
        ensure!(
            survived == Survived::Made || seen == self.acknowledged,
            "it is {seen:?}; acknowledged is {:?}, and sent without an answer {sent:?}",
            self.acknowledged
        );
        self.acknowledged = seen;
        Ok(survived)
    }
}

/// What became of a change that was sent and never answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Survived {
    NothingSent,
    Made,
    Lost,
}

/// A list that its client alone appends to: versions of a model, revisions of a deployment. Each entry
/// has a mark of its own, by which it is known again.
#[derive(Debug, Clone, Default)]
pub(super) struct Appended {
    marks: Vec<u64>,
    sent: Option<u64>,
}

impl Appended {
    /// Entries that were acknowledged, the first has number 1.
    pub(super) fn marks(&self) -> &[u64] {
        &self.marks
    }

    pub(super) fn len(&self) -> u64 {
        self.marks.len() as u64
    }

    /// The mark of an entry; numbers count from 1.
    pub(super) fn mark(&self, number: u64) -> Option<u64> {
        let at = usize::try_from(number.checked_sub(1)?).ok()?;
        self.marks.get(at).copied()
    }

    pub(super) fn send(&mut self, mark: u64) {
        self.sent = Some(mark);
    }

    /// The server gave what was sent this number.
    pub(super) fn acknowledge(&mut self, number: u64) -> Result<()> {
        ensure!(
            number == self.len() + 1,
            "it was given number {number}, and {} entries were acknowledged",
            self.len()
        );
        self.marks.extend(self.sent.take());
        Ok(())
    }

    /// The server has these numbers after a start; `mark_of` asks for the mark of one.
    pub(super) fn settle(
        &mut self,
        numbers: &[u64],
        mut mark_of: impl FnMut(u64) -> Result<u64>,
    ) -> Result<Survived> {
        without_gaps(numbers)?;
        let count = numbers.len() as u64;
        let sent = self.sent.take();
        ensure!(
            count == self.len() || (count == self.len() + 1 && sent.is_some()),
            "there are {count} entries; {} were acknowledged, and {} sent without an answer",
            self.len(),
            u8::from(sent.is_some())
        );
        let survived = match sent {
            None => Survived::NothingSent,
            Some(_) if count == self.len() => Survived::Lost,
            Some(_) => Survived::Made,
        };
        if survived == Survived::Made {
            self.marks.extend(sent);
        }
        if let Some(&expected) = self.marks.last() {
            let mark = mark_of(count)?;
            ensure!(
                mark == expected,
                "entry {count} is that of another request: its mark is {mark}, and {expected} was sent"
            );
        }
        Ok(survived)
    }
}

/// Numbers must be 1, 2, 3, …, in this order.
pub(super) fn without_gaps(numbers: &[u64]) -> Result<()> {
    for (&number, expected) in numbers.iter().zip(1..) {
        ensure!(
            number == expected,
            "number {expected} is missing: {number} follows {}",
            expected - 1
        );
    }
    Ok(())
}

/// A key that was made.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) text: String,
    pub(super) works: Known<bool>,
}

/// A tenant besides the two that everything else is in: for variety of plugins, which can be uploaded
/// once in each.
#[derive(Debug, Clone)]
pub(super) struct Tenant {
    pub(super) id: String,
    pub(super) exists: Known<bool>,
    pub(super) key: Option<String>,
    /// Digest by `name@version`.
    pub(super) plugins: BTreeMap<String, String>,
    /// The digest of one that was sent.
    pub(super) sent: Option<String>,
}

/// One client's part in the model that all clients of a tenant change.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared {
    /// The mark of each version that this client was told of.
    pub(super) versions: BTreeMap<u64, u64>,
    /// Marks that were sent and not answered, since the first start.
    pub(super) unanswered: Vec<u64>,
    /// Moves of the alias that this client was told of: number, from, to.
    pub(super) moves: Vec<(u64, Option<u64>, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unanswered_change_is_made_or_not() {
        let mut known = Known::new(1);
        known.send(2);
        assert_eq!(known.clone().settle(1).unwrap(), Survived::Lost);
        assert_eq!(known.clone().settle(2).unwrap(), Survived::Made);
        assert!(known.clone().settle(3).is_err());
        known.acknowledge();
        assert!(known.clone().settle(1).is_err(), "an acknowledged change is gone");
        assert_eq!(known.settle(2).unwrap(), Survived::NothingSent);
    }

    #[test]
    fn appended_entries_stay_with_their_numbers() {
        let mut list = Appended::default();
        list.send(10);
        list.acknowledge(1).unwrap();
        list.send(20);
        assert_eq!(list.clone().settle(&[1], |_| Ok(10)).unwrap(), Survived::Lost);
        assert_eq!(list.clone().settle(&[1, 2], |_| Ok(20)).unwrap(), Survived::Made);
        assert!(
            list.clone().settle(&[1, 2], |_| Ok(30)).is_err(),
            "another's entry"
        );
        assert!(list.clone().settle(&[1, 3], |_| Ok(20)).is_err(), "a gap");
        assert!(list.clone().settle(&[], |_| Ok(0)).is_err(), "entry 1 is lost");
        assert!(list.clone().settle(&[1, 2, 3], |_| Ok(20)).is_err());
        assert!(list.acknowledge(3).is_err());
    }
}
