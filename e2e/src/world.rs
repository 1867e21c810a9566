//! One PostgreSQL, one gateway in front of it, and a way round it.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use testkit::{Belay, Builder, Outcome, Postgres, SAMPLE_DATABASE, Ticket, until};

/// What nobody may have changed: every row of the sample, and every role and table that is not Belay's.
const FINGERPRINT: &str = "
SELECT md5(concat_ws('/',
    (SELECT string_agg(t::text, '|' ORDER BY id) FROM public.customers t),
    (SELECT string_agg(t::text, '|' ORDER BY id) FROM public.orders t),
    (SELECT string_agg(t::text, '|' ORDER BY id) FROM public.items t),
    (SELECT string_agg(t::text, '|' ORDER BY id) FROM hr.salaries t),
    (SELECT string_agg(concat(oid, rolname, rolsuper, rolcanlogin), '|' ORDER BY oid) FROM pg_roles
        WHERE rolname NOT LIKE 'belay\\_%'),
    (SELECT string_agg(relname, '|' ORDER BY oid) FROM pg_class
        WHERE relnamespace IN ('public'::regnamespace, 'hr'::regnamespace)),
    (SELECT string_agg(concat(name, setting), '|' ORDER BY name) FROM pg_file_settings)))";

/// A PostgreSQL with the sample in it, and a gateway.
pub struct World {
    /// The target.
    pub postgres: Postgres,
    /// The gateway.
    pub belay: Belay,
}

impl World {
    /// The one that tests share: they bring their own grants and leave everything else as it is.
    pub fn shared() -> &'static World {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(World::start)
    }

    /// One of a test's own.
    pub fn start() -> World {
        World::start_with("")
    }

    /// One of a test's own, with more lines in the gateway's configuration.
    pub fn start_with(configuration: &str) -> World {
        let postgres = World::target();
        let belay = Belay::start_with(&postgres, configuration);
        World { postgres, belay }
    }

    /// The target alone: the sample, and a second database of the same server.
    pub fn target() -> Postgres {
        World::target_of(Postgres::builder())
    }

    /// The same on a server of these settings.
    pub fn target_of(how: Builder) -> Postgres {
        // A thread of its own, because the caller may be inside a runtime.
        std::thread::spawn(|| {
            let postgres = how.start();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                testkit::sample(&postgres).await;
                postgres.execute("postgres", "CREATE DATABASE analytics").await;
                let facts = "CREATE TABLE public.facts AS SELECT n FROM generate_series(1, 7) n";
                postgres.execute("analytics", facts).await;
            });
            postgres
        })
        .join()
        .unwrap()
    }

    /// Runs a statement as the superuser, not through the gateway; rows as `a|b`.
    pub fn direct(&self, sql: &str) -> String {
        let mut psql = self.postgres.psql(SAMPLE_DATABASE);
        Outcome::of(psql.args(["-At", "-c", sql])).ok().out.trim_end().to_owned()
    }

    /// What nobody may have changed, in one text.
    pub fn fingerprint(&self) -> String {
        self.direct(FINGERPRINT)
    }

    /// The real `psql` through the gateway, with SQLSTATEs in its errors.
    pub fn psql(&self, ticket: &Ticket, database: &str) -> Command {
        let mut psql = Command::new(self.postgres.bin().join("psql"));
        psql.args(["-X", "-At", "-v", "VERBOSITY=verbose"]);
        self.belay.libpq(&mut psql, ticket, database);
        psql
    }

    /// One message of `psql`.
    pub fn sql(&self, ticket: &Ticket, sql: &str) -> Outcome {
        Outcome::of(self.psql(ticket, SAMPLE_DATABASE).args(["-c", sql]))
    }

    /// A script on `psql`'s standard input.
    pub fn script(&self, ticket: &Ticket, script: &str) -> Outcome {
        let mut psql = self.psql(ticket, SAMPLE_DATABASE);
        let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Scripts of tests fit into a pipe.
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// What `psql` says on standard error about each of these, all in one session.
    pub fn said(&self, ticket: &Ticket, statements: &[&str]) -> Vec<String> {
        let script = statements.iter().fold(String::new(), |script, one| script + "\\warn @@@\n" + one + ";\n");
        let outcome = self.script(ticket, &script);
        let said: Vec<String> = outcome.err.split("@@@\n").skip(1).map(str::to_owned).collect();
        assert_eq!(said.len(), statements.len(), "{}", outcome.err);
        said
    }

    /// `psql` running this, with its output kept.
    pub fn running(&self, ticket: &Ticket, sql: &str) -> std::process::Child {
        let mut psql = self.psql(ticket, SAMPLE_DATABASE);
        let child = psql.args(["-c", sql]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        child.spawn().unwrap()
    }

    /// The grant's role in the target; empty when there is none.
    pub fn role(&self, ticket: &Ticket) -> String {
        let comment = format!("belay: grant {} of alice", ticket.grant);
        self.direct(&format!("SELECT rolname FROM pg_roles WHERE shobj_description(oid, 'pg_authid') = '{comment}'"))
    }

    /// How many back ends match; `usename` and `query` are the columns to name.
    pub fn back_ends(&self, condition: &str) -> usize {
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND {condition}");
        self.direct(&sql).parse().unwrap()
    }

    /// Waits until that many match.
    pub fn await_back_ends(&self, condition: &str, count: usize, patience: Duration) {
        let mut last = 0;
        let reached = until(patience, || {
            last = self.back_ends(condition);
            last == count
        });
        assert!(reached, "{last} back ends with {condition}, not {count}, after {patience:?}");
    }
}
