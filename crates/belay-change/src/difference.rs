//! Where what would change is not what a plan shows.

use crate::pick::{Picked, Wanted};
use crate::print::{Prints, Survivors};
use crate::{RowChange, Side, Table, Taken, Tally};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::io;

/// The rows of one table in which two change sets differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDifference {
    /// The table.
    pub table: Table,
    /// How many rows.
    pub rows: u64,
    /// The first of them.
    pub first: Vec<RowDifference>,
}

/// One row that changes in another way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowDifference {
    /// What the plan shows; nothing where it does not show the row.
    pub planned: Vec<RowChange>,
    /// What would change instead; nothing where the row would stay as it is.
    pub found: Vec<RowChange>,
}

/// Which rows differ, at most `most` a table, of at most `cap` images each. What is volatile in the plan does not
/// count. Both are read twice.
pub fn difference(planned: &Taken<'_>, found: &Taken<'_>, most: usize, cap: u64) -> io::Result<Vec<TableDifference>> {
    let (ours, theirs) = (survivors(planned, planned, cap)?, survivors(found, planned, cap)?);
    let mut wanted = (vec![Wanted::new(); ours.len()], vec![Wanted::new(); theirs.len()]);
    let mut differing = Vec::new();
    for table in all_tables(planned, found) {
        let places = [position(planned, table), position(found, table)];
        let nothing = Survivors::of(Prints::default(), Prints::default());
        let one = places[0].and_then(|at| ours.get(at)).unwrap_or(&nothing);
        let other = places[1].and_then(|at| theirs.get(at)).unwrap_or(&nothing);
        let mut first = differing_rows(one, other);
        let rows = first.len() as u64;
        first.truncate(most);
        for (wanted, place) in [&mut wanted.0, &mut wanted.1].into_iter().zip(places) {
            if let Some(wanted) = place.and_then(|at| wanted.get_mut(at)) {
                wanted.extend(&first);
            }
        }
        if rows > 0 {
            differing.push(Differing { table, places, rows, first });
        }
    }
    drop((ours, theirs));
    let (mut planned, mut found) = (Picked::gather(planned, wanted.0)?, Picked::gather(found, wanted.1)?);
    Ok(differing.into_iter().map(|table| table.with_rows(&mut planned, &mut found)).collect())
}

/// A table before its rows are known.
struct Differing<'a> {
    table: &'a Table,
    /// Its numbers in both.
    places: [Option<usize>; 2],
    rows: u64,
    first: Vec<[u8; 16]>,
}

impl Differing<'_> {
    fn with_rows(self, planned: &mut Picked, found: &mut Picked) -> TableDifference {
        let changes = |picked: &mut Picked, at: Option<usize>, row: &[u8; 16]| {
            at.map(|at| picked.changes(at, row)).unwrap_or_default()
        };
        let row = |row: &[u8; 16]| RowDifference {
            planned: changes(planned, self.places[0], row),
            found: changes(found, self.places[1], row),
        };
        let first = self.first.iter().map(row).collect();
        TableDifference { table: self.table.clone(), rows: self.rows, first }
    }
}

impl TableDifference {
    /// The same with values as this person may see them.
    #[must_use]
    pub fn shown(mut self, show: &dyn Fn(&Table, u16, &str) -> String) -> TableDifference {
        for row in self.first.iter_mut().flat_map(|row| row.planned.iter_mut().chain(&mut row.found)) {
            row.show(&self.table, show);
        }
        self
    }
}

fn all_tables<'a>(planned: &Taken<'a>, found: &Taken<'a>) -> Vec<&'a Table> {
    let only_found = found.tables.iter().filter(|there| position(planned, there.table).is_none());
    planned.tables.iter().chain(only_found).map(|there| there.table).collect()
}

fn position(taken: &Taken<'_>, table: &Table) -> Option<usize> {
    taken.tables.iter().position(|there| there.table.schema == table.schema && there.table.name == table.name)
}

fn survivors(taken: &Taken<'_>, plan: &Taken<'_>, cap: u64) -> io::Result<Vec<Survivors>> {
    let mut tally = Tally::new(cap);
    for there in &taken.tables {
        let volatile = position(plan, there.table).and_then(|at| plan.tables.get(at)).map_or(&[][..], |t| t.volatile);
        tally.table(there.table, volatile)?;
    }
    taken.each(|table, side, image| {
        let table = u16::try_from(table).map_err(io::Error::other)?;
        Ok(tally.image(table, side, image)?)
    })?;
    Ok(tally.settle().1)
}

/// The rows of images that stand on one of both only, each once.
fn differing_rows(one: &Survivors, other: &Survivors) -> Vec<[u8; 16]> {
    let all = |rows: &Survivors| {
        let old = rows.old.rows().map(|(image, row)| (Side::Old, image, row));
        let mut all: Vec<_> = old.chain(rows.new.rows().map(|(image, row)| (Side::New, image, row))).collect();
        all.sort_unstable();
        all
    };
    let (ours, theirs) = (all(one), all(other));
    let (mut left, mut right) = (ours.iter().peekable(), theirs.iter().peekable());
    let mut rows = Vec::new();
    let mut seen = HashSet::new();
    // Ends because one of the two gets shorter at each turn.
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some((side, image, _)), Some((other_side, other, _))) => (side, image).cmp(&(other_side, other)),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return rows,
        };
        let one = if order.is_le() { left.next() } else { None };
        let other = if order.is_ge() { right.next() } else { None };
        if let (Some((.., row)), None) | (None, Some((.., row))) = (one, other)
            && seen.insert(*row)
        {
            rows.push(*row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{Listed, listed, wide_table};
    use crate::{Images, TakenTable};

    fn differ(volatile: &[u16], key: &[u16], planned: &[&str], found: &[&str]) -> Vec<TableDifference> {
        let table = wide_table("orders", &["id", "note"], key);
        let open = |lines: &[&str]| -> io::Result<Box<dyn Images>> { Ok(Box::new(Listed(listed(lines).into_iter()))) };
        let (open_one, open_other) = (|| open(planned), || open(found));
        let planned = Taken { tables: vec![TakenTable { table: &table, volatile, indirect: false }], open: &open_one };
        let found =
            Taken { tables: vec![TakenTable { table: &table, volatile: &[], indirect: false }], open: &open_other };
        difference(&planned, &found, 2, 1000).unwrap()
    }

    fn row(values: [&str; 2]) -> Vec<Option<String>> {
        values.map(|value| Some(value.to_owned())).to_vec()
    }

    #[test]
    fn equal_changes_do_not_differ_whatever_their_order_and_what_is_volatile() {
        assert_eq!(differ(&[], &[0], &["-(1,a)", "+(1,b)", "+(2,c)"], &["+(2,c)", "+(1,b)", "-(1,a)"]), []);
        assert_eq!(differ(&[0, 1], &[0], &["+(1,10:00)"], &["+(2,10:01)"]), []);
    }

    #[test]
    fn a_row_that_somebody_changed_is_shown_as_planned_and_as_found() {
        let differs =
            differ(&[], &[0], &["-(1,a)", "+(1,b)", "-(2,a)", "+(2,b)"], &["-(1,x)", "+(1,b)", "-(2,a)", "+(2,b)"]);
        assert_eq!(differs[0].rows, 1);
        let updated = |old| vec![RowChange::Updated { old: row(["1", old]), new: row(["1", "b"]), changed: vec![1] }];
        assert_eq!(differs[0].first, [RowDifference { planned: updated("a"), found: updated("x") }]);
    }

    #[test]
    fn a_row_that_only_one_of_them_changes_is_shown_and_samples_are_bounded() {
        let differs = differ(&[], &[], &["-(1,a)", "-(2,a)", "-(3,a)"], &["-(4,a)"]);
        assert_eq!((differs[0].rows, differs[0].first.len()), (4, 2));
        let one = differ(&[], &[0], &[], &["-(4,a)"]);
        let gone = RowChange::Deleted { old: row(["4", "a"]), times: 1 };
        assert_eq!(one[0].first, [RowDifference { planned: vec![], found: vec![gone] }]);
    }

    #[test]
    fn values_are_shown_as_the_person_may_see_them() {
        let differs = differ(&[], &[0], &[], &["-(4,secret)"]);
        let shown = differs[0].clone().shown(&|_, column, value| if column == 1 { "*".into() } else { value.into() });
        assert_eq!(shown.first[0].found[0].before().unwrap(), &row(["4", "*"]));
    }
}
