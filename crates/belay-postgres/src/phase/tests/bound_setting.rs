//! Settings that a Bind names for `current_setting`.

use super::*;

const REFUSED: &str = "PS";
const PASSED: &str = "PBES";

fn parse_typed(text: &str, kind: u32) -> Vec<u8> {
    let mut body = format!("\0{text}\0\0\x01").into_bytes();
    body.extend(kind.to_be_bytes());
    message(b'P', &body)
}

fn bind_value(value: &[u8], format: u8) -> Vec<u8> {
    let mut body = b"\0\0\0\x01\0".to_vec();
    body.extend([format, 0, 1]);
    body.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
    body.extend(value);
    body.extend(b"\0\0");
    message(b'B', &body)
}

fn sent(text: &str, kind: u32, value: &[u8], format: u8) -> String {
    let mut wire = Wire::new();
    wire.client(&[parse_typed(text, kind), bind_value(value, format), execute(""), sync()].concat());
    wire.target_got()
}

#[test]
fn the_name_that_is_bound_decides() {
    for text in ["SELECT current_setting($1)", "SELECT 1 WHERE 'heap' <> current_setting($1::varchar, true)"] {
        for (kind, format) in [(0, 0), (25, 0), (25, 1), (1043, 1), (705, 0)] {
            assert_eq!(sent(text, kind, b"default_table_access_method", format), PASSED, "{text} {kind} {format}");
            assert_eq!(sent(text, kind, b"plpgsql.extra_errors", format), PASSED, "{text} {kind} {format}");
            for name in [b"app.token".as_slice(), b"App.Token", b"app.\xff", b"."] {
                assert_eq!(sent(text, kind, name, format), "PPS", "{text} {kind} {format} {name:?}");
            }
        }
    }
}

#[test]
fn a_value_that_may_become_another_text_is_refused() {
    assert_eq!(sent("SELECT current_setting($1)", 16_401, b"heap", 0), "PPS");
    for twice in ["SELECT $1::app.t, current_setting($1)", "SELECT current_setting($1), $01"] {
        assert_eq!(sent(twice, 0, b"heap", 0), "PPS", "{twice}");
    }
    assert_eq!(sent("SELECT current_setting($1), '$10'", 0, b"heap", 0), PASSED);
}

#[test]
fn no_other_way_gives_the_name() {
    let mut wire = Wire::new();
    wire.client(&[parse("s", "SELECT current_setting($1)"), sync()].concat());
    assert_eq!(wire.target_got(), "PS");
    wire.target(&[message(b'1', b""), ready(b'I')].concat());
    wire.client_got();
    wire.client(&query("EXECUTE s('app.token')"));
    assert_eq!(wire.target_got(), "");
    for text in [
        "PREPARE p AS SELECT current_setting($1)",
        "DECLARE c CURSOR FOR SELECT current_setting($1)",
        "EXPLAIN SELECT current_setting($1)",
        "CALL app.p(current_setting($1))",
        "SELECT set_config($1, 'x', false)",
    ] {
        assert_eq!(sent(text, 0, b"app.token", 0), REFUSED, "{text}");
    }
}
