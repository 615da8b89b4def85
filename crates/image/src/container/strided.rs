//! Planes whose samples lie uncompressed in a file, at fixed distances.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Bytes;
use crate::format::Pixels;
use crate::{Image, ImageError, Plane, PlaneSource, Region, Stamp};

/// The type of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    U8,
    U16,
    U32,
    F32,
    F64,
}

impl Sample {
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// Where the samples of a plane are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    /// Byte of the first sample.
    pub(crate) start: u64,
    /// Height and width.
    pub(crate) size: (usize, usize),
    /// Bytes from a row to the next, and from a column to the next.
    pub(crate) steps: [u64; 2],
    pub(crate) sample: Sample,
    pub(crate) big_endian: bool,
}

impl Grid {
    /// Byte behind the last sample; `None` where the numbers leave 64 bits.
    pub(crate) fn end(&self) -> Option<u64> {
        self.span(self.size)?.checked_add(self.start)
    }

    /// Bytes from the first sample of a window of this size to the end of its last one.
    fn span(&self, (height, width): (usize, usize)) -> Option<u64> {
        let down = (height as u64).checked_sub(1)?.checked_mul(self.steps[0])?;
        let right = (width as u64).checked_sub(1)?.checked_mul(self.steps[1])?;
        down.checked_add(right)?.checked_add(self.sample.bytes())
    }

    /// Byte of a sample, counted from the first one.
    fn place(&self, y: usize, x: usize) -> u64 {
        y as u64 * self.steps[0] + x as u64 * self.steps[1]
    }
}

/// A plane of a file that holds several.
#[derive(Clone, Debug)]
pub(crate) struct StridedPlane {
    pub(crate) path: Arc<PathBuf>,
    /// Which plane of the file it is.
    pub(crate) part: usize,
    pub(crate) grid: Grid,
}

impl PlaneSource for StridedPlane {
    fn location(&self) -> &Path {
        &self.path
    }

    fn part(&self) -> usize {
        self.part
    }

    fn stamp(&self) -> io::Result<Stamp> {
        Stamp::of_part(&self.path, self.part)
    }

    fn read(&self) -> Result<Plane, ImageError> {
        self.read_region(Region::whole(self.grid.size))
    }

    fn read_region(&self, region: Region) -> Result<Plane, ImageError> {
        let Grid { size, sample, .. } = self.grid;
        let region = crate::format::window(&self.path, size, Some(region))?;
        let bytes = self.samples(region)?;
        let (height, width) = (region.height, region.width);
        // One type of numbers, from their bytes in either order.
        macro_rules! image {
            ($number:ty) => {{
                let values = bytes.chunks_exact(size_of::<$number>()).map(|piece| {
                    let piece = piece.try_into().expect("whole samples");
                    match self.grid.big_endian {
                        true => <$number>::from_be_bytes(piece),
                        false => <$number>::from_le_bytes(piece),
                    }
                });
                Image::new(height, width, values.collect())
            }};
        }
        let pixels = match sample {
            Sample::U8 => Pixels::U8(Image::new(height, width, bytes)),
            Sample::U16 => Pixels::U16(image!(u16)),
            Sample::U32 => Pixels::U32(image!(u32)),
            Sample::F32 => Pixels::F32(image!(f32)),
            Sample::F64 => Pixels::F64(image!(f64)),
        };
        pixels.into_plane(&self.path)
    }

    fn stored(&self, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        crate::read_pieces(&self.path, sink)
    }
}

/// What is read at once may be so many times what is wanted of it.
const MOST_WASTE: u64 = 4;

impl StridedPlane {
    /// The samples of a window one after the other, row by row, as they are stored.
    fn samples(&self, region: Region) -> Result<Vec<u8>, ImageError> {
        let mut file = Bytes::open(&self.path)?;
        let grid = &self.grid;
        let end = grid.end();
        if end.is_none_or(|end| end > file.length) {
            return Err(file.broken(format!(
                "a plane of it begins at byte {} and does not end within its {} bytes",
                grid.start, file.length
            )));
        }
        let (height, width) = (region.height, region.width);
        let bytes = grid.sample.bytes();
        let wanted = (height * width) as u64 * bytes;
        if wanted > file.length {
            return Err(file.broken(format!(
                "{height} x {width} samples of it would overlap in its {} bytes",
                file.length
            )));
        }
        let first = grid.start + grid.place(region.y, region.x);
        let mut samples = vec![0; wanted as usize];
        // Fewest bytes are read at once along the direction in which samples lie closest.
        let along_rows = grid.steps[1] <= grid.steps[0];
        let lines = match along_rows {
            true => [(height, 1), (1, width)],
            false => [(1, width), (height, 1)],
        };
        let whole = grid.span((height, width)).unwrap_or(u64::MAX);
        let (pieces, piece) = match whole <= wanted.saturating_mul(MOST_WASTE) {
            true => ((1, 1), (height, width)),
            false => (lines[0], lines[1]),
        };
        for (down, right) in every(pieces) {
            let at = first + grid.place(down, right);
            let span = grid.span(piece).unwrap_or(u64::MAX);
            let read = file.at(at, span, "plane")?;
            // Samples side by side are copied together.
            let run = match grid.steps[1] == bytes {
                true => piece.1,
                false => 1,
            };
            let length = run * bytes as usize;
            for (y, x) in every((piece.0, piece.1 / run)) {
                let from = grid.place(y, x) as usize;
                let to = ((down + y) * width + right + x) * bytes as usize;
                samples[to..to + length].copy_from_slice(&read[from..from + length]);
            }
        }
        Ok(samples)
    }
}

fn every((height, width): (usize, usize)) -> impl Iterator<Item = (usize, usize)> {
    (0..height).flat_map(move |y| (0..width).map(move |x| (y, x)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plane of 3 x 4 in a file of 200 bytes whose values are their places.
    fn plane(
        steps: [u64; 2],
        sample: Sample,
        big_endian: bool,
    ) -> (tempfile::TempDir, StridedPlane) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a");
        let bytes: Vec<u8> = (0..200).collect();
        std::fs::write(&path, bytes).expect("written");
        let grid = Grid {
            start: 5,
            size: (3, 4),
            steps,
            sample,
            big_endian,
        };
        let (path, part) = (Arc::new(path), 7);
        (folder, StridedPlane { path, part, grid })
    }

    #[test]
    fn samples_are_taken_at_their_distances_in_either_direction() {
        // In a row, interleaved with others, rows apart, columns apart, columns before rows.
        for steps in [[4, 1], [12, 3], [50, 1], [1, 50], [1, 3]] {
            let (_folder, plane) = plane(steps, Sample::U8, false);
            let at = |y: usize, x: usize| (5 + y as u64 * steps[0] + x as u64 * steps[1]) as u8;
            let whole = plane.read().expect("a plane");
            assert_eq!(whole, Plane::U8(Image::from_fn(3, 4, at)), "{steps:?}");
            let region = Region {
                y: 1,
                x: 2,
                height: 2,
                width: 1,
            };
            let part = plane.read_region(region).expect("a window");
            let wanted = Image::from_fn(2, 1, |y, x| at(y + 1, x + 2));
            assert_eq!(part, Plane::U8(wanted), "{steps:?}");
        }
    }

    #[test]
    fn numbers_are_read_in_the_order_of_their_bytes() {
        for (big_endian, first) in [(false, 0x0605), (true, 0x0506)] {
            let (_folder, plane) = plane([8, 2], Sample::U16, big_endian);
            let Plane::U16(image) = plane.read().expect("a plane") else {
                panic!("another type");
            };
            assert_eq!(image.get(0, 0), first);
        }
    }

    #[test]
    fn a_plane_that_leaves_its_file_is_an_error_and_takes_no_memory() {
        for steps in [[1 << 40, 1], [u64::MAX, u64::MAX], [70, 20]] {
            let (_folder, plane) = plane(steps, Sample::U16, false);
            let error = plane.read().expect_err("too short").to_string();
            assert!(
                error.contains("does not end within its 200 bytes"),
                "{error}"
            );
        }
        let (_folder, mut plane) = plane([0, 0], Sample::U8, false);
        plane.grid.size = (1 << 14, 1 << 14);
        let error = plane.read().expect_err("one sample").to_string();
        assert!(
            error.contains("16384 x 16384 samples of it would overlap"),
            "{error}"
        );
    }
}
