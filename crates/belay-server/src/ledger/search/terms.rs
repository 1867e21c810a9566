//! Events and filters as terms of the index.
//!
//! A term is a letter for the key and the value, with everything that the tokenizer would change or split at written
//! as `^` and two digits. What a filter asks of the index is never less than what it matches: the records that are found
//! are put to the filter itself.

use crate::ledger::read::filter::{Filter, Key, Test, texts, values, words};
use belay_model::Event;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Besides letters and digits, what the tokenizer takes as part of a term.
pub(super) const TOKEN_CHARS: &str = "_.:-^";
/// Every record has it.
const EVERY: &str = "x";
const WORD: char = 'w';
/// Terms are not longer; what is longer is told apart by the filter.
const MAX_TERM: usize = 200;
/// The index is asked for at most so many words of one text.
const MAX_WORDS: usize = 16;

/// A value as a term.
struct Term {
    text: String,
    /// No other value has this term.
    whole: bool,
}

/// All terms of the event, with spaces between them.
pub(super) fn of_event(event: &Event) -> String {
    let mut document = EVERY.to_owned();
    let mut add = |term: Term| {
        document.push(' ');
        document.push_str(&term.text);
    };
    for key in Key::ALL {
        for value in values(event, key) {
            add(term(letter(key), &value));
        }
    }
    let said: BTreeSet<String> = texts(&event.kind).into_iter().flat_map(words).collect();
    for word in said {
        add(term(WORD, &word));
    }
    document
}

/// What the index is asked for, in the language of FTS5; `None` when every record has to be looked at.
pub(super) fn of_filter(filter: &Filter) -> Option<String> {
    let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
    for condition in filter.conditions() {
        let asked = match &condition.test {
            Test::Has(any) => {
                let terms: Vec<Term> = any.iter().map(|(key, value)| term(letter(*key), value)).collect();
                let whole = terms.iter().all(|term| term.whole);
                let any: Vec<String> = terms.iter().map(|term| quoted(term, false)).collect();
                Asked { text: format!("({})", any.join(" OR ")), exactly: whole }
            }
            Test::Says { words, open } => {
                let last = words.len() - 1;
                let terms = words.iter().enumerate().map(|(at, word)| (term(WORD, word), *open && at == last));
                let terms: Vec<(Term, bool)> = terms.collect();
                let exactly = terms.len() == 1 && terms[0].0.whole;
                let all: Vec<String> = terms.iter().take(MAX_WORDS).map(|(term, open)| quoted(term, *open)).collect();
                Asked { text: format!("({})", all.join(" AND ")), exactly }
            }
            Test::Since(_) | Test::Until(_) => continue,
        };
        match condition.negated {
            false => wanted.push(asked.text),
            true if asked.exactly => unwanted.push(asked.text),
            true => {}
        }
    }
    if wanted.is_empty() && unwanted.is_empty() {
        return None;
    }
    if wanted.is_empty() {
        wanted.push(quoted(&term_of_all(), false));
    }
    let wanted = wanted.join(" AND ");
    if unwanted.is_empty() { Some(wanted) } else { Some(format!("({wanted}) NOT ({})", unwanted.join(" OR "))) }
}

/// A condition as the index understands it.
struct Asked {
    text: String,
    /// The index finds exactly what the condition means, and not more.
    exactly: bool,
}

fn term_of_all() -> Term {
    Term { text: EVERY.to_owned(), whole: true }
}

fn quoted(term: &Term, open: bool) -> String {
    if open { format!("\"{}\" *", term.text) } else { format!("\"{}\"", term.text) }
}

fn term(letter: char, value: &str) -> Term {
    let mut text = String::from(letter);
    for c in value.chars() {
        let plain =
            !c.is_ascii() || c.is_ascii_lowercase() || c.is_ascii_digit() || (c != '^' && TOKEN_CHARS.contains(c));
        if plain {
            text.push(c);
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "^{:02x}", u32::from(c));
        }
        if text.len() > MAX_TERM {
            return Term { text, whole: false };
        }
    }
    Term { text, whole: true }
}

fn letter(key: Key) -> char {
    match key {
        Key::Who => 'a',
        Key::Target => 'b',
        Key::Table => 'c',
        Key::Named => 'd',
        Key::Row => 'e',
        Key::Kind => 'f',
        Key::Effect => 'g',
        Key::Decision => 'h',
        Key::Session => 'i',
        Key::Grant => 'j',
        Key::Connection => 'k',
        Key::Request => 'l',
        Key::Plan => 'm',
        Key::Change => 'n',
        Key::Code => 'o',
        Key::Sqlstate => 'p',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use belay_model::Timestamp;

    fn asked(filter: &str) -> Option<String> {
        of_filter(&Filter::parse(filter, Timestamp(0)).unwrap())
    }

    #[test]
    fn a_filter_asks_for_terms() {
        for (filter, expected) in [
            ("", None),
            ("since:90d", None),
            ("-\"drop table\"", None),
            ("who:Ann", Some(r#"("a^41nn")"#)),
            ("table:public.orders", Some(r#"("cpublic.orders" OR "dorders")"#)),
            ("who:ann drop ta*", Some(r#"("aann") AND ("wdrop") AND ("wta" *)"#)),
            ("\"drop table\"", Some(r#"("wdrop" AND "wtable")"#)),
            ("-who:ann", Some(r#"("x") NOT (("aann"))"#)),
            ("effect:write -who:ann -drop", Some(r#"(("gwrite")) NOT (("aann") OR ("wdrop"))"#)),
        ] {
            assert_eq!(asked(filter).as_deref(), expected, "{filter}");
        }
    }

    #[test]
    fn values_that_begin_alike_are_not_excluded_together() {
        let long = "k".repeat(300);
        assert_eq!(asked(&format!("-row:{long}")), None);
        assert!(asked(&format!("row:{long}")).is_some());
    }
}
