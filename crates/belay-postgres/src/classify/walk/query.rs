//! Queries: SELECT and the statements that change rows, with their WITH clauses.

use super::recursion::Recursion;
use super::scope::{Rows, Scope};
use super::value::{Column, Kind, Value};
use super::{Outcome, Walk, set_config, words};
use belay_model::{Code, Effect};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    DeleteStmt, IndexElem, InferClause, InsertStmt, IntoClause, LockingClause, MergeStmt, MergeWhenClause, Node,
    OnConflictClause, RangeVar, ReturningClause, SelectStmt, SetOperation, UpdateStmt,
};

impl<'a> Walk<'a> {
    /// A whole statement that reads or changes rows.
    pub(in crate::classify) fn query(&mut self, kind: &'a NodeEnum) -> Outcome<'a> {
        Outcome(self.rows(kind))
    }

    /// The query of a COPY, which may be a change too.
    pub(in crate::classify) fn copied_query(&mut self, kind: &'a NodeEnum) -> Outcome<'a> {
        Outcome(self.inner_query(kind))
    }

    /// A query inside another statement.
    pub(super) fn inner_query(&mut self, kind: &'a NodeEnum) -> Rows<'a> {
        if let Some(verb) = change(kind) {
            let because = format!("it holds {verb}");
            self.findings.raise(Effect::Write, Some(Code::WriteInReadOnly), because);
        }
        self.rows(kind)
    }

    /// A query, whose own effect the caller has seen to.
    fn rows(&mut self, kind: &'a NodeEnum) -> Rows<'a> {
        self.scopes.push(Scope::default());
        let mut rows = match kind {
            NodeEnum::SelectStmt(select) => self.select(select, None),
            NodeEnum::InsertStmt(insert) => self.insert(insert),
            NodeEnum::UpdateStmt(update) => self.update(update),
            NodeEnum::DeleteStmt(delete) => self.delete(delete),
            NodeEnum::MergeStmt(merge) => self.merge(merge),
            _ => {
                self.not_understood();
                Rows::default()
            }
        };
        self.scopes.pop();
        rows.settle();
        rows
    }

    /// A SELECT, in a scope of its own. It may be a common table expression that refers to itself.
    pub(super) fn select(&mut self, select: &'a SelectStmt, recursion: Option<&Recursion<'_, 'a>>) -> Rows<'a> {
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
            rarg: _,
        } = select;
        let outer_setting =
            std::mem::replace(&mut self.named_setting, named_setting(from_clause, where_clause.as_deref()));
        self.with(with_clause.as_ref());
        if let Some(into) = into_clause {
            self.into(into);
        }
        self.from(from_clause);
        let rows = if larg.is_some() {
            self.set_operation(select, recursion)
        } else if values_lists.is_empty() {
            self.targets(target_list)
        } else {
            self.values_lists(values_lists)
        };
        self.distinct(distinct_clause, &rows);
        for node in group_clause {
            self.grouped_by(node, &rows);
        }
        self.nodes(window_clause);
        for node in sort_clause {
            self.ordered_by(node, &rows);
        }
        self.all_of([where_clause, having_clause, limit_offset, limit_count]);
        for node in locking_clause {
            match &node.node {
                Some(NodeEnum::LockingClause(clause)) => self.locking(clause),
                _ => self.not_understood(),
            }
        }
        self.named_setting = outer_setting;
        rows
    }

    /// UNION, INTERSECT, EXCEPT.
    fn set_operation(&mut self, select: &'a SelectStmt, recursion: Option<&Recursion<'_, 'a>>) -> Rows<'a> {
        let first = self.arm(select.larg.as_deref());
        if let Some(recursion) = recursion {
            self.first_arm_is_known(recursion, &first);
        }
        let second = self.arm(select.rarg.as_deref());
        let appended = select.op == SetOperation::SetopUnion as i32 && select.all;
        if !appended {
            // Rows are compared.
            for column in first.columns.iter().chain(&second.columns) {
                self.compute(&column.value);
            }
        }
        let open = first.open || second.open;
        if open {
            // Which column meets which is not known.
            for column in first.columns.iter().chain(&second.columns) {
                self.compute(&column.value);
            }
            return Rows { columns: first.columns, open };
        }
        let pairs = first.columns.into_iter().zip(&second.columns);
        let columns =
            pairs.map(|(one, other)| Column { name: one.name, value: appended_values(one.value, &other.value) });
        Rows { columns: columns.collect(), open }
    }

    fn arm(&mut self, arm: Option<&'a SelectStmt>) -> Rows<'a> {
        let Some(arm) = arm else { return Rows::default() };
        self.scopes.push(Scope::default());
        let rows = self.select(arm, None);
        self.scopes.pop();
        rows
    }

    /// The items of FROM, seen by all that follows.
    pub(super) fn from(&mut self, nodes: &'a [Node]) {
        for node in nodes {
            let item = self.source_item(node);
            if let Some(scope) = self.scopes.last_mut() {
                scope.items.push(item);
            }
        }
    }

    /// SELECT INTO, on whatever arm of a UNION it stands.
    fn into(&mut self, into: &'a IntoClause) {
        if let Some(table) = &into.rel {
            self.findings.relation(table);
        }
        let because = "SELECT INTO makes a table".to_owned();
        self.findings.raise(Effect::Definition, Some(Code::Definition), because);
    }

    fn locking(&mut self, clause: &'a LockingClause) {
        // The names are aliases of what FROM holds.
        let LockingClause { locked_rels: _, strength: _, wait_policy: _ } = clause;
        let because = "its FOR UPDATE or FOR SHARE clause locks rows".to_owned();
        self.findings.raise(Effect::Write, Some(Code::WriteInReadOnly), because);
    }

    fn insert(&mut self, insert: &'a InsertStmt) -> Rows<'a> {
        let InsertStmt {
            relation,
            cols,
            select_stmt,
            on_conflict_clause,
            returning_clause,
            with_clause,
            r#override: _,
        } = insert;
        self.with(with_clause.as_ref());
        self.changed(relation.as_ref());
        if let Some(kind) = select_stmt.as_ref().and_then(|node| node.node.as_ref()) {
            // What is inserted cannot see the table that it goes into.
            let source = self.apart(false, |walk| walk.rows(kind));
            for column in &source.columns {
                self.compute(&column.value);
            }
        }
        self.assigned(cols);
        if let Some(conflict) = on_conflict_clause {
            self.on_conflict(conflict, relation.as_ref());
        }
        self.returning(returning_clause.as_ref())
    }

    /// The table that a statement changes, as a source of columns.
    fn changed(&mut self, relation: Option<&'a RangeVar>) {
        if let Some(target) = relation {
            let item = self.changed_table(target);
            if let Some(scope) = self.scopes.last_mut() {
                scope.items.push(item);
            }
        }
    }

    fn on_conflict(&mut self, conflict: &'a OnConflictClause, relation: Option<&'a RangeVar>) {
        let OnConflictClause { action: _, infer, target_list, where_clause, location: _ } = conflict;
        if let Some(infer) = infer {
            let InferClause { index_elems, where_clause, conname: _, location: _ } = infer.as_ref();
            for element in index_elems {
                match &element.node {
                    Some(NodeEnum::IndexElem(element)) => self.index_element(element),
                    _ => self.not_understood(),
                }
            }
            self.optional(where_clause.as_deref());
        }
        // The row that was to be inserted is called `excluded` here.
        self.excluded(relation);
        self.assigned(target_list);
        self.optional(where_clause.as_deref());
        if let Some(scope) = self.scopes.last_mut() {
            scope.sources.pop();
        }
    }

    fn index_element(&mut self, element: &'a IndexElem) {
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

    fn update(&mut self, update: &'a UpdateStmt) -> Rows<'a> {
        let UpdateStmt { relation, target_list, where_clause, from_clause, returning_clause, with_clause } = update;
        self.with(with_clause.as_ref());
        self.changed(relation.as_ref());
        self.from(from_clause);
        self.assigned(target_list);
        self.optional(where_clause.as_deref());
        self.returning(returning_clause.as_ref())
    }

    fn delete(&mut self, delete: &'a DeleteStmt) -> Rows<'a> {
        let DeleteStmt { relation, using_clause, where_clause, returning_clause, with_clause } = delete;
        self.with(with_clause.as_ref());
        self.changed(relation.as_ref());
        self.from(using_clause);
        self.optional(where_clause.as_deref());
        self.returning(returning_clause.as_ref())
    }

    fn merge(&mut self, merge: &'a MergeStmt) -> Rows<'a> {
        let MergeStmt { relation, source_relation, join_condition, merge_when_clauses, returning_clause, with_clause } =
            merge;
        self.with(with_clause.as_ref());
        self.changed(relation.as_ref());
        self.from(source_relation.as_deref().map(std::slice::from_ref).unwrap_or_default());
        self.optional(join_condition.as_deref());
        for node in merge_when_clauses {
            match &node.node {
                Some(NodeEnum::MergeWhenClause(clause)) => self.merge_when(clause),
                _ => self.not_understood(),
            }
        }
        self.returning(returning_clause.as_ref())
    }

    fn merge_when(&mut self, clause: &'a MergeWhenClause) {
        let MergeWhenClause { match_kind: _, command_type: _, r#override: _, condition, target_list, values } = clause;
        self.optional(condition.as_deref());
        self.assigned(target_list);
        self.nodes(values);
    }

    fn returning(&mut self, clause: Option<&'a ReturningClause>) -> Rows<'a> {
        let Some(ReturningClause { options, exprs }) = clause else { return Rows::default() };
        // What is made of OLD and NEW is made of the table's columns.
        self.old_and_new(options);
        self.targets(exprs)
    }
}

/// The values of two arms in one place: a literal becomes what the other arm has.
fn appended_values(one: Value, other: &Value) -> Value {
    let kind = match (one.kind, other.kind) {
        (Kind::Literal, kind) | (kind, Kind::Literal) => kind,
        (kind, other) if kind == other => kind,
        _ => Kind::Any,
    };
    let mut value = one.merge(other);
    value.kind = kind;
    value
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
    set_config::text(equals.rexpr.as_deref()?)
}
