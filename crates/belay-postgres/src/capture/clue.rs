//! Where the rows that a statement writes may lie, read off its own text.
//!
//! A clue is never believed: it says where to look, and the target's counts say whether that was all. So it is enough
//! to read what is plain, constants beside columns, and to leave out the rest.

use crate::classify;
use pg_query::NodeEnum;
use pg_query::protobuf::{AExpr, AExprKind, BoolExprType, InsertStmt, Node, ParseResult, a_const};

/// A statement that a transaction ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Its text, of one statement.
    pub text: String,
    /// The values of its parameters, as text; nothing for NULL and for what is not known as text.
    pub parameters: Vec<Option<String>>,
}

/// Conditions that the rows of one statement meet, all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clue(pub(super) Vec<Condition>);

/// A column beside constants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) column: ColumnOf,
    pub(super) test: Test,
}

/// Which column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ColumnOf {
    Name(String),
    /// The place in the table, of an INSERT that names no columns.
    Place(usize),
}

/// What it is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Test {
    /// Equal to one of these.
    Among(Vec<String>),
    /// Equal to an element of this array, in the target's own writing.
    Element(String),
    /// Related so to this.
    Is(&'static str, String),
}

/// Constants of one condition; an IN list or the rows of an INSERT may be as long.
const MOST_CONSTANTS: usize = 10_000;
/// Conditions of one statement.
const MOST_CONDITIONS: usize = 64;

/// What a statement tells.
pub(super) fn clues(hint: &Hint) -> Vec<Clue> {
    classify::with_tree(&hint.text, |tree| of_tree(tree, hint)).unwrap_or_default()
}

fn of_tree(tree: &ParseResult, hint: &Hint) -> Vec<Clue> {
    let [only] = tree.stmts.as_slice() else {
        return Vec::new();
    };
    let reader = Reader { parameters: &hint.parameters };
    match only.stmt.as_ref().and_then(|node| node.node.as_ref()) {
        Some(NodeEnum::UpdateStmt(update)) => {
            let mut set = Vec::new();
            for target in &update.target_list {
                if let Some(NodeEnum::ResTarget(target)) = &target.node
                    && let Some(value) = target.val.as_deref().and_then(|value| reader.constant(value))
                {
                    let column = ColumnOf::Name(target.name.clone());
                    set.push(Clue(vec![Condition { column, test: Test::Among(vec![value]) }]));
                }
            }
            set.truncate(MOST_CONDITIONS);
            set.insert(0, reader.filter(update.where_clause.as_deref()));
            set
        }
        Some(NodeEnum::DeleteStmt(delete)) => vec![reader.filter(delete.where_clause.as_deref())],
        Some(NodeEnum::InsertStmt(insert)) => reader.inserted(insert),
        _ => Vec::new(),
    }
}

struct Reader<'a> {
    parameters: &'a [Option<String>],
}

impl Reader<'_> {
    fn filter(&self, clause: Option<&Node>) -> Clue {
        let mut conditions = Vec::new();
        let mut rest: Vec<&Node> = clause.into_iter().collect();
        while let Some(node) = rest.pop() {
            if conditions.len() >= MOST_CONDITIONS {
                break;
            }
            match &node.node {
                Some(NodeEnum::BoolExpr(all)) if all.boolop() == BoolExprType::AndExpr => rest.extend(&all.args),
                Some(NodeEnum::AExpr(expression)) => conditions.extend(self.compared(expression)),
                _ => {}
            }
        }
        Clue(conditions)
    }

    fn compared(&self, expression: &AExpr) -> Vec<Condition> {
        let sides = || Some((expression.lexpr.as_deref()?, expression.rexpr.as_deref()?));
        let Some((left, right)) = sides() else {
            return Vec::new();
        };
        let on = |column: ColumnOf, test: Test| vec![Condition { column, test }];
        let written = operator(expression);
        match (expression.kind(), column(left), column(right)) {
            (AExprKind::AexprOp, Some(name), None) => {
                let test = written.and_then(|written| self.test(written, right));
                test.map(|test| on(name, test)).unwrap_or_default()
            }
            (AExprKind::AexprOp, None, Some(name)) => {
                let test = written.and_then(|written| self.test(turned(written), left));
                test.map(|test| on(name, test)).unwrap_or_default()
            }
            (AExprKind::AexprIn, Some(name), _) if written == Some("=") => {
                self.list(right).map(|values| on(name, Test::Among(values))).unwrap_or_default()
            }
            (AExprKind::AexprOpAny, Some(name), _) if written == Some("=") => match &right.node {
                Some(NodeEnum::AArrayExpr(array)) => {
                    self.constants(&array.elements).map(|values| on(name, Test::Among(values))).unwrap_or_default()
                }
                _ => self.constant(right).map(|array| on(name, Test::Element(array))).unwrap_or_default(),
            },
            (AExprKind::AexprBetween, Some(name), _) => match self.list(right).as_deref() {
                Some([low, high]) => vec![
                    Condition { column: name.clone(), test: Test::Is(">=", low.clone()) },
                    Condition { column: name, test: Test::Is("<=", high.clone()) },
                ],
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn test(&self, operator: &'static str, value: &Node) -> Option<Test> {
        let value = self.constant(value)?;
        Some(if operator == "=" { Test::Among(vec![value]) } else { Test::Is(operator, value) })
    }

    fn list(&self, node: &Node) -> Option<Vec<String>> {
        match &node.node {
            Some(NodeEnum::List(list)) => self.constants(&list.items),
            _ => None,
        }
    }

    fn constants(&self, nodes: &[Node]) -> Option<Vec<String>> {
        if nodes.len() > MOST_CONSTANTS {
            return None;
        }
        nodes.iter().map(|node| self.constant(node)).collect()
    }

    /// The text of a constant. Which type it was given does not matter: it is read as the column's.
    fn constant(&self, node: &Node) -> Option<String> {
        match node.node.as_ref()? {
            NodeEnum::AConst(constant) => match constant.val.as_ref()? {
                a_const::Val::Ival(number) => Some(number.ival.to_string()),
                a_const::Val::Fval(number) => Some(number.fval.clone()),
                a_const::Val::Sval(text) => Some(text.sval.clone()),
                a_const::Val::Boolval(is) => Some(is.boolval.to_string()),
                a_const::Val::Bsval(_) => None,
            },
            NodeEnum::ParamRef(parameter) => {
                self.parameters.get(usize::try_from(parameter.number).ok()?.checked_sub(1)?)?.clone()
            }
            NodeEnum::TypeCast(cast) => self.constant(cast.arg.as_deref()?),
            NodeEnum::AExpr(minus) if minus.lexpr.is_none() && name_of(minus) == Some("-") => {
                Some(format!("-{}", self.constant(minus.rexpr.as_deref()?)?))
            }
            _ => None,
        }
    }

    /// For each column of an INSERT of constants, the rows that hold one of them.
    fn inserted(&self, insert: &InsertStmt) -> Vec<Clue> {
        let Some(NodeEnum::SelectStmt(select)) = insert.select_stmt.as_ref().and_then(|node| node.node.as_ref()) else {
            return Vec::new();
        };
        let rows: Vec<&[Node]> = select
            .values_lists
            .iter()
            .filter_map(|row| match &row.node {
                Some(NodeEnum::List(list)) => Some(list.items.as_slice()),
                _ => None,
            })
            .collect();
        if rows.is_empty() || rows.len() > MOST_CONSTANTS {
            return Vec::new();
        }
        let columns = rows.first().map_or(0, |row| row.len()).min(MOST_CONDITIONS);
        let mut clues = Vec::new();
        for at in 0..columns {
            let values: Option<Vec<String>> = rows.iter().map(|row| self.constant(row.get(at)?)).collect();
            let column = match insert.cols.get(at).and_then(|node| node.node.as_ref()) {
                Some(NodeEnum::ResTarget(target)) => ColumnOf::Name(target.name.clone()),
                _ => ColumnOf::Place(at),
            };
            clues.extend(values.map(|values| Clue(vec![Condition { column, test: Test::Among(values) }])));
        }
        clues
    }
}

fn name_of(expression: &AExpr) -> Option<&str> {
    match expression.name.last()?.node.as_ref()? {
        NodeEnum::String(name) => Some(&name.sval),
        _ => None,
    }
}

fn operator(expression: &AExpr) -> Option<&'static str> {
    let written = name_of(expression)?;
    ["=", "<", ">", "<=", ">="].into_iter().find(|known| *known == written)
}

/// The operator with its sides exchanged.
fn turned(operator: &'static str) -> &'static str {
    match operator {
        "<" => ">",
        ">" => "<",
        "<=" => ">=",
        ">=" => "<=",
        other => other,
    }
}

/// A column by its name, whatever it is qualified with.
fn column(node: &Node) -> Option<ColumnOf> {
    let Some(NodeEnum::ColumnRef(column)) = &node.node else {
        return None;
    };
    match column.fields.last()?.node.as_ref()? {
        NodeEnum::String(name) => Some(ColumnOf::Name(name.sval.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_as_deep_as_any_may_be_are_read_on_any_stack() {
        let deep =
            |levels: usize| format!("DELETE FROM t WHERE a = 1 AND b = {}2{}", "(".repeat(levels), ")".repeat(levels));
        let read = move || [600, 5_000].map(|levels| told(&deep(levels), &[]).len());
        let small = std::thread::Builder::new().stack_size(2 << 20).spawn(read).unwrap();
        assert_eq!(small.join().unwrap(), [1, 0]);
    }

    fn told(text: &str, parameters: &[&str]) -> Vec<String> {
        let parameters = parameters.iter().map(|value| Some((*value).to_owned())).collect();
        let shown = |condition: &Condition| {
            let column = match &condition.column {
                ColumnOf::Name(name) => name.clone(),
                ColumnOf::Place(at) => format!("#{at}"),
            };
            match &condition.test {
                Test::Among(values) => format!("{column} in {}", values.join(",")),
                Test::Element(array) => format!("{column} any {array}"),
                Test::Is(operator, value) => format!("{column} {operator} {value}"),
            }
        };
        let clues = clues(&Hint { text: text.to_owned(), parameters });
        clues.iter().map(|clue| clue.0.iter().map(shown).collect::<Vec<_>>().join(" and ")).collect()
    }

    #[test]
    fn constants_beside_columns_are_read_and_the_rest_is_left_out() {
        for (text, parameters, expected) in [
            ("DELETE FROM t WHERE t.id = -5 AND f(id) AND 3 < n", &[][..], &["n > 3 and id in -5"][..]),
            ("DELETE FROM t WHERE id = $1::int", &["7"], &["id in 7"]),
            ("DELETE FROM t WHERE id = ANY ($1)", &["{1,2}"], &["id any {1,2}"]),
            ("DELETE FROM t WHERE id IN (1, 'x') OR true", &[], &[""]),
            ("DELETE FROM t WHERE id IN (1, 'x')", &[], &["id in 1,x"]),
            ("UPDATE t SET id = 9, v = f() WHERE id BETWEEN 1 AND 4", &[], &["id >= 1 and id <= 4", "id in 9"]),
            ("INSERT INTO t(id, v) VALUES (1, f()), (2, 'x')", &[], &["id in 1,2"]),
            ("INSERT INTO t VALUES ($1, $2)", &["1", "b"], &["#0 in 1", "#1 in b"]),
            ("DELETE FROM t WHERE id = other.id", &[], &[""]),
            ("SELECT 1; SELECT 2", &[], &[]),
            ("nonsense", &[], &[]),
        ] {
            assert_eq!(told(text, parameters), expected, "{text}");
        }
    }
}
