//! Puts together what was read in parts. Does no IO.

use crate::catalog::rows::{
    CastRow, ColumnRow, FunctionRow, OperatorRow, ReadRow, RelationKind, RelationRow, Rows, TypeRow,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The answers, as they came.
#[derive(Default)]
pub(super) struct Parts {
    /// Without columns, reads, calls, children and parts.
    pub(super) relations: Vec<RelationRow>,
    /// By relation, in order.
    pub(super) columns: Vec<(u32, ColumnRow)>,
    /// Without names of arguments.
    pub(super) functions: Vec<FunctionRow>,
    pub(super) operators: Vec<OperatorRow>,
    pub(super) casts: Vec<CastRow>,
    /// Without calls; with the name that `format_type` gives.
    pub(super) types: Vec<(TypeRow, String)>,
    pub(super) uses: Vec<Use>,
}

/// One object uses another.
pub(super) struct Use {
    pub(super) user: User,
    /// The user's id; of a policy or a column, the table's.
    pub(super) id: u32,
    pub(super) used: Used,
}

/// Who uses something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum User {
    /// A view or materialized view.
    View,
    /// A row security policy that reads go through.
    Policy,
    /// A virtual generated column.
    Generated,
    Type,
    /// Its defaults of arguments, or its body where that is kept as a tree.
    Function,
    Aggregate,
    /// A table that others inherit from.
    Parent,
    /// A table that others are parts of.
    Partitioned,
}

/// What is used.
#[derive(Clone, Copy)]
pub(super) enum Used {
    /// A column of a relation, or with 0 the relation.
    Relation(u32, i16),
    Function(u32),
    Type(u32),
    /// Some row is taken as a whole.
    WholeRow,
}

/// Functions by what may call them.
type Calls = HashMap<u32, BTreeSet<u32>>;

impl Parts {
    /// The rows, each with what hangs on it.
    pub(super) fn assemble(mut self) -> Rows {
        self.attach_columns();
        let of_types = self.calls_of_types();
        self.name_arguments();
        self.settle_functions();
        self.attach_uses(&of_types);
        let types = self.types.into_iter().map(|(mut row, _)| {
            row.calls = of_types.get(&row.id).into_iter().flatten().copied().collect();
            row
        });
        Rows {
            types: types.collect(),
            relations: self.relations,
            functions: self.functions,
            operators: self.operators,
            casts: self.casts,
        }
    }

    fn attach_columns(&mut self) {
        let mut columns: HashMap<u32, Vec<ColumnRow>> = HashMap::new();
        for (relation, column) in self.columns.drain(..) {
            columns.entry(relation).or_default().push(column);
        }
        for relation in &mut self.relations {
            relation.columns = columns.remove(&relation.id).unwrap_or_default();
        }
    }

    /// What using a value of each type may call: also what the types call that it is made of, to any depth (elements
    /// of arrays, columns of rows, bounds of ranges, the types below domains).
    fn calls_of_types(&self) -> Calls {
        let mut direct = Calls::new();
        let mut made_of: HashMap<u32, Vec<u32>> = HashMap::new();
        for Use { id, used, .. } in self.uses.iter().filter(|one| one.user == User::Type) {
            match used {
                Used::Function(function) => _ = direct.entry(*id).or_default().insert(*function),
                Used::Type(part) => made_of.entry(*part).or_default().push(*id),
                Used::Relation(..) | Used::WholeRow => {}
            }
        }
        let columns: HashMap<u32, &[ColumnRow]> =
            self.relations.iter().map(|relation| (relation.id, relation.columns.as_slice())).collect();
        for (row, _) in &self.types {
            let fields = columns.get(&row.relation).into_iter().copied().flatten().map(|column| column.type_id);
            for part in [row.element, row.base].into_iter().chain(fields).filter(|part| *part != 0) {
                made_of.entry(part).or_default().push(row.id);
            }
        }
        let mut calls = Calls::new();
        for (start, functions) in &direct {
            for reached in closure(*start, |id| made_of.get(&id).into_iter().flatten().copied()) {
                calls.entry(reached).or_default().extend(functions);
            }
        }
        calls
    }

    fn name_arguments(&mut self) {
        let names: HashMap<u32, &str> = self.types.iter().map(|(row, name)| (row.id, name.as_str())).collect();
        for function in &mut self.functions {
            let name = |id: &u32| names.get(id).map_or_else(|| id.to_string(), |name| (*name).to_owned());
            function.argument_names = function.arguments.iter().map(name).collect();
        }
    }

    /// An aggregate is what its parts are. A function is volatile where its defaults of arguments, or its body in
    /// standard SQL, call a volatile one, whatever it says of itself; likewise where one of them leaves the transaction.
    fn settle_functions(&mut self) {
        for function in &mut self.functions {
            function.outward |= crate::catalog::inside::leaves(function);
        }
        let places: HashMap<u32, usize> =
            self.functions.iter().enumerate().map(|(place, row)| (row.id, place)).collect();
        let mut callers: HashMap<u32, Vec<u32>> = HashMap::new();
        for Use { user, id, used } in &self.uses {
            let (User::Aggregate | User::Function, Used::Function(part)) = (user, used) else { continue };
            callers.entry(*part).or_default().push(*id);
            let (Some(place), Some(of_part)) = (places.get(id), places.get(part)) else { continue };
            if *user == User::Aggregate {
                let (definer, native) = (self.functions[*of_part].definer, self.functions[*of_part].native);
                self.functions[*place].definer |= definer;
                self.functions[*place].native &= native;
            }
        }
        let above = |is: fn(&FunctionRow) -> bool, functions: &[FunctionRow]| {
            let mut seen = HashSet::new();
            for start in functions.iter().filter(|row| is(row) && callers.contains_key(&row.id)) {
                spread(start.id, |id| callers.get(&id).into_iter().flatten().copied(), &mut seen);
            }
            seen.iter().filter_map(|id| places.get(id).copied()).collect::<Vec<_>>()
        };
        for place in above(|row| row.volatile, &self.functions) {
            self.functions[place].volatile = true;
        }
        for place in above(|row| row.outward, &self.functions) {
            self.functions[place].outward = true;
        }
    }

    fn attach_uses(&mut self, of_types: &Calls) {
        let mut reads: HashMap<u32, BTreeMap<u32, BTreeSet<i16>>> = HashMap::new();
        let mut whole = HashSet::new();
        let mut calls = Calls::new();
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut parts: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut by_policies: HashMap<u32, Vec<u32>> = HashMap::new();
        for Use { user, id, used } in &self.uses {
            match (user, used) {
                (User::Type | User::Function | User::Aggregate, _) => {}
                (User::Parent, Used::Relation(child, _)) => children.entry(*id).or_default().push(*child),
                (User::Partitioned, Used::Relation(part, _)) => parts.entry(*id).or_default().push(*part),
                (User::View, Used::Relation(relation, column)) => {
                    _ = reads.entry(*id).or_default().entry(*relation).or_default().insert(*column);
                }
                (User::View, Used::WholeRow) => _ = whole.insert(*id),
                (_, Used::Relation(relation, _)) => by_policies.entry(*id).or_default().push(*relation),
                (_, Used::Function(function)) => _ = calls.entry(*id).or_default().insert(*function),
                (_, Used::Type(kind)) => {
                    calls.entry(*id).or_default().extend(of_types.get(kind).into_iter().flatten());
                }
                (_, Used::WholeRow) => {}
            }
        }
        // What is stored is read; the definition runs when it is refreshed.
        for relation in self.relations.iter().filter(|row| row.kind == RelationKind::MaterializedView) {
            calls.remove(&relation.id);
        }
        add_calls_of_policies(&by_policies, &reads, &mut calls);
        for relation in &mut self.relations {
            let id = relation.id;
            let whole = whole.contains(&id);
            let of_view = reads.remove(&id).unwrap_or_default().into_iter();
            relation.reads =
                of_view.map(|(relation, columns)| ReadRow { relation, columns: numbers(columns, whole) }).collect();
            relation.calls = calls.remove(&id).unwrap_or_default().into_iter().collect();
            relation.children = children.remove(&id).unwrap_or_default();
            relation.parts = parts.remove(&id).unwrap_or_default();
        }
    }
}

/// A policy that looks into other relations runs their views and their policies too; those are no reads of the
/// table's, so what they call is counted as the table's own.
fn add_calls_of_policies(
    by_policies: &HashMap<u32, Vec<u32>>,
    reads: &HashMap<u32, BTreeMap<u32, BTreeSet<i16>>>,
    calls: &mut Calls,
) {
    let next = |id| {
        let by_view = reads.get(&id).into_iter().flat_map(|of_view| of_view.keys().copied());
        by_view.chain(by_policies.get(&id).into_iter().flatten().copied())
    };
    let mut added = Calls::new();
    for table in by_policies.keys() {
        let reached = closure(*table, next);
        let functions = reached.iter().filter_map(|id| calls.get(id)).flatten().copied();
        added.insert(*table, functions.collect());
    }
    for (table, functions) in added {
        calls.entry(table).or_default().extend(functions);
    }
}

/// System columns have negative numbers and say nothing of a row's values; one that is read alone counts as the
/// relation. A tree does not tell in passing which row it takes as a whole, so it is each of them.
fn numbers(columns: BTreeSet<i16>, whole: bool) -> Vec<i16> {
    let mut numbers: Vec<i16> = columns.into_iter().filter(|number| *number >= 0).collect();
    if numbers.first() != Some(&0) && (whole || numbers.is_empty()) {
        numbers.insert(0, 0);
    }
    numbers
}

/// Everything that can be reached, the start included.
fn closure<I: Iterator<Item = u32>>(start: u32, next: impl Fn(u32) -> I) -> HashSet<u32> {
    let mut seen = HashSet::new();
    spread(start, next, &mut seen);
    seen
}

/// Adds what can be reached; goes no further from what was seen before.
fn spread<I: Iterator<Item = u32>>(start: u32, next: impl Fn(u32) -> I, seen: &mut HashSet<u32>) {
    let mut open = vec![start];
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            open.extend(next(id));
        }
    }
}
