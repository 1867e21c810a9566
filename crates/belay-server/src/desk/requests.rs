//! Access requests.

use super::act::Act;
use super::{Caller, Change, Desk, DeskError, Listing, RequestView, Wish, pick};
use belay_model::{AccessRequest, Deciding, Effects, EventKind, Grant, Mask, Name, Resource, RuleId};
use belay_policy::{
    Action, Approved, Ask, BREAK_GLASS_MOST, Refused, Terms, approve, ask, break_glass, deny, may, may_for_all, terms,
    withdraw,
};
use std::sync::Arc;

/// The most requests of one person that wait at once.
const PENDING_MOST: i64 = 50;

impl Desk {
    /// Asks for access; granted at once where a rule says so.
    pub async fn request(&self, who: &Caller, wish: Wish) -> Result<RequestView, DeskError> {
        self.make(who, Way::Ask, wish).await
    }

    /// Takes access at once, for an hour at most; owes a review by somebody else.
    pub async fn break_glass(&self, who: &Caller, wish: Wish) -> Result<RequestView, DeskError> {
        self.make(who, Way::BreakGlass, wish).await
    }

    /// The target is asked outside of the transaction that writes, and only for somebody who may ask at all; in that
    /// transaction everything is judged again.
    async fn make(&self, who: &Caller, way: Way, mut wish: Wish) -> Result<RequestView, DeskError> {
        if wish.resources.is_empty() {
            wish.resources = vec![Resource::everything()];
        }
        let (mut act, ..) = self.judged(who, way, &wish).await?;
        let masks = act.writing.look().masks(Some(&wish.target)).await?;
        drop(act);
        let masks: Vec<Mask> = masks.into_iter().map(|record| record.mask).collect();
        let found = self.survey(&wish, &masks).await?;
        if wish.existing_only && !wish.effects.all {
            wish.resources = found.existing;
        }
        let (act, request, grant, policies) = self.judged(who, way, &wish).await?;
        self.take(act, request, grant, (policies, found.notes)).await
    }

    /// What becomes of a wish by what rules and policies say now: a request, and a grant where nobody has to approve.
    async fn judged(
        &self,
        who: &Caller,
        way: Way,
        wish: &Wish,
    ) -> Result<(Act, AccessRequest, Option<Grant>, Vec<Deciding>), DeskError> {
        let (mut act, requester) = self.act(who).await?;
        may(&requester, if way == Way::Ask { Action::Request } else { Action::BreakGlass }, &requester.name)?;
        check_target(&mut act, &wish.target).await?;
        check_writes(&mut act, wish).await?;
        let wanted = filled(wish.clone());
        if way == Way::BreakGlass {
            let most = Terms { approvals: 0, max_duration: BREAK_GLASS_MOST, ..Terms::without_rule() };
            named_by_a_rule(&wish.target, wish.effects, None, true)?;
            let (act, decided) = self.permitted(act, &requester, &wanted, &most, true).await?;
            let (asked, most) = (wanted.duration, decided.terms.max_duration);
            if asked > most {
                return Err(Refused::TooLong { asked, most }.into());
            }
            let Approved { request, grant } = break_glass(&requester, wanted, act.now)?;
            return Ok((act, request, Some(grant), decided.policies));
        }
        if act.writing.look().pending_count(&requester.name).await? >= PENDING_MOST {
            return Err(DeskError::Conflict {
                message: format!("{PENDING_MOST} of your requests wait already"),
                hint: "belay requests --mine; withdraw what is not needed".to_owned(),
            });
        }
        let rules = act.writing.look().rules().await?;
        let terms = terms(&rules, &requester, &wish.target, wish.effects, act.now);
        named_by_a_rule(&wish.target, wish.effects, terms.rule, false)?;
        let (act, decided) = self.permitted(act, &requester, &wanted, &terms, false).await?;
        let (request, grant) = ask(&requester, wanted, &decided.terms, act.now)?;
        Ok((act, request, grant, decided.policies))
    }

    async fn take(
        &self,
        mut act: Act,
        request: AccessRequest,
        grant: Option<Grant>,
        (policies, notes): (Vec<Deciding>, Vec<String>),
    ) -> Result<RequestView, DeskError> {
        let request = act.writing.add_request(request).await?;
        act.event_on(&request.target, made(&request, policies));
        act.announce(Change::Request(Arc::new(request.clone())));
        let grant = match grant {
            Some(grant) => Some(act.add_grant(Grant { request: request.id, ..grant }).await?),
            None => None,
        };
        self.finish(act).await?;
        Ok(RequestView { request, grant, notes })
    }

    /// Requests the caller may see, newest first: pending ones, or all.
    pub async fn requests(&self, who: &Caller, listing: Listing) -> Result<Vec<RequestView>, DeskError> {
        let everybody = !listing.mine && may_for_all(&who.principal, Action::SeeRequests).is_ok();
        let of = (!everybody).then_some(&who.principal.name);
        let mut reader = self.store.reader().await?;
        let mut views = Vec::new();
        for request in reader.look().requests(of, listing.all).await? {
            let grant = reader.look().grant_of_request(request.id).await?;
            views.push(RequestView { request, grant, notes: Vec::new() });
        }
        Ok(views)
    }

    /// One request, by id or unique prefix.
    pub async fn request_of(&self, who: &Caller, request: &str) -> Result<RequestView, DeskError> {
        let mut reader = self.store.reader().await?;
        let request = pick::request(&mut reader.look(), &who.principal, request).await?;
        let grant = reader.look().grant_of_request(request.id).await?;
        Ok(RequestView { request, grant, notes: Vec::new() })
    }

    /// Takes one's own request back.
    pub async fn withdraw(&self, who: &Caller, request: &str) -> Result<RequestView, DeskError> {
        let (mut act, requester) = self.act(who).await?;
        let found = pick::request(&mut act.writing.look(), &requester, request).await?;
        let request = withdraw(&found, &requester, act.now)?;
        act.event_on(&request.target, EventKind::RequestWithdrawn { request: request.id });
        act.save_request(&request).await?;
        self.finish_in_any_case(act).await?;
        Ok(RequestView { request, grant: None, notes: Vec::new() })
    }

    /// Says yes to somebody else's request; the last yes needed makes the grant.
    pub async fn approve(&self, who: &Caller, request: &str) -> Result<RequestView, DeskError> {
        let (mut act, approver) = self.act(who).await?;
        let found = pick::request(&mut act.writing.look(), &approver, request).await?;
        let (request, grant) = approve(&found, &approver, act.now)?;
        let (mut act, policies) = self.may_approve(act, &approver, &found).await?;
        let so_far = u8::try_from(request.approvals.len()).unwrap_or(u8::MAX);
        let still_needed = request.approvals_needed.saturating_sub(so_far);
        act.event_on(&request.target, EventKind::RequestApproved { request: request.id, still_needed, policies });
        act.save_request(&request).await?;
        let grant = match grant {
            Some(grant) => Some(act.add_grant(grant).await?),
            None => None,
        };
        self.finish(act).await?;
        Ok(RequestView { request, grant, notes: Vec::new() })
    }

    /// Says no, with a reason.
    pub async fn deny(&self, who: &Caller, request: &str, reason: &str) -> Result<RequestView, DeskError> {
        let (mut act, approver) = self.act(who).await?;
        let found = pick::request(&mut act.writing.look(), &approver, request).await?;
        let request = deny(&found, &approver, reason, act.now)?;
        let reason = request.denial.clone().unwrap_or_default();
        act.event_on(&request.target, EventKind::RequestDenied { request: request.id, reason });
        act.save_request(&request).await?;
        self.finish_in_any_case(act).await?;
        Ok(RequestView { request, grant: None, notes: Vec::new() })
    }
}

/// How access is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Ask,
    BreakGlass,
}

async fn check_target(act: &mut Act, target: &Name) -> Result<(), DeskError> {
    pick::target(&mut act.writing.look(), target).await.map(|_| ())
}

/// Everything, and writes that nobody has seen before they take effect, are asked for only where a rule of the
/// administrators speaks of them. In an emergency the second is left to the policies.
pub(super) fn named_by_a_rule(
    target: &Name,
    effects: Effects,
    rule: Option<RuleId>,
    break_glass: bool,
) -> Result<(), DeskError> {
    let word = match effects {
        Effects { all: true, .. } => "all",
        Effects { direct: true, .. } if !break_glass => "direct",
        _ => return Ok(()),
    };
    if rule.is_some() {
        return Ok(());
    }
    Err(DeskError::Denied {
        message: format!("no rule lets you ask for `{word}` on {target}"),
        hint: format!("an administrator: belay rule add --target {target} --effect {word} --max 1h --approvals 1"),
    })
}

/// A change is kept as whole rows and given back as whole rows: a table that is written is granted whole.
async fn check_writes(act: &mut Act, wish: &Wish) -> Result<(), DeskError> {
    if !wish.effects.write || wish.effects.all {
        return Ok(());
    }
    let target = pick::target(&mut act.writing.look(), &wish.target).await?;
    let masks = act.writing.look().masks(Some(&wish.target)).await?;
    let masked = || {
        let mut columns = masks.iter().map(|record| &record.mask.column);
        let hit = columns.find(|column| wish.resources.iter().any(|one| holds(one, column, &target.database)));
        hit.map(|column| format!("`{column}` is masked"))
    };
    let Some(against) = partly(wish).or_else(masked) else { return Ok(()) };
    Err(DeskError::Infeasible {
        message: format!("a table that is written has to be granted whole, and {against}"),
        hint: format!("name whole tables: belay request {} SCHEMA.TABLE --effect write -m REASON", wish.target),
    })
}

/// What of the wish is less than a table.
fn partly(wish: &Wish) -> Option<String> {
    let column = wish.resources.iter().find(|resource| resource.column.is_some());
    let filter = wish.bounds.rows.first();
    column
        .map(|column| format!("`{column}` is one column"))
        .or_else(|| filter.map(|filter| format!("of `{}` only some rows are asked for", filter.table)))
}

/// Whether the resource names the table of this column.
fn holds(resource: &Resource, column: &Resource, home: &str) -> bool {
    let database = |resource: &Resource| resource.database.clone().unwrap_or_else(|| home.to_owned());
    let whole = Resource { column: None, ..column.clone() };
    database(resource) == database(column)
        && Resource { database: None, ..resource.clone() }.covers(&Resource { database: None, ..whole })
}

fn filled(wish: Wish) -> Ask {
    Ask {
        target: wish.target,
        resources: wish.resources,
        effects: wish.effects,
        bounds: wish.bounds,
        duration: wish.duration,
        reason: wish.reason,
    }
}

fn made(request: &AccessRequest, policies: Vec<Deciding>) -> EventKind {
    EventKind::RequestMade {
        request: request.id,
        resources: request.resources.clone(),
        effects: request.effects,
        bounds: request.bounds.clone(),
        duration: request.duration,
        reason: request.reason.clone(),
        break_glass: request.break_glass,
        rule: request.rule,
        policies,
    }
}
