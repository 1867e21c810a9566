//! Making the messages that Belay itself says.

use belay_model::{Code, TransactionStatus};
use bytes::{BufMut, Bytes, BytesMut};

/// How bad a report is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// For information.
    Notice,
    /// Something the person should know.
    Warning,
    /// The statement failed.
    Error,
    /// The connection ends.
    Fatal,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Severity::Notice => "NOTICE",
            Severity::Warning => "WARNING",
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        }
    }
}

/// What an error or notice says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How bad it is.
    pub severity: Severity,
    /// The code, shown in brackets at the end of the message line; it fixes the SQLSTATE.
    pub code: Code,
    /// The message.
    pub message: String,
    /// Why.
    pub detail: Option<String>,
    /// One command.
    pub hint: Option<String>,
}

/// The longest message line.
const LINE: usize = 120;

/// An ErrorResponse.
pub fn error_response(report: &Report) -> Bytes {
    told(b'E', report)
}

/// A NoticeResponse.
pub fn notice_response(report: &Report) -> Bytes {
    told(b'N', report)
}

fn told(tag: u8, report: &Report) -> Bytes {
    message(tag, |body| {
        field(body, b'S', report.severity.word());
        field(body, b'V', report.severity.word());
        field(body, b'C', report.code.sqlstate());
        field(body, b'M', &line(report));
        if let Some(detail) = &report.detail {
            field(body, b'D', detail);
        }
        if let Some(hint) = &report.hint {
            field(body, b'H', hint);
        }
        body.put_u8(0);
    })
}

/// The message on one line of at most 120 characters, the code in brackets at its end: node-pg drops detail and hint.
fn line(report: &Report) -> String {
    let code = format!(" [{}]", report.code);
    let room = LINE.saturating_sub(code.len());
    let clean: Vec<char> = report.message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.len() <= room {
        return clean.into_iter().collect::<String>() + &code;
    }
    clean.into_iter().take(room.saturating_sub(1)).collect::<String>() + "…" + &code
}

fn field(body: &mut BytesMut, code: u8, text: &str) {
    body.put_u8(code);
    body.extend(text.bytes().filter(|byte| *byte != 0));
    body.put_u8(0);
}

/// An ErrorResponse or NoticeResponse with another's fields, as they came.
pub fn passed_on(tag: u8, fields: &[(u8, Vec<u8>)]) -> Bytes {
    message(tag, |body| {
        for (code, value) in fields {
            body.put_u8(*code);
            body.extend_from_slice(value);
            body.put_u8(0);
        }
        body.put_u8(0);
    })
}

/// ReadyForQuery.
pub fn ready_for_query(status: TransactionStatus) -> Bytes {
    message(b'Z', |body| {
        body.put_u8(match status {
            TransactionStatus::Idle => b'I',
            TransactionStatus::Open => b'T',
            TransactionStatus::Failed => b'E',
        });
    })
}

/// An Authentication message of this kind with this content.
pub fn authentication(kind: i32, content: &[u8]) -> Bytes {
    message(b'R', |body| {
        body.put_i32(kind);
        body.extend_from_slice(content);
    })
}

/// BackendKeyData: 4 bytes of key in protocol 3.0, up to 256 from 3.2.
pub fn backend_key(process: i32, key: &[u8]) -> Bytes {
    message(b'K', |body| {
        body.put_i32(process);
        body.extend_from_slice(key);
    })
}

/// ParameterStatus.
pub fn parameter_status(name: &str, value: &str) -> Bytes {
    message(b'S', |body| {
        for text in [name, value] {
            body.extend_from_slice(text.as_bytes());
            body.put_u8(0);
        }
    })
}

/// NegotiateProtocolVersion: the version spoken, and the protocol options that are not known here.
pub fn negotiate_version(version: u32, unknown: &[String]) -> Bytes {
    message(b'v', |body| {
        body.put_u32(version);
        body.put_u32(u32::try_from(unknown.len()).unwrap_or(u32::MAX));
        for option in unknown {
            body.extend_from_slice(option.as_bytes());
            body.put_u8(0);
        }
    })
}

/// A Query.
pub fn query(text: &str) -> Bytes {
    message(b'Q', |body| {
        body.extend_from_slice(text.as_bytes());
        body.put_u8(0);
    })
}

/// How the gateway's own statements end, so that the target's log tells them from the client's.
pub const OWN: &str = " /* belay */";

/// A Query of the gateway's own. Its places are those of `text`.
pub fn own_query(text: &str) -> Bytes {
    query(&format!("{text}{OWN}"))
}

/// A Parse of `text` into the unnamed statement.
pub fn parse_unnamed(text: &str) -> Bytes {
    message(b'P', |body| {
        body.put_u8(0);
        body.extend_from_slice(text.as_bytes());
        body.put_u8(0);
        body.put_u16(0);
    })
}

/// A Describe of the portal of this name.
pub fn describe_portal(name: &[u8]) -> Bytes {
    message(b'D', |body| {
        body.put_u8(b'P');
        body.extend_from_slice(name);
        body.put_u8(0);
    })
}

/// One command of the gateway's own amid a client's batch: prepared, run and closed under a name that no client has.
/// Its answer ends with the second `CloseComplete`.
pub fn command_in_batch(sql: &str) -> Bytes {
    const NAME: &[u8] = b"belay:own\0";
    let mut bytes = BytesMut::new();
    bytes.put(message(b'P', |body| {
        body.extend_from_slice(NAME);
        body.extend_from_slice(sql.as_bytes());
        body.extend_from_slice(OWN.as_bytes());
        body.put_u8(0);
        body.put_u16(0);
    }));
    bytes.put(message(b'B', |body| {
        body.extend_from_slice(NAME);
        body.extend_from_slice(NAME);
        body.put_bytes(0, 6);
    }));
    bytes.put(message(b'E', |body| {
        body.extend_from_slice(NAME);
        body.put_u32(0);
    }));
    for kind in [b'P', b'S'] {
        bytes.put(message(b'C', |body| {
            body.put_u8(kind);
            body.extend_from_slice(NAME);
        }));
    }
    bytes.freeze()
}

/// A CommandComplete.
pub fn command_complete(tag: &str) -> Bytes {
    message(b'C', |body| {
        body.extend_from_slice(tag.as_bytes());
        body.put_u8(0);
    })
}

/// What the target gets in place of a refused statement: it cannot be parsed, so it fails there and nothing else
/// happens, and the people who read the target's log can tell why it is there.
pub fn refusal_text(code: Code) -> String {
    format!("/* refused by belay, {code}; the statement itself was not sent */ REFUSED")
}

fn message(tag: u8, content: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut bytes = BytesMut::with_capacity(64);
    bytes.put_u8(tag);
    bytes.put_u32(0);
    content(&mut bytes);
    let length = u32::try_from(bytes.len() - 1).unwrap_or(u32::MAX);
    if let Some(field) = bytes.get_mut(1..5) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(message: &str) -> Report {
        Report {
            severity: Severity::Error,
            code: Code::WriteInReadOnly,
            message: message.to_owned(),
            detail: None,
            hint: None,
        }
    }

    #[test]
    fn an_error_has_its_sqlstate_and_its_code_at_the_end_of_the_line() {
        let bytes = error_response(&report("refused: UPDATE on public.orders"));
        let fields = super::super::error_fields(&bytes[5..]);
        assert_eq!(fields.sqlstate, "25006");
        assert_eq!(fields.message, "refused: UPDATE on public.orders [BLY-1001]");
    }

    #[test]
    fn a_long_or_many_lined_message_becomes_one_line_of_120_characters() {
        let text = line(&report(&format!("a\nb{}", "é".repeat(300))));
        assert_eq!(text.chars().count(), 120);
        assert!(text.starts_with("a b") && text.ends_with(" [BLY-1001]"));
    }

    #[test]
    fn nul_bytes_cannot_break_a_field() {
        let mut broken = report("x");
        broken.detail = Some("a\0b".to_owned());
        assert!(error_response(&broken).windows(4).any(|window| window == b"Dab\0"));
    }
}
