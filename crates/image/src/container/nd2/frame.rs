//! The planes of an ND2 file: one sample of each pixel of a frame.
//!
//! A frame begins with eight bytes of time. Rows may be padded behind their pixels. The samples of
//! a pixel, one for each channel, lie next to each other.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::ZlibDecoder;

use super::chunks::frame_at;
use super::picture::Attributes;
use crate::container::Bytes;
use crate::format::window;
use crate::{Image, ImageError, Plane, PlaneSource, Region, Stamp, read_pieces};

/// What all planes of a file have in common.
#[derive(Debug)]
pub(super) struct Frames {
    pub(super) path: PathBuf,
    pub(super) attributes: Attributes,
}

/// One sample of the pixels of one frame.
#[derive(Debug)]
pub(super) struct FramePlane {
    pub(super) of: Arc<Frames>,
    pub(super) number: u64,
    /// Where its chunk begins.
    pub(super) offset: u64,
    pub(super) component: usize,
}

impl PlaneSource for FramePlane {
    fn location(&self) -> &Path {
        &self.of.path
    }

    fn part(&self) -> usize {
        let before = (self.number as usize).saturating_mul(self.of.attributes.components);
        before.saturating_add(self.component)
    }

    fn stamp(&self) -> io::Result<Stamp> {
        Stamp::of_part(&self.of.path, self.part())
    }

    fn read(&self) -> Result<Plane, ImageError> {
        let Attributes { height, width, .. } = self.of.attributes;
        self.read_region(Region::whole((height, width)))
    }

    fn read_region(&self, region: Region) -> Result<Plane, ImageError> {
        let Attributes { height, width, .. } = self.of.attributes;
        let region = window(&self.of.path, (height, width), Some(region))?;
        let mut samples = Samples::default();
        match self.of.attributes.is_packed {
            true => self.read_packed(region, &mut samples)?,
            false => self.read_stored(region, &mut samples)?,
        }
        Ok(samples.into_plane(region, self.of.attributes.sample_bytes))
    }

    fn stored(&self, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        read_pieces(&self.of.path, sink)
    }
}

/// The time that a frame begins with.
const TIME: u64 = 8;

impl FramePlane {
    /// Reads the rows of `region`, several at once.
    fn read_stored(&self, region: Region, samples: &mut Samples) -> Result<(), ImageError> {
        /// Bytes that are read at once.
        const PIECE: usize = 4 << 20;
        let mut bytes = Bytes::open(&self.of.path)?;
        let span = frame_at(&mut bytes, self.number, self.offset)?;
        let Attributes {
            height, row_bytes, ..
        } = self.of.attributes;
        let row = self.used_bytes();
        let needed = (height as u64 - 1).checked_mul(row_bytes as u64);
        let needed = needed.and_then(|bytes| bytes.checked_add(TIME + row as u64));
        if needed.is_none_or(|needed| needed > span.length) {
            return Err(bytes.broken(format!(
                "its frame {} has {} bytes, which are too few for {height} rows of {row_bytes}",
                self.number, span.length
            )));
        }
        let wanted = region.height * region.width * self.of.attributes.sample_bytes;
        samples.0.reserve(wanted);
        let at_once = (PIECE / row_bytes).clamp(1, region.height);
        for first in (0..region.height).step_by(at_once) {
            let rows = at_once.min(region.height - first);
            let offset = span.offset + TIME + ((region.y + first) * row_bytes) as u64;
            // The last row of a frame need not be padded.
            let length = (rows - 1) * row_bytes + row;
            let piece = bytes.at(offset, length as u64, "frames")?;
            for row in piece.chunks(row_bytes) {
                self.pick(row, region, samples);
            }
        }
        Ok(())
    }

    /// Unpacks the rows down to the last one of `region`. Memory grows by what is really there.
    fn read_packed(&self, region: Region, samples: &mut Samples) -> Result<(), ImageError> {
        let mut bytes = Bytes::open(&self.of.path)?;
        let span = frame_at(&mut bytes, self.number, self.offset)?;
        let packed = span.length.checked_sub(TIME);
        let packed = packed.ok_or_else(|| bytes.broken("one of its frames is empty"))?;
        let packed = bytes.at(span.offset + TIME, packed, "frames")?;
        let mut rows = ZlibDecoder::new(&packed[..]);
        let Attributes { row_bytes, .. } = self.of.attributes;
        let mut row = Vec::new();
        for y in 0..region.y + region.height {
            row.clear();
            let read = (&mut rows).take(row_bytes as u64).read_to_end(&mut row);
            let whole = read.is_ok() && row.len() >= self.used_bytes();
            if !whole {
                return Err(bytes.broken(format!(
                    "its frame {} cannot be unpacked beyond row {y} of {}",
                    self.number, self.of.attributes.height
                )));
            }
            if y >= region.y {
                self.pick(&row, region, samples);
            }
        }
        Ok(())
    }

    /// Bytes of a row that are pixels.
    fn used_bytes(&self) -> usize {
        let Attributes {
            width,
            components,
            sample_bytes,
            ..
        } = self.of.attributes;
        width * components * sample_bytes
    }

    /// Takes the plane's samples of one row.
    fn pick(&self, row: &[u8], region: Region, samples: &mut Samples) {
        let Attributes {
            components,
            sample_bytes,
            ..
        } = self.of.attributes;
        let pixels = row.chunks_exact(components * sample_bytes);
        let from = self.component * sample_bytes;
        for pixel in pixels.skip(region.x).take(region.width) {
            samples
                .0
                .extend_from_slice(&pixel[from..from + sample_bytes]);
        }
    }
}

/// Samples of one plane, little endian.
#[derive(Debug, Default)]
struct Samples(Vec<u8>);

impl Samples {
    fn into_plane(self, region: Region, sample_bytes: usize) -> Plane {
        let Region { height, width, .. } = region;
        match sample_bytes {
            1 => Plane::U8(Image::new(height, width, self.0)),
            2 => {
                let values = self.0.as_chunks().0.iter();
                let values = values.map(|&bytes| u16::from_le_bytes(bytes)).collect();
                Plane::U16(Image::new(height, width, values))
            }
            _ => {
                let values = self.0.as_chunks().0.iter();
                let values = values.map(|&bytes| f32::from_le_bytes(bytes)).collect();
                Plane::F32(Image::new(height, width, values))
            }
        }
    }
}
