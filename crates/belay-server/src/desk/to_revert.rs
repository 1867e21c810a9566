//! Which changes are given back together.
//!
//! What has been given back of them before counts as well: the changes that did it are taken along, so that only the rest
//! is left. A revert that was itself given back cancels out in the same way.

use super::changes::{read, rows_gone};
use super::{Caller, Desk, DeskError, pick};
use belay_change::ChangeSet;
use belay_model::{ChangeId, ChangeState, KeptChange, Name, Timestamp};
use belay_policy::{Action, may};
use belay_store::{ChangeRecord, Look, WhichChanges};
use std::collections::{BTreeMap, HashSet};

/// Changes that are looked at to find out what was given back before.
const CHAIN_MOST: usize = 1_000;

/// What is to be given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevertOf {
    /// A change, a plan that was applied, or a session with all its changes.
    Named(String),
    /// What the caller has changed, on this target if one is named.
    Own(Option<Name>),
}

impl Default for RevertOf {
    fn default() -> RevertOf {
        RevertOf::Own(None)
    }
}

impl std::fmt::Display for RevertOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RevertOf::Named(what) => write!(f, "`{what}`"),
            RevertOf::Own(None) => f.write_str("your changes"),
            RevertOf::Own(Some(target)) => write!(f, "your changes on {target}"),
        }
    }
}

/// Changes that are given back as one.
#[derive(Debug, Default)]
pub(crate) struct ToRevert {
    /// Those that are to be given back, newest first.
    pub(crate) changes: Vec<KeptChange>,
    /// All whose images together are what is to be given back, newest first: those, and what gave them back before.
    pub(crate) parts: Vec<(ChangeSet, String)>,
    /// Some of them have not been given back before, as far as that is known.
    pub(crate) is_open: bool,
}

impl Desk {
    /// The committed changes of what is to be given back: one change, what came of a plan, or several since a moment.
    pub(crate) async fn changes_to_revert(
        &self,
        who: &Caller,
        of: &RevertOf,
        since: Option<Timestamp>,
    ) -> Result<ToRevert, DeskError> {
        let mut reader = self.store.reader().await?;
        let mut look = reader.look();
        let mut several = true;
        let mut records = match of {
            RevertOf::Own(target) => {
                let own = WhichChanges { of: Some(&who.principal.name), ..WhichChanges::default() };
                let mut records = look.changes(own).await?;
                records.retain(|record| target.as_ref().is_none_or(|target| record.change.target == *target));
                records
            }
            RevertOf::Named(what) if what.starts_with("s_") => {
                let session = pick::session(&mut look, &who.principal, what).await?;
                look.changes(WhichChanges { session: Some(session.id), ..WhichChanges::default() }).await?
            }
            RevertOf::Named(what) => {
                several = false;
                vec![one(&mut look, who, what).await?]
            }
        };
        records.retain(|record| since.is_none_or(|since| record.change.made_at >= since));
        for record in &records {
            may(&who.principal, Action::Revert, &record.change.principal)?;
        }
        if several {
            // What gave rows back is no change to be given back with them.
            let made = |record: &ChangeRecord| record.change.reverts.is_empty();
            records.retain(|record| record.change.state == ChangeState::Committed && made(record));
        }
        if records.is_empty() {
            return Err(DeskError::Conflict {
                message: format!("nothing of {of} is there to be given back"),
                hint: "belay changes".to_owned(),
            });
        }
        gather(&mut look, records, &of.to_string()).await
    }

    /// The same changes again, for a plan that gives them back.
    pub(crate) async fn changes_to_revert_again(
        &self,
        who: &Caller,
        changes: &[ChangeId],
    ) -> Result<ToRevert, DeskError> {
        let mut reader = self.store.reader().await?;
        let mut look = reader.look();
        let mut records = Vec::with_capacity(changes.len());
        for change in changes {
            let record = one(&mut look, who, &change.to_string()).await?;
            may(&who.principal, Action::Revert, &record.change.principal)?;
            records.push(record);
        }
        gather(&mut look, records, "the plan").await
    }
}

/// A change, or what came of a plan.
async fn one(look: &mut Look<'_>, who: &Caller, what: &str) -> Result<ChangeRecord, DeskError> {
    if !what.starts_with("p_") {
        return pick::change(look, &who.principal, what).await;
    }
    let plan = pick::plan(look, &who.principal, what).await?.plan;
    let change = plan.applied.ok_or_else(|| DeskError::Conflict {
        message: format!("{} is {}, so there is nothing to give back", plan.id, plan.state.word()),
        hint: format!("belay review {}", plan.id),
    })?;
    pick::change(look, &who.principal, &change.to_string()).await
}

async fn gather(look: &mut Look<'_>, records: Vec<ChangeRecord>, of: &str) -> Result<ToRevert, DeskError> {
    for record in &records {
        if record.change.state != ChangeState::Committed {
            let (id, state) = (record.change.id, record.change.state.word());
            return Err(DeskError::Conflict {
                message: format!("{id} is {state}, so there is nothing to give back"),
                hint: "belay changes --all".to_owned(),
            });
        }
    }
    let left = open(look, &records).await?;
    let is_open = !left.is_empty();
    // Where all were given back, all of them tell that nothing is left.
    let records = if is_open { left } else { records };
    let changes: Vec<KeptChange> = records.iter().map(|record| record.change.clone()).collect();
    let first = changes.first().map(|first| (first.target.clone(), first.database.clone()));
    if changes.iter().any(|one| first.as_ref() != Some(&(one.target.clone(), one.database.clone()))) {
        return Err(DeskError::Conflict {
            message: format!("the changes of {of} are in several databases"),
            hint: "belay changes; then name a target, or give them back one by one".to_owned(),
        });
    }
    // One alone is compared with what is there now: rows that are as they were before are in nobody's way.
    let all = if records.len() > 1 { with_reverts(look, records).await? } else { records };
    let part = |record: ChangeRecord| {
        let file = record.file.ok_or_else(|| rows_gone(&record.change.id.to_string()))?;
        Ok((read(&record.summary)?, file))
    };
    Ok(ToRevert { changes, parts: all.into_iter().map(part).collect::<Result<_, DeskError>>()?, is_open })
}

/// Those of several changes of which something may be left to give back.
async fn open(look: &mut Look<'_>, records: &[ChangeRecord]) -> Result<Vec<ChangeRecord>, DeskError> {
    if records.len() < 2 {
        return Ok(records.to_vec());
    }
    let mut open = Vec::with_capacity(records.len());
    for record in records {
        if !is_given_back(look, record).await? {
            open.push(record.clone());
        }
    }
    Ok(open)
}

/// Whether a change that was not given back itself has given back all of it.
async fn is_given_back(look: &mut Look<'_>, record: &ChangeRecord) -> Result<bool, DeskError> {
    for by in &record.reverted_by {
        let Some(by) = look.change(*by).await? else { continue };
        let stands = by.change.state == ChangeState::Committed && by.reverted_by.is_empty();
        if stands && !read(&by.summary)?.partial {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The changes with what gave them back, and with what gave that back, newest first. A revert that gave back other
/// changes as well is left out: the rows that are as they were before are passed over then.
async fn with_reverts(look: &mut Look<'_>, changes: Vec<ChangeRecord>) -> Result<Vec<ChangeRecord>, DeskError> {
    let mut all: BTreeMap<ChangeId, ChangeRecord> =
        changes.into_iter().map(|record| (record.change.id, record)).collect();
    let asked: HashSet<ChangeId> = all.keys().copied().collect();
    let mut waiting: Vec<ChangeId> = all.values().flat_map(|record| record.reverted_by.clone()).collect();
    // Ends because each change is given back by later ones only.
    while let Some(id) = waiting.pop() {
        if all.contains_key(&id) {
            continue;
        }
        if all.len() >= CHAIN_MOST {
            return Err(DeskError::Conflict {
                message: format!("more than {CHAIN_MOST} changes have given these back"),
                hint: "belay changes; then belay revert them one by one".to_owned(),
            });
        }
        let Some(record) = look.change(id).await? else { continue };
        waiting.extend(record.reverted_by.iter().copied());
        all.insert(id, record);
    }
    // Ends because it gets smaller at each turn.
    loop {
        let others = |record: &&ChangeRecord| {
            !asked.contains(&record.change.id)
                && (record.file.is_none() || record.change.reverts.iter().any(|id| !all.contains_key(id)))
        };
        let Some(mixed) = all.values().find(others).map(|record| record.change.id) else { break };
        all.remove(&mixed);
    }
    Ok(all.into_values().rev().collect())
}
