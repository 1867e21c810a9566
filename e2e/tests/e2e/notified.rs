//! What people are told outside of their sessions, and inside of them before the end.

use aws_lc_rs::hmac;
use e2e::World;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

const SECRET: &str = "a secret of this test";

/// One POST: its signature and its body.
type Post = (String, String);

/// A receiver that refuses the first try and takes the others, and what it took.
fn receiver() -> (u16, mpsc::Receiver<Post>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, posts) = mpsc::channel();
    std::thread::spawn(move || {
        for (index, stream) in listener.incoming().take(20).enumerate() {
            let mut stream = stream.unwrap();
            let taken = read_post(&mut BufReader::new(stream.try_clone().unwrap()));
            let answer = if index == 0 { "503 Service Unavailable" } else { "204 No Content" };
            write!(stream, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            if index > 0 && sender.send(taken).is_err() {
                return;
            }
        }
    });
    (port, posts)
}

fn read_post(reader: &mut impl BufRead) -> Post {
    let (mut signature, mut length) = (String::new(), 0);
    for line in reader.lines().by_ref().map(Result::unwrap).take_while(|line| !line.is_empty()) {
        match line.split_once(": ") {
            Some(("belay-signature", value)) => value.clone_into(&mut signature),
            Some(("content-length", value)) => length = value.parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (signature, String::from_utf8(body).unwrap())
}

/// Whether the signature is that of the secret, over the time it names and the body.
fn is_signed((signature, body): &Post) -> bool {
    let (time, tag) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let tag: Vec<u8> = (0..tag.len()).step_by(2).map(|at| u8::from_str_radix(&tag[at..at + 2], 16).unwrap()).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    hmac::verify(&key, format!("{time}.{body}").as_bytes(), &tag).is_ok()
}

#[test]
fn a_webhook_hears_of_requests_emergencies_and_ends_and_the_session_of_its_own() {
    let (port, posts) = receiver();
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), SECRET).unwrap();
    let world = World::start_with(&format!(
        "[notify]\nwebhook = \"http://127.0.0.1:{port}/\"\nsecret = \"file:{}\"\n[sessions]\nwarn_before = [\"57s\"]\n",
        secret.path().display()
    ));
    let told = || {
        let heard = posts.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(is_signed(&heard), "{heard:?}");
        serde_json::from_str::<Value>(&heard.1).unwrap()
    };
    world.belay.run("alice", &["request", "orders", "--for", "30m", "-m", "INC-7"]).ok();
    let pending = told();
    assert_eq!((&pending["what"], &pending["principal"]), (&"request_pending".into(), &"alice".into()));
    let taken = world.belay.json("dave", &["request", "orders", "--break-glass", "--for", "1m", "-m", "INC-8"]);
    assert_eq!(told()["what"], "break_glass");

    let ticket = world.belay.claim("dave", taken["grant"]["id"].as_str().unwrap());
    let heard = world.sql(&ticket, "SELECT pg_sleep(6)").ok();
    assert!(
        heard.err.contains("the grant ends in 57 seconds; what runs then is cancelled [BLY-1032]"),
        "{}",
        heard.err
    );
    let soon = told();
    assert_eq!((&soon["what"], soon["grant"].as_str()), (&"grant_ends_soon".into(), Some(&*ticket.grant)));
    let found = world.belay.run("admin", &["audit", "search", "kind:notified"]).ok();
    assert!(found.out.contains("break_glass") && found.out.contains("webhook"), "{}", found.out);
}
