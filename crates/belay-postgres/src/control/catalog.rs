//! Looking at the catalog of a database over a control connection.

use super::fault::{Fault, other};
use super::pool::{Act, Lane, Pool};
use crate::catalog::keep::Source;
use crate::catalog::read::{ReadError, Reading, fingerprint, read};
use belay_engine::{BoxFuture, ControlError};
use std::time::Duration;
use tokio_postgres::Client;

/// Reads everything where the fingerprint is not the one that is known.
struct Look<'a> {
    known: Option<&'a str>,
}

impl Act for Look<'_> {
    type Done = Option<Reading>;
    const LIMIT: Duration = Duration::from_secs(25);

    async fn act(&self, client: &mut Client) -> Result<Option<Reading>, Fault> {
        if let Some(known) = self.known
            && fingerprint(client).await? == known
        {
            return Ok(None);
        }
        Ok(Some(read(client).await?))
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Fault {
        match error {
            ReadError::Sql(error) => Fault::Sql(error),
            ReadError::TooMuch { .. } | ReadError::Strange(_) | ReadError::Stopping => other(error.to_string()).into(),
        }
    }
}

impl Source for Pool {
    fn look<'a>(
        &'a self,
        database: &'a str,
        known: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Option<Reading>, ControlError>> {
        Box::pin(async move { self.perform(Lane::Ordinary, database, &Look { known }).await })
    }

    fn dial<'a>(
        &'a self,
        database: &'a str,
        user: Option<(&'a str, &'a str)>,
    ) -> BoxFuture<'a, Result<Client, ControlError>> {
        Box::pin(async move {
            Ok(match user {
                Some((user, password)) => self.dialer().dial_as(user, password, database).await?,
                None => self.dialer().dial(database).await?,
            })
        })
    }
}
