//! WITH clauses.

use super::Walk;
use super::column::names;
use super::recursion::Recursion;
use super::scope::{CommonTable, Rows, State};
use super::value::{Column, Kind, Value};
use belay_model::{Code, Effect};
use pg_query::NodeEnum;
use pg_query::protobuf::{CommonTableExpr, CteCycleClause, CteSearchClause, Node, WithClause};
use std::rc::Rc;

impl<'a> Walk<'a> {
    /// The expressions of a WITH clause. Their names stay visible until the caller's scope ends.
    ///
    /// Without RECURSIVE an expression sees the ones before it; with RECURSIVE it sees all, itself included.
    pub(super) fn with(&mut self, clause: Option<&'a WithClause>) {
        let Some(WithClause { ctes, recursive, location: _ }) = clause else { return };
        let named: Vec<&'a CommonTableExpr> = ctes
            .iter()
            .filter_map(|node| match &node.node {
                Some(NodeEnum::CommonTableExpr(expression)) => Some(expression.as_ref()),
                _ => None,
            })
            .collect();
        if named.len() != ctes.len() {
            self.not_understood();
        }
        let level = self.scopes.len().saturating_sub(1);
        if *recursive {
            for expression in &named {
                self.see(level, expression, State::Unread(expression));
            }
            for place in 0..named.len() {
                self.read_table(level, place);
            }
            return;
        }
        for expression in named {
            let rows = self.common_table(expression, None);
            self.see(level, expression, State::Read(rows));
        }
    }

    fn see(&mut self, level: usize, expression: &'a CommonTableExpr, state: State<'a>) {
        if let Some(scope) = self.scopes.get_mut(level) {
            scope.tables.push(CommonTable { name: &expression.ctename, state });
        }
    }

    /// The columns of the common table expression that `name` means here, if it means one.
    pub(super) fn common_table_named(&mut self, name: &str) -> Option<Rc<Rows<'a>>> {
        let (level, place) = self.scopes.iter().enumerate().rev().find_map(|(level, scope)| {
            scope.tables.iter().rposition(|table| table.name == name).map(|place| (level, place))
        })?;
        self.read_table(level, place);
        match self.scopes.get(level)?.tables.get(place)?.state.clone() {
            State::Read(rows) | State::Reading(Some(rows)) => Some(rows),
            State::Unread(_) | State::Reading(None) => {
                let because = format!("{name} refers to itself in a way that Belay does not follow");
                self.findings.raise(Effect::Opaque, Some(Code::Opaque), because);
                Some(Rc::new(Rows { columns: Vec::new(), open: true }))
            }
        }
    }

    /// Reads an expression of WITH RECURSIVE, if that has not been done: one may refer to a later one.
    fn read_table(&mut self, level: usize, place: usize) {
        let Some(State::Unread(expression)) = self.state(level, place).cloned() else { return };
        self.set_state(level, place, State::Reading(None));
        // It sees what its WITH clause sees, wherever it is referred to from.
        let inner = self.scopes.split_off((level + 1).min(self.scopes.len()));
        let hidden = self.scopes.get_mut(level).map(|scope| std::mem::replace(&mut scope.hidden, true));
        let rows = self.common_table(expression, Some((level, place)));
        if let (Some(scope), Some(hidden)) = (self.scopes.get_mut(level), hidden) {
            scope.hidden = hidden;
        }
        self.scopes.extend(inner);
        self.set_state(level, place, State::Read(rows));
    }

    fn state(&self, level: usize, place: usize) -> Option<&State<'a>> {
        self.scopes.get(level)?.tables.get(place).map(|table| &table.state)
    }

    pub(super) fn set_state(&mut self, level: usize, place: usize, state: State<'a>) {
        if let Some(table) = self.scopes.get_mut(level).and_then(|scope| scope.tables.get_mut(place)) {
            table.state = state;
        }
    }

    /// One expression. `own` is where it stands itself, where it can refer to itself.
    fn common_table(&mut self, expression: &'a CommonTableExpr, own: Option<(usize, usize)>) -> Rc<Rows<'a>> {
        let CommonTableExpr {
            ctename: _,
            aliascolnames,
            ctematerialized: _,
            ctequery,
            search_clause,
            cycle_clause,
            location: _,
            cterecursive: _,
            cterefcount: _,
            ctecolnames: _,
            ctecoltypes: _,
            ctecoltypmods: _,
            ctecolcollations: _,
        } = expression;
        let aliases = names(aliascolnames);
        let mut rows = match (ctequery.as_ref().and_then(|node| node.node.as_ref()), own) {
            (Some(NodeEnum::SelectStmt(select)), Some((level, place))) if select.larg.is_some() => {
                self.recursive(select, &Recursion { level, place, names: &aliases, round: self.next_round() })
            }
            (Some(kind), _) => self.inner_query(kind),
            (None, _) => Rows::default(),
        };
        rename(&mut rows, &aliases);
        if let Some(CteSearchClause { search_col_list, search_breadth_first: _, search_seq_column, location: _ }) =
            search_clause
        {
            // The column that is added holds their values.
            self.compute_named(&rows, search_col_list);
            rows.columns.push(Column { name: Some(search_seq_column), value: Value::of(Kind::Any) });
        }
        if let Some(cycle) = cycle_clause {
            self.cycle(cycle, &mut rows);
        }
        Rc::new(rows)
    }

    fn cycle(&mut self, cycle: &'a CteCycleClause, rows: &mut Rows<'a>) {
        let CteCycleClause {
            cycle_col_list,
            cycle_mark_column,
            cycle_mark_value,
            cycle_mark_default,
            cycle_path_column,
            location: _,
            cycle_mark_type: _,
            cycle_mark_typmod: _,
            cycle_mark_collation: _,
            cycle_mark_neop: _,
        } = cycle;
        self.all_of([cycle_mark_value, cycle_mark_default]);
        self.compute_named(rows, cycle_col_list);
        for name in [cycle_mark_column, cycle_path_column] {
            rows.columns.push(Column { name: Some(name), value: Value::of(Kind::Any) });
        }
    }

    fn compute_named(&mut self, rows: &Rows<'a>, list: &'a [Node]) {
        let listed = names(list);
        for column in rows.columns.iter().filter(|column| column.name.is_some_and(|name| listed.contains(&name))) {
            self.compute(&column.value);
        }
    }
}

pub(super) fn rename<'a>(rows: &mut Rows<'a>, names: &[&'a str]) {
    for (column, name) in rows.columns.iter_mut().zip(names) {
        column.name = Some(name);
    }
}
