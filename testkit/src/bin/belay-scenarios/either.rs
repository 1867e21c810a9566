//! Writes that may be refused or made: whatever was made is given back, and what a second writer did stays.
//!
//! The gateway's traffic with the server passes through this process, so that a command may not hold up a worker.

use crate::scenario::{Scenario, Step};
use crate::stand::{MARK, Stand, text, told};
use crate::state::State;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use testkit::Ticket;
use tokio::task::block_in_place;
use tokio::time::timeout;
use tokio_postgres::Client;

/// What is done to one case must be over by then.
const PATIENCE: Duration = Duration::from_secs(20);
/// And each of its steps by then.
const STEP: Duration = Duration::from_secs(10);
/// The second writer fires no triggers, so that it can be foreseen what it leaves behind.
const BESIDE: &str = "SET session_replication_role = replica; SET lock_timeout = '20s'";
const EMPTY: &str = "DROP SCHEMA public CASCADE; CREATE SCHEMA public";
const TABLES: &str = "SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1";

/// A database for several cases, one after the other.
pub(crate) struct Room {
    database: String,
    direct: Client,
    second: Client,
    planned: Ticket,
    at_once: Ticket,
}

/// What is tried beside writing and giving back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Also {
    /// The same writes under a grant that only plans them, first.
    pub(crate) planned: bool,
    /// A dry run of giving them back.
    pub(crate) dry: bool,
}

/// How its steps went, and how often.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) made: usize,
    /// By what the gateway said, or the server's SQLSTATE.
    pub(crate) refused: BTreeMap<String, usize>,
    pub(crate) reverted: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
        self.made += other.made;
        self.reverted += other.reverted;
        for (code, times) in other.refused {
            *self.refused.entry(code).or_default() += times;
        }
    }

    fn refused_with(&mut self, error: &tokio_postgres::Error) {
        let told = told(error);
        let code = if told.contains(MARK) { told } else { told.split(':').next().unwrap_or_default().to_owned() };
        *self.refused.entry(code).or_default() += 1;
    }
}

impl Stand {
    pub(crate) async fn room(&self, database: &str) -> Room {
        self.postgres.execute("postgres", &format!("CREATE DATABASE {database}")).await;
        Room {
            database: database.to_owned(),
            direct: self.postgres.client_in(database).await,
            second: self.postgres.client_in(database).await,
            planned: block_in_place(|| self.grant(database, "write")),
            at_once: block_in_place(|| self.grant(database, "direct")),
        }
    }

    pub(crate) async fn leave(&self, room: Room) {
        let database = room.database.clone();
        drop(room);
        self.postgres.execute("postgres", &format!("DROP DATABASE {database} WITH (FORCE)")).await;
    }

    /// Empties the room and judges a case in it; else what went wrong.
    pub(crate) async fn either(&self, room: &Room, scenario: &Scenario, also: Also) -> Result<Tally, String> {
        match timeout(PATIENCE, self.judge_either(room, scenario, also)).await {
            Ok(judged) => judged,
            Err(_) => Err(format!("it takes longer than {} s", PATIENCE.as_secs())),
        }
    }

    async fn judge_either(&self, room: &Room, scenario: &Scenario, also: Also) -> Result<Tally, String> {
        let direct = &room.direct;
        direct.batch_execute(EMPTY).await.map_err(|error| format!("cannot be emptied: {}", told(&error)))?;
        for sql in &scenario.setup {
            let done = direct.batch_execute(sql).await;
            done.map_err(|error| format!("its set-up fails: `{sql}`: {}", told(&error)))?;
        }
        let (expected, succeeds) = foreseen(direct, &scenario.beside).await;
        let before = state(direct).await;
        if also.planned {
            self.plan_only(room, scenario, &before).await?;
        }
        let tally = self.write(room, scenario, &before, &succeeds).await?;
        let after = state(direct).await;
        let sessions = self.sessions_to_revert(room);
        match (sessions.as_slice(), after == expected) {
            ([], true) => Ok(tally),
            ([], false) => Err(format!("changed, and nothing is kept of it: {}", how(&expected, &after))),
            ([session], _) => {
                self.give_back(room, session, also, &after, &expected).await?;
                Ok(Tally { reverted: 1, ..tally })
            }
            (several, _) => Err(format!("one grant made several sessions: {several:?}")),
        }
    }

    async fn plan_only(&self, room: &Room, scenario: &Scenario, before: &State) -> Result<(), String> {
        let client = self.connect(&room.planned, &room.database).await?;
        for step in &scenario.write {
            let _ = step.send(&client).await;
        }
        drop(client);
        same("planning left a trace", before, &state(&room.direct).await)
    }

    async fn write(
        &self,
        room: &Room,
        scenario: &Scenario,
        before: &State,
        foreseen: &[bool],
    ) -> Result<Tally, String> {
        let client = self.connect(&room.at_once, &room.database).await?;
        room.second.batch_execute(BESIDE).await.map_err(|error| told(&error))?;
        let mut tally = Tally::default();
        let mut last = before.clone();
        let mut open = false;
        let steps = scenario.write.len().max(scenario.beside.len());
        for place in 0..steps {
            let (step, beside) = (scenario.write.get(place), scenario.beside.get(place));
            let both = async { tokio::join!(send(step, &client), beside_it(beside, &room.second)) };
            let Ok((sent, failed)) = timeout(STEP, both).await else {
                let sql = step.map_or("nothing", |step| step.sql.as_str());
                return Err(format!("`{sql}` hangs beside `{}`", beside.map_or("nothing", String::as_str)));
            };
            if let (Some(why), Some(sql)) = (failed, beside)
                && foreseen.get(place) == Some(&true)
            {
                let step = step.map_or("nothing", |step| step.sql.as_str());
                return Err(format!("the second writer's `{sql}` fails beside `{step}`: {why}"));
            }
            open = step.map_or(open, |step| step.leaves_open(open));
            // What a transaction has locked cannot be looked at before its end.
            let now = if open { last.clone() } else { state(&room.direct).await };
            if let (Some(step), Err(error)) = (step, sent) {
                if client.is_closed() {
                    return Err(format!("`{}` ends the connection: {}", step.sql, told(&error)));
                }
                if scenario.beside.is_empty() {
                    let what = format!("`{}` fails ({}), and yet", step.sql, told(&error));
                    same(&what, &last, &now)?;
                }
                tally.refused_with(&error);
            } else {
                tally.made += 1;
            }
            last = now;
        }
        Ok(tally)
    }

    /// The sessions of this room whose changes have not been given back.
    fn sessions_to_revert(&self, room: &Room) -> Vec<String> {
        let changes = block_in_place(|| self.belay.json("alice", &["changes"]));
        let items = changes["items"].as_array().or(changes.as_array()).expect("a list of changes");
        let open = items.iter().filter(|change| {
            change["database"].as_str() == Some(&room.database)
                && change["reverts"].as_array().is_none_or(Vec::is_empty)
                && change["reverted_by"].as_array().is_none_or(Vec::is_empty)
        });
        let sessions: BTreeSet<String> = open.map(|change| text(&change["session"]).to_owned()).collect();
        sessions.into_iter().collect()
    }

    async fn give_back(
        &self,
        room: &Room,
        session: &str,
        also: Also,
        after: &State,
        expected: &State,
    ) -> Result<(), String> {
        if also.dry {
            let tried = block_in_place(|| self.belay.run("alice", &["revert", session, "--dry-run"]));
            if tried.code != 0 {
                return Err(format!("the dry run fails: {}{}", tried.out, tried.err));
            }
            same("the dry run left a trace", after, &state(&room.direct).await)?;
        }
        let reverted = block_in_place(|| self.belay.run("alice", &["-y", "revert", session]));
        if reverted.code != 0 {
            return Err(format!("the revert fails: {}{}", reverted.out, reverted.err));
        }
        same("after the revert", expected, &state(&room.direct).await)
    }
}

async fn send(step: Option<&Step>, client: &Client) -> Result<(), tokio_postgres::Error> {
    match step {
        Some(step) => step.send(client).await,
        None => Ok(()),
    }
}

/// How the second writer failed.
async fn beside_it(sql: Option<&String>, client: &Client) -> Option<String> {
    let error = client.batch_execute(sql?).await.err()?;
    Some(told(&error))
}

/// What is there if the second writer is alone, and which of its statements succeed.
async fn foreseen(direct: &Client, beside: &[String]) -> (State, Vec<bool>) {
    direct.batch_execute("BEGIN; SET LOCAL session_replication_role = replica").await.expect("a transaction");
    let mut succeeds = Vec::new();
    for sql in beside {
        direct.batch_execute("SAVEPOINT one").await.expect("a savepoint");
        succeeds.push(direct.batch_execute(sql).await.is_ok());
        if succeeds.last() == Some(&false) {
            direct.batch_execute("ROLLBACK TO one").await.expect("a savepoint");
        }
    }
    let state = state(direct).await;
    direct.batch_execute("ROLLBACK").await.expect("the end of the transaction");
    (state, succeeds)
}

/// What every table of the database holds.
async fn state(direct: &Client) -> State {
    let tables = direct.query(&format!("SELECT t::text FROM ({TABLES}) all_of_them(t)"), &[]).await.expect("tables");
    let tables: Vec<String> = tables.iter().map(|row| row.get(0)).collect();
    State::of(direct, &tables).await
}

fn same(what: &str, expected: &State, found: &State) -> Result<(), String> {
    if expected == found { Ok(()) } else { Err(format!("{what}: {}", how(expected, found))) }
}

fn how(expected: &State, found: &State) -> String {
    expected.differs(found).unwrap_or_else(|| "there are other tables".to_owned())
}
