//! What stands in FROM: tables, sub-selects, functions, joins.

use super::column::names;
use super::scope::{Item, Rows, Source, SourceKind};
use super::value::{Column, Kind, Value};
use super::{Walk, word};
use crate::catalog::rows::{RelationKind, RelationRow};
use crate::classify::{uses, withheld};
use belay_model::{Effect, Via};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    Alias, ColumnDef, JoinExpr, Node, RangeFunction, RangeSubselect, RangeTableFunc, RangeTableFuncCol,
    RangeTableSample, RangeVar,
};
use std::rc::Rc;

impl<'a> Walk<'a> {
    /// One item of FROM. Its sources can be seen from now on.
    pub(super) fn source_item(&mut self, node: &'a Node) -> Item<'a> {
        match &node.node {
            Some(NodeEnum::RangeVar(table)) => self.table(table),
            Some(NodeEnum::JoinExpr(join)) => self.join(join),
            Some(NodeEnum::RangeSubselect(inner)) => {
                let RangeSubselect { lateral, subquery, alias } = inner.as_ref();
                let rows = self.apart(*lateral, |walk| match subquery.as_ref().and_then(|node| node.node.as_ref()) {
                    Some(kind) => walk.inner_query(kind),
                    None => Rows::default(),
                });
                self.derived(alias.as_ref(), rows)
            }
            Some(NodeEnum::RangeFunction(function)) => self.function_source(function),
            Some(NodeEnum::RangeTableSample(sample)) => {
                let RangeTableSample { relation, method, args, repeatable, location: _ } = sample.as_ref();
                self.sampled(method);
                self.optional(repeatable.as_deref());
                self.nodes(args);
                match relation.as_deref() {
                    Some(relation) => self.source_item(relation),
                    None => self.derived(None, Rows::default()),
                }
            }
            Some(NodeEnum::RangeTableFunc(table)) => self.xml_table(table),
            Some(NodeEnum::JsonTable(table)) => {
                self.json_table(table);
                self.derived(table.alias.as_ref(), Rows { columns: Vec::new(), open: true })
            }
            _ => {
                self.not_understood();
                self.derived(None, Rows { columns: Vec::new(), open: true })
            }
        }
    }

    /// Looks at something that sees its neighbours in FROM only where it is lateral.
    pub(super) fn apart<T>(&mut self, lateral: bool, work: impl FnOnce(&mut Walk<'a>) -> T) -> T {
        let hide = |walk: &mut Walk<'a>, hidden| match walk.scopes.last_mut() {
            Some(scope) => std::mem::replace(&mut scope.hidden, hidden),
            None => hidden,
        };
        if lateral {
            return work(self);
        }
        let before = hide(self, true);
        let done = work(self);
        hide(self, before);
        done
    }

    /// A name in FROM is a common table expression's where one is visible, else a relation's.
    fn table(&mut self, table: &'a RangeVar) -> Item<'a> {
        let alias = table.alias.as_ref();
        if table.schemaname.is_empty()
            && let Some(rows) = self.common_table_named(&table.relname)
        {
            let name = alias.map_or(table.relname.as_str(), |alias| &alias.aliasname);
            return self.push(Some(name), None, SourceKind::Rows(renamed(rows, alias)));
        }
        let name = alias.map_or(table.relname.as_str(), |alias| &alias.aliasname);
        let kind = if let Some((relation, uses)) = self.relation(table) {
            let names = alias.map(|alias| names(&alias.colnames)).unwrap_or_default();
            SourceKind::Table { relation, uses, names }
        } else {
            SourceKind::Rows(Rc::new(Rows { columns: Vec::new(), open: true }))
        };
        let schema = match &kind {
            SourceKind::Table { relation, .. } => Some(relation.schema.as_str()),
            SourceKind::Rows(_) => Some(table.schemaname.as_str()).filter(|schema| !schema.is_empty()),
        };
        self.push(Some(name), schema.filter(|_| alias.is_none()), kind)
    }

    /// The relation that is named, and where its use is noted; none without a catalog, or where it does not have it.
    pub(super) fn relation(&mut self, table: &'a RangeVar) -> Option<(&'a RelationRow, Option<usize>)> {
        self.named_relation(table, table.inh)
    }

    fn named_relation(&mut self, table: &'a RangeVar, inherited: bool) -> Option<(&'a RelationRow, Option<usize>)> {
        let RangeVar { catalogname: _, schemaname, relname, inh: _, relpersistence: _, alias: _, location: _ } = table;
        let Some(known) = self.context.catalog else {
            self.withheld(schemaname, relname);
            self.findings.relation(table);
            return None;
        };
        let found = match (schemaname.as_str(), self.path) {
            ("", Some(path)) => path.schemas().find_map(|schema| known.relation(schema, relname)),
            (schema, _) => known.relation(schema, relname),
        };
        let Some(relation) = found.filter(|relation| relation.kind != RelationKind::Other) else {
            self.withheld(schemaname, relname);
            self.findings.relation(table);
            let dot = if schemaname.is_empty() { "" } else { "." };
            self.unknown_name("table", &format!("{schemaname}{dot}{relname}"));
            return None;
        };
        self.withheld(&relation.schema, relname);
        let shown = match self.via(relation) {
            Via::Filtered => uses::behind(known, relation).unwrap_or(relation),
            _ => relation,
        };
        self.findings.named(Some(shown.schema.clone()), shown.name.clone());
        let uses = self.note_relation(relation, inherited);
        Some((relation, uses))
    }

    /// A table whose rows are copied out or in, by these columns or all.
    pub(in crate::classify) fn copied(&mut self, table: &'a RangeVar, columns: &'a [Node]) {
        // COPY leaves out what inherits from the table.
        let Some((relation, Some(uses))) = self.named_relation(table, false) else { return };
        let listed = names(columns);
        for (place, column) in relation.columns.iter().enumerate() {
            if listed.is_empty() || listed.contains(&column.name.as_str()) {
                self.uses.compute(uses, place);
                self.touch_type(column.type_id);
            }
        }
    }

    /// A table that is locked.
    pub(in crate::classify) fn locked(&mut self, table: &'a RangeVar) {
        self.relation(table);
    }

    pub(super) fn via(&self, relation: &RelationRow) -> Via {
        if relation.kind == RelationKind::Foreign {
            Via::Foreign
        } else if relation.kind == RelationKind::View && relation.schema == self.context.place.role {
            Via::Filtered
        } else {
            Via::Named
        }
    }

    fn withheld(&mut self, schema: &str, name: &str) {
        if let Some(why) = withheld::why(schema, name) {
            self.findings.raise(Effect::Privilege, None, format!("reads {name}, which {why}"));
        }
    }

    fn join(&mut self, join: &'a JoinExpr) -> Item<'a> {
        let JoinExpr { jointype: _, is_natural, larg, rarg, using_clause, join_using_alias, quals, alias, rtindex: _ } =
            join;
        let start = self.scopes.last().map_or(0, |scope| scope.sources.len());
        let (Some(larg), Some(rarg)) = (larg.as_deref(), rarg.as_deref()) else {
            self.not_understood();
            return self.derived(None, Rows { columns: Vec::new(), open: true });
        };
        let left = Box::new(self.source_item(larg));
        let right = Box::new(self.source_item(rarg));
        let merged = if *is_natural { self.common_names(&left, &right) } else { names(using_clause) };
        if *is_natural {
            self.compute_what_may_be_common(&left, &right);
        }
        let mut columns = Vec::new();
        for name in &merged {
            let value = self.merged_column(&left, &right, name);
            self.compute(&value);
            columns.push(Column { name: Some(name), value });
        }
        self.only_from(start, |walk| walk.optional(quals.as_deref()));
        let item = Item::Join { left, right, merged };
        if let Some(alias) = join_using_alias {
            let rows = Rc::new(Rows { columns, open: false });
            self.push(Some(&alias.aliasname), None, SourceKind::Rows(rows));
        }
        match alias {
            // The names inside cannot be seen from outside any more.
            Some(_) => {
                let (columns, open) = self.expand(&item);
                if let Some(scope) = self.scopes.last_mut() {
                    scope.sources.truncate(start);
                }
                self.derived(alias.as_ref(), Rows { columns, open })
            }
            None => item,
        }
    }

    /// Conditions of a join see what is joined, and none of its neighbours.
    fn only_from(&mut self, start: usize, work: impl FnOnce(&mut Walk<'a>)) {
        let Some(scope) = self.scopes.last_mut() else { return };
        let own = scope.sources.split_off(start);
        let neighbours = std::mem::replace(&mut scope.sources, own);
        work(self);
        if let Some(scope) = self.scopes.last_mut() {
            let own = std::mem::replace(&mut scope.sources, neighbours);
            scope.sources.extend(own);
        }
    }

    fn common_names(&self, left: &Item<'a>, right: &Item<'a>) -> Vec<&'a str> {
        let (left, _) = self.expand(left);
        let (right, _) = self.expand(right);
        let names = left.iter().filter_map(|column| column.name);
        names.filter(|name| right.iter().any(|column| column.name == Some(name))).collect()
    }

    /// A function may give columns by any names: then any column of the other side may be compared with one.
    fn compute_what_may_be_common(&mut self, left: &Item<'a>, right: &Item<'a>) {
        for (side, other) in [(left, right), (right, left)] {
            if self.expand(side).1 {
                for column in self.expand(other).0 {
                    self.note(&column.value);
                    self.compute(&column.value);
                }
            }
        }
    }

    fn merged_column(&self, left: &Item<'a>, right: &Item<'a>, name: &str) -> Value {
        let sides = [left, right].into_iter().flat_map(|side| self.expand(side).0);
        let values = sides.filter(|column| column.name == Some(name)).map(|column| column.value);
        values.reduce(|all, one| all.and(&one)).unwrap_or_default()
    }

    /// The columns of an item in the order of `*`, and whether there may be more.
    fn expand(&self, item: &Item<'a>) -> (Vec<Column<'a>>, bool) {
        match item {
            Item::Source(place) => {
                let source = self.scopes.last().and_then(|scope| scope.sources.get(*place));
                source.map_or((Vec::new(), true), Source::all)
            }
            Item::Join { left, right, merged } => {
                let ((left, open), (right, also_open)) = (self.expand(left), self.expand(right));
                let is_merged = |column: &Column<'a>| column.name.is_some_and(|name| merged.contains(&name));
                let mut columns: Vec<Column<'a>> = Vec::with_capacity(left.len() + right.len());
                for name in merged {
                    let both = left.iter().chain(&right).filter(|column| column.name == Some(name));
                    let value = both.map(|column| column.value.clone()).reduce(|all, one| all.and(&one));
                    columns.push(Column { name: Some(name), value: value.unwrap_or_default() });
                }
                columns.extend(left.into_iter().chain(right).filter(|column| !is_merged(column)));
                (columns, open || also_open)
            }
        }
    }

    /// Everything in FROM, as `*` has it.
    pub(super) fn everything(&self) -> (Vec<Column<'a>>, bool) {
        let Some(scope) = self.scopes.last() else { return (Vec::new(), false) };
        let mut all = (Vec::new(), false);
        for item in &scope.items {
            let (columns, open) = self.expand(item);
            all.0.extend(columns);
            all.1 |= open;
        }
        all
    }

    fn function_source(&mut self, function: &'a RangeFunction) -> Item<'a> {
        let RangeFunction { lateral: _, ordinality: _, is_rowsfrom: _, functions, alias, coldeflist } = function;
        for node in functions {
            match &node.node {
                Some(NodeEnum::List(list)) => {
                    for part in &list.items {
                        match &part.node {
                            // The columns of `ROWS FROM (f() AS (a int))`.
                            Some(NodeEnum::List(columns)) => self.column_definitions(&columns.items),
                            _ => self.node(part),
                        }
                    }
                }
                _ => self.node(node),
            }
        }
        self.column_definitions(coldeflist);
        let mut columns: Vec<Column<'a>> = coldeflist
            .iter()
            .filter_map(|node| match &node.node {
                Some(NodeEnum::ColumnDef(column)) => Some(made(&column.colname)),
                _ => None,
            })
            .collect();
        if columns.is_empty() {
            columns = alias.iter().flat_map(|alias| names(&alias.colnames)).map(made).collect();
        }
        let name = alias.as_ref().map(|alias| alias.aliasname.as_str()).or_else(|| function_name(functions));
        let rows = Rows { columns, open: coldeflist.is_empty() };
        self.push(name, None, SourceKind::Rows(Rc::new(rows)))
    }

    fn column_definitions(&mut self, nodes: &'a [Node]) {
        for node in nodes {
            match &node.node {
                Some(NodeEnum::ColumnDef(column)) => self.column_definition(column),
                None => {}
                Some(_) => self.not_understood(),
            }
        }
    }

    /// A column of `AS t(a int, b text)`: only a name and a type can be written there.
    fn column_definition(&mut self, column: &'a ColumnDef) {
        self.type_name(column.type_name.as_ref());
        self.all_of([&column.raw_default, &column.cooked_default]);
        if !column.constraints.is_empty() {
            self.not_understood();
        }
    }

    fn xml_table(&mut self, table: &'a RangeTableFunc) -> Item<'a> {
        let RangeTableFunc { lateral: _, docexpr, rowexpr, namespaces, columns, alias, location: _ } = table;
        self.all_of([docexpr, rowexpr]);
        self.nodes(namespaces);
        let mut rows = Rows::default();
        for node in columns {
            let Some(NodeEnum::RangeTableFuncCol(column)) = &node.node else {
                self.not_understood();
                continue;
            };
            let RangeTableFuncCol {
                colname,
                type_name,
                for_ordinality: _,
                is_not_null: _,
                colexpr,
                coldefexpr,
                location: _,
            } = column.as_ref();
            self.type_name(type_name.as_ref());
            self.all_of([colexpr, coldefexpr]);
            rows.columns.push(made(colname));
        }
        self.derived(alias.as_ref(), rows)
    }

    /// Rows with an alias, or without a name.
    pub(super) fn derived(&mut self, alias: Option<&'a Alias>, rows: Rows<'a>) -> Item<'a> {
        let name = alias.map(|alias| alias.aliasname.as_str());
        self.push(name, None, SourceKind::Rows(renamed(Rc::new(rows), alias)))
    }

    fn push(&mut self, name: Option<&'a str>, schema: Option<&'a str>, kind: SourceKind<'a>) -> Item<'a> {
        let Some(scope) = self.scopes.last_mut() else { return Item::Source(0) };
        scope.sources.push(Source { name, schema, kind });
        Item::Source(scope.sources.len() - 1)
    }
}

fn made(name: &str) -> Column<'_> {
    Column { name: Some(name), value: Value::of(Kind::Any) }
}

/// An alias may give new names to the first columns.
fn renamed<'a>(rows: Rc<Rows<'a>>, alias: Option<&'a Alias>) -> Rc<Rows<'a>> {
    let names = alias.map(|alias| names(&alias.colnames)).unwrap_or_default();
    if names.is_empty() {
        return rows;
    }
    let mut rows = Rows::clone(&rows);
    for (place, name) in names.into_iter().enumerate() {
        match rows.columns.get_mut(place) {
            Some(column) => column.name = Some(name),
            None => rows.columns.push(made(name)),
        }
    }
    Rc::new(rows)
}

/// A function in FROM is called by its own name where it has no alias.
fn function_name(functions: &[Node]) -> Option<&str> {
    let Some(NodeEnum::List(list)) = functions.first().and_then(|node| node.node.as_ref()) else { return None };
    match list.items.first().and_then(|node| node.node.as_ref()) {
        Some(NodeEnum::FuncCall(call)) => call.funcname.last().and_then(word),
        _ => None,
    }
}
