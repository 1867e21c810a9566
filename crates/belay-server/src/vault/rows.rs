//! Rows of plans and changes, for people to look at.

use super::draft::{Rows, script};
use super::{Vault, beside, unreadable};
use crate::desk::{Caller, ChangeView, DeskError, PlanView};
use belay_change::{
    ChangeSet, Page, Row, RowChange, Sampling, Script, Summary, Table, TableSummary, Taken, page, summarize,
};
use belay_engine::Conflict;
use belay_model::{Name, Resource};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// A plan or a change with its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown<T> {
    /// What it is.
    pub of: T,
    /// Its rows.
    pub rows: Summary,
    /// What was run.
    pub texts: Vec<Text>,
}

/// Every row of a plan or a change, a page at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageOf {
    /// The plan or the change.
    pub of: String,
    /// Its tables.
    pub set: ChangeSet,
    /// Its rows from the one that was asked for on.
    pub page: Page,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Its text.
    pub sql: String,
    /// Its parameters as text; `None` is NULL. Binary ones are in hex.
    pub parameters: Vec<Option<String>>,
}

impl Vault {
    /// A plan with its rows: all of a table with at most `most`, else the first and the last ones.
    pub async fn rows_of_plan(&self, who: &Caller, plan: &str, most: usize) -> Result<Shown<PlanView>, DeskError> {
        let (of, file) = self.desk.rows_of_plan(who, plan).await?;
        let at = (&of.plan.target, of.plan.database.as_str());
        let (rows, texts) = self.shown(at, of.set.clone(), file, most).await?;
        Ok(Shown { of, rows, texts })
    }

    /// A change with its rows.
    pub async fn rows_of_change(
        &self,
        who: &Caller,
        change: &str,
        most: usize,
    ) -> Result<Shown<ChangeView>, DeskError> {
        let (of, file) = self.desk.rows_of_change(who, change).await?;
        let at = (&of.change.target, of.change.database.as_str());
        let (rows, texts) = self.shown(at, of.set.clone(), file, most).await?;
        Ok(Shown { of, rows, texts })
    }

    /// The rows of a plan from one on, at most `most`.
    pub async fn page_of_plan(&self, who: &Caller, plan: &str, from: u64, most: usize) -> Result<PageOf, DeskError> {
        let (of, file) = self.desk.rows_of_plan(who, plan).await?;
        let page = self.page((&of.plan.target, &of.plan.database), of.set.clone(), file, (from, most)).await?;
        Ok(PageOf { of: of.plan.id.to_string(), set: of.set, page })
    }

    /// The rows of a change from one on, at most `most`.
    pub async fn page_of_change(
        &self,
        who: &Caller,
        change: &str,
        from: u64,
        most: usize,
    ) -> Result<PageOf, DeskError> {
        let (of, file) = self.desk.rows_of_change(who, change).await?;
        let page = self.page((&of.change.target, &of.change.database), of.set.clone(), file, (from, most)).await?;
        Ok(PageOf { of: of.change.id.to_string(), set: of.set, page })
    }

    async fn page(
        &self,
        of: (&Name, &str),
        set: ChangeSet,
        file: String,
        (from, most): (u64, usize),
    ) -> Result<Page, DeskError> {
        let masked = self.masked(of.0, of.1).await?;
        let files = self.files.clone();
        let permit = self.reading().await?;
        beside(move || {
            let open = || Ok(Box::new(Rows::open(&files, &file)?) as Box<dyn belay_change::Images>);
            let page = page(&Taken::of(&set, &open), from, most, Sampling::default().images);
            let mut page = page.map_err(|error| unreadable(&error))?;
            for (at, change) in &mut page.rows {
                if let Some(table) = set.tables.get(*at) {
                    masked.cover_row(&table.table, change);
                }
            }
            drop(permit);
            Ok(page)
        })
        .await
    }

    /// What is read of a file is hashed in memory: only some are read at once.
    async fn reading(&self) -> Result<OwnedSemaphorePermit, DeskError> {
        let permit = Arc::clone(&self.reading).acquire_owned().await;
        permit.map_err(|_| DeskError::Store("the gateway stops".to_owned()))
    }

    async fn shown(
        &self,
        of: (&Name, &str),
        set: ChangeSet,
        file: String,
        most: usize,
    ) -> Result<(Summary, Vec<Text>), DeskError> {
        let masked = self.masked(of.0, of.1).await?;
        let files = self.files.clone();
        let permit = self.reading().await?;
        let (mut rows, texts) = beside(move || {
            let open = || Ok(Box::new(Rows::open(&files, &file)?) as Box<dyn belay_change::Images>);
            let sampling = Sampling { all_below: most.saturating_add(1), ends: most.min(20), ..Sampling::default() };
            let rows = summarize(&Taken::of(&set, &open), sampling).map_err(|error| unreadable(&error))?;
            let script = script(&files, &file).map_err(|error| unreadable(&error))?;
            drop(permit);
            Ok((rows, texts(&script)))
        })
        .await?;
        rows.tables.iter_mut().for_each(|table| masked.cover(table));
        Ok((rows, texts))
    }

    /// What nobody sees of a database's rows, not even who approves their change.
    pub(super) async fn masked(&self, target: &Name, database: &str) -> Result<Masked, DeskError> {
        let masks = self.desk.masks_in(target, database).await?;
        Ok(Masked(masks.into_iter().map(|mask| mask.column).collect()))
    }
}

/// Columns that are masked.
pub(super) struct Masked(Vec<Resource>);

/// Stands for a value that is masked.
const COVERED: &str = "(masked)";

impl Masked {
    pub(super) fn cover(&self, summary: &mut TableSummary) {
        for change in summary.first.iter_mut().chain(&mut summary.last) {
            self.cover_row(&summary.table, change);
        }
    }

    /// Whether a column of the table's key is masked.
    pub(super) fn cover_key(&self, table: &Table) -> bool {
        let masked = self.columns(table);
        let mut key = table.key.iter().filter_map(|place| table.columns.get(usize::from(*place)));
        key.any(|column| masked.contains(&&*column.name))
    }

    fn columns(&self, table: &Table) -> Vec<&str> {
        let here = |mask: &&Resource| mask.names(&table.schema, &table.name);
        self.0.iter().filter(here).filter_map(|mask| mask.column.as_deref()).collect()
    }

    fn cover_row(&self, table: &Table, change: &mut RowChange) {
        let masked = self.columns(table);
        if masked.is_empty() {
            return;
        }
        let cover = |row: &mut Row| {
            let values = row.iter_mut().zip(&table.columns).filter(|(_, column)| masked.contains(&&*column.name));
            values.filter_map(|(value, _)| value.as_mut()).for_each(|value| COVERED.clone_into(value));
        };
        match change {
            RowChange::Inserted { new, .. } => cover(new),
            RowChange::Deleted { old, .. } => cover(old),
            RowChange::Updated { old, new, .. } => {
                cover(old);
                cover(new);
            }
        }
    }

    /// Of a row with a masked column nothing but its key is told.
    pub(super) fn cover_conflicts(&self, conflicts: &mut [Conflict]) {
        for conflict in conflicts {
            let Some((schema, name)) = conflict.table.split_once('.') else { continue };
            if self.0.iter().any(|mask| mask.names(schema, name)) {
                for row in [&mut conflict.before, &mut conflict.left, &mut conflict.now].into_iter().flatten() {
                    COVERED.clone_into(row);
                }
            }
        }
    }
}

fn texts(script: &Script) -> Vec<Text> {
    let parameter = |parameter: &belay_change::Parameter| {
        let value = parameter.value.as_ref()?;
        Some(match std::str::from_utf8(value) {
            Ok(text) if !parameter.binary => text.to_owned(),
            _ => format!("\\x{}", hex::encode(value)),
        })
    };
    let text = |statement: &belay_change::Scripted| Text {
        sql: statement.text.to_string(),
        parameters: statement.parameters.iter().flatten().map(parameter).collect(),
    };
    script.statements.iter().map(text).collect()
}
