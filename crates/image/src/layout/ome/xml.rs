//! OME-XML by itself: which files are it, and their text.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::ImageError;
use crate::container::first_bytes;
use crate::format::description::text;
use crate::format::ome::is_ome;
use crate::names::{file_name, natural_order};

/// Larger XML is none of an image set: 100,000 planes take 50 MB.
const MOST_BYTES: u64 = 1 << 29;

/// Whether a name is one of OME-XML by itself.
pub(super) fn is_xml_name(path: &Path) -> bool {
    let name = file_name(path).to_lowercase();
    !name.starts_with('.') && (name.ends_with(".ome") || name.ends_with(".xml"))
}

/// The text of an XML file, in whichever encoding.
pub(super) fn read_xml(path: &Path) -> Result<String, ImageError> {
    let file = crate::format::open(path)?;
    let mut bytes = Vec::new();
    let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| ImageError::read(path, error))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(ImageError::TooLarge {
            path: path.to_path_buf(),
            what: "its XML is larger".into(),
            cap: format!("{MOST_BYTES} bytes"),
            way_out: "export it in parts",
        });
    }
    let units = |number: fn([u8; 2]) -> u16| {
        let pairs = bytes.chunks_exact(2).skip(1);
        let units: Vec<u16> = pairs.map(|pair| number([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    Ok(match bytes[..] {
        [0xff, 0xfe, ..] => units(u16::from_le_bytes),
        [0xfe, 0xff, ..] => units(u16::from_be_bytes),
        _ => text(&bytes),
    })
}

/// Whether an XML file begins as OME-XML does.
pub(super) fn is_ome_file(path: &Path) -> bool {
    // Comments and namespaces may come first.
    const BEGINNING: usize = 4096;
    let start = first_bytes(path, BEGINNING);
    let utf16 = start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]);
    let letters: Vec<u8> = match utf16 {
        true => start
            .into_iter()
            .filter(u8::is_ascii)
            .filter(|b| *b > 0)
            .collect(),
        false => start,
    };
    is_ome(&String::from_utf8_lossy(&letters))
}

/// XML files beside images.
pub(super) fn xml_beside(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let named = |path: &PathBuf| {
        let name = file_name(path).to_lowercase();
        !name.starts_with('.') && (name.ends_with(".ome") || name.ends_with(".ome.xml"))
    };
    let mut found: Vec<PathBuf> = paths
        .filter(named)
        .filter(|path| is_ome_file(path))
        .collect();
    found.sort_by(|a, b| natural_order(&file_name(a), &file_name(b)));
    found
}
