//! Image files, one file per format: what a file holds, and its planes.
//!
//! Here: the choice of the format, the caps, the types of pixels as stored. Not here: what several
//! files make together (`layout`).

pub(crate) mod description;
mod imagej;
pub(crate) mod metaxpress;
mod micromanager;
pub(crate) mod ome;
mod pixels;
mod png;
mod resolution;
mod shaped;
mod tiff;
mod uic;

use std::fs::File;
use std::io::Read;
use std::path::Path;

pub(crate) use pixels::Pixels;

use crate::{ImageError, Plane, Region};

/// Most pixels that are read at once: 2^29, so that they take at most 2 GiB as `f32`.
///
/// A whole 25 mm chip at 1.2 µm is below it. Larger planes are read by region.
pub const MAX_PLANE_PIXELS: u64 = 1 << 29;

/// Most pixels in a plane that is read by region: 2^36, a square of 262,144. A damaged header that
/// claims more is refused.
pub(crate) const MAX_REGIONS_PIXELS: u64 = 1 << 36;

/// Most planes in one file: 65,536, above which a page count is taken for damage.
pub const MAX_PAGES: usize = 1 << 16;

/// What the header of one image file says.
#[derive(Clone, Debug, PartialEq)]
pub struct FileInfo {
    /// `(height, width)` of every plane in pixels, in page order.
    pub pages: Vec<(usize, usize)>,
    /// How pages map to channel, plane and time; `None` where the file does not say.
    pub axes: Option<Axes>,
    /// Channel names as the file gives them; empty where it does not.
    pub channels: Vec<String>,
    /// Pixel size in µm; `None` where the file states none.
    pub pixel_um: Option<f64>,
    /// Oddities worth telling the user, each a sentence without the file's name.
    pub problems: Vec<String>,
    pub(crate) metaxpress: Option<metaxpress::MetaXpress>,
    /// Whether its description says that this program wrote it.
    pub(crate) ours: bool,
    /// Whether pixels have colours, which may all be grey.
    pub(crate) may_be_coloured: bool,
    /// Further images of the file, such as the positions of an OME-TIFF, in its pages.
    pub(crate) further: Vec<ImageInfo>,
    /// What else is said of its first image.
    pub(crate) facts: Facts,
}

/// One of several images in the pages of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ImageInfo {
    pub(crate) axes: Option<Axes>,
    pub(crate) channels: Vec<String>,
    pub(crate) pixel_um: Option<f64>,
    pub(crate) facts: Facts,
}

/// What a description says of an image besides its pages and the names of its channels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    /// Empty where it has no name.
    pub(crate) name: String,
    /// Of every channel whether it was taken in transmitted light, where that is said.
    pub(crate) transmitted: Vec<Option<bool>>,
    pub(crate) z_step_um: Option<f64>,
    pub(crate) time_step_s: Option<f64>,
    /// Where its middle lies in the stage's system, um.
    pub(crate) centre_um: Option<[f64; 2]>,
}

/// The order of the pages of a file with several dimensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axes {
    /// Number of channels.
    pub channels: usize,
    /// Number of planes along z.
    pub planes: usize,
    /// Number of time points.
    pub times: usize,
    /// The dimensions from the fastest to the slowest.
    pub order: [Dimension; 3],
    /// The page of every plane where the file names them one by one instead: channels fastest,
    /// then planes, then times.
    pub(crate) placed: Option<Vec<Option<usize>>>,
}

/// One of the dimensions that pages run through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// Channels.
    C,
    /// Planes.
    Z,
    /// Time points.
    T,
}

impl Dimension {
    const ALL: [Self; 3] = [Self::C, Self::Z, Self::T];

    /// The dimensions from the fastest to the slowest, by their capital letters; those left out are
    /// the slowest. `None` for another letter, or one that is there twice.
    fn order(letters: impl IntoIterator<Item = char>) -> Option<[Self; 3]> {
        let mut order = Vec::new();
        for letter in letters {
            let dimension = match letter {
                'C' => Self::C,
                'Z' => Self::Z,
                'T' => Self::T,
                _ => return None,
            };
            if order.contains(&dimension) {
                return None;
            }
            order.push(dimension);
        }
        let left_out = Self::ALL.into_iter().filter(|d| !order.contains(d));
        let left_out: Vec<Self> = left_out.collect();
        order.extend(left_out);
        order.try_into().ok()
    }
}

impl FileInfo {
    /// Planes of which nothing else is known.
    fn of_pages(pages: Vec<(usize, usize)>) -> Self {
        Self {
            pages,
            axes: None,
            channels: Vec::new(),
            pixel_um: None,
            problems: Vec::new(),
            metaxpress: None,
            ours: false,
            may_be_coloured: false,
            further: Vec::new(),
            facts: Facts::default(),
        }
    }

    /// Each image of the file as if it were the only one; one for most files.
    pub(crate) fn into_images(mut self) -> Vec<Self> {
        let further = std::mem::take(&mut self.further);
        let alone = |image: ImageInfo| Self {
            axes: image.axes,
            channels: image.channels,
            pixel_um: image.pixel_um.or(self.pixel_um),
            problems: Vec::new(),
            facts: image.facts,
            ..self.clone()
        };
        let further: Vec<Self> = further.into_iter().map(alone).collect();
        [vec![self], further].concat()
    }
}

impl Axes {
    /// The page that holds channel `c`, plane `z`, time `t`, all from 0; `None` where the file
    /// has no page for it.
    pub fn page(&self, c: usize, z: usize, t: usize) -> Option<usize> {
        if let Some(placed) = &self.placed {
            return *placed.get(c + self.channels * (z + self.planes * t))?;
        }
        let (mut page, mut stride) = (0, 1);
        for dimension in self.order {
            let (index, size) = match dimension {
                Dimension::C => (c, self.channels),
                Dimension::Z => (z, self.planes),
                Dimension::T => (t, self.times),
            };
            page += index * stride;
            stride *= size;
        }
        Some(page)
    }

    /// Number of pages, or `None` where the product leaves the machine's range.
    pub fn count(&self) -> Option<usize> {
        self.channels
            .checked_mul(self.planes)?
            .checked_mul(self.times)
    }
}

/// What the values of an image are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Intensities of an image.
    Intensities,
    /// Numbers of classes or objects.
    Numbers,
}

/// How a sentence ends about a pixel size that is stated and not understood.
pub(crate) const NO_SIZE_TAKEN: &str = "so no pixel size is taken";

/// What is said of an image whose values are the indices of a colour table.
const COLOUR_TABLE: &str =
    "it has a colour table; the indices are taken as its values, and not the colours";

/// What is said of pages that are smaller than the others of their file.
pub(crate) fn reduced_copies(smaller: usize, pages: usize) -> String {
    format!(
        "{smaller} of its {pages} pages are smaller than the others, as the reduced copies of a \
         pyramid are, and left out"
    )
}

/// What kind of file the first bytes say it is.
enum Kind {
    Tiff,
    Png,
}

/// Reads the header of an image file: sizes, dimensions, channel names, pixel size.
///
/// # Errors
/// [`ImageError::Read`] if the file cannot be opened, [`ImageError::Broken`] if it is damaged,
/// [`ImageError::NotSupported`] if it is no TIFF or PNG, [`ImageError::TooLarge`] above
/// [`MAX_PLANE_PIXELS`] or [`MAX_PAGES`].
pub fn read_info(path: &Path) -> Result<FileInfo, ImageError> {
    match kind(path)? {
        Kind::Tiff => tiff::info(path),
        Kind::Png => png::info(path),
    }
}

/// Pixels that are looked at for colours; of larger planes, windows.
const LOOKED_AT: usize = 1 << 22;

/// Refuses a colour image before anyone counts on it. Headers do not tell: many programs save grey
/// as red, green and blue that are alike, so pixels are looked at where they may be coloured.
///
/// # Errors
/// [`ImageError::NotSupported`] for colours; as [`read_region`].
pub(crate) fn refuse_colours(path: &Path, info: &FileInfo) -> Result<(), ImageError> {
    if !info.may_be_coloured {
        return Ok(());
    }
    let (height, width) = info.pages[0];
    if height * width <= LOOKED_AT {
        return read_plane(path, 0).map(|_| ());
    }
    let (rows, columns) = (height.min(256), width.min(256));
    for [down, right] in [[2, 2], [0, 0], [0, 4], [4, 0], [4, 4]] {
        let window = Region {
            y: (height - rows) * down / 4,
            x: (width - columns) * right / 4,
            height: rows,
            width: columns,
        };
        read_region(path, 0, window)?;
    }
    Ok(())
}

/// The descriptions of the first page of a TIFF, without its pixels; none of any other file, nor of
/// one that cannot be read.
pub(crate) fn descriptions(path: &Path) -> Vec<String> {
    match kind(path) {
        Ok(Kind::Tiff) => tiff::descriptions(path).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// What the pages of a TIFF are, and its descriptions, without what these say of the pages.
///
/// # Errors
/// As [`read_info`]; [`ImageError::NotSupported`] if it is no TIFF.
pub(crate) fn outline(path: &Path) -> Result<(FileInfo, Vec<String>), ImageError> {
    match kind(path)? {
        Kind::Tiff => tiff::outline(path),
        Kind::Png => Err(ImageError::not_supported(
            path,
            "it is a PNG where a TIFF is named",
            "save it as TIFF",
        )),
    }
}

/// Reads plane `page` (from 0) of an image file.
///
/// # Errors
/// As [`read_info`]; [`ImageError::Misuse`] if there is no such page; [`ImageError::NotSupported`]
/// for colours, complex numbers and compressions that are not read.
pub fn read_plane(path: &Path, page: usize) -> Result<Plane, ImageError> {
    read_pixels(path, page, Purpose::Intensities)?.into_plane(path)
}

/// As [`read_plane`], of a window: of a TIFF only the strips or tiles that it touches are read, of
/// uncompressed strips only its rows; a PNG is read down to its last row.
///
/// # Errors
/// As [`read_plane`]; [`ImageError::Misuse`] if the window leaves the plane or is empty.
pub fn read_region(path: &Path, page: usize, region: Region) -> Result<Plane, ImageError> {
    let pixels = match kind(path)? {
        Kind::Tiff => tiff::read(path, page, Some(region)),
        Kind::Png if page == 0 => png::read(path, Purpose::Intensities, Some(region)),
        Kind::Png => Err(no_such_page(path, page, 1)),
    };
    pixels?.into_plane(path)
}

/// As [`read_plane`], in the type of the file.
pub(crate) fn read_pixels(
    path: &Path,
    page: usize,
    purpose: Purpose,
) -> Result<Pixels, ImageError> {
    match kind(path)? {
        Kind::Tiff => tiff::read(path, page, None),
        Kind::Png if page == 0 => png::read(path, purpose, None),
        Kind::Png => Err(no_such_page(path, page, 1)),
    }
}

/// As [`read_pixels`], of a window of a TIFF.
pub(crate) fn read_pixels_of(path: &Path, page: usize, at: Region) -> Result<Pixels, ImageError> {
    match kind(path)? {
        Kind::Tiff => tiff::read(path, page, Some(at)),
        Kind::Png => png::read(path, Purpose::Numbers, Some(at)),
    }
}

fn kind(path: &Path) -> Result<Kind, ImageError> {
    let mut start = [0_u8; 8];
    let mut file = open(path)?;
    let mut filled = 0;
    while filled < start.len() {
        match file
            .read(&mut start[filled..])
            .map_err(|error| ImageError::read(path, error))?
        {
            0 => break,
            count => filled += count,
        }
    }
    match &start[..filled] {
        [] => Err(ImageError::broken(path, "the file is empty (0 bytes)")),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Ok(Kind::Tiff),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'] => Ok(Kind::Png),
        [0xff, 0xd8, 0xff, ..] => Err(ImageError::not_supported(
            path,
            "it is a JPEG, whose compression has changed the intensities",
            "export the images again as TIFF or PNG",
        )),
        other => Err(ImageError::not_supported(
            path,
            format!(
                "it is neither TIFF nor PNG (it starts with the bytes `{}`)",
                hex(other)
            ),
            "save it as TIFF or PNG, or take it out of the folder",
        )),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Opens a file for reading; a folder gives an error of its own.
pub(crate) fn open(path: &Path) -> Result<File, ImageError> {
    let file = File::open(path).map_err(|error| ImageError::read(path, error))?;
    let metadata = file
        .metadata()
        .map_err(|error| ImageError::read(path, error))?;
    if metadata.is_dir() {
        return Err(ImageError::Misuse {
            what: format!("`{}` is a folder and not an image file", path.display()),
            way_out: "name one of the files in it".into(),
        });
    }
    Ok(file)
}

fn no_such_page(path: &Path, page: usize, count: usize) -> ImageError {
    ImageError::Misuse {
        what: format!(
            "`{}` has no page {page} (it has {count}, counted from 0)",
            path.display()
        ),
        way_out: "check that the file is still the one that was opened first".into(),
    }
}

/// The window that is wanted of a plane of this size, all of it if none is named.
pub(crate) fn window(
    path: &Path,
    size: (usize, usize),
    region: Option<Region>,
) -> Result<Region, ImageError> {
    let wanted = region.unwrap_or(Region::whole(size));
    if wanted.lies_in(size) {
        check_memory(path, wanted.height as u64, wanted.width as u64)?;
        return Ok(wanted);
    }
    let Region {
        y,
        x,
        height,
        width,
    } = wanted;
    Err(ImageError::Misuse {
        what: format!(
            "`{}` has {} x {} pixels, and {height} x {width} from ({y}, {x}) on were asked for",
            path.display(),
            size.0,
            size.1
        ),
        way_out: "ask for a window inside it".into(),
    })
}

/// Checks the size of a plane that is read by region.
pub(crate) fn check_size(path: &Path, height: u64, width: u64) -> Result<(), ImageError> {
    if height == 0 || width == 0 {
        return Err(ImageError::broken(
            path,
            format!("its image has no pixels ({height} x {width})"),
        ));
    }
    below(path, height, width, MAX_REGIONS_PIXELS)
}

/// Checks the size of what is read at once; called before memory is taken.
pub(crate) fn check_memory(path: &Path, height: u64, width: u64) -> Result<(), ImageError> {
    below(path, height, width, MAX_PLANE_PIXELS)
}

fn below(path: &Path, height: u64, width: u64, most: u64) -> Result<(), ImageError> {
    match height.saturating_mul(width) > most {
        true => Err(ImageError::TooLarge {
            path: path.to_path_buf(),
            what: format!("a plane has {height} x {width} pixels"),
            cap: format!("{most} pixels"),
            way_out: "cut it into smaller fields",
        }),
        false => Ok(()),
    }
}
