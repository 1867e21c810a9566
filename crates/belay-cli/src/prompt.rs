//! Questions to the person at the terminal.

use crate::failure::{Exit, Failure};
use crate::output::Out;
use secrecy::SecretString;
use std::io::{IsTerminal, Read};
use std::path::Path;

/// No secret is longer.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Asks for a secret without showing it.
pub(crate) fn secret(out: &Out, what: &str, instead: &str) -> Result<SecretString, Failure> {
    if !out.may_ask() {
        return Err(Failure::usage(format!("{what} is needed, and nobody can be asked")).hint(instead));
    }
    let asked = inquire::Password::new(&format!("{what}:"))
        .without_confirmation()
        .with_display_mode(inquire::PasswordDisplayMode::Hidden)
        .prompt();
    asked.map(SecretString::from).map_err(|_| given_up())
}

/// Asks for a secret that is new, twice: nobody sees what is typed.
pub(crate) fn new_secret(out: &Out, what: &str, instead: &str) -> Result<SecretString, Failure> {
    if !out.may_ask() {
        return Err(Failure::usage(format!("{what} is needed, and nobody can be asked")).hint(instead));
    }
    let asked = inquire::Password::new(&format!("{what}:"))
        .with_custom_confirmation_message(&format!("{what} again:"))
        .with_custom_confirmation_error_message("the two are not the same")
        .with_display_mode(inquire::PasswordDisplayMode::Hidden)
        .prompt();
    asked.map(SecretString::from).map_err(|_| given_up())
}

/// A secret from a file, or from stdin for `-`; one newline at its end is not part of it.
pub(crate) fn secret_from(path: &Path) -> Result<SecretString, Failure> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(MAX_SECRET_BYTES).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_SECRET_BYTES).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::usage(format!("`{}` cannot be read: {error}", path.display())))?;
    let trimmed = text.strip_suffix('\n').unwrap_or(&text);
    Ok(SecretString::from(trimmed.strip_suffix('\r').unwrap_or(trimmed)))
}

/// Asks for one line.
pub(crate) fn line(out: &Out, what: &str, instead: &str) -> Result<String, Failure> {
    if !out.may_ask() {
        return Err(Failure::usage(format!("{what} is needed")).hint(instead));
    }
    inquire::Text::new(&format!("{what}:")).prompt().map_err(|_| given_up())
}

/// Asks whether to go on; `-y` says yes. Where nobody can be asked the answer is no.
pub(crate) fn confirm(out: &Out, question: &str) -> Result<(), Failure> {
    if out.says_yes() {
        return Ok(());
    }
    if !out.may_ask() {
        return Err(Failure::usage(format!("{question} Nobody can be asked")).hint("add -y to say yes"));
    }
    match inquire::Confirm::new(question).with_default(false).prompt() {
        Ok(true) => Ok(()),
        _ => Err(given_up()),
    }
}

/// Whether somebody sits at a terminal.
pub(crate) fn is_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

fn given_up() -> Failure {
    Failure::new(Exit::Failure, "given up; nothing was done")
}
