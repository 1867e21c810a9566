//! The name that a column of a result has where none is given.

use super::column::ends_in_star;
use super::word;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    AExprKind, CaseExpr, JsonExprOp, JsonFuncExpr, MinMaxOp, Node, SelectStmt, SqlValueFunctionOp, SubLink,
    SubLinkType, TypeCast, XmlExprOp,
};

/// What the server calls a column where it has no better name.
const NAMELESS: &str = "?column?";

/// The name, or none where the text alone does not tell it.
pub(super) fn of(node: &Node) -> Option<&str> {
    match weighed(node) {
        Some(Name::Weak(name) | Name::Full(name)) => Some(name),
        Some(Name::Unknown) => None,
        None => Some(NAMELESS),
    }
}

/// A name with how much it counts: a cast's own gives way to what is cast.
#[derive(Clone, Copy)]
enum Name<'n> {
    Weak(&'n str),
    Full(&'n str),
    /// It has a full name, which the text does not tell.
    Unknown,
}

fn weighed(node: &Node) -> Option<Name<'_>> {
    let full = |name| Some(Name::Full(name));
    match node.node.as_ref()? {
        NodeEnum::ColumnRef(reference) => full(reference.fields.iter().rev().find_map(word)?),
        NodeEnum::AIndirection(indirection) => match indirection.indirection.iter().rev().find_map(word) {
            Some(name) => full(name),
            None => weighed(indirection.arg.as_deref()?),
        },
        NodeEnum::FuncCall(call) => full(call.funcname.last().and_then(word)?),
        NodeEnum::AExpr(expr) if expr.kind == AExprKind::AexprNullif as i32 => full("nullif"),
        NodeEnum::TypeCast(cast) => of_cast(cast),
        NodeEnum::CollateClause(clause) => weighed(clause.arg.as_deref()?),
        NodeEnum::GroupingFunc(_) => full("grouping"),
        NodeEnum::MergeSupportFunc(_) => full("merge_action"),
        NodeEnum::SubLink(link) => of_sub_link(link),
        NodeEnum::CaseExpr(case) => Some(of_case(case)),
        NodeEnum::AArrayExpr(_) => full("array"),
        NodeEnum::RowExpr(_) => full("row"),
        NodeEnum::CoalesceExpr(_) => full("coalesce"),
        NodeEnum::MinMaxExpr(expr) => full(if expr.op == MinMaxOp::IsGreatest as i32 { "greatest" } else { "least" }),
        NodeEnum::SqlvalueFunction(value) => full(of_value_function(value.op)?),
        NodeEnum::XmlExpr(xml) => full(of_xml(xml.op)?),
        NodeEnum::XmlSerialize(_) => full("xmlserialize"),
        NodeEnum::JsonParseExpr(_) => full("json"),
        NodeEnum::JsonScalarExpr(_) => full("json_scalar"),
        NodeEnum::JsonSerializeExpr(_) => full("json_serialize"),
        NodeEnum::JsonObjectConstructor(_) => full("json_object"),
        NodeEnum::JsonArrayConstructor(_) | NodeEnum::JsonArrayQueryConstructor(_) => full("json_array"),
        NodeEnum::JsonObjectAgg(_) => full("json_objectagg"),
        NodeEnum::JsonArrayAgg(_) => full("json_arrayagg"),
        NodeEnum::JsonFuncExpr(function) => full(of_json(function)?),
        _ => None,
    }
}

fn of_cast(cast: &TypeCast) -> Option<Name<'_>> {
    match cast.arg.as_deref().and_then(weighed) {
        None | Some(Name::Weak(_)) => cast.type_name.as_ref()?.names.last().and_then(word).map(Name::Weak),
        full => full,
    }
}

fn of_case(case: &CaseExpr) -> Name<'_> {
    match case.defresult.as_deref().and_then(weighed) {
        None | Some(Name::Weak(_)) => Name::Weak("case"),
        Some(full) => full,
    }
}

fn of_sub_link(link: &SubLink) -> Option<Name<'_>> {
    match SubLinkType::try_from(link.sub_link_type).ok()? {
        SubLinkType::ExistsSublink => Some(Name::Full("exists")),
        SubLinkType::ArraySublink => Some(Name::Full("array")),
        SubLinkType::ExprSublink => match link.subselect.as_deref()?.node.as_ref()? {
            NodeEnum::SelectStmt(select) => Some(of_select(select).map_or(Name::Unknown, Name::Full)),
            _ => Some(Name::Unknown),
        },
        _ => None,
    }
}

/// A sub-select is called what its only column is.
fn of_select(select: &SelectStmt) -> Option<&str> {
    let mut leftmost = select;
    while let Some(arm) = leftmost.larg.as_deref() {
        leftmost = arm;
    }
    if !leftmost.values_lists.is_empty() {
        return Some("column1");
    }
    match leftmost.target_list.first()?.node.as_ref()? {
        NodeEnum::ResTarget(target) if !target.name.is_empty() => Some(&target.name),
        NodeEnum::ResTarget(target) => match target.val.as_deref()?.node.as_ref()? {
            NodeEnum::ColumnRef(reference) if ends_in_star(&reference.fields).is_some() => None,
            _ => of(target.val.as_deref()?),
        },
        _ => None,
    }
}

fn of_value_function(op: i32) -> Option<&'static str> {
    Some(match SqlValueFunctionOp::try_from(op).ok()? {
        SqlValueFunctionOp::SvfopCurrentDate => "current_date",
        SqlValueFunctionOp::SvfopCurrentTime | SqlValueFunctionOp::SvfopCurrentTimeN => "current_time",
        SqlValueFunctionOp::SvfopCurrentTimestamp | SqlValueFunctionOp::SvfopCurrentTimestampN => "current_timestamp",
        SqlValueFunctionOp::SvfopLocaltime | SqlValueFunctionOp::SvfopLocaltimeN => "localtime",
        SqlValueFunctionOp::SvfopLocaltimestamp | SqlValueFunctionOp::SvfopLocaltimestampN => "localtimestamp",
        SqlValueFunctionOp::SvfopCurrentRole => "current_role",
        SqlValueFunctionOp::SvfopCurrentUser => "current_user",
        SqlValueFunctionOp::SvfopUser => "user",
        SqlValueFunctionOp::SvfopSessionUser => "session_user",
        SqlValueFunctionOp::SvfopCurrentCatalog => "current_catalog",
        SqlValueFunctionOp::SvfopCurrentSchema => "current_schema",
        SqlValueFunctionOp::SqlvalueFunctionOpUndefined => return None,
    })
}

fn of_xml(op: i32) -> Option<&'static str> {
    Some(match XmlExprOp::try_from(op).ok()? {
        XmlExprOp::IsXmlconcat => "xmlconcat",
        XmlExprOp::IsXmlelement => "xmlelement",
        XmlExprOp::IsXmlforest => "xmlforest",
        XmlExprOp::IsXmlparse => "xmlparse",
        XmlExprOp::IsXmlpi => "xmlpi",
        XmlExprOp::IsXmlroot => "xmlroot",
        XmlExprOp::IsXmlserialize => "xmlserialize",
        XmlExprOp::IsDocument | XmlExprOp::Undefined => return None,
    })
}

fn of_json(function: &JsonFuncExpr) -> Option<&'static str> {
    Some(match JsonExprOp::try_from(function.op).ok()? {
        JsonExprOp::JsonExistsOp => "json_exists",
        JsonExprOp::JsonQueryOp => "json_query",
        JsonExprOp::JsonValueOp => "json_value",
        JsonExprOp::JsonTableOp | JsonExprOp::Undefined => return None,
    })
}
