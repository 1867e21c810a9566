//! What a statement does, by PostgreSQL's own grammar.
//!
//! Does not decide, does no IO and reads no clock. What names mean is asked of the target's [`Catalog`]; without one
//! they are taken as they are written, and nothing is said of columns.
//!
//! [`Catalog`]: crate::catalog::Catalog
//!
//! Whatever is not understood is one [`Effect::Opaque`](belay_model::Effect::Opaque) statement with the reason. No
//! text can make it panic, overflow a stack, or work without bound.

mod cache;

mod code;
mod context;
mod definition;
mod findings;
mod functions;
mod limits;
mod parameters;
mod reader;
mod session;
mod shape;
mod shown_setting;
mod stack;
mod statement;
mod uses;
mod walk;
mod withheld;

pub use context::{Place, SearchPath};
pub use limits::Limits;
pub(crate) use shown_setting::{may_show, why as why_not_shown};

use crate::catalog::Catalog;
use belay_model::{Code, Effect, Statement};
use cache::Verdicts;
use context::Context;
use functions::Functions;
use pg_query::Error;
use pg_query::protobuf::ParseResult;
use std::sync::Arc;

/// Up to so many bytes a text cannot nest deeper than the caller's stack allows, and a shape is no shorter than it.
const SHORT: usize = 20;
/// Bytes of a parser's message that are passed on.
const LONGEST_REASON: usize = 80;

/// What a message does.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Its statements, in order.
    pub statements: Arc<[Statement]>,
    /// What it does to the search path.
    pub path: PathChange,
    /// The prepared statements, cursors and roles that it names in SQL.
    pub names: Arc<[SqlName]>,
}

/// A prepared statement, a cursor or a role, as SQL names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlName {
    /// PREPARE, by the text of the whole statement.
    Prepares {
        /// The name.
        name: String,
        /// The text.
        text: Arc<str>,
    },
    /// EXECUTE, also under EXPLAIN.
    Executes {
        /// Which statement of the message it is.
        statement: usize,
        /// The name.
        name: String,
    },
    /// FETCH and MOVE.
    Fetches {
        /// Which statement of the message it is.
        statement: usize,
        /// The cursor's name.
        name: String,
    },
    /// DECLARE CURSOR.
    Declares {
        /// The cursor's name.
        name: String,
    },
    /// DEALLOCATE of one name.
    Deallocates {
        /// The name.
        name: String,
    },
    /// `current_setting`, with a name that a parameter of the protocol gives: see [`may_show`].
    Shows {
        /// Which parameter, from 1.
        parameter: usize,
    },
    /// SET ROLE: what stands for the role in force may mean this one.
    ActsAs {
        /// The role's name.
        role: String,
    },
}

/// What a message does to the search path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathChange {
    /// Nothing.
    None,
    /// It becomes this one.
    To(SearchPath),
    /// It becomes this one until the transaction ends.
    Local(SearchPath),
    /// It may be any of these afterwards, whether or not the message fails.
    Among(Vec<SearchPath>),
    /// It may go back to what it was before.
    Back,
}

impl PathChange {
    /// The path that is in force afterwards, where it is known.
    pub(crate) fn path(&self) -> Option<&SearchPath> {
        match self {
            PathChange::To(path) | PathChange::Local(path) => Some(path),
            PathChange::None | PathChange::Among(_) | PathChange::Back => None,
        }
    }
}

impl Reading {
    /// Statements that do nothing to the session's names.
    pub fn of(statements: Arc<[Statement]>) -> Reading {
        Reading { statements, path: PathChange::None, names: Arc::from([]) }
    }

    /// A message that is not understood.
    pub(crate) fn refused(code: Code, because: String) -> Reading {
        let mut statement = Statement::new(Effect::Opaque, "statement");
        statement.because = Some(because);
        statement.code = Some(code);
        Reading::of(Arc::from([statement]))
    }
}

/// Reads the texts of messages, with one catalog or none. One serves any number of threads.
#[derive(Debug)]
pub struct Classifier {
    limits: Limits,
    functions: Functions,
    catalog: Option<Catalog>,
    verdicts: Verdicts,
}

impl Default for Classifier {
    fn default() -> Classifier {
        Classifier::new(Limits::default(), None)
    }
}

impl Classifier {
    /// A classifier under these bounds, with nothing remembered.
    pub fn new(limits: Limits, catalog: Option<Catalog>) -> Classifier {
        Classifier { limits, functions: Functions::shipped(), catalog, verdicts: Verdicts::new(limits.cache) }
    }

    /// The catalog that names are looked up in.
    pub fn catalog(&self) -> Option<&Catalog> {
        self.catalog.as_ref()
    }

    /// A place to read from: with these paths in force, or possibly in force, for this role.
    pub fn place(&self, paths: Vec<SearchPath>, default_path: Option<SearchPath>, role: &str) -> Place {
        let has_views = self.catalog.as_ref().is_some_and(|catalog| catalog.has_schema(role));
        let schema = if has_views { role } else { "" };
        let number = self.verdicts.number(&paths, default_path.as_ref(), schema);
        Place { paths, default_path, role: role.to_owned(), number }
    }

    /// The statements of one message, by its text alone.
    pub fn classify(&self, text: &str) -> Arc<[Statement]> {
        self.read(text, &Place::default()).statements
    }

    /// What one message does; nothing where it holds no statement.
    ///
    /// Wants 1.5 MiB of free stack; what could need more is parsed on a thread of its own.
    pub fn read(&self, text: &str, place: &Place) -> Reading {
        if text.len() > self.limits.text {
            return Reading::refused(Code::TooLarge, format!("the text is longer than {} bytes", self.limits.text));
        }
        // Before what is remembered: inside a literal it would not tell one shape from another.
        if text.contains('\0') {
            return Reading::refused(Code::Opaque, "the text holds a NUL character".to_owned());
        }
        if is_blank(text) {
            return Reading::of(Arc::from([]));
        }
        if let Some(known) = self.verdicts.of_text(place.number, text) {
            return known;
        }
        if text.len() <= SHORT {
            let (reading, _) = self.parse(text, text.len(), Context { catalog: self.catalog.as_ref(), place });
            self.verdicts.remember_text(place.number, text, &reading);
            return reading;
        }
        let glance = shape::glance(text);
        if let Some(known) = glance.as_deref().and_then(|key| self.verdicts.of_shape(place.number, key, text)) {
            return known;
        }
        let tokens = match pg_query::scan_tokens(text) {
            Ok(tokens) => tokens,
            Err(error) => return refused_by_parser(error),
        };
        let key = shape::key(text, &tokens);
        if let Some(known) = key.as_deref().and_then(|key| self.verdicts.of_shape(place.number, key, text)) {
            if let Some(glance) = glance {
                self.verdicts.remember_shape(place.number, glance, &known);
            }
            return known;
        }
        let nesting = shape::nesting(&tokens);
        drop(tokens);
        let (reading, by_shape) = self.parse(text, nesting, Context { catalog: self.catalog.as_ref(), place });
        if let (Some(key), true) = (key, by_shape) {
            self.verdicts.remember_shape(place.number, key, &reading);
            if let Some(glance) = glance {
                self.verdicts.remember_shape(place.number, glance, &reading);
            }
        }
        // By its text too: a text with parameters instead of literals comes again as it is.
        self.verdicts.remember_text(place.number, text, &reading);
        reading
    }

    /// What it does, and whether any text of the same shape does the same.
    fn parse(&self, text: &str, nesting: usize, context: Context<'_>) -> (Reading, bool) {
        if nesting > self.limits.nesting {
            let because = format!("the text is nested deeper than {} levels", self.limits.nesting);
            return (Reading::refused(Code::TooLarge, because), false);
        }
        let read = stack::with_room_for(nesting, || match pg_query::parse(text, 0) {
            Ok(tree) => reader::all(&self.functions, context, text, &tree.protobuf),
            Err(error) => (refused_by_parser(error), false),
        });
        // A parser that panics and a thread that cannot start are the same to the client: not understood.
        read.unwrap_or_else(|| (Reading::refused(Code::Opaque, "the text could not be read".to_owned()), false))
    }
}

/// Reads the tree of a text, on a stack that has room for it; nothing where no text may be so deep.
pub(crate) fn with_tree<T: Send>(text: &str, read: impl FnOnce(&ParseResult) -> T + Send) -> Option<T> {
    if is_blank(text) {
        return None;
    }
    let nesting = shape::nesting(&pg_query::scan_tokens(text).ok()?);
    if nesting > Limits::default().nesting {
        return None;
    }
    stack::with_room_for(nesting, || Some(read(&pg_query::parse(text, 0).ok()?.protobuf)))?
}

/// Whether the lexer finds nothing at all: `pg_query::scan_tokens` of 18.1 takes a slice at a null pointer then, which
/// is undefined behaviour and ends the process in debug builds. A comment is a token.
pub(crate) fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t'..=b'\r'))
}

fn refused_by_parser(error: Error) -> Reading {
    let because = match error {
        Error::Parse(message) | Error::Scan(message) => message,
        other => other.to_string(),
    };
    let exhausted = because.contains("stack depth limit exceeded") || because.contains("memory exhausted");
    Reading::refused(if exhausted { Code::TooLarge } else { Code::Opaque }, shortened(because))
}

/// The parser quotes the rest of the text where a string does not end.
fn shortened(mut message: String) -> String {
    if message.len() > LONGEST_REASON {
        message.truncate(message.floor_char_boundary(LONGEST_REASON));
        message.push_str("...");
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_statements_has_none() {
        for text in ["", " ", "\t\n\u{b}\u{c}\r", ";", ";;\n;", "-- a comment", "/* a /* nested */ comment */"] {
            assert!(Classifier::default().classify(text).is_empty(), "{text:?}");
        }
    }

    #[test]
    fn what_the_parser_refuses_is_opaque_in_the_parsers_own_words() {
        let statements = Classifier::default().classify("slect 1");
        assert_eq!(statements.len(), 1);
        assert_eq!(statements[0].effect, Effect::Opaque);
        assert_eq!(statements[0].because.as_deref(), Some("syntax error at or near \"slect\""));
        assert_eq!(statements[0].code, Some(Code::Opaque));
    }

    #[test]
    fn a_long_string_without_an_end_is_not_quoted_in_full() {
        let statements = Classifier::default().classify(&format!("SELECT 'ä{}", "ö".repeat(10_000)));
        assert!(statements[0].because.as_deref().unwrap().len() <= LONGEST_REASON + 3);
    }

    #[test]
    fn a_text_over_the_bound_is_refused_unread() {
        let classifier = Classifier::new(Limits { text: 20, ..Limits::default() }, None);
        assert_eq!(classifier.classify("SELECT 1 AS twenty__")[0].effect, Effect::Read);
        assert_eq!(classifier.classify("SELECT 1 AS twentyone")[0].code, Some(Code::TooLarge));
    }

    #[test]
    fn texts_of_one_shape_share_one_verdict_and_texts_of_another_do_not() {
        let classifier = Classifier::default();
        let first = classifier.classify("SELECT a FROM t WHERE b = 1 AND c = 'x'");
        let same = classifier.classify("SELECT a /* note */ FROM t  WHERE b = 22 AND c = E'\\'y'");
        let other = classifier.classify("SELECT a FROM u WHERE b = 1 AND c = 'x'");
        assert!(Arc::ptr_eq(&first, &same));
        assert!(!Arc::ptr_eq(&first, &other));
        assert_eq!(other[0].relations[0].name, "u");
    }

    #[test]
    fn a_verdict_that_a_literal_settles_is_not_shared() {
        let classifier = Classifier::default();
        let allowed = classifier.classify("SELECT set_config('search_path', 'x', false)");
        let guarded = classifier.classify("SELECT set_config('role', 'x', false)");
        assert_eq!((allowed[0].effect, guarded[0].effect), (Effect::Read, Effect::Privilege));
        assert_eq!(classifier.classify("SET client_encoding = 'UTF8'")[0].effect, Effect::Session);
        assert_eq!(classifier.classify("SET client_encoding = 'SJIS'")[0].effect, Effect::Privilege);
    }
}
