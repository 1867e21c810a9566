//! The configuration that the server was started with, for the record.

use super::{Desk, DeskError};
use crate::config;
use belay_model::EventKind;

/// Which configuration the ledger was last told of.
const HASH_KEY: &str = "configuration_hash";

impl Desk {
    /// Tells the ledger which configuration is in force, if it is another than at the last start.
    pub async fn record_configuration(&self, identity: &config::Identity) -> Result<(), DeskError> {
        let mut act = self.act_alone().await?;
        let known = act.writing.look().meta(HASH_KEY).await?;
        if known.as_deref() == Some(identity.hash.as_str()) {
            return Ok(());
        }
        act.writing.set_meta(HASH_KEY, &identity.hash).await?;
        act.event(EventKind::ConfigurationChanged { hash: identity.hash.clone(), settings: identity.settings.clone() });
        self.finish(act).await
    }
}
