//! Shared by the tests: where the samples lie, digests as in `golden.json`, small plates.
#![allow(dead_code, unreachable_pub)] // Each test file uses a part of it.

pub mod c01;
pub mod czi;
pub mod hostile;
pub mod lif;
pub mod nd2;
pub mod ndtiff;
pub mod tiff;

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use stainfree_image::{Image, Plane, write};

/// Folder of the samples.
pub fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/image")
}

/// Folder of the real sets.
pub fn real_sets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data")
}

pub fn golden() -> serde_json::Value {
    let text = std::fs::read_to_string(samples().join("golden.json")).expect("golden.json");
    serde_json::from_str(&text).expect("valid JSON")
}

/// Type and SHA-256 of the little-endian pixels.
pub fn digest(plane: &Plane) -> (&'static str, String) {
    let (kind, bytes): (_, Vec<u8>) = match plane {
        Plane::U8(image) => ("uint8", image.data().to_vec()),
        Plane::U16(image) => (
            "uint16",
            image
                .data()
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        ),
        Plane::F32(image) => (
            "float32",
            image
                .data()
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        ),
    };
    (kind, hex(&bytes))
}

pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A 4 x 6 plane whose values tell which one it is.
pub fn plane(number: u16) -> Image<u16> {
    Image::from_fn(4, 6, |y, x| number * 100 + (y * 6 + x) as u16)
}

/// The path `folder/name`, with the folders between made.
fn room(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
    path
}

/// Writes `bytes` to `folder/name`, making the folders between.
pub fn put(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(room(folder, name), bytes).expect("written");
}

/// Writes plane `number` with a description to `folder/name`.
pub fn put_plane(folder: &Path, name: &str, number: u16, description: &str) {
    write::described(
        &room(folder, name),
        write::Integers::Counts(&plane(number)),
        description,
        write::Compression::Uncompressed,
    )
    .expect("written");
}

/// An ImageXpress plate description.
pub fn htd(times: u32, steps: u32, sites: u32, waves: &[&str]) -> String {
    let mut text = format!(
        "\"HTSInfoFile\", Version 1.0\r\n\"TimePoints\", {times}\r\n\"ZSteps\", {steps}\r\n\
         \"WellsSelection2\", FALSE, TRUE\r\n\"XSites\", {sites}\r\n\"YSites\", 1\r\n\
         \"NWavelengths\", {}\r\n",
        waves.len()
    );
    for (number, wave) in waves.iter().enumerate() {
        text += &format!("\"WaveName{}\", \"{wave}\"\r\n", number + 1);
    }
    text + "\"EndFile\"\r\n"
}

/// One image as the index of a Harmony plate lists it; `more` are further elements.
pub fn harmony_image(file: &str, [row, column, field]: [u32; 3], more: &str) -> String {
    format!(
        "<Image Version=\"1\"><id>x</id><State>Ok</State><URL>{file}</URL><Row>{row}</Row>\
         <Col>{column}</Col><FieldID>{field}</FieldID>{more}</Image>\n"
    )
}

/// The index of a Harmony plate with these `images`; `maps` stands before them.
pub fn harmony_index(maps: &str, images: &[String]) -> String {
    format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<EvaluationInputData \
         xmlns=\"http://www.perkinelmer.com/PEHH/HarmonyV5\"><Plates><Plate><Name>plate 7</Name>\
         </Plate></Plates><Wells><Well><Image id=\"x\"/></Well></Wells><Maps>{maps}</Maps>\
         <Images>{}</Images></EvaluationInputData>",
        images.concat()
    )
}

/// A CellVoyager index with these records: attributes without their prefix, and the text.
pub fn cellvoyager_index(records: &[(String, &str)]) -> String {
    let record = |(attributes, text): &(String, &str)| {
        let prefixed = attributes.replace(' ', " bts:");
        format!("<bts:MeasurementRecord bts:{prefixed}>{text}</bts:MeasurementRecord>\n")
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<bts:MeasurementData bts:Version=\"1.0\" \
         xmlns:bts=\"http://www.yokogawa.co.jp/BTS/BTSSchema/1.0\">\n{}</bts:MeasurementData>",
        records.iter().map(record).collect::<String>()
    )
}

/// What `path` holds of plane `number`, judged by its first pixel.
pub fn first_pixel(plane: &Plane) -> f32 {
    plane.to_f32().get(0, 0)
}

/// A TIFF of one page per image, of 16 bits, little-endian and uncompressed; the description goes
/// to the first page.
pub fn stack(pages: &[Image<u16>], description: &str) -> Vec<u8> {
    let mut bytes = b"II\x2a\0\0\0\0\0".to_vec();
    // Where the offset of the next directory belongs.
    let mut link = 4;
    for (page, image) in pages.iter().enumerate() {
        let pixels = bytes.len() as u32;
        bytes.extend(image.data().iter().flat_map(|value| value.to_le_bytes()));
        let text = bytes.len() as u32;
        let said = if page == 0 { description } else { "" };
        bytes.extend(said.bytes().chain([0, 0, 0, 0]));
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        let place = (bytes.len() as u32).to_le_bytes();
        bytes[link..link + 4].copy_from_slice(&place);
        let (height, width) = (image.height() as u32, image.width() as u32);
        let entries = [
            (256_u16, 4_u16, 1_u32, width),
            (257, 4, 1, height),
            (258, 3, 1, 16),
            (259, 3, 1, 1),
            (262, 3, 1, 1),
            (270, 2, said.len() as u32 + 4, text),
            (273, 4, 1, pixels),
            (277, 3, 1, 1),
            (278, 4, 1, height),
            (279, 4, 1, 2 * height * width),
        ];
        bytes.extend((entries.len() as u16).to_le_bytes());
        for (tag, kind, count, value) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(count.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        link = bytes.len();
        bytes.extend([0; 4]);
    }
    bytes
}

/// A linear congruential generator (Knuth, MMIX): the tests must be the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % end as u64) as usize
    }
}
