//! Arming tables of a target, on the record.

use super::{Caller, Desk, DeskError, pick};
use belay_engine::{Arming, Control, ControlError};
use belay_model::{EventKind, Name, Pattern, Resource};
use belay_policy::Action;

impl Desk {
    /// Arms a table: a trigger in the target writes down what sessions change in it. Where that cannot be recorded, it is
    /// disarmed again. A table that is armed stays as it is.
    pub async fn arm(
        &self,
        who: &Caller,
        target: &str,
        table: &Resource,
        control: &dyn Control,
    ) -> Result<(), DeskError> {
        let (name, (schema, bare)) = self.may_arm(who, target, table).await?;
        let shown = format!("{schema}.{bare}");
        let armed = control.armed().await.map_err(|error| failed(&name, &error))?;
        if armed.iter().any(|armed| armed.sound && armed.table == shown) {
            return Ok(());
        }
        settled(&name, control.arm(schema, bare).await)?;
        let recorded = self.record_arming(who, &name, EventKind::TableArmed { table: shown }).await;
        if recorded.is_err() {
            settled(&name, control.disarm(schema, bare).await)?;
        }
        recorded
    }

    /// Disarms it.
    pub async fn disarm(
        &self,
        who: &Caller,
        target: &str,
        table: &Resource,
        control: &dyn Control,
    ) -> Result<(), DeskError> {
        let (name, (schema, bare)) = self.may_arm(who, target, table).await?;
        settled(&name, control.disarm(schema, bare).await)?;
        let mut act = self.act_with(who, Action::ChangeTargets).await?;
        act.event_on(&name, EventKind::TableDisarmed { table: format!("{schema}.{bare}") });
        self.finish_in_any_case(act).await
    }

    /// Who may not, and what is no table, is told so before the target is asked.
    async fn may_arm<'a>(
        &self,
        who: &Caller,
        target: &str,
        table: &'a Resource,
    ) -> Result<(Name, (&'a str, &'a str)), DeskError> {
        drop(self.act_with(who, Action::ChangeTargets).await?);
        let name = pick::name("target", target)?;
        match (&table.database, &table.schema, &table.table, &table.column) {
            (None, Pattern::Exact(schema), Pattern::Exact(bare), None) => Ok((name, (schema, bare))),
            _ => Err(DeskError::Invalid {
                field: "table",
                message: format!("`{table}` is not one table of the target's own database; write `schema.table`"),
            }),
        }
    }

    async fn record_arming(&self, who: &Caller, target: &Name, kind: EventKind) -> Result<(), DeskError> {
        let mut act = self.act_with(who, Action::ChangeTargets).await?;
        act.event_on(target, kind);
        self.finish(act).await
    }
}

fn settled(target: &Name, arming: Result<Arming, ControlError>) -> Result<(), DeskError> {
    match arming.map_err(|error| failed(target, &error))? {
        Arming::Done => Ok(()),
        Arming::Refused { what, instead } => Err(DeskError::Infeasible { message: what, hint: instead }),
    }
}

fn failed(target: &Name, error: &ControlError) -> DeskError {
    DeskError::Target {
        failure: error.failure,
        message: format!("{target} did not do it: {error}"),
        hint: format!("belay target check {target}"),
    }
}
