//! Planes of an image: slices of its largest level.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::array::Array;
use super::chunks::{self, Slice};
use crate::names::{file_name, natural_order};
use crate::source::read_pieces;
use crate::{ImageError, Plane, PlaneSource, Region, Stamp};

/// The array of an image, and which axis is which.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) array: Array,
    pub(super) y: usize,
    pub(super) x: usize,
    /// Channels, planes and times, the fastest first: the axis and its size, which is 1 where
    /// there is no axis.
    pub(super) series: [(Option<usize>, usize); 3],
}

impl Level {
    pub(super) fn size(&self) -> (usize, usize) {
        (self.array.shape[self.y], self.array.shape[self.x])
    }

    /// How many planes there are; `None` beyond what can be counted.
    pub(super) fn count(&self) -> Option<usize> {
        let sizes = self.series.iter().map(|(_, size)| size);
        sizes
            .into_iter()
            .try_fold(1_usize, |n, &size| n.checked_mul(size))
    }

    /// Plane number `part`, channels fastest, then along z, then times.
    pub(super) fn slice(&self, part: usize) -> Slice {
        let mut at = vec![0; self.array.shape.len()];
        let mut rest = part;
        for (axis, size) in self.series {
            if let Some(axis) = axis {
                at[axis] = rest % size;
            }
            rest /= size;
        }
        Slice {
            y: self.y,
            x: self.x,
            at,
        }
    }
}

/// One plane of a level.
#[derive(Debug)]
pub(super) struct LevelPlane {
    pub(super) level: Arc<Level>,
    pub(super) part: usize,
}

/// Files of one plane that a stamp looks at.
const MOST_STAMPED: usize = 256;

impl PlaneSource for LevelPlane {
    fn location(&self) -> &Path {
        &self.level.array.folder
    }

    fn part(&self) -> usize {
        self.part
    }

    /// Counts the bytes of the array's metadata and of the files that hold the plane, and takes the
    /// latest of their times. Of more than [`MOST_STAMPED`] files it looks at as many that lie
    /// evenly among them, so that a change in the others is not seen; nor is one that keeps both
    /// the number of bytes and the time.
    fn stamp(&self) -> io::Result<Stamp> {
        let array = &self.level.array;
        let mut bytes = 0;
        let mut modified: Option<SystemTime> = None;
        let mut add = |facts: Metadata| {
            bytes += facts.len();
            modified = modified.max(facts.modified().ok());
        };
        add(std::fs::metadata(&array.metadata)?);
        let slice = self.level.slice(self.part);
        let whole = Region::whole(self.level.size());
        let count = slice.count(array, whole);
        let step = count.div_ceil(MOST_STAMPED).max(1);
        for place in slice.places(array, whole).step_by(step) {
            if let Ok(facts) = std::fs::metadata(array.file(&place)) {
                add(facts);
            }
        }
        Ok(Stamp {
            location: array.folder.clone(),
            part: self.part,
            bytes,
            modified,
        })
    }

    fn read(&self) -> Result<Plane, ImageError> {
        self.read_region(Region::whole(self.level.size()))
    }

    fn read_region(&self, region: Region) -> Result<Plane, ImageError> {
        let array = &self.level.array;
        let path = &array.folder;
        let region = crate::format::window(path, self.level.size(), Some(region))?;
        let bytes = chunks::window(array, &self.level.slice(self.part), region)?;
        let size = (region.height, region.width);
        let pixels = array.element.pixels(bytes, array.big_endian, size);
        let pixels = pixels.map_err(|value| {
            ImageError::not_supported(
                path,
                format!("it has the 64-bit integer `{value}`, which does not fit into 32 bits"),
                "export the intensities as 16-bit integers or 32-bit floats",
            )
        })?;
        pixels.into_plane(path)
    }

    /// All files of the array, each after its name in it, since a chunk's place is its name.
    fn stored(&self, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let array = &self.level.array;
        for file in files_below(&array.folder, array.shape.len() + 1)? {
            let name = file.strip_prefix(&array.folder).unwrap_or(&file);
            sink(name.to_string_lossy().replace('\\', "/").as_bytes());
            read_pieces(&file, sink)?;
        }
        Ok(())
    }
}

/// The files below a folder, `depth` folders deep, in natural order.
fn files_below(folder: &Path, depth: usize) -> io::Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        entries.push(entry?.path());
    }
    entries.sort_by(|a, b| natural_order(&file_name(a), &file_name(b)));
    let mut files = Vec::new();
    for entry in entries {
        match (entry.is_dir(), depth) {
            (false, _) => files.push(entry),
            (true, 0) => {}
            (true, _) => files.extend(files_below(&entry, depth - 1)?),
        }
    }
    Ok(files)
}
