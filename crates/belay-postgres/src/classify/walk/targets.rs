//! Lists of a query: what it selects, sets, groups and orders by.

use super::column::ends_in_star;
use super::scope::{Item, Rows, Source, SourceKind};
use super::value::{Column, Kind, Value};
use super::{Walk, column_name, words};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    AIndirection, CoercionForm, GroupingSet, Node, RangeVar, ResTarget, ReturningOption, SortBy, a_const,
};
use std::rc::Rc;

impl<'a> Walk<'a> {
    /// The columns that a query gives.
    pub(super) fn targets(&mut self, nodes: &'a [Node]) -> Rows<'a> {
        let mut rows = Rows::default();
        for node in nodes {
            let Some(NodeEnum::ResTarget(target)) = &node.node else {
                self.not_understood();
                continue;
            };
            let ResTarget { name, indirection, val, location: _ } = target.as_ref();
            self.nodes(indirection);
            let Some(val) = val.as_deref() else { continue };
            match &val.node {
                Some(NodeEnum::ColumnRef(reference)) if ends_in_star(&reference.fields).is_some() => {
                    let before = ends_in_star(&reference.fields).map(|(_, before)| before).unwrap_or_default();
                    let (columns, open) = self.star(before);
                    rows.open |= open;
                    rows.columns.extend(columns);
                }
                Some(NodeEnum::AIndirection(indirection)) if is_whole_row(indirection) => {
                    self.node(val);
                    rows.open = true;
                }
                _ => {
                    let value = self.value(val);
                    let name = if name.is_empty() { column_name::of(val) } else { Some(name.as_str()) };
                    rows.columns.push(Column { name, value });
                }
            }
        }
        if rows.open {
            // Their places are not known.
            for column in &rows.columns {
                self.compute(&column.value);
            }
        }
        rows
    }

    pub(super) fn values_lists(&mut self, lists: &'a [Node]) -> Rows<'a> {
        self.nodes(lists);
        let width = match lists.first().and_then(|node| node.node.as_ref()) {
            Some(NodeEnum::List(list)) => list.items.len(),
            _ => 0,
        };
        let column = |place: usize| Column { name: VALUES.get(place).copied(), value: Value::of(Kind::Any) };
        Rows { columns: (0..width).map(column).collect(), open: false }
    }

    /// What a list of assignments makes of columns: `a = 1`, or the names of an INSERT.
    pub(super) fn assigned(&mut self, nodes: &'a [Node]) {
        for node in nodes {
            match &node.node {
                Some(NodeEnum::ResTarget(target)) => {
                    let ResTarget { name: _, indirection, val, location: _ } = target.as_ref();
                    self.nodes(indirection);
                    self.optional(val.as_deref());
                }
                _ => self.not_understood(),
            }
        }
    }

    /// DISTINCT compares all columns, DISTINCT ON its own.
    pub(super) fn distinct(&mut self, clause: &'a [Node], rows: &Rows<'a>) {
        for node in clause {
            if node.node.is_none() {
                for column in &rows.columns {
                    self.compute(&column.value);
                }
            } else {
                self.ordered_by(node, rows);
            }
        }
    }

    /// An expression of ORDER BY: a name that the query gives comes before its tables' columns.
    pub(super) fn ordered_by(&mut self, node: &'a Node, rows: &Rows<'a>) {
        let node = match &node.node {
            Some(NodeEnum::SortBy(sort)) => {
                let SortBy { node, sortby_dir: _, sortby_nulls: _, use_op, location: _ } = sort.as_ref();
                self.operator(use_op, [Kind::Any, Kind::Any]);
                match node.as_deref() {
                    Some(node) => node,
                    None => return,
                }
            }
            _ => node,
        };
        if let Some(name) = bare_name(node)
            && rows.columns.iter().any(|column| column.name == Some(name))
        {
            for column in rows.columns.iter().filter(|column| column.name == Some(name)) {
                self.compute(&column.value);
            }
            return;
        }
        self.by_place_or_value(node, rows);
    }

    /// An expression of GROUP BY: the tables' columns come before the names that the query gives.
    pub(super) fn grouped_by(&mut self, node: &'a Node, rows: &Rows<'a>) {
        if let Some(NodeEnum::GroupingSet(set)) = &node.node {
            let GroupingSet { kind: _, content, location: _ } = set;
            for node in content {
                self.grouped_by(node, rows);
            }
            return;
        }
        // `GROUP BY (a, 1)` is `GROUP BY a, 1`.
        if let Some(NodeEnum::RowExpr(row)) = &node.node
            && row.row_format == CoercionForm::CoerceImplicitCast as i32
        {
            for node in &row.args {
                self.grouped_by(node, rows);
            }
            return;
        }
        if let Some(name) = bare_name(node) {
            for column in rows.columns.iter().filter(|column| column.name == Some(name)) {
                self.compute(&column.value);
            }
            // Where no table has it, only the query's own name is meant.
            let given = rows.columns.iter().any(|column| column.name == Some(name));
            if given && !self.is_input(name) {
                return;
            }
        }
        self.by_place_or_value(node, rows);
    }

    fn by_place_or_value(&mut self, node: &'a Node, rows: &Rows<'a>) {
        if let Some(NodeEnum::AConst(constant)) = &node.node
            && let Some(a_const::Val::Ival(number)) = &constant.val
        {
            let place = usize::try_from(number.ival).ok().and_then(|number| number.checked_sub(1));
            if rows.columns.iter().any(|column| !column.value.is_made()) {
                self.findings.depends_on_a_literal();
            }
            if let Some(column) = place.and_then(|place| rows.columns.get(place)) {
                self.compute(&column.value);
            }
            return;
        }
        self.node(node);
    }

    /// A table that is changed.
    pub(super) fn changed_table(&mut self, target: &'a RangeVar) -> Item<'a> {
        let name = target.alias.as_ref().map_or(target.relname.as_str(), |alias| &alias.aliasname);
        let schema = (target.alias.is_none() && !target.schemaname.is_empty()).then_some(target.schemaname.as_str());
        let kind = match self.relation(target) {
            Some((relation, uses)) => SourceKind::Table { relation, uses, names: Vec::new() },
            None => SourceKind::Rows(Rc::new(Rows { columns: Vec::new(), open: true })),
        };
        self.add_source(Source { name: Some(name), schema, kind })
    }

    /// The row that an INSERT could not insert, with the table's columns.
    pub(super) fn excluded(&mut self, _target: Option<&'a RangeVar>) {
        let rows = Rc::new(Rows { columns: Vec::new(), open: true });
        self.add_source(Source { name: Some("excluded"), schema: None, kind: SourceKind::Rows(rows) });
    }

    /// `old` and `new` of RETURNING, also by other names.
    pub(super) fn old_and_new(&mut self, options: &'a [Node]) {
        let Some((uses, relation)) =
            self.scopes.last().and_then(|scope| scope.sources.first()).and_then(|source| match &source.kind {
                SourceKind::Table { relation, uses, .. } => Some((*uses, *relation)),
                SourceKind::Rows(_) => None,
            })
        else {
            return;
        };
        let named = options.iter().filter_map(|node| match &node.node {
            Some(NodeEnum::ReturningOption(option)) => {
                let ReturningOption { option: _, value, location: _ } = option;
                Some(value.as_str())
            }
            _ => None,
        });
        for name in ["old", "new"].into_iter().chain(named) {
            // A qualified name finds the first source that is called so: a table of that name stays what it is.
            let kind = SourceKind::Table { relation, uses, names: vec![""; 0] };
            self.add_source(Source { name: Some(name), schema: None, kind });
        }
    }

    fn add_source(&mut self, source: Source<'a>) -> Item<'a> {
        let Some(scope) = self.scopes.last_mut() else { return Item::Source(0) };
        scope.sources.push(source);
        Item::Source(scope.sources.len() - 1)
    }
}

/// What the columns of VALUES are called.
const VALUES: [&str; 16] = [
    "column1", "column2", "column3", "column4", "column5", "column6", "column7", "column8", "column9", "column10",
    "column11", "column12", "column13", "column14", "column15", "column16",
];

fn bare_name(node: &Node) -> Option<&str> {
    match &node.node {
        Some(NodeEnum::ColumnRef(reference)) => match words(&reference.fields)?[..] {
            [name] => Some(name),
            _ => None,
        },
        _ => None,
    }
}

/// `(something).*`
fn is_whole_row(indirection: &AIndirection) -> bool {
    indirection.indirection.last().is_some_and(|node| matches!(node.node, Some(NodeEnum::AStar(_))))
}
