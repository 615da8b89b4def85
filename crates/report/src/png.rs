//! Pictures as PNG bytes and as `data:` addresses for pages without files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::ImageEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use stainfree_image::Image;

use crate::ReportError;

/// Encodes an sRGB picture as PNG; as grey PNG, a third of the size, if it has no colour.
///
/// # Errors
/// [`ReportError::Empty`] for a picture without pixels, [`ReportError::Png`] if encoding fails.
pub fn encode_png(picture: &Image<[u8; 3]>) -> Result<Vec<u8>, ReportError> {
    let (height, width) = picture.size();
    if height == 0 || width == 0 {
        return Err(ReportError::Empty { height, width });
    }
    let failed = |source| ReportError::Png {
        height,
        width,
        source,
    };
    let (Ok(w), Ok(h)) = (u32::try_from(width), u32::try_from(height)) else {
        let kind = image::error::ParameterErrorKind::DimensionMismatch;
        return Err(failed(image::ImageError::Parameter(
            image::error::ParameterError::from_kind(kind),
        )));
    };
    let mut bytes = Vec::new();
    let encoder =
        PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive);
    if picture.data().iter().all(|&[r, g, b]| r == g && g == b) {
        let grey: Vec<u8> = picture.data().iter().map(|&[r, _, _]| r).collect();
        encoder.write_image(&grey, w, h, image::ExtendedColorType::L8)
    } else {
        let data = picture.data().as_flattened();
        encoder.write_image(data, w, h, image::ExtendedColorType::Rgb8)
    }
    .map_err(failed)?;
    Ok(bytes)
}

/// The picture as an address that carries it, for `<img src>`.
pub(crate) fn data_uri(picture: &Image<[u8; 3]>) -> Result<String, ReportError> {
    Ok(format!(
        "data:image/png;base64,{}",
        STANDARD.encode(encode_png(picture)?)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_png_reads_back_with_the_same_pixels() {
        let colour = Image::from_fn(3, 5, |y, x| [y as u8 * 50, x as u8 * 40, 7]);
        let grey = Image::from_fn(3, 5, |y, x| [(y * 60 + x) as u8; 3]);
        for (picture, channels) in [(colour, 3), (grey, 1)] {
            let read = image::load_from_memory(&encode_png(&picture).unwrap()).unwrap();
            assert_eq!(read.color().channel_count(), channels);
            let read = read.to_rgb8();
            assert_eq!(read.dimensions(), (5, 3));
            assert_eq!(read.as_raw(), picture.data().as_flattened());
        }
    }

    #[test]
    fn a_picture_without_pixels_is_refused() {
        let error = encode_png(&Image::new(0, 4, Vec::new())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a picture of 0 x 4 pixels cannot be written; it has no pixels"
        );
    }
}
