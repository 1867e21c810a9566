//! Queries: SELECT and the statements that change rows, with their WITH clauses.

use super::{Walk, call, words};
use belay_model::{Code, Effect};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    CommonTableExpr, CteCycleClause, DeleteStmt, IndexElem, InferClause, InsertStmt, IntoClause, LockingClause,
    MergeStmt, MergeWhenClause, Node, OnConflictClause, ReturningClause, SelectStmt, UpdateStmt, WithClause,
};

impl<'a> Walk<'a> {
    /// A query inside another statement.
    pub(super) fn inner_query(&mut self, kind: &'a NodeEnum) {
        if let Some(verb) = change(kind) {
            let because = format!("it holds {verb}");
            self.findings.raise(Effect::Write, Some(Code::WriteInReadOnly), because);
        }
        self.query(kind);
    }

    /// A query, whose own effect the caller has seen to.
    pub(in crate::classify) fn query(&mut self, kind: &'a NodeEnum) {
        let scope = self.visible.len();
        match kind {
            NodeEnum::SelectStmt(select) => self.select(select),
            NodeEnum::InsertStmt(insert) => self.insert(insert),
            NodeEnum::UpdateStmt(update) => self.update(update),
            NodeEnum::DeleteStmt(delete) => self.delete(delete),
            NodeEnum::MergeStmt(merge) => self.merge(merge),
            _ => self.not_understood(),
        }
        self.visible.truncate(scope);
    }

    pub(in crate::classify) fn select(&mut self, select: &'a SelectStmt) {
        let SelectStmt {
            distinct_clause,
            into_clause,
            target_list,
            from_clause,
            where_clause,
            group_clause,
            group_distinct: _,
            having_clause,
            window_clause,
            values_lists,
            sort_clause,
            limit_offset,
            limit_count,
            limit_option: _,
            locking_clause,
            with_clause,
            op: _,
            all: _,
            larg,
            rarg,
        } = select;
        let scope = self.visible.len();
        let outer_setting =
            std::mem::replace(&mut self.named_setting, named_setting(from_clause, where_clause.as_deref()));
        self.with(with_clause.as_ref());
        if let Some(into) = into_clause {
            self.into(into);
        }
        for arm in [larg, rarg].into_iter().flatten() {
            self.select(arm);
        }
        self.nodes(from_clause);
        for list in [distinct_clause, target_list, group_clause, window_clause, values_lists, sort_clause] {
            self.nodes(list);
        }
        self.all_of([where_clause, having_clause, limit_offset, limit_count]);
        self.nodes(locking_clause);
        self.named_setting = outer_setting;
        self.visible.truncate(scope);
    }

    /// SELECT INTO, on whatever arm of a UNION it stands.
    fn into(&mut self, into: &'a IntoClause) {
        if let Some(table) = &into.rel {
            self.findings.relation(table);
        }
        let because = "SELECT INTO makes a table".to_owned();
        self.findings.raise(Effect::Definition, Some(Code::Definition), because);
    }

    pub(super) fn locking(&mut self, clause: &'a LockingClause) {
        // The names are aliases of what FROM holds.
        let LockingClause { locked_rels: _, strength: _, wait_policy: _ } = clause;
        let because = "its FOR UPDATE or FOR SHARE clause locks rows".to_owned();
        self.findings.raise(Effect::Write, Some(Code::WriteInReadOnly), because);
    }

    fn insert(&mut self, insert: &'a InsertStmt) {
        let InsertStmt {
            relation,
            cols,
            select_stmt,
            on_conflict_clause,
            returning_clause,
            with_clause,
            r#override: _,
        } = insert;
        if let Some(target) = relation {
            self.findings.relation(target);
        }
        self.with(with_clause.as_ref());
        self.nodes(cols);
        if let Some(kind) = select_stmt.as_ref().and_then(|node| node.node.as_ref()) {
            self.query(kind);
        }
        if let Some(conflict) = on_conflict_clause {
            self.on_conflict(conflict);
        }
        self.returning(returning_clause.as_ref());
    }

    fn on_conflict(&mut self, conflict: &'a OnConflictClause) {
        let OnConflictClause { action: _, infer, target_list, where_clause, location: _ } = conflict;
        if let Some(infer) = infer {
            let InferClause { index_elems, where_clause, conname: _, location: _ } = infer.as_ref();
            self.nodes(index_elems);
            self.optional(where_clause.as_deref());
        }
        self.nodes(target_list);
        self.optional(where_clause.as_deref());
    }

    pub(super) fn index_element(&mut self, element: &'a IndexElem) {
        let IndexElem {
            name: _,
            expr,
            indexcolname: _,
            collation: _,
            opclass: _,
            opclassopts,
            ordering: _,
            nulls_ordering: _,
        } = element;
        self.optional(expr.as_deref());
        self.nodes(opclassopts);
    }

    fn update(&mut self, update: &'a UpdateStmt) {
        let UpdateStmt { relation, target_list, where_clause, from_clause, returning_clause, with_clause } = update;
        if let Some(target) = relation {
            self.findings.relation(target);
        }
        self.with(with_clause.as_ref());
        self.nodes(target_list);
        self.nodes(from_clause);
        self.optional(where_clause.as_deref());
        self.returning(returning_clause.as_ref());
    }

    fn delete(&mut self, delete: &'a DeleteStmt) {
        let DeleteStmt { relation, using_clause, where_clause, returning_clause, with_clause } = delete;
        if let Some(target) = relation {
            self.findings.relation(target);
        }
        self.with(with_clause.as_ref());
        self.nodes(using_clause);
        self.optional(where_clause.as_deref());
        self.returning(returning_clause.as_ref());
    }

    fn merge(&mut self, merge: &'a MergeStmt) {
        let MergeStmt { relation, source_relation, join_condition, merge_when_clauses, returning_clause, with_clause } =
            merge;
        if let Some(target) = relation {
            self.findings.relation(target);
        }
        self.with(with_clause.as_ref());
        self.all_of([source_relation, join_condition]);
        self.nodes(merge_when_clauses);
        self.returning(returning_clause.as_ref());
    }

    pub(super) fn merge_when(&mut self, clause: &'a MergeWhenClause) {
        let MergeWhenClause { match_kind: _, command_type: _, r#override: _, condition, target_list, values } = clause;
        self.optional(condition.as_deref());
        self.nodes(target_list);
        self.nodes(values);
    }

    fn returning(&mut self, clause: Option<&'a ReturningClause>) {
        if let Some(clause) = clause {
            // The options only rename OLD and NEW.
            let ReturningClause { options: _, exprs } = clause;
            self.nodes(exprs);
        }
    }

    /// The expressions of a WITH clause. Their names stay visible until the caller's scope ends.
    ///
    /// Without RECURSIVE an expression sees the ones before it; with RECURSIVE it sees all, itself included.
    fn with(&mut self, clause: Option<&'a WithClause>) {
        let Some(WithClause { ctes, recursive, location: _ }) = clause else { return };
        let named = ctes.iter().filter_map(|node| match &node.node {
            Some(NodeEnum::CommonTableExpr(expression)) => Some(expression.as_ref()),
            _ => None,
        });
        if *recursive {
            self.visible.extend(named.clone().map(|expression| expression.ctename.as_str()));
        }
        if named.clone().count() != ctes.len() {
            self.not_understood();
        }
        for expression in named {
            self.common_table(expression);
            if !recursive {
                self.visible.push(&expression.ctename);
            }
        }
    }

    fn common_table(&mut self, expression: &'a CommonTableExpr) {
        let CommonTableExpr {
            ctename: _,
            aliascolnames: _,
            ctematerialized: _,
            ctequery,
            search_clause: _,
            cycle_clause,
            location: _,
            cterecursive: _,
            cterefcount: _,
            ctecolnames: _,
            ctecoltypes: _,
            ctecoltypmods: _,
            ctecolcollations: _,
        } = expression;
        self.optional(ctequery.as_deref());
        if let Some(cycle) = cycle_clause {
            let CteCycleClause {
                cycle_col_list: _,
                cycle_mark_column: _,
                cycle_mark_value,
                cycle_mark_default,
                cycle_path_column: _,
                location: _,
                cycle_mark_type: _,
                cycle_mark_typmod: _,
                cycle_mark_collation: _,
                cycle_mark_neop: _,
            } = cycle.as_ref();
            self.all_of([cycle_mark_value, cycle_mark_default]);
        }
    }
}

/// The verb of a statement that changes rows.
pub(in crate::classify) fn change(kind: &NodeEnum) -> Option<&'static str> {
    match kind {
        NodeEnum::InsertStmt(_) => Some("INSERT"),
        NodeEnum::UpdateStmt(_) => Some("UPDATE"),
        NodeEnum::DeleteStmt(_) => Some("DELETE"),
        NodeEnum::MergeStmt(_) => Some("MERGE"),
        _ => None,
    }
}

/// In `FROM pg_settings WHERE name = 'literal'`, what `name` holds: `pg_dump` sets a setting only where it exists.
fn named_setting<'a>(from: &'a [Node], condition: Option<&'a Node>) -> Option<&'a str> {
    let [Node { node: Some(NodeEnum::RangeVar(table)) }] = from else { return None };
    if table.relname != "pg_settings"
        || !matches!(table.schemaname.as_str(), "" | "pg_catalog")
        || table.alias.is_some()
    {
        return None;
    }
    let Some(NodeEnum::AExpr(equals)) = condition.and_then(|node| node.node.as_ref()) else { return None };
    let Some(NodeEnum::ColumnRef(column)) = equals.lexpr.as_ref().and_then(|node| node.node.as_ref()) else {
        return None;
    };
    let is_equality = equals.kind == pg_query::protobuf::AExprKind::AexprOp as i32
        && words(&equals.name).is_some_and(|name| matches!(name[..], ["="] | ["pg_catalog", "="]));
    let is_name = words(&column.fields).is_some_and(|name| matches!(name[..], ["name"] | ["pg_settings", "name"]));
    (is_equality && is_name).then_some(())?;
    call::text(equals.rexpr.as_deref()?)
}
