//! Writes the pages that repeat what the program says of itself: codes, configuration, commands.
//!
//! `belay-docs DIRECTORY` writes them; `belay-docs --check DIRECTORY` changes nothing and exits 1 when one is not
//! current. Knows nothing of Belay but what `belay` prints.

use serde_json::Value;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

type Result<T> = std::result::Result<T, String>;

/// How deep commands may nest below `belay`.
const DEEPEST: usize = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["--check", folder] => pages().and_then(|pages| check(Path::new(folder), &pages)),
        [folder] => pages().and_then(|pages| write(Path::new(folder), &pages)),
        _ => {
            eprintln!("usage: belay-docs [--check] DIRECTORY");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("docs: {error}");
            ExitCode::FAILURE
        }
    }
}

type Pages = [(&'static str, String); 3];

fn pages() -> Result<Pages> {
    Ok([("codes.md", codes()?), ("configuration.md", configuration()?), ("cli.md", commands()?)])
}

fn write(folder: &Path, pages: &Pages) -> Result<()> {
    for (name, text) in pages {
        fs::write(folder.join(name), text).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}

fn check(folder: &Path, pages: &Pages) -> Result<()> {
    let stale = |(name, text): &&(&str, String)| fs::read_to_string(folder.join(name)).ok().as_ref() != Some(text);
    match pages.iter().find(stale) {
        Some((name, _)) => Err(format!("`{}` is not current; run scripts/docs", folder.join(name).display())),
        None => Ok(()),
    }
}

fn codes() -> Result<String> {
    let mut text = "# Codes\n\n\
        <!-- Written by scripts/docs from `belay explain`. -->\n\n\
        Every refusal, warning and end carries a code in brackets at the end of its message line, and a standard SQLSTATE.\n\
        `belay explain BLY-1001` prints the same.\n"
        .to_owned();
    for line in belay(&["explain", "-o", "json"])?.lines() {
        let code: Value = serde_json::from_str(line).map_err(|error| format!("belay explain: {error}"))?;
        let field = |name: &str| code[name].as_str().unwrap_or_default().to_owned();
        let (number, title) = (field("code"), field("title"));
        let _ = write!(
            text,
            "\n## {number}: {title}\n\nSQLSTATE {}. {}\n\nWhat to do: {}\n",
            field("sqlstate"),
            field("why"),
            field("remedy"),
        );
    }
    Ok(text)
}

fn configuration() -> Result<String> {
    let schema: Value = serde_json::from_str(&belay(&["server", "--print-schema"])?)
        .map_err(|error| format!("belay server --print-schema: {error}"))?;
    let mut text = include_str!("configuration.head.md").to_owned();
    let mut sections = Vec::new();
    let mut top = String::new();
    for (key, value) in object(&schema["properties"]) {
        match section(&schema, value) {
            Some((several, found)) => sections.push((key, several, found)),
            None => row(&mut top, key, value, false),
        }
    }
    let _ = write!(text, "\n## At the top\n\n{HEAD}{top}");
    for (name, several, found) in sections {
        let title = if several { format!("[[{name}]]") } else { format!("[{name}]") };
        let _ = write!(text, "\n## `{title}`\n\n{}\n\n{HEAD}", description(found));
        let required = found["required"].as_array();
        for (key, value) in object(&found["properties"]) {
            let must = required.is_some_and(|names| names.iter().any(|name| name == key));
            row(&mut text, key, value, must);
        }
    }
    Ok(text)
}

const HEAD: &str = "| key | what | default | bounds |\n|---|---|---|---|\n";

fn row(text: &mut String, key: &str, value: &Value, required: bool) {
    let default = match &value["default"] {
        Value::Null if required => "must be given".to_owned(),
        Value::Null if description(value).contains("Default:") => String::new(),
        Value::Null => "none".to_owned(),
        other => format!("`{other}`"),
    };
    let bounds = match (&value["minimum"], &value["maximum"]) {
        (Value::Null, _) | (_, Value::Null) => String::new(),
        (least, most) => format!("{least} to {most}"),
    };
    let _ = writeln!(text, "| `{key}` | {} | {default} | {bounds} |", description(value));
}

/// The section a key stands for, where it is one, and whether there may be several.
fn section<'a>(schema: &'a Value, value: &'a Value) -> Option<(bool, &'a Value)> {
    let one = value["$ref"].as_str().or_else(|| value["anyOf"][0]["$ref"].as_str());
    let several = value["items"]["$ref"].as_str();
    let name = one.or(several)?.rsplit('/').next()?;
    Some((several.is_some(), &schema["$defs"][name]))
}

fn description(value: &Value) -> String {
    value["description"].as_str().unwrap_or_default().replace('\n', " ")
}

fn object(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn commands() -> Result<String> {
    let mut text = "# The command line\n\n\
        <!-- Written by scripts/docs from `belay --help`. -->\n\n\
        stdout is data, stderr is progress and hints. What a command changed, it says, with the next step. Every command\n\
        but `server`, `explain`, `completion` and the offline part of `audit verify` talks to the server that\n\
        `belay login` named. `belay completion` prints completions for bash, zsh, fish and others.\n"
        .to_owned();
    command(&mut text, &mut Vec::new())?;
    Ok(text)
}

fn command(text: &mut String, words: &mut Vec<String>) -> Result<()> {
    let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
    arguments.push("--help");
    let help = belay(&arguments)?;
    let name = ["belay".to_owned()].iter().chain(words.iter()).cloned().collect::<Vec<_>>().join(" ");
    let own = if words.is_empty() { help.clone() } else { without_global(&help) };
    let _ = write!(text, "\n## `{name}`\n\n```text\n{}\n```\n", own.trim());
    if words.len() < DEEPEST {
        for below in subcommands(&help) {
            words.push(below);
            command(text, words)?;
            words.pop();
        }
    }
    Ok(())
}

/// The help without the options that every command takes.
fn without_global(help: &str) -> String {
    let global = ["-o, --output", "--no-input", "-y, --yes", "--color", "-h, --help"];
    let mut kept = Vec::new();
    let mut skipping = false;
    for line in help.lines() {
        let option = line.trim_start();
        if option.starts_with('-') {
            skipping = global.iter().any(|name| option.starts_with(name));
        } else if !line.starts_with("      ") {
            skipping = false;
        }
        if !skipping {
            kept.push(line.trim_end());
        }
    }
    let text = kept.join("\n");
    text.trim_end().trim_end_matches("\nOptions:").to_owned()
}

fn subcommands(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let named = list.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    named.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn belay(words: &[&str]) -> Result<String> {
    let here = env::current_exe().map_err(|error| error.to_string())?;
    let belay = here.with_file_name("belay");
    // The width of a terminal and a configuration of one's own must not get into the pages.
    let output = Command::new(&belay).args(words).env("COLUMNS", "100").env_remove("BELAY_CONFIG").output();
    let output = output.map_err(|error| format!("`{}`: {error}; cargo build -p belay-cli", belay.display()))?;
    if !output.status.success() {
        return Err(format!("belay {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}
