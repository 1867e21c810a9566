//! Plans that are applied and changes that are given back, over connections of the gateway's own.

use super::PgControl;
use super::fault::other;
use belay_engine::{Applied, BoxFuture, Changes, ControlError, Keeper, Order, Outcome, Reversion, Reverted};
use std::sync::Arc;

impl Changes for PgControl {
    fn apply<'a>(&'a self, _order: Order, _keeper: Arc<dyn Keeper>) -> BoxFuture<'a, Result<Applied, ControlError>> {
        Box::pin(async { Err(other("plans cannot be applied yet")) })
    }

    fn revert<'a>(
        &'a self,
        _order: Reversion,
        _keeper: Arc<dyn Keeper>,
    ) -> BoxFuture<'a, Result<Reverted, ControlError>> {
        Box::pin(async { Err(other("changes cannot be given back yet")) })
    }

    fn outcome<'a>(
        &'a self,
        _database: &'a str,
        _transaction: &'a str,
    ) -> BoxFuture<'a, Result<Outcome, ControlError>> {
        Box::pin(async { Err(other("transactions cannot be asked for yet")) })
    }
}
