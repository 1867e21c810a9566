//! The images of each table that was written, by key or by scan.

use super::armed::{self, Armed};
use super::describe::Described;
use super::judge::{Judged, Written};
use super::keyed::{self, Search};
use super::scan::Scan;
use super::{Ask, CaptureError, Limits, Transaction};
use belay_change::{Means, Side, Sink, read_some};
use std::collections::{HashMap, HashSet};
use tokio::task::yield_now;

/// Bytes of images that are worked through at once beside other work.
const LIGHT: usize = 1 << 20;
/// Rows of a table that are kept in mind because rows of other tables refer to them.
const MOST_GONE: usize = 20_000;

/// Old rows of tables that others refer to: of each, the fields of some columns.
pub(super) type Gone = HashMap<u32, Vec<HashMap<u16, String>>>;

/// The tables that were written, and where their images go.
pub(super) struct Tables<'a> {
    pub(super) judged: &'a Judged,
    pub(super) described: &'a HashMap<u32, Described>,
    pub(super) transaction: &'a mut Transaction,
    pub(super) limits: &'a Limits,
    pub(super) sink: &'a mut dyn Sink,
}

impl Tables<'_> {
    /// Takes all their images. Tables that others refer to come first: what a foreign key removed is found by it.
    pub(super) async fn take(mut self, writer: &mut dyn Ask, outsider: &mut dyn Ask) -> Result<(), CaptureError> {
        let mut gone = Gone::new();
        let judged = self.judged;
        let mut armed = None;
        for written in parents_first(&judged.written, self.described) {
            let described = self.described;
            let about = described.get(&written.oid).ok_or(CaptureError::Unexpected("the tables that were written"))?;
            about.readable()?;
            let scan = Scan { about, judged };
            let referred = referred(about, described);
            if keyed::worthwhile(written, about, self.limits) {
                let clues = std::mem::take(&mut self.transaction.clues);
                let search = Search { scan: &scan, written, clues: &clues, gone: &gone, described };
                let found = search.run(writer, outsider).await?;
                self.transaction.clues = clues;
                if let Some((old, new)) = found {
                    if old.iter().chain(&new).map(String::len).sum::<usize>() > LIGHT {
                        writer.much();
                        yield_now().await;
                    }
                    let number = self.announce(about, Means::Key)?;
                    for image in &old {
                        remember(image, about, &referred, &mut gone);
                    }
                    self.keep(number, Side::Old, &old)?;
                    self.keep(number, Side::New, &new)?;
                    continue;
                }
            }
            if armed.is_none() {
                armed = Some(Armed::look(writer, outsider, judged, self.transaction).await?);
            }
            if let Some(Some(armed)) = &armed
                && armed.open(writer, judged, written, about).await?
            {
                let number = self.announce(about, Means::Armed)?;
                let Tables { transaction, sink, .. } = &mut self;
                let take = &mut |side, image: &str| {
                    if side == Side::Old {
                        remember(image, about, &referred, &mut gone);
                    }
                    transaction.taken.image(*sink, number, side, image)
                };
                armed::read(writer, take).await?;
                continue;
            }
            about.within(self.limits).map_err(|error| {
                let armed = armed.as_ref().is_some_and(|armed| armed.as_ref().is_some_and(|armed| armed.has(about)));
                armed::advised(error, about, armed)
            })?;
            if about.bytes > LIGHT as u64 {
                writer.much();
            }
            let number = self.announce(about, Means::Scan)?;
            let Tables { transaction, sink, .. } = &mut self;
            let take = &mut |image: &str| {
                remember(image, about, &referred, &mut gone);
                transaction.taken.image(*sink, number, Side::Old, image)
            };
            let old = scan.before(writer, outsider, take).await?;
            let take = &mut |image: &str| transaction.taken.image(*sink, number, Side::New, image);
            let new = scan.after(writer, take).await?;
            written.agrees(old, new)?;
        }
        Ok(())
    }

    fn announce(&mut self, about: &Described, means: Means) -> Result<u16, CaptureError> {
        let indirect = !self.transaction.names(about);
        self.transaction.taken.table(self.sink, &about.table, means, indirect)
    }

    fn keep(&mut self, number: u16, side: Side, images: &[String]) -> Result<(), CaptureError> {
        images.iter().try_for_each(|image| self.transaction.taken.image(self.sink, number, side, image))
    }
}

/// The tables in an order in which those referred to come before those that refer to them, but for cycles.
fn parents_first<'a>(written: &'a [Written], described: &HashMap<u32, Described>) -> Vec<&'a Written> {
    let mut rest: Vec<&Written> = written.iter().collect();
    let mut ordered = Vec::with_capacity(rest.len());
    let mut waiting: HashSet<u32> = rest.iter().map(|written| written.oid).collect();
    while !rest.is_empty() {
        let free = |written: &&Written| {
            let references = described.get(&written.oid).map(|about| about.references.as_slice()).unwrap_or_default();
            references.iter().all(|to| to.parent == written.oid || !waiting.contains(&to.parent))
        };
        let next = rest.remove(rest.iter().position(free).unwrap_or(0));
        waiting.remove(&next.oid);
        ordered.push(next);
    }
    ordered
}

/// The columns that foreign keys of written tables refer to.
fn referred(about: &Described, described: &HashMap<u32, Described>) -> HashSet<u16> {
    let to_it = described.values().flat_map(|child| &child.references).filter(|to| to.parent == about.table.oid);
    to_it.filter_map(|to| to.places(about)).flatten().collect()
}

/// Keeps these fields of an old row.
fn remember(image: &str, about: &Described, referred: &HashSet<u16>, gone: &mut Gone) {
    if referred.is_empty() {
        return;
    }
    let rows = gone.entry(about.table.oid).or_default();
    if rows.len() >= MOST_GONE {
        return;
    }
    let places: Vec<u16> = referred.iter().copied().collect();
    if let Ok(fields) = read_some(image.as_bytes(), about.table.columns.len(), &places) {
        rows.push(places.into_iter().zip(fields).filter_map(|(place, field)| Some((place, field?))).collect());
    }
}
