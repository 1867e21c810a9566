//! What a statement does that runs another one by its name: EXECUTE, a Bind, FETCH.

use super::in_sql::PER_NAME;
use crate::classify::{PathChange, Reading, SqlName};
use belay_model::{Code, Effect, Shown, Statement};

/// `outer` runs the prepared statement `name`, which does what one of these readings says.
pub(super) fn run(outer: &mut Statement, name: &str, readings: &[Reading]) {
    if readings.is_empty() {
        refuse(outer, Code::UnknownPrepared, &format!("the prepared statement {name} was not made on this connection"));
    }
    if readings.len() > PER_NAME {
        refuse(outer, Code::Ambiguous, &format!("{name} may be one of many prepared statements"));
    }
    for reading in readings {
        // Only the protocol prepares statements that speak of the session, and it can run them.
        let runs_another = reading.names.iter().any(|name| !matches!(name, SqlName::Prepares { .. }));
        let of_session = reading.statements.iter().any(|inner| inner.effect == Effect::Session);
        if runs_another || of_session || !matches!(reading.path, PathChange::None) {
            refuse(outer, Code::Opaque, &format!("{name} may be a statement about the session itself"));
        }
        for inner in reading.statements.iter() {
            take_over(outer, inner);
        }
    }
}

/// `outer` fetches from a portal that was bound from this.
pub(super) fn run_portal(outer: &mut Statement, reading: &Reading) {
    if !matches!(reading.path, PathChange::None) {
        refuse(outer, Code::GuardedSetting, "sets search_path by a FETCH: use SET");
    }
    for inner in reading.statements.iter() {
        take_over(outer, inner);
    }
}

/// The statement is not to run. The first reason stays.
pub(super) fn refuse(outer: &mut Statement, code: Code, because: &str) {
    if outer.effect <= Effect::Read {
        (outer.code, outer.because) = (Some(code), Some(because.to_owned()));
    }
    outer.effect = Effect::Opaque;
}

/// What `inner` does, `outer` does, and it shows what `inner` shows.
fn take_over(outer: &mut Statement, inner: &Statement) {
    let shows = shown_after(outer.accesses.len(), &inner.shows);
    if inner.effect > outer.effect {
        (outer.effect, outer.code) = (inner.effect, inner.code);
        outer.because.clone_from(&inner.because);
    }
    outer.relations.extend(inner.relations.iter().cloned());
    outer.accesses.extend(inner.accesses.iter().cloned());
    outer.calls.extend(inner.calls.iter().cloned());
    match shows {
        // Nothing of the rows comes out of EXPLAIN and MOVE.
        Some(shows) if matches!(outer.verb.as_str(), "EXECUTE" | "FETCH") => {
            outer.shows.extend(shows);
            outer.hides.extend(&inner.hides);
        }
        Some(_) => {}
        None => refuse(outer, Code::TooLarge, "it reaches more relations than can be followed"),
    }
}

/// What is shown, where so many accesses stand before those that it speaks of.
fn shown_after(accesses: usize, shows: &[Shown]) -> Option<Vec<Shown>> {
    let before = u16::try_from(accesses).ok()?;
    let moved = |shown: &Shown| Some(Shown { access: shown.access.checked_add(before)?, ..shown.clone() });
    shows.iter().map(moved).collect()
}
