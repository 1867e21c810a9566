//! Some rows out of many, with their values, for people.

use crate::record::{find_fields, unquote};
use crate::tally::{Shape, row_of};
use crate::{Row, RowChange, Side, Table, Taken};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::io;

/// Of no value is more shown.
const VALUE_MOST: usize = 16 * 1024;
/// Nor of all values together.
pub(crate) const ALL_MOST: usize = 16 * 1024 * 1024;

/// Rows of one table, by what tells them apart.
pub(crate) type Wanted = HashSet<[u8; 16]>;

/// The images of wanted rows.
pub(crate) struct Picked {
    tables: Vec<Picking>,
    left: usize,
}

struct Picking {
    shape: Shape,
    rows: HashMap<[u8; 16], Images>,
}

/// Of one row.
#[derive(Default)]
struct Images {
    old: Vec<Image>,
    new: Vec<Image>,
}

/// Of equal images one, and how many there are.
struct Image {
    whole: [u8; 32],
    times: u64,
    cells: Vec<Option<Cell>>,
}

struct Cell {
    whole: [u8; 32],
    shown: String,
}

impl Picked {
    pub(crate) fn of(tables: &[&Table], wanted: Vec<Wanted>) -> Picked {
        let picking = |(table, wanted): (&&Table, Wanted)| Picking {
            shape: Shape { columns: table.columns.len(), key: table.key.clone(), volatile: Vec::new() },
            rows: wanted.into_iter().map(|row| (row, Images::default())).collect(),
        };
        Picked { tables: tables.iter().zip(wanted).map(picking).collect(), left: ALL_MOST }
    }

    /// All wanted rows of what was taken.
    pub(crate) fn gather(taken: &Taken<'_>, wanted: Vec<Wanted>) -> io::Result<Picked> {
        let tables: Vec<&Table> = taken.tables.iter().map(|table| table.table).collect();
        let mut picked = Picked::of(&tables, wanted);
        taken.each(|table, side, image| picked.look(table, side, image))?;
        Ok(picked)
    }

    /// Keeps the image if its row is wanted.
    pub(crate) fn look(&mut self, table: usize, side: Side, image: &[u8]) -> io::Result<()> {
        let Some(picking) = self.tables.get_mut(table).filter(|table| !table.rows.is_empty()) else { return Ok(()) };
        let mut spans = Vec::new();
        find_fields(image, picking.shape.columns, &mut spans).map_err(io::Error::other)?;
        let whole = Sha256::digest(image).into();
        let row = row_of(&picking.shape, image, &spans, whole);
        let Some(images) = picking.rows.get_mut(&row) else { return Ok(()) };
        let kept = match side {
            Side::Old => &mut images.old,
            Side::New => &mut images.new,
        };
        if let Some(same) = kept.iter_mut().find(|image| image.whole == whole) {
            same.times += 1;
            return Ok(());
        }
        let mut cells = Vec::with_capacity(spans.len());
        for span in spans {
            let value = unquote(image.get(span).unwrap_or_default()).map_err(io::Error::other)?;
            cells.push(value.map(|value| cell(&value, &mut self.left)));
        }
        kept.push(Image { whole, times: 1, cells });
        Ok(())
    }

    /// Whether values may have been cut because there were too many.
    pub(crate) fn is_full(&self) -> bool {
        self.left < VALUE_MOST
    }

    /// What becomes of a row.
    pub(crate) fn changes(&mut self, table: usize, row: &[u8; 16]) -> Vec<RowChange> {
        let images = self.tables.get_mut(table).and_then(|table| table.rows.remove(row));
        images.map(Images::pair).unwrap_or_default()
    }
}

impl Images {
    fn pair(mut self) -> Vec<RowChange> {
        self.cancel();
        let mut changes = Vec::new();
        let (mut olds, mut news) = (self.old.into_iter(), self.new.into_iter());
        // Ends because one of the two does at each turn get shorter.
        loop {
            match (olds.next(), news.next()) {
                (Some(old), Some(new)) => {
                    let differs = old.cells.iter().zip(&new.cells).enumerate().filter(|(_, (one, other))| {
                        one.as_ref().map(|cell| cell.whole) != other.as_ref().map(|cell| cell.whole)
                    });
                    let places = differs.filter_map(|(place, _)| u16::try_from(place).ok()).collect();
                    changes.push(RowChange::Updated { old: shown(old), new: shown(new), changed: places });
                }
                (Some(old), None) => changes.push(RowChange::Deleted { times: old.times, old: shown(old) }),
                (None, Some(new)) => changes.push(RowChange::Inserted { times: new.times, new: shown(new) }),
                (None, None) => return changes,
            }
        }
    }

    /// Equal images on both sides are no change.
    fn cancel(&mut self) {
        for old in &mut self.old {
            if let Some(new) = self.new.iter_mut().find(|new| new.whole == old.whole) {
                let both = old.times.min(new.times);
                old.times -= both;
                new.times -= both;
            }
        }
        self.old.retain(|image| image.times > 0);
        self.new.retain(|image| image.times > 0);
    }
}

fn shown(image: Image) -> Row {
    image.cells.into_iter().map(|cell| cell.map(|cell| cell.shown)).collect()
}

fn cell(value: &[u8], left: &mut usize) -> Cell {
    let most = VALUE_MOST.min(*left);
    let mut shown = String::from_utf8_lossy(value.get(..most).unwrap_or(value)).into_owned();
    if value.len() > most {
        // The cut may have gone through a character.
        let whole = shown.trim_end_matches('\u{fffd}').len();
        shown.truncate(whole);
        shown.push('…');
    }
    *left = left.saturating_sub(shown.len());
    Cell { whole: Sha256::digest(value).into(), shown }
}
