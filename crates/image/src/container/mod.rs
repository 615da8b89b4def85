//! Files and folders that hold many images each: what is in them, and how their planes are read.
//!
//! A [`Reader`] lists what one container holds as [`Contents`]; `layout::containers` makes fields
//! of them. A new container is a file with a reader, its planes as a [`crate::PlaneSource`], and a
//! line among the layouts.

mod bytes;
pub(crate) mod c01;
pub(crate) mod czi;
pub(crate) mod lif;
pub(crate) mod nd2;
pub(crate) mod ndtiff;
mod strided;
#[cfg(feature = "zarr")]
mod zarr;

use std::path::Path;

pub(crate) use bytes::{Bytes, first_bytes};
#[cfg(feature = "zarr")]
pub(crate) use zarr::OmeZarr;

use crate::{Image, ImageError, Plane, PlaneRef, Region};

/// What reads one kind of container.
pub(crate) trait Reader: Sync {
    /// The word for it in `inspect`.
    fn name(&self) -> &'static str;

    /// Whether the file or folder is one, by its name and its first bytes; cheap, and wrong rather
    /// in the negative.
    fn takes(&self, path: &Path) -> bool;

    /// Lists what is in it. Headers are read, pixels are not. An image that cannot be used is told
    /// among the problems; it is an error only where nothing can.
    ///
    /// # Errors
    /// [`ImageError::Read`], [`ImageError::Broken`], [`ImageError::NotSupported`] with what the
    /// container is and the way out, [`ImageError::TooLarge`].
    fn list(&self, path: &Path) -> Result<Contents, ImageError>;
}

/// What is in one container.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// The name of the plate, where the container is one.
    pub(crate) plate: Option<String>,
    pub(crate) images: Vec<Contained>,
    /// What is missing or odd, each a sentence without the container's name.
    pub(crate) problems: Vec<String>,
}

/// One image of a container: a place, in all channels and planes, at all times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contained {
    /// What the container calls it; empty where it has no name.
    pub(crate) name: String,
    /// As printed on the plate (`B02`).
    pub(crate) well: Option<String>,
    /// The site within the well, from 1; those of a well are numbered in their order where it is
    /// left open.
    pub(crate) site: Option<u32>,
    /// The acquisition it belongs to, where several show the same sites.
    pub(crate) acquisition: Option<String>,
    /// Height and width of every plane.
    pub(crate) size: (usize, usize),
    pub(crate) channels: Vec<ChannelSaid>,
    /// Planes along z, at least 1.
    pub(crate) planes: usize,
    /// Time points, at least 1.
    pub(crate) times: usize,
    pub(crate) pixel_um: Option<f64>,
    /// Between planes; only where there are several.
    pub(crate) z_step_um: Option<f64>,
    /// Between times; only where there are several.
    pub(crate) time_step_s: Option<f64>,
    /// Where the middle of the image lies, um to the right and down, from the well's middle or in
    /// the stage's own system.
    pub(crate) centre_um: Option<[f64; 2]>,
    /// Planes, channels fastest, then along z, then times; `None` where one is missing.
    pub(crate) places: Vec<Option<PlaneRef>>,
}

/// What a container says of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChannelSaid {
    /// Empty where it has no name.
    pub(crate) name: String,
    /// Whether it was taken in transmitted light, where that is said.
    pub(crate) transmitted: Option<bool>,
}

/// Most planes of one container: a plate of 1,536 wells with more than any microscope takes.
pub(crate) const MOST_PLANES: usize = 1 << 22;

/// More channels than any microscope takes are damage.
pub(crate) const MOST_CHANNELS: usize = 1024;

/// Most planes along z: more than any stage can move to.
pub(crate) const MOST_ALONG_Z: usize = 1 << 16;

impl Contained {
    /// Checks the sizes against the caps, before any list is made of them.
    ///
    /// # Errors
    /// [`ImageError::Broken`] if nothing is in it, [`ImageError::TooLarge`] above
    /// [`crate::MAX_PLANE_PIXELS`], [`MOST_CHANNELS`], [`MOST_ALONG_Z`] or [`MOST_PLANES`].
    pub(crate) fn check(&self, path: &Path) -> Result<(), ImageError> {
        let (height, width) = self.size;
        crate::format::check_size(path, height as u64, width as u64)?;
        let (channels, planes, times) = (self.channels.len(), self.planes, self.times);
        for (count, most, what) in [
            (channels, MOST_CHANNELS, "channels"),
            (planes, MOST_ALONG_Z, "planes along z"),
        ] {
            if count > most {
                return Err(ImageError::TooLarge {
                    path: path.to_path_buf(),
                    what: format!("it has {count} {what}"),
                    cap: format!("{most} {what}"),
                    way_out: "export it in parts",
                });
            }
        }
        let count = channels.checked_mul(planes);
        match count.and_then(|count| count.checked_mul(times)) {
            Some(0) => Err(ImageError::broken(
                path,
                format!("it has {channels} channels, {planes} planes and {times} times"),
            )),
            Some(count) if count <= MOST_PLANES => Ok(()),
            _ => Err(ImageError::TooLarge {
                path: path.to_path_buf(),
                what: format!("it has {channels} channels, {planes} planes and {times} times"),
                cap: format!("{MOST_PLANES} planes"),
                way_out: "export it in parts",
            }),
        }
    }
}

/// The window of a plane that was read whole, where its container has no way to read less.
///
/// # Errors
/// [`ImageError::Misuse`] if the window leaves the plane or is empty.
pub(crate) fn part_of(plane: &Plane, path: &Path, region: Region) -> Result<Plane, ImageError> {
    fn cut<T: Copy>(image: &Image<T>, region: Region) -> Image<T> {
        let Region {
            y,
            x,
            height,
            width,
        } = region;
        Image::from_fn(height, width, |down, right| image.get(y + down, x + right))
    }
    let region = crate::format::window(path, plane.size(), Some(region))?;
    Ok(match plane {
        Plane::U8(image) => Plane::U8(cut(image, region)),
        Plane::U16(image) => Plane::U16(cut(image, region)),
        Plane::F32(image) => Plane::F32(cut(image, region)),
    })
}
