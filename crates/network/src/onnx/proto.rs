//! Protobuf messages as bytes: the little that ONNX files need.
//!
//! The encoding is that of the Protocol Buffers specification ("Encoding"): a key of field number
//! and wire type, then a varint, four bytes, or a length with its bytes. Repeated numbers are not
//! packed, as in proto2, in which `onnx.proto` is written. Here: messages of any kind. Not here:
//! which fields ONNX's have (`nodes`, `mod`).

/// Wire types.
const VARINT: u64 = 0;
const BYTES: u64 = 2;
const FOUR_BYTES: u64 = 5;

/// A message that is being written.
#[derive(Clone, Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// Adds an integer or the number of an enum's value; negative ones take ten bytes.
    pub(super) fn int(mut self, field: u64, value: i64) -> Self {
        self.key(field, VARINT);
        self.varint(value as u64);
        self
    }

    /// Adds a list of integers.
    pub(super) fn ints(self, field: u64, values: &[i64]) -> Self {
        let add = |message: Self, &value: &i64| message.int(field, value);
        values.iter().fold(self, add)
    }

    /// Adds a number of 32 bits.
    pub(super) fn float(mut self, field: u64, value: f32) -> Self {
        self.key(field, FOUR_BYTES);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Adds text.
    pub(super) fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    /// Adds bytes.
    pub(super) fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.put(field, bytes);
        self
    }

    /// Adds a message.
    pub(super) fn message(mut self, field: u64, message: &Message) -> Self {
        self.put(field, &message.0);
        self
    }

    /// Adds a message to one that stays where it is.
    pub(super) fn push(&mut self, field: u64, message: &Message) {
        self.put(field, &message.0);
    }

    /// All that was added.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn put(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, BYTES);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn key(&mut self, field: u64, wire: u64) {
        self.varint(field << 3 | wire);
    }

    /// Seven bits a byte, the lowest first; the eighth says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_specification() {
        // The examples of the specification: 150 in field 1, "testing" in field 2, and that message
        // as field 3.
        let inner = Message::default().int(1, 150);
        assert_eq!(inner.0, [0x08, 0x96, 0x01]);
        let text = Message::default().text(2, "testing");
        assert_eq!(text.0[..2], [0x12, 0x07]);
        assert_eq!(
            Message::default().message(3, &inner).0,
            [0x1a, 0x03, 0x08, 0x96, 0x01]
        );
        let minus = Message::default().int(1, -2).0;
        assert_eq!((minus.len(), minus[1], minus[10]), (11, 0xfe, 0x01));
        assert_eq!(
            Message::default().float(2, 1.0).0,
            [0x15, 0x00, 0x00, 0x80, 0x3f]
        );
    }
}
