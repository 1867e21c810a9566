//! Calls of functions.

use super::value::Kind;
use super::{Walk, words};
use crate::catalog::Catalog;
use crate::catalog::rows::{FIRST_USER_ID, FunctionRow};
use crate::classify::functions::Known;
use crate::classify::uses;
use belay_model::{Code, Effect};
use pg_query::protobuf::{FuncCall, Node};

impl<'a> Walk<'a> {
    /// A call; the type of what it gives.
    pub(super) fn call(&mut self, call: &'a FuncCall) -> Kind {
        let FuncCall {
            funcname,
            args,
            agg_order,
            agg_filter,
            over,
            agg_within_group,
            agg_star: _,
            agg_distinct: _,
            func_variadic,
            funcformat: _,
            location: _,
        } = call;
        let mut kinds: Vec<Kind> = args.iter().map(|arg| self.computed(arg)).collect();
        for node in agg_order {
            let kind = self.computed(node);
            if *agg_within_group {
                kinds.push(kind);
            }
        }
        self.optional(agg_filter.as_deref());
        if let Some(window) = over {
            self.window(window);
        }
        // What is spread over arguments has no types of its own.
        if *func_variadic {
            kinds.fill(Kind::Any);
        }
        match words(funcname).as_deref() {
            Some([name]) => self.called("", name, args, &kinds),
            Some([schema, name]) => self.called(schema, name, args, &kinds),
            _ => {
                self.not_understood();
                Kind::Any
            }
        }
    }

    fn called(&mut self, schema: &str, name: &str, args: &'a [Node], kinds: &[Kind]) -> Kind {
        let Some(catalog) = self.context.catalog else {
            self.called_own(schema, name, args);
            return Kind::Any;
        };
        let candidates: Vec<&FunctionRow> = catalog
            .functions(name)
            .filter(|function| !function.procedure && self.may_mean(function, schema) && fits(catalog, function, kinds))
            .collect();
        let own =
            self.functions.is_listed(schema, name) || candidates.iter().any(|function| function.id < FIRST_USER_ID);
        let guarded: Vec<&FunctionRow> =
            candidates.iter().copied().filter(|function| catalog.is_guarded(function.id)).collect();
        match (own, guarded.first()) {
            (true, Some(other)) if schema.is_empty() => {
                let (other, dot) = (uses::name_of(other), '.');
                let because = format!("{name} may mean {other}: write pg_catalog{dot}{name}");
                self.findings.raise(Effect::Opaque, Some(Code::Ambiguous), because);
            }
            (_, Some(_)) => {
                for function in &guarded {
                    self.uses.call(function.id);
                }
            }
            // What extensions bring and is harmless.
            (false, None) if !candidates.is_empty() => {}
            (_, None) => self.called_own(schema, name, args),
        }
        result_of(catalog, &candidates)
    }

    fn may_mean(&self, function: &FunctionRow, schema: &str) -> bool {
        match (schema, self.path) {
            ("", Some(path)) => path.has(&function.schema),
            ("", None) => function.schema == "pg_catalog",
            (schema, _) => function.schema == schema,
        }
    }

    /// A function that can only be the database's own, or one that the catalog does not have.
    fn called_own(&mut self, schema: &str, name: &str, args: &'a [Node]) {
        match self.functions.known(schema, name) {
            Known::Harmless => {}
            Known::SetsSetting => self.sets_setting(args),
            Known::ShowsSetting => self.shows_setting(args),
            Known::Refused(why) => self.refuse_function(schema, name, why),
        }
    }

    /// The function that makes samples for TABLESAMPLE.
    pub(super) fn sampled(&mut self, method: &[Node]) {
        match words(method).as_deref() {
            Some(["system" | "bernoulli"] | ["pg_catalog", "system" | "bernoulli"]) => {}
            Some([name]) => self.refuse_function("", name, "is not one of PostgreSQL's own sampling methods"),
            Some([schema, name]) => {
                self.refuse_function(schema, name, "is not one of PostgreSQL's own sampling methods");
            }
            _ => self.not_understood(),
        }
    }

    fn refuse_function(&mut self, schema: &str, name: &str, why: &str) {
        let dot = if schema.is_empty() { "" } else { "." };
        let because = format!("calls {schema}{dot}{name}, which {why}");
        self.findings.raise(Effect::Opaque, Some(Code::UnknownFunction), because);
    }
}

/// Whether a function can be called with so many arguments of such types.
fn fits(catalog: &Catalog, function: &FunctionRow, kinds: &[Kind]) -> bool {
    let (most, given) = (function.arguments.len(), kinds.len());
    let least = most.saturating_sub(usize::from(function.defaults) + usize::from(function.variadic));
    if given < least || (given > most && !function.variadic) {
        return false;
    }
    // An ordinary function of the database's own is taken by its name alone.
    if function.id < FIRST_USER_ID || function.variadic {
        return true;
    }
    // Named arguments may stand in any order; their types are not told apart here.
    function.arguments.iter().zip(kinds).all(|(wanted, given)| catalog.may_become(*given, *wanted))
}

/// The type that all candidates give.
fn result_of(catalog: &Catalog, candidates: &[&FunctionRow]) -> Kind {
    let Some((first, others)) = candidates.split_first() else { return Kind::Any };
    let plain = catalog.is_plain_type(first.returns) && others.iter().all(|other| other.returns == first.returns);
    if plain { Kind::Of(first.returns) } else { Kind::Any }
}
