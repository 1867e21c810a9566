//! What people hand in at the desk, and what they get back.

use belay_engine::ScramVerifier;
use belay_model::{
    AccessRequest, ApiTokenId, Bounds, Effects, EndReason, Grant, GrantId, Hours, Mask, Name, Plan, PlanId, Principal,
    Resource, Role, Span, Target, Timestamp, Token,
};
use belay_store::ApiToken;
use secrecy::SecretString;
use std::sync::Arc;

/// Somebody who proved who they are.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// The API token they came with; absent inside the process.
    pub token: Option<ApiTokenId>,
}

/// A person to be added.
#[derive(Debug)]
pub struct NewUser {
    /// The login.
    pub name: Name,
    /// A first password. Without one a token is minted, to be handed over.
    pub password: Option<SecretString>,
    /// What they may do in Belay.
    pub roles: Vec<Role>,
    /// The groups that rules speak of.
    pub groups: Vec<Name>,
}

/// What changes about a person; `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// All their roles.
    pub roles: Option<Vec<Role>>,
    /// All their groups.
    pub groups: Option<Vec<Name>>,
    /// Whether they are disabled. Disabling ends their grants and tokens.
    pub disabled: Option<bool>,
}

/// A token with its secret: shown once, never stored.
#[derive(Debug, Clone)]
pub struct MintedToken {
    /// What is stored of it.
    pub info: ApiToken,
    /// The secret.
    pub secret: Token,
}

/// A target to be added, with the password of its control user.
#[derive(Debug)]
pub struct NewTarget {
    /// Everything but the secret.
    pub target: Target,
    /// The control user's password; may be empty where the target trusts the connection.
    pub password: SecretString,
}

/// A mask to be added.
#[derive(Debug, Clone)]
pub struct NewMask {
    /// The target.
    pub target: Name,
    /// What is masked, and how.
    pub mask: Mask,
}

/// A rule to be added.
#[derive(Debug, Clone)]
pub struct NewRule {
    /// The target it speaks of; `None` for every target.
    pub target: Option<Name>,
    /// The group the requester must be in; `None` for everybody.
    pub group: Option<Name>,
    /// When it holds; `None` for always.
    pub hours: Option<Hours>,
    /// The effects a request may ask for under it.
    pub effects: Effects,
    /// The longest grant under it.
    pub max_duration: Span,
    /// The most rows that one transaction may be asked to change at once.
    pub max_changed_rows: u64,
    /// How many distinct people must approve; 0 grants reads at once.
    pub approvals: u8,
    /// Whether its grants may be extended once.
    pub extendable: bool,
    /// Whether the ledger keeps bind values.
    pub record_values: bool,
}

/// A wish for access.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The target.
    pub target: Name,
    /// The resources; empty for every table of the target's own database.
    pub resources: Vec<Resource>,
    /// The effects; reads unless said otherwise.
    pub effects: Effects,
    /// Functions, row filters and budgets.
    pub bounds: Bounds,
    /// Whether patterns stand for the tables that exist now, so that new ones are not included.
    pub existing_only: bool,
    /// For how long, counted from the approval.
    pub duration: Span,
    /// Why.
    pub reason: String,
}

/// A question about what would come of a request.
#[derive(Debug, Clone)]
pub struct Question {
    /// Whose request it would be.
    pub about: Name,
    /// The target.
    pub target: Name,
    /// The resources; empty for every table of the target's own database.
    pub resources: Vec<Resource>,
    /// The effects.
    pub effects: Effects,
    /// For how long.
    pub duration: Span,
    /// Why.
    pub reason: String,
    /// Under the right of break-glass.
    pub break_glass: bool,
    /// Groups the person would be in, beside their own.
    pub groups: Vec<Name>,
    /// When; `None` for now.
    pub at: Option<Timestamp>,
}

/// Where a request stands, with the grant it has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestView {
    /// The request.
    pub request: AccessRequest,
    /// Its grant, once approved.
    pub grant: Option<Grant>,
    /// What the person who asks should know; said once, when the request is made.
    pub notes: Vec<String>,
}

/// A grant with what is known beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantView {
    /// The grant.
    pub grant: Grant,
    /// Why it was asked for.
    pub reason: String,
    /// Which token opens it, once one was claimed: changes with each claim, and is no secret.
    pub token_id: Option<String>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who ended it, if a person did.
    pub ended_by: Option<Name>,
}

/// The token of a grant for native clients: shown once, never stored.
#[derive(Debug, Clone)]
pub struct ClaimedToken {
    /// The grant it opens.
    pub grant: Grant,
    /// What to write as the user: `alice` while that is unambiguous, else `alice+g_31`.
    pub login: String,
    /// Which token it is, as the grant names it.
    pub token_id: String,
    /// The secret.
    pub secret: Token,
}

/// What a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Listing {
    /// Ended and decided ones too.
    pub all: bool,
    /// Only the caller's own, even if they may see everybody's.
    pub mine: bool,
}

/// Who a native login may be.
#[derive(Debug, Clone)]
pub enum FoundLogin {
    /// Exactly one grant, live or ended in the last 30 days.
    One(Box<LoginMatch>),
    /// Several live grants, newest first: the client has to name one.
    Several(Vec<LoginMatch>),
    /// Nobody.
    Nobody,
}

/// A grant that a login may open, with what checks the proof.
#[derive(Debug, Clone)]
pub struct LoginMatch {
    /// The grant, live or not.
    pub grant: Grant,
    /// The database in the target.
    pub database: String,
    /// Whether the grant names something in that database.
    pub covers_database: bool,
    /// What the secret is checked with.
    pub verifier: ScramVerifier,
}

/// What lapses or ends by now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// Requests that nobody decided.
    pub requests: Vec<belay_model::RequestId>,
    /// Grants past their use-by or their end.
    pub grants: Vec<GrantId>,
    /// Plans that nobody approved or applied.
    pub plans: Vec<PlanId>,
}

/// Something changed that live connections, timers or people must hear of. Sent right after the commit.
#[derive(Debug, Clone)]
pub enum Change {
    /// A request was made, decided, withdrawn, or lapsed.
    Request(Arc<AccessRequest>),
    /// A plan was made, decided on, applied, or lapsed.
    Plan(Arc<Plan>),
    /// A grant came to be.
    Granted(Arc<Grant>),
    /// A grant's end moved.
    Extended(Arc<Grant>),
    /// A grant holds less than before: its connections must start anew.
    Narrowed(Arc<Grant>),
    /// A grant is over: its connections must end.
    Ended(Arc<Grant>, EndReason),
    /// A target was added or removed, its grants with it.
    Target(Name),
}
