//! Masks: columns of a target whose values are not shown as they are.

use super::act::Act;
use super::{Caller, Change, Desk, DeskError, NewMask, Wish, pick};
use belay_model::{Bounds, Effects, EventKind, MaskId, Name, Pattern, Resource, Span};
use belay_policy::{Action, may_for_all};
use belay_store::MaskRecord;
use std::sync::Arc;

/// The most masks of one target: every statement is held against them all.
const MASKS_MOST: usize = 1_000;

impl Desk {
    /// The masks in force, of one target or of all.
    pub async fn masks(&self, who: &Caller, target: Option<&str>) -> Result<Vec<MaskRecord>, DeskError> {
        may_for_all(&who.principal, Action::SeeTargets)?;
        let target = target.map(|name| pick::name("target", name)).transpose()?;
        let mut reader = self.store.reader().await?;
        if let Some(name) = &target
            && reader.look().target(name).await?.is_none()
        {
            return Err(missing_target(name));
        }
        Ok(reader.look().masks(target.as_ref()).await?)
    }

    /// Masks a column from here on; live sessions on the target start anew. Also says what the database keeps of it.
    pub async fn add_mask(&self, who: &Caller, new: NewMask) -> Result<(MaskRecord, Vec<String>), DeskError> {
        // Who may not is told so before the target is asked.
        drop(self.act_with(who, Action::ChangeTargets).await?);
        check_column(&new.mask.column)?;
        let notes = self.look_at_column(&new).await?;
        let mut act = self.act_with(who, Action::ChangeTargets).await?;
        if act.writing.look().target(&new.target).await?.is_none() {
            return Err(missing_target(&new.target));
        }
        let masks = act.writing.look().masks(Some(&new.target)).await?;
        if let Some(there) = masks.iter().find(|there| there.mask.column == new.mask.column) {
            return Err(DeskError::Conflict {
                message: format!("{} is masked already: {}", there.mask.column, there.mask.kind),
                hint: format!("belay mask rm {} first", there.id),
            });
        }
        if masks.len() >= MASKS_MOST {
            return Err(DeskError::Conflict {
                message: format!("{} has {MASKS_MOST} masks already", new.target),
                hint: "belay mask rm MASK".to_owned(),
            });
        }
        let record = act.writing.add_mask(&new.target, &new.mask, act.now).await?;
        let (column, shows) = (record.mask.column.clone(), record.mask.kind.clone());
        act.event_on(&record.target, EventKind::MaskAdded { mask: record.id, column, shows });
        start_anew(&mut act, &record.target).await?;
        self.finish(act).await?;
        Ok((record, notes))
    }

    /// Takes a mask out of force; live sessions on the target start anew.
    pub async fn remove_mask(&self, who: &Caller, mask: &str) -> Result<(), DeskError> {
        let mut act = self.act_with(who, Action::ChangeTargets).await?;
        let missing = || DeskError::NotFound { kind: "mask", name: mask.to_owned() };
        let id: MaskId = mask.parse().map_err(|_| missing())?;
        let record = act.writing.look().mask(id).await?.ok_or_else(missing)?;
        act.writing.remove_mask(id, act.now).await?;
        act.event_on(&record.target, EventKind::MaskRemoved { mask: id, column: record.mask.column });
        start_anew(&mut act, &record.target).await?;
        // It shows more than before: without the record it does not happen.
        self.finish(act).await
    }

    /// A mask of a column that is not there would mask nothing, and nobody would notice.
    async fn look_at_column(&self, new: &NewMask) -> Result<Vec<String>, DeskError> {
        let column = &new.mask.column;
        let wish = Wish {
            target: new.target.clone(),
            resources: vec![column.clone(), Resource { column: None, ..column.clone() }],
            effects: Effects::READ,
            bounds: Bounds::default(),
            existing_only: false,
            duration: Span::from_seconds(1),
            reason: String::new(),
        };
        Ok(self.survey(&wish, std::slice::from_ref(&new.mask)).await?.notes)
    }
}

/// Sessions hold the masks that were in force when they began.
async fn start_anew(act: &mut Act, target: &Name) -> Result<(), DeskError> {
    for grant in act.writing.look().live_grants(None, Some(target)).await? {
        act.announce(Change::Narrowed(Arc::new(grant)));
    }
    Ok(())
}

fn check_column(column: &Resource) -> Result<(), DeskError> {
    let exact = |pattern: &Pattern| matches!(pattern, Pattern::Exact(_));
    if column.column.is_some() && exact(&column.schema) && exact(&column.table) {
        return Ok(());
    }
    let message = format!("`{column}` is not one column; write `schema.table.column`");
    Err(DeskError::Invalid { field: "column", message })
}

fn missing_target(name: &Name) -> DeskError {
    DeskError::NotFound { kind: "target", name: name.to_string() }
}
