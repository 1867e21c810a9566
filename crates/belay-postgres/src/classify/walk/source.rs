//! What stands in FROM: tables, sub-selects, functions, joins.

use super::Walk;
use crate::classify::catalog;
use belay_model::Effect;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    ColumnDef, JoinExpr, RangeFunction, RangeSubselect, RangeTableFunc, RangeTableFuncCol, RangeTableSample, RangeVar,
};

impl<'a> Walk<'a> {
    pub(super) fn source(&mut self, kind: &'a NodeEnum) {
        match kind {
            NodeEnum::RangeVar(table) => self.table(table),
            NodeEnum::RangeSubselect(inner) => {
                let RangeSubselect { lateral: _, subquery, alias: _ } = inner.as_ref();
                self.optional(subquery.as_deref());
            }
            NodeEnum::JoinExpr(join) => self.join(join),
            NodeEnum::RangeFunction(function) => {
                let RangeFunction { lateral: _, ordinality: _, is_rowsfrom: _, functions, alias: _, coldeflist } =
                    function;
                self.nodes(functions);
                self.nodes(coldeflist);
            }
            NodeEnum::ColumnDef(column) => self.column_definition(column),
            NodeEnum::RangeTableSample(sample) => {
                let RangeTableSample { relation, method, args, repeatable, location: _ } = sample.as_ref();
                self.sampled(method);
                self.all_of([relation, repeatable]);
                self.nodes(args);
            }
            NodeEnum::RangeTableFunc(table) => {
                let RangeTableFunc { lateral: _, docexpr, rowexpr, namespaces, columns, alias: _, location: _ } =
                    table.as_ref();
                self.all_of([docexpr, rowexpr]);
                self.nodes(namespaces);
                self.nodes(columns);
            }
            NodeEnum::RangeTableFuncCol(column) => {
                let RangeTableFuncCol {
                    colname: _,
                    type_name,
                    for_ordinality: _,
                    is_not_null: _,
                    colexpr,
                    coldefexpr,
                    location: _,
                } = column.as_ref();
                self.type_name(type_name.as_ref());
                self.all_of([colexpr, coldefexpr]);
            }
            NodeEnum::LockingClause(clause) => self.locking(clause),
            NodeEnum::IndexElem(element) => self.index_element(element),
            NodeEnum::MergeWhenClause(clause) => self.merge_when(clause),
            _ => self.json(kind),
        }
    }

    /// A name in FROM is a common table expression's where one is visible, else a relation's.
    fn table(&mut self, table: &'a RangeVar) {
        if table.schemaname.is_empty() && self.visible.contains(&table.relname.as_str()) {
            return;
        }
        self.relation(table);
    }

    pub(in crate::classify) fn relation(&mut self, table: &'a RangeVar) {
        let RangeVar { catalogname: _, schemaname, relname, inh: _, relpersistence: _, alias: _, location: _ } = table;
        if let Some(why) = catalog::withheld(schemaname, relname) {
            self.findings.raise(Effect::Privilege, None, format!("reads {relname}, which {why}"));
        }
        self.findings.relation(table);
    }

    fn join(&mut self, join: &'a JoinExpr) {
        let JoinExpr {
            jointype: _,
            is_natural: _,
            larg,
            rarg,
            using_clause: _,
            join_using_alias: _,
            quals,
            alias: _,
            rtindex: _,
        } = join;
        self.all_of([larg, rarg, quals]);
    }

    /// A column of `AS t(a int, b text)`: only a name and a type can be written there.
    fn column_definition(&mut self, column: &'a ColumnDef) {
        self.type_name(column.type_name.as_ref());
        self.all_of([&column.raw_default, &column.cooked_default]);
        if !column.constraints.is_empty() {
            self.not_understood();
        }
    }
}
