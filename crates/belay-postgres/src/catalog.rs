//! A target's catalog, ready to be asked: which object a name means, and which functions using it may reach.
//!
//! Does no IO: `read` fetches the rows and `keep` holds what was built from them. It does not decide either, and knows
//! no grant.

mod conversion;
mod index;
mod inside;
#[doc(hidden)]
pub mod keep;
mod kin;
mod kind;
pub(crate) mod read;
pub mod rows;

pub use keep::{CatalogCell, Edition};
pub use kind::Kind;

use crate::mask::MaskedColumns;
use belay_model::{Mask, MaskKind, Relation};
use index::{ByName, Index};
use kin::Kin;
use rows::{CastRow, ColumnRow, FIRST_USER_ID, FunctionRow, OperatorRow, RelationRow, Rows, TypeRow};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Extensions that are known to be harmless.
const HARMLESS: &str = include_str!("catalog/harmless.txt");

/// The catalog of one database, as it was at one moment.
#[derive(Debug, Default)]
pub struct Catalog {
    rows: Rows,
    relations: ByName,
    relation_ids: Index,
    functions: HashMap<String, Vec<usize>>,
    function_ids: Index,
    operators: HashMap<String, Vec<usize>>,
    types: ByName,
    type_ids: Index,
    casts: HashMap<u32, Vec<usize>>,
    /// Functions that a grant has to name.
    guarded: HashSet<u32>,
    /// Guarded functions that using a value of a type may call.
    called_by_types: HashMap<u32, Vec<u32>>,
    /// Casts to such functions.
    guarded_casts: Vec<CastRow>,
    /// Array types by the types of their elements.
    arrays: HashMap<u32, u32>,
    /// Whether any operator or cast leads to a guarded function, so that types of operands matter.
    typed: bool,
    kin: Kin,
}

impl Catalog {
    /// The catalog of the database that a client is in. Gateways keep theirs in a [`keep::CatalogCell`]; this is for
    /// tests and measurements.
    ///
    /// # Errors
    ///
    /// Where the server says no, or has more than can be kept.
    pub async fn of_database(client: &mut tokio_postgres::Client) -> Result<Catalog, String> {
        Catalog::rows_of_database(client).await.map(Catalog::new)
    }

    /// The rows of [`Catalog::of_database`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn rows_of_database(client: &mut tokio_postgres::Client) -> Result<Rows, String> {
        read::read(client).await.map(|reading| reading.rows).map_err(|error| error.to_string())
    }

    /// The catalog that these rows describe.
    pub fn new(rows: Rows) -> Catalog {
        let guarded: HashSet<u32> =
            rows.functions.iter().filter(|function| is_guarded(function)).map(|function| function.id).collect();
        let guarded_casts = conversion::guarded(&rows, &guarded);
        let typed =
            !guarded_casts.is_empty() || rows.operators.iter().any(|operator| guarded.contains(&operator.function));
        Catalog {
            relations: ByName::new(rows.relations.iter().map(|row| (row.schema.as_str(), row.name.as_str()))),
            relation_ids: index::of(rows.relations.iter().map(|row| row.id)),
            functions: index::many(rows.functions.iter().map(|row| row.name.clone())),
            function_ids: index::of(rows.functions.iter().map(|row| row.id)),
            operators: index::many(rows.operators.iter().map(|row| row.name.clone())),
            types: ByName::new(rows.types.iter().map(|row| (row.schema.as_str(), row.name.as_str()))),
            type_ids: index::of(rows.types.iter().map(|row| row.id)),
            casts: index::many(rows.casts.iter().map(|row| row.source)),
            called_by_types: conversion::called_by_types(&rows, &guarded, &guarded_casts),
            guarded_casts,
            arrays: conversion::arrays(&rows),
            guarded,
            typed,
            kin: Kin::new(&rows.relations),
            rows,
        }
    }

    /// The relation of this name in this schema.
    pub fn relation(&self, schema: &str, name: &str) -> Option<&RelationRow> {
        self.rows.relations.get(self.relations.get(schema, name)?)
    }

    /// Whether there is anything in a schema of this name.
    pub fn has_schema(&self, schema: &str) -> bool {
        self.relations.has_schema(schema)
    }

    /// The relation with this id.
    pub fn relation_by_id(&self, id: u32) -> Option<&RelationRow> {
        self.rows.relations.get(*self.relation_ids.get(&id)?)
    }

    /// Every function of this name, whatever its schema.
    pub fn functions<'c>(&'c self, name: &str) -> impl Iterator<Item = &'c FunctionRow> + use<'c> {
        self.functions.get(name).into_iter().flatten().filter_map(|place| self.rows.functions.get(*place))
    }

    /// The function with this id.
    pub fn function_by_id(&self, id: u32) -> Option<&FunctionRow> {
        self.rows.functions.get(*self.function_ids.get(&id)?)
    }

    /// Every operator of this name.
    pub fn operators<'c>(&'c self, name: &str) -> impl Iterator<Item = &'c OperatorRow> + use<'c> {
        self.operators.get(name).into_iter().flatten().filter_map(|place| self.rows.operators.get(*place))
    }

    /// The type of this name in this schema.
    pub fn type_named(&self, schema: &str, name: &str) -> Option<&TypeRow> {
        self.rows.types.get(self.types.get(schema, name)?)
    }

    /// The type with this id.
    pub fn type_by_id(&self, id: u32) -> Option<&TypeRow> {
        self.rows.types.get(*self.type_ids.get(&id)?)
    }

    /// The casts from a type.
    pub fn casts(&self, source: u32) -> impl Iterator<Item = &CastRow> {
        self.casts.get(&source).into_iter().flatten().filter_map(|place| self.rows.casts.get(*place))
    }

    /// The tables that share rows with this one.
    pub(crate) fn kin(&self, relation: u32) -> Arc<[Relation]> {
        self.kin.names(relation, |id| self.relation_by_id(id))
    }

    /// The masked columns as the target numbers them, in whatever shares rows with a masked table too. Of several masks
    /// of one column it is as in the policy: one that withholds, else the table's own, else the first.
    pub(crate) fn masked(&self, masks: &[Mask]) -> MaskedColumns {
        let (mut own, mut of_kin, mut withheld) = (Vec::new(), Vec::new(), Vec::new());
        for mask in masks {
            let tables = self.rows.relations.iter().filter(|table| mask.column.names(&table.schema, &table.name));
            for table in tables {
                own.extend(masked_in(table, mask));
                let kin = self.kin.ids(table.id);
                of_kin
                    .extend(kin.iter().filter_map(|id| self.relation_by_id(*id)).flat_map(|kin| masked_in(kin, mask)));
            }
        }
        for list in [&own, &of_kin] {
            withheld.extend(list.iter().filter(|(_, _, kind)| *kind == MaskKind::Withheld).cloned());
        }
        // The last of them holds.
        MaskedColumns::new(of_kin.into_iter().rev().chain(own.into_iter().rev()).chain(withheld))
    }

    /// Whether a grant has to name this function.
    pub fn is_guarded(&self, function: u32) -> bool {
        self.guarded.contains(&function)
    }

    /// Guarded functions that using a value of this type may call: its checks, its comparisons, casts that
    /// nobody writes.
    pub fn called_by_type(&self, type_id: u32) -> &[u32] {
        self.called_by_types.get(&type_id).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether it is a type of its own, and no stand-in for others.
    pub(crate) fn is_plain_type(&self, type_id: u32) -> bool {
        self.type_by_id(type_id).is_some_and(|row| row.category != 'P')
    }

    /// Whether the types of operands can lead to a guarded function at all.
    pub fn is_typed(&self) -> bool {
        self.typed
    }
}

fn masked_in(table: &RelationRow, mask: &Mask) -> impl Iterator<Item = (u32, i16, MaskKind)> {
    let named = |column: &&ColumnRow| mask.column.column.as_deref().is_none_or(|name| name == column.name);
    table.columns.iter().filter(named).map(|column| (table.id, column.number, mask.kind.clone()))
}

/// The database's own functions are on a list of their own; what extensions bring is judged by the extension.
fn is_guarded(function: &FunctionRow) -> bool {
    if function.id < FIRST_USER_ID {
        return false;
    }
    let Some(extension) = &function.extension else { return true };
    let harmless = HARMLESS.lines().any(|line| line.split_once(": ").is_some_and(|(name, _)| name == extension));
    !harmless || (function.volatile && !inside::is_listed(function)) || function.definer || function.outward
}
