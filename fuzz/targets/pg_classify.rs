//! Any text a client can send as a statement: the classifier answers, and answers the same with and without its memory.

#![no_main]

use belay_postgres::classify::{Classifier, Limits};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static REMEMBERING: OnceLock<Classifier> = OnceLock::new();
static FORGETTING: OnceLock<Classifier> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let remembering = REMEMBERING.get_or_init(Classifier::default);
    let forgetting = FORGETTING.get_or_init(|| Classifier::new(Limits { cache: 0, ..Limits::default() }, None));
    let fresh = forgetting.classify(text);
    assert_eq!(remembering.classify(text), fresh, "a remembered shape has another verdict");
    assert_eq!(remembering.classify(text), fresh, "a remembered text has another verdict");
});
