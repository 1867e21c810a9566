//! Plans and change sets on their way to the disk and back.

use belay_change::{ChangeSet, Script};
use belay_engine::BoxFuture;
use belay_engine::{Draft, Keeper, NotKept, Outcome, SessionContext};
use belay_model::{ChangeId, PlanId};
use std::io;
use std::sync::Arc;

/// Where changes are kept.
pub(crate) struct Vault;

impl Vault {
    /// What keeps the changes of this session.
    pub(crate) fn keeper(&self, _context: &SessionContext) -> Arc<dyn Keeper> {
        Arc::new(Nothing)
    }
}

struct Nothing;

impl Keeper for Nothing {
    fn open(&self) -> io::Result<Box<dyn Draft>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn plan<'a>(&'a self, _: Box<dyn Draft>, _: ChangeSet, _: Script) -> BoxFuture<'a, Result<PlanId, NotKept>> {
        Box::pin(async { Err(NotKept("plans are not kept yet".to_owned())) })
    }

    fn keep<'a>(&'a self, _: Box<dyn Draft>, _: ChangeSet, _: Script) -> BoxFuture<'a, Result<ChangeId, NotKept>> {
        Box::pin(async { Err(NotKept("changes are not kept yet".to_owned())) })
    }

    fn ended<'a>(&'a self, _: ChangeId, _: Outcome) -> BoxFuture<'a, Result<(), NotKept>> {
        Box::pin(async { Err(NotKept("changes are not kept yet".to_owned())) })
    }
}
