//! Keeps the catalogs of the databases in use fresh. Does not read them itself (a [`Source`] does) and does not judge.
//!
//! A catalog is looked at when a connection opens, every few seconds while one is open, and soon after somebody says
//! that it may have changed. Where that fails for too long, the catalog is withheld, so that statements are refused
//! and not judged by what may have changed.

mod cell;
mod registry;
#[cfg(test)]
mod tests;

pub use cell::{CatalogCell, Edition};
pub(crate) use registry::Catalogs;

use super::read::Reading;
use crate::classify::Limits;
use belay_engine::{BoxFuture, ControlError};
use std::time::Duration;
use tokio_postgres::Client;

/// Whoever can look at a target's catalogs. Each look is bounded in time.
pub(crate) trait Source: Send + Sync {
    /// The catalog of `database`; nothing where its fingerprint is still `known`.
    fn look<'a>(
        &'a self,
        database: &'a str,
        known: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Option<Reading>, ControlError>>;

    /// A connection of its own, of the control user or of somebody else, by name and password.
    fn dial<'a>(
        &'a self,
        database: &'a str,
        user: Option<(&'a str, &'a str)>,
    ) -> BoxFuture<'a, Result<Client, ControlError>>;
}

/// How often, and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Between two looks while connections are open.
    pub(crate) tick: Duration,
    /// Between two looks that are asked for.
    pub(crate) nudge: Duration,
    /// For how long a catalog counts after it was last found to be right.
    pub(crate) stale: Duration,
    /// How long a catalog is kept that nobody uses.
    pub(crate) idle: Duration,
    /// Databases at once.
    pub(crate) cells: usize,
    /// Bounds of what reads texts with a catalog.
    pub(crate) limits: Limits,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            tick: Duration::from_secs(5),
            nudge: Duration::from_millis(500),
            stale: Duration::from_mins(1),
            idle: Duration::from_mins(1),
            cells: 128,
            limits: Limits::default(),
        }
    }
}
