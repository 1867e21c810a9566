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
            Some([schema, name]) => {
                if *schema == "pg_catalog" {
                    self.keyword(name);
                }
                self.called(schema, name, args, &kinds)
            }
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
        let candidates = self.candidates(catalog, schema, name, kinds);
        let own = self.functions.is_listed(schema, name) || candidates.iter().any(|function| is_own(function));
        let guarded: Vec<&FunctionRow> =
            candidates.iter().copied().filter(|function| catalog.is_guarded(function.id)).collect();
        // `type(value)` casts where no function takes the value.
        let converts = matches!(kinds, [kind] if self.converted(schema, name, *kind));
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
            // `column(row)` is `row.column`.
            (false, None) if schema.is_empty() && matches!(args, [row] if self.column_of_row(row, name).is_some()) => {}
            (false, None) if converts => {}
            (_, None) => self.called_own(schema, name, args),
        }
        result_of(catalog, &candidates, kinds)
    }

    /// Whether every function that this may mean gives a single column where it stands in FROM.
    pub(super) fn gives_one_column(&self, call: &FuncCall) -> bool {
        let Some(catalog) = self.context.catalog else { return false };
        let words = words(&call.funcname);
        let (schema, name) = match words.as_deref() {
            Some([name]) => ("", *name),
            Some([schema, name]) => (*schema, *name),
            _ => return false,
        };
        let mut named = catalog.functions(name).filter(|function| self.may_mean(function, schema)).peekable();
        let is_column =
            |type_id| catalog.type_by_id(type_id).is_some_and(|row| row.category != 'P' && row.relation == 0);
        named.peek().is_some() && named.all(|function| is_column(catalog.base(function.returns)))
    }

    /// The functions that a call with such arguments may mean.
    pub(super) fn candidates(
        &self,
        catalog: &'a Catalog,
        schema: &str,
        name: &str,
        kinds: &[Kind],
    ) -> Vec<&'a FunctionRow> {
        let named = catalog.functions(name).filter(|function| !function.procedure && self.may_mean(function, schema));
        named.filter(|function| fits(catalog, function, kinds)).collect()
    }

    /// Code that is not read may run routines of this name. Only those that leave the transaction matter: what others do
    /// is seen at its end.
    pub(in crate::classify) fn may_leave_by(&mut self, schema: Option<&str>, name: &str) {
        let Some(catalog) = self.context.catalog else { return };
        let reached = |row: &&FunctionRow| row.outward && schema.is_none_or(|schema| row.schema == schema);
        for function in catalog.functions(name).filter(reached) {
            self.uses.call(function.id);
        }
    }

    /// What the grammar writes as a call of `pg_catalog`'s and older servers read as an ordinary name.
    fn keyword(&mut self, name: &str) {
        match name {
            "system_user" => self.may_name(name),
            "json_object" => self.may_call(name),
            _ => {}
        }
    }

    pub(super) fn may_mean(&self, function: &FunctionRow, schema: &str) -> bool {
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
            // A row gets its number so; what is written is captured, and a sequence has no way back.
            Known::Advances => {
                let because = "calls nextval, which advances a sequence".to_owned();
                self.findings.raise(Effect::Write, Some(Code::UnknownFunction), because);
            }
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

    pub(super) fn refuse_function(&mut self, schema: &str, name: &str, why: &str) {
        let dot = if schema.is_empty() { "" } else { "." };
        let because = format!("calls {schema}{dot}{name}, which {why}");
        self.findings.raise(Effect::Opaque, Some(Code::UnknownFunction), because);
    }
}

/// Whether it came with the database.
pub(super) fn is_own(function: &FunctionRow) -> bool {
    function.id < FIRST_USER_ID
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

/// The type that all candidates give. Those that take just these types come before others.
fn result_of(catalog: &Catalog, candidates: &[&FunctionRow], kinds: &[Kind]) -> Kind {
    let takes =
        |function: &&&FunctionRow| function.arguments.iter().map(|wanted| Kind::Of(*wanted)).eq(kinds.iter().copied());
    let exact: Vec<&FunctionRow> = candidates.iter().filter(takes).copied().collect();
    let Some((first, others)) = (if exact.is_empty() { candidates } else { &exact }).split_first() else {
        return Kind::Any;
    };
    let plain = catalog.is_plain_type(first.returns) && others.iter().all(|other| other.returns == first.returns);
    if plain { Kind::Of(first.returns) } else { Kind::Any }
}
