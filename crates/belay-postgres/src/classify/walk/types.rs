//! Types: what casts to them and what using their values may call.

use super::value::Kind;
use super::{Walk, word};
use crate::catalog::rows::TypeRow;
use pg_query::protobuf::{AConst, Node, TypeName, a_const};

pub(super) const BOOLEAN: u32 = 16;
const INTEGER: u32 = 23;

/// What functions with a type of their own to give (SQL/JSON, XML) convert from: text, binary, XML, JSON.
const FORMS: [u32; 5] = [25, 17, 142, 114, 3802];

impl<'a> Walk<'a> {
    /// A type that is named where no value is cast to it.
    pub(in crate::classify) fn type_name(&mut self, name: Option<&'a TypeName>) {
        let named = self.named_type(name);
        if let (Some(catalog), Some(type_id)) = (self.context.catalog, named) {
            for function in FORMS.iter().flat_map(|form| catalog.called_by_cast(Kind::Of(*form), type_id)) {
                self.uses.call(function);
            }
        }
    }

    /// A cast of a value of one type to the named one; the type that it gives.
    pub(super) fn cast(&mut self, from: Kind, to: Option<&'a TypeName>) -> Kind {
        let named = self.named_type(to);
        if let Some(row) = named.and_then(|type_id| self.context.catalog?.type_by_id(type_id)) {
            self.cast_to(from, row);
        }
        named.map_or(Kind::Any, Kind::Of)
    }

    /// The same to a type that has been found.
    pub(super) fn cast_to(&mut self, from: Kind, to: &TypeRow) {
        let Some(catalog) = self.context.catalog else { return };
        self.touch_type(to.id);
        for function in catalog.called_by_cast(from, to.id) {
            self.uses.call(function);
        }
    }

    /// A value that is converted to a type that is not told here.
    pub(in crate::classify) fn converted_to_any(&mut self, node: &'a Node) {
        let from = self.computed(node);
        let Some(catalog) = self.context.catalog else { return };
        for function in catalog.called_by_any_cast(from) {
            self.uses.call(function);
        }
    }

    /// An array that is written out. Where a cast follows, it is the elements that are cast.
    pub(super) fn array(&mut self, elements: &'a [Node]) -> Kind {
        let mut all = Kind::Literal;
        for element in elements {
            let kind = self.computed(element);
            if all == Kind::Literal {
                all = kind;
            } else if kind != all && kind != Kind::Literal {
                all = Kind::Any;
            }
        }
        match (all, self.context.catalog) {
            (Kind::Literal, _) => Kind::Literal,
            // Of arrays, an array of more dimensions is made.
            (Kind::Of(element), Some(catalog)) => catalog.array_of(element).map_or(Kind::Array, Kind::Of),
            _ => Kind::Array,
        }
    }

    /// What using a value of this type may call.
    pub(super) fn touch_type(&mut self, type_id: u32) {
        let Some(catalog) = self.context.catalog else { return };
        for function in catalog.called_by_type(type_id) {
            self.uses.call(*function);
        }
    }

    /// The type that is named, as the catalog has it. Using its values may call something from now on.
    fn named_type(&mut self, name: Option<&'a TypeName>) -> Option<u32> {
        let TypeName { names, type_oid: _, setof: _, pct_type: _, typmods, typemod: _, array_bounds, location: _ } =
            name?;
        self.nodes(typmods);
        self.nodes(array_bounds);
        let catalog = self.context.catalog?;
        let (last, before) = names.split_last()?;
        let (last, schema) = (word(last)?, before.last().and_then(word));
        let Some(row) = self.type_called(schema, last) else {
            self.unknown_name("type", last);
            return None;
        };
        let type_id = if array_bounds.is_empty() { row.id } else { catalog.array_of(row.id).unwrap_or(row.id) };
        self.touch_type(row.id);
        self.touch_type(type_id);
        Some(type_id)
    }

    /// The type of this name.
    pub(super) fn type_called(&self, schema: Option<&str>, name: &str) -> Option<&'a TypeRow> {
        let catalog = self.context.catalog?;
        match (schema, self.path) {
            (Some(schema), _) => catalog.type_named(schema, name),
            (None, Some(path)) => path.schemas().find_map(|schema| catalog.type_named(schema, name)),
            (None, None) => catalog.type_named("pg_catalog", name),
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
