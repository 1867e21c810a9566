//! Images into temporary tables of the table's own row type.

use super::RevertError;
use super::catalog::Restored;
use super::sql::{self, image};
use belay_change::{Images, Side};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt as _;
use std::collections::BTreeMap;
use tokio_postgres::Client;

/// How much is gathered before it is sent.
const GATHERED: usize = 4 * 1024 * 1024;

/// Loads the images of these tables, and makes sure that each is the text of the row that it makes.
pub(super) async fn load(
    in_target: &Client,
    restored: &mut [Restored],
    images: &mut dyn Images,
) -> Result<(), RevertError> {
    for table in restored.iter() {
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
        }
        if gathered.bytes >= GATHERED {
            gathered.send_largest(in_target).await?;
        }
    }
    while gathered.bytes > 0 {
        gathered.send_largest(in_target).await?;
    }
    for table in restored.iter() {
        for images in [table.old_images(), table.new_images()] {
            in_target.batch_execute(&format!("ANALYZE {images} (n)")).await?;
            let changed =
                format!("SELECT pg_catalog.count(*) FROM {images} belay_x WHERE {} <> img", image("belay_x.r"));
            if sql::number(in_target, &changed).await? > 0 {
                let what = format!("rows of {} would not come back as they were", table.shown());
                return Err(RevertError::refused(
                    what,
                    "a type of the table writes its values in another way than before",
                ));
            }
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

/// Cancels what is the same on both sides, finds the pairs, and counts.
pub(super) async fn net(in_target: &Client, restored: &[Restored]) -> Result<(), RevertError> {
    for table in restored {
        let (old, new) = (table.old_images(), table.new_images());
        let common = format!(
            "SELECT pg_catalog.count(*) FROM {old} belay_o WHERE EXISTS (SELECT FROM {new} belay_w WHERE belay_w.img = belay_o.img)"
        );
        if sql::number(in_target, &common).await? > 0 {
            let cancel = format!(
                "WITH o AS (SELECT n, img, pg_catalog.row_number() OVER (PARTITION BY img) nth FROM {old}),
                w AS (SELECT n, img, pg_catalog.row_number() OVER (PARTITION BY img) nth FROM {new}),
                both AS MATERIALIZED (SELECT o.n AS o, w.n AS w FROM o JOIN w USING (img, nth)),
                gone AS (DELETE FROM {old} belay_x USING both WHERE belay_x.n = both.o)
                DELETE FROM {new} belay_x USING both WHERE belay_x.n = both.w"
            );
            in_target.batch_execute(&cancel).await?;
        }
        let pairs = table.pairs_table();
        if table.key.is_empty() {
            in_target.batch_execute(&format!("CREATE TEMP TABLE {pairs} (o int8, w int8) ON COMMIT DROP")).await?;
            continue;
        }
        for images in [&old, &new] {
            only_once(in_target, table, images).await?;
        }
        let pair = format!(
            "CREATE TEMP TABLE {pairs} ON COMMIT DROP AS SELECT belay_o.n AS o, belay_w.n AS w
                FROM {old} belay_o JOIN {new} belay_w ON {};
            ANALYZE {pairs}",
            table.image_is("belay_o", "belay_w")
        );
        in_target.batch_execute(&pair).await?;
    }
    Ok(())
}

/// Two images of one row on one side: between two of the transactions somebody else changed it.
async fn only_once(in_target: &Client, table: &Restored, images: &str) -> Result<(), RevertError> {
    let twice = format!(
        "SELECT pg_catalog.count(*) FROM (SELECT FROM {images} belay_x GROUP BY {} HAVING pg_catalog.count(*) > 1) s",
        table.key_of("belay_x").join(", ")
    );
    if sql::number(in_target, &twice).await? > 0 {
        let what = format!("rows of {} were changed by others between these changes", table.shown());
        return Err(RevertError::refused(what, "revert the changes one by one, the last one first"));
    }
    Ok(())
}

/// How many images there are on which side, and how many pairs.
pub(super) async fn count(in_target: &Client, restored: &mut [Restored]) -> Result<(), RevertError> {
    for table in restored {
        let number =
            |of: String| async move { sql::number(in_target, &format!("SELECT pg_catalog.count(*) FROM {of}")).await };
        table.old = number(table.old_images()).await?;
        table.new = number(table.new_images()).await?;
        table.pairs = number(table.pairs_table()).await?;
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
