//! Windows of an array, read from the chunks that they touch.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use super::array::{Array, Shards};
use super::codec::{compressed_most, crc32c, decoded};
use crate::container::Bytes;
use crate::{ImageError, Region};

/// A plane of an array: which two axes it runs along, and where it lies along the others.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    pub(super) y: usize,
    pub(super) x: usize,
    /// A place along each axis; those along `y` and `x` do not count.
    pub(super) at: Vec<usize>,
}

/// Most files of one plane: one of 40,000 x 40,000 pixels in chunks of 64 x 64 has less than half.
const MOST_FILES: usize = 1 << 20;

impl Slice {
    /// How many files a window touches along y and x, from which on.
    fn files(&self, array: &Array, region: Region) -> [std::ops::Range<usize>; 2] {
        let range = |axis: usize, start: usize, count: usize| {
            let size = array.in_file[axis];
            start / size..(start + count).div_ceil(size)
        };
        [
            range(self.y, region.y, region.height),
            range(self.x, region.x, region.width),
        ]
    }

    /// How many files a window touches.
    pub(super) fn count(&self, array: &Array, region: Region) -> usize {
        let [rows, columns] = self.files(array, region);
        rows.len().saturating_mul(columns.len())
    }

    /// The places of all files that a window touches, row by row.
    pub(super) fn places(&self, array: &Array, region: Region) -> impl Iterator<Item = Vec<usize>> {
        let [rows, columns] = self.files(array, region);
        let along = |(axis, at): (usize, &usize)| at / array.in_file[axis];
        let fixed: Vec<usize> = self.at.iter().enumerate().map(along).collect();
        let (y, x) = (self.y, self.x);
        rows.flat_map(move |row| {
            let fixed = fixed.clone();
            columns.clone().map(move |column| {
                let mut place = fixed.clone();
                (place[y], place[x]) = (row, column);
                place
            })
        })
    }
}

/// The bytes of a window, row by row, as they are stored.
///
/// # Errors
/// [`ImageError::Broken`] for a chunk that does not decode, [`ImageError::Read`],
/// [`ImageError::NotSupported`] for more than [`MOST_FILES`].
pub(super) fn window(array: &Array, slice: &Slice, region: Region) -> Result<Vec<u8>, ImageError> {
    let count = slice.count(array, region);
    if count > MOST_FILES {
        return Err(ImageError::not_supported(
            &array.folder,
            format!("a plane lies in {count} files, and the cap is {MOST_FILES}"),
            "write it again with larger chunks",
        ));
    }
    let mut canvas = Canvas {
        array,
        slice,
        region,
        strides: array.strides(),
        bytes: array.fill.repeat(region.height * region.width),
    };
    for place in slice.places(array, region) {
        canvas.add_file(&place)?;
    }
    Ok(canvas.bytes)
}

/// The window while it is filled.
struct Canvas<'a> {
    array: &'a Array,
    slice: &'a Slice,
    region: Region,
    /// Of a chunk.
    strides: Vec<usize>,
    bytes: Vec<u8>,
}

impl Canvas<'_> {
    /// Adds the chunks of one file, if it is there.
    fn add_file(&mut self, place: &[usize]) -> Result<(), ImageError> {
        let path = self.array.file(place);
        let mut file = match opened(&path)? {
            Some(file) => file,
            None => return Ok(()),
        };
        let Some(shards) = &self.array.shards else {
            let bytes = piece(&mut file, 0, None, self.array.chunk_bytes())?;
            return self.add_chunk(&path, Cow::Owned(bytes), place);
        };
        let index = index(&mut file, shards)?;
        for inner in self.inner(shards, place) {
            let number = |n: usize, (at, count): (&usize, &usize)| n * count + at;
            let within = inner
                .iter()
                .zip(&shards.chunks)
                .map(|(at, count)| at % count);
            let within: Vec<usize> = within.collect();
            let number = within.iter().zip(&shards.chunks).fold(0, number);
            // All bits set: the chunk is not stored.
            if let Some(&[offset, count]) = index.get(number)
                && [offset, count] != [u64::MAX; 2]
            {
                let bytes = piece(&mut file, offset, Some(count), self.array.chunk_bytes())?;
                self.add_chunk(&path, Cow::Owned(bytes), &inner)?;
            }
        }
        Ok(())
    }

    /// The places, in the grid of chunks, of those of a shard that the window touches.
    fn inner(&self, shards: &Shards, place: &[usize]) -> Vec<Vec<usize>> {
        let (slice, region, chunk) = (self.slice, self.region, &self.array.chunk);
        let range = |axis: usize, start: usize, count: usize| {
            let first = place[axis] * shards.chunks[axis];
            let wanted = start / chunk[axis]..(start + count).div_ceil(chunk[axis]);
            wanted.start.max(first)..wanted.end.min(first + shards.chunks[axis])
        };
        let along = |(axis, at): (usize, &usize)| at / chunk[axis];
        let fixed: Vec<usize> = slice.at.iter().enumerate().map(along).collect();
        let columns = range(slice.x, region.x, region.width);
        let mut all = Vec::new();
        for row in range(slice.y, region.y, region.height) {
            for column in columns.clone() {
                let mut place = fixed.clone();
                (place[slice.y], place[slice.x]) = (row, column);
                all.push(place);
            }
        }
        all
    }

    /// Copies what the window needs of the chunk at `place` in the grid of chunks.
    fn add_chunk(
        &mut self,
        path: &Path,
        bytes: Cow<'_, [u8]>,
        place: &[usize],
    ) -> Result<(), ImageError> {
        let (array, slice, region) = (self.array, self.slice, self.region);
        let due = array.chunk_bytes();
        let chunk = decoded(&array.codecs, bytes, due).map_err(|what| {
            ImageError::broken(path, format!("the chunk does not decode: {what}"))
        })?;
        let overlap = |axis: usize, start: usize, count: usize| {
            let first = place[axis] * array.chunk[axis];
            let end = (start + count).min(first + array.chunk[axis]);
            (start.max(first), end, first)
        };
        let (top, bottom, y_first) = overlap(slice.y, region.y, region.height);
        let (left, right, x_first) = overlap(slice.x, region.x, region.width);
        let fixed = slice.at.iter().enumerate().map(|(axis, at)| match axis {
            axis if axis == slice.y || axis == slice.x => 0,
            axis => at % array.chunk[axis] * self.strides[axis],
        });
        let fixed: usize = fixed.sum();
        let size = array.element.bytes();
        let (down, along) = (self.strides[slice.y], self.strides[slice.x]);
        for y in top..bottom {
            let from = fixed + (y - y_first) * down + (left - x_first) * along;
            let to = ((y - region.y) * region.width + left - region.x) * size;
            let out = &mut self.bytes[to..to + (right - left) * size];
            if along == size {
                out.copy_from_slice(&chunk[from..from + out.len()]);
                continue;
            }
            for (k, out) in out.chunks_exact_mut(size).enumerate() {
                out.copy_from_slice(&chunk[from + k * along..][..size]);
            }
        }
        Ok(())
    }
}

/// The file of a chunk; `None` if there is none.
fn opened(path: &Path) -> Result<Option<Bytes<'_>>, ImageError> {
    match Bytes::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(ImageError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The bytes of a chunk within a file, all of it unless `count` says how many.
fn piece(
    file: &mut Bytes<'_>,
    offset: u64,
    count: Option<u64>,
    due: usize,
) -> Result<Vec<u8>, ImageError> {
    let count = count.unwrap_or(file.length);
    if count > compressed_most(due) as u64 {
        return Err(file.broken(format!("a chunk has {count} bytes, which become {due}")));
    }
    file.at(offset, count, "chunk")
}

/// Where the chunks of a shard lie in it, and how many bytes they have.
fn index(file: &mut Bytes<'_>, shards: &Shards) -> Result<Vec<[u64; 2]>, ImageError> {
    let sum = if shards.index_checked { 4 } else { 0 };
    let entries = shards.chunks.iter().product::<usize>();
    let count = 16 * entries + sum;
    let offset = match shards.index_first {
        true => 0,
        false => file.length.saturating_sub(count as u64),
    };
    let bytes = file.at(offset, count as u64, "index of chunks")?;
    let (entries, sum) = bytes.split_at(16 * entries);
    if let Some(sum) = sum.first_chunk()
        && u32::from_le_bytes(*sum) != crc32c(entries)
    {
        return Err(file.broken("the checksum of its index of chunks does not fit"));
    }
    let number = match shards.index_big_endian {
        true => u64::from_be_bytes,
        false => u64::from_le_bytes,
    };
    let (numbers, _) = entries.as_chunks::<8>();
    let (pairs, _) = numbers.as_chunks::<2>();
    Ok(pairs.iter().map(|pair| pair.map(number)).collect())
}
