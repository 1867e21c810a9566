//! What is read of a target's catalog, as plain rows. Identifiers are as the catalog stores them; object ids are the
//! target's own.

use belay_model::Relation;

/// Everything of one database that a verdict can depend on.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Every relation that can be named in a statement, the database's own catalog and its views among them.
    pub relations: Vec<RelationRow>,
    /// Every function, aggregate, window function and procedure.
    pub functions: Vec<FunctionRow>,
    /// Every operator.
    pub operators: Vec<OperatorRow>,
    /// Every cast.
    pub casts: Vec<CastRow>,
    /// Every type.
    pub types: Vec<TypeRow>,
}

/// The first object id that is not the database's own.
pub const FIRST_USER_ID: u32 = 16_384;

/// One row of `pg_class`, with what hangs on it.
#[derive(Debug, Clone)]
pub struct RelationRow {
    /// Object id.
    pub id: u32,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// What it is.
    pub kind: RelationKind,
    /// Columns that were not dropped, in order; without system columns.
    pub columns: Vec<ColumnRow>,
    /// Of a view or materialized view: what its definition reads, directly. (`pg_depend` of its rewrite rules)
    pub reads: Vec<ReadRow>,
    /// Functions that reading it may call, directly: by its rules, its row security policies, its virtual generated
    /// columns; also the functions behind the operators, casts and domains used there. The database's own are left out.
    pub calls: Vec<u32>,
    /// Tables that inherit from it, directly; none where it is partitioned.
    pub children: Vec<u32>,
    /// Its partitions, directly.
    pub parts: Vec<u32>,
}

impl RelationRow {
    /// Its full name.
    pub fn named(&self) -> Relation {
        Relation { schema: Some(self.schema.clone()), name: self.name.clone() }
    }
}

/// What kind of relation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    /// `r`
    Table,
    /// `p`
    Partitioned,
    /// `v`; also a table that a rule has turned into a view.
    View,
    /// `m`
    MaterializedView,
    /// `f`
    Foreign,
    /// `S`
    Sequence,
    /// `t`
    Toast,
    /// `i`, `I`, `c`: nothing that can be read from.
    Other,
}

/// One row of `pg_attribute`.
#[derive(Debug, Clone)]
pub struct ColumnRow {
    /// Its number, from 1.
    pub number: i16,
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_id: u32,
}

/// What a view's definition reads of one relation.
#[derive(Debug, Clone)]
pub struct ReadRow {
    /// The relation.
    pub relation: u32,
    /// The columns by number; 0 stands for the whole row or the relation itself.
    pub columns: Vec<i16>,
}

/// One row of `pg_proc`.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "columns of a catalog, not states")]
pub struct FunctionRow {
    /// Object id.
    pub id: u32,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Types of the input arguments.
    pub arguments: Vec<u32>,
    /// The same, as `format_type` writes them.
    pub argument_names: Vec<String>,
    /// How many of them, from the end, have defaults.
    pub defaults: u16,
    /// The last one takes any number of values.
    pub variadic: bool,
    /// What it returns.
    pub returns: u32,
    /// Whether it is a procedure, which only CALL runs.
    pub procedure: bool,
    /// `v`; aggregates too, where their parts are.
    pub volatile: bool,
    /// Runs with the rights of its owner.
    pub definer: bool,
    /// Written in C or built in: installed by a superuser.
    pub native: bool,
    /// What it does may be in no transaction of the target: it runs in an untrusted language, or is native, volatile and
    /// not known to stay inside; or it calls one that does, as far as the catalog knows of it.
    pub outward: bool,
    /// The extension it belongs to.
    pub extension: Option<String>,
    /// Who owns it.
    pub owner: String,
}

/// One row of `pg_operator`.
#[derive(Debug, Clone)]
pub struct OperatorRow {
    /// Object id.
    pub id: u32,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Left operand; 0 for a prefix operator.
    pub left: u32,
    /// Right operand.
    pub right: u32,
    /// What it gives.
    pub result: u32,
    /// The function behind it; 0 for a shell.
    pub function: u32,
}

/// One row of `pg_cast`.
#[derive(Debug, Clone)]
pub struct CastRow {
    /// From.
    pub source: u32,
    /// To.
    pub target: u32,
    /// The function behind it; 0 where there is none.
    pub function: u32,
    /// Applied without being asked for (`i`).
    pub implicit: bool,
}

/// One row of `pg_type`.
#[derive(Debug, Clone)]
pub struct TypeRow {
    /// Object id.
    pub id: u32,
    /// Schema.
    pub schema: String,
    /// Name, as `pg_type.typname` has it.
    pub name: String,
    /// Its category (`typcategory`), e.g. `S` for strings.
    pub category: char,
    /// The element type of an array; 0 otherwise.
    pub element: u32,
    /// The type below a domain; 0 otherwise.
    pub base: u32,
    /// The relation whose row type it is; 0 otherwise.
    pub relation: u32,
    /// Functions that using a value of it may call: the checks of a domain, its input, output and comparison functions.
    /// The database's own are left out.
    pub calls: Vec<u32>,
}
