//! Whether a row filter's predicate is one expression, by PostgreSQL's own grammar. What it reads and calls is the
//! target's to say.

use pg_query::protobuf::ParseResult;
use pg_query::protobuf::node::Node;
use std::thread;

/// The longest predicate, in bytes. It also bounds how deep its tree can be.
pub(super) const LONGEST: usize = 1_000;
/// For a tree as deep as the longest predicate can make it, with 72 KiB a level in the decoder of debug builds.
const STACK: usize = 96 << 20;

/// The predicate in brackets, on lines of its own, so that a comment at its end ends with it.
pub(super) fn bracketed(predicate: &str) -> String {
    format!("(\n{predicate}\n)")
}

/// Whether the text is one boolean expression and nothing beside it.
pub(super) fn is_one_expression(predicate: &str) -> bool {
    if predicate.trim().is_empty() || predicate.len() > LONGEST || predicate.contains('\0') {
        return false;
    }
    // Without its brackets it has to stand, too: what closes them and opens others is several.
    let work = || {
        let left = without_where(&bracketed(predicate));
        left.is_some() && left == without_where(&bracketed("true")) && left == without_where(&on_lines(predicate))
    };
    thread::scope(|scope| {
        let deep = thread::Builder::new().name("row filter".to_owned()).stack_size(STACK).spawn_scoped(scope, work);
        deep.is_ok_and(|deep| deep.join().unwrap_or(false))
    })
}

fn on_lines(predicate: &str) -> String {
    format!("\n{predicate}\n")
}

/// A statement with the predicate in its WHERE, parsed, and then without its WHERE: what does not belong to the
/// predicate is left.
fn without_where(predicate: &str) -> Option<ParseResult> {
    let text = format!("SELECT FROM t WHERE {predicate}");
    let mut tree = pg_query::parse(&text, 0).ok()?.protobuf;
    let [statement] = tree.stmts.as_mut_slice() else { return None };
    let Some(Node::SelectStmt(select)) = statement.stmt.as_mut()?.node.as_mut() else { return None };
    select.where_clause.take()?;
    Some(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_passes_and_whatever_else_a_text_can_smuggle_does_not() {
        for text in ["customer_id = 7", "a = 1 OR b = ')' -- note", "status IN ('open', 'paid')", "NOT f(x)"] {
            assert!(is_one_expression(text), "{text}");
        }
        for text in [
            "",
            "true); DROP TABLE t; SELECT (1",
            "true) UNION SELECT (1",
            "true) OR (true",
            "true) ORDER BY (1",
            "true) GROUP BY (1",
            "true) LIMIT (1",
            "true) FOR UPDATE -- (",
            "a =",
            "/* ",
            "true;",
        ] {
            assert!(!is_one_expression(text), "{text}");
        }
        assert!(!is_one_expression(&"(".repeat(LONGEST + 1)));
        assert!(is_one_expression(&format!("{}true", "NOT ".repeat(240))));
    }
}
