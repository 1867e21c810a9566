//! Calls of functions.

use super::{Walk, words};
use crate::classify::functions::Known;
use crate::settings;
use belay_model::{Code, Effect};
use pg_query::NodeEnum;
use pg_query::protobuf::{FuncCall, Node, a_const};

impl<'a> Walk<'a> {
    pub(super) fn call(&mut self, call: &'a FuncCall) {
        let FuncCall {
            funcname,
            args,
            agg_order,
            agg_filter,
            over,
            agg_within_group: _,
            agg_star: _,
            agg_distinct: _,
            func_variadic: _,
            funcformat: _,
            location: _,
        } = call;
        match words(funcname).as_deref() {
            Some([name]) => self.called("", name, args),
            Some([schema, name]) => self.called(schema, name, args),
            _ => self.not_understood(),
        }
        self.nodes(args);
        self.nodes(agg_order);
        self.optional(agg_filter.as_deref());
        if let Some(window) = over {
            self.window(window);
        }
    }

    fn called(&mut self, schema: &str, name: &str, args: &'a [Node]) {
        match self.functions.known(schema, name) {
            Known::Harmless => {}
            Known::SetsSetting => self.sets_setting(args),
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

    /// `set_config(name, value, local)` does what SET does.
    fn sets_setting(&mut self, args: &'a [Node]) {
        self.findings.depends_on_a_literal();
        let name = args.first().and_then(|name| text(name).or_else(|| self.setting_of_column(name)));
        let value = args.get(1).and_then(text);
        let because = match name {
            Some(name) if args.len() == 3 && settings::may_set(name, value) => return,
            Some(name) => format!("sets {name}, which a guarded session may not"),
            None => "sets a setting that the text does not name".to_owned(),
        };
        self.findings.raise(Effect::Privilege, Some(Code::GuardedSetting), because);
    }

    /// The setting that a column reference can only mean: see [`Walk::named_setting`].
    fn setting_of_column(&self, node: &Node) -> Option<&'a str> {
        match &node.node {
            Some(NodeEnum::ColumnRef(column)) => match words(&column.fields)?[..] {
                ["name"] | ["pg_settings", "name"] => self.named_setting,
                _ => None,
            },
            _ => None,
        }
    }
}

/// The text of a literal, also one that is cast.
pub(super) fn text(node: &Node) -> Option<&str> {
    // Casts nest as deep as the text does; more than one is of no use.
    let node = match &node.node {
        Some(NodeEnum::TypeCast(cast)) => cast.arg.as_deref()?,
        _ => node,
    };
    match &node.node {
        Some(NodeEnum::AConst(constant)) => match &constant.val {
            Some(a_const::Val::Sval(text)) => Some(&text.sval),
            _ => None,
        },
        _ => None,
    }
}
