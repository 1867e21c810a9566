//! Which protection layers are active in a target, and the SQL that would make the others so.

mod facts;
mod giving_back;
mod trial;

pub(super) use facts::Facts;
pub(super) use trial::LoginTrial;

use crate::target_tls::TargetTls;
use belay_engine::{ArmedTable, Layer, LayerState, Report};
use belay_model::Target;
use facts::{Found, Hole};
use postgres_protocol::escape::escape_identifier;
use std::fmt::Write as _;

const OLDEST: i32 = 14;
const NEWEST: i32 = 18;
/// Names in a layer's detail, and statements beside it.
const NAMED: usize = 5;
const STATEMENTS: usize = 20;

/// The layers in the order they act.
pub(super) fn report(target: &Target, facts: &Found, armed: &[ArmedTable], trial: &LoginTrial) -> Report {
    let mut layers = vec![version(facts), encryption(target, facts), identity(target)];
    layers.push(control_user(facts));
    layers.push(trial.role_layer(&facts.user, facts.create_role || facts.superuser));
    layers.push(trial.password_layer(&facts.password_encryption));
    layers.push(trial.read_only_layer());
    layers.push(standby(facts));
    layers.push(grantable(facts));
    layers.extend(HOLES.iter().map(|hole| closed(hole, facts)));
    layers.push(row_filters(facts));
    layers.push(giving_back::writes(facts));
    layers.push(giving_back::strategy(facts));
    layers.push(giving_back::armed(armed, target));
    layers.push(temporary_files(facts));
    layers.push(activity(facts));
    Report { server: format!("PostgreSQL {}", facts.version), layers }
}

/// What PUBLIC may do can be taken from nobody alone: each grant's role has it too.
struct PublicHole {
    kind: Hole,
    name: &'static str,
    safe: &'static str,
    open: &'static str,
}

const HOLES: [PublicHole; 7] = [
    PublicHole {
        kind: Hole::Temporary,
        name: "no temporary tables",
        safe: "PUBLIC may not make temporary tables in this database",
        open: "PUBLIC may make temporary tables in",
    },
    PublicHole {
        kind: Hole::Create,
        name: "no new objects",
        safe: "PUBLIC may create nothing in any schema",
        open: "PUBLIC may create objects in",
    },
    PublicHole {
        kind: Hole::Readable,
        name: "no tables open to all",
        safe: "PUBLIC may read no table or view",
        open: "outside every grant, PUBLIC may read",
    },
    PublicHole {
        kind: Hole::Database,
        name: "other databases closed",
        safe: "PUBLIC may connect to no other database",
        open: "every role may connect to",
    },
    PublicHole {
        kind: Hole::ReachesOut,
        name: "no way out of the database",
        safe: "PUBLIC may execute no function that opens connections or files",
        open: "PUBLIC may execute functions that open connections or files, around every read-only mode:",
    },
    PublicHole {
        kind: Hole::Definer,
        name: "no borrowed rights",
        safe: "PUBLIC may execute no function that runs with its owner's rights",
        open: "PUBLIC may execute functions that run with their owner's rights:",
    },
    PublicHole {
        kind: Hole::Untrusted,
        name: "no untrusted code",
        safe: "PUBLIC may execute no function in an untrusted language",
        open: "PUBLIC may execute functions in untrusted languages:",
    },
];

fn layer(name: &str, active: bool, detail: impl Into<String>) -> Layer {
    let state = if active { LayerState::Ok } else { LayerState::Missing };
    Layer { name: name.to_owned(), state, detail: detail.into(), sql: Vec::new() }
}

/// A layer that is not active and need not be.
fn optional(name: &str, detail: impl Into<String>) -> Layer {
    Layer { state: LayerState::Optional, ..layer(name, false, detail) }
}

fn version(facts: &Found) -> Layer {
    let major = facts.version_number / 10_000;
    let detail = format!("version {major}; known are {OLDEST} to {NEWEST}");
    layer("known server version", (OLDEST..=NEWEST).contains(&major), detail)
}

fn encryption(target: &Target, facts: &Found) -> Layer {
    if TargetTls::is_socket(target) {
        return layer("encryption to the target", true, "unix socket: nothing leaves the machine");
    }
    match &facts.tls_version {
        Some(version) => layer("encryption to the target", true, version.clone()),
        None if TargetTls::is_loopback(target) => {
            optional("encryption to the target", "loopback: nothing leaves the machine")
        }
        None => layer(
            "encryption to the target",
            false,
            format!("tls is `{}`: passwords and rows go in the clear; set tls = \"verify-full\"", target.tls),
        ),
    }
}

fn identity(target: &Target) -> Layer {
    let name = "identity of the target";
    if TargetTls::is_socket(target) {
        return layer(name, true, "unix socket");
    }
    match target.tls.as_str() {
        "verify-full" => layer(name, true, "certificate and host name are verified"),
        "verify-ca" => layer(name, true, "certificate is verified, host name is not"),
        _ if TargetTls::is_loopback(target) => optional(name, "loopback: nobody is on the way"),
        other => layer(
            name,
            false,
            format!(
                "tls is `{other}`: anybody on the way can pose as the target; set tls = \"verify-full\" and give its authority's certificate"
            ),
        ),
    }
}

fn control_user(facts: &Found) -> Layer {
    let name = "least-privileged control user";
    if facts.superuser {
        let detail = format!("`{}` is a superuser; Belay needs CREATEROLE and the right to grant reads", facts.user);
        let mut layer = layer(name, false, detail);
        layer.sql = super::setup_sql("belay", None).lines().map(str::to_owned).collect();
        return layer;
    }
    layer(name, true, format!("`{}` is no superuser", facts.user))
}

fn standby(facts: &Found) -> Layer {
    if facts.in_recovery {
        return layer("hot standby", true, "this server cannot write at all; roles are made at its primary");
    }
    optional("hot standby", "this server is a primary; reads could go to a standby, which cannot write at all")
}

fn grantable(facts: &Found) -> Layer {
    let lacking = facts.of(Hole::NotGrantable);
    let (name, user) = ("right to grant reads", escape_identifier(&facts.user));
    if lacking.is_empty() {
        return layer(name, true, format!("{user} may grant reads of every table in this database"));
    }
    let detail = format!("{user} may not grant reads of {}", names(&lacking));
    with_sql(layer(name, false, detail), &lacking)
}

fn closed(hole: &PublicHole, facts: &Found) -> Layer {
    let found = facts.of(hole.kind);
    if found.is_empty() {
        return layer(hole.name, true, hole.safe);
    }
    with_sql(layer(hole.name, false, format!("{} {}", hole.open, names(&found))), &found)
}

/// Views that show some rows of a table live in a schema of the grant's role.
fn row_filters(facts: &Found) -> Layer {
    let (name, user) = ("row filters", escape_identifier(&facts.user));
    if facts.may_create {
        return layer(name, true, format!("{user} may make the views that show some rows of a table"));
    }
    let detail = format!("{user} may not make schemas in this database: requests with row filters are refused");
    let sql = vec![format!("GRANT CREATE ON DATABASE {} TO {user};", escape_identifier(&facts.database))];
    Layer { sql, ..optional(name, detail) }
}

/// The gateway cannot see temporary files grow.
fn temporary_files(facts: &Found) -> Layer {
    let (name, user) = ("bound on temporary files", escape_identifier(&facts.user));
    if facts.may_bound_files {
        return layer(name, true, "temp_file_limit can be set for each role");
    }
    let detail = format!("{user} may not set temp_file_limit: budgets of temporary files are not kept");
    let sql = if facts.version_number < 150_000 {
        Vec::new()
    } else {
        vec![format!("GRANT SET ON PARAMETER temp_file_limit TO {user};")]
    };
    Layer { sql, ..optional(name, detail) }
}

fn activity(facts: &Found) -> Layer {
    let mut layer = layer(
        "activity is visible",
        facts.track_activities && facts.track_counts,
        "track_activities and track_counts are on",
    );
    if layer.state == LayerState::Missing {
        "track_activities or track_counts is off: what sessions do cannot be watched".clone_into(&mut layer.detail);
        layer.sql = vec![
            "ALTER SYSTEM SET track_activities = on;".to_owned(),
            "ALTER SYSTEM SET track_counts = on;".to_owned(),
            "SELECT pg_reload_conf();".to_owned(),
        ];
    }
    layer
}

fn names(found: &[&facts::Item]) -> String {
    let mut text = found.iter().take(NAMED).map(|item| item.name.as_str()).collect::<Vec<_>>().join(", ");
    if found.len() > NAMED {
        let _ = write!(text, " and {} more", found.len() - NAMED);
    }
    text
}

fn with_sql(mut layer: Layer, found: &[&facts::Item]) -> Layer {
    layer.sql = found.iter().take(STATEMENTS).map(|item| item.sql.clone()).collect();
    layer
}
