//! Every row of a change, a page at a time, so that no more than a page has to be held with its values.

use crate::pick::{ALL_MOST, Picked, Wanted};
use crate::{RowChange, Taken, Tally};
use std::io;

/// Some rows of a change, in the order in which they were taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The rows, each with its table's place in [`Taken::tables`].
    pub rows: Vec<(usize, RowChange)>,
    /// Where the next page begins, if this is not the last.
    pub next: Option<u64>,
}

/// The rows from the one with this number on, from 0; at most `most`, fewer where they are long. Of at most `cap`
/// images, which are read twice, and again where the rows are much longer than the average.
pub fn page(taken: &Taken<'_>, from: u64, most: usize, cap: u64) -> io::Result<Page> {
    let mut tally = Tally::new(cap);
    for table in &taken.tables {
        tally.table(table.table, &[])?;
    }
    let (mut images, mut bytes) = (0_usize, 0_usize);
    taken.each(|table, side, image| {
        (images, bytes) = (images + 1, bytes + image.len());
        let table = u16::try_from(table).map_err(io::Error::other)?;
        Ok(tally.image(table, side, image)?)
    })?;
    let mut skip = usize::try_from(from).unwrap_or(usize::MAX);
    let mut most = most.min(ALL_MOST / 2 * images.max(1) / bytes.max(1) / 2).max(1);
    let mut found = Vec::new();
    for (at, survivors) in tally.settle().1.into_iter().enumerate() {
        let fates = survivors.fates();
        // One more than the page holds shows that it is not the last.
        let rows = fates.iter().skip(skip).take((most + 1).saturating_sub(found.len()));
        found.extend(rows.map(|(row, _)| (at, *row)));
        skip = skip.saturating_sub(fates.len());
    }
    // Ends because pages get smaller down to a single row.
    loop {
        let rows = found.get(..most).unwrap_or(&found);
        let mut wanted = vec![Wanted::new(); taken.tables.len()];
        for (at, row) in rows {
            wanted.get_mut(*at).map(|wanted| wanted.insert(*row));
        }
        let mut picked = Picked::gather(taken, wanted)?;
        if picked.is_full() && most > 1 {
            most = rows.len().div_ceil(2).min(most - 1);
            continue;
        }
        let next = (rows.len() < found.len()).then(|| from.saturating_add(rows.len() as u64));
        let rows = rows.iter().flat_map(|(at, row)| picked.changes(*at, row).into_iter().map(|change| (*at, change)));
        return Ok(Page { rows: rows.collect(), next });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{Listed, listed, table};
    use crate::{Images, TakenTable};

    /// The numbers of the rows of each page, as the first column says.
    fn pages(lines: &[&str], most: usize) -> Vec<Vec<String>> {
        let table = table("orders", &[0]);
        let open = || -> io::Result<Box<dyn Images>> { Ok(Box::new(Listed(listed(lines).into_iter()))) };
        let taken = Taken { tables: vec![TakenTable { table: &table, volatile: &[], indirect: false }], open: &open };
        let (mut pages, mut from) = (Vec::new(), Some(0));
        while let Some(start) = from {
            let page = page(&taken, start, most, 20_000).unwrap();
            let id = |(_, change): &(usize, RowChange)| {
                let row = change.before().or(change.after()).unwrap();
                assert!(!row[1].as_ref().unwrap().ends_with('…'));
                row[0].clone().unwrap()
            };
            pages.push(page.rows.iter().map(id).collect());
            from = page.next;
        }
        pages
    }

    #[test]
    fn pages_hold_every_row_once_in_the_order_in_which_rows_came() {
        let lines = ["-(3,a)", "-(1,a)", "-(2,same)", "+(3,b)", "+(1,b)", "+(2,same)", "+(9,new)"];
        for (most, expected) in [
            (1, vec![vec!["3"], vec!["1"], vec!["9"]]),
            (2, vec![vec!["3", "1"], vec!["9"]]),
            (3, vec![vec!["3", "1", "9"]]),
        ] {
            assert_eq!(pages(&lines, most), expected);
        }
        assert_eq!(pages(&[], 5), [Vec::<String>::new()]);
    }

    #[test]
    fn long_rows_make_short_pages_instead_of_being_cut() {
        let note = |id: usize| "x".repeat(if id < 12_000 { 1 } else { 16_000 });
        let rows: Vec<String> = (0..13_150).map(|id| format!("+({id},{})", note(id))).collect();
        let lines: Vec<&str> = rows.iter().map(String::as_str).collect();
        let pages = pages(&lines, 20_000);
        assert_eq!(pages.concat(), (0..13_150).map(|id: i32| id.to_string()).collect::<Vec<_>>());
    }
}
