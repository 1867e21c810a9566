//! Which search paths may be in force.
//!
//! The server tells of a new search path only from version 18 on, so it is followed here: a statement that was sent and
//! is not answered may have set it or not, and the end of a transaction may take it back.

use super::pending::Ended;
use crate::classify::{PathChange, SearchPath};
use std::collections::VecDeque;

/// Paths that may be in force at a time. Beyond that nothing is said any more.
const MOST: usize = 32;

/// The search paths of a session.
pub(super) struct Paths {
    /// One of these is in force, once everything that was sent is answered.
    now: Vec<SearchPath>,
    /// What a commit leaves in force.
    kept: Vec<SearchPath>,
    /// What a rollback brings back.
    start: Vec<SearchPath>,
    /// What else was in force since the transaction began: the end of a savepoint may bring it back.
    earlier: Vec<SearchPath>,
    /// A transaction block is open, which only a statement or an error can end.
    in_block: bool,
    /// What was sent and is not answered, in order.
    sent: VecDeque<PathChange>,
    lost: bool,
}

impl Paths {
    /// Of a session that starts under this path.
    pub(super) fn new(path: SearchPath) -> Paths {
        Paths {
            now: vec![path.clone()],
            kept: vec![path.clone()],
            start: vec![path],
            earlier: Vec::new(),
            in_block: false,
            sent: VecDeque::new(),
            lost: false,
        }
    }

    /// The paths of which one is in force for what is sent next; none where there are too many.
    pub(super) fn possible(&self) -> Option<Vec<SearchPath>> {
        let mut paths = self.now.clone();
        if !self.in_block {
            // A transaction of the messages' own ends whenever a Sync that was sent is reached.
            join(&mut paths, self.kept.iter().chain(&self.start));
        }
        for change in &self.sent {
            match change {
                PathChange::None => {}
                PathChange::To(path) | PathChange::Local(path) => join(&mut paths, [path]),
                PathChange::Among(several) => join(&mut paths, several),
                PathChange::Back => join(&mut paths, self.behind()),
            }
        }
        (!self.lost && paths.len() <= MOST).then_some(paths)
    }

    /// The same for a message that ends a transaction before it is through.
    pub(super) fn possible_afterwards(&self) -> Option<Vec<SearchPath>> {
        let mut paths = self.possible()?;
        join(&mut paths, self.behind());
        (paths.len() <= MOST).then_some(paths)
    }

    /// What the end of the transaction may bring back.
    fn behind(&self) -> impl Iterator<Item = &SearchPath> {
        self.kept.iter().chain(&self.start).chain(&self.earlier)
    }

    /// A message was sent to the target.
    pub(super) fn sent(&mut self, change: &PathChange) {
        if !matches!(change, PathChange::None) {
            self.sent.push_back(change.clone());
        }
    }

    /// It was answered.
    pub(super) fn answered(&mut self, change: &PathChange, failed: bool, ended: Option<Ended>) {
        if matches!(change, PathChange::None) {
            return;
        }
        self.sent.pop_front();
        match (change, ended) {
            (PathChange::To(path), _) if !failed => {
                self.note_earlier();
                self.now = vec![path.clone()];
                self.kept = vec![path.clone()];
            }
            (PathChange::Local(path), _) if !failed => {
                self.note_earlier();
                self.now = vec![path.clone()];
            }
            (PathChange::Among(several), _) => self.mix(several),
            (PathChange::Back, Some(Ended::Committed)) if !failed => self.settle(self.kept.clone()),
            (PathChange::Back, Some(Ended::RolledBack)) if !failed => self.settle(self.start.clone()),
            (PathChange::Back, _) => self.mix(&[]),
            (PathChange::To(_) | PathChange::Local(_) | PathChange::None, _) => {}
        }
    }

    /// The target is ready; a transaction block is open or not. `whole` where none was before either, and all went well.
    pub(super) fn ready(&mut self, in_block: bool, whole: bool) {
        self.in_block = in_block;
        if in_block {
            return;
        }
        let mut paths = self.kept.clone();
        if !whole {
            join(&mut paths, &self.start);
        }
        self.settle(paths);
    }

    /// Whether a transaction may end without a change of what is possible.
    pub(super) fn is_settled(&self) -> bool {
        self.now == self.kept && self.kept == self.start && self.earlier.is_empty() && self.sent.is_empty()
    }

    fn settle(&mut self, paths: Vec<SearchPath>) {
        self.now.clone_from(&paths);
        self.kept.clone_from(&paths);
        self.start = paths;
        self.earlier.clear();
        self.bound();
    }

    fn note_earlier(&mut self) {
        join(&mut self.earlier, self.now.iter().chain(&self.kept));
        self.bound();
    }

    /// Any of the paths may be any of them.
    fn mix(&mut self, others: &[SearchPath]) {
        let mut paths = self.now.clone();
        join(&mut paths, self.behind().chain(others));
        let earlier = std::mem::take(&mut self.earlier);
        self.settle(paths);
        self.earlier = earlier;
    }

    fn bound(&mut self) {
        self.lost |= self.start.len() > MOST || self.earlier.len() > MOST;
        if self.lost {
            self.start.truncate(MOST);
            self.earlier.truncate(MOST);
        }
    }
}

fn join<'p>(paths: &mut Vec<SearchPath>, more: impl IntoIterator<Item = &'p SearchPath>) {
    for path in more {
        if !paths.contains(path) {
            paths.push(path.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(value: &str) -> SearchPath {
        SearchPath::new(value, "role").unwrap()
    }

    fn to(value: &str) -> PathChange {
        PathChange::To(path(value))
    }

    fn local(value: &str) -> PathChange {
        PathChange::Local(path(value))
    }

    /// A session of `start` in which these messages were answered; `+` before a ready target in a block.
    fn after(steps: &[(PathChange, bool, Option<Ended>, &str)]) -> Paths {
        let mut paths = Paths::new(path("start"));
        let (mut block, mut wrong) = (false, false);
        for (change, failed, ended, ready) in steps {
            paths.sent(change);
            paths.answered(change, *failed, *ended);
            wrong |= failed;
            if !ready.is_empty() {
                let before = std::mem::replace(&mut block, *ready == "T");
                paths.ready(block, !before && !wrong);
                wrong &= block;
            }
        }
        paths
    }

    fn possible(paths: &Paths) -> Vec<String> {
        let names = |path: &SearchPath| path.schemas().skip(1).collect::<Vec<_>>().join(",");
        paths.possible().unwrap().iter().map(names).collect()
    }

    #[test]
    fn a_local_change_outside_a_block_is_gone_when_the_target_is_ready() {
        assert_eq!(possible(&after(&[(local("a"), false, None, "I")])), ["start"]);
        assert_eq!(possible(&after(&[(to("a"), false, None, "I"), (local("b"), false, None, "I")])), ["a"]);
    }

    #[test]
    fn what_a_batch_has_set_is_not_certain_before_its_sync_is_answered() {
        assert_eq!(possible(&after(&[(local("a"), false, None, "")])), ["a", "start"]);
        assert_eq!(possible(&after(&[(to("a"), false, None, "")])), ["a", "start"]);
    }

    #[test]
    fn in_a_block_a_local_change_holds_until_its_end_and_a_lasting_one_until_a_rollback() {
        let begun = || (PathChange::None, false, None, "T");
        let commit = || (PathChange::Back, false, Some(Ended::Committed), "I");
        let rollback = || (PathChange::Back, false, Some(Ended::RolledBack), "I");
        let set_local = || (local("l"), false, None, "T");
        let set = || (to("s"), false, None, "T");
        assert_eq!(possible(&after(&[begun(), set_local()])), ["l"]);
        assert_eq!(possible(&after(&[begun(), set_local(), commit()])), ["start"]);
        assert_eq!(possible(&after(&[begun(), set(), set_local(), commit()])), ["s"]);
        assert_eq!(possible(&after(&[begun(), set_local(), set(), commit()])), ["s"]);
        assert_eq!(possible(&after(&[begun(), set(), set_local(), rollback()])), ["start"]);
        let afterwards = after(&[begun(), set(), set_local()]).possible_afterwards().unwrap();
        assert_eq!(afterwards.len(), 3, "a message that ends the transaction may meet any of them");
    }

    #[test]
    fn the_end_of_a_savepoint_may_bring_back_whatever_was_before() {
        let back = (PathChange::Back, false, None, "T");
        let paths = after(&[(to("a"), false, None, "T"), (local("b"), false, None, "T"), back]);
        let mut all = possible(&paths);
        all.sort();
        assert_eq!(all, ["a", "b", "start"]);
    }

    #[test]
    fn a_batch_that_fails_takes_back_what_it_had_set() {
        let paths = after(&[(to("a"), false, None, ""), (to("b"), true, None, "I")]);
        assert_eq!(possible(&paths), ["a", "start"]);
    }

    #[test]
    fn a_session_that_sets_another_path_in_each_transaction_stays_certain() {
        let mut paths = Paths::new(path("start"));
        for n in 0..100 {
            for (change, ended, block) in
                [(to(&format!("tenant{n}")), None, true), (PathChange::Back, Some(Ended::Committed), false)]
            {
                paths.sent(&change);
                paths.answered(&change, false, ended);
                paths.ready(block, false);
            }
        }
        assert_eq!(possible(&paths), ["tenant99"]);
    }

    #[test]
    fn more_paths_than_can_be_followed_are_none() {
        let mut paths = Paths::new(path("start"));
        for n in 0..100 {
            let change = PathChange::Among(vec![path(&format!("s{n}"))]);
            paths.sent(&change);
            paths.answered(&change, false, None);
            paths.ready(false, true);
        }
        assert_eq!(paths.possible(), None);
    }
}
