//! What is written reads back equal, with its calibration. That other programs read it as well is
//! shown by `testdata/image/check_written.py` on the files that
//! `STAINFREE_KEEP_WRITTEN=DIR cargo test -p stainfree-image --test written` leaves in DIR.

mod common;

use std::path::PathBuf;

use common::plane;
use stainfree_image::write::{self, Compression, Integers, Note};
use stainfree_image::{
    Image, OpenOptions, Plane, open, read_class_mask, read_info, read_labels, read_plane,
};

/// A folder for the written files: a temporary one, or the one asked for, which stays.
fn folder() -> (Option<tempfile::TempDir>, PathBuf) {
    match std::env::var_os("STAINFREE_KEEP_WRITTEN") {
        Some(path) => (None, path.into()),
        None => {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().to_path_buf();
            (Some(folder), path)
        }
    }
}

fn note() -> Note {
    Note {
        text: "model `µ` of plate A\nunit=nm".into(),
        pixel_um: Some(0.325),
    }
}

/// Large enough for several strips, odd enough for a short last one.
fn large() -> Image<u16> {
    Image::from_fn(701, 523, |y, x| ((y * 523 + x * 7) % 60_000) as u16)
}

#[test]
fn labels_are_16_bit_as_long_as_they_fit() {
    let (_keep, folder) = folder();
    let narrow = large().map(|&value| u32::from(value));
    let path = folder.join("labels.tif");
    write::labels(&path, &narrow, &note()).expect("written");
    assert_eq!(read_labels(&path).expect("labels"), narrow);
    assert!(matches!(read_plane(&path, 0), Ok(Plane::U16(_))));

    let wide = large().map(|&value| u32::from(value) + 100_000_000);
    let path = folder.join("labels-wide.tif");
    write::labels(&path, &wide, &note()).expect("written");
    assert_eq!(read_labels(&path).expect("labels"), wide);
    let most = Image::filled(3, 3, 65_535_u32);
    write::labels(&folder.join("labels-most.tif"), &most, &note()).expect("written");
    assert!(matches!(
        read_plane(&folder.join("labels-most.tif"), 0),
        Ok(Plane::U16(_))
    ));
}

#[test]
fn masks_planes_and_stacks_come_back() {
    let (_keep, folder) = folder();
    let mask = large().map(|&value| (value % 4) as u8);
    write::class_mask(&folder.join("mask.tif"), &mask, &note()).expect("written");
    assert_eq!(
        read_class_mask(&folder.join("mask.tif")).expect("a mask"),
        mask
    );

    write::plane_u16(&folder.join("plane.tif"), &large(), &note()).expect("written");
    assert_eq!(
        read_plane(&folder.join("plane.tif"), 0).expect("a plane"),
        Plane::U16(large())
    );

    let float = large().map(|&value| f32::from(value) / 7.0 - 3.0);
    let halved = float.map(|value| value / 2.0);
    let path = folder.join("stack.tif");
    write::stack_f32(&path, &[float.clone(), halved.clone()], &note()).expect("written");
    let data = open(&path, &OpenOptions::default()).expect("opens");
    assert_eq!(data.channels, ["C1", "C2"]);
    assert_eq!(
        data.fields[0].read(0, 0).expect("a plane"),
        Plane::F32(float)
    );
    assert_eq!(
        data.fields[0].read(1, 0).expect("a plane"),
        Plane::F32(halved)
    );
}

#[test]
fn pixel_sizes_come_back_and_are_not_invented() {
    let (_keep, folder) = folder();
    for um in [0.325, 1.3672, 0.0123, 13.5504, 1.0] {
        let path = folder.join(format!("size-{um}.tif"));
        let note = Note {
            text: String::new(),
            pixel_um: Some(um),
        };
        write::plane_u16(&path, &plane(1), &note).expect("written");
        let found = read_info(&path)
            .expect("a header")
            .pixel_um
            .expect("calibrated");
        // The stored fraction of 32-bit numbers is exact to one part in 10^8.
        assert!((found - um).abs() < 1e-8 * um, "{um} came back as {found}");
    }
    let path = folder.join("size-none.tif");
    write::plane_u16(&path, &plane(1), &Note::default()).expect("written");
    assert_eq!(read_info(&path).expect("a header").pixel_um, None);
    // The note's line `unit=nm` must not become ImageJ's unit.
    write::plane_u16(&path, &plane(1), &note()).expect("written");
    let found = read_info(&path)
        .expect("a header")
        .pixel_um
        .expect("calibrated");
    assert!((found - 0.325).abs() < 1e-8);
}

#[test]
fn descriptions_of_the_callers_own_are_kept() {
    let (_keep, folder) = folder();
    let xml = "<MetaData>\n<prop id=\"spatial-calibration-state\" type=\"bool\" value=\"on\"/>\n\
               <prop id=\"spatial-calibration-x\" type=\"float\" value=\"0.65\"/>\n\
               <prop id=\"spatial-calibration-units\" type=\"string\" value=\"um\"/>\n\
               <prop id=\"Description\" type=\"string\" value=\"µ\"/>\n</MetaData>";
    for (name, compression) in [
        ("xml.tif", Compression::Uncompressed),
        ("xml-deflate.tif", Compression::Deflate),
    ] {
        let counts = large();
        let counts = Integers::Counts(&counts);
        write::described(&folder.join(name), counts, xml, compression).expect("written");
        assert_eq!(
            read_info(&folder.join(name)).expect("a header").pixel_um,
            Some(0.65)
        );
        assert_eq!(
            read_plane(&folder.join(name), 0).expect("a plane"),
            Plane::U16(large())
        );
    }
}

#[test]
fn pictures_come_back() {
    let (_keep, folder) = folder();
    let grey = large().map(|&value| (value % 256) as u8);
    write::png_gray(&folder.join("grey.png"), &grey).expect("written");
    assert_eq!(
        read_plane(&folder.join("grey.png"), 0).expect("a plane"),
        Plane::U8(grey.clone())
    );
    let rgb = grey.map(|&value| [value, 255 - value, 7]);
    write::png_rgb(&folder.join("rgb.png"), &rgb).expect("written");
    // What is embedded is the same picture without the note.
    let written = std::fs::read(folder.join("rgb.png")).expect("written");
    let embedded = write::png_bytes(&rgb).expect("encoded");
    let note = 4 + write::PNG_NOTE.len() + 4;
    assert_eq!(
        (&written[..33], &written[33 + note..]),
        embedded.split_at(33)
    );
}

#[test]
fn the_same_image_gives_the_same_bytes() {
    let (_keep, folder) = folder();
    let path = folder.join("same.tif");
    write::plane_u16(&path, &large(), &note()).expect("written");
    let first = std::fs::read(&path).expect("written");
    write::plane_u16(&path, &large(), &note()).expect("written");
    assert_eq!(std::fs::read(&path).expect("written"), first);
}
