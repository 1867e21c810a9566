//! What is known of a transaction before it ends.

use super::clue::{Clue, Hint, clues};
use super::describe::Described;
use super::taken::Taken;
use super::{Baseline, Limits};
use belay_change::{Table, TableChange};
use belay_model::Relation;
use std::collections::HashSet;

/// Relations that are remembered by name. More of them only make a change look indirect.
const MOST_NAMED: usize = 10_000;
/// Statements whose texts say where rows lie. What others wrote in a large table can still be found by scanning it.
const MOST_CLUES: usize = 200;
/// Tables that are looked up ahead.
const MOST_LIKELY: usize = 16;

/// An open transaction, from its BEGIN to its capture.
#[derive(Debug)]
pub struct Transaction {
    pub(super) baseline: Baseline,
    pub(super) named: HashSet<Relation>,
    /// Tables that it may have written.
    likely: Vec<(u32, Relation)>,
    /// Where its rows may lie.
    pub(super) clues: Vec<Clue>,
    /// What was taken of it so far.
    pub(super) taken: Taken,
    /// Changes in `pg_class` that its TRUNCATEs may have made, those that were tried and taken back included.
    pub(super) catalog_updates: i64,
}

impl Transaction {
    /// A transaction that has just begun. Where it is to be compared with a plan, `plan` holds what the plan changes.
    pub fn begun(baseline: Baseline, limits: &Limits, plan: &[TableChange]) -> Transaction {
        let mut transaction = Transaction {
            baseline,
            named: HashSet::new(),
            likely: Vec::new(),
            clues: Vec::new(),
            taken: Taken::new(limits, plan),
            catalog_updates: 0,
        };
        transaction.expect(plan.iter().map(|change| &change.table));
        transaction
    }

    /// Tables that were written by one like it. Those that its statements name, too, are looked up before it is known
    /// which it wrote.
    pub fn expect<'a>(&mut self, tables: impl IntoIterator<Item = &'a Table>) {
        for table in tables.into_iter().take(MOST_LIKELY) {
            let schema = Some(table.schema.as_str().into());
            self.likely.push((table.oid, Relation { schema, name: table.name.as_str().into() }));
        }
    }

    /// By their numbers in the target.
    pub(super) fn expected(&self) -> Vec<u32> {
        let says = |relation: &Relation| {
            self.named.contains(relation)
                || self.named.contains(&Relation { schema: None, name: relation.name.clone() })
        };
        self.likely.iter().filter(|(_, relation)| says(relation)).map(|(oid, _)| *oid).collect()
    }

    /// Relations that a statement of it names. What else it changes is an indirect change.
    pub fn name<'a>(&mut self, relations: impl IntoIterator<Item = &'a Relation>) {
        for relation in relations {
            if self.named.len() < MOST_NAMED {
                self.named.insert(relation.clone());
            }
        }
    }

    /// A statement of it that writes. Its constants say where its rows may be looked for in a large table; whether that
    /// was all is asked of the target.
    pub fn hint(&mut self, hint: &Hint) {
        if self.clues.len() < MOST_CLUES {
            self.clues.extend(clues(hint));
            self.clues.truncate(MOST_CLUES);
        }
    }

    /// Whether a statement names the table, or one that it is a part of.
    pub(super) fn names(&self, about: &Described) -> bool {
        let itself = (about.table.schema.as_str(), about.table.name.as_str());
        let kin = about.ancestors.iter().map(|(schema, name)| (schema.as_str(), name.as_str()));
        std::iter::once(itself).chain(kin).any(|(schema, name)| {
            let said = |schema: Option<&str>| {
                self.named.contains(&Relation { schema: schema.map(Into::into), name: name.into() })
            };
            said(Some(schema)) || said(None)
        })
    }
}
