//! A program in a terminal of its own: interactive `psql` behaves unlike one that reads a script.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::until;

const PATIENCE: Duration = Duration::from_secs(30);

/// A running program, and everything it has shown.
pub struct Terminal {
    child: Child,
    input: ChildStdin,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    /// Starts the program through `script`, which makes the terminal. Its environment is kept.
    pub fn start(command: &Command) -> Terminal {
        let words: Vec<String> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| format!("'{}'", word.to_string_lossy().replace('\'', "'\\''")))
            .collect();
        let mut script = Command::new("script");
        script.args(["-q", "-e", "-c", &words.join(" "), "/dev/null"]);
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        script.env("TERM", "dumb").env("PAGER", "cat");
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = script.spawn().expect("script, of Debian's bsdutils");
        let (input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let shown = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Terminal { child, input, shown }
    }

    /// Types a line.
    pub fn line(&mut self, text: &str) {
        self.keys(text);
        self.keys("\n");
    }

    /// Presses these keys.
    pub fn keys(&mut self, keys: &str) {
        self.input.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the text is shown, and returns everything up to its end; the next wait begins behind it.
    pub fn expect(&mut self, text: &str) -> String {
        let mut found = None;
        until(PATIENCE, || {
            let mut shown = self.shown.lock().unwrap();
            found = shown.find(text).map(|at| shown.drain(..at + text.len()).collect::<String>());
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("never shown: {text}; but: {}", self.shown.lock().unwrap()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
