//! Expressions.

use super::Walk;
use super::types::{BOOLEAN, kind_of};
use super::value::{Kind, Value};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    AArrayExpr, AExpr, AExprKind, AIndices, AIndirection, BoolExpr, BooleanTest, CaseExpr, CaseWhen, CoalesceExpr,
    CollateClause, CurrentOfExpr, GroupingFunc, GroupingSet, MergeSupportFunc, MinMaxExpr, MultiAssignRef,
    NamedArgExpr, Node, NullTest, ResTarget, RowExpr, SetToDefault, SortBy, SqlValueFunction, SubLink, SubLinkType,
    TypeCast, WindowDef, XmlExpr, XmlSerialize,
};

impl<'a> Walk<'a> {
    /// Anything that may stand in a statement that reads or changes rows. What is not a column itself is computed from
    /// whatever is in it.
    pub(super) fn expression(&mut self, kind: &'a NodeEnum) -> Value {
        match kind {
            NodeEnum::ColumnRef(reference) => return self.column_ref(reference),
            NodeEnum::AConst(constant) => return Value::of(kind_of(constant)),
            // Names, values and places: nothing below them.
            NodeEnum::ParamRef(_)
            | NodeEnum::AStar(_)
            | NodeEnum::String(_)
            | NodeEnum::Integer(_)
            | NodeEnum::Float(_)
            | NodeEnum::Boolean(_)
            | NodeEnum::BitString(_)
            | NodeEnum::JsonFormat(_)
            | NodeEnum::Alias(_) => {}
            NodeEnum::List(list) => self.nodes(&list.items),
            NodeEnum::AIndirection(indirection) => {
                let AIndirection { arg, indirection } = indirection.as_ref();
                return self.parts(arg.as_deref(), indirection);
            }
            NodeEnum::FuncCall(call) => return Value::of(self.call(call)),
            NodeEnum::AExpr(expr) => return Value::of(self.operation(expr)),
            NodeEnum::BoolExpr(expr) => {
                let BoolExpr { xpr, boolop: _, args, location: _ } = expr.as_ref();
                self.optional(xpr.as_deref());
                self.nodes(args);
                return Value::of(Kind::Of(BOOLEAN));
            }
            NodeEnum::AArrayExpr(array) => {
                let AArrayExpr { elements, list_start: _, list_end: _, location: _ } = array;
                return Value::of(self.array(elements));
            }
            NodeEnum::SubLink(link) => self.sub_link(link),
            NodeEnum::CaseExpr(expr) => return self.case(expr),
            NodeEnum::TypeCast(cast) => {
                let TypeCast { arg, type_name, location: _ } = cast.as_ref();
                let from = arg.as_deref().map(|arg| self.computed(arg)).unwrap_or_default();
                return Value::of(self.cast(from, type_name.as_ref()));
            }
            NodeEnum::TypeName(name) => self.type_name(Some(name)),
            NodeEnum::SelectStmt(_)
            | NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_) => self.computed_rows(kind),
            _ => self.special_form(kind),
        }
        Value::default()
    }

    /// An expression of which something is made; its type.
    pub(super) fn computed(&mut self, node: &'a Node) -> Kind {
        let value = self.value(node);
        self.compute(&value);
        value.kind
    }

    fn computed_rows(&mut self, kind: &'a NodeEnum) {
        let rows = self.inner_query(kind);
        for column in &rows.columns {
            self.compute(&column.value);
        }
    }

    /// Expressions with a syntax of their own.
    fn special_form(&mut self, kind: &'a NodeEnum) {
        match kind {
            NodeEnum::NullTest(test) => {
                let NullTest { xpr, arg, nulltesttype: _, argisrow: _, location: _ } = test.as_ref();
                self.all_of([xpr, arg]);
            }
            NodeEnum::BooleanTest(test) => {
                let BooleanTest { xpr, arg, booltesttype: _, location: _ } = test.as_ref();
                self.all_of([xpr, arg]);
            }
            NodeEnum::CollateClause(clause) => {
                let CollateClause { arg, collname: _, location: _ } = clause.as_ref();
                self.optional(arg.as_deref());
            }
            NodeEnum::NamedArgExpr(argument) => {
                let NamedArgExpr { xpr, arg, name: _, argnumber: _, location: _ } = argument.as_ref();
                self.all_of([xpr, arg]);
            }
            NodeEnum::CoalesceExpr(expr) => {
                let CoalesceExpr { xpr, coalescetype: _, coalescecollid: _, args, location: _ } = expr.as_ref();
                self.optional(xpr.as_deref());
                self.nodes(args);
            }
            NodeEnum::MinMaxExpr(expr) => {
                let MinMaxExpr { xpr, minmaxtype: _, minmaxcollid: _, inputcollid: _, op: _, args, location: _ } =
                    expr.as_ref();
                self.optional(xpr.as_deref());
                self.nodes(args);
            }
            NodeEnum::SqlvalueFunction(value) => {
                let SqlValueFunction { xpr, op: _, r#type: _, typmod: _, location: _ } = value.as_ref();
                self.optional(xpr.as_deref());
            }
            _ => self.composite(kind),
        }
    }

    /// Arrays, rows, fields, XML.
    fn composite(&mut self, kind: &'a NodeEnum) {
        match kind {
            NodeEnum::RowExpr(row) => {
                let RowExpr { xpr, args, row_typeid: _, row_format: _, colnames, location: _ } = row.as_ref();
                self.optional(xpr.as_deref());
                self.nodes(args);
                self.nodes(colnames);
            }
            NodeEnum::AIndices(indices) => {
                let AIndices { is_slice: _, lidx, uidx } = indices.as_ref();
                self.all_of([lidx, uidx]);
            }
            NodeEnum::XmlExpr(xml) => {
                let XmlExpr {
                    xpr,
                    op: _,
                    name: _,
                    named_args,
                    arg_names,
                    args,
                    xmloption: _,
                    indent: _,
                    r#type: _,
                    typmod: _,
                    location: _,
                } = xml.as_ref();
                self.optional(xpr.as_deref());
                self.nodes(named_args);
                self.nodes(arg_names);
                self.nodes(args);
            }
            NodeEnum::XmlSerialize(xml) => {
                let XmlSerialize { xmloption: _, expr, type_name, indent: _, location: _ } = xml.as_ref();
                self.optional(expr.as_deref());
                self.type_name(type_name.as_ref());
            }
            _ => self.list_item(kind),
        }
    }

    /// What stands in the lists of a query.
    fn list_item(&mut self, kind: &'a NodeEnum) {
        match kind {
            NodeEnum::ResTarget(target) => {
                let ResTarget { name: _, indirection, val, location: _ } = target.as_ref();
                self.nodes(indirection);
                self.optional(val.as_deref());
            }
            NodeEnum::MultiAssignRef(assignment) => {
                let MultiAssignRef { source, colno: _, ncolumns: _ } = assignment.as_ref();
                self.optional(source.as_deref());
            }
            NodeEnum::SortBy(sort) => {
                let SortBy { node, sortby_dir: _, sortby_nulls: _, use_op, location: _ } = sort.as_ref();
                let kind = node.as_deref().map(|node| self.computed(node)).unwrap_or_default();
                self.operator(use_op, [kind, kind]);
            }
            NodeEnum::WindowDef(window) => self.window(window),
            NodeEnum::GroupingSet(set) => {
                let GroupingSet { kind: _, content, location: _ } = set;
                self.nodes(content);
            }
            NodeEnum::GroupingFunc(grouping) => {
                let GroupingFunc { xpr, args, refs, agglevelsup: _, location: _ } = grouping.as_ref();
                self.optional(xpr.as_deref());
                self.nodes(args);
                self.nodes(refs);
            }
            NodeEnum::SetToDefault(default) => {
                let SetToDefault { xpr, type_id: _, type_mod: _, collation: _, location: _ } = default.as_ref();
                self.optional(xpr.as_deref());
            }
            NodeEnum::CurrentOfExpr(current) => {
                let CurrentOfExpr { xpr, cvarno: _, cursor_name: _, cursor_param: _ } = current.as_ref();
                self.optional(xpr.as_deref());
            }
            NodeEnum::MergeSupportFunc(action) => {
                let MergeSupportFunc { xpr, msftype: _, msfcollid: _, location: _ } = action.as_ref();
                self.may_call("merge_action");
                self.optional(xpr.as_deref());
            }
            _ => self.json(kind),
        }
    }

    /// It gives one of its results as it is; the target does not say which.
    fn case(&mut self, expr: &'a CaseExpr) -> Value {
        let CaseExpr { xpr, casetype: _, casecollid: _, arg, args, defresult, location: _ } = expr;
        self.optional(xpr.as_deref());
        let compared = arg.as_deref().map(|arg| self.computed(arg));
        let mut given = defresult.as_deref().map(|result| self.value(result)).unwrap_or_default();
        for node in args {
            match &node.node {
                Some(NodeEnum::CaseWhen(when)) => given = given.merge(&self.case_when(when, compared)),
                _ => self.not_understood(),
            }
        }
        given.kind = Kind::Any;
        given
    }

    /// `CASE value WHEN other` compares with an operator that is not written.
    fn case_when(&mut self, when: &'a CaseWhen, compared: Option<Kind>) -> Value {
        let CaseWhen { xpr, expr, result, location: _ } = when;
        self.optional(xpr.as_deref());
        let given = result.as_deref().map(|result| self.value(result)).unwrap_or_default();
        let other = expr.as_deref().map(|expr| self.computed(expr)).unwrap_or_default();
        if let Some(compared) = compared {
            self.operator_named(None, "=", [compared, other]);
        }
        given
    }

    fn operation(&mut self, expr: &'a AExpr) -> Kind {
        let AExpr { kind, name, lexpr, rexpr, rexpr_list_start: _, rexpr_list_end: _, location: _ } = expr;
        let left = lexpr.as_deref().map(|node| self.computed(node));
        let right = rexpr.as_deref().map(|node| self.computed(node)).unwrap_or_default();
        let kind = AExprKind::try_from(*kind).unwrap_or_default();
        // The right side is a list or an array, whose elements are compared.
        let right = if matches!(kind, AExprKind::AexprOp | AExprKind::AexprNullif) { right } else { Kind::Any };
        match left {
            // BETWEEN compares with operators that are not written.
            Some(left) if is_between(kind) => {
                for compared in ["<", "<=", ">", ">="] {
                    self.operator_named(None, compared, [left, Kind::Any]);
                }
                Kind::Of(BOOLEAN)
            }
            Some(left) => self.operator(name, [left, right]),
            None => self.prefix_operator(name, right),
        }
    }

    fn sub_link(&mut self, link: &'a SubLink) {
        let SubLink { xpr, sub_link_type, sub_link_id: _, testexpr, oper_name, subselect, location: _ } = link;
        self.optional(xpr.as_deref());
        let left = testexpr.as_deref().map(|node| self.computed(node)).unwrap_or_default();
        if testexpr.is_some() && oper_name.is_empty() {
            self.operator_named(None, "=", [left, Kind::Any]);
        }
        self.operator(oper_name, [left, Kind::Any]);
        match subselect.as_ref().and_then(|node| node.node.as_ref()) {
            // What EXISTS selects is never looked at.
            Some(kind) if *sub_link_type == SubLinkType::ExistsSublink as i32 => {
                self.inner_query(kind);
            }
            Some(kind) => self.computed_rows(kind),
            None => {}
        }
    }

    pub(super) fn window(&mut self, window: &'a WindowDef) {
        let WindowDef {
            name: _,
            refname: _,
            partition_clause,
            order_clause,
            frame_options: _,
            start_offset,
            end_offset,
            location: _,
        } = window;
        self.nodes(partition_clause);
        self.nodes(order_clause);
        self.all_of([start_offset, end_offset]);
    }

    pub(super) fn all_of<const N: usize>(&mut self, nodes: [&'a Option<Box<Node>>; N]) {
        for node in nodes {
            self.optional(node.as_deref());
        }
    }
}

fn is_between(kind: AExprKind) -> bool {
    matches!(
        kind,
        AExprKind::AexprBetween
            | AExprKind::AexprNotBetween
            | AExprKind::AexprBetweenSym
            | AExprKind::AexprNotBetweenSym
    )
}
