//! What people and programs read: data on stdout in four formats, everything else on stderr.

use crate::failure::Failure;
use crate::grammar::{Color, Format, Global};
use crate::prompt;
use belay_web::shape::List;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// How one kind of object looks in a table.
pub(crate) trait Row: Serialize {
    /// The columns.
    const COLUMNS: &'static [&'static str];
    /// The cells, one a column.
    fn cells(&self) -> Vec<String>;
}

/// Where everything is written.
pub(crate) struct Out {
    format: Format,
    ask: bool,
    yes: bool,
    color: bool,
}

impl Out {
    pub(crate) fn new(global: &Global) -> Out {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let color = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => !plain && io::stderr().is_terminal(),
        };
        Out { format: global.output, ask: !global.no_input && prompt::is_terminal(), yes: global.yes, color }
    }

    /// Whether questions may be asked.
    pub(crate) fn may_ask(&self) -> bool {
        self.ask
    }

    /// Whether every question is answered with yes beforehand.
    pub(crate) fn says_yes(&self) -> bool {
        self.yes
    }

    /// Whether people read stdout, not programs.
    pub(crate) fn is_for_people(&self) -> bool {
        self.format == Format::Table
    }

    /// Writes a list.
    pub(crate) fn list<T: Row>(&self, list: &List<T>) {
        match self.format {
            Format::Table => self.data(&table(&list.items)),
            Format::Json => self.json(list),
            Format::Jsonl => list.items.iter().for_each(|item| self.jsonl(item)),
            Format::Csv => self.data(&csv(&list.items)),
        }
    }

    /// Writes items as they come, without a head: for what does not end.
    pub(crate) fn stream<T: Row>(&self, items: &[T]) {
        match self.format {
            Format::Table => items.iter().for_each(|item| self.data(&clean(&item.cells().join("  ")))),
            Format::Json | Format::Jsonl => items.iter().for_each(|item| self.jsonl(item)),
            Format::Csv => items.iter().for_each(|item| self.data(&csv_line(&item.cells()))),
        }
    }

    /// Writes one object.
    pub(crate) fn one<T: Row>(&self, item: &T) {
        match self.format {
            Format::Table => self.data(&card(item)),
            Format::Json => self.json(item),
            Format::Jsonl => self.jsonl(item),
            Format::Csv => self.data(&csv(std::slice::from_ref(item))),
        }
    }

    /// Writes one object that has no form of a table.
    pub(crate) fn object(&self, item: &impl Serialize) {
        match self.format {
            Format::Json | Format::Table => self.json(item),
            Format::Jsonl | Format::Csv => self.jsonl(item),
        }
    }

    /// Writes lines of data for people, with nothing in them that could steer the terminal.
    pub(crate) fn lines(&self, lines: &[String]) {
        for line in lines {
            self.data(&clean(line));
        }
    }

    /// Whether all that is written is to be one document of JSON.
    pub(crate) fn is_one_document(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes many lines of data at once; `false` where nobody reads them any more.
    pub(crate) fn write(&self, lines: &[String]) -> bool {
        let mut text = String::new();
        for line in lines {
            text += &if self.is_for_people() { clean(line) } else { line.clone() };
            text.push('\n');
        }
        io::stdout().lock().write_all(text.as_bytes()).is_ok()
    }

    /// Says these lines.
    pub(crate) fn say_lines(&self, lines: &[String]) {
        for line in lines {
            self.say(line);
        }
    }

    #[allow(clippy::unused_self, reason = "whoever may write has an `Out`")]
    /// Writes text that is data itself, as it is.
    pub(crate) fn data(&self, text: &str) {
        // A reader that has gone, such as `head`, is no failure of ours; there is nobody left to tell.
        let _ = writeln!(io::stdout(), "{}", text.trim_end_matches('\n'));
    }

    fn json(&self, value: &impl Serialize) {
        self.data(&serde_json::to_string_pretty(value).unwrap_or_default());
    }

    fn jsonl(&self, value: &impl Serialize) {
        self.data(&serde_json::to_string(value).unwrap_or_default());
    }

    #[allow(clippy::unused_self, reason = "whoever may write has an `Out`")]
    /// Says how it goes.
    pub(crate) fn say(&self, text: &str) {
        let _ = writeln!(io::stderr(), "{}", clean(text));
    }

    /// Says what comes next: a command that can be run.
    pub(crate) fn next(&self, text: &str) {
        let _ = writeln!(io::stderr(), "{} {}", self.label("next:", "36"), clean(text));
    }

    /// Says what went wrong and what to do about it.
    pub(crate) fn failure(&self, failure: &Failure) {
        let _ = writeln!(io::stderr(), "{} {}", self.label("error:", "31"), clean(&failure.message));
        if let Some(hint) = &failure.hint {
            let _ = writeln!(io::stderr(), "{} {}", self.label("hint:", "36"), clean(hint));
        }
    }

    fn label(&self, text: &str, color: &str) -> String {
        if self.color { format!("\x1b[1;{color}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Other people wrote the reasons and names: what could steer the terminal is shown, not sent.
fn clean(text: &str) -> String {
    let steers = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !text.chars().any(|c| steers(c) && c != '\n') {
        return text.to_owned();
    }
    let shown = |c: char| if steers(c) && c != '\n' { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

fn table<T: Row>(items: &[T]) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(T::COLUMNS.iter().map(|column| column.to_uppercase()));
    for item in items {
        table.add_row(item.cells().iter().map(|cell| clean(&cell.replace('\n', " "))));
    }
    let text = table.to_string();
    // Every cell begins with one space of padding.
    text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect::<Vec<_>>().join("\n")
}

fn card<T: Row>(item: &T) -> String {
    let width = T::COLUMNS.iter().map(|column| column.len()).max().unwrap_or(0);
    let line = |(column, cell): (&&str, String)| format!("{column:width$}  {}", clean(&cell).replace('\n', " "));
    T::COLUMNS.iter().zip(item.cells()).map(line).collect::<Vec<_>>().join("\n")
}

fn csv<T: Row>(items: &[T]) -> String {
    let head: Vec<String> = T::COLUMNS.iter().map(|column| (*column).to_owned()).collect();
    std::iter::once(csv_line(&head))
        .chain(items.iter().map(|item| csv_line(&item.cells())))
        .collect::<Vec<_>>()
        .join("\n")
}

/// RFC 4180.
pub(crate) fn csv_line(cells: &[String]) -> String {
    let quoted = |cell: &String| {
        if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.clone() }
    };
    cells.iter().map(quoted).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Pair(&'static str, &'static str);

    impl Row for Pair {
        const COLUMNS: &'static [&'static str] = &["id", "reason"];
        fn cells(&self) -> Vec<String> {
            vec![self.0.to_owned(), self.1.to_owned()]
        }
    }

    #[test]
    fn a_table_is_columns_and_nothing_else() {
        assert_eq!(table(&[Pair("g_1", "a fix"), Pair("g_20", "b")]), "ID    REASON\ng_1   a fix\ng_20  b");
    }

    #[test]
    fn csv_quotes_what_must_be_quoted() {
        assert_eq!(csv(&[Pair("a,b", "say \"hi\"\nbye")]), "id,reason\n\"a,b\",\"say \"\"hi\"\"\nbye\"");
    }

    #[test]
    fn what_would_steer_the_terminal_is_shown_instead() {
        assert_eq!(clean("a\u{1b}[2Jb\u{202e}"), "a\\u{1b}[2Jb\\u{202e}");
    }
}
