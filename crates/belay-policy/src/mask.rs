//! Masked columns: which uses of them are refused, and which of them a result shows.

use crate::Masked;
use crate::kin::{names, names_any};
use belay_model::{Access, Mask, MaskKind, Statement};

/// A masked column that a statement does more with than to show it.
pub(crate) struct Misused<'a> {
    pub(crate) access: &'a Access,
    pub(crate) column: &'a str,
    /// It may not even be shown.
    pub(crate) withheld: bool,
}

/// The first of them.
pub(crate) fn misused<'a>(masks: &[Mask], statement: &'a Statement) -> Option<Misused<'a>> {
    if masks.is_empty() {
        return None;
    }
    statement.accesses.iter().find_map(|access| {
        access.columns.iter().find_map(|column| {
            let withheld = *of(masks, access, &column.name)? == MaskKind::Withheld;
            (withheld || column.computed).then_some(Misused { access, column: &column.name, withheld })
        })
    })
}

/// The masked columns that the results show as they are, and what no grant shows.
pub(crate) fn shown(masks: &[Mask], statements: &[Statement]) -> Vec<Masked> {
    let hidden = statements.iter().enumerate().flat_map(|(number, statement)| {
        statement.hides.iter().map(move |position| Masked {
            statement: number,
            position: *position,
            kind: MaskKind::Null,
        })
    });
    if masks.is_empty() {
        return hidden.collect();
    }
    let all = statements.iter().enumerate().flat_map(|(number, statement)| {
        statement.shows.iter().filter_map(move |shown| {
            let access = statement.accesses.get(usize::from(shown.access))?;
            let column = access.columns.get(usize::from(shown.column))?;
            let kind = of(masks, access, &column.name)?.clone();
            Some(Masked { statement: number, position: shown.position, kind })
        })
    });
    hidden.chain(all).collect()
}

/// How a column is masked. A mask without a column masks them all. A mask holds in every table that shares rows with its
/// own: a partition, what inherits from it, and what that comes from. Of several, one that withholds counts, else the
/// table's own, else the first.
fn of<'a>(masks: &'a [Mask], access: &Access, column: &str) -> Option<&'a MaskKind> {
    let (mut own, mut of_kin) = (None, None);
    for mask in masks.iter().filter(|mask| mask.column.column.as_deref().is_none_or(|name| name == column)) {
        let is_own = names(&mask.column, &access.relation);
        if !is_own && !names_any(&mask.column, &access.kin) {
            continue;
        }
        if mask.kind == MaskKind::Withheld {
            return Some(&mask.kind);
        }
        let place = if is_own { &mut own } else { &mut of_kin };
        place.get_or_insert(&mask.kind);
    }
    own.or(of_kin)
}
