//! Fields of ErrorResponse and NoticeResponse.

/// The fields that are looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields {
    /// `V`: the severity, never translated.
    pub severity: String,
    /// `C`: the SQLSTATE.
    pub sqlstate: String,
    /// `M`: the message.
    pub message: String,
}

impl Fields {
    /// Whether the server closes the connection after it.
    pub fn is_fatal(&self) -> bool {
        matches!(self.severity.as_str(), "FATAL" | "PANIC")
    }
}

/// Reads the body of an ErrorResponse or NoticeResponse; what is missing stays empty.
pub fn error_fields(body: &[u8]) -> Fields {
    let mut fields = Fields::default();
    for part in body.split(|byte| *byte == 0).take(64) {
        let Some((code, text)) = part.split_first() else { break };
        let text = String::from_utf8_lossy(text).into_owned();
        match code {
            b'V' => fields.severity = text,
            b'C' => fields.sqlstate = text,
            b'M' => fields.message = text,
            _ => {}
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severity_sqlstate_and_message_are_found_among_others() {
        let fields = error_fields(b"SFEHLER\0VFATAL\0C57P01\0Mbye\0Fx.c\0\0");
        assert!(fields.is_fatal());
        assert_eq!((fields.sqlstate.as_str(), fields.message.as_str()), ("57P01", "bye"));
        assert_eq!(error_fields(b""), Fields::default());
    }
}
