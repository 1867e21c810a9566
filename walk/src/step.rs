//! The steps of the walk, one file for each chapter.

mod access;
mod crash;
mod ends;
mod guard;
mod layers;
mod record;
pub(crate) mod server;
pub(crate) mod stop;
mod writes;

use crate::Broken;
use crate::checks::Checks;
use crate::world::World;

/// Everything but the stop, in the order people would do it.
pub(crate) async fn walk(world: &mut World, checks: &mut Checks) -> Result<(), Broken> {
    server::target_is_added(world, checks).await?;
    access::access_is_asked_and_granted(world, checks).await?;
    guard::reads_pass(world, checks).await?;
    guard::writes_are_refused(world, checks).await?;
    guard::attacks_fail(world, checks).await?;
    layers::the_database_alone_refuses(world, checks).await?;
    ends::expiry_ends_a_running_statement(world, checks).await?;
    ends::revocation_ends_a_running_statement(world, checks).await?;
    crash::a_killed_gateway_leaves_nothing(world, checks).await?;
    writes::writes_can_be_given_back(world, checks).await?;
    record::the_ledger_holds(world, checks).await
}
