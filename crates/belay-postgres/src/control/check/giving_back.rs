//! Whether writes can be granted and given back, and how.

use super::facts::{Found, Hole};
use super::{NAMED, layer, names, optional, with_sql};
use belay_engine::{ArmedTable, Layer};
use belay_model::Target;
use postgres_protocol::escape::escape_identifier;

/// The rights that a grant of writes and a revert take. Whoever grants reads only needs none of them.
pub(super) fn writes(facts: &Found) -> Layer {
    let (name, user) = ("right to grant writes", escape_identifier(&facts.user));
    let lacking = facts.of(Hole::NotWritable);
    if lacking.is_empty() && facts.may_make_temporary {
        return layer(name, true, format!("{user} may grant writes of every table, and give them back"));
    }
    let mut missing = Vec::new();
    if !lacking.is_empty() {
        missing.push(format!("grant writes of {}", names(&lacking)));
    }
    let mut sql = Vec::new();
    if !facts.may_make_temporary {
        missing.push("make temporary tables, which writes are given back from: they are refused".to_owned());
        sql.push(format!("GRANT TEMPORARY ON DATABASE {} TO {user};", escape_identifier(&facts.database)));
    }
    let mut layer = with_sql(optional(name, format!("{user} may not {}", missing.join(", nor "))), &lacking);
    layer.sql.splice(0..0, sql);
    layer
}

/// How triggers and rules are kept from acting when rows are put back, and what cannot be given back so.
pub(super) fn strategy(facts: &Found) -> Layer {
    let name = "giving writes back";
    if facts.may_replicate {
        let acting = facts.of(Hole::NotSwitchedOff);
        if acting.is_empty() {
            return layer(name, true, "replica: session_replication_role switches triggers and rules off");
        }
        let detail = format!(
            "replica: session_replication_role switches triggers and rules off, but not those of {}, whose writes are refused",
            names(&acting)
        );
        return optional(name, detail);
    }
    let foreign = facts.of(Hole::NotOwn);
    let detail = if foreign.is_empty() {
        "disable: the control user owns the tables and disables their triggers; writes of tables with rules are refused, and \
         swapped unique values do not come back"
            .to_owned()
    } else {
        format!(
            "fire: nothing is switched off; writes of tables with triggers or rules are refused, and swapped unique values \
             do not come back. Not owned: {}",
            names(&foreign)
        )
    };
    let mut layer = optional(name, detail);
    if facts.version_number >= 150_000 {
        let user = escape_identifier(&facts.user);
        layer.sql = vec![format!("GRANT SET ON PARAMETER session_replication_role TO {user};")];
    }
    layer
}

/// Tables whose changes a trigger writes down.
pub(super) fn armed(tables: &[ArmedTable], target: &Target) -> Layer {
    let name = "armed tables";
    let listed = |tables: &[&ArmedTable]| {
        let named = tables.iter().take(NAMED).map(|table| table.table.clone());
        let more = tables.len().checked_sub(NAMED).filter(|more| *more > 0).map(|more| format!("and {more} more"));
        named.chain(more).collect::<Vec<_>>().join(", ")
    };
    let (sound, altered): (Vec<_>, Vec<_>) = tables.iter().partition(|table| table.sound);
    if let Some(first) = altered.first() {
        let detail = format!(
            "not as Belay made it, so they count as not armed: {}; belay target arm {} {} puts it right",
            listed(&altered),
            target.name,
            first.table
        );
        return layer(name, false, detail);
    }
    if sound.is_empty() {
        let detail = "no table is; changes in tables above 4 GiB are refused where their rows are not found by key";
        return optional(name, detail);
    }
    layer(name, true, format!("a trigger writes down what sessions of Belay's change in {}", listed(&sound)))
}
