//! What the folder of the corpus says: the policy, and what the database holds before a case.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// The policy for PostgreSQL.
pub(crate) struct Policy {
    /// Tables that may be read.
    pub(crate) readable: Vec<String>,
    /// Columns of them that are withheld.
    pub(crate) masked: Vec<String>,
    /// Functions that may be called beside those of the server.
    pub(crate) functions: Vec<String>,
}

impl Policy {
    /// Reads `policy.json`.
    pub(crate) fn read(corpus: &Path) -> Policy {
        let path = corpus.join("policy.json");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let policy: Value = serde_json::from_str(&text).expect("policy.json is JSON");
        let list = |name: &str| -> Vec<String> {
            let items = policy["postgresql"][name].as_array().unwrap_or_else(|| panic!("no `{name}` in policy.json"));
            items.iter().map(|item| item.as_str().expect("a text").to_owned()).collect()
        };
        let mut functions = list("functions_granted");
        // What is left has no signature: it is said in prose of the functions that every grant may call.
        functions.retain(|name| name.ends_with(')'));
        Policy { readable: list("readable"), masked: list("masked_columns"), functions }
    }
}

/// Makes the databases and the roles of the corpus, as the runner makes them before each case.
pub(crate) fn fill(corpus: &Path, direct: &str) {
    let mut command = Command::new("python3");
    command.arg(corpus.join("run_corpus.py")).arg(corpus.join("robustness.jsonl"));
    command.args(["--only", "^$", "--engine", "postgresql", "--reset", "schema", "--direct", direct]);
    let output =
        command.output().unwrap_or_else(|error| panic!("python3: {error}; install it: apt-get install python3"));
    let said = String::from_utf8_lossy(&output.stdout);
    // With no case to run the runner's exit code is 2 either way.
    assert!(said.contains("no case was run"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
