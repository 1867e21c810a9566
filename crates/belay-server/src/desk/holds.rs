//! Legal holds on sessions: what is held is neither erased nor deleted when its time is over.

use super::{Caller, Desk, DeskError, pick};
use crate::ledger::Mentioned;
use belay_model::{EventKind, SessionId};
use belay_policy::{Action, REASON_MOST, may_for_all};
use belay_store::{ErasureState, HoldRecord, Writing};

/// The most sessions on hold at once: whoever deletes looks at them all.
const HOLDS_MOST: usize = 1_000;

/// While it lives nothing is put on hold, and nothing else is decided: it is to live for as long as a record takes.
#[derive(Debug)]
pub struct Unheld {
    _writing: Writing,
}

impl Desk {
    /// Every hold.
    pub async fn holds(&self, who: &Caller) -> Result<Vec<HoldRecord>, DeskError> {
        may_for_all(&who.principal, Action::HoldSession)?;
        Ok(self.store.reader().await?.look().holds().await?)
    }

    /// Makes sure that nothing of this is on hold. As long as the answer lives nothing can be put on hold; `None` where
    /// something is.
    pub async fn nothing_held(&self, of: &Mentioned) -> Result<Option<Unheld>, DeskError> {
        let mut writing = self.store.write().await?;
        let held = writing.look().held().await?;
        Ok((!of.is_in(&held)).then_some(Unheld { _writing: writing }))
    }

    /// Holds a session from here on.
    pub async fn hold(&self, who: &Caller, session: &str, reason: &str) -> Result<HoldRecord, DeskError> {
        let reason = said(reason)?;
        let mut act = self.act_with(who, Action::HoldSession).await?;
        let session = pick::session(&mut act.writing.look(), &who.principal, session).await?;
        if let Some(there) = act.writing.look().hold(session.id).await? {
            return Err(DeskError::Conflict {
                message: format!("{} is on hold already, by {}", session.id, there.by),
                hint: format!("belay audit hold --release {}", session.id),
            });
        }
        for bound in act.writing.look().bound_to(session.id).await? {
            let erasure = act.writing.look().erasure(bound).await?;
            if let Some(erasure) = erasure.filter(|erasure| erasure.state != ErasureState::Done) {
                return Err(DeskError::Conflict {
                    message: format!("the content of {bound} is being erased, by {}: {}", erasure.by, erasure.reason),
                    hint: "belay audit search 'kind:session_erased' tells more".to_owned(),
                });
            }
        }
        if act.writing.look().holds().await?.len() >= HOLDS_MOST {
            return Err(DeskError::Conflict {
                message: format!("{HOLDS_MOST} sessions are on hold already"),
                hint: "belay audit hold --release SESSION".to_owned(),
            });
        }
        let by = who.principal.name.clone();
        let hold = HoldRecord { session: session.id, by, at: act.now, reason: reason.clone() };
        act.writing.add_hold(&hold).await?;
        act.event_about(&session.target, session.grant, Some(session.id), EventKind::SessionHeld { reason });
        self.finish(act).await?;
        Ok(hold)
    }

    /// Takes the hold off a session.
    pub async fn release(&self, who: &Caller, session: &str) -> Result<SessionId, DeskError> {
        let mut act = self.act_with(who, Action::HoldSession).await?;
        let session = pick::session(&mut act.writing.look(), &who.principal, session).await?;
        if act.writing.look().hold(session.id).await?.is_none() {
            return Err(DeskError::NotFound { kind: "hold on session", name: session.id.to_string() });
        }
        act.writing.remove_hold(session.id).await?;
        act.event_about(&session.target, session.grant, Some(session.id), EventKind::SessionReleased);
        self.finish(act).await?;
        Ok(session.id)
    }
}

/// A reason that says something.
pub(super) fn said(reason: &str) -> Result<String, DeskError> {
    let reason = reason.trim();
    let invalid = |message: String| DeskError::Invalid { field: "reason", message };
    if reason.is_empty() {
        return Err(invalid("a reason is needed".to_owned()));
    }
    if reason.chars().count() > REASON_MOST {
        return Err(invalid(format!("a reason has at most {REASON_MOST} characters")));
    }
    Ok(reason.to_owned())
}
