//! Writes small C01 and DIB files.

use std::io::Write;

/// A bitmap of 16 bits: header, masks, pixels `value(y, x)`; 0 pixels per metre say nothing.
pub fn bitmap(
    [height, width]: [u32; 2],
    per_metre: u32,
    value: impl Fn(u16, u16) -> u16,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [
        40,
        width,
        height,
        16 << 16 | 1,
        0,
        0,
        per_metre,
        per_metre,
        0,
        0,
        0,
        0,
        0,
    ] {
        bytes.extend(word.to_le_bytes());
    }
    for y in 0..height as u16 {
        bytes.extend((0..width as u16).flat_map(|x| value(y, x).to_le_bytes()));
    }
    bytes
}

/// A C01 file of what follows.
pub fn packed(bitmap: &[u8]) -> Vec<u8> {
    let mut zlib = flate2::write::ZlibEncoder::new(vec![0, 0, 0, 16], Default::default());
    zlib.write_all(bitmap).expect("packed");
    zlib.finish().expect("packed")
}

/// A C01 file of a [`bitmap`].
pub fn file(size: [u32; 2], per_metre: u32, value: impl Fn(u16, u16) -> u16) -> Vec<u8> {
    packed(&bitmap(size, per_metre, value))
}
