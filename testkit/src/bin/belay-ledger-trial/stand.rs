//! The servers, and the grants that the load comes under.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use testkit::{Belay, Postgres, SAMPLE_DATABASE, Ticket};
use tokio_postgres::Client;

/// Small segments, so that some kills meet a change of them.
const CONFIGURATION: &str = "[ledger]\nsegment_bytes = 65536";
const TABLES: &str = "CREATE TABLE marks (n bigint PRIMARY KEY); CREATE TABLE kept (n bigint PRIMARY KEY)";

pub(crate) struct Stand {
    // In the order in which they must end.
    pub(crate) belay: Belay,
    postgres: Postgres,
    direct: Client,
    pub(crate) tickets: Tickets,
}

/// A ticket for each kind of load.
#[derive(Clone)]
pub(crate) struct Tickets {
    pub(crate) everything: Ticket,
    pub(crate) writes: Ticket,
    pub(crate) reads: Ticket,
}

impl Stand {
    pub(crate) async fn start() -> Stand {
        let postgres = Postgres::start();
        testkit::sample(&postgres).await;
        let direct = postgres.client_in(SAMPLE_DATABASE).await;
        direct.batch_execute(TABLES).await.expect("tables");
        let belay = Belay::start_with(&postgres, CONFIGURATION);
        for rule in ["u_1", "u_2"] {
            belay.run("admin", &["rule", "rm", rule, "-y"]).ok();
        }
        for effect in ["all", "direct", "read"] {
            belay.run("admin", &["rule", "add", "--effect", effect, "--max", "8h", "--approvals", "1"]).ok();
        }
        let granted = |effect: &str, resources: &[&str]| {
            let ask = ["request", "orders", "--effect", effect, "--for", "8h", "-m", "a trial"];
            let request = belay.json("alice", &[&ask[..], resources].concat());
            let approved = belay.json("bob", &["approve", text(&request["id"])]);
            belay.claim("alice", text(&approved["grant"]["id"]))
        };
        let tickets = Tickets {
            everything: granted("all", &[]),
            writes: granted("direct", &["public.*"]),
            reads: granted("read", &["public.*"]),
        };
        // A grant is active once it was used, and the first kill may come before the load has used each.
        for ticket in [&tickets.everything, &tickets.writes, &tickets.reads] {
            let client = belay.connect(ticket, SAMPLE_DATABASE).await.expect("a login");
            client.batch_execute("SELECT 1").await.expect("a read");
        }
        Stand { belay, postgres, direct, tickets }
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.belay.data_dir().join("ledger")
    }

    /// Every number that is in the database.
    pub(crate) async fn numbers(&self) -> BTreeSet<i64> {
        let rows = self.direct.query("SELECT n FROM marks UNION ALL SELECT n FROM kept", &[]).await.expect("numbers");
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Waits until nothing that a dead gateway left behind is at work in the target any more.
    pub(crate) async fn is_quiet(&self) -> bool {
        let theirs = "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'belay\\_%\\_g\\_%'";
        for _ in 0..1000 {
            let count: i64 = self.direct.query_one(theirs, &[]).await.expect("back ends").get(0);
            if count == 0 {
                return true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        false
    }

    /// What is wrong with the grants and the sessions of a gateway that has just started, if anything is.
    pub(crate) fn wrong_access(&self) -> Option<String> {
        let grants = self.belay.json("admin", &["grants"]);
        let active = |ticket: &Ticket| {
            let items = grants["items"].as_array().expect("grants");
            items.iter().any(|grant| grant["id"] == ticket.grant.as_str() && grant["state"] == "active")
        };
        let Tickets { everything, writes, reads } = &self.tickets;
        if !(active(everything) && active(writes) && active(reads)) {
            return Some(format!("not all grants are active: {grants}"));
        }
        let sessions = self.belay.json("admin", &["sessions"]);
        let connected = |session: &Value| !session["connections"].as_array().is_some_and(Vec::is_empty);
        let left = sessions["items"].as_array().expect("sessions").iter().any(connected);
        left.then(|| format!("connections are open that nobody holds: {sessions}"))
    }

    pub(crate) fn last_words(&self) -> String {
        let said = self.postgres.log();
        format!("{}\n{}", self.belay.log(), said.get(said.len().saturating_sub(2000)..).unwrap_or(&said))
    }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}
