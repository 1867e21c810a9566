//! Deleting from the archive what retention deleted.

use super::{MOST_FAILED, Work, about, blocking, note};
use crate::ledger::kept;
use crate::ledger::segment;
use crate::ledger::{Deletion, Mentioned};
use belay_ledger::{Position, TILE_WIDTH, TilePath, Verifier};

/// What became of an object that is to be deleted.
enum Deleted {
    Gone,
    /// The bucket's lock keeps it, or something in it is held.
    Kept,
    /// It is not what was deleted here.
    Odd,
}

impl Work {
    /// Deletes what retention deleted here.
    pub(super) async fn delete(&mut self) -> Result<(), String> {
        let mut due: Vec<Deletion> = self.kept.deletions().filter(|deletion| self.is_due(deletion)).cloned().collect();
        due.sort_by_key(|deletion| self.late.contains(&segment::name(deletion.first)));
        let mut failures = Vec::new();
        for deletion in due {
            if failures.len() >= MOST_FAILED {
                break;
            }
            let name = segment::name(deletion.first);
            match self.delete_one(&name, &deletion).await {
                Ok(Deleted::Gone) => {
                    self.forget_about(&name).await?;
                    note(self.noted.remove(&name))?;
                    self.there.remove(&name);
                }
                Ok(Deleted::Kept) => drop(self.stays.insert(name.clone())),
                Ok(Deleted::Odd) => self.is_odd(&name),
                Err(why) => {
                    self.late.insert(name);
                    failures.push(why);
                    continue;
                }
            }
            self.late.remove(&name);
        }
        failures.into_iter().next().map_or(Ok(()), Err)
    }

    /// Whether it is there, and what is left of the archive without it is still proven.
    fn is_due(&self, deletion: &Deletion) -> bool {
        let name = segment::name(deletion.first);
        let is_there = self.noted.get(&name).is_some() || self.there.contains_key(&name);
        // One that was changed shows that somebody changed it. One that is still here is not deleted yet.
        is_there
            && !self.stays.contains(&name)
            && !self.odd.contains(&name)
            && !self.here.contains(&deletion.first)
            && self.is_told(deletion)
    }

    /// Whether the archive has what says that it was deleted, signed, and the hashes of what it was.
    fn is_told(&self, deletion: &Deletion) -> bool {
        let Deletion { record, first, last, .. } = *deletion;
        let segment = self.here.range(..=record).next_back();
        let was_deleted = || self.kept.deletions().any(|other| (other.first..=other.last).contains(&record));
        let wide = TILE_WIDTH as u64;
        let tile = |index| TilePath { level: 0, index, width: TILE_WIDTH }.to_string();
        self.has(&kept::name(record))
            && self.noted.has_checkpoint_over(record)
            && (segment.is_some_and(|segment| self.has(&segment::name(*segment))) || was_deleted())
            && (first / wide..=last / wide).all(|index| self.has(&tile(index)))
    }

    fn has(&self, name: &str) -> bool {
        self.noted.get(name).is_some() && !self.odd.contains(name)
    }

    async fn delete_one(&self, name: &str, deletion: &Deletion) -> Result<Deleted, String> {
        let Some(about) = self.about(name, deletion).await? else { return Ok(Deleted::Odd) };
        let unheld = self.holds.nothing_held(&about).await;
        // Nobody else decides anything while this lives, so it does not wait for the service.
        let is_unheld = unheld.map_err(|why| format!("it is not known what is held: {why}"))?.is_some();
        let is_gone = is_unheld && self.bucket.delete(name).await?;
        Ok(if is_gone { Deleted::Gone } else { Deleted::Kept })
    }

    /// What its records are about, as was noted when it was deleted here; else the object is asked. Nothing where that is
    /// another.
    async fn about(&self, name: &str, deletion: &Deletion) -> Result<Option<Mentioned>, String> {
        let (dir, segment) = (self.dir.clone(), name.to_owned());
        if let Some(noted) = blocking(move || about::noted(&dir, &segment)).await? {
            return Ok(Some(noted));
        }
        let mut verifier = Verifier::new(Some(Position { size: deletion.first, chain: deletion.before }));
        let mut about = Mentioned::default();
        let mut see = |piece: &[u8]| {
            verifier.feed(piece, &mut |frame| {
                about.see(frame.payload);
            });
        };
        let stored = self.bucket.read(name, &mut see).await?;
        stored.ok_or_else(|| format!("`{name}` was there and is gone"))?;
        let after = Position { size: deletion.last + 1, chain: deletion.after };
        if verifier.finish().ok().and_then(|end| end.position) != Some(after) {
            return Ok(None);
        }
        let (dir, segment, found) = (self.dir.clone(), name.to_owned(), about.clone());
        blocking(move || about::note(&dir, &segment, &found)).await?;
        Ok(Some(about))
    }

    /// The object of this name is gone.
    pub(super) async fn forget_about(&self, name: &str) -> Result<(), String> {
        let (dir, segment) = (self.dir.clone(), name.to_owned());
        blocking(move || about::forget(&dir, &segment)).await
    }
}
