//! Giving back what changes have done.
//!
//! Several changes are given back as one: their images behind each other, oldest first, are the images of what they
//! did together, because equal ones on both sides cancel each other out.

use super::draft::Rows;
use super::keeper::PlanOf;
use super::{Applying, Vault, beside, failed, unreadable};
use crate::changes::ChangeFiles;
use crate::desk::{Caller, ChangeView, DeskError, Origin, PlanView, RevertOf, RevertOrder, RevertPart, ToRevert};
use belay_change::{ChangeSet, Images, Means, Script, Side, Summary, Taken, summarize};
use belay_engine::{Conflict, Draft, Leave, Only, Outcome, Reversion, Reverted};
use belay_model::{ChangeId, Denial, KeptChange, PlanId, Timestamp};
use belay_store::PlanRecord;
use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;

/// Changes that are given back together.
const TOGETHER_MOST: usize = 200;

/// What is to be given back.
#[derive(Debug, Clone, Default)]
pub struct RevertWish {
    /// Whose rows.
    pub of: RevertOf,
    /// Only what was changed after this.
    pub since: Option<Timestamp>,
    /// Find out what would happen, and leave it at that.
    pub dry_run: bool,
    /// Leave rows that have changed since, instead of giving nothing back.
    pub keep_conflicts: bool,
    /// Only these tables and rows; empty for all.
    pub only: Vec<RevertPart>,
}

/// How giving back went.
#[derive(Debug)]
pub enum Reverting {
    /// Committed; the rows are byte for byte as they were.
    Done {
        /// The change that did it.
        change: Box<ChangeView>,
        /// The changes that were given back.
        reverts: Vec<ChangeId>,
        /// Rows that were left as they are.
        left: Vec<Conflict>,
    },
    /// Nothing is left to be given back; nothing was done.
    Nothing {
        /// The last change that gave some of it back, if Belay did.
        by: Option<Box<ChangeView>>,
        /// What was to be given back.
        reverts: Vec<ChangeId>,
        /// Rows that were left as they are.
        left: Vec<Conflict>,
    },
    /// What a real run would do.
    Would {
        /// Its rows.
        rows: Summary,
        /// The changes that would be given back.
        reverts: Vec<ChangeId>,
        /// Rows in the way.
        conflicts: Vec<Conflict>,
    },
    /// A plan that waits for somebody's yes.
    Planned(Box<PlanView>),
    /// Rows have changed since: nothing was done.
    Conflicts {
        /// The rows.
        rows: Vec<Conflict>,
        /// The changes that were not given back.
        reverts: Vec<ChangeId>,
    },
    /// It cannot be done; nothing was done.
    Refused(Denial),
    /// The connection was lost while it committed; the target is asked how it ended.
    Unknown(Box<ChangeView>),
}

/// Changes that are given back as one.
struct Together(ToRevert);

/// How far it goes: see [`Reversion`].
#[derive(Debug, Clone, Copy, Default)]
struct Mode {
    dry_run: bool,
    mark: bool,
    keep_restored: bool,
}

impl Vault {
    /// Gives rows back at once under a live grant that writes at once; else makes a plan of it, for somebody else to
    /// approve.
    pub async fn revert(&self, who: &Caller, wish: RevertWish) -> Result<Reverting, DeskError> {
        let together = Together::of(self.desk.changes_to_revert(who, &wish.of, wish.since).await?)?;
        let set = together.set();
        let newest = together.newest()?;
        let order = RevertOrder {
            changes: together.0.changes.iter().map(|change| change.id).collect(),
            keep_conflicts: wish.keep_conflicts,
            only: wish.only,
            conflicts: Vec::new(),
        };
        let at_once = if wish.dry_run { None } else { self.desk.revert_at_once(who, &newest, &set).await? };
        let mut origin = origin(who, &newest, &order.changes, None);
        if let Some(grant) = &at_once {
            origin.grant = grant.id;
        }
        let (vault, who, dry_run) = (self.clone(), who.clone(), wish.dry_run);
        // That several cancel out is nobody's to approve, but later reverts have to know it.
        let mark = !wish.dry_run && together.marks();
        let how = Mode { dry_run: at_once.is_none(), mark, ..Mode::default() };
        let run = async move {
            let reverted = vault.give_back(&together, &order, &origin, how).await?;
            vault.told(&who, reverted, order, origin, dry_run).await
        };
        uninterrupted(run).await
    }

    /// Gives rows back as a plan says that was approved.
    pub(super) async fn apply_revert(&self, who: &Caller, record: &PlanRecord) -> Result<Applying, DeskError> {
        let order: RevertOrder = serde_json::from_str(record.revert.as_deref().unwrap_or_default())
            .map_err(|error| DeskError::Store(format!("a plan cannot be read: {error}")))?;
        let together = Together::of(self.desk.changes_to_revert_again(who, &order.changes).await?)?;
        let newest = together.newest()?;
        let mut origin = origin(who, &newest, &order.changes, Some(record.plan.id));
        origin.principal = record.plan.principal.clone();
        let (vault, who) = (self.clone(), who.clone());
        let how = Mode { mark: together.marks(), ..Mode::default() };
        let run = async move {
            let reverted = vault.give_back(&together, &order, &origin, how).await?;
            vault.told(&who, reverted, order, origin, false).await
        };
        Ok(Applying::Reverted(Box::new(uninterrupted(run).await?)))
    }

    async fn give_back(
        &self,
        together: &Together,
        order: &RevertOrder,
        origin: &Origin,
        how: Mode,
    ) -> Result<Reverted, DeskError> {
        let mut reverted = self.give_back_once(together, order, origin, how).await?;
        // What was given back in part before is not in the way of the rest.
        if let Reverted::Conflicts { restored: true, .. } = reverted {
            reverted = self.give_back_once(together, order, origin, Mode { keep_restored: true, ..how }).await?;
        }
        if let Reverted::Done { left: conflicts, .. }
        | Reverted::Would { conflicts, .. }
        | Reverted::Conflicts { rows: conflicts, .. } = &mut reverted
        {
            self.masked(&origin.target, &origin.database).await?.cover_conflicts(conflicts);
        }
        Ok(reverted)
    }

    async fn give_back_once(
        &self,
        together: &Together,
        order: &RevertOrder,
        origin: &Origin,
        how: Mode,
    ) -> Result<Reverted, DeskError> {
        let only = |part: &RevertPart| Only { table: part.table.clone(), keys: part.keys.clone() };
        let (images, set) = (together.images(self.files.clone()), together.set());
        let reversion = Reversion {
            database: origin.database.clone(),
            set,
            images: Box::new(images),
            leave: Leave {
                conflicts: order.keep_conflicts,
                // Of several, much may cancel out: what is kept of the revert is what it did, not all that was looked at.
                restored: how.keep_restored || order.keep_conflicts || together.0.parts.len() > 1,
            },
            only: order.only.iter().map(only).collect(),
            dry_run: how.dry_run,
            mark: how.mark,
        };
        let control = self.control(&origin.target).await?;
        let reverted = control.changes().revert(reversion, self.keeper_of(origin.clone())).await;
        reverted.map_err(|error| failed(&origin.target, &error))
    }

    async fn told(
        &self,
        who: &Caller,
        reverted: Reverted,
        order: RevertOrder,
        origin: Origin,
        dry_run: bool,
    ) -> Result<Reverting, DeskError> {
        match reverted {
            Reverted::Done { change: Some(change), set, left } if changes_nothing(&set) => {
                let nothing = self.nothing(who, order.changes, left).await?;
                self.desk.settle_change(change, Outcome::Committed).await?;
                Ok(nothing)
            }
            Reverted::Done { change: Some(change), left, .. } => {
                self.desk.settle_change(change, Outcome::Committed).await?;
                let change = Box::new(self.desk.kept_change(who, &change.to_string()).await?);
                Ok(Reverting::Done { change, reverts: order.changes, left })
            }
            Reverted::Done { change: None, left, .. } => self.nothing(who, order.changes, left).await,
            Reverted::Would { set, conflicts, .. } if changes_nothing(&set) => {
                self.nothing(who, order.changes, conflicts).await
            }
            Reverted::Would { set, draft, conflicts } if dry_run => {
                let masked = self.masked(&origin.target, &origin.database).await?;
                let mut rows = summed(set, draft).await?;
                rows.tables.iter_mut().for_each(|table| masked.cover(table));
                Ok(Reverting::Would { rows, reverts: order.changes, conflicts })
            }
            Reverted::Would { conflicts, .. } if !conflicts.is_empty() && !order.keep_conflicts => {
                Ok(Reverting::Conflicts { rows: conflicts, reverts: order.changes })
            }
            Reverted::Would { set, draft, conflicts } => {
                let script = Script { database: origin.database.clone(), ..Script::default() };
                let order = RevertOrder { conflicts, ..order };
                let of = PlanOf { revert: Some(order), replaces: None };
                let plan = self.keep_plan(&origin, draft, &set, script, of).await?;
                Ok(Reverting::Planned(Box::new(self.desk.plan(who, &plan.id.to_string()).await?)))
            }
            Reverted::Conflicts { rows, .. } => Ok(Reverting::Conflicts { rows, reverts: order.changes }),
            Reverted::Refused(denial) => Ok(Reverting::Refused(denial)),
            Reverted::Unknown(change) => {
                self.desk.settle_change(change, Outcome::Unknown).await?;
                Ok(Reverting::Unknown(Box::new(self.desk.kept_change(who, &change.to_string()).await?)))
            }
        }
    }
}

impl Vault {
    /// Nothing is left, and who has seen to that.
    async fn nothing(&self, who: &Caller, reverts: Vec<ChangeId>, left: Vec<Conflict>) -> Result<Reverting, DeskError> {
        let mut by = None;
        for change in &reverts {
            by = by.max(self.desk.kept_change(who, &change.to_string()).await?.reverted_by.into_iter().max());
        }
        // Another's change may not be for this person to see.
        let by = match by {
            Some(by) => self.desk.kept_change(who, &by.to_string()).await.ok().map(Box::new),
            None => None,
        };
        Ok(Reverting::Nothing { by, reverts, left })
    }
}

fn changes_nothing(set: &ChangeSet) -> bool {
    // A table that comes back out of the trash changes no rows.
    set.tables.iter().all(|table| table.inserted + table.updated + table.deleted == 0 && table.means != Means::Trash)
}

/// A caller who goes away in the middle leaves nothing half done.
async fn uninterrupted<T: Send + 'static>(
    run: impl Future<Output = Result<T, DeskError>> + Send + 'static,
) -> Result<T, DeskError> {
    let done = tokio::spawn(run).await;
    done.map_err(|_| DeskError::Store("it was interrupted; belay changes shows how it ended".to_owned()))?
}

async fn summed(set: ChangeSet, draft: Box<dyn Draft>) -> Result<Summary, DeskError> {
    beside(move || {
        let draft = Mutex::new(draft);
        let open = || draft.lock().unwrap_or_else(std::sync::PoisonError::into_inner).images();
        summarize(&Taken::of(&set, &open), belay_change::Sampling::default()).map_err(|error| unreadable(&error))
    })
    .await
}

fn origin(who: &Caller, newest: &KeptChange, reverts: &[ChangeId], plan: Option<PlanId>) -> Origin {
    Origin {
        grant: newest.grant,
        // That of what is given back, if it is only one.
        session: None,
        connection: None,
        principal: who.principal.name.clone(),
        target: newest.target.clone(),
        database: newest.database.clone(),
        plan,
        reverts: reverts.to_vec(),
    }
}

impl Together {
    fn of(found: ToRevert) -> Result<Together, DeskError> {
        if found.parts.len() > TOGETHER_MOST {
            return Err(DeskError::Conflict {
                message: format!("these are more than {TOGETHER_MOST} changes to give back"),
                hint: "give the newest back first: --since TIME".to_owned(),
            });
        }
        Ok(Together(found))
    }

    /// Whether it is to be known later that these were given back, even if there is nothing to do.
    fn marks(&self) -> bool {
        self.0.is_open && self.0.parts.len() > 1
    }

    fn newest(&self) -> Result<KeptChange, DeskError> {
        let missing = || DeskError::Store("there is no change to give back".to_owned());
        self.0.changes.first().cloned().ok_or_else(missing)
    }

    /// What they did together: the tables of each, oldest first.
    fn set(&self) -> ChangeSet {
        let mut sets = self.0.parts.iter().rev().map(|(set, _)| set);
        let Some(oldest) = sets.next() else {
            return ChangeSet::default();
        };
        sets.fold(oldest.clone(), |mut together, set| {
            for change in &set.tables {
                let known = together.tables.iter_mut().find(|known| known.table == change.table);
                match known {
                    Some(known) => {
                        known.inserted += change.inserted;
                        known.updated += change.updated;
                        known.deleted += change.deleted;
                        known.indirect &= change.indirect;
                    }
                    None => together.tables.push(change.clone()),
                }
            }
            together
        })
    }

    fn images(&self, files: ChangeFiles) -> Behind {
        let all = self.set();
        let number = |set: &ChangeSet| {
            let place = |change: &belay_change::TableChange| {
                let at = all.tables.iter().position(|known| known.table == change.table);
                at.and_then(|at| u16::try_from(at).ok())
            };
            set.tables.iter().map(place).collect()
        };
        let parts = self.0.parts.iter().rev();
        Behind { files, parts: parts.map(|(set, file)| (file.clone(), number(set))).collect(), open: None }
    }
}

/// The images of several files behind each other, with the numbers that their tables have together.
struct Behind {
    files: ChangeFiles,
    parts: VecDeque<(String, Vec<Option<u16>>)>,
    open: Option<(Rows, Vec<Option<u16>>)>,
}

impl Images for Behind {
    fn next(&mut self) -> io::Result<Option<(u16, Side, Vec<u8>)>> {
        // Ends after as many files as there are.
        loop {
            if self.open.is_none() {
                let Some((file, numbers)) = self.parts.pop_front() else { return Ok(None) };
                self.open = Some((Rows::open(&self.files, &file)?, numbers));
            }
            let Some((rows, numbers)) = &mut self.open else { return Ok(None) };
            match rows.next()? {
                Some((number, side, image)) => {
                    let unknown =
                        || io::Error::new(io::ErrorKind::InvalidData, "an image is of a table that is not known");
                    let number = numbers.get(usize::from(number)).copied().flatten().ok_or_else(unknown)?;
                    return Ok(Some((number, side, image)));
                }
                None => self.open = None,
            }
        }
    }
}
