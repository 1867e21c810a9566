//! What no source may have.

use super::Violation;
use crate::code;
use std::path::Path;

/// The longest source file.
const MAX_LINES: usize = 600;

/// Macros that are left behind by work that isn't done.
const LEFT_BEHIND: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Checks one source, tests included.
pub(super) fn check(path: &Path, text: &str) -> Vec<Violation> {
    let at = |line, text| Violation { path: path.to_owned(), line, text };
    let mut violations = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        let text = format!("{lines} lines: a file over {MAX_LINES} has more than one purpose; split it");
        violations.push(at(MAX_LINES + 1, text));
    }
    let code = code::without_words(text);
    let mut before = ["", ""];
    for (line, token) in code::tokens(&code) {
        let [name, sign] = before;
        if LEFT_BEHIND.contains(&name) && sign == "!" && ["(", "[", "{"].contains(&token) {
            violations.push(at(line, format!("`{name}!`: unfinished work does not get in")));
        }
        before = [sign, token];
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        check(Path::new("a.rs"), text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn unfinished_work_is_found_in_code_only() {
        let macro_call = ["fn a() { tod", "o!() }"].concat();
        assert_eq!(found(&macro_call), ["a.rs:1: `todo!`: unfinished work does not get in"]);
        assert!(found("// todo!() later\nlet a = \"dbg!(a)\"; if todo != 1 {}").is_empty());
    }

    #[test]
    fn a_comparison_with_a_variable_named_todo_is_not_a_macro() {
        assert!(found("if a != todo { b() }").is_empty());
    }

    #[test]
    fn a_file_of_600_lines_passes_and_one_more_does_not() {
        assert!(found(&"a\n".repeat(600)).is_empty());
        assert_eq!(
            found(&"a\n".repeat(601)),
            ["a.rs:601: 601 lines: a file over 600 has more than one purpose; split it"]
        );
    }
}
