//! Whether a grant covers what a statement takes: relations, columns, functions.

use crate::kin::names_any;
use belay_model::{Access, ColumnUse, FunctionName, Grant, Pattern, Relation, Resource, Statement, Via};

/// Schemas of the database's own catalog, readable for introspection. What in them holds values or secrets is refused
/// by the engine's classification, and withheld by the grant's role.
const CATALOGS: [&str; 2] = ["pg_catalog", "information_schema"];

/// What the grant does not cover.
#[derive(Debug)]
pub(crate) enum Outside<'a> {
    /// A relation.
    Relation(&'a Relation),
    /// One column of a relation.
    Column(&'a Relation, &'a str),
    /// A function.
    Function(&'a FunctionName),
    /// A relation of which only some rows are shown, through a view that stands first in the search path.
    Unfiltered(&'a Relation),
    /// A relation that shares rows with one of which only some are shown, which is named second.
    Shares(&'a Relation, &'a Resource),
    /// A relation of which only some rows are shown, whose plan would tell of the others.
    Planned(&'a Relation),
}

impl Outside<'_> {
    /// The view through which the statement comes to it.
    pub(crate) fn through<'s>(&self, statement: &'s Statement) -> Option<&'s Relation> {
        let (Outside::Relation(relation) | Outside::Column(relation, _)) = self else { return None };
        statement.accesses.iter().find(|access| access.relation == **relation).and_then(|access| match &access.via {
            Via::View(via) | Via::Parent(via) => Some(via),
            Via::Named | Via::Filtered | Via::Foreign => None,
        })
    }
}

/// The first thing that the statement takes and the grant does not name.
pub(crate) fn outside<'a>(grant: &'a Grant, statement: &'a Statement) -> Option<Outside<'a>> {
    let unsettled = statement.relations.iter().find(|relation| !is_settled(&grant.resources, relation));
    unsettled
        .map(Outside::Relation)
        .or_else(|| statement.accesses.iter().find_map(|access| outside_access(grant, access)))
        .or_else(|| statement.accesses.iter().find_map(|access| planned(grant, statement, access)))
        .or_else(|| {
            // What a function of a grant of the whole database writes is captured with the rest, and it may read all;
            // not so what leaves the transaction.
            let whole = grant.effects.write && is_whole(grant);
            let captured = |call: &FunctionName| whole && !statement.outward.contains(call);
            let covered =
                |call: &FunctionName| captured(call) || grant.bounds.functions.iter().any(|named| named.covers(call));
            statement.calls.iter().find(|call| !covered(call)).map(Outside::Function)
        })
}

/// Whether the grant is of every table of the database.
pub(crate) fn is_whole(grant: &Grant) -> bool {
    let every = |resource: &Resource| {
        resource.column.is_none() && resource.schema == Pattern::Any && resource.table == Pattern::Any
    };
    grant.resources.iter().any(every) && grant.bounds.rows.is_empty() && grant.masks.is_empty()
}

/// Whether a relation that is named may be named at all: the schema is known, and some resource names it.
fn is_settled(resources: &[Resource], relation: &Relation) -> bool {
    match relation.schema.as_deref() {
        Some(schema) if CATALOGS.contains(&schema) => true,
        Some(schema) => resources.iter().any(|resource| resource.names(schema, &relation.name)),
        // Only without a catalog is a name not settled.
        None => false,
    }
}

fn outside_access<'a>(grant: &'a Grant, access: &'a Access) -> Option<Outside<'a>> {
    let relation = &access.relation;
    if let Via::View(view) = &access.via
        && grant.resources.iter().any(|resource| names_exactly(resource, view))
    {
        // Somebody approved this view by its name: what it shows is what was asked for.
        return None;
    }
    let Some(schema) = relation.schema.as_deref() else { return Some(Outside::Relation(relation)) };
    // A table of another system is granted by its name only: a pattern does not mean it.
    if access.via == Via::Foreign && !grant.resources.iter().any(|resource| names_exactly(resource, relation)) {
        return Some(Outside::Relation(relation));
    }
    let filter = grant.bounds.rows.iter().find(|filter| filter.table.names(schema, &relation.name));
    if filter.is_some() && access.via != Via::Filtered {
        return Some(Outside::Unfiltered(relation));
    }
    let of_kin = grant.bounds.rows.iter().find(|filter| names_any(&filter.table, &access.kin));
    if let Some(filter) = of_kin
        && access.via != Via::Filtered
    {
        return Some(Outside::Shares(relation, &filter.table));
    }
    outside_columns(grant, access)
}

/// What of an access no resource names.
fn outside_columns<'a>(grant: &Grant, access: &'a Access) -> Option<Outside<'a>> {
    let relation = &access.relation;
    let Some(schema) = relation.schema.as_deref() else { return Some(Outside::Relation(relation)) };
    let named: Vec<&Resource> =
        grant.resources.iter().filter(|resource| resource.names(schema, &relation.name)).collect();
    if named.is_empty() {
        return Some(Outside::Relation(relation));
    }
    let covers = |column: &ColumnUse| {
        named.iter().any(|resource| resource.column.as_deref().is_none_or(|name| name == column.name))
    };
    access.columns.iter().find(|column| !covers(column)).map(|column| Outside::Column(relation, &column.name))
}

/// A plan names the conditions of a view or a row filter, counts the rows they keep back, and is made by what all rows
/// hold.
fn planned<'a>(grant: &Grant, statement: &Statement, access: &'a Access) -> Option<Outside<'a>> {
    if !statement.verb.starts_with("EXPLAIN") {
        return None;
    }
    match &access.via {
        Via::Filtered => Some(Outside::Planned(&access.relation)),
        Via::View(view) => {
            let shown = outside_columns(grant, access).is_none();
            (!shown).then_some(Outside::Planned(view))
        }
        Via::Named | Via::Foreign | Via::Parent(_) => None,
    }
}

fn names_exactly(resource: &Resource, relation: &Relation) -> bool {
    let exact = |pattern: &Pattern, name: &str| matches!(pattern, Pattern::Exact(exact) if exact == name);
    resource.column.is_none()
        && relation.schema.as_deref().is_some_and(|schema| exact(&resource.schema, schema))
        && exact(&resource.table, &relation.name)
}
