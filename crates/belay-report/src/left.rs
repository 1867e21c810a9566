//! What of the changes is still in effect.
//!
//! Told row by row where keys are recorded. A change that gives others back counts as far as it is itself in effect.

use crate::report::{Change, Left, LeftTable};
use std::collections::{BTreeSet, HashMap};

/// What is left of each committed change that does not itself only give back others of these.
pub(crate) fn left(changes: &[Change]) -> Vec<Left> {
    let mut known: HashMap<&str, Vec<LeftTable>> = HashMap::new();
    // What gives back comes after what it gives back.
    for change in changes.iter().rev().filter(|change| change.state == "committed") {
        let mut tables: Vec<LeftTable> = change.tables.iter().map(whole).collect();
        let all = tables.clone();
        for by in changes.iter().filter(|by| by.state == "committed" && by.reverts.contains(&change.id)) {
            let Some(in_effect) = known.get(by.id.as_str()) else { continue };
            give_back(&mut tables, &all, by, in_effect);
        }
        known.insert(&change.id, tables);
    }
    let own = |change: &&Change| !changes.iter().any(|other| change.reverts.contains(&other.id));
    let found = changes.iter().filter(own).filter_map(|change| {
        let mut tables = known.remove(change.id.as_str())?;
        tables.retain(|table| table.rows > 0);
        let rows = tables.iter().map(|table| table.rows).sum();
        (rows > 0).then(|| Left { change: change.id.clone(), rows, tables })
    });
    found.collect()
}

/// All of a table's rows.
fn whole(table: &belay_model::ChangedTable) -> LeftTable {
    let rows = table.inserted + table.updated + table.deleted;
    let by_count = table.keys.len() as u64 != rows;
    LeftTable { table: table.table.clone(), rows, keys: table.keys.clone(), by_count }
}

/// Takes out what `by` gives back of them, of which `in_effect` still is so.
fn give_back(tables: &mut [LeftTable], all: &[LeftTable], by: &Change, in_effect: &[LeftTable]) {
    let still: u64 = in_effect.iter().map(|table| table.rows).sum();
    if by.rows > 0 && still == 0 {
        // It was given back itself.
        return;
    }
    let was_undone = still < by.rows;
    if !by.partial && !was_undone {
        for table in tables {
            table.rows = 0;
            table.keys.clear();
        }
        return;
    }
    for (table, all) in tables.iter_mut().zip(all) {
        let effect = in_effect.iter().find(|effect| effect.table == table.table);
        let of_by = by.tables.iter().find(|of| of.table == table.table);
        if table.by_count || effect.is_some_and(|effect| effect.by_count) {
            let given = if by.partial { effect.map_or(0, |effect| effect.rows) } else { all.rows };
            table.by_count = true;
            table.rows = table.rows.saturating_sub(given);
            continue;
        }
        let still: BTreeSet<&String> = effect.iter().flat_map(|effect| &effect.keys).collect();
        let wrote: BTreeSet<&String> = of_by.iter().flat_map(|of| &of.keys).collect();
        // Of all rows given back, those are back that it wrote and that were then written again.
        let stays = |key: &String| {
            if by.partial { !still.contains(key) } else { wrote.contains(key) && !still.contains(key) }
        };
        table.keys.retain(stays);
        table.rows = table.keys.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use belay_model::ChangedTable;

    fn change(id: &str, keys: &[&str], reverts: &[&str], partial: bool) -> Change {
        let table = ChangedTable {
            table: "public.orders".to_owned(),
            inserted: 0,
            updated: keys.len() as u64,
            deleted: 0,
            indirect: false,
            keys: keys.iter().map(ToString::to_string).collect(),
            more_keys: 0,
        };
        Change {
            id: id.to_owned(),
            record: 0,
            at: String::new(),
            who: None,
            session: None,
            connection: None,
            statement: None,
            plan: None,
            state: "committed".to_owned(),
            rows: keys.len() as u64,
            tables: vec![table],
            fingerprint: String::new(),
            transaction: None,
            reverts: reverts.iter().map(ToString::to_string).collect(),
            partial,
            reverted_by: Vec::new(),
            steps: Vec::new(),
        }
    }

    fn keys(changes: &[Change]) -> Vec<(String, String)> {
        left(changes).into_iter().map(|left| (left.change, left.tables[0].keys.join(","))).collect()
    }

    fn told(change: &str, keys: &str) -> (String, String) {
        (change.to_owned(), keys.to_owned())
    }

    #[test]
    fn what_was_given_back_in_part_is_left_in_part() {
        let first = change("c_1", &["41", "57"], &[], false);
        assert_eq!(keys(std::slice::from_ref(&first)), [told("c_1", "41,57")]);
        let part = change("c_2", &["41"], &["c_1"], true);
        assert_eq!(keys(&[first.clone(), part.clone()]), [told("c_1", "57")]);
        let rest = change("c_3", &["57"], &["c_1"], true);
        assert_eq!(keys(&[first.clone(), part.clone(), rest]), []);
        let again = change("c_3", &["41"], &["c_2"], false);
        assert_eq!(keys(&[first, part, again]), [told("c_1", "41,57")]);
    }

    #[test]
    fn a_row_that_two_changes_cancel_out_is_given_back_with_them() {
        let changes = [
            change("c_1", &["41", "57"], &[], false),
            change("c_2", &["41"], &[], false),
            change("c_3", &["57"], &["c_1", "c_2"], false),
        ];
        assert_eq!(keys(&changes), []);
    }

    #[test]
    fn a_revert_that_was_rolled_back_gives_nothing_back() {
        let mut back = change("c_2", &["41"], &["c_1"], false);
        back.state = "rolled_back".to_owned();
        assert_eq!(keys(&[change("c_1", &["41"], &[], false), back]), [told("c_1", "41")]);
    }

    #[test]
    fn rows_without_keys_are_counted() {
        let mut first = change("c_1", &[], &[], false);
        (first.rows, first.tables[0].updated) = (5, 5);
        let mut part = change("c_2", &[], &["c_1"], true);
        (part.rows, part.tables[0].updated) = (2, 2);
        let left = left(&[first, part]);
        assert_eq!((left[0].rows, left[0].tables[0].by_count), (3, true));
    }
}
