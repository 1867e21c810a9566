//! `set_config`, which does what SET does.

use super::{Walk, words};
use crate::classify::{PathChange, SearchPath};
use crate::settings;
use belay_model::{Code, Effect};
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, SelectStmt, a_const};

impl<'a> Walk<'a> {
    /// Notes the call that is all of this statement. Names mean something else afterwards where it sets `search_path`,
    /// so that has to be certain to happen, once, when the statement runs.
    pub(in crate::classify) fn expect_setting(&mut self, select: &'a SelectStmt) {
        self.sole_call = sole_call(select);
    }

    /// `set_config(name, value, local)` does what SET does.
    pub(super) fn sets_setting(&mut self, args: &'a [Node]) {
        self.findings.depends_on_a_literal();
        let name = args.first().and_then(|name| text(name).or_else(|| self.setting_of_column(name)));
        let value = args.get(1).and_then(text);
        let because = match name {
            Some(name) if args.len() == 3 && settings::may_set(name, value) => {
                if !name.eq_ignore_ascii_case("search_path") {
                    return;
                }
                match self.path_set(args) {
                    Ok(change) => {
                        self.new_path = Some(change);
                        return;
                    }
                    Err(because) => because.to_owned(),
                }
            }
            Some(name) => format!("sets {name}, which a guarded session may not"),
            None => "sets a setting that the text does not name".to_owned(),
        };
        self.findings.raise(Effect::Privilege, Some(Code::GuardedSetting), because);
    }

    /// What a call with these arguments does to the search path, or why that cannot be told.
    fn path_set(&self, args: &'a [Node]) -> Result<PathChange, &'static str> {
        let (Some(value), Some(local)) = (args.get(1).and_then(text), args.get(2).and_then(truth)) else {
            return Err("sets search_path to what the text does not tell");
        };
        if !self.sole_call.is_some_and(|sole| std::ptr::eq(sole, args)) {
            return Err("sets search_path inside a larger statement: write SELECT set_config(...) by itself, or SET");
        }
        let path = SearchPath::new(value, &self.context.place.role)
            .ok_or("sets search_path to a list that is no list of names, or too long to be followed")?;
        Ok(if local { PathChange::Local(path) } else { PathChange::To(path) })
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

/// The arguments of the one call that a SELECT consists of.
fn sole_call(select: &SelectStmt) -> Option<&[Node]> {
    let SelectStmt {
        distinct_clause,
        into_clause: None,
        target_list,
        from_clause,
        where_clause: None,
        group_clause,
        group_distinct: _,
        having_clause: None,
        window_clause,
        values_lists,
        sort_clause,
        limit_offset: None,
        limit_count: None,
        limit_option: _,
        locking_clause,
        with_clause: None,
        op: _,
        all: _,
        larg: None,
        rarg: None,
    } = select
    else {
        return None;
    };
    let clauses =
        [distinct_clause, from_clause, group_clause, window_clause, values_lists, sort_clause, locking_clause];
    let [Node { node: Some(NodeEnum::ResTarget(target)) }] = target_list.as_slice() else { return None };
    match target.val.as_ref()?.node.as_ref()? {
        NodeEnum::FuncCall(call) if clauses.iter().all(|clause| clause.is_empty()) => Some(&call.args),
        _ => None,
    }
}

/// The text of a literal, also one that is cast to a type that leaves it as it is.
pub(in crate::classify) fn text(node: &Node) -> Option<&str> {
    match uncast(node)? {
        NodeEnum::AConst(constant) => match &constant.val {
            Some(a_const::Val::Sval(text)) => Some(&text.sval),
            _ => None,
        },
        _ => None,
    }
}

/// Which parameter it is, from 1.
pub(super) fn parameter(node: &Node) -> Option<usize> {
    match uncast(node)? {
        NodeEnum::ParamRef(parameter) => usize::try_from(parameter.number).ok().filter(|number| *number > 0),
        _ => None,
    }
}

/// What is cast to a type that leaves a text as it is, or what is not cast. Casts nest as deep as the text does; more
/// than one is of no use.
fn uncast(node: &Node) -> Option<&NodeEnum> {
    match node.node.as_ref()? {
        NodeEnum::TypeCast(cast) => {
            let kind = cast.type_name.as_ref()?;
            let name = words(&kind.names)?;
            let plain = matches!(name[..], ["text" | "varchar"] | ["pg_catalog", "text" | "varchar"]);
            let bare = kind.typmods.is_empty() && kind.array_bounds.is_empty() && !kind.setof && !kind.pct_type;
            (plain && bare).then_some(())?;
            cast.arg.as_deref()?.node.as_ref()
        }
        bare => Some(bare),
    }
}

/// A truth value that is written out.
fn truth(node: &Node) -> Option<bool> {
    let constant = match &node.node {
        Some(NodeEnum::AConst(constant)) => constant.val.as_ref()?,
        _ => return None,
    };
    match constant {
        a_const::Val::Boolval(truth) => Some(truth.boolval),
        a_const::Val::Sval(text) => match text.sval.to_ascii_lowercase().as_str() {
            "true" | "t" | "on" | "yes" | "1" => Some(true),
            "false" | "f" | "off" | "no" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}
