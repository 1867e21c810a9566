//! The desk: what people do with Belay, apart from running statements.
//!
//! Does not know HTTP, sockets or any target's protocol. Each act checks the role matrix, runs in one
//! store transaction that judges by the state it finds there, is durable in the ledger before it takes
//! effect, and is announced on [`Desk::changes`] right after its commit.

mod clock;
mod error;
mod forms;
mod recorder;

pub use belay_store::{ApiToken, User};
pub use clock::{Clock, SystemClock};
pub use error::DeskError;
pub use forms::{
    Caller, Change, ClaimedToken, Due, FoundLogin, GrantView, Listing, LoginMatch, MintedToken, NewRule, NewTarget,
    NewUser, RequestView, UserChange, Wish,
};
pub use recorder::{Recorder, Unrecorded};

use belay_engine::{ScramVerifier, TargetAccess};
use belay_model::{
    ApiTokenId, ConnectionId, Effects, EndReason, Grant, GrantId, Name, RequestId, Resource, Rule, Session, SessionId,
    Span, Target, Timestamp,
};
use secrecy::SecretString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::broadcast;

/// See the module.
pub struct Desk {
    recorder: Arc<dyn Recorder>,
    clock: Arc<dyn Clock>,
    changes: broadcast::Sender<Change>,
}

fn unfinished<T>() -> Result<T, DeskError> {
    Err(DeskError::Store("unfinished".to_owned()))
}

#[allow(unused_variables, clippy::unused_async)]
impl Desk {
    /// Opens the store and the key file in the data directory; makes both at the first start.
    pub async fn open(data: &Path, recorder: Arc<dyn Recorder>, clock: Arc<dyn Clock>) -> Result<Desk, DeskError> {
        unfinished()
    }

    /// At the first start: makes `admin` and writes a token for it to `admin.token` in the data
    /// directory, whose path it returns. Does nothing when there are people already.
    pub async fn bootstrap(&self) -> Result<Option<PathBuf>, DeskError> {
        unfinished()
    }

    /// Eight hex digits that tell this gateway's roles in a target from another's; made once.
    pub fn instance(&self) -> &str {
        ""
    }

    /// Whether the store can be written; for `/readyz`.
    pub async fn check_store(&self) -> Result<(), DeskError> {
        unfinished()
    }

    /// Every change from here on. A receiver that lags must read [`Desk::live_grants`] anew.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    // --- who is calling

    /// Name and password for an API token. Slow on purpose, throttled by name.
    pub async fn login(&self, name: &str, password: &SecretString, label: &str) -> Result<MintedToken, DeskError> {
        unfinished()
    }

    /// Who an API token belongs to.
    pub async fn authenticate(&self, token: &str) -> Result<Caller, DeskError> {
        unfinished()
    }

    /// The caller's own API tokens, or those of `user` for an administrator.
    pub async fn api_tokens(&self, who: &Caller, user: Option<&str>) -> Result<Vec<ApiToken>, DeskError> {
        unfinished()
    }

    /// A further API token for the caller.
    pub async fn mint_api_token(&self, who: &Caller, label: &str, lasts: Span) -> Result<MintedToken, DeskError> {
        unfinished()
    }

    /// Revokes an API token of the caller, or of anybody for an administrator. Logging out is this, too.
    pub async fn revoke_api_token(&self, who: &Caller, token: ApiTokenId) -> Result<(), DeskError> {
        unfinished()
    }

    // --- people

    /// Everybody.
    pub async fn users(&self, who: &Caller) -> Result<Vec<User>, DeskError> {
        unfinished()
    }

    /// Adds a person. Without a password a token is minted for them, to be handed over.
    pub async fn add_user(&self, who: &Caller, new: NewUser) -> Result<(User, Option<MintedToken>), DeskError> {
        unfinished()
    }

    /// Changes roles or groups, disables or enables.
    pub async fn change_user(&self, who: &Caller, name: &str, change: UserChange) -> Result<User, DeskError> {
        unfinished()
    }

    /// Sets a password: one's own, with the old one where there is one, or anybody's for an administrator.
    pub async fn set_password(
        &self,
        who: &Caller,
        name: &str,
        old: Option<&SecretString>,
        new: &SecretString,
    ) -> Result<(), DeskError> {
        unfinished()
    }

    // --- targets

    /// Every target.
    pub async fn targets(&self, who: &Caller) -> Result<Vec<Target>, DeskError> {
        unfinished()
    }

    /// One target.
    pub async fn target(&self, who: &Caller, name: &str) -> Result<Target, DeskError> {
        unfinished()
    }

    /// Adds a target; its password is sealed.
    pub async fn add_target(&self, who: &Caller, new: NewTarget) -> Result<Target, DeskError> {
        unfinished()
    }

    /// Removes a target: its pending requests are denied, its grants revoked.
    pub async fn remove_target(&self, who: &Caller, name: &str) -> Result<(), DeskError> {
        unfinished()
    }

    /// The target for `belay target check`: needs the right to manage targets.
    pub async fn target_to_check(&self, who: &Caller, name: &str) -> Result<TargetAccess, DeskError> {
        unfinished()
    }

    // --- rules

    /// Every rule in force, in the order they are tried.
    pub async fn rules(&self, who: &Caller) -> Result<Vec<Rule>, DeskError> {
        unfinished()
    }

    /// Adds a rule behind the others.
    pub async fn add_rule(&self, who: &Caller, new: NewRule) -> Result<Rule, DeskError> {
        unfinished()
    }

    /// Removes a rule. Requests and grants made under it stay as they are.
    pub async fn remove_rule(&self, who: &Caller, rule: &str) -> Result<(), DeskError> {
        unfinished()
    }

    // --- requests

    /// Asks for access; granted at once where a rule says so.
    pub async fn request(&self, who: &Caller, wish: Wish) -> Result<RequestView, DeskError> {
        unfinished()
    }

    /// Takes access at once, for an hour at most; owes a review by somebody else.
    pub async fn break_glass(&self, who: &Caller, wish: Wish) -> Result<RequestView, DeskError> {
        unfinished()
    }

    /// Requests the caller may see, newest first: pending ones, or all.
    pub async fn requests(&self, who: &Caller, listing: Listing) -> Result<Vec<RequestView>, DeskError> {
        unfinished()
    }

    /// One request, by id or unique prefix.
    pub async fn request_of(&self, who: &Caller, request: &str) -> Result<RequestView, DeskError> {
        unfinished()
    }

    /// Takes one's own request back.
    pub async fn withdraw(&self, who: &Caller, request: &str) -> Result<RequestView, DeskError> {
        unfinished()
    }

    /// Says yes to somebody else's request; the last yes needed makes the grant.
    pub async fn approve(&self, who: &Caller, request: &str) -> Result<RequestView, DeskError> {
        unfinished()
    }

    /// Says no, with a reason.
    pub async fn deny(&self, who: &Caller, request: &str, reason: &str) -> Result<RequestView, DeskError> {
        unfinished()
    }

    // --- grants

    /// Grants the caller may see, newest first: live ones, or all.
    pub async fn grants(&self, who: &Caller, listing: Listing) -> Result<Vec<GrantView>, DeskError> {
        unfinished()
    }

    /// One grant, by id or unique prefix.
    pub async fn grant_of(&self, who: &Caller, grant: &str) -> Result<GrantView, DeskError> {
        unfinished()
    }

    /// Mints the token of the caller's own live grant for native clients; the former one stops working.
    pub async fn claim_token(&self, who: &Caller, grant: &str) -> Result<ClaimedToken, DeskError> {
        unfinished()
    }

    /// Moves the end of one's own grant, once, by at most its own length, where the rule allows it.
    pub async fn extend(&self, who: &Caller, grant: &str, by: Span) -> Result<GrantView, DeskError> {
        unfinished()
    }

    /// Takes resources or effects away from a live grant.
    pub async fn narrow(
        &self,
        who: &Caller,
        grant: &str,
        resources: Option<Vec<Resource>>,
        effects: Option<Effects>,
    ) -> Result<GrantView, DeskError> {
        unfinished()
    }

    /// Ends a live grant now.
    pub async fn revoke(&self, who: &Caller, grant: &str) -> Result<GrantView, DeskError> {
        unfinished()
    }

    /// Reviews a break-glass grant of somebody else.
    pub async fn review(&self, who: &Caller, grant: &str, note: &str) -> Result<GrantView, DeskError> {
        unfinished()
    }

    // --- sessions

    /// Sessions the caller may see, newest first: open ones, or all.
    pub async fn sessions(&self, who: &Caller, listing: Listing) -> Result<Vec<Session>, DeskError> {
        unfinished()
    }

    /// One session the caller may end: their own, or anybody's for an administrator or approver. Ending
    /// its connections is the gateway's part.
    pub async fn session_to_end(&self, who: &Caller, session: &str) -> Result<Session, DeskError> {
        unfinished()
    }

    /// Whether the caller may read the ledger.
    pub fn may_read_ledger(&self, who: &Caller) -> Result<(), DeskError> {
        unfinished()
    }

    // --- for the gateway

    /// Which grant a native login may open.
    pub async fn find_login(&self, user: &str, database: &str) -> Result<FoundLogin, DeskError> {
        unfinished()
    }

    /// A verifier that nothing satisfies, the same at every try with the same user.
    pub fn mock_verifier(&self, user: &str) -> ScramVerifier {
        ScramVerifier { iterations: 4096, salt: Vec::new(), stored_key: [0; 32], server_key: [0; 32] }
    }

    /// The grant's session, opened if this is its first connection; the grant counts as used.
    /// Refused when the grant is not live any more.
    pub async fn open_session(&self, grant: GrantId) -> Result<(Grant, Session), DeskError> {
        unfinished()
    }

    /// A number no connection ever had.
    pub async fn next_connection_id(&self) -> Result<ConnectionId, DeskError> {
        unfinished()
    }

    /// Remembers whether a connection of the session was cut inside a transaction.
    pub async fn set_cut_in_transaction(&self, session: SessionId, cut: bool) -> Result<(), DeskError> {
        unfinished()
    }

    /// Closes a session and records why. Closing a closed one does nothing.
    pub async fn close_session(&self, session: SessionId, reason: EndReason) -> Result<(), DeskError> {
        unfinished()
    }

    /// Sessions that are open by the store; at a start, those an earlier run left behind.
    pub async fn open_sessions(&self) -> Result<Vec<Session>, DeskError> {
        unfinished()
    }

    /// Every grant that lets somebody in.
    pub async fn live_grants(&self) -> Result<Vec<Grant>, DeskError> {
        unfinished()
    }

    /// One grant, whoever asks.
    pub async fn grant(&self, grant: GrantId) -> Result<Option<Grant>, DeskError> {
        unfinished()
    }

    /// How to reach a target, with its password unsealed.
    pub async fn target_access(&self, name: &Name) -> Result<TargetAccess, DeskError> {
        unfinished()
    }

    /// How to reach every target.
    pub async fn every_target_access(&self) -> Result<Vec<TargetAccess>, DeskError> {
        unfinished()
    }

    // --- for the expiry task

    /// What has lapsed or ended by `now` and still counts as open.
    pub async fn due(&self, now: Timestamp) -> Result<Due, DeskError> {
        unfinished()
    }

    /// The next time at which something will be due.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, DeskError> {
        unfinished()
    }

    /// Lapses a request that is due; a request that is not, any more, is left alone.
    pub async fn lapse_request(&self, request: RequestId) -> Result<(), DeskError> {
        unfinished()
    }

    /// Ends a grant that is past its use-by or end. Works with the ledger down: the event is owed, and
    /// recorded as soon as it can be. `None` when it had ended already or is not due.
    pub async fn end_grant(&self, grant: GrantId) -> Result<Option<Grant>, DeskError> {
        unfinished()
    }

    /// Does all that is due by the clock, and pays the events owed to the ledger. Returns how many things ended.
    pub async fn pass_time(&self) -> Result<usize, DeskError> {
        unfinished()
    }
}
