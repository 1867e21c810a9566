//! Pure crates do no IO, start nothing and read no clock.

use super::Violation;
use crate::code;
use std::path::Path;

/// Names that mean the same thing wherever they stand.
const NAMES: [(&str, &str); 6] = [
    ("tokio", "pure crates wait for nothing"),
    ("SystemTime", "time is a parameter, so that every decision can be made again"),
    ("Instant", "time is a parameter, so that every decision can be made again"),
    ("rand", "randomness is a parameter, so that every decision can be made again"),
    ("getrandom", "randomness is a parameter, so that every decision can be made again"),
    ("println", "what is worth saying is returned"),
];

/// Modules of the standard library.
const MODULES: [(&str, &str); 6] = [
    ("fs", "files are the shell's"),
    ("net", "sockets are the shell's"),
    ("process", "processes are the shell's"),
    ("env", "the environment is read once, by the configuration"),
    ("thread", "threads are the shell's"),
    ("os", "what the system offers is the shell's"),
];

/// Checks one source of a pure crate, without its tests.
pub(super) fn check(path: &Path, text: &str) -> Vec<Violation> {
    let code = code::without_tests(&code::without_words(text));
    let mut violations = Vec::new();
    let mut importing_std = false;
    let mut before = ["", "", ""];
    for (line, token) in code::tokens(&code) {
        let of_std = importing_std || before == ["std", ":", ":"];
        let module = MODULES.iter().find(|(module, _)| of_std && *module == token);
        let name = NAMES.iter().find(|(name, _)| *name == token);
        if let Some((word, why)) = module.or(name) {
            let text = format!("`{word}` in a pure crate: {why}");
            violations.push(Violation { path: path.to_owned(), line, text });
        }
        match token {
            ";" => importing_std = false,
            // `use std::{fs, ...}`: the names in the braces are of the standard library.
            "{" if before == ["std", ":", ":"] => importing_std = true,
            _ => {}
        }
        before = [before[1], before[2], token];
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        check(Path::new("lib.rs"), text).iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn every_way_to_the_files_and_the_clock_is_seen() {
        for text in [
            "use std::fs;",
            "use std::{fmt, fs};",
            "use std::{fmt, fs::File};",
            "use std::time::{Duration, Instant};",
            "let now = std::time::SystemTime::now();",
            "std::net::TcpStream::connect(x)",
            "use tokio::sync::Mutex;",
            "let x: u8 = rand::random();",
            "std\n::\nenv::var(x)",
        ] {
            assert_eq!(lines(text).len(), 1, "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_it_passes() {
        for text in [
            "// std::fs is the shell's",
            "let text = \"use std::fs; tokio SystemTime\";",
            "use std::time::Duration;",
            "use std::{fmt, str}; let fs = 1;",
            "let r = r#\"tokio\"#;",
            "let operand = strand;",
            "#[cfg(test)]\nmod tests { use std::fs; fn now() { Instant::now(); } }",
        ] {
            assert!(lines(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn code_behind_a_test_module_is_checked_again() {
        assert_eq!(lines("#[cfg(test)]\nmod tests {\n  fn a() {}\n}\nuse std::fs;\n"), [5]);
    }

    #[test]
    fn a_violation_is_one_line_with_place_and_reason() {
        let violations = check(Path::new("crates/belay-model/src/x.rs"), "\nuse std::fs;");
        assert_eq!(
            violations[0].to_string(),
            "crates/belay-model/src/x.rs:2: `fs` in a pure crate: files are the shell's"
        );
    }
}
