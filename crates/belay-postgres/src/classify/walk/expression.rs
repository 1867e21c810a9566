//! Expressions.

use super::{Walk, words};
use belay_model::{Code, Effect};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    AArrayExpr, AExpr, AIndices, AIndirection, BoolExpr, BooleanTest, CaseExpr, CaseWhen, CoalesceExpr, CollateClause,
    CurrentOfExpr, GroupingFunc, GroupingSet, MergeSupportFunc, MinMaxExpr, MultiAssignRef, NamedArgExpr, Node,
    NullTest, ResTarget, RowExpr, SetToDefault, SortBy, SqlValueFunction, SubLink, TypeCast, TypeName, WindowDef,
    XmlExpr, XmlSerialize,
};

impl<'a> Walk<'a> {
    /// Anything that may stand in a statement that reads or changes rows.
    pub(super) fn expression(&mut self, kind: &'a NodeEnum) {
        match kind {
            // Names, values and places: nothing below them.
            NodeEnum::ColumnRef(_)
            | NodeEnum::ParamRef(_)
            | NodeEnum::AConst(_)
            | NodeEnum::AStar(_)
            | NodeEnum::String(_)
            | NodeEnum::Integer(_)
            | NodeEnum::Float(_)
            | NodeEnum::Boolean(_)
            | NodeEnum::BitString(_)
            | NodeEnum::JsonFormat(_)
            | NodeEnum::Alias(_) => {}
            NodeEnum::List(list) => self.nodes(&list.items),
            NodeEnum::FuncCall(call) => self.call(call),
            NodeEnum::AExpr(expr) => self.operation(expr),
            NodeEnum::BoolExpr(expr) => {
                let BoolExpr { xpr, boolop: _, args, location: _ } = expr.as_ref();
                self.optional(xpr.as_deref());
                self.nodes(args);
            }
            NodeEnum::SubLink(link) => self.sub_link(link),
            NodeEnum::TypeCast(cast) => {
                let TypeCast { arg, type_name, location: _ } = cast.as_ref();
                self.optional(arg.as_deref());
                self.type_name(type_name.as_ref());
            }
            NodeEnum::TypeName(name) => self.type_name(Some(name)),
            NodeEnum::SelectStmt(_)
            | NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_) => self.inner_query(kind),
            _ => self.special_form(kind),
        }
    }

    /// Expressions with a syntax of their own.
    fn special_form(&mut self, kind: &'a NodeEnum) {
        match kind {
            NodeEnum::CaseExpr(expr) => {
                let CaseExpr { xpr, casetype: _, casecollid: _, arg, args, defresult, location: _ } = expr.as_ref();
                self.all_of([xpr, arg, defresult]);
                self.nodes(args);
            }
            NodeEnum::CaseWhen(when) => {
                let CaseWhen { xpr, expr, result, location: _ } = when.as_ref();
                self.all_of([xpr, expr, result]);
            }
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
            NodeEnum::AArrayExpr(array) => {
                let AArrayExpr { elements, list_start: _, list_end: _, location: _ } = array;
                self.nodes(elements);
            }
            NodeEnum::RowExpr(row) => {
                let RowExpr { xpr, args, row_typeid: _, row_format: _, colnames, location: _ } = row.as_ref();
                self.optional(xpr.as_deref());
                self.nodes(args);
                self.nodes(colnames);
            }
            NodeEnum::AIndirection(indirection) => {
                let AIndirection { arg, indirection } = indirection.as_ref();
                self.optional(arg.as_deref());
                self.nodes(indirection);
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
                self.optional(node.as_deref());
                self.operator(use_op);
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
                self.optional(xpr.as_deref());
            }
            _ => self.source(kind),
        }
    }

    fn operation(&mut self, expr: &'a AExpr) {
        let AExpr { kind: _, name, lexpr, rexpr, rexpr_list_start: _, rexpr_list_end: _, location: _ } = expr;
        self.operator(name);
        self.all_of([lexpr, rexpr]);
    }

    fn sub_link(&mut self, link: &'a SubLink) {
        let SubLink { xpr, sub_link_type: _, sub_link_id: _, testexpr, oper_name, subselect, location: _ } = link;
        self.operator(oper_name);
        self.all_of([xpr, testexpr, subselect]);
    }

    /// An operator is a function by another name. Which function is for the target's catalog to say; that another
    /// schema's is meant can be read.
    pub(super) fn operator(&mut self, name: &'a [Node]) {
        match words(name).as_deref() {
            Some([] | [_] | ["pg_catalog", _]) => {}
            Some([schema, name]) => {
                let because = format!("uses the operator {schema}.{name}, which is not one of PostgreSQL's own");
                self.findings.raise(Effect::Opaque, Some(Code::UnknownFunction), because);
            }
            _ => self.not_understood(),
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

    pub(super) fn type_name(&mut self, name: Option<&'a TypeName>) {
        if let Some(name) = name {
            let TypeName {
                names: _,
                type_oid: _,
                setof: _,
                pct_type: _,
                typmods,
                typemod: _,
                array_bounds,
                location: _,
            } = name;
            self.nodes(typmods);
            self.nodes(array_bounds);
        }
    }

    pub(super) fn all_of<const N: usize>(&mut self, nodes: [&'a Option<Box<Node>>; N]) {
        for node in nodes {
            self.optional(node.as_deref());
        }
    }
}
