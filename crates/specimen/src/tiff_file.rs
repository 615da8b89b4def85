//! One plane in one TIFF file, as ImageXpress writes its planes and as the truth is kept.

use std::io::Cursor;
use std::path::Path;

use tiff::TiffError;
use tiff::encoder::colortype::{ColorType, Gray8, Gray16, Gray32};
use tiff::encoder::{Compression, DeflateLevel, TiffEncoder, TiffValue};
use tiff::tags::Tag;

use crate::error::SpecimenError;
use crate::file::write_atomic;

/// The pixels of a plane, row by row.
pub(crate) enum Pixels<'a> {
    /// Camera counts, stored as they are.
    Grey(&'a [u16]),
    /// Class mask, stored with Deflate.
    Classes(&'a [u8]),
    /// Labels, stored with Deflate in 16 bit where they fit, else in 32 bit.
    Labels(&'a [u32]),
}

/// Writes one plane of `(height, width)` with an image description, atomically.
pub(crate) fn write_tiff(
    path: &Path,
    size: (usize, usize),
    pixels: Pixels<'_>,
    description: &str,
) -> Result<(), SpecimenError> {
    let deflate = Compression::Deflate(DeflateLevel::Fast);
    let bytes = match pixels {
        Pixels::Grey(data) => encode::<Gray16>(size, data, Compression::Uncompressed, description),
        Pixels::Classes(data) => encode::<Gray8>(size, data, deflate, description),
        Pixels::Labels(data) => match data.iter().map(|&l| u16::try_from(l)).collect() {
            Ok(small) => {
                let small: Vec<u16> = small;
                encode::<Gray16>(size, &small, deflate, description)
            }
            Err(_) => encode::<Gray32>(size, data, deflate, description),
        },
    };
    let bytes = bytes.map_err(|source| SpecimenError::Encode {
        path: path.to_path_buf(),
        source,
    })?;
    write_atomic(path, &bytes)
}

fn encode<C: ColorType>(
    (height, width): (usize, usize),
    data: &[C::Inner],
    compression: Compression,
    description: &str,
) -> Result<Vec<u8>, TiffError>
where
    [C::Inner]: TiffValue,
{
    let mut bytes = Vec::with_capacity(std::mem::size_of_val(data) + 8192);
    let mut file = TiffEncoder::new(Cursor::new(&mut bytes))?.with_compression(compression);
    // Sides are at most 8192, so the numbers fit.
    let mut image = file.new_image::<C>(width as u32, height as u32)?;
    image
        .encoder()
        .write_tag(Tag::ImageDescription, description)?;
    image.encoder().write_tag(Tag::Software, "stainfree")?;
    image.write_data(data)?;
    Ok(bytes)
}
