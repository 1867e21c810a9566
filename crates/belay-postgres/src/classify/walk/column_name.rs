//! The name that a column of a result has where none is given.

use super::column::ends_in_star;
use super::word;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    AExprKind, CaseExpr, JsonExprOp, JsonFuncExpr, MinMaxOp, Node, SelectStmt, SqlValueFunctionOp, SubLink,
    SubLinkType, TypeCast, XmlExprOp,
};

/// The name, or none where the server makes one up that nothing can refer to.
pub(super) fn of(node: &Node) -> Option<&str> {
    weighed(node).map(|(name, _)| name)
}

/// How much a name counts: a cast's own gives way to what is cast.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Weak,
    Full,
}

fn weighed(node: &Node) -> Option<(&str, Weight)> {
    let full = |name| Some((name, Weight::Full));
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

fn of_cast(cast: &TypeCast) -> Option<(&str, Weight)> {
    let inner = cast.arg.as_deref().and_then(weighed);
    match inner {
        Some((_, Weight::Full)) => inner,
        _ => Some((cast.type_name.as_ref()?.names.last().and_then(word)?, Weight::Weak)),
    }
}

fn of_case(case: &CaseExpr) -> (&str, Weight) {
    match case.defresult.as_deref().and_then(weighed) {
        Some((name, Weight::Full)) => (name, Weight::Full),
        _ => ("case", Weight::Weak),
    }
}

fn of_sub_link(link: &SubLink) -> Option<(&str, Weight)> {
    let name = match SubLinkType::try_from(link.sub_link_type).ok()? {
        SubLinkType::ExistsSublink => "exists",
        SubLinkType::ArraySublink => "array",
        SubLinkType::ExprSublink => match link.subselect.as_deref()?.node.as_ref()? {
            NodeEnum::SelectStmt(select) => of_select(select)?,
            _ => return None,
        },
        _ => return None,
    };
    Some((name, Weight::Full))
}

/// A sub-select is called what its only column is.
fn of_select(select: &SelectStmt) -> Option<&str> {
    let mut leftmost = select;
    while let Some(arm) = leftmost.larg.as_deref() {
        leftmost = arm;
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
