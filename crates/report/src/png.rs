//! Pictures as PNG bytes and as `data:` addresses for pages without files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use stainfree_image::Image;
use stainfree_image::write::png_bytes;

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
    png_bytes(picture).map_err(|source| ReportError::Png {
        height,
        width,
        source,
    })
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
    fn a_picture_without_pixels_is_refused() {
        let error = encode_png(&Image::new(0, 4, Vec::new())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a picture of 0 x 4 pixels cannot be written; it has no pixels"
        );
    }
}
