//! What is signed over the ledger: by whom, how it is found out that it was changed, and who else keeps it.

use e2e::World;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use testkit::{Belay, Outcome, binary, until};

fn git(dir: &Path, words: &[&str]) -> String {
    Outcome::of(Command::new("git").arg("-C").arg(dir).args(words)).ok().out
}

fn verify(belay: &Belay, key: &Path, more: &[&str]) -> Outcome {
    let mut command = Command::new(binary());
    command.args(["audit", "verify", "-o", "json", "--dir"]).arg(belay.data_dir()).arg("--key").arg(key).args(more);
    Outcome::of(&mut command)
}

/// Waits until everything is signed, and returns the checkpoint.
fn signed(belay: &Belay) -> String {
    belay.run("admin", &["audit", "checkpoint"]).ok().out
}

#[test]
fn the_first_key_verifies_what_was_signed_with_those_after_it() {
    let belay = Belay::start_empty("");
    let elsewhere = tempfile::tempdir().unwrap();
    let (key, noted) = (elsewhere.path().join("ledger.pub"), elsewhere.path().join("noted"));
    fs::write(&key, belay.run("admin", &["audit", "key"]).ok().out).unwrap();
    fs::write(&noted, signed(&belay)).unwrap();
    for _ in 0..2 {
        belay.run("admin", &["audit", "key", "rotate"]).ok();
    }
    assert_ne!(fs::read(&key).unwrap(), fs::read(belay.data_dir().join("ledger.pub")).unwrap());
    signed(&belay);
    let now = verify(&belay, &key, &["--checkpoint", noted.to_str().unwrap()]).ok().json();
    assert_eq!((&now["intact"], &now["signed"]), (&true.into(), &now["records"]));
    assert_eq!(belay.stop(), 0);
    belay.restart();
    signed(&belay);
    let after = verify(&belay, &key, &[]).ok().json();
    assert!(after["records"].as_u64() > now["records"].as_u64(), "{after}");
    let stranger = Belay::start_empty("");
    let other = verify(&belay, &stranger.data_dir().join("ledger.pub"), &[]);
    assert_eq!(other.code, 10, "{}", other.err);
    assert!(other.err.contains("is signed by no key that is trusted"), "{}", other.err);
    belay.add_person("otto", &["--role", "auditor"]);
    let otto = belay.run("otto", &["audit", "key", "rotate"]);
    assert_eq!(otto.code, 3, "only administrators change it: {}", otto.err);
}

#[test]
fn a_record_is_proven_alone_and_another_text_of_it_is_not() {
    let belay = Belay::start_empty("");
    let key = belay.data_dir().join("ledger.pub");
    let proven = belay.json("admin", &["audit", "prove", "0", "--key", key.to_str().unwrap()]);
    assert!(proven["record"].as_str().unwrap().contains("\"kind\":\"server_started\""), "{proven}");
    assert!(proven["proof"].as_str().unwrap().starts_with("c2sp.org/tlog-proof@v1\nindex 0\n"), "{proven}");
    let offline = Outcome::of(
        Command::new(binary()).args(["audit", "prove", "0", "--dir"]).arg(belay.data_dir()).arg("--key").arg(&key),
    );
    assert_eq!(offline.code, 0, "{}", offline.err);
    let beyond = belay.run("admin", &["audit", "prove", "100000"]);
    assert_eq!(beyond.code, 1, "{}", beyond.err);
    assert!(beyond.err.contains("record 100000 is not signed"), "{}", beyond.err);
    belay.stop();
    let segment = belay.data_dir().join("ledger/00000000000000000000.ledger");
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(14).position(|part| part == b"server_started").unwrap();
    bytes[at] = b'S';
    fs::write(&segment, bytes).unwrap();
    let changed = verify(&belay, &key, &[]);
    assert_eq!(changed.code, 10);
    assert!(changed.err.contains("record 0:"), "{}", changed.err);
}

#[test]
fn a_gateway_does_not_go_on_with_a_ledger_that_lacks_what_it_has_signed() {
    let belay = Belay::start_empty("");
    signed(&belay);
    let ledger = belay.data_dir().join("ledger");
    let segment = ledger.join("00000000000000000000.ledger");
    let early = fs::read(&segment).unwrap();
    for name in ["one", "two"] {
        belay.run("admin", &["user", "add", name]).ok();
    }
    let size = |checkpoint: &str| checkpoint.lines().nth(1).unwrap().to_owned();
    let before = size(&signed(&belay));
    assert_eq!(belay.stop(), 0);
    let (whole, checkpoint) = (fs::read(&segment).unwrap(), fs::read(ledger.join("checkpoint")).unwrap());
    fs::write(&segment, &early).unwrap();
    let refused = Outcome::of(
        Command::new("timeout").arg("30").arg(binary()).args(["server", "--config"]).arg(belay.config_file()),
    );
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(refused.err.contains("the last are missing"), "{}", refused.err);
    assert_eq!(fs::read(ledger.join("checkpoint")).unwrap(), checkpoint, "what tells of it is left");
    fs::write(&segment, &whole).unwrap();
    fs::remove_dir_all(ledger.join("tile")).unwrap();
    belay.restart();
    assert!(size(&signed(&belay)).parse::<u64>().unwrap() > before.parse().unwrap(), "tiles are made anew");
    let key = belay.data_dir().join("ledger.pub");
    verify(&belay, &key, &[]).ok();
}

#[test]
fn a_past_that_was_written_anew_while_the_gateway_was_down_is_not_signed() {
    let belay = Belay::start_empty("");
    signed(&belay);
    assert_eq!(belay.stop(), 0);
    let ledger = belay.data_dir().join("ledger");
    for name in ["checkpoint", "checkpoints"] {
        fs::remove_file(ledger.join(name)).unwrap();
    }
    fs::remove_dir_all(ledger.join("tile")).unwrap();
    let refused = Outcome::of(
        Command::new("timeout").arg("30").arg(binary()).args(["server", "--config"]).arg(belay.config_file()),
    );
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(refused.err.contains("that was signed last is not the ledger's any more"), "{}", refused.err);
    assert!(!ledger.join("checkpoint").exists());
}

#[test]
fn what_cannot_be_written_for_a_while_leaves_no_wrong_signature() {
    let world = World::start();
    let ticket = world.belay.grant(&["public.*"], "30m");
    signed(&world.belay);
    let tiles = world.belay.data_dir().join("ledger/tile");
    fs::remove_dir_all(&tiles).unwrap();
    fs::write(&tiles, "in the way").unwrap();
    let many: Vec<String> = (0..400).map(|number| format!("SELECT {number};\n")).collect();
    world.script(&ticket, &many.concat()).ok();
    let unsigned = world.belay.run("admin", &["audit", "checkpoint"]);
    assert_eq!(unsigned.code, 1, "{}", unsigned.err);
    fs::remove_file(&tiles).unwrap();
    signed(&world.belay);
    let key = world.belay.data_dir().join("ledger.pub");
    let found = verify(&world.belay, &key, &[]);
    // The first tile was taken away by hand here; the root is right, and the next start makes the tile anew.
    assert!(found.code == 0 || found.err.contains("the tile is missing"), "{}", found.err);
    assert_eq!(world.belay.stop(), 0);
    world.belay.restart();
    signed(&world.belay);
    verify(&world.belay, &key, &[]).ok();
}

#[test]
fn witnesses_keep_checkpoints_that_tell_of_a_past_that_was_written_anew() {
    let elsewhere = tempfile::tempdir().unwrap();
    let [folder, origin, clone] = ["folder", "origin", "clone"].map(|name| elsewhere.path().join(name));
    fs::create_dir(&folder).unwrap();
    git(elsewhere.path(), &["init", "--quiet", "--bare", "origin"]);
    git(elsewhere.path(), &["clone", "--quiet", origin.to_str().unwrap(), "clone"]);
    git(&clone, &["config", "push.autoSetupRemote", "true"]);
    let witness = |to: String| format!("[[witness]]\nto = \"{to}\"\nevery = \"1s\"\n");
    let configuration = witness(format!("file:{}", folder.display())) + &witness(format!("git:{}", clone.display()));
    let belay = Belay::start_empty(&configuration);
    let key = elsewhere.path().join("key");
    fs::copy(belay.data_dir().join("ledger.pub"), &key).unwrap();
    let newest = signed(&belay);
    let kept = |name: &str| folder.join(format!("{:0>20}.checkpoint", name.lines().nth(1).unwrap()));
    let done = until(Duration::from_secs(20), || fs::read_to_string(kept(&newest)).is_ok_and(|there| there == newest));
    assert!(done, "the folder has the checkpoint");
    let done = until(Duration::from_secs(20), || {
        let shown = Command::new("git").arg("-C").arg(&origin).args(["show", "HEAD:checkpoint"]).output().unwrap();
        String::from_utf8(shown.stdout).unwrap() == newest
    });
    assert!(done, "the repository has it");
    let noted = kept(&newest);
    verify(&belay, &key, &["--checkpoint", noted.to_str().unwrap()]).ok();
    // Another ledger under the same key is what somebody would write who has taken the machine over.
    belay.stop();
    fs::remove_dir_all(belay.data_dir().join("ledger")).unwrap();
    fs::remove_file(belay.data_dir().join("belay.db")).unwrap();
    belay.restart();
    let checkpoint = belay.data_dir().join("ledger/checkpoint");
    assert!(until(Duration::from_secs(20), || checkpoint.is_file()), "the new ledger is signed");
    let other = verify(&belay, &key, &["--checkpoint", noted.to_str().unwrap()]);
    assert_eq!(other.code, 10, "{}", other.err);
}
