//! Tables and images for tests.

use crate::{Column, Generated, Images, Means, Side, Table, TableChange, Tally};
use std::io;

/// A table `public.NAME (id integer, note text)`.
pub(crate) fn table(name: &str, key: &[u16]) -> Table {
    wide_table(name, &["id", "note"], key)
}

/// A table of these columns.
pub(crate) fn wide_table(name: &str, columns: &[&str], key: &[u16]) -> Table {
    let column =
        |name: &&str| Column { name: (*name).to_owned(), type_name: "text".to_owned(), generated: Generated::No };
    Table {
        oid: 16_384,
        schema: "public".to_owned(),
        name: name.to_owned(),
        columns: columns.iter().map(column).collect(),
        key: key.to_vec(),
    }
}

/// A change of it without any rows.
pub(crate) fn change(table: &Table, volatile: &[u16]) -> TableChange {
    TableChange {
        table: table.clone(),
        inserted: 0,
        updated: 0,
        deleted: 0,
        indirect: false,
        means: Means::Key,
        volatile: volatile.to_vec(),
    }
}

/// A tally of one table.
pub(crate) fn tally(table: &Table, volatile: &[u16], images: &[(Side, &str)]) -> Tally {
    let mut tally = Tally::new(1_000_000);
    let number = tally.table(table, volatile).unwrap();
    for (side, image) in images {
        tally.image(number, *side, image.as_bytes()).unwrap();
    }
    tally
}

/// Images in memory.
pub(crate) struct Listed(pub(crate) std::vec::IntoIter<(u16, Side, Vec<u8>)>);

impl Images for Listed {
    fn next(&mut self) -> io::Result<Option<(u16, Side, Vec<u8>)>> {
        Ok(self.0.next())
    }
}

/// Images of one table, as `-(1,a)` and `+(1,b)`.
pub(crate) fn listed(lines: &[&str]) -> Vec<(u16, Side, Vec<u8>)> {
    let image = |line: &&str| {
        let side = if line.starts_with('-') { Side::Old } else { Side::New };
        (0, side, line.as_bytes()[1..].to_vec())
    };
    lines.iter().map(image).collect()
}
