//! Letting native clients in: login to grant, grant to session, session to a role in the target.

use crate::desk::{Clock, Desk, DeskError, FoundLogin};
use crate::ledger::Ledger;
use crate::sessions::{Admission, LiveConnection, LiveSessions};
use crate::targets::Targets;
use belay_engine::{
    BoxFuture, Candidate, ClientFacts, ControlError, ControlFailure, Entry, Gate, Life, Login, Refusal, RoleSpec,
    SessionContext, Upstream, Visitor,
};
use belay_model::{Code, ConnectionId, Event, EventKind, Grant, GrantState, Resource, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Connections a grant's role may have in the target beyond those the gateway allows: some are still ending while
/// others begin.
const SPARE_CONNECTIONS: u32 = 5;

/// See the module.
pub(crate) struct GateKeeper {
    pub(crate) desk: Arc<Desk>,
    pub(crate) ledger: Ledger,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sessions: Arc<LiveSessions>,
    pub(crate) targets: Arc<Targets>,
    pub(crate) per_session: u32,
    pub(crate) closed: AtomicBool,
}

impl Gate for GateKeeper {
    fn find<'a>(&'a self, login: &'a Login) -> BoxFuture<'a, Result<Candidate, Refusal>> {
        Box::pin(self.find_candidate(login))
    }

    fn enter(&self, visitor: Visitor, facts: ClientFacts) -> BoxFuture<'_, Result<Entry, Refusal>> {
        Box::pin(async move {
            let (grant, database) = (visitor.grant.clone(), visitor.database.clone());
            let refused = match self.let_in(visitor, &facts).await {
                Ok(entry) => return Ok(entry),
                Err(refusal) => refusal,
            };
            let kind = EventKind::LoginFailed {
                client: facts.peer.to_string(),
                user: grant.principal.to_string(),
                database,
                code: refused.code,
            };
            self.record(Event::new(self.clock.now(), kind).by(grant.principal.as_str()).under(grant.id)).await;
            Err(refused)
        })
    }

    fn joined<'a>(
        &'a self,
        context: &'a SessionContext,
        facts: &'a ClientFacts,
        backend: i32,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(async move { self.record_login(context, facts, backend).await })
    }

    fn failed<'a>(&'a self, login: &'a Login, code: Code) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let kind = EventKind::LoginFailed {
                client: login.peer.to_string(),
                user: cut(&login.user),
                database: cut(&login.database),
                code,
            };
            self.record(Event::new(self.clock.now(), kind)).await;
        })
    }
}

impl GateKeeper {
    async fn find_candidate(&self, login: &Login) -> Result<Candidate, Refusal> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(refusal(Code::NotReady, "the gateway is shutting down".to_owned()));
        }
        if !self.ledger.is_up() {
            return Err(refusal(Code::LedgerDown, "login refused: the ledger cannot be written".to_owned()));
        }
        let found = self.desk.find_login(&login.user, &login.database).await.map_err(|error| broken(&error))?;
        let matched = match found {
            FoundLogin::One(matched) => Some(*matched),
            // The newest grant is tried; the others have to be named.
            FoundLogin::Several(matches) => matches.into_iter().next(),
            FoundLogin::Nobody => None,
        };
        Ok(match matched {
            Some(matched) => Candidate {
                verifier: matched.verifier,
                visitor: Some(Visitor { grant: matched.grant, database: matched.database }),
            },
            None => Candidate { verifier: self.desk.mock_verifier(&login.user), visitor: None },
        })
    }

    async fn let_in(&self, visitor: Visitor, facts: &ClientFacts) -> Result<Entry, Refusal> {
        let Visitor { grant, database } = visitor;
        check_live(&grant, self.clock.now())?;
        let id = self.desk.next_connection_id().await.map_err(|error| broken(&error))?;
        let admission = self.admit(&grant, id, &database, facts)?;
        let (grant, session) = self.desk.open_session(grant.id).await.map_err(|error| broken(&error))?;
        admission.place.settle(session.id);
        let (upstream, grant) = self.prepare(grant, database.clone(), &admission).await?;
        let context = SessionContext {
            grant: Arc::new(grant),
            session: session.id,
            connection: id,
            database,
            cut_in_transaction: session.cut_in_transaction,
            life: admission.life,
        };
        Ok(Entry { context, upstream, place: Box::new(admission.place) })
    }

    fn admit(
        &self,
        grant: &Grant,
        id: ConnectionId,
        database: &str,
        facts: &ClientFacts,
    ) -> Result<Admission, Refusal> {
        let connection = LiveConnection {
            id,
            session: None,
            grant: grant.id,
            principal: grant.principal.clone(),
            target: grant.target.clone(),
            database: database.to_owned(),
            client: facts.peer,
            application: facts.application.chars().filter(|c| !c.is_control()).take(64).collect(),
            since: self.clock.now(),
        };
        self.sessions.admit(grant, connection).map_err(|code| match code {
            Code::TooManyConnections => refusal(code, "too many connections".to_owned())
                .with_hint(format!("belay sessions --grant {}", grant.id)),
            _ => ended(grant),
        })
    }

    /// Makes the grant's role ready in the target. The grant comes back with what concerns this database alone.
    async fn prepare(
        &self,
        grant: Grant,
        database: String,
        admission: &Admission,
    ) -> Result<(Upstream, Grant), Refusal> {
        let access = self.desk.target_access(&grant.target).await.map_err(|error| broken(&error))?;
        let grant = in_database(grant, &database, &access.target.database);
        if grant.resources.is_empty() {
            return Err(refusal(
                Code::NoGrant,
                format!("login refused: {} names nothing in database \"{database}\"", grant.id),
            ));
        }
        let spec = role_spec(&self.targets, &grant, &database, self.per_session);
        let control = self.targets.control(&access);
        // From here on the end of the grant waits for the role, and a role is only made before that end.
        let _role = admission.role.lock().await;
        if let Life::Over(_) = *admission.life.borrow() {
            return Err(ended(&grant));
        }
        let password = control.ensure_role(&spec).await.map_err(|error| no_role(&grant, &error))?;
        Ok((Upstream { target: access.target, database, role: spec.name, password }, grant))
    }

    /// The login is on the record before anything runs.
    async fn record_login(&self, context: &SessionContext, facts: &ClientFacts, backend: i32) -> Result<(), Refusal> {
        let kind = EventKind::Login {
            client: facts.peer.to_string(),
            application: facts.application.clone(),
            database: context.database.clone(),
            backend,
        };
        let event = context.event(self.clock.now(), kind);
        self.ledger.record_durable(event).await.map_err(|error| {
            tracing::error!("login not recorded: {error}");
            refusal(Code::LedgerDown, "login refused: the ledger cannot be written".to_owned())
        })
    }

    async fn record(&self, event: Event) {
        if let Err(error) = self.ledger.record(event).await {
            tracing::error!("failed login not recorded: {error}");
        }
    }
}

/// The role of a grant in one database. The grant is [`in_database`] already.
pub(crate) fn role_spec(targets: &Targets, grant: &Grant, database: &str, per_session: u32) -> RoleSpec {
    let connections = grant.bounds.budgets.connections.map_or(per_session, |most| most.min(per_session));
    RoleSpec {
        name: targets.role_name(grant.id),
        comment: format!("belay: grant {} of {}", grant.id, grant.principal),
        valid_until: grant.ends_at,
        connection_limit: connections.saturating_add(SPARE_CONNECTIONS),
        effects: grant.effects,
        resources: grant.resources.clone(),
        bounds: grant.bounds.clone(),
        masks: grant.masks.clone(),
        database: database.to_owned(),
    }
}

/// The grant with the resources, filters and masks of one database of its target. Statements name no database.
pub(crate) fn in_database(mut grant: Grant, database: &str, home: &str) -> Grant {
    if grant.effects.all {
        return grant;
    }
    let is_here = |resource: &Resource| resource.database.as_deref().unwrap_or(home) == database;
    grant.resources.retain(is_here);
    grant.bounds.rows.retain(|filter| is_here(&filter.table));
    grant.masks.retain(|mask| is_here(&mask.column));
    grant
}

fn check_live(grant: &Grant, now: Timestamp) -> Result<(), Refusal> {
    if grant.state.is_live() && now < grant.ends_at { Ok(()) } else { Err(ended(grant)) }
}

fn ended(grant: &Grant) -> Refusal {
    let what = match grant.state {
        GrantState::Revoked => "was revoked",
        GrantState::Lapsed => "lapsed without being used",
        GrantState::Ready | GrantState::Active | GrantState::Expired => "has ended",
    };
    refusal(Code::NoGrant, format!("login refused: {} {what}", grant.id))
        .with_hint(format!("belay request {} --for 1h -m REASON", grant.target))
}

fn no_role(grant: &Grant, error: &ControlError) -> Refusal {
    tracing::warn!(grant = %grant.id, target_name = %grant.target, "role not made: {error}");
    let code = match error.failure {
        ControlFailure::Unreachable => Code::TargetDown,
        ControlFailure::Forbidden | ControlFailure::Other => Code::RoleRefused,
    };
    refusal(code, format!("login refused: the role for {} cannot be made in {}", grant.id, grant.target))
        .with_hint(format!("belay target check {}", grant.target))
}

fn broken(error: &DeskError) -> Refusal {
    match error {
        DeskError::Denied { .. } | DeskError::NotFound { .. } | DeskError::Conflict { .. } => {
            refusal(Code::NoGrant, format!("login refused: {error}"))
        }
        _ => {
            tracing::error!("login failed inside the gateway: {error}");
            refusal(Code::NotReady, "login refused: the gateway cannot take logins now".to_owned())
        }
    }
}

/// What somebody without a proof wrote: no more of it than a name needs goes to the ledger.
fn cut(text: &str) -> String {
    text.chars().take(128).collect()
}

fn refusal(code: Code, message: String) -> Refusal {
    Refusal { code, message, detail: Some(code.why().to_owned()), hint: Some(code.remedy().to_owned()) }
}

trait WithHint {
    fn with_hint(self, hint: String) -> Self;
}

impl WithHint for Refusal {
    fn with_hint(mut self, hint: String) -> Refusal {
        self.hint = Some(hint);
        self
    }
}
