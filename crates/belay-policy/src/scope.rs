//! Whether a grant's resources cover a relation that a statement names.

use belay_model::{Relation, Resource};

/// Schemas of the database's own catalog, readable for introspection. What in them holds values or
/// secrets is withheld by the grant's role in the database.
const CATALOGS: [&str; 2] = ["pg_catalog", "information_schema"];

/// Whether `relation` may be named under `resources`.
///
/// A relation without a schema is left to the search path: it is covered when a resource of any
/// schema has its name. The grant's role settles which table that really is.
pub(crate) fn covers(resources: &[Resource], relation: &Relation) -> bool {
    match &relation.schema {
        Some(schema) if CATALOGS.contains(&schema.as_str()) => true,
        Some(schema) => {
            resources.iter().any(|resource| resource.schema.matches(schema) && resource.table.matches(&relation.name))
        }
        None => {
            relation.name.starts_with("pg_") || resources.iter().any(|resource| resource.table.matches(&relation.name))
        }
    }
}
