//! A client's messages of the extended protocol, one behind the other.

use e2e::message;

#[derive(Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
}

impl Batch {
    pub(super) fn parse(self, name: &str, text: &str) -> Batch {
        self.with(b'P', format!("{name}\0{text}\0\0\0").as_bytes())
    }

    /// Values in text format; `None` for NULL.
    pub(super) fn bind(self, portal: &str, statement: &str, values: &[Option<String>]) -> Batch {
        let mut body = format!("{portal}\0{statement}\0\0\0").into_bytes();
        body.extend_from_slice(&u16::try_from(values.len()).unwrap().to_be_bytes());
        for value in values {
            let length = value.as_ref().map_or(-1, |value| i32::try_from(value.len()).unwrap());
            body.extend_from_slice(&length.to_be_bytes());
            body.extend_from_slice(value.as_deref().unwrap_or_default().as_bytes());
        }
        body.extend_from_slice(&[0, 0]);
        self.with(b'B', &body)
    }

    pub(super) fn describe(self, portal: &str) -> Batch {
        self.with(b'D', format!("P{portal}\0").as_bytes())
    }

    /// At most so many rows; 0 for all.
    pub(super) fn execute(self, portal: &str, most: u32) -> Batch {
        let body = [portal.as_bytes(), &[0], &most.to_be_bytes()].concat();
        self.with(b'E', &body)
    }

    pub(super) fn close(self, kind: char, name: &str) -> Batch {
        self.with(b'C', format!("{kind}{name}\0").as_bytes())
    }

    pub(super) fn flush(self) -> Batch {
        self.with(b'H', b"")
    }

    pub(super) fn sync(self) -> Batch {
        self.with(b'S', b"")
    }

    pub(super) fn query(self, text: &str) -> Batch {
        self.with(b'Q', format!("{text}\0").as_bytes())
    }

    pub(super) fn with(mut self, tag: u8, body: &[u8]) -> Batch {
        self.bytes.extend_from_slice(&message(tag, body));
        self
    }
}
