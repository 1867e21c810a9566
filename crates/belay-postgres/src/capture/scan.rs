//! The row versions that a transaction removed and made, found by looking at a whole table.
//!
//! A row that the transaction changed or removed carries its mark, and the outsider still sees the row. Others leave
//! the same kind of mark: rows that are only locked, or marked and rolled back, the writer still sees; rows that
//! somebody else removed meanwhile nobody sees any more. What is left is the transaction's own work.

use super::describe::Described;
use super::judge::Judged;
use super::taken::Taken;
use super::version::{Version, places};
use super::{Ask, CaptureError};
use belay_change::{Side, Sink, Table};
use postgres_protocol::escape::escape_identifier;
use std::collections::HashSet;

/// Pages looked at in one question. A page holds at most a few hundred rows, so that their places fit into memory.
const PAGES: u64 = 2048;
/// Row versions asked for by their places in one question.
const PLACES: usize = 10_000;
const IMAGE: CaptureError = CaptureError::Unexpected("the image of a row");

/// One table to be looked at.
pub(super) struct Scan<'a> {
    pub(super) about: &'a Described,
    pub(super) judged: &'a Judged,
    /// Its number in the images.
    pub(super) number: u16,
}

impl Scan<'_> {
    /// Takes the rows as they were before. Returns how many.
    pub(super) async fn before(
        &self,
        writer: &mut dyn Ask,
        outsider: &mut dyn Ask,
        taken: &mut Taken,
        sink: &mut dyn Sink,
    ) -> Result<u64, CaptureError> {
        let pages = self.about.bytes.div_ceil(self.about.page.max(1));
        let mut count = 0;
        let mut from = 0;
        while from < pages {
            let to = from + PAGES;
            // What was added since the size was read was not there before.
            let marked = self.marked(outsider, from, to).await?;
            for marked in marked.chunks(PLACES) {
                count += self.own(writer, outsider, marked, taken, sink).await?;
            }
            from = to;
        }
        Ok(count)
    }

    /// Row versions that somebody has marked, in some pages.
    async fn marked(&self, outsider: &mut dyn Ask, from: u64, to: u64) -> Result<Vec<Version>, CaptureError> {
        let sql = format!(
            "SELECT ctid, xmin FROM ONLY {} WHERE ctid >= '({from},0)' AND ctid < '({to},0)' AND xmax <> '0'",
            self.about.quoted()
        );
        let mut marked = Vec::new();
        outsider
            .each(&sql, &mut |row| {
                let version = version(&row)?;
                if self.could_be_seen(version) {
                    marked.push(version);
                }
                Ok(())
            })
            .await?;
        Ok(marked)
    }

    /// Those of the marked versions that the transaction itself removed. Their images are taken.
    pub(super) async fn own(
        &self,
        writer: &mut dyn Ask,
        outsider: &mut dyn Ask,
        marked: &[Version],
        taken: &mut Taken,
        sink: &mut dyn Sink,
    ) -> Result<u64, CaptureError> {
        if marked.is_empty() {
            return Ok(0);
        }
        let (table, alias) = (self.about.quoted(), self.about.alias());
        let sql = format!("SELECT ctid, xmin FROM ONLY {table} WHERE ctid = ANY ({})", places(marked));
        let mut alive = HashSet::new();
        let mut see = |row: super::Row| {
            alive.insert(version(&row)?);
            Ok(())
        };
        writer.each(&sql, &mut see).await?;
        let mut gone: Vec<Version> = marked.iter().filter(|version| !alive.contains(version)).copied().collect();
        if gone.is_empty() {
            return Ok(0);
        }
        gone.sort_unstable();
        let sql = format!(
            "SELECT ctid, xmin, {} FROM ONLY {table} {alias} WHERE ctid = ANY ({})",
            image(&alias),
            places(&gone)
        );
        let mut count = 0;
        outsider
            .each(&sql, &mut |row| {
                if gone.binary_search(&version(&row)?).is_err() {
                    // The place was freed and taken again.
                    return Ok(());
                }
                count += 1;
                taken.image(sink, self.number, Side::Old, row.get(2).and_then(Option::as_ref).ok_or(IMAGE)?)
            })
            .await?;
        Ok(count)
    }

    /// Takes the rows as the transaction leaves them: versions that it sees and that nobody has committed, which are
    /// its own. Returns how many.
    pub(super) async fn after(
        &self,
        writer: &mut dyn Ask,
        taken: &mut Taken,
        sink: &mut dyn Sink,
    ) -> Result<u64, CaptureError> {
        let alias = self.about.alias();
        let sql = format!(
            "SELECT {} FROM ONLY {} {alias} WHERE {}",
            image(&alias),
            self.about.quoted(),
            made_by_us(self.judged.transaction)
        );
        let mut count = 0;
        let mut take = |row: super::Row| {
            count += 1;
            taken.image(sink, self.number, Side::New, row.first().and_then(Option::as_ref).ok_or(IMAGE)?)
        };
        writer.each(&sql, &mut take).await?;
        Ok(count)
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
pub(super) async fn whole(
    asked: &mut dyn Ask,
    table: &Table,
    number: u16,
    side: Side,
    taken: &mut Taken,
    sink: &mut dyn Sink,
) -> Result<(), CaptureError> {
    let mut alias = "belay_row".to_owned();
    while table.columns.iter().any(|column| column.name == alias) {
        alias.push('_');
    }
    let sql = format!(
        "SELECT {} FROM ONLY {}.{} {alias}",
        image(&alias),
        escape_identifier(&table.schema),
        escape_identifier(&table.name)
    );
    let mut take =
        |row: super::Row| taken.image(sink, number, side, row.first().and_then(Option::as_ref).ok_or(IMAGE)?);
    asked.each(&sql, &mut take).await
}

/// A row as text. A cast to text could be one that somebody has defined for the table; its output function is not.
fn image(alias: &str) -> String {
    format!("pg_catalog.record_out({alias}.*)")
}

/// A version is our own where the transaction that made it, ours or one within ours, is still running: nobody sees what
/// others have not committed. Only numbers that are not older than ours are looked up.
fn made_by_us(transaction: u64) -> String {
    let low = transaction & 0xffff_ffff;
    format!(
        "CASE WHEN age(xmin) <= age('{low}'::xid) THEN pg_xact_status(({transaction}::bigint \
         + mod(xmin::text::bigint - {low} + 4294967296, 4294967296))::text::xid8) = 'in progress' ELSE false END"
    )
}

/// The number of a transaction with what its short form leaves out, where it is near to another one.
fn full(near: u64, short: u32) -> Option<u64> {
    let low = u32::try_from(near & 0xffff_ffff).ok()?;
    let distance = i64::from(short.wrapping_sub(low).cast_signed());
    near.checked_add_signed(distance)
}

fn version(row: &super::Row) -> Result<Version, CaptureError> {
    Version::read(row.first().and_then(Option::as_ref), row.get(1).and_then(Option::as_ref))
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
