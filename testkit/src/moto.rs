//! An S3 server that checks signatures, on 127.0.0.1: moto, with one key that may do everything.
//!
//! It does not survive the process that started it, however that ends: it reads its orders from a pipe.

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

/// What serves, and what it is told.
const STAND: &str = include_str!("moto/stand.py");

/// A running server. Dropping it stops it; it keeps everything in memory.
pub struct Moto {
    child: Child,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    made: Value,
}

impl Moto {
    /// Starts the server and waits until it answers.
    pub fn start() -> Moto {
        let python = python();
        assert!(python.exists(), "moto is missing, install with: scripts/moto");
        let mut command = Command::new(python);
        command.args(["-c", STAND]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("moto starts");
        let input = child.stdin.take().expect("a pipe");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let made = line(&mut output);
        Moto { child, pipes: Mutex::new((input, output)), made }
    }

    /// Where it is.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.made["port"])
    }

    /// The region it says it is in.
    pub fn region(&self) -> &str {
        self.word("region")
    }

    /// The name of the key that may do everything.
    pub fn key(&self) -> &str {
        self.word("key")
    }

    /// The key's secret.
    pub fn secret(&self) -> &str {
        self.word("secret")
    }

    /// Makes a bucket. With days it has versions, and keeps each object for so many, whoever asks.
    pub fn bucket(&self, name: &str, locked_days: Option<u32>) {
        let place = json!({ "LocationConstraint": self.region() });
        let lock = locked_days.is_some();
        self.call(
            "create_bucket",
            &json!({ "Bucket": name, "CreateBucketConfiguration": place, "ObjectLockEnabledForBucket": lock }),
        );
        if let Some(days) = locked_days {
            let rule = json!({ "DefaultRetention": { "Mode": "COMPLIANCE", "Days": days } });
            let how = json!({ "ObjectLockEnabled": "Enabled", "Rule": rule });
            self.call("put_object_lock_configuration", &json!({ "Bucket": name, "ObjectLockConfiguration": how }));
        }
    }

    /// The names of a bucket's objects, in order.
    pub fn names(&self, bucket: &str) -> Vec<String> {
        let found = self.call("list_objects_v2", &json!({ "Bucket": bucket }));
        let empty = Vec::new();
        let objects = found["Contents"].as_array().unwrap_or(&empty);
        objects.iter().map(|object| object["Key"].as_str().expect("a name").to_owned()).collect()
    }

    /// What an object holds.
    pub fn get(&self, bucket: &str, name: &str) -> Vec<u8> {
        let found = self.call("get_object", &json!({ "Bucket": bucket, "Key": name }));
        let digits = found["Body"].as_str().expect("a body");
        hex::decode(digits).expect("digits")
    }

    /// Puts an object in the place of what is there.
    pub fn put(&self, bucket: &str, name: &str, content: &[u8]) {
        let body = hex::encode(content);
        self.call("put_object", &json!({ "Bucket": bucket, "Key": name, "Body": body, "ChecksumAlgorithm": "SHA256" }));
    }

    /// The key may not do this any more with these resources, objects as `BUCKET/NAME`; each call in the place of the one
    /// before.
    pub fn deny(&self, action: &str, resources: &[&str]) {
        let none = json!({ "Effect": "Deny", "Action": "s3:CreateBucket", "Resource": "arn:aws:s3:::none" });
        let arns: Vec<String> = resources.iter().map(|name| format!("arn:aws:s3:::{name}")).collect();
        let denied = json!({ "Effect": "Deny", "Action": action, "Resource": arns });
        let statement = if resources.is_empty() { none } else { denied };
        let policy = json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string();
        self.call("put_user_policy", &json!({ "PolicyName": "denied", "PolicyDocument": policy }));
    }

    /// Takes no more connections. What it has is kept.
    pub fn pause(&self) {
        self.call("stop", &json!({}));
    }

    /// Takes connections again, at the same place.
    pub fn go_on(&self) {
        self.call("start", &json!({}));
    }

    /// A call of the S3 API, in the words of boto3. Panics when it is refused.
    pub fn call(&self, verb: &str, with: &Value) -> Value {
        let answer = self.ask(verb, with);
        assert!(answer.get("error").is_none(), "{verb}: {answer}");
        answer["ok"].clone()
    }

    /// The same; `ok` or `error` is in the answer.
    pub fn ask(&self, verb: &str, with: &Value) -> Value {
        let mut pipes = self.pipes.lock().expect("no panic before");
        writeln!(pipes.0, "{}", json!({ "call": verb, "with": with })).expect("moto runs");
        line(&mut pipes.1)
    }

    fn word(&self, name: &str) -> &str {
        self.made[name].as_str().expect("a text")
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // An error says that it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn line(output: &mut BufReader<ChildStdout>) -> Value {
    let mut text = String::new();
    output.read_line(&mut text).expect("moto runs");
    serde_json::from_str(&text).expect("moto has ended; try: scripts/moto")
}

fn python() -> PathBuf {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/e2e-cache");
    let cache = std::env::var_os("BELAY_E2E_CACHE").map_or_else(|| PathBuf::from(here), PathBuf::from);
    cache.join("moto/bin/python")
}
