//! Tells people outside of Belay: requests that wait, emergencies, grants that end soon.
//!
//! Decides nothing and holds nothing up: what happens has happened when it is told, the queue is bounded, and a
//! receiver that does not answer is given up on after a few tries. Each telling, delivered or not, is in the ledger.

use crate::config::Notify;
use crate::desk::{Change, Clock, Desk};
use crate::ledger::Ledger;
use crate::sessions::LiveSessions;
use crate::signed_post;
use belay_model::{
    AccessRequest, Event, EventKind, Grant, GrantId, Plan, PlanKind, PlanState, RequestState, Resource, Span, Timestamp,
};
use secrecy::ExposeSecret;
use serde::Serialize;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Tellings that wait for a slow receiver; more are given up on, and the ledger says so.
const QUEUE: usize = 256;
/// How long one try may take.
const TRY_TIME: Duration = Duration::from_secs(5);
/// How often it is tried.
const TRIES: u32 = 3;
/// How often the time left is looked at.
const TICK: Duration = Duration::from_secs(1);

/// What a receiver gets as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
struct Message {
    kind: &'static str,
    api_version: &'static str,
    what: What,
    /// One line for people.
    text: String,
    principal: String,
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<String>,
}

/// What people are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum What {
    RequestPending,
    PlanPending,
    BreakGlass,
    GrantEndsSoon,
}

impl What {
    fn word(self) -> &'static str {
        match self {
            What::RequestPending => "request_pending",
            What::PlanPending => "plan_pending",
            What::BreakGlass => "break_glass",
            What::GrantEndsSoon => "grant_ends_soon",
        }
    }
}

/// What the notifier needs.
#[derive(Clone)]
pub(crate) struct Notifier {
    pub(crate) desk: Arc<Desk>,
    pub(crate) ledger: Ledger,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sessions: Arc<LiveSessions>,
    pub(crate) warn_before: Vec<Span>,
    /// Where to send; without it messages go to the log.
    pub(crate) webhook: Option<Notify>,
}

impl Notifier {
    /// Starts the three tasks: what changes, what time brings, and the sending.
    pub(crate) fn start(self) -> Vec<tokio::task::JoinHandle<()>> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        vec![
            tokio::spawn(self.clone().watch_changes(queue.clone())),
            tokio::spawn(self.clone().watch_time(queue)),
            tokio::spawn(self.send(waiting)),
        ]
    }

    async fn watch_changes(self, queue: mpsc::Sender<Message>) {
        let mut changes = self.desk.changes();
        loop {
            let message = match changes.recv().await {
                Ok(Change::Request(request)) => message_of(&request),
                Ok(Change::Plan(plan)) => message_of_plan(&plan),
                Ok(_) => None,
                Err(RecvError::Lagged(missed)) => {
                    tracing::error!(missed, "changes were not told: the notifier fell behind");
                    None
                }
                Err(RecvError::Closed) => return,
            };
            if let Some(message) = message {
                self.enqueue(&queue, message).await;
            }
        }
    }

    /// Warns before the end of grants that are in use.
    async fn watch_time(self, queue: mpsc::Sender<Message>) {
        let mut warned: HashSet<(GrantId, Timestamp, Span)> = HashSet::new();
        loop {
            sleep(TICK).await;
            let (now, live) = (self.clock.now(), self.sessions.grants());
            warned.retain(|(grant, ..)| live.contains(grant));
            for id in live {
                let Ok(Some(grant)) = self.desk.grant(id).await else { continue };
                for span in due_warnings(&grant, &self.warn_before, now) {
                    if warned.insert((id, grant.ends_at, span)) {
                        self.enqueue(&queue, ends_soon(&grant, span)).await;
                    }
                }
            }
        }
    }

    async fn enqueue(&self, queue: &mpsc::Sender<Message>, message: Message) {
        if let Err(rejected) = queue.try_send(message) {
            self.record(&rejected.into_inner(), "none", false).await;
        }
    }

    async fn send(self, mut waiting: mpsc::Receiver<Message>) {
        let client = signed_post::client(TRY_TIME).build();
        while let Some(message) = waiting.recv().await {
            if let (Some(webhook), Ok(client)) = (&self.webhook, &client) {
                let delivered = self.post(client, webhook, &message).await;
                self.record(&message, "webhook", delivered).await;
                continue;
            }
            tracing::warn!(what = message.what.word(), "{}", message.text);
            self.record(&message, "log", true).await;
        }
    }

    async fn post(&self, client: &reqwest::Client, webhook: &Notify, message: &Message) -> bool {
        let Ok(body) = serde_json::to_string(message) else { return false };
        for attempt in 1..=TRIES {
            let (url, body) = (webhook.webhook.expose_secret(), body.clone().into_bytes());
            let sent = signed_post::post(client, url, &webhook.secret, "application/json", body, &*self.clock).await;
            match sent {
                Ok(()) => return true,
                Err(why) => tracing::warn!(attempt, "webhook: {why}"),
            }
            sleep(Duration::from_millis(500) * attempt).await;
        }
        false
    }

    async fn record(&self, message: &Message, channel: &str, delivered: bool) {
        let kind = EventKind::Notified { what: message.what.word().to_owned(), channel: channel.to_owned(), delivered };
        let mut event = Event::new(self.clock.now(), kind).by(&message.principal).on(&message.target);
        event.grant = message.grant.as_deref().and_then(|grant| grant.parse().ok());
        if let Err(error) = self.ledger.record(event).await {
            tracing::error!("a notification was not recorded: {error}");
        }
    }
}

fn message_of(request: &AccessRequest) -> Option<Message> {
    let (what, verb) = match request.state {
        RequestState::Pending => (What::RequestPending, "asks for"),
        RequestState::Approved if request.break_glass => (What::BreakGlass, "took, by break-glass,"),
        _ => return None,
    };
    let text = format!(
        "{} {verb} {} on {}{} for {}: {}",
        request.requester,
        request.effects,
        request.target,
        scope_of(request),
        request.duration,
        request.reason
    );
    Some(Message {
        kind: "notification",
        api_version: "v1",
        what,
        text,
        principal: request.requester.to_string(),
        target: request.target.to_string(),
        request: Some(request.id.to_string()),
        plan: None,
        grant: None,
    })
}

/// Told once, when it is made: a second approval that is needed is not news.
fn message_of_plan(plan: &Plan) -> Option<Message> {
    if plan.state != PlanState::Pending || !plan.approvals.is_empty() {
        return None;
    }
    let rows = if plan.rows == 1 { "1 row".to_owned() } else { format!("{} rows", plan.rows) };
    let verb = match plan.kind {
        PlanKind::Write => "would change",
        PlanKind::Revert => "would give back",
    };
    Some(Message {
        kind: "notification",
        api_version: "v1",
        what: What::PlanPending,
        text: format!("{} {verb} {rows} on {}: belay review {}", plan.principal, plan.target, plan.id),
        principal: plan.principal.to_string(),
        target: plan.target.to_string(),
        request: None,
        plan: Some(plan.id.to_string()),
        grant: Some(plan.grant.to_string()),
    })
}

/// ` (public.orders; at most 100 rows a statement)`, where the request is not for every table without bounds.
fn scope_of(request: &AccessRequest) -> String {
    let mut parts: Vec<String> = Vec::new();
    if request.resources != [Resource::everything()] {
        parts.push(request.resources.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    }
    let bounds = request.bounds.to_string();
    if !bounds.is_empty() {
        parts.push(bounds);
    }
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) }
}

fn ends_soon(grant: &Grant, left: Span) -> Message {
    Message {
        kind: "notification",
        api_version: "v1",
        what: What::GrantEndsSoon,
        text: format!("{} of {} on {} ends in {left}", grant.id, grant.principal, grant.target),
        principal: grant.principal.to_string(),
        target: grant.target.to_string(),
        request: Some(grant.request.to_string()),
        plan: None,
        grant: Some(grant.id.to_string()),
    }
}

/// The warnings that are due: those whose time has come in a grant that was longer than that to begin with.
fn due_warnings(grant: &Grant, warn_before: &[Span], now: Timestamp) -> Vec<Span> {
    let left = now.until(grant.ends_at);
    let due = |span: &&Span| {
        let before = Duration::from_secs(u64::from(span.seconds()));
        left <= before && !left.is_zero() && grant.granted_at.until(grant.ends_at) > before
    };
    // Only the nearest: a session that begins late need not hear of the ones it missed.
    warn_before.iter().filter(due).min().copied().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use belay_model::{Effects, GrantState, RequestId};

    fn grant(ends_at: i64) -> Grant {
        Grant {
            id: GrantId(3),
            request: RequestId(2),
            principal: "alice".parse().unwrap(),
            target: "orders".parse().unwrap(),
            resources: vec![Resource::everything()],
            effects: Effects::READ,
            bounds: belay_model::Bounds::default(),
            masks: Vec::new(),
            state: GrantState::Active,
            granted_at: Timestamp(0),
            use_by: Timestamp(ends_at),
            ends_at: Timestamp(ends_at),
            extendable: false,
            record_values: true,
            break_glass: false,
            reviewed_by: None,
        }
    }

    #[test]
    fn the_nearest_warning_is_due_once_its_time_has_come() {
        let spans = [Span::from_seconds(600), Span::from_seconds(60)];
        let hour = grant(3_600_000_000);
        assert_eq!(due_warnings(&hour, &spans, Timestamp(2_000_000_000)), []);
        assert_eq!(due_warnings(&hour, &spans, Timestamp(3_000_000_000)), [spans[0]]);
        assert_eq!(due_warnings(&hour, &spans, Timestamp(3_550_000_000)), [spans[1]]);
        assert_eq!(due_warnings(&hour, &spans, Timestamp(3_600_000_000)), []);
        assert_eq!(due_warnings(&grant(30_000_000), &spans, Timestamp(1)), [], "it was never longer");
    }
}
