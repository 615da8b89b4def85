//! Writing images: whole or not at all, readable by Fiji, with the pixel size where it is known.
//!
//! Every function encodes in memory and then calls [`write_atomic`], or writes an [`AtomicFile`]
//! piece by piece, so that a killed program or a full disk never leaves half a file under the final
//! name.

mod atomic;
mod geojson;
mod ome_tiff;
mod ome_zarr;
mod png;
mod rois;
mod tiff;

pub use atomic::{AtomicFile, is_unfinished, replace_file, write_atomic};
pub use geojson::{GEOJSON_NOTE, GeoJsonRows, geojson};
pub use ome_tiff::{
    OmeTiff, OmeTiffRows, PYRAMID_ABOVE, PixelType, PlaneOf, Samples, Shrink, ome_tiff,
    ome_tiff_rows_held,
};
pub use ome_zarr::{
    ZarrField, ZarrLabels, ZarrMore, ZarrSaid, ome_zarr, ome_zarr_labels, ome_zarr_labels_rows,
    ome_zarr_plate, ome_zarr_rows,
};
pub use png::{PNG_NOTE, png_bytes, png_gray, png_rgb};
pub use rois::{ROIS_NOTE, RoiRows, imagej_rois};
pub use tiff::{
    Compression, Integers, Note, class_mask, described, labels, plane_f32, plane_u16, stack_f32,
    wide_labels,
};
