//! Functions that are called without being written as a call: as a field of a value, as a type, as a keyword.

use super::call::is_own;
use super::value::{Kind, Value};
use super::{Walk, word};
use crate::catalog::rows::FunctionRow;
use crate::classify::functions::Known;
use pg_query::protobuf::Node;

impl<'a> Walk<'a> {
    /// A value with its subscripts and fields: `(row).name` is the row's column, `(value).name` calls the function of that
    /// name with the value where it has no such field.
    pub(super) fn parts(&mut self, value: Option<&'a Node>, parts: &'a [Node]) -> Value {
        let column = value.zip(parts.first().and_then(word)).and_then(|(value, name)| self.column_of_row(value, name));
        let (mut kind, parts) = if let Some(column) = column {
            self.note(&column);
            let rest = parts.get(1..).unwrap_or_default();
            if rest.is_empty() {
                return column;
            }
            self.compute(&column);
            (column.kind, rest)
        } else {
            (value.map(|value| self.computed(value)).unwrap_or_default(), parts)
        };
        for part in parts {
            match word(part) {
                Some(name) => {
                    self.called_as_field(name, kind);
                }
                None => self.node(part),
            }
            kind = Kind::Any;
        }
        Value::default()
    }

    /// Whether `row.name` may call a function with a row that has no such column.
    pub(super) fn called_with_row(&mut self, name: &str) -> bool {
        self.context.catalog.is_some() && self.called_as_field(name, Kind::Any)
    }

    /// Notes the functions that `name` may call with one value; whether there are any.
    fn called_as_field(&mut self, name: &str, kind: Kind) -> bool {
        let Some(catalog) = self.context.catalog else {
            if self.functions.is_listed("pg_catalog", name) {
                self.judge_own(name);
            }
            return false;
        };
        let candidates = self.candidates(catalog, "", name, &[kind]);
        let (own, others): (Vec<&FunctionRow>, Vec<&FunctionRow>) =
            candidates.iter().copied().partition(|function| is_own(function));
        if !own.is_empty() {
            self.judge_own(name);
        }
        for function in others.iter().filter(|function| catalog.is_guarded(function.id)) {
            self.uses.call(function.id);
        }
        let converted = self.converted("", name, kind);
        converted || !candidates.is_empty()
    }

    /// The database's own function of this name, with one argument.
    fn judge_own(&mut self, name: &str) {
        match self.functions.known("pg_catalog", name) {
            Known::Advances => self.refuse_function("", name, "advances a sequence"),
            Known::Refused(why) => self.refuse_function("", name, why),
            Known::ShowsSetting => self.shows_setting(&[]),
            Known::Harmless | Known::SetsSetting => {}
        }
    }

    /// `type(value)` casts the value where no function takes it; whether there is such a type.
    pub(super) fn converted(&mut self, schema: &str, name: &str, from: Kind) -> bool {
        let Some(named) = self.type_called(Some(schema).filter(|schema| !schema.is_empty()), name) else {
            return false;
        };
        if named.relation != 0 {
            return false;
        }
        self.cast_to(from, named);
        true
    }

    /// A form with a syntax of its own is a plain call to servers that do not know the form yet.
    pub(super) fn may_call(&mut self, name: &str) {
        let Some(catalog) = self.context.catalog else { return };
        let named = catalog.functions(name).filter(|function| !function.procedure && self.may_mean(function, ""));
        let guarded: Vec<u32> = named.map(|function| function.id).filter(|id| catalog.is_guarded(*id)).collect();
        for function in guarded {
            self.uses.call(function);
        }
    }
}
