//! What is looked for: `who:alice kind:statement decision:denied since:90d "drop table"`.

use belay_model::{Code, ConnectionId, Event, EventKind, GrantId, Named, SessionId, Span, Timestamp};
use std::fmt::Display;
use std::str::FromStr;

/// The longest filter that is read.
const MAX_TEXT: usize = 4096;
const KEYS: &str = "who, target, table, kind, effect, decision, session, grant, connection, code, since, until";
const EFFECTS: [&str; 6] = ["session", "read", "write", "definition", "privilege", "opaque"];
pub(super) const KINDS: [&str; 51] = [
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
    "mask_added",
    "mask_removed",
    "rule_added",
    "rule_removed",
    "policy_changed",
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
    "change_committed",
    "change_rolled_back",
    "change_unknown",
    "change_reverted",
    "connection_ended",
    "session_ended",
];

/// Conditions that all must hold. The empty one matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Who(String),
    Target(String),
    Table(String),
    Kind(String),
    Effect(String),
    Denied(bool),
    Session(SessionId),
    Grant(GrantId),
    Connection(ConnectionId),
    Code(Code),
    Since(Timestamp),
    Until(Timestamp),
    /// In lower case.
    Text(String),
}

/// A text that is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A key that is not known.
    #[error("`{0}` is not something to search by; known: {KEYS}; put a text with `:` in double quotes")]
    Key(String),
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
    /// A quote that is not closed.
    #[error("a double quote is not closed")]
    Quote,
    /// Too long to be meant.
    #[error("a search may have at most {MAX_TEXT} bytes")]
    Long,
}

impl Filter {
    /// Reads a filter; `now` is what `since:90d` counts from.
    pub fn parse(text: &str, now: Timestamp) -> Result<Filter, FilterError> {
        if text.len() > MAX_TEXT {
            return Err(FilterError::Long);
        }
        let mut conditions = Vec::new();
        for word in words(text)? {
            conditions.push(match word {
                Word::Quoted(text) => Condition::Text(text.to_lowercase()),
                Word::Plain(word) => match word.split_once(':') {
                    Some((key, value)) => condition(key, value, now)?,
                    None => Condition::Text(word.to_lowercase()),
                },
            });
        }
        Ok(Filter { conditions })
    }

    /// Whether every event matches.
    pub fn is_everything(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Whether `event` is looked for.
    pub fn matches(&self, event: &Event) -> bool {
        self.conditions.iter().all(|condition| condition.holds(event))
    }
}

enum Word<'a> {
    Plain(&'a str),
    Quoted(&'a str),
}

fn words(text: &str) -> Result<Vec<Word<'_>>, FilterError> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (inside, after) = quoted.split_once('"').ok_or(FilterError::Quote)?;
            words.push(Word::Quoted(inside));
            rest = after.trim_start();
        } else {
            let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            words.push(Word::Plain(word));
            rest = after.trim_start();
        }
    }
    Ok(words)
}

fn condition(key: &str, value: &str, now: Timestamp) -> Result<Condition, FilterError> {
    let wrong = |why: String| FilterError::Value { key: key.to_owned(), value: value.to_owned(), why };
    let one_of = |known: &[&str]| {
        if known.contains(&value) { Ok(value.to_owned()) } else { Err(wrong(format!("known: {}", known.join(", ")))) }
    };
    Ok(match key {
        "who" => Condition::Who(value.to_owned()),
        "target" => Condition::Target(value.to_owned()),
        "table" if value.is_empty() => return Err(wrong("expected `orders` or `public.orders`".to_owned())),
        "table" => Condition::Table(value.to_owned()),
        "kind" => Condition::Kind(one_of(&KINDS)?),
        "effect" => Condition::Effect(one_of(&EFFECTS)?),
        "decision" => Condition::Denied(one_of(&["denied", "permitted"])? == "denied"),
        "session" => Condition::Session(parse(value).map_err(wrong)?),
        "grant" => Condition::Grant(parse(value).map_err(wrong)?),
        "connection" => Condition::Connection(parse(value).map_err(wrong)?),
        "code" => Condition::Code(parse(value).map_err(wrong)?),
        "since" => Condition::Since(point(value, now).map_err(wrong)?),
        "until" => Condition::Until(point(value, now).map_err(wrong)?),
        _ => return Err(FilterError::Key(key.to_owned())),
    })
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

impl Condition {
    fn holds(&self, event: &Event) -> bool {
        match self {
            Condition::Who(name) => event.who.as_deref() == Some(name),
            Condition::Target(name) => event.target.as_deref() == Some(name),
            Condition::Kind(kind) => event.kind.word() == kind,
            Condition::Session(id) => event.session == Some(*id),
            Condition::Grant(id) => event.grant == Some(*id),
            Condition::Connection(id) => event.connection == Some(*id),
            Condition::Since(point) => event.at >= *point,
            Condition::Until(point) => event.at < *point,
            Condition::Text(text) => texts(&event.kind).iter().flatten().any(|part| part.to_lowercase().contains(text)),
            Condition::Table(table) => match &event.kind {
                EventKind::Statement { relations, .. } => relations.may_be(table),
                EventKind::PlanMade { tables, .. } | EventKind::ChangeKept { tables, .. } => {
                    tables.iter().map(|changed| changed.table.clone()).collect::<Named>().may_be(table)
                }
                _ => false,
            },
            Condition::Effect(word) => match &event.kind {
                EventKind::Statement { effect, .. } => effect.word() == word,
                EventKind::ChangeKept { .. } | EventKind::ChangeCommitted { .. } => word == "write",
                _ => false,
            },
            Condition::Denied(wanted) => {
                matches!(&event.kind, EventKind::Statement { denied, .. } if denied.is_some() == *wanted)
            }
            Condition::Code(wanted) => match &event.kind {
                EventKind::Statement { denied, .. } => denied.as_ref() == Some(wanted),
                EventKind::LoginFailed { code, .. } => code == wanted,
                _ => false,
            },
        }
    }
}

/// What people wrote, or what was written for them to read.
fn texts(kind: &EventKind) -> [Option<&str>; 2] {
    match kind {
        EventKind::Statement { text, because, .. } => [Some(text), because.as_deref()],
        EventKind::RequestMade { reason, .. }
        | EventKind::RequestDenied { reason, .. }
        | EventKind::PlanDenied { reason, .. } => [Some(reason), None],
        EventKind::RequestRefused { reason, because, .. } => [Some(reason), Some(because)],
        EventKind::ApprovalRefused { because, .. } | EventKind::PlanApprovalRefused { because, .. } => {
            [Some(because), None]
        }
        EventKind::GrantReviewed { note } => [Some(note), None],
        EventKind::Recovered { what } => [Some(what), None],
        EventKind::Notified { what, channel, .. } => [Some(what), Some(channel)],
        EventKind::RuleAdded { text, .. } => [Some(text), None],
        _ => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use belay_model::Effect;

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
    fn an_unknown_key_names_the_known_ones() {
        let error = Filter::parse("user:alice", NOW).unwrap_err().to_string();
        assert!(error.starts_with("`user` is not something to search by; known: who, target, table, kind"), "{error}");
    }

    #[test]
    fn wrong_values_say_what_would_be_right() {
        for (filter, part) in [
            ("table:", "expected `orders` or `public.orders`"),
            ("effect:wrote", "known: session, read, write"),
            ("decision:no", "known: denied, permitted"),
            ("kind:x", "known: server_started"),
            ("since:yesterday", "expected for example `90d`"),
            ("session:g_3", "is not a session id"),
            ("\"open", "not closed"),
            (&"x".repeat(5000), "at most 4096 bytes"),
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
