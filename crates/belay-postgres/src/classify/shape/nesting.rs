//! An upper bound on the depth of the tree that the parser would make of some tokens.
//!
//! Counted in nodes, from the structure of the grammar: the depth of a bracket is what the bracket itself may add,
//! plus the operators of the longest stretch inside it that nothing of lowest precedence divides, plus the deepest
//! bracket in that stretch. A bound may be too high (then a harmless text is parsed on a thread of its own), never
//! too low: keywords count as operators unless they are known to make no node.

use super::kind;
use pg_query::protobuf::{KeywordKind, ScanToken, Token};

/// Nodes around and under what is counted: the statement above, a column's name below.
const BASE: usize = 8;
/// A sub-select, its statement, and what stands in its lists.
const QUERY: usize = 3;
/// A data-modifying statement and its lists.
const CHANGE: usize = 2;
/// The arms of a UNION hang together by structs that take an eighth of a node's stack.
const ARMS: usize = 8;

/// The depth of the deepest statement's tree, at the most.
pub(in crate::classify) fn nesting(tokens: &[ScanToken]) -> usize {
    let mut deepest = 0;
    let mut open: Vec<Level> = vec![Level::default()];
    for token in tokens {
        let kind = kind(token);
        match kind {
            Token::Ascii40 => open.push(Level { own: 1, ..Level::default() }),
            Token::Ascii91 => open.push(Level { own: 2, ..Level::default() }),
            Token::Ascii41 | Token::Ascii93 => {
                let closed = open.pop().unwrap_or_default().depth();
                match open.last_mut() {
                    Some(level) => level.below = level.below.max(closed),
                    None => open.push(Level { below: closed, ..Level::default() }),
                }
            }
            Token::Ascii59 => {
                deepest = deepest.max(depth_of(&mut open));
                open.push(Level::default());
            }
            _ => {
                if let Some(level) = open.last_mut() {
                    level.take(kind, token.keyword_kind != KeywordKind::NoKeyword as i32);
                }
            }
        }
    }
    BASE + deepest.max(depth_of(&mut open))
}

/// The depth of everything that is open, as if it were closed here.
fn depth_of(open: &mut Vec<Level>) -> usize {
    open.drain(..).rev().fold(0, |below, mut level| {
        level.below = level.below.max(below);
        level.depth()
    })
}

/// One bracket, or a statement outside all brackets.
#[derive(Debug, Default)]
struct Level {
    /// What the bracket adds.
    own: usize,
    /// What a statement in it adds, once however many there are.
    query: usize,
    change: usize,
    /// What chains of AND and of OR add.
    and: usize,
    or: usize,
    arms: usize,
    /// The deepest list item that is complete.
    items: usize,
    /// In the list item at hand: what reaches over AND and OR, and its deepest operand that is complete.
    spanning: usize,
    operands: usize,
    /// In the operand at hand: operators, and the deepest bracket.
    operators: usize,
    below: usize,
    /// An END has come in the operand at hand.
    behind_case: bool,
    /// A BETWEEN whose AND has not come yet.
    between: bool,
}

impl Level {
    fn take(&mut self, token: Token, is_keyword: bool) {
        match token {
            Token::Ascii44 => self.end_item(),
            Token::And if self.between => self.between = false,
            Token::And => {
                self.and = 1;
                self.end_operand();
            }
            Token::Or => {
                self.or = 1;
                self.end_operand();
            }
            Token::Union | Token::Intersect | Token::Except => self.arms += 1,
            Token::Select | Token::Values | Token::Table | Token::With => self.query = QUERY,
            Token::Insert | Token::Update | Token::DeleteP | Token::Merge => self.change = CHANGE,
            Token::Case => self.begin_case(),
            // They divide a CASE as AND divides a condition.
            Token::When | Token::Then | Token::Else => self.end_operand(),
            Token::EndP => self.behind_case = true,
            // These stand above a whole list item, its ANDs and ORs included.
            Token::Join | Token::By | Token::EqualsGreater | Token::ColonEquals => self.spanning += 1,
            Token::Between => {
                self.between = true;
                self.operator(2);
            }
            _ if is_keyword => self.operator(usize::from(!makes_no_node(token))),
            Token::Ident
            | Token::Uident
            | Token::Param
            | Token::Ascii46
            | Token::Ascii58
            | Token::Sconst
            | Token::Usconst
            | Token::Iconst
            | Token::Fconst
            | Token::Bconst
            | Token::Xconst
            | Token::SqlComment
            | Token::CComment => {}
            _ => self.operator(1),
        }
    }

    fn operator(&mut self, nodes: usize) {
        if self.behind_case {
            self.spanning += nodes;
        } else {
            self.operators += nodes;
        }
    }

    /// What stands before a CASE in its operand, and what stands behind its END, is above all that is in it.
    fn begin_case(&mut self) {
        self.spanning += 2 + self.operators;
        self.operators = 0;
    }

    /// AND and OR bind weakest: what stands on their sides is not above or below each other, and chains of them are
    /// one node.
    fn end_operand(&mut self) {
        self.operands = self.operands.max(self.operators + self.below);
        (self.operators, self.below, self.behind_case) = (0, 0, false);
    }

    /// Nothing inside a bracket reaches over a comma.
    fn end_item(&mut self) {
        self.end_operand();
        self.items = self.items.max(self.spanning + self.operands);
        (self.spanning, self.operands, self.between) = (0, 0, false);
    }

    fn depth(mut self) -> usize {
        self.end_item();
        self.own + self.query + self.change + self.and + self.or + self.arms.div_ceil(ARMS) + self.items
    }
}

/// Keywords that only divide or name.
fn makes_no_node(token: Token) -> bool {
    matches!(
        token,
        Token::All
            | Token::As
            | Token::Asc
            | Token::Cross
            | Token::Desc
            | Token::Distinct
            | Token::FalseP
            | Token::FirstP
            | Token::From
            | Token::Full
            | Token::GroupP
            | Token::Having
            | Token::InnerP
            | Token::LastP
            | Token::Left
            | Token::Limit
            | Token::NameP
            | Token::Natural
            | Token::NullP
            | Token::NullsP
            | Token::Offset
            | Token::On
            | Token::Order
            | Token::OuterP
            | Token::Right
            | Token::TextP
            | Token::TrueP
            | Token::TypeP
            | Token::Where
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> usize {
        nesting(&pg_query::scan_tokens(text).unwrap())
    }

    #[test]
    fn ordinary_statements_are_shallow() {
        assert!(of("SELECT a, b FROM t WHERE id = $1") <= 12);
        assert!(of(&format!("SELECT a FROM t WHERE {}", vec!["b = 1"; 500].join(" AND "))) <= 14);
        assert!(of(&format!("SELECT {} FROM t", vec!["a + 1 AS b"; 500].join(", "))) <= 14);
        assert!(of(&format!("INSERT INTO t VALUES {}", vec!["(1, 'a', -2)"; 500].join(", "))) <= 18);
        assert!(of(&"SELECT 1 + 1;".repeat(1_000)) <= 14);
    }

    #[test]
    fn what_nests_is_counted_in_full() {
        for (one, level) in [("1 + ", 1), ("NOT ", 1), ("(SELECT ", 3), ("EXISTS (SELECT ", 3), ("f(", 1), ("a[", 2)] {
            let count = of(&format!("SELECT {} 1", one.repeat(100)));
            assert!(count >= 100 * level, "{one}: {count}");
        }
        assert!(of(&format!("SELECT 1 {}", "IS NULL ".repeat(100))) >= 100);
        assert!(of(&format!("SELECT ((1)) {}", "::int".repeat(100))) >= 102);
        assert!(of(&format!("SELECT 1 FROM a {}", "JOIN b ON true AND true ".repeat(100))) >= 100);
        assert!(of(&format!("SELECT {} 1", "CASE WHEN true AND ".repeat(100))) >= 200);
    }

    #[test]
    fn what_stands_around_a_case_is_above_it() {
        for (opening, closing) in [
            ("NOT NOT NOT CASE WHEN a AND ", " THEN 1 END"),
            ("CASE WHEN true AND ", " THEN 1 ELSE 2 END IS NULL IS NULL IS NULL"),
            ("- - - CASE WHEN b THEN ", " WHEN c THEN d END"),
        ] {
            let count = of(&format!("SELECT {} 1 {}", opening.repeat(50), closing.repeat(50)));
            assert!(count >= 5 * 50, "{opening}{closing}: {count}");
        }
        let flat = format!("SELECT CASE {} END FROM t", "WHEN a = 1 THEN b + 1 ".repeat(300));
        assert!(of(&flat) <= 16, "{}", of(&flat));
    }

    #[test]
    fn a_between_does_not_hide_what_stands_before_it() {
        let one = format!("SELECT {} 1 BETWEEN 2 AND 3 {}", "NOT ".repeat(50), "IS NULL ".repeat(50));
        assert!(of(&one) >= 100);
    }

    #[test]
    fn brackets_that_do_not_match_do_no_harm() {
        for text in [")", "))))1((", "]", "([)]", ";)", "(;)"] {
            assert!(of(text) < 40, "{text}");
        }
    }
}
