//! Where the pixels of a plane come from: a page of a file today, whatever holds planes tomorrow.
//!
//! Everything outside this crate asks a [`PlaneSource`]; what a plane is kept in, and how one tells
//! that it changed, is known by the source alone. A new kind of store is an implementation of the
//! trait and a layout that lists its planes.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::format::{read_plane, read_region};
use crate::{ImageError, Plane, Region};

/// What a store says of a plane without reading it: while it stays the same, so do the pixels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// The file or folder that holds the plane.
    pub location: PathBuf,
    /// Which plane in it, such as the page of a file, from 0.
    pub part: usize,
    /// Bytes of what holds it.
    pub bytes: u64,
    /// When it was last written; `None` where the system does not say.
    pub modified: Option<SystemTime>,
}

impl Stamp {
    /// The stamp of a file as a whole.
    ///
    /// # Errors
    /// What the operating system said.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        Self::of_part(path, 0)
    }

    /// The stamp of one plane, number `part` from 0, of those that the file `path` holds.
    ///
    /// # Errors
    /// What the operating system said.
    pub(crate) fn of_part(path: &Path, part: usize) -> io::Result<Self> {
        let facts = std::fs::metadata(path)?;
        Ok(Self::of_page(path, part, &facts))
    }

    fn of_page(path: &Path, page: usize, facts: &Metadata) -> Self {
        Self {
            location: path.to_path_buf(),
            part: page,
            bytes: facts.len(),
            modified: facts.modified().ok(),
        }
    }

    /// Nanoseconds from 1970 to the last writing; 0 where it is not known.
    pub fn nanoseconds(&self) -> u128 {
        let time = self
            .modified
            .and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        time.map_or(0, |time| time.as_nanos())
    }
}

/// One plane, wherever it is kept.
pub trait PlaneSource: fmt::Debug + Send + Sync {
    /// The file or folder that holds it; with [`part`](Self::part) it tells planes apart.
    fn location(&self) -> &Path;

    /// Which plane of what lies there, from 0.
    fn part(&self) -> usize;

    /// What it is called in messages.
    fn name(&self) -> String {
        self.location().display().to_string()
    }

    /// What changes when the pixels may have changed.
    ///
    /// # Errors
    /// What the operating system said.
    fn stamp(&self) -> io::Result<Stamp>;

    /// All pixels.
    ///
    /// # Errors
    /// As [`crate::read_plane`].
    fn read(&self) -> Result<Plane, ImageError>;

    /// The pixels of a window, without reading the others where the store allows it. So what
    /// [`read`](Self::read) refuses in a pixel (a colour, a number that is not kept exactly) is
    /// refused in a window that holds the pixel.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`ImageError::Misuse`] if the window leaves the plane or is empty.
    fn read_region(&self, region: Region) -> Result<Plane, ImageError>;

    /// Hands over, piece by piece, the bytes that hold it as they are stored; planes of one
    /// location share them.
    ///
    /// # Errors
    /// What the operating system said.
    fn stored(&self, sink: &mut dyn FnMut(&[u8])) -> io::Result<()>;
}

/// A plane of a [`crate::Field`].
#[derive(Clone, Debug)]
pub struct PlaneRef(Arc<dyn PlaneSource>);

impl PlaneRef {
    /// A plane of any source.
    pub fn new(source: impl PlaneSource + 'static) -> Self {
        Self(Arc::new(source))
    }

    /// Page `page` (from 0) of an image file.
    pub(crate) fn of_file(path: PathBuf, page: usize) -> Self {
        Self::new(FilePage { path, page })
    }
}

impl Deref for PlaneRef {
    type Target = dyn PlaneSource;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

/// The same plane of the same place.
impl PartialEq for PlaneRef {
    fn eq(&self, other: &Self) -> bool {
        (self.location(), self.part()) == (other.location(), other.part())
    }
}

/// A page of a TIFF or PNG file.
#[derive(Debug)]
struct FilePage {
    path: PathBuf,
    page: usize,
}

impl PlaneSource for FilePage {
    fn location(&self) -> &Path {
        &self.path
    }

    fn part(&self) -> usize {
        self.page
    }

    fn stamp(&self) -> io::Result<Stamp> {
        Stamp::of_part(&self.path, self.page)
    }

    fn read(&self) -> Result<Plane, ImageError> {
        read_plane(&self.path, self.page)
    }

    fn read_region(&self, region: Region) -> Result<Plane, ImageError> {
        read_region(&self.path, self.page, region)
    }

    fn stored(&self, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        read_pieces(&self.path, sink)
    }
}

/// Hands over the bytes of a file in pieces.
///
/// # Errors
/// What the operating system said.
pub fn read_pieces(path: &Path, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    /// Bytes that are read at once.
    const PIECE: usize = 1 << 20;
    let mut file = File::open(path)?;
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(()),
            read => sink(&piece[..read]),
        }
    }
}
