//! A session from its request to what was given back of it, on one page that proves itself.

use super::{approve_and_apply, plans, shop, text, typed};
use e2e::World;
use serde_json::Value;
use std::path::PathBuf;

struct Told {
    world: World,
    session: String,
}

/// Asked, approved, a statement refused, two rows changed by a plan, and one of them given back by another.
fn told() -> Told {
    let (world, ticket) = shop("write", &["public.*"]);
    typed(&world, &ticket, "SELECT status FROM orders WHERE id IN (41, 57)").ok();
    typed(&world, &ticket, "SELECT person FROM hr.salaries");
    typed(&world, &ticket, "UPDATE orders SET status = '<i>x</i>' WHERE id IN (41, 57)");
    let session = text(&plans(&world)[0], "session").to_owned();
    approve_and_apply(&world, "p_1");
    world.belay.run("alice", &["revert", "c_1", "--only", "orders:41", "-y"]);
    approve_and_apply(&world, "p_2");
    Told { world, session }
}

impl Told {
    fn file(&self, name: &str) -> String {
        self.world.belay.data_dir().join(name).to_str().unwrap().to_owned()
    }

    fn ledger(&self) -> PathBuf {
        self.world.belay.data_dir().join("ledger")
    }

    /// Makes the report, as a page and as JSON.
    fn report(&self, name: &str, more: &[&str]) -> (String, String) {
        let (html, json) = (self.file(&format!("{name}.html")), self.file(&format!("{name}.json")));
        let words = ["audit", "report", &self.session, "--html", &html, "--json", &json];
        self.world.belay.run("admin", &[&words[..], more].concat()).ok();
        (html, json)
    }

    fn check(&self, file: &str, more: &[&str]) -> testkit::Outcome {
        let key = self.file("ledger.pub");
        self.world.belay.run("admin", &[&["audit", "check", file, "--key", &key], more].concat())
    }
}

fn read(file: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

#[test]
fn a_report_tells_a_session_from_its_request_to_what_is_left_of_it() {
    let told = told();
    let (html, json) = told.report("online", &[]);
    let document = read(&json);
    let report = &document["report"];
    assert_eq!(report["request"]["reason"], "a test");
    assert_eq!(report["summary"]["approved_by"], serde_json::json!(["bob"]));
    let statements = &report["sessions"][0]["connections"];
    let all: Vec<&Value> = statements
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|connection| connection["statements"].as_array().unwrap())
        .collect();
    let of = |part: &str| *all.iter().find(|statement| statement["text"].as_str().unwrap().contains(part)).unwrap();
    assert_eq!(
        (&of("SELECT status")["outcome"]["rows"], &of("SELECT status")["refused"]),
        (&Value::from(2), &Value::Null)
    );
    assert!(of("hr.salaries")["refused"].as_str().unwrap().starts_with("BLY-"), "{}", of("hr.salaries"));
    let states: Vec<&str> = report["plans"].as_array().unwrap().iter().map(|plan| text(plan, "state")).collect();
    assert_eq!(states, ["applied", "applied"]);
    let changes = report["changes"].as_array().unwrap();
    assert_eq!(
        (&changes[0]["tables"][0]["keys"], &changes[1]["reverts"]),
        (&serde_json::json!(["41", "57"]), &serde_json::json!(["c_1"]))
    );
    let left = &report["not_given_back"];
    assert_eq!((&left[0]["change"], &left[0]["tables"][0]["keys"]), (&Value::from("c_1"), &serde_json::json!(["57"])));
    let row = &document["values"][0]["tables"][0]["rows"][0];
    assert_eq!((&row["before"][2], &row["after"][2]), (&Value::from("shipped"), &Value::from("<i>x</i>")));
    let page = std::fs::read_to_string(&html).unwrap();
    for part in
        ["alice", "bob", "a test", "SELECT person FROM hr.salaries", "&lt;i&gt;x&lt;/i&gt;", "What is not given back"]
    {
        assert!(page.contains(part), "{part}");
    }
    for file in [&html, &json] {
        let checked = told.check(file, &[]).ok();
        assert!(checked.err.contains("what the server says, which has signed the report"), "{}", checked.err);
    }
}

#[test]
fn the_files_and_the_public_key_alone_make_and_check_it() {
    let told = told();
    told.world.belay.run("admin", &["audit", "checkpoint"]).ok();
    let ledger = told.ledger();
    let (html, json) = told.report("offline", &["--dir", ledger.to_str().unwrap()]);
    assert_eq!(read(&json)["values"], Value::Null);
    let checked = told.check(&html, &["--dir", ledger.to_str().unwrap()]).ok();
    assert!(checked.err.contains("no record of it is left out: the ledger's files make the same"), "{}", checked.err);
    let online = told.report("online", &[]).1;
    assert_eq!(read(&online)["report"]["changes"], read(&json)["report"]["changes"]);
    let page = std::fs::read_to_string(&html).unwrap();
    for (from, to) in [("bob", "eve"), ("57", "58"), ("</main>", "<p>all is well</p></main>")] {
        std::fs::write(&html, page.replacen(from, to, 1)).unwrap();
        let checked = told.check(&html, &[]);
        assert_eq!(checked.code, 10, "{from}: {}", checked.err);
    }
    let other = told.world.belay.run("admin", &["audit", "report", "s_99", "--dir", ledger.to_str().unwrap()]);
    assert!(other.code == 1 && other.err.contains("no record of s_99"), "{}", other.err);
}

#[test]
fn a_request_is_told_with_all_of_its_sessions_and_to_nobody_who_may_not_read_the_ledger() {
    let told = told();
    let request = told.world.belay.run("admin", &["audit", "report", "r_1"]).ok();
    let document: Value = serde_json::from_str(&request.out).unwrap();
    assert_eq!(document["report"]["sessions"][0]["id"], told.session);
    assert_eq!(document["report"]["summary"]["rows_not_given_back"], 1);
    let refused = told.world.belay.run("alice", &["audit", "report", "r_1"]);
    assert_ne!(refused.code, 0);
}
