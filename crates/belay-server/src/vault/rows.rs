//! Rows of plans and changes, for people to look at.

use super::draft::{Rows, script};
use super::{Vault, beside, unreadable};
use crate::desk::{Caller, ChangeView, DeskError, PlanView};
use belay_change::{ChangeSet, Sampling, Script, Summary, Taken, summarize};

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
        let (rows, texts) = self.shown(of.set.clone(), file, most).await?;
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
        let (rows, texts) = self.shown(of.set.clone(), file, most).await?;
        Ok(Shown { of, rows, texts })
    }

    async fn shown(&self, set: ChangeSet, file: String, most: usize) -> Result<(Summary, Vec<Text>), DeskError> {
        let files = self.files.clone();
        beside(move || {
            let open = || Ok(Box::new(Rows::open(&files, &file)?) as Box<dyn belay_change::Images>);
            let sampling = Sampling { all_below: most.saturating_add(1), ends: most.min(20), ..Sampling::default() };
            let rows = summarize(&Taken::of(&set, &open), sampling).map_err(|error| unreadable(&error))?;
            let script = script(&files, &file).map_err(|error| unreadable(&error))?;
            Ok((rows, texts(&script)))
        })
        .await
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
