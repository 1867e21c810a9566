//! Images into temporary tables of the table's own row type.

use super::RevertError;
use super::catalog::Restored;
use super::inverse::Inverse;
use super::sql::{self, image, parsed};
use belay_change::{Images, Side};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt as _;
use std::collections::BTreeMap;
use tokio_postgres::Client;

/// How much is gathered before it is sent.
const GATHERED: usize = 4 * 1024 * 1024;

/// Loads the images of these tables, and makes sure that each that is put back is the text of the row that it makes.
/// The others are compared with what is there as they are. `inverse` gets each image, too.
pub(super) async fn load(
    in_target: &Client,
    restored: &[Restored],
    images: &mut dyn Images,
    mut inverse: Option<&mut Inverse<'_>>,
) -> Result<(), RevertError> {
    for table in restored {
        for images in [table.old_images(), table.new_images()] {
            let create =
                format!("CREATE TEMP TABLE {images} (n int8, img text COLLATE \"C\", r {}) ON COMMIT DROP", table.sql);
            in_target.batch_execute(&create).await?;
        }
    }
    let numbers: Vec<u16> = restored.iter().map(|table| table.number).collect();
    let mut gathered = Gathered::default();
    while let Some((table, side, image)) = images.next()? {
        if numbers.contains(&table) {
            gathered.put(table, side, &image);
            if let Some(inverse) = &mut inverse {
                inverse.image(table, side.other(), &image)?;
            }
        }
        if gathered.bytes >= GATHERED {
            gathered.send_largest(in_target).await?;
        }
    }
    while gathered.bytes > 0 {
        gathered.send_largest(in_target).await?;
    }
    for table in restored {
        for images in [table.old_images(), table.new_images()] {
            in_target.batch_execute(&format!("ANALYZE {images} (n)")).await?;
        }
        let changed = format!(
            "SELECT pg_catalog.count(*) FROM {} belay_x WHERE {} <> img",
            table.old_images(),
            image("belay_x.r")
        );
        if sql::number(in_target, &changed).await? > 0 {
            let what = format!("rows of {} would not come back as they were", table.shown());
            return Err(RevertError::refused(what, "a type of the table writes its values in another way than before"));
        }
    }
    Ok(())
}

/// Images for COPY, by table and side. At most [`GATHERED`] bytes and one image.
#[derive(Default)]
struct Gathered {
    lines: BTreeMap<(u16, Side), BytesMut>,
    bytes: usize,
    count: u64,
}

impl Gathered {
    fn put(&mut self, table: u16, side: Side, image: &[u8]) {
        let lines = self.lines.entry((table, side)).or_default();
        let before = lines.len();
        self.count += 1;
        lines.put_slice(self.count.to_string().as_bytes());
        lines.put_u8(b'\t');
        let text = lines.len();
        escape(image, lines);
        let text = text..lines.len();
        lines.put_u8(b'\t');
        lines.extend_from_within(text);
        lines.put_u8(b'\n');
        self.bytes += lines.len() - before;
    }

    async fn send_largest(&mut self, in_target: &Client) -> Result<(), RevertError> {
        let largest = self.lines.iter().max_by_key(|(_, lines)| lines.len()).map(|(at, _)| *at);
        let Some((at, lines)) = largest.and_then(|at| self.lines.remove(&at).map(|lines| (at, lines))) else {
            return Ok(());
        };
        self.bytes -= lines.len();
        let side = if at.1 == Side::Old { "old" } else { "new" };
        let copy = in_target.copy_in(&format!("COPY pg_temp.belay_{side}_{} (n, img, r) FROM STDIN", at.0)).await?;
        let mut copy: std::pin::Pin<&mut tokio_postgres::CopyInSink<Bytes>> = std::pin::pin!(copy);
        copy.send(lines.freeze()).await?;
        copy.finish().await?;
        Ok(())
    }
}

/// As COPY reads it.
fn escape(image: &[u8], to: &mut BytesMut) {
    let mut rest = image;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\\' | b'\n' | b'\r' | b'\t')) {
        to.put_slice(&rest[..at]);
        to.put_u8(b'\\');
        to.put_u8(match rest[at] {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            other => other,
        });
        rest = &rest[at + 1..];
    }
    to.put_slice(rest);
}

/// Cancels what is the same on both sides, and finds the pairs.
pub(super) async fn net(in_target: &Client, restored: &[Restored]) -> Result<(), RevertError> {
    for table in restored {
        let (old, new, pairs) = (table.old_images(), table.new_images(), table.pairs_table());
        let (pair, limit) = if table.key.is_empty() {
            ("belay_o.img = belay_w.img".to_owned(), "1".to_owned())
        } else {
            // More pairs than images: some stand for one row more than once, and will cancel, or be refused.
            let images = |of| format!("(SELECT pg_catalog.count(*) FROM {of})");
            (table.image_is("belay_o", "belay_w"), format!("{} + {}", images(&old), images(&new)))
        };
        let pair = format!(
            "DROP TABLE IF EXISTS {pairs};
            CREATE TEMP TABLE {pairs} ON COMMIT DROP AS SELECT belay_o.n AS o, belay_w.n AS w,
                belay_o.img = belay_w.img AS same FROM {old} belay_o JOIN {new} belay_w ON {pair} LIMIT {limit};
            ANALYZE {pairs}",
        );
        in_target.batch_execute(&pair).await?;
        let same = format!(
            "SELECT pg_catalog.count(*) FILTER (WHERE same) + pg_catalog.count(*) - pg_catalog.count(DISTINCT o)
            FROM {pairs}"
        );
        if sql::number(in_target, &same).await? > 0 {
            in_target.batch_execute(&cancel(&old, &new)).await?;
            in_target.batch_execute(&pair).await?;
        }
        if !table.key.is_empty() {
            only_once(in_target, table).await?;
        }
    }
    Ok(())
}

fn cancel(old: &str, new: &str) -> String {
    let numbered =
        |images| format!("SELECT n, img, pg_catalog.row_number() OVER (PARTITION BY img) AS nth FROM {images}");
    format!(
        "WITH o AS ({}), w AS ({}),
        common AS MATERIALIZED (SELECT o.n AS o, w.n AS w FROM o JOIN w ON w.img = o.img AND w.nth = o.nth),
        gone AS (DELETE FROM {old} belay_x USING common WHERE belay_x.n = common.o)
        DELETE FROM {new} belay_x USING common WHERE belay_x.n = common.w",
        numbered(old),
        numbered(new)
    )
}

/// Two images of one row on one side: between two of the transactions somebody else changed it.
async fn only_once(in_target: &Client, table: &Restored) -> Result<(), RevertError> {
    let paired = format!(
        "SELECT pg_catalog.count(*) - pg_catalog.count(DISTINCT o), pg_catalog.count(*) - pg_catalog.count(DISTINCT w)
        FROM {}",
        table.pairs_table()
    );
    let unpaired = |images: String, of: &str| {
        format!(
            "SELECT pg_catalog.count(*) FROM (SELECT FROM {images} belay_x
                WHERE NOT EXISTS (SELECT FROM {} p WHERE p.{of} = belay_x.n)
                GROUP BY {} HAVING pg_catalog.count(*) > 1) s",
            table.pairs_table(),
            table.key_of("belay_x").join(", ")
        )
    };
    let rows = sql::rows(in_target, &paired).await?;
    let row = rows.first().ok_or(RevertError::Unexpected("no counts"))?;
    let twice = parsed::<u64>(row, 0)?
        + parsed::<u64>(row, 1)?
        + sql::number(in_target, &unpaired(table.old_images(), "o")).await?
        + sql::number(in_target, &unpaired(table.new_images(), "w")).await?;
    if twice > 0 {
        let what = format!("rows of {} were changed by others between these changes", table.shown());
        return Err(RevertError::refused(what, "revert the changes one by one, the last one first"));
    }
    Ok(())
}

/// How many images there are on which side, how many pairs and hits.
pub(super) async fn count(in_target: &Client, restored: &mut [Restored]) -> Result<(), RevertError> {
    for table in restored {
        let counts = format!(
            "SELECT (SELECT pg_catalog.count(*) FROM {}), (SELECT pg_catalog.count(*) FROM {}),
                (SELECT pg_catalog.count(*) FROM {}), pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE same)
            FROM {}",
            table.old_images(),
            table.new_images(),
            table.pairs_table(),
            table.hits()
        );
        let rows = sql::rows(in_target, &counts).await?;
        let row = rows.first().ok_or(RevertError::Unexpected("no counts"))?;
        (table.old, table.new, table.pairs) = (parsed(row, 0)?, parsed(row, 1)?, parsed(row, 2)?);
        table.hits = (parsed(row, 3)?, parsed(row, 4)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::escape;
    use bytes::BytesMut;

    #[test]
    fn what_copy_would_take_for_its_own_is_escaped() {
        let mut line = BytesMut::new();
        escape(b"(1,\"a\\\\b\")\t\r\n\\.", &mut line);
        assert_eq!(&line[..], br#"(1,"a\\\\b")\t\r\n\\."#);
    }
}
