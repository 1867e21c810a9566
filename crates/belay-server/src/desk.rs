//! The desk: what people do with Belay, apart from running statements.
//!
//! Does not know HTTP, sockets or any target's protocol. Each act checks the role matrix, runs in one
//! store transaction that judges by the state it finds there, is durable in the ledger before it takes
//! effect, and is announced on [`Desk::changes`] right after its commit. Acts that only take rights
//! away also work while the ledger cannot be written; their events are owed to it.

mod access;
mod act;
mod arming;
mod belongs;
mod callers;
mod changes;
mod clock;
mod configuration;
mod due;
mod erasures;
mod error;
mod forms;
mod gateway;
mod grants;
mod holds;
mod ledger_key;
mod logins;
mod masks;
mod pick;
mod plans;
mod recorder;
mod requests;
mod row_keys;
mod rules;
mod survey;
mod targets;
mod to_revert;
mod users;

pub use belay_store::{ApiToken, HoldRecord, MaskRecord, User};
pub use changes::ChangeView;
pub(crate) use changes::{Origin, read as read_set, rows_gone};
pub use clock::{Clock, SystemClock};
pub use error::DeskError;
pub use forms::{
    Caller, Change, ClaimedToken, Due, FoundLogin, GrantView, Listing, LoginMatch, MintedToken, NewMask, NewRule,
    NewTarget, NewUser, Question, RequestView, UserChange, Wish,
};
pub use holds::Unheld;
pub(crate) use plans::NewPlan;
pub use plans::{PlanView, RevertOrder, RevertPart};
pub use recorder::{Recorder, Unrecorded};
pub use survey::Surveyor;
pub use to_revert::RevertOf;
pub(crate) use to_revert::ToRevert;

use crate::files;
use crate::people::LocalPeople;
use crate::secrets::{self, Keys};
use belay_model::{Role, Span};
use belay_store::Store;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, OnceLock};
use tokio::sync::broadcast;

/// How many changes a slow listener may be behind before it has to look for itself.
const CHANGES_KEPT: usize = 1_024;
/// How long the first administrator's token lasts.
const FIRST_TOKEN: Span = Span::from_seconds(7 * 86_400);

/// See the module.
pub struct Desk {
    data: PathBuf,
    store: Arc<Store>,
    keys: Arc<Keys>,
    people: LocalPeople,
    recorder: Arc<dyn Recorder>,
    clock: Arc<dyn Clock>,
    changes: broadcast::Sender<Change>,
    tidied_at: AtomicI64,
    in_force: access::InForce,
    surveyor: OnceLock<Arc<dyn Surveyor>>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("data", &self.data).finish_non_exhaustive()
    }
}

impl Desk {
    /// Opens the store and the key file in the data directory; makes both at the first start.
    pub async fn open(data: &Path, recorder: Arc<dyn Recorder>, clock: Arc<dyn Clock>) -> Result<Desk, DeskError> {
        make_folder(data)?;
        let fresh_instance = hex::encode(secrets::random::<4>()?);
        let store = Arc::new(Store::open(data, &fresh_instance).await?);
        let wanted = store.reader().await?.look().meta("key_id").await?;
        let keys = Arc::new(Keys::open(&data.join("key"), wanted.as_deref())?);
        if wanted.is_none() {
            let mut writing = store.write().await?;
            writing.set_meta("key_id", keys.id()).await?;
            writing.commit().await?;
        }
        let people = LocalPeople::new(Arc::clone(&store))?;
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        let tidied_at = AtomicI64::new(i64::MIN);
        let in_force = access::InForce::only_default()?;
        Ok(Desk {
            data: data.to_owned(),
            store,
            keys,
            people,
            recorder,
            clock,
            changes,
            tidied_at,
            in_force,
            surveyor: OnceLock::new(),
        })
    }

    /// At the first start: makes `admin` and writes a token for it to `admin.token` in the data
    /// directory, whose path it returns. Does nothing when there are people already.
    pub async fn bootstrap(&self) -> Result<Option<PathBuf>, DeskError> {
        let mut act = self.act_alone().await?;
        if act.writing.look().has_users().await? {
            return Ok(None);
        }
        let roles = vec![Role::Administrator, Role::Approver, Role::Requester, Role::Auditor];
        let admin = User {
            name: "admin".parse().map_err(|_| DeskError::Store("`admin` is no name".to_owned()))?,
            roles,
            groups: Vec::new(),
            disabled: false,
            has_password: false,
            created_at: act.now,
        };
        act.writing.add_user(&admin, None).await?;
        act.event(users::added(&admin));
        let minted = callers::mint(&mut act, &admin.name, "first administrator", FIRST_TOKEN).await?;
        let path = self.data.join("admin.token");
        // A token there is of a start that did not get as far as the commit.
        let written = remove_if_there(&path)
            .and_then(|()| files::create(&path, format!("{}\n", minted.secret.reveal()).as_bytes(), 0o600));
        written.map_err(|error| DeskError::Store(format!("`{}`: {error}", path.display())))?;
        self.finish(act).await?;
        Ok(Some(path))
    }

    /// Eight hex digits that tell this gateway's roles in a target from another's; made once.
    pub fn instance(&self) -> &str {
        self.store.instance()
    }

    /// The keys that seal what is kept.
    pub(crate) fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys)
    }

    /// The directory that everything is in.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Whether the store can be written; for `/readyz`.
    pub async fn check_store(&self) -> Result<(), DeskError> {
        let mut writing = self.store.write().await?;
        writing.set_meta("checked_at", &self.clock.now().0.to_string()).await?;
        Ok(writing.commit().await?)
    }

    /// Every change from here on. A receiver that lags must read [`Desk::live_grants`] anew.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Closes the store in order. Acts after this fail.
    pub async fn close(&self) {
        self.store.close().await;
    }
}

fn make_folder(data: &Path) -> Result<(), DeskError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(|error| DeskError::Store(format!("`{}`: {error}", data.display())))
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
