//! DROP TABLE: the control user moves the table out of the way, in a transaction of its own.

use super::line::Writer;
use super::settlement::{Before, begun};
use crate::capture::CaptureError;
use crate::change::{denied, not_kept, unsettled};
use crate::drop_table;
use belay_change::{ChangeSet, Script, Scripted};
use belay_engine::{Keeper, Notice, Outcome, Settled};
use belay_model::{ChangeId, Code, Denial, Relation};
use std::sync::Arc;
use tokio_postgres::Client;

/// How many tables are named.
const NAMED: usize = 3;

impl Before {
    /// In place of the statement: its tables are moved, or that is planned.
    pub(super) async fn drop_tables(self, mut writer: Writer, keeper: &dyn Keeper) -> Settled {
        if !self.alone {
            return refused(&CaptureError::Irreversible {
                what: "DROP TABLE within a transaction".to_owned(),
                instead: "send it by itself, outside of BEGIN and COMMIT".to_owned(),
            });
        }
        let oids = match drop_table::named(&mut writer, &self.text).await {
            Ok(Some(oids)) => oids,
            // The target says what is wrong, or that nothing is to be done.
            Ok(None) => {
                return match begun(self.open, &self.baseline, &self.ways, keeper) {
                    Ok(open) => Settled::Ready(open),
                    Err(error) => refused(&error),
                };
            }
            Err(error) => return writer.settled(&error),
        };
        let mut control = match self.ways.control().await {
            Ok(control) => control,
            Err(error) => return refused(&error),
        };
        match drop_table::begin(&mut control, &oids).await.and_then(|set| self.as_judged(set)) {
            Ok(set) if self.ways.is_direct() => at_once(&mut control, set, self.script(), keeper).await,
            Ok(set) => {
                let _ = control.batch_execute("ROLLBACK").await;
                planned(set, self.script(), keeper).await
            }
            Err(error) => refused(&error),
        }
    }

    /// What the grant was asked for has to be what the name means now.
    fn as_judged(&self, set: ChangeSet) -> Result<ChangeSet, CaptureError> {
        let is_judged = |schema: &str, name: &str| {
            self.relations.iter().any(|relation| relation.schema.as_deref() == Some(schema) && relation.name == name)
        };
        match set.tables.iter().find(|change| !is_judged(&change.table.schema, &change.table.name)) {
            Some(change) => Err(CaptureError::Irreversible {
                what: format!("the name means {}.{} now", change.table.schema, change.table.name),
                instead: "write the schema before each name, and try again".to_owned(),
            }),
            None => Ok(set),
        }
    }

    fn script(&self) -> Script {
        Script {
            database: self.ways.database().to_owned(),
            statements: vec![Scripted { text: Arc::from(self.text.as_str()), parameters: None, data: None }],
            ..Script::default()
        }
    }
}

/// Moves the tables: kept first, then committed.
async fn at_once(control: &mut Client, set: ChangeSet, script: Script, keeper: &dyn Keeper) -> Settled {
    let draft = match keeper.open() {
        Ok(draft) => draft,
        Err(error) => return Settled::RolledBack(not_kept(&error.to_string())),
    };
    let change = match keeper.keep(draft, set.clone(), script).await {
        Ok(change) => change,
        Err(error) => return Settled::RolledBack(not_kept(&error.0)),
    };
    let moved = drop_table::move_away(control, &set, change).await;
    let done = match moved {
        Ok(()) => control.batch_execute("COMMIT").await.map_err(CaptureError::from),
        Err(error) => {
            let _ = control.batch_execute("ROLLBACK").await;
            Err(match error {
                CaptureError::Lost(why) => CaptureError::Target { sqlstate: String::new(), message: why },
                other => other,
            })
        }
    };
    let outcome = match &done {
        Ok(()) => Outcome::Committed,
        Err(CaptureError::Lost(_)) => Outcome::Unknown,
        Err(_) => Outcome::RolledBack,
    };
    match (keeper.ended(change, outcome).await, done) {
        (Ok(()), Ok(())) => Settled::Instead("DROP TABLE".to_owned(), Some(told(&set, change))),
        (Ok(()), Err(error)) if outcome == Outcome::RolledBack => refused(&error),
        (Ok(()), Err(_)) => Settled::RolledBack(unsettled(change, "the connection to the target was lost")),
        (Err(error), _) => Settled::RolledBack(unsettled(change, &error.0)),
    }
}

async fn planned(set: ChangeSet, script: Script, keeper: &dyn Keeper) -> Settled {
    let draft = match keeper.open() {
        Ok(draft) => draft,
        Err(error) => return Settled::RolledBack(not_kept(&error.to_string())),
    };
    let (tables, counts) = (names(&set), crate::change::counts(&set));
    Settled::RolledBack(match keeper.plan(draft, set, script).await {
        Ok(plan) => Denial {
            code: Code::Planned,
            message: format!("planned, not applied: DROP TABLE {tables}; plan {plan}"),
            detail: format!("The table goes to the trash, from which it can be brought back. {counts}"),
            hint: format!("belay review {plan} shows it; once it is approved: belay apply {plan}"),
        },
        Err(error) => not_kept(&error.0),
    })
}

fn told(set: &ChangeSet, change: ChangeId) -> Notice {
    Notice {
        message: format!("{} is in the trash; undo: belay revert {change}", names(set)),
        detail: Some("It is dropped for good when its retention is over.".to_owned()),
        hint: None,
    }
}

fn names(set: &ChangeSet) -> String {
    let name = |change: &belay_change::TableChange| {
        belay_change::printable(&format!("{}.{}", change.table.schema, change.table.name))
    };
    let mut names: Vec<String> = set.tables.iter().take(NAMED).map(name).collect();
    if set.tables.len() > NAMED {
        names.push(format!("{} more", set.tables.len() - NAMED));
    }
    names.join(", ")
}

fn refused(error: &CaptureError) -> Settled {
    Settled::RolledBack(denied(error))
}

/// The relations that a message names.
pub(super) fn relations(statements: &[belay_model::Statement]) -> Vec<Relation> {
    statements.iter().flat_map(|statement| statement.relations.iter().cloned()).collect()
}
