//! Making a plan of what a trial changed: a second trial tells what differs from run to run.

use crate::apply;
use crate::capture::{Ask, CaptureError, Limits};
use crate::change::{denied, not_kept, settled};
use crate::passing::is_passing;
use crate::revert::{self, RevertError};
use belay_change::{
    ChangeSet, RevertTrial, Sampling, Script, TableChange, Taken, Tally, Trial, compare_trials, summarize,
};
use belay_engine::{Draft, Keeper, Settled};
use belay_model::{Code, Denial, PlanId};
use std::cell::RefCell;
use std::io;
use tokio_postgres::Client;

/// How many rows a client is shown, and how wide.
const LINES: usize = 8;
const WIDTH: usize = 100;

/// How long the transaction that is open has taken, by the target's clock, and how many others wait for it. The
/// client's own search path is in force.
const TRIAL: &str = "SELECT pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() \
    OPERATOR(pg_catalog.-) pg_catalog.now()) OPERATOR(pg_catalog.*) 1000000::pg_catalog.float8)::pg_catalog.int8, \
    (SELECT pg_catalog.count(DISTINCT l.pid) FROM pg_catalog.pg_locks l WHERE NOT l.granted \
    AND pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) ANY (pg_catalog.pg_blocking_pids(l.pid)))";

/// What a trial has cost the target, asked before it is rolled back. Nothing depends on it: where the target does not
/// say, it is not told.
pub(crate) async fn cost(writer: &mut dyn Ask) -> Option<Trial> {
    let rows = writer.ask(TRIAL).await.ok()?;
    let number = |at: usize| rows.first()?.get(at)?.as_ref()?.parse().ok();
    Some(Trial { micros: number(0)?, waiting: number(1)?, revert: None })
}

/// A plan that is kept.
pub(crate) struct Planned {
    pub(crate) plan: PlanId,
    pub(crate) set: ChangeSet,
    /// Its first rows.
    pub(crate) lines: Vec<String>,
}

/// Runs the script a second time as `writer`, rolls that back too, and keeps the first trial as a plan with what is
/// volatile in it.
pub(crate) async fn keep(
    writer: &mut Client,
    outsider: &mut Client,
    script: Script,
    mut set: ChangeSet,
    draft: Box<dyn Draft>,
    keeper: &dyn Keeper,
) -> Result<Planned, Settled> {
    let limits = Limits::default();
    other_role(&script).map_err(|error| settled(&error))?;
    let ran = apply::run(writer, outsider, &script, &set.tables, &limits, keeper).await;
    let ran = match ran {
        Ok((again, mut second)) => {
            let cost = cost(writer).await;
            let tried = give_back(writer, outsider, &again, &mut *second).await;
            if let (Some(first), Some(second)) = (&mut set.trial, cost) {
                first.waiting = first.waiting.max(second.waiting);
                first.revert = tried.as_ref().ok().cloned();
            }
            tried.map(|_| (again, second))
        }
        Err(error) => Err(of_second(error)),
    };
    let _ = writer.batch_execute("ROLLBACK").await;
    let (again, second) = ran.map_err(|error| settled(&error))?;
    set.transaction = None;
    let draft = RefCell::new(draft);
    let refused = Settled::RolledBack;
    prove(&mut set, &draft, &again, &RefCell::new(second), &limits).map_err(refused)?;
    let lines = first_rows(&set, &draft).map_err(|error| refused(not_kept(&error.to_string())))?;
    match keeper.plan(draft.into_inner(), set.clone(), script).await {
        Ok(plan) => Ok(Planned { plan, set, lines }),
        Err(error) => Err(refused(not_kept(&error.0))),
    }
}

/// Gives what the second trial has changed back before that is rolled back, where it is little enough.
async fn give_back(
    writer: &Client,
    outsider: &mut Client,
    again: &ChangeSet,
    rows: &mut dyn Draft,
) -> Result<RevertTrial, CaptureError> {
    let strongest = revert::strategy(outsider, &again.tables).await?;
    let mut images = rows.images()?;
    revert::tried(writer, strongest, again, &mut *images).await.map_err(|error| match error {
        RevertError::Lost(why) => CaptureError::Lost(why),
        RevertError::Images(error) => CaptureError::Sink(error),
        RevertError::Unexpected(what) => CaptureError::Unexpected(what),
        error => CaptureError::Irreversible {
            what: format!("its rows could not be given back: {error}"),
            instead: "change fewer tables at once, or let Belay's role set `session_replication_role`".to_owned(),
        },
    })
}

/// Before a plan is applied its role is made a member of nobody again, so it could act as no other then.
fn other_role(script: &Script) -> Result<(), CaptureError> {
    let before = script.settings.iter().any(|(name, _)| name == "role");
    if before || script.statements.iter().any(|statement| apply::sets_role(&statement.text)) {
        return Err(CaptureError::Irreversible {
            what: "SET ROLE comes before it: a plan is applied by a role that is a member of no other".to_owned(),
            instead: "leave SET ROLE out; or ask for a grant with --effect direct".to_owned(),
        });
    }
    Ok(())
}

/// What could be run once and fails when it is run again, on a connection of its own.
fn of_second(error: CaptureError) -> CaptureError {
    match error {
        CaptureError::Target { sqlstate, message } if !is_passing(&sqlstate) => CaptureError::Irreversible {
            what: format!("it fails when it is run again: {message} ({sqlstate})"),
            instead: "write it so that it can be run again, or try again".to_owned(),
        },
        other => other,
    }
}

/// Finds what is volatile, and takes the fingerprint without it.
fn prove(
    set: &mut ChangeSet,
    first: &RefCell<Box<dyn Draft>>,
    again: &ChangeSet,
    second: &RefCell<Box<dyn Draft>>,
    limits: &Limits,
) -> Result<(), Denial> {
    let cap = limits.rows.saturating_mul(2);
    let kept = |error: io::Error| not_kept(&error.to_string());
    let (open_first, open_second) = (|| first.borrow_mut().images(), || second.borrow_mut().images());
    let compared = compare_trials(&Taken::of(set, &open_first), &Taken::of(again, &open_second), cap).map_err(kept)?;
    for table in compared {
        let volatile = table.volatile.map_err(|why| {
            denied(&CaptureError::Irreversible {
                what: format!("{}.{}: {why}", table.schema, table.name),
                instead: "write it so that it changes the same rows each time, or try again".to_owned(),
            })
        })?;
        let same = |change: &&mut TableChange| change.table.schema == table.schema && change.table.name == table.name;
        if let Some(change) = set.tables.iter_mut().find(same) {
            change.volatile = volatile;
        }
    }
    set.fingerprint = fingerprint(set, first, cap).map_err(kept)?;
    Ok(())
}

fn fingerprint(set: &ChangeSet, draft: &RefCell<Box<dyn Draft>>, cap: u64) -> io::Result<String> {
    let mut tally = Tally::like(cap, &set.tables);
    for change in &set.tables {
        belay_change::Sink::table(&mut tally, &change.table)?;
    }
    let mut images = draft.borrow_mut().images()?;
    // Ends because what was kept does.
    while let Some((table, side, image)) = images.next()? {
        belay_change::Sink::image(&mut tally, table, side, &image)?;
    }
    Ok(tally.finish().fingerprint)
}

fn first_rows(set: &ChangeSet, draft: &RefCell<Box<dyn Draft>>) -> io::Result<Vec<String>> {
    let open = || draft.borrow_mut().images();
    Ok(summarize(&Taken::of(set, &open), Sampling::default())?.lines(LINES, WIDTH))
}

/// What the client is told of it.
pub(crate) fn told(planned: &Planned, over: Option<String>, show: bool) -> Denial {
    let counts = crate::change::counts(&planned.set);
    let mut detail = over.map_or(counts.clone(), |over| format!("{over}. {counts}"));
    if show {
        for line in &planned.lines {
            detail.push('\n');
            detail.push_str(line);
        }
    }
    detail.extend(planned.set.tables.iter().filter(|change| !change.volatile.is_empty()).map(decided_later));
    Denial {
        code: Code::Planned,
        message: format!(
            "planned, not applied: {}; plan {}",
            belay_change::would_change(&planned.set.tables),
            planned.plan
        ),
        detail,
        hint: format!("belay review {0} shows all of it; once it is approved: belay apply {0}", planned.plan),
    }
}

fn decided_later(change: &TableChange) -> String {
    let name = |place: &u16| change.table.columns.get(usize::from(*place)).map(|column| column.name.as_str());
    let columns: Vec<&str> = change.volatile.iter().filter_map(name).collect();
    let table = &change.table;
    format!("\ndecided when it is applied: {} of {}.{}", columns.join(", "), table.schema, table.name)
}
