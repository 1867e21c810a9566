//! Operators: functions by other names.

use super::value::Kind;
use super::{Walk, words};
use crate::catalog::rows::{FIRST_USER_ID, OperatorRow};
use belay_model::{Code, Effect};
use pg_query::protobuf::Node;

impl<'a> Walk<'a> {
    /// An operator between two operands; the type of what it gives.
    pub(super) fn operator(&mut self, name: &'a [Node], operands: [Kind; 2]) -> Kind {
        self.used(name, Some(operands[0]), operands[1])
    }

    /// An operator before its only operand.
    pub(super) fn prefix_operator(&mut self, name: &'a [Node], operand: Kind) -> Kind {
        self.used(name, None, operand)
    }

    fn used(&mut self, name: &'a [Node], left: Option<Kind>, right: Kind) -> Kind {
        match words(name).as_deref() {
            Some([]) => Kind::Any,
            Some([name]) => self.look_up(None, name, left, right),
            Some([schema, name]) => self.look_up(Some(*schema), name, left, right),
            _ => {
                self.not_understood();
                Kind::Any
            }
        }
    }

    pub(super) fn operator_named(&mut self, schema: Option<&str>, name: &str, operands: [Kind; 2]) -> Kind {
        self.look_up(schema, name, Some(operands[0]), operands[1])
    }

    fn look_up(&mut self, schema: Option<&str>, name: &str, left: Option<Kind>, right: Kind) -> Kind {
        let Some(catalog) = self.context.catalog else {
            self.foreign_operator(schema, name);
            return Kind::Any;
        };
        if !catalog.is_typed() && matches!(schema, None | Some("pg_catalog")) {
            return Kind::Any;
        }
        let fits = |operator: &&OperatorRow| {
            let sides = match left {
                Some(left) => operator.left != 0 && catalog.may_become(left, operator.left),
                None => operator.left == 0,
            };
            let schema_fits = match (schema, self.path) {
                (Some(schema), _) => operator.schema == schema,
                (None, Some(path)) => path.has(&operator.schema),
                (None, None) => operator.schema == "pg_catalog",
            };
            sides && schema_fits && catalog.may_become(right, operator.right)
        };
        let candidates: Vec<&OperatorRow> = catalog.operators(name).filter(fits).collect();
        let guarded: Vec<&&OperatorRow> =
            candidates.iter().filter(|operator| catalog.is_guarded(operator.function)).collect();
        let own = candidates.iter().any(|operator| operator.id < FIRST_USER_ID);
        match guarded.first() {
            Some(other) if own => {
                let because = format!(
                    "the operator {name} may mean {}.{name}: write OPERATOR(pg_catalog.{name}), or cast what it stands between",
                    other.schema
                );
                self.findings.raise(Effect::Opaque, Some(Code::Ambiguous), because);
            }
            Some(_) => {
                for operator in &guarded {
                    self.uses.call(operator.function);
                }
            }
            None if candidates.is_empty() && !matches!(schema, None | Some("pg_catalog")) => {
                self.foreign_operator(schema, name);
            }
            None => {}
        }
        match candidates.split_first() {
            Some((first, rest)) if rest.iter().all(|other| other.result == first.result) => Kind::Of(first.result),
            _ => Kind::Any,
        }
    }

    /// Which function is behind another schema's operator is not known.
    fn foreign_operator(&mut self, schema: Option<&str>, name: &str) {
        let Some(schema) = schema.filter(|schema| *schema != "pg_catalog") else { return };
        let because = format!("uses the operator {schema}.{name}, which is not one of PostgreSQL's own");
        self.findings.raise(Effect::Opaque, Some(Code::UnknownFunction), because);
    }
}
