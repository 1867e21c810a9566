//! `set_config`, which does what SET does.

use super::{Walk, words};
use crate::settings;
use belay_model::{Code, Effect};
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, a_const};

impl<'a> Walk<'a> {
    /// `set_config(name, value, local)` does what SET does.
    pub(super) fn sets_setting(&mut self, args: &'a [Node]) {
        self.findings.depends_on_a_literal();
        let name = args.first().and_then(|name| text(name).or_else(|| self.setting_of_column(name)));
        let value = args.get(1).and_then(text);
        let because = match name {
            Some(name) if name.eq_ignore_ascii_case("search_path") && value.is_none() => {
                "sets search_path to what the text does not tell".to_owned()
            }
            Some(name) if args.len() == 3 && settings::may_set(name, value) => {
                if name.eq_ignore_ascii_case("search_path") {
                    self.new_path = value.map(str::to_owned);
                }
                return;
            }
            Some(name) => format!("sets {name}, which a guarded session may not"),
            None => "sets a setting that the text does not name".to_owned(),
        };
        self.findings.raise(Effect::Privilege, Some(Code::GuardedSetting), because);
    }

    /// The setting that a column reference can only mean: see [`Walk::named_setting`].
    pub(super) fn setting_of_column(&self, node: &Node) -> Option<&'a str> {
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
pub(in crate::classify) fn text(node: &Node) -> Option<&str> {
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
