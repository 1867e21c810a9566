//! Checks of this workspace that no other tool makes: `cargo xtask tidy`.
//!
//! Does not build, test or change anything.

mod code;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments != ["tidy"] {
        eprintln!("usage: cargo xtask tidy");
        return ExitCode::from(2);
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    match tidy::tidy(here.parent().unwrap_or(here)) {
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        Ok(tidied) => {
            for violation in &tidied.violations {
                println!("{violation}");
            }
            let (manifests, sources) = (tidied.manifests, tidied.sources);
            eprintln!("tidy: {} violations in {manifests} manifests and {sources} sources", tidied.violations.len());
            if tidied.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}
