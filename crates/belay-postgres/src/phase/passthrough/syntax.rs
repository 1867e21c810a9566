//! Whether texts mean what they seem to: the encoding and the string syntax of the connection.

/// What the target said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Syntax {
    utf8: bool,
    standard_strings: bool,
    /// Something is under way that may change either.
    unsettled: bool,
}

impl Syntax {
    /// As the target reported at the start.
    pub(super) fn of(parameters: &[(String, String)]) -> Syntax {
        let mut syntax = Syntax { utf8: false, standard_strings: false, unsettled: false };
        for (name, value) in parameters {
            syntax.set(name, value);
        }
        syntax
    }

    /// Whether a text can be read as the classifier reads it.
    pub(super) fn is_known(self) -> bool {
        self.utf8 && self.standard_strings && !self.unsettled
    }

    /// Something other than a read was sent: until its answer, nothing is known.
    pub(super) fn unsettle(&mut self) {
        self.unsettled = true;
    }

    /// Everything sent has been answered.
    pub(super) fn settle(&mut self) {
        self.unsettled = false;
    }

    /// The body of a ParameterStatus.
    pub(super) fn report(&mut self, body: &[u8]) {
        let mut texts = body.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        if let (Some(name), Some(value)) = (texts.next(), texts.next()) {
            self.set(&name, &value);
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        match name {
            "client_encoding" => self.utf8 = value == "UTF8",
            "standard_conforming_strings" => self.standard_strings = value == "on",
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_only_where_encoding_and_strings_are_as_expected() {
        assert!(!Syntax::of(&[]).is_known());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut syntax = Syntax::of(&[pair("client_encoding", "UTF8"), pair("standard_conforming_strings", "on")]);
        assert!(syntax.is_known());
        syntax.report(b"client_encoding\0SJIS\0");
        assert!(!syntax.is_known());
        syntax.report(b"client_encoding\0UTF8\0");
        syntax.unsettle();
        assert!(!syntax.is_known());
        syntax.settle();
        assert!(syntax.is_known());
    }
}
