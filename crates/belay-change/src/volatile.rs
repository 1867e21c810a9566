//! Which columns get other values at each run: two trials of the same statements are compared.
//!
//! No rows are kept for it. A column whose new values are another bag of values in the second trial has to be volatile;
//! where that does not explain everything, rows are paired by their key. What was found is then proved: without it the
//! fingerprints of both trials must be equal.

use crate::record::find_fields;
use crate::tally::{Shape, TableTotals, row_of};
use crate::{Side, Table, Taken, TakenTable, Tally, Totals};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::ops::Range;

/// No more rows of a table are paired.
const PAIRED_MOST: usize = 10_000;

/// What two trials say of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The columns, by their place, that differ; none where the trials agree.
    pub volatile: Result<Vec<u16>, NotComparable>,
}

/// Why two trials cannot be compared: a plan of them would not say what applying it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotComparable {
    /// Other rows were changed or deleted: the statements choose them by chance, or somebody else writes there.
    #[error("the second trial changed other rows")]
    OtherRows,
    /// More or fewer rows came out.
    #[error("the second trial left another number of rows")]
    OtherCount,
    /// The table has other columns.
    #[error("the table was altered between the trials")]
    OtherColumns,
    /// Values go to other rows, and no key tells which.
    #[error("the second trial gave the same values to other rows")]
    Unpaired,
}

/// Compares two trials of the same statements, of at most `cap` images each; what is volatile already is not looked
/// at.
pub fn compare_trials(first: &Taken<'_>, second: &Taken<'_>, cap: u64) -> io::Result<Vec<Compared>> {
    let mut tables = judge_whole(first, second, cap)?;
    if tables.iter().all(|table| table.verdict.is_some()) {
        return Ok(tables.into_iter().map(Judging::done).collect());
    }
    let (sums_one, sums_other) = (sums(first)?, sums(second)?);
    for table in tables.iter_mut().filter(|table| table.verdict.is_none()) {
        let (Some(a), Some(b)) = (table.sums(&sums_one, 0), table.sums(&sums_other, 1)) else { continue };
        let differs = a.iter().zip(b).enumerate().filter(|(_, (a, b))| a != b);
        table.volatile.extend(differs.filter_map(|(place, _)| u16::try_from(place).ok()));
    }
    prove(&mut tables, first, second, cap)?;
    let mut found = false;
    for table in tables.iter_mut().filter(|table| table.verdict.is_none()) {
        let before = table.volatile.len();
        let paired = pair(table, first, second)?;
        table.volatile.extend(paired);
        found |= table.volatile.len() > before;
    }
    if found {
        prove(&mut tables, first, second, cap)?;
    }
    Ok(tables.into_iter().map(Judging::done).collect())
}

/// One table while it is judged.
struct Judging<'a> {
    table: &'a Table,
    /// Its numbers in the trials.
    numbers: [Option<usize>; 2],
    volatile: BTreeSet<u16>,
    verdict: Option<Result<(), NotComparable>>,
}

impl Judging<'_> {
    fn sums<'s>(&self, sums: &'s [Vec<u128>], trial: usize) -> Option<&'s Vec<u128>> {
        sums.get((*self.numbers.get(trial)?)?)
    }

    fn done(self) -> Compared {
        let volatile = match self.verdict {
            Some(Ok(())) => Ok(self.volatile.into_iter().collect()),
            Some(Err(why)) => Err(why),
            None => Err(NotComparable::Unpaired),
        };
        Compared { schema: self.table.schema.clone(), name: self.table.name.clone(), volatile }
    }
}

/// What can be said without looking at columns.
fn judge_whole<'a>(first: &Taken<'a>, second: &Taken<'a>, cap: u64) -> io::Result<Vec<Judging<'a>>> {
    let none = |_: &TakenTable<'_>| Vec::new();
    let (one, other) = (tally(first, cap, none)?, tally(second, cap, none)?);
    let position = |taken: &Taken<'_>, table: &Table| {
        taken.tables.iter().position(|there| there.table.schema == table.schema && there.table.name == table.name)
    };
    let mut tables = Vec::new();
    let only_second = second.tables.iter().filter(|there| position(first, there.table).is_none());
    for TakenTable { table, .. } in first.tables.iter().chain(only_second) {
        let numbers = [position(first, table), position(second, table)];
        let totals = |totals: &Totals, at: Option<usize>| at.and_then(|at| totals.tables.get(at)).copied();
        let verdict = judge(totals(&one, numbers[0]), totals(&other, numbers[1]));
        let columns =
            |taken: &Taken<'a>, at: Option<usize>| at.and_then(|at| taken.tables.get(at)).map(|t| &t.table.columns);
        let altered = match (columns(first, numbers[0]), columns(second, numbers[1])) {
            (Some(one), Some(other)) => one != other,
            _ => false,
        };
        let verdict = if altered { Some(Err(NotComparable::OtherColumns)) } else { verdict };
        tables.push(Judging { table, numbers, volatile: BTreeSet::new(), verdict });
    }
    Ok(tables)
}

fn judge(one: Option<TableTotals>, other: Option<TableTotals>) -> Option<Result<(), NotComparable>> {
    let count = |totals: TableTotals| (totals.inserted + totals.updated, totals.deleted + totals.updated);
    let (one_count, other_count) = (one.map_or((0, 0), count), other.map_or((0, 0), count));
    match (one, other) {
        (Some(one), Some(other)) if one.old != other.old => Some(Err(NotComparable::OtherRows)),
        (Some(one), Some(other)) if one.new == other.new => Some(Ok(())),
        _ if one_count.1 != other_count.1 => Some(Err(NotComparable::OtherRows)),
        _ if one_count.0 != other_count.0 => Some(Err(NotComparable::OtherCount)),
        (Some(_), Some(_)) => None,
        // Looked at by one trial, and changed by none.
        _ => Some(Ok(())),
    }
}

/// Settles the tables whose trials are equal without what is volatile.
fn prove(tables: &mut [Judging<'_>], first: &Taken<'_>, second: &Taken<'_>, cap: u64) -> io::Result<()> {
    let volatile = |wanted: &TakenTable<'_>| {
        let same =
            |table: &&Judging<'_>| table.table.schema == wanted.table.schema && table.table.name == wanted.table.name;
        tables.iter().find(same).map(|table| table.volatile.iter().copied().collect()).unwrap_or_default()
    };
    let (one, other) = (tally(first, cap, volatile)?, tally(second, cap, volatile)?);
    for table in tables.iter_mut().filter(|table| table.verdict.is_none()) {
        let new = |totals: &Totals, trial: usize| {
            let number = table.numbers.get(trial).copied().flatten()?;
            totals.tables.get(number).map(|totals| totals.new)
        };
        if new(&one, 0) == new(&other, 1) {
            table.verdict = Some(Ok(()));
        }
    }
    Ok(())
}

fn tally(taken: &Taken<'_>, cap: u64, volatile: impl Fn(&TakenTable<'_>) -> Vec<u16>) -> io::Result<Totals> {
    let mut tally = Tally::new(cap);
    for table in &taken.tables {
        tally.table(table.table, &volatile(table))?;
    }
    taken.each(|table, side, image| Ok(tally.image(number(table)?, side, image)?))?;
    Ok(tally.finish())
}

fn number(table: usize) -> io::Result<u16> {
    u16::try_from(table).map_err(io::Error::other)
}

/// For each table and column a sum over the hashes of its new values, less that of its old ones: the same bag of
/// values has the same sum, and rows on both sides count nowhere.
fn sums(taken: &Taken<'_>) -> io::Result<Vec<Vec<u128>>> {
    let mut sums: Vec<Vec<u128>> = taken.tables.iter().map(|table| vec![0; table.table.columns.len()]).collect();
    let mut spans = Vec::new();
    taken.each(|table, side, image| {
        let Some(sums) = sums.get_mut(table) else { return Ok(()) };
        find_fields(image, sums.len(), &mut spans).map_err(io::Error::other)?;
        for (sum, value) in sums.iter_mut().zip(values(image, &spans)) {
            *sum = match side {
                Side::Old => sum.wrapping_sub(u128::from(value)),
                Side::New => sum.wrapping_add(u128::from(value)),
            };
        }
        Ok(())
    })?;
    Ok(sums)
}

/// Hashes of the values, for finding only: what is found is proved by better ones.
fn values(image: &[u8], spans: &[Range<usize>]) -> impl Iterator<Item = u64> {
    spans.iter().map(|span| {
        let mut hasher = DefaultHasher::new();
        hasher.write(image.get(span.clone()).unwrap_or_default());
        hasher.finish()
    })
}

/// The columns in which new rows of the same key differ, as far as rows are paired.
fn pair(table: &Judging<'_>, first: &Taken<'_>, second: &Taken<'_>) -> io::Result<BTreeSet<u16>> {
    let mut differs = BTreeSet::new();
    let key = &table.table.key;
    if key.is_empty() || key.iter().any(|place| table.volatile.contains(place)) {
        return Ok(differs);
    }
    let shape = Shape { columns: table.table.columns.len(), key: key.clone(), volatile: Vec::new() };
    let mut rows: HashMap<[u8; 16], Vec<u64>> = HashMap::new();
    for (trial, taken) in [first, second].into_iter().enumerate() {
        let mut spans = Vec::new();
        taken.each(|at, side, image| {
            if side == Side::Old || table.numbers.get(trial) != Some(&Some(at)) {
                return Ok(());
            }
            find_fields(image, shape.columns, &mut spans).map_err(io::Error::other)?;
            let row = row_of(&shape, image, &spans, Sha256::digest(image).into());
            if trial == 0 {
                if rows.len() < PAIRED_MOST {
                    rows.insert(row, values(image, &spans).collect());
                }
            } else if let Some(before) = rows.get(&row) {
                let places = before.iter().zip(values(image, &spans)).enumerate();
                differs.extend(places.filter(|(_, (a, b))| *a != b).filter_map(|(at, _)| u16::try_from(at).ok()));
            }
            Ok(())
        })?;
    }
    Ok(differs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Images;
    use crate::samples::{Listed, listed, wide_table};

    fn compare(columns: &[&str], key: &[u16], one: &[&str], other: &[&str]) -> Result<Vec<u16>, NotComparable> {
        let table = wide_table("orders", columns, key);
        let open = |lines: &[&str]| -> io::Result<Box<dyn Images>> { Ok(Box::new(Listed(listed(lines).into_iter()))) };
        let (open_one, open_other) = (|| open(one), || open(other));
        let tables = || vec![TakenTable { table: &table, volatile: &[], indirect: false }];
        let first = Taken { tables: tables(), open: &open_one };
        let second = Taken { tables: tables(), open: &open_other };
        let mut compared = compare_trials(&first, &second, 1000).unwrap();
        assert_eq!(compared.len(), 1);
        compared.remove(0).volatile
    }

    #[test]
    fn trials_that_agree_have_no_volatile_columns() {
        let lines = ["-(1,a,x)", "+(1,b,x)", "+(2,c,x)"];
        let backwards = ["+(2,c,x)", "+(1,b,x)", "-(1,a,x)", "-(9,q,x)", "+(9,q,x)"];
        assert_eq!(compare(&["id", "note", "at"], &[0], &lines, &backwards), Ok(vec![]));
    }

    #[test]
    fn times_numbers_and_uuids_of_new_rows_are_found() {
        let one = ["+(1,a,10:00)", "+(2,b,10:00)", "-(7,x,09:00)", "+(7,y,10:00)"];
        let other = ["+(3,a,10:01)", "+(4,b,10:01)", "-(7,x,09:00)", "+(7,y,10:01)"];
        assert_eq!(compare(&["id", "note", "at"], &[0], &one, &other), Ok(vec![0, 2]));
        assert_eq!(compare(&["id", "note", "at"], &[], &one, &other), Ok(vec![0, 2]));
    }

    #[test]
    fn the_same_values_on_other_rows_are_found_by_the_key() {
        let one = ["-(1,x)", "-(2,x)", "+(1,a)", "+(2,b)"];
        let other = ["-(1,x)", "-(2,x)", "+(1,b)", "+(2,a)"];
        assert_eq!(compare(&["id", "place"], &[0], &one, &other), Ok(vec![1]));
        assert_eq!(compare(&["id", "place"], &[], &one, &other), Err(NotComparable::Unpaired));
    }

    #[test]
    fn trials_that_change_other_rows_are_not_comparable() {
        let columns = ["id", "note"];
        let one = ["-(1,x)", "+(1,a)"];
        assert_eq!(compare(&columns, &[0], &one, &["-(2,x)", "+(2,a)"]), Err(NotComparable::OtherRows));
        assert_eq!(compare(&columns, &[0], &one, &["-(1,y)", "+(1,a)"]), Err(NotComparable::OtherRows));
        assert_eq!(compare(&columns, &[0], &one, &[]), Err(NotComparable::OtherRows));
        assert_eq!(compare(&columns, &[0], &["+(1,a)"], &["+(1,a)", "+(2,a)"]), Err(NotComparable::OtherCount));
    }

    #[test]
    fn an_image_that_cannot_be_read_is_an_error() {
        let table = wide_table("orders", &["id", "note"], &[]);
        let tables = || vec![TakenTable { table: &table, volatile: &[], indirect: false }];
        let lines = |image: &'static str| {
            move || -> io::Result<Box<dyn Images>> { Ok(Box::new(Listed(listed(&[image]).into_iter()))) }
        };
        let (one, other) = (lines("+(1,a,b)"), lines("+(1,a,c)"));
        let (first, second) = (Taken { tables: tables(), open: &one }, Taken { tables: tables(), open: &other });
        assert!(compare_trials(&first, &second, 1000).is_err());
        assert!(compare_trials(&first, &second, 0).is_err());
    }
}
