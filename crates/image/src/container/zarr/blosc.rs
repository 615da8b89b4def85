//! Blosc 1: blocks of a chunk, each shuffled and compressed.
//!
//! Read from the notes and the decoder of c-blosc 1.21 (BSD-3-Clause). 16 bytes come first:
//! version, version of the compressor, flags, bytes of an element, then three numbers of 32 bits,
//! little end first: bytes of pixels, bytes of a block, bytes in all. Flag 1 is the shuffle of
//! bytes, 2 "stored as it is", 4 the shuffle of bits, 16 "blocks are not split"; bits 5 to 7 say
//! the compressor. Then a number for each block: where it begins. A block of up to 16 bytes an
//! element is split into as many streams, but not the last, shorter one; each stream has its number
//! of bytes first, and is stored as it is where that is the number it would have.

use std::io::Read;

const HEADER: usize = 16;
const SHUFFLE: u8 = 1;
const STORED: u8 = 2;
const SHUFFLE_BITS: u8 = 4;
const NOT_SPLIT: u8 = 16;
/// Elements have at most as many bytes if their blocks are split.
const MOST_SPLITS: usize = 16;
/// Streams of a split block have at least as many bytes.
const LEAST_STREAM: usize = 128;

struct Header {
    flags: u8,
    element: usize,
    bytes: usize,
    block: usize,
}

/// The pixels of a chunk, at most `most` bytes.
pub(super) fn decode(chunk: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let header = Header::of(chunk)?;
    if header.bytes > most {
        return Err(format!(
            "Blosc says {} bytes, and at most {most} are due",
            header.bytes
        ));
    }
    if header.flags & STORED != 0 {
        let stored = chunk.get(HEADER..HEADER.saturating_add(header.bytes));
        return Ok(stored.ok_or("Blosc ends early")?.to_vec());
    }
    if header.bytes == 0 {
        return Ok(Vec::new());
    }
    // Each block has its place in the chunk, so that there are no more than it has room for.
    if header.block == 0 || header.bytes.div_ceil(header.block) > chunk.len() / 4 {
        return Err(format!("Blosc says blocks of {} bytes", header.block));
    }
    let mut out = vec![0; header.bytes];
    let mut streams = vec![0; header.block.min(header.bytes)];
    for (k, block) in out.chunks_mut(header.block).enumerate() {
        let start = number(chunk, HEADER + 4 * k)?;
        let streams = &mut streams[..block.len()];
        header.block(chunk, start, streams)?;
        header.unshuffle(streams, block);
    }
    Ok(out)
}

/// The number of 32 bits at `at`, which must be none below zero.
fn number(chunk: &[u8], at: usize) -> Result<usize, String> {
    let bytes = chunk.get(at..).and_then(|rest| rest.first_chunk());
    let number = i32::from_le_bytes(*bytes.ok_or("Blosc ends early")?);
    usize::try_from(number).map_err(|_| format!("Blosc says `{number}` bytes"))
}

impl Header {
    fn of(chunk: &[u8]) -> Result<Self, String> {
        let (&version, &flags, &element) = match chunk {
            [version, _, flags, element, ..] => (version, flags, element),
            _ => return Err("it is too short for Blosc".into()),
        };
        if version > 2 {
            return Err(format!("Blosc has version {version}, and 1 and 2 are read"));
        }
        Ok(Self {
            flags,
            element: usize::from(element).max(1),
            bytes: number(chunk, 4)?,
            block: number(chunk, 8)?,
        })
    }

    /// Fills `out` with the streams of the block that begins at `start`.
    fn block(&self, chunk: &[u8], start: usize, out: &mut [u8]) -> Result<(), String> {
        let splits = match out.len() == self.block && self.flags & NOT_SPLIT == 0 {
            true if self.element <= MOST_SPLITS && self.block / self.element >= LEAST_STREAM => {
                self.element
            }
            _ => 1,
        };
        if !out.len().is_multiple_of(splits) {
            return Err(format!("Blosc splits a block of {} bytes", out.len()));
        }
        let mut at = start;
        for out in out.chunks_mut(out.len() / splits) {
            let count = number(chunk, at)?;
            at = at.saturating_add(4);
            let end = at.saturating_add(count);
            let stream = chunk.get(at..end).ok_or("Blosc ends early")?;
            at = end;
            match count == out.len() {
                true => out.copy_from_slice(stream),
                false => self.stream(stream, out)?,
            }
        }
        Ok(())
    }

    fn stream(&self, stream: &[u8], out: &mut [u8]) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("Blosc's stream fails: {error}");
        match self.flags >> 5 {
            0 => blosclz(stream, out),
            1 => lz4(stream, out),
            3 => flate2::read::ZlibDecoder::new(stream)
                .read_exact(out)
                .map_err(failed),
            4 => match zstd::bulk::decompress_to_buffer(stream, out).map_err(failed)? {
                count if count == out.len() => Ok(()),
                count => Err(format!("zstd gives {count} of {} bytes", out.len())),
            },
            2 => Err("Blosc's compressor is Snappy, which is not read".into()),
            other => Err(format!("Blosc's compressor has the number `{other}`")),
        }
    }

    fn unshuffle(&self, streams: &[u8], out: &mut [u8]) {
        let elements = out.len() / self.element;
        if self.flags & SHUFFLE != 0 && self.element > 1 {
            let whole = elements * self.element;
            for (byte, stream) in streams[..whole].chunks_exact(elements.max(1)).enumerate() {
                let places = out[byte..whole].iter_mut().step_by(self.element);
                places.zip(stream).for_each(|(out, byte)| *out = *byte);
            }
            out[whole..].copy_from_slice(&streams[whole..]);
        } else if self.flags & SHUFFLE_BITS != 0 && elements > 0 && elements.is_multiple_of(8) {
            let whole = elements * self.element;
            unshuffle_bits(&streams[..whole], &mut out[..whole], self.element);
            out[whole..].copy_from_slice(&streams[whole..]);
        } else {
            out.copy_from_slice(streams);
        }
    }
}

/// Bit `b` of byte `k` of all elements lies together, eight elements a byte, lowest bit first.
fn unshuffle_bits(streams: &[u8], out: &mut [u8], element: usize) {
    out.fill(0);
    let row = out.len() / element / 8;
    for (plane, bits) in streams.chunks_exact(row).enumerate() {
        let (byte, bit) = (plane / 8, plane % 8);
        for (eight, bits) in bits.iter().enumerate() {
            let places = out[8 * eight * element + byte..]
                .iter_mut()
                .step_by(element);
            for (k, out) in places.take(8).enumerate() {
                *out |= (bits >> k & 1) << bit;
            }
        }
    }
}

/// A block of LZ4 that fills `out`.
pub(super) fn lz4(block: &[u8], out: &mut [u8]) -> Result<(), String> {
    match lz4_flex::block::decompress_into(block, out) {
        Ok(count) if count == out.len() => Ok(()),
        Ok(count) => Err(format!("LZ4 gives {count} of {} bytes", out.len())),
        Err(error) => Err(format!("LZ4 fails: {error}")),
    }
}

/// A stream of BloscLZ (of the family of FastLZ) that fills `out`: three bits of length, and the
/// distance back, or up to 32 bytes as they are.
fn blosclz(stream: &[u8], out: &mut [u8]) -> Result<(), String> {
    const FAR: usize = 8191;
    let failed = || "Blosc's stream fails".to_string();
    let mut input = stream.iter().map(|&byte| usize::from(byte));
    let mut filled = 0;
    let mut control = input.next().ok_or_else(failed)? & 31;
    loop {
        let (length, distance) = match control {
            0..32 => (control + 1, None),
            _ => {
                let mut length = (control >> 5) + 2;
                while length >= 9 {
                    let more = input.next().ok_or_else(failed)?;
                    length += more;
                    if more != 255 {
                        break;
                    }
                }
                let (high, low) = ((control & 31) << 8, input.next().ok_or_else(failed)?);
                let distance = match high + low {
                    FAR => {
                        let [high, low] = [input.next(), input.next()];
                        let more = high.zip(low).map(|(high, low)| (high << 8) + low);
                        FAR + more.ok_or_else(failed)?
                    }
                    near => near,
                };
                (length, Some(distance + 1))
            }
        };
        let end = filled + length;
        if end > out.len() || distance.is_some_and(|distance| distance > filled) {
            return Err(failed());
        }
        for at in filled..end {
            out[at] = match distance {
                Some(distance) => out[at - distance],
                None => input.next().ok_or_else(failed)? as u8,
            };
        }
        filled = end;
        match input.next() {
            Some(next) => control = next,
            None if filled == out.len() => return Ok(()),
            None => return Err(failed()),
        }
    }
}
