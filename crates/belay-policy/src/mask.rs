//! Masked columns: which uses of them are refused, and which of them a result shows.

use crate::Masked;
use belay_model::{Mask, MaskKind, Relation, Statement};

/// The first masked column that the statement does more with than to show it.
pub(crate) fn misused<'a>(masks: &[Mask], statement: &'a Statement) -> Option<(&'a Relation, &'a str)> {
    if masks.is_empty() {
        return None;
    }
    statement.accesses.iter().find_map(|access| {
        let column = access.columns.iter().find(|column| match of(masks, &access.relation, &column.name) {
            Some(MaskKind::Withheld) => true,
            Some(_) => column.computed,
            None => false,
        })?;
        Some((&access.relation, column.name.as_str()))
    })
}

/// The masked columns that the results show as they are.
pub(crate) fn shown(masks: &[Mask], statements: &[Statement]) -> Vec<Masked> {
    if masks.is_empty() {
        return Vec::new();
    }
    let all = statements.iter().enumerate().flat_map(|(number, statement)| {
        statement.shows.iter().filter_map(move |shown| {
            let access = statement.accesses.get(usize::from(shown.access))?;
            let column = access.columns.get(usize::from(shown.column))?;
            let kind = of(masks, &access.relation, &column.name)?.clone();
            Some(Masked { statement: number, position: shown.position, kind })
        })
    });
    all.collect()
}

/// How a column is masked. A mask without a column masks them all.
fn of<'a>(masks: &'a [Mask], relation: &Relation, column: &str) -> Option<&'a MaskKind> {
    let schema = relation.schema.as_deref()?;
    let mask = masks.iter().find(|mask| {
        mask.column.names(schema, &relation.name) && mask.column.column.as_deref().is_none_or(|name| name == column)
    })?;
    Some(&mask.kind)
}
