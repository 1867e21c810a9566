//! What belongs to a session beyond what is its own: plans and changes that give its changes back, whoever made them.

use super::{Desk, DeskError, Origin};
use belay_ledger::Owner;
use belay_model::{SessionId, Timestamp};
use belay_store::Look;

/// Keys that are asked about at once.
const AT_ONCE: usize = 1_000;

/// Where something comes from, and all sessions to which it belongs: to that of its origin, and to those whose changes it
/// gives back. It is in a session if that is the only one. None of them may be erased: nobody would erase what comes after.
pub(super) async fn belonging(look: &mut Look<'_>, origin: &Origin) -> Result<(Origin, Vec<SessionId>), DeskError> {
    let mut sessions = look.sessions_of(&origin.reverts).await?;
    sessions.extend(origin.session);
    sessions.sort_unstable();
    sessions.dedup();
    for session in &sessions {
        if let Some(erasure) = look.erasure(*session).await? {
            return Err(DeskError::Conflict {
                message: format!("what {session} changed is erased, by {}: {}", erasure.by, erasure.reason),
                hint: "nothing of it can be given back".to_owned(),
            });
        }
    }
    let session = sessions.first().copied().filter(|_| sessions.len() == 1);
    Ok((Origin { session, ..origin.clone() }, sessions))
}

impl Desk {
    /// Whose keys open what the session holds: its own, and those of what belongs to others as well.
    pub(crate) async fn owners_of(&self, session: SessionId) -> Result<Vec<Owner>, DeskError> {
        let (plans, changes) = self.store.reader().await?.look().shared_by(session).await?;
        let shared = plans.into_iter().map(Owner::Plan).chain(changes.into_iter().map(Owner::Change));
        Ok(std::iter::once(Owner::Session(session)).chain(shared).collect())
    }

    /// Those of these that have made nothing since `before`, of which no rows are kept, and which are on no hold.
    pub(crate) async fn outlived(&self, owners: &[Owner], before: Timestamp) -> Result<Vec<Owner>, DeskError> {
        let mut outlived = Vec::new();
        for part in owners.chunks(AT_ONCE) {
            let (mut sessions, mut changes, mut plans) = (Vec::new(), Vec::new(), Vec::new());
            for owner in part {
                match owner {
                    Owner::Session(session) => sessions.push(*session),
                    Owner::Change(change) => changes.push(*change),
                    Owner::Plan(plan) => plans.push(*plan),
                }
            }
            let mut reader = self.store.reader().await?;
            let mut look = reader.look();
            outlived.extend(look.outlived_sessions(&sessions, before).await?.into_iter().map(Owner::Session));
            outlived.extend(look.outlived_changes(&changes, before).await?.into_iter().map(Owner::Change));
            outlived.extend(look.outlived_plans(&plans, before).await?.into_iter().map(Owner::Plan));
        }
        Ok(outlived)
    }
}
