//! Targets.

use super::Head;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A production system that Belay guards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Target {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// The name people connect to.
    pub name: String,
    /// The protocol.
    pub protocol: String,
    /// Host name, address, or the absolute path of a socket directory.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The database a connection gets when it names none.
    pub database: String,
    /// The user of Belay's own connections.
    pub user: String,
    /// `disable`, `require`, `verify-ca` or `verify-full`.
    pub tls: String,
}

impl From<belay_model::Target> for Target {
    fn from(target: belay_model::Target) -> Target {
        Target {
            head: Head::of("target"),
            name: target.name.to_string(),
            protocol: target.protocol,
            host: target.host,
            port: target.port,
            database: target.database,
            user: target.user,
            tls: target.tls,
        }
    }
}

/// A target to be added.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTarget {
    /// The name people connect to.
    #[schema(value_type = String)]
    pub name: belay_model::Name,
    /// The protocol.
    #[serde(default = "postgres")]
    pub protocol: String,
    /// Host name, address, or the absolute path of a socket directory.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The database a connection gets when it names none.
    pub database: String,
    /// The user of Belay's own connections.
    pub user: String,
    /// Their password; may be empty where the target trusts the connection.
    #[serde(default)]
    pub password: String,
    /// `disable`, `require`, `verify-ca` or `verify-full`.
    pub tls: String,
    /// PEM certificates to verify the target with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ca_pem: Option<String>,
}

fn postgres() -> String {
    "postgres".to_owned()
}

/// A table whose changes a trigger of Belay's writes down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArmedTable {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// The target.
    pub target: String,
    /// The table, by schema and name.
    pub table: String,
    /// `armed`; `altered` where its trigger is not as Belay made it, so that the table counts as not armed.
    pub state: String,
}

impl ArmedTable {
    pub(crate) fn new(target: &str, armed: belay_engine::ArmedTable) -> ArmedTable {
        ArmedTable {
            head: Head::of("armed_table"),
            target: target.to_owned(),
            table: armed.table,
            state: if armed.sound { "armed" } else { "altered" }.to_owned(),
        }
    }
}

/// A table to be armed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ArmTable {
    /// The table, as `schema.table`.
    #[schema(value_type = String)]
    pub table: belay_model::Resource,
}

/// Which protection layers are active in a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TargetReport {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// The target.
    pub target: String,
    /// The server, in its own words.
    pub server: String,
    /// The layers, in the order they act.
    pub layers: Vec<Layer>,
}

/// One protection layer in a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Layer {
    /// What it is.
    pub name: String,
    /// `ok`; `missing` where it is not active and should be; `optional` where it is not active and need not be.
    pub state: String,
    /// What was seen, or what is missing.
    pub detail: String,
    /// SQL that would make it active, to be run by the target's owner.
    pub sql: Vec<String>,
}

impl TargetReport {
    pub(crate) fn new(target: &str, report: belay_engine::Report) -> TargetReport {
        let layer = |layer: belay_engine::Layer| Layer {
            name: layer.name,
            state: layer.state.word().to_owned(),
            detail: layer.detail,
            sql: layer.sql,
        };
        TargetReport {
            head: Head::of("target_report"),
            target: target.to_owned(),
            server: report.server,
            layers: report.layers.into_iter().map(layer).collect(),
        }
    }
}
