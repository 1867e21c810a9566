//! What a client sends after the login, as the relay takes it: frame by frame, each opened by its type.

#![no_main]

use belay_postgres::wire;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    // Ends because every frame has at least five bytes.
    while let Ok(Some(frame)) = wire::frame(rest) {
        assert!(frame.length >= 5 && frame.length <= wire::FRONTEND_LIMIT + 1);
        let Some((bytes, later)) = rest.split_at_checked(frame.length) else { break };
        open(frame.tag, bytes);
        rest = later;
    }
    // Bodies without a right header are opened too: nothing may rely on the framing having been checked.
    for tag in *b"QPBECD" {
        open(tag, data);
    }
    let _ = wire::rows_of_tag(data);
    let _ = wire::error_fields(data);
});

fn open(tag: u8, bytes: &[u8]) {
    match tag {
        b'Q' => {
            if let Ok(text) = wire::query_text(bytes) {
                assert!(!text.contains(&0), "a second statement behind a NUL");
            }
        }
        b'P' => {
            if let Ok((name, text)) = wire::parse(bytes) {
                assert!(!name.contains(&0) && !text.contains(&0));
            }
        }
        b'B' => {
            let (with, without) = (wire::bind(bytes, true), wire::bind(bytes, false));
            assert_eq!(with.is_ok(), without.is_ok(), "keeping the values changed whether they can be read");
        }
        b'E' => drop(wire::execute(bytes)),
        b'C' | b'D' => {
            if let Ok((kind, name)) = wire::target_of(bytes, char::from(tag)) {
                assert!(matches!(kind, b'S' | b'P') && !name.contains(&0));
            }
        }
        _ => {}
    }
}
