//! The lines that people read, and their count.

use std::process::ExitCode;

/// What was checked so far.
#[derive(Default)]
pub(crate) struct Checks {
    passed: usize,
    failed: usize,
    begun: bool,
}

impl Checks {
    /// A headline over the checks that follow.
    pub(crate) fn chapter(&mut self, title: &str) {
        if !std::mem::replace(&mut self.begun, true) {
            println!("{title}");
            return;
        }
        println!("\n{title}");
    }

    /// One check: its line, and what was seen where it does not hold.
    pub(crate) fn expect(&mut self, holds: bool, what: &str, seen: &str) {
        if holds {
            self.passed += 1;
            println!("  ok  {what}");
            return;
        }
        self.failed += 1;
        println!("  FAILED  {what}");
        for line in seen.lines().take(20) {
            println!("          {line}");
        }
    }

    /// Whether every check so far held.
    pub(crate) fn all_passed(&self) -> bool {
        self.failed == 0
    }

    /// The last line, and the exit code that goes with it.
    pub(crate) fn close(&self) -> ExitCode {
        println!("\n{} of {} checks passed", self.passed, self.passed + self.failed);
        if self.all_passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
