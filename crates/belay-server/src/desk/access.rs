//! Policies at the desk: asked before a request is made and before it is approved, loaded anew, and explained.

use super::act::Act;
use super::requests::named_by_a_rule;
use super::{Caller, Desk, DeskError, Question, pick};
use crate::policy_files::{Loaded, PolicyError, PolicyFiles};
use belay_access::{Asked, Decided, Denied, Described, Explained, Why, World};
use belay_model::{AccessRequest, Deciding, EventKind, PlanId, Principal, Resource, RuleId, Target};
use belay_policy::{Action, Ask, Terms, may, may_for_all};
use std::sync::{Arc, PoisonError, RwLock};

/// Which policies the ledger was last told of.
const HASH_KEY: &str = "policy_hash";

/// The policies in force, and where they come from.
pub(super) struct InForce {
    files: PolicyFiles,
    loaded: RwLock<Arc<Loaded>>,
}

impl InForce {
    /// The default policy alone.
    pub(super) fn only_default() -> Result<InForce, DeskError> {
        let files = PolicyFiles::default();
        let loaded = files.load().map_err(|error| DeskError::Store(error.to_string()))?;
        Ok(InForce { files, loaded: RwLock::new(Arc::new(loaded)) })
    }

    fn now(&self) -> Arc<Loaded> {
        Arc::clone(&self.loaded.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, loaded: Arc<Loaded>) {
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
    }
}

impl Desk {
    /// The same desk under these policies.
    #[must_use]
    pub fn under(mut self, files: PolicyFiles, loaded: Loaded) -> Desk {
        self.in_force = InForce { files, loaded: RwLock::new(Arc::new(loaded)) };
        self
    }

    /// Every policy in force, in the order of files and lines.
    pub fn policies(&self, who: &Caller) -> Result<Vec<Described>, DeskError> {
        may_for_all(&who.principal, Action::SeeRules)?;
        Ok(self.in_force.now().policies.described().cloned().collect())
    }

    /// Tells the ledger which policies are in force, if they are others than at the last time.
    pub async fn record_policies(&self) -> Result<(), DeskError> {
        let act = self.act_alone().await?;
        self.put_in_force(act, self.in_force.now()).await
    }

    /// Reads the policy files again. Where something is wrong, the policies in force stay.
    pub async fn reload_policies(&self, who: &Caller) -> Result<Vec<Described>, DeskError> {
        may_for_all(&who.principal, Action::ChangeRules)?;
        let files = self.in_force.files.clone();
        let loaded = tokio::task::spawn_blocking(move || files.load()).await;
        let loaded = loaded.map_err(|_| DeskError::Store("reading policies was interrupted".to_owned()))??;
        let act = self.act_with(who, Action::ChangeRules).await?;
        self.put_in_force(act, Arc::new(loaded)).await?;
        self.policies(who)
    }

    /// Nobody is judged by policies that the ledger does not know of: the act comes first.
    async fn put_in_force(&self, mut act: Act, loaded: Arc<Loaded>) -> Result<(), DeskError> {
        let hash = loaded.policies.hash();
        let known = act.writing.look().meta(HASH_KEY).await?;
        let unheard = match known {
            Some(known) => known != hash,
            None => loaded.policies.hash() != InForce::only_default()?.now().policies.hash(),
        };
        if unheard {
            act.writing.set_meta(HASH_KEY, hash).await?;
            act.event(EventKind::PolicyChanged {
                hash: hash.to_owned(),
                policies: u32::try_from(loaded.policies.described().count()).unwrap_or(u32::MAX),
                files: loaded.files.clone(),
            });
            self.finish(act).await?;
        }
        self.in_force.replace(loaded);
        Ok(())
    }

    /// Whether policies let this be asked for, and on which terms. A no is recorded.
    pub(super) async fn permitted(
        &self,
        mut act: Act,
        who: &Principal,
        ask: &Ask,
        rules: &Terms,
        break_glass: bool,
    ) -> Result<(Act, Decided), DeskError> {
        let target = pick::target(&mut act.writing.look(), &ask.target).await?;
        let asked = Asked {
            who,
            target: &ask.target,
            own_database: &target.database,
            resources: &ask.resources,
            effects: ask.effects,
            duration: ask.duration,
            reason: &ask.reason,
            break_glass,
            rule_approvals: rules.approvals,
            at: act.now,
        };
        let denied = match self.in_force.now().policies.terms(&asked, rules) {
            Ok(decided) => return Ok((act, decided)),
            Err(denied) => denied,
        };
        act.event_on(
            &ask.target,
            EventKind::RequestRefused {
                resources: ask.resources.clone(),
                effects: ask.effects,
                duration: ask.duration,
                reason: ask.reason.chars().take(belay_policy::REASON_MOST).collect(),
                break_glass,
                because: denied.to_string(),
                policies: denied.policies.clone(),
            },
        );
        self.finish(act).await?;
        Err(refused(&denied, &format!("belay can {} {} {}", who.name, ask.effects, ask.target)))
    }

    /// Whether policies let this person approve. A no is recorded, and the request waits on.
    pub(super) async fn may_approve(
        &self,
        mut act: Act,
        approver: &Principal,
        request: &AccessRequest,
    ) -> Result<(Act, Vec<Deciding>), DeskError> {
        let target = pick::target(&mut act.writing.look(), &request.target).await?;
        let requester = act.writing.look().user(&request.requester).await?.map(|user| user.principal());
        let missing = || DeskError::NotFound { kind: "user", name: request.requester.to_string() };
        let requester = requester.ok_or_else(missing)?;
        let asked = asked_for(request, &requester, &target, act.now);
        let denied = match self.in_force.now().policies.approve(approver, &asked) {
            Ok(policies) => return Ok((act, policies)),
            Err(denied) => denied,
        };
        let (because, policies) = (denied.to_string(), denied.policies.clone());
        act.event_on(&request.target, EventKind::ApprovalRefused { request: request.id, because, policies });
        self.finish(act).await?;
        Err(refused(&denied, "ask another approver"))
    }

    /// Whether policies let this person approve the plan that is like this request. A no is recorded, and the plan
    /// waits on.
    pub(super) async fn may_approve_plan(
        &self,
        mut act: Act,
        approver: &Principal,
        like: &AccessRequest,
        plan: PlanId,
    ) -> Result<(Act, Vec<Deciding>), DeskError> {
        let target = pick::target(&mut act.writing.look(), &like.target).await?;
        let requester = act.writing.look().user(&like.requester).await?.map(|user| user.principal());
        let missing = || DeskError::NotFound { kind: "user", name: like.requester.to_string() };
        let requester = requester.ok_or_else(missing)?;
        let asked = asked_for(like, &requester, &target, act.now);
        let denied = match self.in_force.now().policies.approve(approver, &asked) {
            Ok(policies) => return Ok((act, policies)),
            Err(denied) => denied,
        };
        let (because, policies) = (denied.to_string(), denied.policies.clone());
        act.event_on(&like.target, EventKind::PlanApprovalRefused { plan, because, policies });
        self.finish(act).await?;
        Err(refused(&denied, "ask another approver"))
    }

    /// What would come of a request, and why. About oneself, or for whoever may see everybody's requests.
    pub async fn can(&self, who: &Caller, question: Question) -> Result<Explained, DeskError> {
        may(&who.principal, Action::SeeRequests, &question.about)?;
        let mut reader = self.store.reader().await?;
        let mut look = reader.look();
        let people: Vec<Principal> = look.users().await?.iter().map(belay_store::User::principal).collect();
        let missing = || DeskError::NotFound { kind: "user", name: question.about.to_string() };
        let mut about = people.iter().find(|person| person.name == question.about).cloned().ok_or_else(missing)?;
        about.groups.extend(question.groups.iter().cloned());
        let target = pick::target(&mut look, &question.target).await?;
        let rules = look.rules().await?;
        let everything = [Resource::everything()];
        let asked = Asked {
            who: &about,
            target: &question.target,
            own_database: &target.database,
            resources: if question.resources.is_empty() { &everything } else { &question.resources },
            effects: question.effects,
            duration: question.duration,
            reason: &question.reason,
            break_glass: question.break_glass,
            rule_approvals: 1,
            at: question.at.unwrap_or_else(|| self.clock.now()),
        };
        let beside = |asked: &Asked<'_>, rule: Option<RuleId>| {
            let rule = rule.filter(|_| !asked.break_glass);
            let checked = named_by_a_rule(asked.target, asked.effects, rule, asked.break_glass);
            checked.map_err(|error| error.to_string())
        };
        let world = World { rules: &rules, people: &people, beside: &beside };
        Ok(self.in_force.now().policies.explain(&asked, world))
    }
}

fn asked_for<'a>(
    request: &'a AccessRequest,
    requester: &'a Principal,
    target: &'a Target,
    at: belay_model::Timestamp,
) -> Asked<'a> {
    Asked {
        who: requester,
        target: &request.target,
        own_database: &target.database,
        resources: &request.resources,
        effects: request.effects,
        duration: request.duration,
        reason: &request.reason,
        break_glass: request.break_glass,
        rule_approvals: request.approvals_needed,
        at,
    }
}

fn refused(denied: &Denied, hint: &str) -> DeskError {
    let hint = match denied.why {
        Why::Failed => "an administrator puts the policy right: belay policy check FILE".to_owned(),
        Why::Forbidden | Why::NotPermitted => hint.to_owned(),
    };
    DeskError::Denied { message: denied.to_string(), hint }
}

impl From<PolicyError> for DeskError {
    fn from(error: PolicyError) -> DeskError {
        let hint = "belay policy check FILE; the policies in force are those from before".to_owned();
        DeskError::Conflict { message: error.to_string(), hint }
    }
}
