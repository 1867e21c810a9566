//! What the records of a segment are about, as far as it can be on hold.

use belay_model::{ChangeId, GrantId, PlanId, RequestId, SessionId, Timestamp};
use belay_store::Held;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Sessions, and what leads to one or comes of one, that records name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mentioned {
    sessions: HashSet<SessionId>,
    /// Of records that are in no session.
    grants: HashSet<GrantId>,
    requests: HashSet<RequestId>,
    plans: HashSet<PlanId>,
    changes: HashSet<ChangeId>,
}

/// What is looked at of each record.
#[derive(Deserialize)]
struct Trace {
    at: Timestamp,
    #[serde(default)]
    session: Option<SessionId>,
    #[serde(default)]
    grant: Option<GrantId>,
    #[serde(default)]
    request: Option<RequestId>,
    #[serde(default)]
    plan: Option<PlanId>,
    #[serde(default)]
    change: Option<ChangeId>,
}

impl Mentioned {
    /// Looks at the next record, and says when it was; `None` where it does not say so.
    pub(super) fn see(&mut self, payload: &[u8]) -> Option<Timestamp> {
        let Trace { at, session, grant, request, plan, change } = serde_json::from_slice(payload).ok()?;
        // Of other sessions under the same grant nothing is held.
        self.grants.extend(grant.filter(|_| session.is_none()));
        self.sessions.extend(session);
        self.requests.extend(request);
        self.plans.extend(plan);
        self.changes.extend(change);
        Some(at)
    }

    /// Whether any of it is held.
    pub fn is_in(&self, held: &Held) -> bool {
        !(self.sessions.is_disjoint(&held.sessions)
            && self.grants.is_disjoint(&held.grants)
            && self.requests.is_disjoint(&held.requests)
            && self.plans.is_disjoint(&held.plans)
            && self.changes.is_disjoint(&held.changes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(payloads: &[&str]) -> Mentioned {
        let mut mentioned = Mentioned::default();
        for payload in payloads {
            assert_eq!(mentioned.see(payload.as_bytes()), Some(Timestamp(5)), "{payload}");
        }
        mentioned
    }

    fn held() -> Held {
        Held {
            sessions: [SessionId(7)].into(),
            grants: [GrantId(3)].into(),
            requests: [RequestId(2)].into(),
            plans: [PlanId(4)].into(),
            changes: [ChangeId(9)].into(),
        }
    }

    #[test]
    fn what_led_to_a_session_on_hold_is_held_with_it_and_so_is_what_came_of_it() {
        for payload in [
            r#"{"seq":1,"at":5,"who":"ann","kind":"request_made","request":"r_2"}"#,
            r#"{"seq":1,"at":5,"who":"bob","kind":"request_approved","request":"r_2","still_needed":0}"#,
            r#"{"seq":1,"at":5,"grant":"g_3","kind":"grant_made","request":"r_2","ends_at":6,"use_by":6}"#,
            r#"{"seq":1,"at":5,"grant":"g_3","kind":"grant_reviewed","note":"fine"}"#,
            r#"{"seq":1,"at":5,"grant":"g_3","session":"s_7","kind":"session_ended","reason":"closed"}"#,
            r#"{"seq":1,"at":5,"grant":"g_8","kind":"change_reverted","change":"c_9","by":"c_12"}"#,
            r#"{"seq":1,"at":5,"grant":"g_8","kind":"plan_denied","plan":"p_4","reason":"no"}"#,
        ] {
            assert!(seen(&[payload]).is_in(&held()), "{payload}");
        }
    }

    #[test]
    fn what_is_of_others_is_not_held() {
        assert!(
            !seen(&[
                r#"{"seq":1,"at":5,"kind":"server_stopped"}"#,
                r#"{"seq":2,"at":5,"grant":"g_3","session":"s_8","kind":"statement","statement":1}"#,
                r#"{"seq":3,"at":5,"grant":"g_4","kind":"grant_made","request":"r_3","ends_at":6,"use_by":6}"#,
            ])
            .is_in(&held())
        );
        assert_eq!(Mentioned::default().see(br#"{"seq":1}"#), None);
    }
}
