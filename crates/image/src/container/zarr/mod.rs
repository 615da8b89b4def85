//! OME-Zarr stores: folders with images, plates or series of images, in zarr 2 and 3.
//!
//! Read from the specifications of OME-Zarr 0.1 to 0.5 and of zarr, and from stores of
//! ome-zarr-py, bioformats2raw, Fractal, n5-universe and Neuroglancer. A group says by
//! `multiscales` that it is an image and names its levels, the largest first; `plate` names wells
//! by path and `well` its images; `bioformats2raw.layout` a series of images. `labels`, tables and
//! whatever else lies beside the levels is no image. Since 0.5 all of it stands below the key
//! `ome`, in zarr 3.
//!
//! Chunks are decoded here and not by a crate for zarr: those there are take the memory that a
//! damaged chunk claims, and stop the program where they do not get it.
//!
//! Here: `plate` (what a store is), `image` and `axes` (an image), `node` (metadata files and
//! paths), `array`, `element`, `codec`, `blosc` (chunks as bytes), `chunks` (windows), `plane`.

mod array;
mod axes;
mod blosc;
mod chunks;
mod codec;
mod element;
mod image;
mod node;
mod parts;
mod plane;
mod plate;
mod series;

use std::path::Path;

use super::{Contents, Reader};
use crate::ImageError;

/// The reader of stores.
#[derive(Clone, Copy)]
pub(crate) struct OmeZarr;

impl Reader for OmeZarr {
    fn name(&self) -> &'static str {
        "ome-zarr"
    }

    fn takes(&self, path: &Path) -> bool {
        path.is_dir() && node::MARKERS.iter().any(|name| path.join(name).is_file())
    }

    fn list(&self, path: &Path) -> Result<Contents, ImageError> {
        plate::list(path)
    }
}
