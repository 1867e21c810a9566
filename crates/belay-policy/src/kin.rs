//! Whether a resource names a relation, or one of those that this shares rows with.

use belay_model::{Pattern, Relation, Resource};

pub(crate) fn names(resource: &Resource, relation: &Relation) -> bool {
    relation.schema.as_deref().is_some_and(|schema| resource.names(schema, &relation.name))
}

/// Whether one of these is named. They are in order, and there can be thousands of them.
pub(crate) fn names_any(resource: &Resource, sorted: &[Relation]) -> bool {
    let (Pattern::Exact(schema), Pattern::Exact(table)) = (&resource.schema, &resource.table) else {
        return sorted.iter().any(|relation| names(resource, relation));
    };
    let wanted = (Some(schema.as_str()), table.as_str());
    sorted.binary_search_by(|one| (one.schema.as_deref(), one.name.as_str()).cmp(&wanted)).is_ok()
}
