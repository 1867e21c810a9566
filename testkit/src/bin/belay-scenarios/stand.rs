//! The servers, and what is done with one scenario.

use crate::either::Also;
use crate::scenario::{Expect, Scenario};
use crate::state::State;
use serde_json::Value;
use testkit::{Belay, Bypass, Postgres, Ticket};
use tokio_postgres::Client;

const TARGET: &str = "scenarios";
/// How the gateway's own errors end.
pub(crate) const MARK: &str = "[BLY-";

/// A server whose grants' roles are superusers, so that nothing is refused for lack of rights, and a gateway.
pub(crate) struct Stand {
    // In the order in which they must end.
    pub(crate) belay: Belay,
    _bypass: Bypass,
    pub(crate) postgres: Postgres,
}

impl Stand {
    pub(crate) async fn start() -> Stand {
        let postgres = Postgres::builder().setting("max_prepared_transactions", "10").start();
        let bypass = Bypass::of_the_database(&postgres).await;
        let belay = Belay::start_empty("");
        let url = format!(
            "postgres://{}@{}:{}/postgres?sslmode=disable",
            postgres.superuser(),
            postgres.host(),
            bypass.port()
        );
        let password = belay.file("target.password", postgres.password());
        belay.run("admin", &["target", "add", TARGET, &url, "--password-file", &password]).ok();
        belay.add_person("alice", &["--role", "requester"]);
        belay.add_person("bob", &["--role", "approver"]);
        belay.run("admin", &["rule", "add", "--effect", "direct", "--max", "2h", "--approvals", "1"]).ok();
        Stand { belay, _bypass: bypass, postgres }
    }

    pub(crate) fn log(&self) -> String {
        self.belay.log()
    }

    /// Whether it goes as the scenario expects; else why not.
    pub(crate) async fn judge(&self, number: usize, scenario: &Scenario) -> Result<(), String> {
        if scenario.expect == Expect::Either {
            let room = self.room(&format!("room_{number}")).await;
            let judged = self.either(&room, scenario, Also { planned: true, dry: true }).await;
            self.leave(room).await;
            return judged.map(drop);
        }
        let database = format!("scenario_{number}");
        self.postgres.execute("postgres", &format!("CREATE DATABASE {database}")).await;
        let direct = self.postgres.client_in(&database).await;
        for sql in &scenario.setup {
            direct.batch_execute(sql).await.map_err(|error| format!("its set-up fails: {}", told(&error)))?;
        }
        let before = State::of(&direct, &scenario.tables).await;
        let judged = match scenario.expect {
            Expect::Reversible => self.reversible(&database, scenario, &direct, &before).await,
            _ => self.refused(&database, scenario, &direct, before).await,
        };
        drop(direct);
        self.postgres.execute("postgres", &format!("DROP DATABASE {database} WITH (FORCE)")).await;
        judged
    }

    async fn reversible(
        &self,
        database: &str,
        scenario: &Scenario,
        direct: &Client,
        before: &State,
    ) -> Result<(), String> {
        let same =
            |what: &str, found: &State| before.differs(found).map_or(Ok(()), |how| Err(format!("{what}: {how}")));
        let planned = self.grant(database, "write");
        let client = self.connect(&planned, database).await?;
        for step in &scenario.write {
            // Each is planned, or fails because what came before it was only planned.
            let _ = step.send(&client).await;
        }
        drop(client);
        same("planning left a trace", &State::of(direct, &scenario.tables).await)?;

        let at_once = self.grant(database, "direct");
        let client = self.connect(&at_once, database).await?;
        for step in &scenario.write {
            step.send(&client).await.map_err(|error| format!("`{}` fails: {}", step.sql, told(&error)))?;
        }
        drop(client);
        let after = State::of(direct, &scenario.tables).await;
        let session = self.session(&at_once);
        let tried = self.belay.run("alice", &["revert", &session, "--dry-run"]);
        if tried.code != 0 {
            return Err(format!("the dry run fails: {}{}", tried.out, tried.err));
        }
        if let Some(how) = after.differs(&State::of(direct, &scenario.tables).await) {
            return Err(format!("the dry run left a trace: {how}"));
        }
        let reverted = self.belay.run("alice", &["-y", "revert", &session]);
        if reverted.code != 0 {
            return Err(format!("the revert fails: {}{}", reverted.out, reverted.err));
        }
        same("after the revert", &State::of(direct, &scenario.tables).await)
    }

    async fn refused(
        &self,
        database: &str,
        scenario: &Scenario,
        direct: &Client,
        mut before: State,
    ) -> Result<(), String> {
        for effect in ["write", "direct"] {
            let ticket = self.grant(database, effect);
            let client = self.connect(&ticket, database).await?;
            let mut refused = false;
            for step in &scenario.write {
                match step.send(&client).await {
                    Ok(()) => {}
                    Err(error) if told(&error).contains(MARK) => {
                        refused = true;
                        break;
                    }
                    Err(error) => {
                        return Err(format!("`{}` is refused by the server only: {}", step.sql, told(&error)));
                    }
                }
                // What was let through before may have changed something, unless it was only planned.
                if effect == "direct" {
                    before = State::of(direct, &scenario.tables).await;
                }
            }
            drop(client);
            if !refused {
                return Err(format!("nothing was refused under a grant of {effect}"));
            }
            if let Some(how) = before.differs(&State::of(direct, &scenario.tables).await) {
                return Err(format!("refused, and yet under a grant of {effect}: {how}"));
            }
        }
        Ok(())
    }

    pub(crate) async fn connect(&self, ticket: &Ticket, database: &str) -> Result<Client, String> {
        let opened = self.belay.connect(ticket, &format!("{TARGET}/{database}")).await;
        opened.map_err(|error| format!("no login: {}", told(&error)))
    }

    pub(crate) fn grant(&self, database: &str, effect: &str) -> Ticket {
        let resource = format!("{database}/*.*");
        let ask = ["request", TARGET, &resource, "--effect", effect, "--for", "30m", "-m", "a scenario"];
        let request = self.belay.json("alice", &ask);
        let approved = self.belay.json("bob", &["approve", text(&request["id"])]);
        self.belay.claim("alice", text(&approved["grant"]["id"]))
    }

    fn session(&self, ticket: &Ticket) -> String {
        let sessions = self.belay.json("alice", &["sessions", "--all"]);
        let items = sessions["items"].as_array().or(sessions.as_array()).expect("a list of sessions");
        let mine = items.iter().find(|session| session["grant"].as_str() == Some(&ticket.grant));
        text(&mine.unwrap_or_else(|| panic!("no session of {} in {sessions}", ticket.grant))["id"]).to_owned()
    }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

pub(crate) fn told(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |told| format!("{}: {}", told.code().code(), told.message()))
}
