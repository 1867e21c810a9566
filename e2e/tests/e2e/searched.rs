//! The ledger is searched the same way at the server and in a copy of its files.

use e2e::World;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn seqs(text: &str) -> Vec<u64> {
    let seq = |line: &str| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap();
    text.lines().map(seq).collect()
}

/// A copy of the records, with the keys to what is sealed in them.
fn copy(world: &World, name: &str) -> PathBuf {
    let to = world.belay.data_dir().join(name);
    std::fs::create_dir(&to).unwrap();
    for entry in std::fs::read_dir(world.belay.data_dir().join("ledger")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ledger" || extension == "keys") {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
    to
}

#[test]
fn a_search_finds_the_same_at_the_server_in_its_files_and_in_a_copy() {
    let world = World::start();
    let ask = ["request", "orders", "--effect", "write", "-m", "order 41 is wrong"];
    let request = world.belay.json("alice", &ask);
    let approved = world.belay.json("bob", &["approve", request["id"].as_str().unwrap()]);
    let ticket = world.belay.claim("alice", approved["grant"]["id"].as_str().unwrap());
    for (plan, status) in [("p_1", "held"), ("p_2", "sent"), ("p_3", "lost")] {
        world.sql(&ticket, &format!("UPDATE orders SET status = '{status}' WHERE id = 41"));
        world.belay.run("bob", &["approve", plan]).ok();
        world.belay.run("alice", &["apply", plan]).ok();
    }
    let files = world.belay.data_dir();
    let copied = copy(&world, "copied");
    let locked = copy(&world, "locked");
    // Nobody can write the lock of an index there, not even root.
    std::fs::create_dir(world.belay.data_dir().join("locked-index.lock")).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o500)).unwrap();
    for (query, least) in [
        ("table:orders row:41 since:2020-01-01", 3),
        ("who:alice kind:statement \"set status\" -lost", 2),
        ("effect:write table:public.orders -kind:statement", 3),
        (&format!("request:{}", request["id"].as_str().unwrap()), 3),
        ("\"order 41\"", 1),
        ("plan:p_2", 4),
        ("-who:bob -kind:server_started", 3),
    ] {
        let at = |dir: Option<&Path>, scan: bool| {
            let mut words = vec!["-o", "jsonl", "audit", "search", query];
            words.extend(dir.into_iter().flat_map(|dir| ["--dir", dir.to_str().unwrap()]));
            words.extend(scan.then_some("--scan"));
            seqs(&world.belay.run("admin", &words).ok().out)
        };
        let found = at(None, false);
        assert!(found.len() >= least && found.is_sorted(), "{query}: {found:?}");
        for (dir, scan) in [(&files, false), (&files, true), (&copied, false), (&copied, true), (&locked, false)] {
            assert_eq!(at(Some(dir), scan), found, "{query} in {}", dir.display());
        }
    }
    assert!(files.join("ledger-index.db").exists() && files.join("copied-index.db").exists());
    assert!(!files.join("locked-index.db").exists());
}

#[test]
fn pages_and_exports_have_every_record_that_matches() {
    let world = World::start();
    let ticket = world.belay.grant(&[], "1h");
    let script: Vec<String> = (0..250).map(|number| format!("SELECT {number} AS searched;\n")).collect();
    let script = script.concat();
    world.script(&ticket, &script);
    let query = "kind:statement searched* -\"select 7\"";
    let (mut paged, mut before) = (Vec::new(), u64::MAX.to_string());
    loop {
        let words = ["-o", "jsonl", "audit", "search", query, "--limit", "100", "--before", &before];
        let page = seqs(&world.belay.run("admin", &words).ok().out);
        let Some(oldest) = page.first() else { break };
        before = oldest.to_string();
        paged.splice(0..0, page);
    }
    assert_eq!(paged.len(), 249);
    let export = |words: &[&str]| {
        let words: Vec<&str> = ["audit", "export", query].iter().chain(words).copied().collect();
        world.belay.run("admin", &words).ok().out
    };
    assert_eq!(seqs(&export(&["--format", "jsonl"])), paged);
    let csv = export(&["--format", "csv"]);
    assert_eq!(csv.lines().count(), 250);
    assert!(csv.starts_with("seq,at,event,who,target,grant,session,connection,effect,denied,text,fields\n"), "{csv}");
    let data = world.belay.data_dir();
    let (offline, file) = (data.join("offline.csv"), data.join("export.parquet"));
    let (offline, file) = (offline.to_str().unwrap(), file.to_str().unwrap());
    export(&["--format", "csv", "-f", offline, "--dir", data.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(offline).unwrap(), csv);
    export(&["--format", "parquet", "-f", file]);
    let bytes = std::fs::read(file).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    let refused = world.belay.run("admin", &["audit", "export", query, "--format", "parquet"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    let refused = world.belay.run("admin", &["audit", "search", "tabel:orders"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("did you mean `table`?"), "{}", refused.err);
}
