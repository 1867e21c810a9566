//! A server that cannot start says why in one line, and changes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::{Belay, Outcome, binary};

fn serve(config: &Path) -> Outcome {
    Outcome::of(Command::new("timeout").arg("30").arg(binary()).args(["server", "--config"]).arg(config))
}

/// Every file of the data directory with its content.
fn content(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn a_second_server_on_the_same_data_is_refused_and_the_first_goes_on() {
    let belay = Belay::start_empty("");
    let text = fs::read_to_string(belay.config_file()).unwrap();
    let elsewhere = text.replace(&format!(":{}\"", belay.port()), &format!(":{}\"", testkit::free_port()));
    let config = belay.config_file().with_file_name("second.toml");
    fs::write(&config, elsewhere).unwrap();
    let second = serve(&config);
    assert_eq!(second.code, 1, "{}", second.err);
    assert!(second.err.contains("not started: ") && second.err.contains("another server"), "{}", second.err);
    assert_eq!(belay.run("admin", &["target", "ls"]).code, 0);
}

#[test]
fn a_damaged_store_is_refused_and_left_as_it_is() {
    with_store(&vec![b'x'; 40_960], |belay, before| {
        let refused = serve(&belay.config_file());
        assert_eq!(refused.code, 1, "{}", refused.err);
        assert!(refused.err.contains("not started: "), "{}", refused.err);
        let changed: Vec<_> = content(&belay.data_dir()).into_iter().filter(|file| !before.contains(file)).collect();
        // Whoever looks at the lock last leaves their number in it.
        assert!(changed.iter().all(|(path, _)| path.ends_with("belay.lock")), "{changed:?}");
    });
}

#[test]
fn an_emptied_store_is_not_taken_for_a_new_one() {
    with_store(b"", |belay, _| {
        let refused = serve(&belay.config_file());
        assert_eq!(refused.code, 1, "{}", refused.err);
        assert!(!refused.err.contains("first start"), "{}", refused.err);
    });
}

/// A stopped server whose store holds these bytes; afterwards the right ones work again.
fn with_store(bytes: &[u8], act: impl FnOnce(&Belay, &[(PathBuf, Vec<u8>)])) {
    let belay = Belay::start_empty("");
    assert_eq!(belay.stop(), 0);
    let store = belay.data_dir().join("belay.db");
    let [log, index] = ["-wal", "-shm"].map(|end| belay.data_dir().join(format!("belay.db{end}")));
    let kept: Vec<_> = [&store, &log].into_iter().map(|path| (path, fs::read(path).unwrap_or_default())).collect();
    fs::write(&store, bytes).unwrap();
    // The write-ahead log would put it right.
    for path in [&log, &index] {
        let _ = fs::remove_file(path);
    }
    act(&belay, &content(&belay.data_dir()));
    for (path, bytes) in kept {
        fs::write(path, bytes).unwrap();
    }
    let _ = fs::remove_file(&index);
    belay.restart();
    assert_eq!(belay.run("admin", &["target", "ls"]).code, 0);
}

#[test]
fn a_changed_ledger_is_refused_and_verify_says_where() {
    let belay = Belay::start_empty("");
    belay.add_person("erin", &["--role", "requester"]);
    assert_eq!(belay.stop(), 0);
    let ledger = belay.data_dir().join("ledger");
    let files = content(&ledger);
    let (file, mut bytes) = files.into_iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let at = bytes.windows(4).position(|window| window == b"erin").expect("a record that names erin");
    bytes[at] = b'E';
    fs::write(&file, &bytes).unwrap();
    let before = content(&ledger);
    let refused = serve(&belay.config_file());
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(refused.err.contains("not started: "), "{}", refused.err);
    assert_eq!(content(&ledger), before);
    let data = belay.data_dir().display().to_string();
    let verified = belay.run("admin", &["audit", "verify", "--dir", &data]);
    assert_eq!(verified.code, 10, "{}{}", verified.out, verified.err);
}

#[test]
fn a_wrong_configuration_ends_with_2_and_names_file_line_and_nearest_key() {
    let belay = Belay::start_empty("");
    let config = belay.config_file().with_file_name("wrong.toml");
    let name = config.display().to_string();
    for (text, line, hint) in [
        ("data_dir = \"x\"\n[listen]\npostgress = \"127.0.0.1:1\"\n", 3, "postgres"),
        ("[limits]\nconnections = 0\n", 2, ""),
        ("\n\n[listen]\napi = \"here\"\n", 4, "127.0.0.1:6432"),
        ("data_dir = \n", 1, ""),
    ] {
        fs::write(&config, text).unwrap();
        for check in [true, false] {
            let mut command = Command::new("timeout");
            command.arg("30").arg(binary()).args(["server", "--config"]).arg(&config);
            if check {
                command.arg("--check");
            }
            let refused = Outcome::of(&mut command);
            assert_eq!(refused.code, 2, "{text}: {}", refused.err);
            assert!(refused.err.contains(&format!("{name}:{line}: ")), "{text}: {}", refused.err);
            assert!(refused.err.contains("hint: ") && refused.err.contains(hint), "{text}: {}", refused.err);
        }
    }
    assert!(!config.with_file_name("x").exists(), "nothing is made");
    let checked = Outcome::of(Command::new(binary()).args(["server", "--check", "--config"]).arg(belay.config_file()));
    assert_eq!(checked.code, 0, "{}", checked.err);
}
