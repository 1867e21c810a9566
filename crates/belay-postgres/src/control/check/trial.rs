//! A role made, logged in with and ended, for real.

use super::layer;
use crate::control::PgControl;
use crate::control::fault::{Fault, other};
use crate::control::pool::{Act, Lane};
use belay_engine::{ControlError, Layer, LayerState, RoleSpec};
use belay_model::{Bounds, Effects, Timestamp};
use postgres_protocol::escape::escape_identifier;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio_postgres::Client;

const PREFIX: &str = "belay_check_";
/// A trial that was killed leaves a role that nobody can log in with after this.
const LIFETIME: i64 = 60_000_000;

/// How the trial went.
pub(in crate::control) struct LoginTrial {
    made: Result<(), ControlError>,
    login: Result<(), ControlError>,
    /// Whether a login with a wrong password was let in.
    any_password: bool,
    read_only: bool,
    ended: Result<(), ControlError>,
}

impl LoginTrial {
    /// Makes a role without privileges, logs in with it, and ends it.
    pub(in crate::control) async fn run(control: &PgControl) -> LoginTrial {
        let mut trial =
            LoginTrial { made: Ok(()), login: Ok(()), any_password: false, read_only: false, ended: Ok(()) };
        sweep(control).await;
        match make(control).await {
            Err(error) => {
                trial.made = Err(error.clone());
                trial.login = Err(error);
            }
            Ok((role, password)) => {
                trial.log_in(control, &role, &password).await;
                trial.ended = control.end(&role).await.map(drop);
            }
        }
        trial
    }

    async fn log_in(&mut self, control: &PgControl, role: &str, password: &str) {
        let Ok(pool) = control.pool() else { return };
        let database = &control.target.database;
        match pool.dialer().dial_as(role, password, database).await {
            Ok(client) => self.read_only = starts_read_only(&client).await,
            Err(fault) => self.login = Err(fault.into()),
        }
        self.any_password = pool.dialer().dial_as(role, "not the password", database).await.is_ok();
    }

    /// A role per grant: made, joined, ended.
    pub(super) fn role_layer(&self, user: &str, may_create: bool) -> Layer {
        let name = "role per grant";
        match (&self.made, &self.login, &self.ended) {
            (Ok(()), Ok(()), Ok(())) => layer(name, true, "a role was made, logged in with, ended and dropped"),
            (Err(error), _, _) => {
                let mut layer = layer(name, false, format!("a role cannot be made: {error}"));
                if !may_create {
                    layer.sql = vec![format!("ALTER ROLE {} CREATEROLE;", escape_identifier(user))];
                }
                layer
            }
            (_, Err(error), _) => layer(name, false, format!("a new role cannot log in; see pg_hba.conf: {error}")),
            (_, _, Err(error)) => layer(name, false, format!("a role cannot be dropped: {error}")),
        }
    }

    /// Whether the role's password is what lets it in.
    pub(super) fn password_layer(&self, encryption: &str) -> Layer {
        let name = "passwords are checked";
        if self.any_password {
            let detail =
                "a wrong password was let in: pg_hba.conf says `trust` for this gateway; write `scram-sha-256`";
            return layer(name, false, detail);
        }
        if self.login.is_err() {
            return layer(name, false, "not tried: no role could log in");
        }
        let mut layer = layer(name, encryption == "scram-sha-256", "SCRAM-SHA-256; a wrong password was refused");
        if layer.state == LayerState::Missing {
            layer.detail = format!("the roles of grants use SCRAM-SHA-256, but password_encryption is `{encryption}`");
            layer.sql = vec![
                "ALTER SYSTEM SET password_encryption = 'scram-sha-256';".to_owned(),
                "SELECT pg_reload_conf();".to_owned(),
            ];
        }
        layer
    }

    /// Whether a role's sessions start read-only.
    pub(super) fn read_only_layer(&self) -> Layer {
        let name = "read-only mode";
        if self.read_only {
            return layer(name, true, "sessions start read-only; the server reports when that changes");
        }
        layer(name, false, "a session of a new role did not start read-only")
    }
}

async fn make(control: &PgControl) -> Result<(String, Arc<str>), ControlError> {
    let mut bytes = [0_u8; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| other("no randomness"))?;
    let mut name = PREFIX.to_owned();
    for byte in bytes {
        let _ = write!(name, "{byte:02x}");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| other("the clock is before 1970"))?;
    let now = i64::try_from(now.as_micros()).map_err(|_| other("the clock is beyond all times"))?;
    let spec = RoleSpec {
        name,
        comment: "Belay: made by a target check, lives seconds".to_owned(),
        valid_until: Timestamp(now.saturating_add(LIFETIME)),
        connection_limit: 2,
        effects: Effects::default(),
        resources: Vec::new(),
        bounds: Bounds::default(),
        masks: Vec::new(),
        database: control.target.database.clone(),
    };
    let password = control.make_role(&spec).await?;
    Ok((spec.name, password))
}

async fn starts_read_only(client: &Client) -> bool {
    let sql = "SELECT reset_val = 'on' FROM pg_settings WHERE name = 'default_transaction_read_only'";
    let row = client.query_typed_one(sql, &[]).await;
    row.and_then(|row| row.try_get(0)).unwrap_or(false)
}

/// Ends what killed trials have left. What fails here shows in the trial itself.
async fn sweep(control: &PgControl) {
    let Ok(pool) = control.pool() else { return };
    let left = pool.perform(Lane::Ordinary, &control.target.database, &Left).await.unwrap_or_default();
    for role in left {
        let _ = control.end(&role).await;
    }
}

struct Left;

impl Act for Left {
    type Done = Vec<String>;

    async fn act(&self, client: &mut Client) -> Result<Vec<String>, Fault> {
        let sql = "SELECT rolname::text FROM pg_roles
            WHERE starts_with(rolname::text, 'belay_check_') AND rolvaliduntil < now() LIMIT 20";
        let rows = client.query_typed(sql, &[]).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }
}
