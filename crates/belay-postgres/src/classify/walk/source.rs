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
            let rows = self.renamed(rows, alias);
            return self.push(Some(name), None, SourceKind::Rows(rows));
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
        let (one, other) = (self.expand(&left), self.expand(&right));
        let merged = if *is_natural { common_names(&one, &other) } else { names(using_clause) };
        let vague = if *is_natural {
            self.compute_what_may_be_common(&one, &other)
        } else {
            merged.iter().any(|name| !one.names(name) || !other.names(name))
        };
        let columns = merged.iter().map(|name| self.merged(name, &one, &other)).collect();
        self.only_from(start, |walk| walk.optional(quals.as_deref()));
        let item = Item::Join { left, right, merged, vague };
        if let Some(alias) = join_using_alias {
            let rows = Rc::new(Rows { columns, open: false });
            self.push(Some(&alias.aliasname), None, SourceKind::Rows(rows));
        }
        match alias {
            // The names inside cannot be seen from outside any more.
            Some(_) => {
                let rows = self.expand(&item);
                if let Some(scope) = self.scopes.last_mut() {
                    scope.sources.truncate(start);
                }
                self.derived(alias.as_ref(), rows)
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

    /// The column that a name in USING stands for, both sides in one.
    fn merged(&mut self, name: &'a str, one: &Rows<'a>, other: &Rows<'a>) -> Column<'a> {
        let [left, right] = [one, other].map(|side| side.called(name).unwrap_or_default());
        self.operator_named(None, "=", [left.kind, right.kind]);
        let value = left.and(&right);
        self.compute(&value);
        Column { name: Some(name), value }
    }

    /// A function may give columns by any names: then any column of the other side may be compared with one.
    fn compute_what_may_be_common(&mut self, one: &Rows<'a>, other: &Rows<'a>) -> bool {
        let mut vague = false;
        for (side, other) in [(one, other), (other, one)] {
            let unknown = side.columns.iter().filter(|column| column.name.is_none());
            let mut kinds: Vec<Kind> = if side.open { vec![Kind::Any] } else { Vec::new() };
            for kind in unknown.map(|column| column.value.kind) {
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
            vague |= !kinds.is_empty();
            for (column, kind) in other.columns.iter().flat_map(|column| kinds.iter().map(move |kind| (column, *kind)))
            {
                self.note(&column.value);
                self.compute(&column.value);
                self.operator_named(None, "=", [column.value.kind, kind]);
            }
        }
        vague
    }

    /// The columns of an item in the order of `*`.
    fn expand(&self, item: &Item<'a>) -> Rows<'a> {
        match item {
            Item::Source(place) => {
                let source = self.scopes.last().and_then(|scope| scope.sources.get(*place));
                let (columns, open) = source.map_or((Vec::new(), true), Source::all);
                Rows { columns, open }
            }
            Item::Join { left, right, merged, vague } => {
                let (left, right) = (self.expand(left), self.expand(right));
                let open = left.open || right.open || *vague;
                let is_merged = |column: &Column<'a>| column.name.is_some_and(|name| merged.contains(&name));
                let mut columns: Vec<Column<'a>> = Vec::with_capacity(left.columns.len() + right.columns.len());
                for name in merged {
                    let both = left.called(name).into_iter().chain(right.called(name));
                    let value = both.reduce(|all, one| all.and(&one)).unwrap_or_default();
                    columns.push(Column { name: Some(name), value });
                }
                columns.extend(left.columns.into_iter().chain(right.columns).filter(|column| !is_merged(column)));
                Rows { columns, open }
            }
        }
    }

    /// Everything in FROM, as `*` has it.
    pub(super) fn everything(&self) -> (Vec<Column<'a>>, bool) {
        let Some(scope) = self.scopes.last() else { return (Vec::new(), false) };
        let mut all = (Vec::new(), false);
        for item in &scope.items {
            let rows = self.expand(item);
            all.0.extend(rows.columns);
            all.1 |= rows.open;
        }
        all
    }

    fn function_source(&mut self, function: &'a RangeFunction) -> Item<'a> {
        let RangeFunction { lateral: _, ordinality, is_rowsfrom: _, functions, alias, coldeflist } = function;
        let mut rows = Rows::default();
        for node in functions {
            let given = match &node.node {
                Some(NodeEnum::List(list)) => self.function_columns(&list.items),
                _ => self.function_columns(std::slice::from_ref(node)),
            };
            rows.open |= given.is_none();
            rows.columns.extend(given.unwrap_or_default());
        }
        if !coldeflist.is_empty() {
            rows = Rows { columns: self.defined_columns(coldeflist), open: false };
        }
        if *ordinality {
            rows.columns.push(made("ordinality"));
        }
        let name = alias.as_ref().map(|alias| alias.aliasname.as_str()).or_else(|| function_name(functions));
        let rows = self.renamed(Rc::new(rows), alias.as_ref());
        self.push(name, None, SourceKind::Rows(rows))
    }

    /// The columns that one function in FROM gives, where they can be counted.
    fn function_columns(&mut self, parts: &'a [Node]) -> Option<Vec<Column<'a>>> {
        let mut columns = None;
        for part in parts {
            match &part.node {
                // The columns of `ROWS FROM (f() AS (a int))`.
                Some(NodeEnum::List(list)) if !list.items.is_empty() => {
                    columns = Some(self.defined_columns(&list.items));
                }
                Some(NodeEnum::FuncCall(call)) if self.gives_one_column(call) => {
                    let kind = self.computed(part);
                    // It may be called as the alias is, or as the function says.
                    columns = Some(vec![Column { name: None, value: Value::of(kind) }]);
                }
                _ => self.node(part),
            }
        }
        columns
    }

    fn defined_columns(&mut self, nodes: &'a [Node]) -> Vec<Column<'a>> {
        self.column_definitions(nodes);
        let columns = nodes.iter().filter_map(|node| match &node.node {
            Some(NodeEnum::ColumnDef(column)) => Some(made(&column.colname)),
            _ => None,
        });
        columns.collect()
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
        let rows = self.renamed(Rc::new(rows), alias);
        self.push(name, None, SourceKind::Rows(rows))
    }

    /// An alias may give new names to the first columns. Where nobody knows which these are, it may name any.
    fn renamed(&mut self, rows: Rc<Rows<'a>>, alias: Option<&'a Alias>) -> Rc<Rows<'a>> {
        let names = alias.map(|alias| names(&alias.colnames)).unwrap_or_default();
        if names.is_empty() {
            return rows;
        }
        let mut rows = Rows::clone(&rows);
        if rows.open {
            for column in &rows.columns {
                self.note(&column.value);
                self.compute(&column.value);
            }
            rows.columns.splice(0..0, names.into_iter().map(made));
            return Rc::new(rows);
        }
        for (column, name) in rows.columns.iter_mut().zip(names) {
            column.name = Some(name);
        }
        Rc::new(rows)
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

fn common_names<'a>(one: &Rows<'a>, other: &Rows<'a>) -> Vec<&'a str> {
    one.columns.iter().filter_map(|column| column.name).filter(|name| other.names(name)).collect()
}

/// A function in FROM is called by its own name where it has no alias.
fn function_name(functions: &[Node]) -> Option<&str> {
    let Some(NodeEnum::List(list)) = functions.first().and_then(|node| node.node.as_ref()) else { return None };
    match list.items.first().and_then(|node| node.node.as_ref()) {
        Some(NodeEnum::FuncCall(call)) => call.funcname.last().and_then(word),
        _ => None,
    }
}
