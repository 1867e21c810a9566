//! Policies in Cedar: who may ask for what, what is granted at once, and what cannot start.

use e2e::World;
use serde_json::Value;
use std::fs;
use std::process::Command;
use tempfile::TempDir;
use testkit::{Belay, Outcome, binary};

/// Reads of up to two hours at once for support, by day as the server's clock has it; payroll is closed.
fn policies() -> String {
    r#"
@id("support-at-once")
@reason("support helps customers by day")
permit (
    principal in Group::"support",
    action == Action::"GrantAtOnce",
    resource in Target::"orders"
)
when { context.hour >= 0 && context.hour < 24 && context.duration <= duration("2h") };

@id("no-payroll-writes")
@reason("payroll changes by its own application only")
forbid (principal, action == Action::"Request", resource in Schema::"orders/payroll")
when { context.write };

@id("no-hr")
@reason("hr is closed")
forbid (principal, action, resource in Schema::"orders/hr");
"#
    .to_owned()
}

struct Office {
    world: World,
    folder: TempDir,
}

impl Office {
    fn open() -> Office {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("own.cedar"), policies()).unwrap();
        let world = World::start_with(&format!("[policy]\ndir = \"{}\"\n", folder.path().display()));
        world.belay.add_person("erin", &["--role", "requester", "--group", "support"]);
        Office { world, folder }
    }

    fn ask(&self, person: &str, more: &[&str]) -> Outcome {
        let ask = ["-o", "json", "request", "orders", "-m", "a test"];
        self.world.belay.run(person, &[&ask[..], more].concat())
    }

    fn ledger(&self, kind: &str) -> Vec<Value> {
        let found = self.world.belay.run("admin", &["-o", "jsonl", "audit", "search", &format!("kind:{kind}")]).ok();
        found.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[test]
fn policies_decide_who_gets_what_at_once_and_what_nobody_gets() {
    let office = Office::open();
    // At once for support, for two hours at most; an approval for everybody else.
    let at_once = office.ask("erin", &["public.orders", "--for", "2h"]).ok().json();
    let ticket = office.world.belay.claim("erin", at_once["grant"]["id"].as_str().unwrap());
    assert_eq!(office.world.sql(&ticket, "SELECT count(*) FROM orders").ok().out, "2000\n");
    assert_eq!(office.ask("alice", &["public.orders", "--for", "2h"]).ok().json()["state"], "pending");
    assert_eq!(office.ask("erin", &["public.orders", "--for", "3h"]).code, 3, "no rule lets anybody have three hours");

    // A part that is closed closes the whole.
    for resource in ["hr.salaries", "hr.*", "*.*"] {
        let refused = office.ask("erin", &[resource]);
        assert!(refused.code == 3 && refused.err.contains("policy `no-hr` forbids"), "{}", refused.err);
    }
    let refused = office.ledger("request_refused");
    assert_eq!(refused.len(), 3);
    assert!(refused.iter().all(|event| event.to_string().contains("hr is closed")), "{refused:?}");
    let made = office.ledger("request_made");
    assert!(made.iter().any(|event| event.to_string().contains("support-at-once")), "{made:?}");
    assert_eq!(office.ledger("policy_changed").len(), 1);
}

#[test]
fn can_explains_and_a_reload_that_fails_changes_nothing() {
    let office = Office::open();
    let can = |person: &str, words: &[&str]| office.world.belay.run(person, &[&["can"], words].concat());
    let own = can("alice", &["alice", "select", "orders/public.orders"]).ok().out;
    assert!(own.starts_with("yes, with one approval"), "{own}");
    assert!(own.contains("nearest: being in the group support: yes, at once"), "{own}");
    assert!(can("bob", &["erin", "read", "orders/public.orders"]).ok().out.starts_with("yes, at once"));
    let denied = can("bob", &["alice", "read", "orders/hr.salaries"]);
    assert!(denied.code == 3 && denied.out.contains("policy no-hr: "), "{}{}", denied.out, denied.err);
    let write = can("bob", &["alice", "update", "orders/public.orders"]).ok().out;
    assert!(write.starts_with("yes, with one approval"), "{write}");
    assert_eq!(can("alice", &["erin", "read", "orders"]).code, 3, "people ask about themselves");

    // What cannot be evaluated denies everything; what cannot be read is not put in force.
    let file = office.folder.path().join("own.cedar");
    fs::write(&file, "\npermit (principal, action, resource);").unwrap();
    let wrong = office.world.belay.run("admin", &["policy", "reload"]);
    assert!(wrong.code == 9 && wrong.err.contains("own.cedar:2: "), "{}", wrong.err);
    assert_eq!(office.ask("erin", &["public.orders"]).ok().json()["state"], "approved");
    let overflows = "@id(\"overflows\") @reason(\"too clever\")
forbid (principal, action, resource)
\
                     when { context.duration.toSeconds() + 9223372036854775807 < 0 };";
    fs::write(&file, overflows).unwrap();
    office.world.belay.run("admin", &["policy", "reload"]).ok();
    let listed = office.world.belay.json("alice", &["policy", "ls"]);
    assert!(listed.to_string().contains("overflows"), "{listed}");
    let denied = office.ask("erin", &["public.orders"]);
    assert!(denied.code == 3 && denied.err.contains("policy `overflows` cannot be evaluated"), "{}", denied.err);
}

#[test]
fn a_wrong_policy_refuses_the_start_with_its_line_and_check_says_the_same() {
    let belay = Belay::start_empty("");
    assert_eq!(belay.stop(), 0);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.cedar");
    fs::write(&file, "@id(\"a\") @reason(\"r\")\npermit (principal, action == Action::\"Requst\", resource);\n")
        .unwrap();
    let text = fs::read_to_string(belay.config_file()).unwrap();
    let config = belay.config_file().with_file_name("wrong.toml");
    fs::write(&config, format!("{text}\n[policy]\ndir = \"{}\"\n", folder.path().display())).unwrap();
    let line = format!("{}:2: ", file.display());
    let server = |more: &[&str]| {
        let mut command = Command::new("timeout");
        Outcome::of(command.arg("30").arg(binary()).args(["server", "--config"]).arg(&config).args(more))
    };
    let (started, checked) = (server(&[]), server(&["--check"]));
    assert!(started.code == 1 && started.err.contains(&line), "{}", started.err);
    assert!(checked.code == 2 && checked.err.contains(&line), "{}", checked.err);
    let check = Outcome::of(Command::new(binary()).args(["policy", "check"]).arg(&file));
    assert!(
        check.code == 1 && check.out.contains(&line) && check.out.contains("Request"),
        "{}{}",
        check.out,
        check.err
    );
    fs::write(&file, policies()).unwrap();
    Outcome::of(Command::new(binary()).args(["policy", "check"]).arg(&file)).ok();
    assert!(Outcome::of(Command::new(binary()).args(["policy", "schema"])).ok().out.contains("action Approve"));
}
