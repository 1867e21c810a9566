//! The key that signs the ledger.

use super::{Caller, Desk, DeskError};
use belay_ledger::VerifierKey;
use belay_model::EventKind;
use belay_policy::{Action, may_for_all};

impl Desk {
    /// Whether this person may change the key of the ledger.
    pub fn may_change_ledger_key(&self, who: &Caller) -> Result<(), DeskError> {
        Ok(may_for_all(&who.principal, Action::ChangeLedgerKey)?)
    }

    /// Records that a key takes the place of another; before anything is signed with it.
    pub async fn ledger_key_added(
        &self,
        who: &Caller,
        key: &VerifierKey,
        replaces: &VerifierKey,
    ) -> Result<(), DeskError> {
        let mut act = self.act_with(who, Action::ChangeLedgerKey).await?;
        act.event(EventKind::LedgerKeyAdded { key: key.to_string(), replaces: Some(replaces.to_string()) });
        self.finish(act).await
    }
}
