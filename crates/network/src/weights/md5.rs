//! MD5, the only checksum published for Keras' files. Guards against damage, not against malice.
//!
//! Source: Rivest (1992), RFC 1321.

/// Rotations of each round.
const ROTATIONS: [[u32; 4]; 4] = [
    [7, 12, 17, 22],
    [5, 9, 14, 20],
    [4, 11, 16, 23],
    [6, 10, 15, 21],
];

pub(super) struct Md5 {
    state: [u32; 4],
    /// Bytes not yet a whole block.
    rest: Vec<u8>,
    length: u64,
}

impl Default for Md5 {
    fn default() -> Self {
        Self {
            state: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476],
            rest: vec![],
            length: 0,
        }
    }
}

impl Md5 {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.rest.extend_from_slice(bytes);
        let whole = self.rest.len() / 64 * 64;
        for block in self.rest[..whole].chunks_exact(64) {
            self.state = mix(self.state, block);
        }
        self.rest.drain(..whole);
    }

    /// The digest in lower-case hexadecimal.
    pub(super) fn finish(mut self) -> String {
        let bits = self.length.wrapping_mul(8);
        let padding = 64 - (self.rest.len() + 8) % 64;
        let mut tail = vec![0; padding];
        tail[0] = 0x80;
        tail.extend(bits.to_le_bytes());
        self.update(&tail);
        self.state
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

fn mix(state: [u32; 4], block: &[u8]) -> [u32; 4] {
    let word =
        |i: usize| u32::from_le_bytes(block[4 * i..4 * i + 4].try_into().expect("four bytes"));
    let [mut a, mut b, mut c, mut d] = state;
    for i in 0..64 {
        let (f, g) = match i / 16 {
            0 => ((b & c) | (!b & d), i),
            1 => ((d & b) | (!d & c), (5 * i + 1) % 16),
            2 => (b ^ c ^ d, (3 * i + 5) % 16),
            _ => (c ^ (b | !d), (7 * i) % 16),
        };
        let constant = (((i + 1) as f64).sin().abs() * 4_294_967_296.0) as u32;
        let sum = a
            .wrapping_add(f)
            .wrapping_add(constant)
            .wrapping_add(word(g));
        (a, d, c) = (d, c, b);
        b = b.wrapping_add(sum.rotate_left(ROTATIONS[i / 16][i % 4]));
    }
    [
        state[0].wrapping_add(a),
        state[1].wrapping_add(b),
        state[2].wrapping_add(c),
        state[3].wrapping_add(d),
    ]
}

#[cfg(test)]
mod tests {
    use super::Md5;

    #[test]
    fn the_test_suite_of_rfc_1321() {
        for (text, digest) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
        ] {
            let mut whole = Md5::default();
            whole.update(text.as_bytes());
            assert_eq!(whole.finish(), digest);
            let mut parts = Md5::default();
            text.as_bytes()
                .chunks(7)
                .for_each(|part| parts.update(part));
            assert_eq!(parts.finish(), digest);
        }
    }
}
