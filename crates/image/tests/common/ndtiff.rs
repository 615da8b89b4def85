//! Small NDTiff data sets.

/// One image: axes and metadata in JSON, type, height and width, bytes.
#[derive(Clone)]
pub struct Taken<'a> {
    pub axes: &'a str,
    pub said: &'a str,
    pub kind: u32,
    pub size: (u32, u32),
    pub pixels: &'a [u8],
}

/// The index and the file of version 3, called `file` in the index, of these images.
pub fn set(file: &str, summary: &str, taken: &[Taken<'_>]) -> (Vec<u8>, Vec<u8>) {
    let (mut index, mut tiff) = (Vec::new(), b"II*\0\0\0\0\0".to_vec());
    let word = |bytes: &mut Vec<u8>, value: u32| bytes.extend(value.to_le_bytes());
    for value in [483_729, 3, 3, 2_355_492, summary.len() as u32] {
        word(&mut tiff, value);
    }
    tiff.extend(summary.bytes());
    // Where the offset of the next directory belongs.
    let mut link = 4;
    for one in taken {
        tiff.resize(tiff.len().next_multiple_of(2), 0);
        let place = (tiff.len() as u32).to_le_bytes();
        tiff[link..link + 4].copy_from_slice(&place);
        let pixels = tiff.len() as u32 + 2 + 12 * 5 + 4;
        let said = pixels + one.pixels.len() as u32;
        tiff.extend(5_u16.to_le_bytes());
        for (tag, value) in [
            (256_u16, one.size.1),
            (257, one.size.0),
            (258, if one.kind == 0 { 8 } else { 16 }),
            (273, pixels),
            (279, one.pixels.len() as u32),
        ] {
            tiff.extend(tag.to_le_bytes());
            tiff.extend([4, 0, 1, 0, 0, 0]);
            word(&mut tiff, value);
        }
        link = tiff.len();
        word(&mut tiff, 0);
        tiff.extend(one.pixels);
        tiff.extend(one.said.bytes());
        for text in [one.axes, file] {
            word(&mut index, text.len() as u32);
            index.extend(text.bytes());
        }
        let (height, width) = one.size;
        let bytes = one.said.len() as u32;
        for value in [pixels, width, height, one.kind, 0, said, bytes, 0] {
            word(&mut index, value);
        }
    }
    (index, tiff)
}
