//! Common table expressions that refer to themselves.
//!
//! The second arm of `first UNION second` reads what earlier rounds gave: the first arm's rows, then its own. While it is
//! read, each column of the expression carries a mark besides the columns that the first arm gives there. Where a marked
//! column comes to stand in another place, or something is made of it, whatever can ever stand in it counts as computed.

use super::Walk;
use super::common_table::rename;
use super::scope::{Rows, Scope, State};
use super::value::{Origin, Value};
use pg_query::protobuf::SelectStmt;
use std::rc::Rc;

/// Where marks begin among the places of uses; no statement names so many relations.
const MARKS: usize = usize::MAX / 2;

/// An expression that may refer to itself.
pub(super) struct Recursion<'n, 'a> {
    /// Where it stands among what can be seen.
    pub(super) level: usize,
    pub(super) place: usize,
    /// What its alias calls its columns.
    pub(super) names: &'n [&'a str],
    /// Its place in the list of those that were begun.
    pub(super) round: usize,
}

/// Which of its columns are computed.
#[derive(Default)]
pub(super) struct Round {
    computed: Vec<bool>,
    /// Those whose values have not been followed yet.
    open: Vec<usize>,
}

impl<'a> Walk<'a> {
    pub(super) fn next_round(&self) -> usize {
        self.rounds.len()
    }

    /// `first arm UNION second arm`, in which the second may refer to the whole: it has the first's columns.
    pub(super) fn recursive(&mut self, select: &'a SelectStmt, recursion: &Recursion<'_, 'a>) -> Rows<'a> {
        self.rounds.push(Round::default());
        self.scopes.push(Scope::default());
        let mut rows = self.select(select, Some(recursion));
        self.scopes.pop();
        rows.settle();
        self.go_round(recursion.round, &rows);
        rows
    }

    /// From here on the expression can be referred to.
    pub(super) fn first_arm_is_known(&mut self, recursion: &Recursion<'_, 'a>, first: &Rows<'a>) {
        let mut known = first.clone();
        known.settle();
        rename(&mut known, recursion.names);
        for (place, column) in known.columns.iter_mut().enumerate() {
            let mut mark = Value::column(Some(MARKS + recursion.round), place, 0);
            mark.kind = column.value.kind;
            column.value = column.value.clone().and(&mark);
        }
        if let Some(round) = self.rounds.get_mut(recursion.round) {
            round.computed = vec![false; known.columns.len()];
        }
        self.set_state(recursion.level, recursion.place, State::Reading(Some(Rc::new(known))));
    }

    /// Notes that a marked column is computed; whether the origin is a mark.
    pub(super) fn computed_in_round(&mut self, origin: Origin) -> bool {
        let Some(round) = origin.uses.checked_sub(MARKS) else { return false };
        if let Some(round) = self.rounds.get_mut(round)
            && let Some(computed) = round.computed.get_mut(origin.column)
            && !std::mem::replace(computed, true)
        {
            round.open.push(origin.column);
        }
        true
    }

    /// What the rounds after the first bring, once both arms were read.
    fn go_round(&mut self, round: usize, rows: &Rows<'a>) {
        for (place, column) in rows.columns.iter().enumerate() {
            for origin in column.value.origins() {
                if origin.uses == MARKS + round && origin.column != place {
                    self.computed_in_round(origin);
                }
            }
        }
        while let Some(place) = self.rounds.get_mut(round).and_then(|round| round.open.pop()) {
            if let Some(column) = rows.columns.get(place) {
                self.compute(&column.value);
            }
        }
    }
}
