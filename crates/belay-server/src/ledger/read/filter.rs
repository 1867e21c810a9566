//! What is looked for: `who:alice kind:statement -decision:denied since:90d "drop table"`.

mod facts;
mod query;

pub(in crate::ledger) use facts::{Key, texts, values, words};

use belay_model::{ChangeId, Code, ConnectionId, Event, GrantId, PlanId, RequestId, SessionId, Span, Timestamp};
use query::Word;
use std::fmt::Display;
use std::str::FromStr;

/// The longest filter that is read.
const MAX_TEXT: usize = 4096;
/// The most conditions it may have.
const MAX_CONDITIONS: usize = 64;
const KEYS: [&str; 17] = [
    "who",
    "target",
    "table",
    "row",
    "kind",
    "effect",
    "decision",
    "session",
    "grant",
    "connection",
    "request",
    "plan",
    "change",
    "code",
    "sqlstate",
    "since",
    "until",
];
/// How like a word must be to the one that was perhaps meant.
const NEAR: f64 = 0.8;
const EFFECTS: [&str; 6] = ["session", "read", "write", "definition", "privilege", "opaque"];
const DECISIONS: [&str; 2] = ["denied", "permitted"];
pub(super) const KINDS: &[&str] = &[
    "server_started",
    "server_stopped",
    "recovered",
    "user_added",
    "user_changed",
    "password_changed",
    "api_login",
    "api_login_failed",
    "api_token_revoked",
    "target_added",
    "target_removed",
    "table_armed",
    "table_disarmed",
    "mask_added",
    "mask_removed",
    "rule_added",
    "rule_removed",
    "policy_changed",
    "ledger_key_added",
    "segment_deleted",
    "configuration_changed",
    "request_made",
    "request_refused",
    "request_approved",
    "approval_refused",
    "request_denied",
    "request_withdrawn",
    "request_lapsed",
    "grant_made",
    "grant_extended",
    "grant_narrowed",
    "grant_ended",
    "grant_reviewed",
    "token_claimed",
    "notified",
    "role_made",
    "role_dropped",
    "login",
    "login_failed",
    "statement",
    "outcome",
    "plan_made",
    "plan_approved",
    "plan_approval_refused",
    "plan_denied",
    "plan_lapsed",
    "plan_started",
    "plan_applied",
    "plan_differs",
    "change_kept",
    "change_rows",
    "change_committed",
    "change_rolled_back",
    "change_unknown",
    "change_reverted",
    "connection_ended",
    "session_ended",
    "session_held",
    "session_released",
    "session_erased",
];

/// Conditions that all must hold. The empty one matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ledger) struct Condition {
    pub(in crate::ledger) negated: bool,
    pub(in crate::ledger) test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ledger) enum Test {
    /// The event has one of these values.
    Has(Vec<(Key, String)>),
    /// One of its texts has these words, one after the other.
    Says {
        words: Vec<String>,
        /// The last is only the beginning of a word.
        open: bool,
    },
    Since(Timestamp),
    Until(Timestamp),
}

/// A text that is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A key that is not known.
    #[error("`{key}` is not something to search by; {}; put a text with `:` in double quotes", suggested(key, &KEYS))]
    Key {
        /// The key.
        key: String,
    },
    /// A value that its key does not take.
    #[error("`{key}:{value}`: {why}")]
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// A text without a letter or digit.
    #[error("`{0}` has no word to search for")]
    NoWord(String),
    /// A quote that is not closed.
    #[error("a double quote is not closed")]
    Quote,
    /// Too long to be meant.
    #[error("a search may have at most {MAX_TEXT} bytes and {MAX_CONDITIONS} conditions")]
    Long,
}

impl Filter {
    /// Reads a filter; `now` is what `since:90d` counts from.
    pub fn parse(text: &str, now: Timestamp) -> Result<Filter, FilterError> {
        if text.len() > MAX_TEXT {
            return Err(FilterError::Long);
        }
        let words = query::words(text)?;
        if words.len() > MAX_CONDITIONS {
            return Err(FilterError::Long);
        }
        let condition = |word: &Word<'_>| {
            let wanted = word.key.map_or_else(|| said(word), |key| keyed(key, word.value, now))?;
            Ok(Condition { negated: word.negated, test: wanted })
        };
        Ok(Filter { conditions: words.iter().map(condition).collect::<Result<_, _>>()? })
    }

    /// Whether every event matches.
    pub fn is_everything(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Whether `event` is looked for.
    pub fn matches(&self, event: &Event) -> bool {
        self.conditions.iter().all(|condition| condition.test.holds(event) != condition.negated)
    }

    pub(in crate::ledger) fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}

fn said(word: &Word<'_>) -> Result<Test, FilterError> {
    let (text, open) = match word.value.strip_suffix('*') {
        Some(text) if !word.quoted => (text, true),
        _ => (word.value, false),
    };
    let words: Vec<String> = words(text).collect();
    if words.is_empty() {
        return Err(FilterError::NoWord(word.value.to_owned()));
    }
    Ok(Test::Says { words, open })
}

fn keyed(key: &str, value: &str, now: Timestamp) -> Result<Test, FilterError> {
    if !KEYS.contains(&key) {
        return Err(FilterError::Key { key: key.to_owned() });
    }
    test(key, value, now).map_err(|why| FilterError::Value { key: key.to_owned(), value: value.to_owned(), why })
}

fn test(key: &str, value: &str, now: Timestamp) -> Result<Test, String> {
    let has = |key, value: String| Ok(Test::Has(vec![(key, value)]));
    let one_of = |key, known: &[&str]| {
        if known.contains(&value) { has(key, value.to_owned()) } else { Err(suggested(value, known)) }
    };
    if value.is_empty() {
        return Err("expected a value behind the `:`".to_owned());
    }
    match key {
        "who" => has(Key::Who, value.to_owned()),
        "target" => has(Key::Target, value.to_owned()),
        "table" => Ok(table(value)),
        "row" => has(Key::Row, value.to_owned()),
        "kind" => one_of(Key::Kind, KINDS),
        "effect" => one_of(Key::Effect, &EFFECTS),
        "decision" => one_of(Key::Decision, &DECISIONS),
        "session" => has(Key::Session, parse::<SessionId>(value)?.to_string()),
        "grant" => has(Key::Grant, parse::<GrantId>(value)?.to_string()),
        "connection" => has(Key::Connection, parse::<ConnectionId>(value)?.to_string()),
        "request" => has(Key::Request, parse::<RequestId>(value)?.to_string()),
        "plan" => has(Key::Plan, parse::<PlanId>(value)?.to_string()),
        "change" => has(Key::Change, parse::<ChangeId>(value)?.to_string()),
        "code" => has(Key::Code, parse::<Code>(value)?.to_string()),
        "sqlstate" if value.len() == 5 && value.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            has(Key::Sqlstate, value.to_ascii_uppercase())
        }
        "sqlstate" => Err("expected five letters or digits, for example `23505`".to_owned()),
        "since" => Ok(Test::Since(point(value, now)?)),
        _ => Ok(Test::Until(point(value, now)?)),
    }
}

/// A schema counts only where both say one: which `orders` a statement meant is not known, and a search must not miss it.
fn table(name: &str) -> Test {
    let shorter = facts::endings(name).map(|ending| (Key::Named, ending.to_owned()));
    Test::Has(std::iter::once((Key::Table, name.to_owned())).chain(shorter).collect())
}

/// The known word that was perhaps meant, or all of them.
fn suggested(unknown: &str, known: &[&str]) -> String {
    let likeness = |word: &&str| (strsim::jaro_winkler(word, unknown), (*word).to_owned());
    let nearest = known.iter().map(likeness).max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest.filter(|(likeness, _)| *likeness >= NEAR) {
        Some((_, word)) => format!("did you mean `{word}`?"),
        None => format!("known: {}", known.join(", ")),
    }
}

fn parse<T: FromStr<Err: Display>>(value: &str) -> Result<T, String> {
    value.parse().map_err(|error: T::Err| error.to_string())
}

/// `90d` ago, a day (from its beginning, UTC), or a point in time.
fn point(value: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(span) = value.parse::<Span>() {
        return Ok(Timestamp(now.0.saturating_sub(i64::from(span.seconds()) * 1_000_000)));
    }
    let day = value.parse::<jiff::civil::Date>().ok().filter(|_| value.len() == 10);
    let day = day.and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok()).map(|day| day.timestamp());
    match day.or_else(|| value.parse::<jiff::Timestamp>().ok()) {
        Some(point) => Ok(Timestamp(point.as_microsecond())),
        None => Err("expected for example `90d`, `2026-11-01` or `2026-11-01T08:30:00Z`".to_owned()),
    }
}

impl Test {
    fn holds(&self, event: &Event) -> bool {
        match self {
            Test::Has(wanted) => wanted.iter().any(|(key, value)| values(event, *key).contains(value)),
            Test::Says { words, open } => texts(&event.kind).into_iter().any(|text| says(text, words, *open)),
            Test::Since(point) => event.at >= *point,
            Test::Until(point) => event.at < *point,
        }
    }
}

fn says(text: &str, wanted: &[String], open: bool) -> bool {
    let found: Vec<String> = words(text).collect();
    let Some((last, before)) = wanted.split_last() else { return true };
    found.windows(wanted.len()).any(|found| {
        let (end, start) = (&found[wanted.len() - 1], &found[..wanted.len() - 1]);
        start == before && if open { end.starts_with(last) } else { end == last }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use belay_model::{ChangedTable, Effect, EventKind, Outcome, TransactionStatus};

    const NOW: Timestamp = Timestamp(1_000_000_000_000_000);

    fn matches(filter: &str, event: &Event) -> bool {
        Filter::parse(filter, NOW).unwrap().matches(event)
    }

    fn denied_update() -> Event {
        let kind = EventKind::Statement {
            statement: 3,
            text: "UPDATE Orders SET total = 0".into(),
            values: None,
            effect: Effect::Write,
            denied: Some(Code::WriteInReadOnly),
            because: None,
            relations: ["public.orders".to_owned(), "refunds".to_owned()].into_iter().collect(),
        };
        let event = Event::new(Timestamp(NOW.0 - 3_600_000_000), kind).by("alice").on("orders").under(GrantId(3));
        Event { session: Some(SessionId(7)), ..event }
    }

    #[test]
    fn every_key_narrows() {
        let event = denied_update();
        for (filter, expected) in [
            ("", true),
            (
                "who:alice target:orders kind:statement effect:write decision:denied session:s_7 grant:g_3 since:90d",
                true,
            ),
            ("who:bob", false),
            ("target:other", false),
            ("table:orders effect:write since:90d", true),
            ("table:public.orders", true),
            ("table:public.refunds table:refunds", true),
            ("table:hr.orders", false),
            ("table:order", false),
            ("kind:outcome", false),
            ("effect:read", false),
            ("decision:permitted", false),
            ("session:8", false),
            ("connection:n_1", false),
            ("code:BLY-1001", true),
            ("code:BLY-1002", false),
            ("since:59m", false),
            ("since:61m until:30m", true),
            ("until:2001-09-08", false),
            ("until:2001-09-10 since:2001-09-09T00:00:00Z", true),
            ("update ORDERS", true),
            ("\"set total\"", true),
            ("\"total set\"", false),
            ("Orders.SET", true),
            ("set.orders", false),
            ("total=0", true),
            ("order", false),
            ("ord*", true),
            ("\"ord*\"", false),
            ("total.0*", true),
            ("-order", true),
            ("-orders", false),
            ("-ord*", false),
            ("-who:bob -kind:outcome", true),
            ("-who:alice", false),
            ("-since:59m", true),
            ("-table:orders", false),
            ("-table:hr.orders", true),
            ("who:\"alice\"", true),
        ] {
            assert_eq!(matches(filter, &event), expected, "{filter}");
        }
    }

    #[test]
    fn a_reason_is_searched_like_a_statement() {
        let event = Event::new(NOW, EventKind::GrantReviewed { note: "INC-4881 was real".to_owned() });
        assert!(matches("inc-4881", &event));
    }

    #[test]
    fn a_change_is_found_by_its_rows_and_by_what_it_belongs_to() {
        let changed = |table: &str, keys: &[&str]| ChangedTable {
            table: table.to_owned(),
            inserted: 0,
            updated: 2,
            deleted: 0,
            indirect: false,
            keys: keys.iter().map(ToString::to_string).collect(),
            more_keys: 0,
        };
        let kept = serde_json::json!({
            "kind": "change_kept", "change": "c_4", "plan": "p_2", "rows": 3, "fingerprint": "", "reverts": ["c_3"],
            "tables": [changed("public.orders", &["41", "42"]), changed("public.parts", &["a b,1"])],
        });
        let kind: EventKind = serde_json::from_value(kept).unwrap();
        let event = Event::new(NOW, kind);
        for (filter, expected) in [
            ("table:orders row:41", true),
            ("row:\"a b,1\" effect:write", true),
            ("row:4", false),
            ("-row:41", false),
            ("change:c_4 plan:p_2", true),
            ("change:3", true),
            ("change:c_5", false),
            ("-plan:p_2", false),
            ("request:r_1", false),
        ] {
            assert_eq!(matches(filter, &event), expected, "{filter}");
        }
    }

    #[test]
    fn an_outcome_is_found_by_its_sqlstate() {
        let outcome = Outcome {
            rows: None,
            bytes: None,
            sqlstate: Some("22P02".to_owned()),
            stopped: None,
            skipped: false,
            micros: 5,
        };
        let kind = EventKind::Outcome { statement: 1, outcome, transaction: TransactionStatus::Idle };
        let event = Event::new(NOW, kind);
        assert!(matches("sqlstate:22p02", &event));
        assert!(!matches("sqlstate:23505", &event));
        assert!(!matches("code:BLY-1001", &event));
    }

    #[test]
    fn an_unknown_key_names_the_nearest_one_or_all() {
        let error = |filter| Filter::parse(filter, NOW).unwrap_err().to_string();
        let near = error("sesion:s_7");
        assert!(near.starts_with("`sesion` is not something to search by; did you mean `session`?"), "{near}");
        let far = error("xyz:alice");
        assert!(far.starts_with("`xyz` is not something to search by; known: who, target, table, row"), "{far}");
    }

    #[test]
    fn wrong_values_say_what_would_be_right() {
        for (filter, part) in [
            ("table:", "expected a value behind the `:`"),
            ("effect:wrote", "did you mean `write`?"),
            ("decision:no", "known: denied, permitted"),
            ("kind:x", "known: server_started"),
            ("kind:statment", "did you mean `statement`?"),
            ("since:yesterday", "expected for example `90d`"),
            ("session:g_3", "is not a session id"),
            ("plan:c_3", "is not a plan id"),
            ("sqlstate:unique", "expected five letters or digits"),
            ("\"open", "not closed"),
            ("-", "has no word to search for"),
            ("*", "has no word to search for"),
            ("\"\"", "has no word to search for"),
            (&"x".repeat(5000), "at most 4096 bytes"),
            (&"x ".repeat(65), "at most 4096 bytes and 64 conditions"),
        ] {
            let error = Filter::parse(filter, NOW).unwrap_err().to_string();
            assert!(error.contains(part), "{filter}: {error}");
        }
    }

    #[test]
    fn the_known_kinds_are_those_of_the_vocabulary() {
        let error = serde_json::from_str::<EventKind>(r#"{"kind":"?"}"#).unwrap_err().to_string();
        let known: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
        assert_eq!(known, KINDS);
    }
}
