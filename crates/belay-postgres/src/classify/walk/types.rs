//! Types: what casts to them and what using their values may call.

use super::value::Kind;
use super::{Walk, word};
use crate::catalog::rows::TypeRow;
use pg_query::protobuf::{AConst, TypeName, a_const};

pub(super) const BOOLEAN: u32 = 16;
const INTEGER: u32 = 23;

impl<'a> Walk<'a> {
    /// A type that is named where no value is cast to it.
    pub(super) fn type_name(&mut self, name: Option<&'a TypeName>) {
        if let Some(named) = self.named_type(name) {
            self.touch_type(named.id);
        }
    }

    /// A cast of a value of one type to the named one; the type that it gives.
    pub(super) fn cast(&mut self, from: Kind, to: Option<&'a TypeName>) -> Kind {
        let named = self.named_type(to);
        let (Some(catalog), Some(named)) = (self.context.catalog, named) else { return Kind::Any };
        self.touch_type(named.id);
        if catalog.is_typed() {
            let casts: Vec<u32> = match from {
                Kind::Of(source) => {
                    let same = catalog.casts(source).filter(|cast| cast.target == named.id);
                    same.map(|cast| cast.function).collect()
                }
                Kind::Any => catalog.casts_to(named.id).map(|cast| cast.function).collect(),
                Kind::Literal | Kind::Array => Vec::new(),
            };
            for function in casts.into_iter().filter(|function| catalog.is_guarded(*function)) {
                self.uses.call(function);
            }
        }
        let is_array = to.is_some_and(|name| !name.array_bounds.is_empty());
        if is_array { Kind::Array } else { Kind::Of(named.id) }
    }

    /// What using a value of this type may call.
    pub(super) fn touch_type(&mut self, type_id: u32) {
        let Some(catalog) = self.context.catalog else { return };
        for function in catalog.called_by_type(type_id) {
            self.uses.call(*function);
        }
    }

    fn named_type(&mut self, name: Option<&'a TypeName>) -> Option<&'a TypeRow> {
        let TypeName { names, type_oid: _, setof: _, pct_type: _, typmods, typemod: _, array_bounds, location: _ } =
            name?;
        self.nodes(typmods);
        self.nodes(array_bounds);
        let catalog = self.context.catalog?;
        let (last, before) = names.split_last()?;
        let (last, schema) = (word(last)?, before.last().and_then(word));
        match (schema, self.path) {
            (Some(schema), _) => catalog.type_named(schema, last),
            (None, Some(path)) => path.schemas().find_map(|schema| catalog.type_named(schema, last)),
            (None, None) => catalog.type_named("pg_catalog", last),
        }
    }
}

/// The type of a literal.
pub(super) fn kind_of(constant: &AConst) -> Kind {
    match &constant.val {
        Some(a_const::Val::Ival(_)) => Kind::Of(INTEGER),
        Some(a_const::Val::Boolval(_)) => Kind::Of(BOOLEAN),
        Some(a_const::Val::Fval(_) | a_const::Val::Bsval(_)) => Kind::Any,
        // NULL has no type either.
        Some(a_const::Val::Sval(_)) | None => Kind::Literal,
    }
}
