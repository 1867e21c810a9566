//! The types that a client gives to the parameters of a text, beside the text.

use super::uses::name_of;
use super::{Classifier, Reading};
use crate::catalog::Catalog;
use crate::catalog::rows::FIRST_USER_ID;
use belay_model::{Code, Effect, Statement};

impl Classifier {
    /// What a text does whose parameters have these types; 0 where the text settles a type. Values are read by what
    /// belongs to the type: checks of a domain, for one.
    pub(crate) fn with_parameters(&self, mut reading: Reading, types: &[u32]) -> Reading {
        let Some(catalog) = &self.catalog else { return reading };
        if types.iter().all(|id| *id < FIRST_USER_ID && catalog.called_by_type(*id).is_empty()) {
            return reading;
        }
        let mut statements = reading.statements.to_vec();
        for statement in &mut statements {
            for type_id in types {
                self.declare(catalog, statement, *type_id);
            }
        }
        reading.statements = statements.into();
        reading
    }

    fn declare(&self, catalog: &Catalog, statement: &mut Statement, type_id: u32) {
        if type_id >= FIRST_USER_ID && catalog.type_by_id(type_id).is_none() {
            refuse(statement, Code::UnknownName, format!("the type {type_id} of a parameter is not in the catalog"));
        }
        for function in catalog.called_by_type(type_id).iter().filter_map(|id| catalog.function_by_id(*id)) {
            if catalog.is_guarded(function.id) {
                let name = name_of(function);
                if !statement.calls.contains(&name) {
                    statement.outward.extend(function.outward.then(|| name.clone()));
                    statement.calls.push(name);
                }
            } else if let Some(why) = self.functions.known("pg_catalog", &function.name).refused_unseen() {
                let because = format!("the type of a parameter calls {}, which {why}", function.name);
                refuse(statement, Code::UnknownFunction, because);
            }
        }
    }
}

fn refuse(statement: &mut Statement, code: Code, because: String) {
    if statement.effect <= Effect::Read {
        statement.effect = Effect::Opaque;
        statement.code = Some(code);
        statement.because = Some(because);
    }
}
