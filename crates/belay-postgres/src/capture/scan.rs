//! The row versions that a transaction removed and made, found by looking at a whole table.
//!
//! A row that the transaction changed or removed carries its mark, and the outsider still sees the row. Others leave
//! the same kind of mark: rows that are only locked, or marked and rolled back, the writer still sees; rows that
//! somebody else removed meanwhile nobody sees any more. What is left is the transaction's own work.

use super::describe::Described;
use super::judge::Judged;
use super::version::{Version, places};
use super::{Ask, CaptureError, Row};
use belay_change::Table;
use postgres_protocol::escape::escape_identifier;
use std::collections::HashSet;

/// Pages looked at in one question. A page holds at most a few hundred rows, so that their places fit into memory.
const PAGES: u64 = 2048;
/// Row versions asked for by their places in one question.
const PLACES: usize = 10_000;
/// Somebody has changed, removed or locked the row.
pub(super) const MARKED: &str = "xmax <> '0'";

/// One table to be looked at.
pub(super) struct Scan<'a> {
    pub(super) about: &'a Described,
    pub(super) judged: &'a Judged,
}

/// What is done with each image.
pub(super) type Take<'a> = &'a mut (dyn FnMut(&str) -> Result<(), CaptureError> + Send);

impl Scan<'_> {
    /// Takes the rows as they were before. Returns how many.
    pub(super) async fn before(
        &self,
        writer: &mut dyn Ask,
        outsider: &mut dyn Ask,
        take: Take<'_>,
    ) -> Result<u64, CaptureError> {
        let pages = self.about.pages();
        let mut count = 0;
        let mut from = 0;
        // What was added since the size was read was not there before.
        while from < pages {
            let to = from + PAGES;
            let place = format!("ctid >= '({from},0)' AND ctid < '({to},0)'");
            let sql = format!("SELECT ctid, xmin FROM ONLY {} WHERE {place} AND {MARKED}", self.about.quoted());
            let marked = self.marked(outsider, &sql).await?;
            for marked in marked.chunks(PLACES) {
                let each = &mut |_, image: &str| {
                    count += 1;
                    take(image)
                };
                self.own(writer, outsider, marked, each).await?;
            }
            from = to;
        }
        Ok(count)
    }

    /// Row versions that somebody has marked: the answer to `sql`, which asks for their places.
    pub(super) async fn marked(&self, outsider: &mut dyn Ask, sql: &str) -> Result<Vec<Version>, CaptureError> {
        let mut marked = Vec::new();
        let see = &mut |row: Row| {
            let version = version(&row)?;
            if self.could_be_seen(version) {
                marked.push(version);
            }
            Ok(())
        };
        outsider.each(sql, see).await?;
        Ok(marked)
    }

    /// Those of the marked versions that the transaction itself removed, with their images.
    pub(super) async fn own(
        &self,
        writer: &mut dyn Ask,
        outsider: &mut dyn Ask,
        marked: &[Version],
        take: &mut (dyn FnMut(Version, &str) -> Result<(), CaptureError> + Send),
    ) -> Result<(), CaptureError> {
        if marked.is_empty() {
            return Ok(());
        }
        let (table, alias) = (self.about.quoted(), self.about.alias());
        let alive = self.alive(writer, marked).await?;
        let mut gone: Vec<Version> = marked.iter().filter(|version| !alive.contains(version)).copied().collect();
        if gone.is_empty() {
            return Ok(());
        }
        gone.sort_unstable();
        let place = format!("ctid = ANY ({})", places(&gone));
        let sql = format!("SELECT ctid, xmin, {} FROM ONLY {table} {alias} WHERE {place}", image(&alias));
        let each = &mut |row: Row| {
            let version = version(&row)?;
            // Otherwise the place was freed and taken again.
            if gone.binary_search(&version).is_ok() { take(version, text(&row, 2)?) } else { Ok(()) }
        };
        outsider.each(&sql, each).await
    }

    /// Those of the versions that the transaction still sees.
    pub(super) async fn alive(
        &self,
        writer: &mut dyn Ask,
        versions: &[Version],
    ) -> Result<HashSet<Version>, CaptureError> {
        let mut alive = HashSet::new();
        if versions.is_empty() {
            return Ok(alive);
        }
        let sql = self.are_alive(versions);
        let mut see = |row: Row| {
            alive.insert(version(&row)?);
            Ok(())
        };
        writer.each(&sql, &mut see).await?;
        Ok(alive)
    }

    /// SQL for those of the versions that are still there.
    pub(super) fn are_alive(&self, versions: &[Version]) -> String {
        format!("SELECT ctid, xmin FROM ONLY {} WHERE ctid = ANY ({})", self.about.quoted(), places(versions))
    }

    /// SQL for row versions that somebody has marked, where `condition` holds: their places, their images, and whether it
    /// is the transaction's own mark. Savepoints within it have marks of their own.
    pub(super) fn marked_images(&self, condition: &str) -> String {
        let alias = self.about.alias();
        format!(
            "SELECT ctid, xmin, {}, xmax = '{}' FROM ONLY {} {alias} WHERE ({condition}) AND {MARKED}",
            image(&alias),
            self.judged.transaction & 0xffff_ffff,
            self.about.quoted()
        )
    }

    /// Takes the rows as the transaction leaves them. Returns how many.
    pub(super) async fn after(&self, writer: &mut dyn Ask, take: Take<'_>) -> Result<u64, CaptureError> {
        let mut count = 0;
        let each = &mut |row: Row| {
            count += 1;
            take(text(&row, 2)?)
        };
        writer.each(&self.made("true"), each).await?;
        Ok(count)
    }

    /// SQL for the row versions that the transaction made and still sees, where `condition` holds: those that nobody
    /// has committed. Their places and their images.
    pub(super) fn made(&self, condition: &str) -> String {
        let alias = self.about.alias();
        format!(
            "SELECT ctid, xmin, {} FROM ONLY {} {alias} WHERE ({condition}) AND {}",
            image(&alias),
            self.about.quoted(),
            made_by_us(self.judged.transaction)
        )
    }

    /// A transaction that sees the rows as of its beginning cannot have removed one that was made later.
    fn could_be_seen(&self, version: Version) -> bool {
        let Some(snapshot) = &self.judged.snapshot else {
            return true;
        };
        // The two lowest numbers stand for what was always there.
        version.made_by < 3 || full(self.judged.transaction, version.made_by).is_none_or(|made| snapshot.sees(made))
    }
}

/// Every row of a table that a connection sees.
pub(super) async fn whole(asked: &mut dyn Ask, table: &Table, take: Take<'_>) -> Result<(), CaptureError> {
    let alias = alias(table);
    let name = format!("{}.{}", escape_identifier(&table.schema), escape_identifier(&table.name));
    let sql = format!("SELECT {} FROM ONLY {name} {alias}", image(&alias));
    asked.each(&sql, &mut |row| take(text(&row, 0)?)).await
}

/// A name that no column of the table has.
pub(super) fn alias(table: &Table) -> String {
    let mut alias = "belay_row".to_owned();
    while table.columns.iter().any(|column| column.name == alias) {
        alias.push('_');
    }
    alias
}

/// A row as text. A cast to text could be one that somebody has defined for the table; its output function is not.
fn image(alias: &str) -> String {
    format!("pg_catalog.record_out({alias}.*)")
}

/// A version is our own where the transaction that made it, ours or one within ours, is still running: nobody sees what
/// others have not committed. Only numbers that are not older than ours are looked up, and ours not: most are.
fn made_by_us(transaction: u64) -> String {
    let low = transaction & 0xffff_ffff;
    format!(
        "CASE WHEN xmin = '{low}'::xid THEN true WHEN age(xmin) <= age('{low}'::xid) \
         THEN pg_xact_status(({transaction}::bigint + mod(xmin::text::bigint - {low} + 4294967296, 4294967296))::text::xid8) = 'in progress' ELSE false END"
    )
}

/// The number of a transaction with what its short form leaves out, where it is near to another one.
fn full(near: u64, short: u32) -> Option<u64> {
    let low = u32::try_from(near & 0xffff_ffff).ok()?;
    let distance = i64::from(short.wrapping_sub(low).cast_signed());
    near.checked_add_signed(distance)
}

pub(super) fn version(row: &Row) -> Result<Version, CaptureError> {
    Version::read(row.first().and_then(Option::as_ref), row.get(1).and_then(Option::as_ref))
}

pub(super) fn text(row: &Row, at: usize) -> Result<&str, CaptureError> {
    row.get(at).and_then(Option::as_deref).ok_or(CaptureError::Unexpected("the image of a row"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_number_is_read_near_to_the_transaction() {
        let epoch = 1 << 32;
        assert_eq!(full(epoch + 5, 7), Some(epoch + 7));
        assert_eq!(full(epoch + 5, u32::MAX), Some(epoch - 1));
        assert_eq!(full(epoch - 1, 3), Some(epoch + 3));
        assert_eq!(full(5, u32::MAX), None);
    }
}
