//! Cellomics files: the real sample as decoded without this crate, plates by their names, and what
//! is refused.

mod common;

use std::path::Path;

use common::c01::{bitmap, file, packed};
use common::{first_pixel, put, put_plane, real_sets};
use stainfree_image::{Dataset, ImageError, OpenOptions, Plane, Region, open};

fn opened(path: &Path) -> Result<Dataset, ImageError> {
    open(path, &OpenOptions::default())
}

fn names(data: &Dataset) -> Vec<&str> {
    data.fields
        .iter()
        .map(|field| field.name.as_str())
        .collect()
}

/// A file whose first pixel is `first`, of 0.5 um.
fn image(first: u16) -> Vec<u8> {
    file([3, 4], 2_000_000, |y, x| first + 10 * y + x)
}

#[test]
fn the_real_file_reads_as_it_was_decoded_elsewhere() {
    let folder = real_sets().join("microscopes");
    let Ok(text) = std::fs::read_to_string(folder.join("expected.json")) else {
        eprintln!("skipped: no expected.json in {}", folder.display());
        return;
    };
    let all: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let expected = &all["cellomics-c01"]["iamac01file.c01"];
    let data = opened(&folder.join("cellomics-c01/iamac01file.c01")).expect("opens");
    assert_eq!(
        (data.layout.as_str(), names(&data)),
        ("cellomics", vec!["iamac01file"])
    );
    assert_eq!(data.problems, [""; 0]);
    let field = &data.fields[0];
    assert_eq!((field.height, field.width), (512, 512));
    assert_eq!(field.pixel_um, expected["pixel_um"].as_f64());
    let plane = field.read(0, 0).expect("pixels");
    let Plane::U16(image) = &plane else {
        panic!("{plane:?}");
    };
    let values = &expected["values"];
    let sum: u64 = image.data().iter().map(|value| u64::from(*value)).sum();
    assert_eq!(Some(sum), values["sum"].as_u64());
    assert_eq!(
        image.data().iter().min().map(|v| u64::from(*v)),
        values["min"].as_u64()
    );
    assert_eq!(
        image.data().iter().max().map(|v| u64::from(*v)),
        values["max"].as_u64()
    );
    for at in values["at"].as_array().expect("pixels") {
        let at: [usize; 3] = serde_json::from_value(at.clone()).expect("y, x, value");
        assert_eq!(usize::from(image.get(at[0], at[1])), at[2], "{at:?}");
    }
}

#[test]
fn files_of_a_folder_are_fields_of_a_plate() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, first) in [
        ("MFGTMP_A1_0901_B01f00d1.C01", 50),
        ("MFGTMP_A1_0901_B02f00d0.C01", 100),
        ("MFGTMP_A1_0901_B02f00d1.C01", 200),
        ("MFGTMP_A1_0901_B02f01d0.C01", 300),
        ("MFGTMP_A1_0901_b10f00d0.c01", 400),
        ("MFGTMP_A1_0901_H12f010d0.C01", 500),
    ] {
        put(folder.path(), name, &image(first));
    }
    put(folder.path(), "MFGTMP_A1_0901.mdb", b"Access");
    let data = opened(folder.path()).expect("opens");
    assert_eq!(
        names(&data),
        ["B01_s1", "B02_s1", "B02_s2", "B10_s1", "H12_s11"]
    );
    assert_eq!(data.channels, ["d0", "d1"]);
    let field = &data.fields[1];
    assert_eq!(field.position.plate.as_deref(), Some("MFGTMP_A1_0901"));
    assert_eq!(field.position.well.as_deref(), Some("B02"));
    assert_eq!((field.position.site, field.pixel_um), (Some(1), Some(0.5)));
    assert_eq!(first_pixel(&field.read(1, 0).expect("pixels")), 200.0);
    assert_eq!(data.problems.len(), 2, "{:?}", data.problems);
    assert!(data.problems[0].starts_with("channel `d0` is missing in 1 of 5 fields"));
    assert!(data.problems[1].starts_with("channel `d1` is missing in 3 of 5 fields"));

    let plane = field.plane(0, 0).expect("a plane");
    let region = Region {
        y: 1,
        x: 2,
        height: 2,
        width: 2,
    };
    let part = plane.read_region(region).expect("a part");
    assert!(matches!(&part, Plane::U16(part) if part.data() == [112, 113, 122, 123]));
    let beyond = Region {
        y: 2,
        x: 0,
        height: 2,
        width: 1,
    };
    assert!(matches!(
        plane.read_region(beyond),
        Err(ImageError::Misuse { .. })
    ));
}

#[test]
fn plates_beside_each_other_are_told_apart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, first) in [
        ("x/one_B02f00d0", 1),
        ("y/two_B02f00d0", 2),
        ("z/two_B02f00d0", 3),
    ] {
        put(folder.path(), &format!("{name}.C01"), &image(first));
    }
    let data = opened(folder.path()).expect("opens");
    assert_eq!(names(&data), ["one_B02_s1", "y_two_B02_s1", "z_two_B02_s1"]);
    assert_eq!(data.fields[2].position.plate.as_deref(), Some("two"));
}

#[test]
fn files_in_the_way_of_others_and_broken_ones_are_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str, bytes: &[u8]| put(folder.path(), name, bytes);
    at("p_B02f00d0.C01", &image(1));
    at("p_B02f00d1.C01", &image(2));
    at("p_B02f00d1.DIB", &bitmap([3, 4], 0, |_, _| 3));
    at("p_B03f00d0.C01", &image(4)[..30]);
    at("notes.dib", b"hello");
    at("alone.C01", &image(5));
    at("b.zvi", b"x");
    let data = opened(folder.path()).expect("opens");
    assert_eq!(names(&data), ["B02_s1", "alone"]);
    let said = data.problems.join("\n");
    for told in [
        "`p_B02f00d1.C01`, `p_B02f00d1.DIB` are files of one place, so none of them is used",
        "p_B03f00d0.C01` is broken: it cannot be unpacked",
        "not read: 1 Zeiss file (`b.zvi`)",
        "1 Cellomics file (`notes.dib`)",
    ] {
        assert!(said.contains(told), "no `{told}` in {said}");
    }

    // Among TIFFs they are not read, and named.
    put_plane(folder.path(), "a.tif", 1, "");
    let data = opened(folder.path()).expect("opens");
    assert_eq!((data.layout.as_str(), data.fields.len()), ("folder", 1));
    let told = "6 Cellomics files (`alone.C01`, `notes.dib`";
    assert!(
        data.problems.join("\n").contains(told),
        "{:?}",
        data.problems
    );
}

#[test]
fn several_planes_bytes_and_unpacked_bitmaps_are_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut stack = bitmap([2, 4], 0, |y, x| 10 * y + x);
    stack[12] = 2;
    stack.extend((0..8_u16).flat_map(|value| (500 + value).to_le_bytes()));
    put(folder.path(), "p_B02f00d0.C01", &packed(&stack));
    let mut bytes = bitmap([2, 2], 0, |_, _| 0x0201);
    bytes[14] = 8;
    put(folder.path(), "p_B03f00d0.DIB", &bytes);
    let data = opened(folder.path()).expect("opens");
    let firsts = [0, 1].map(|z| first_pixel(&data.fields[0].read(0, z).expect("pixels")));
    assert_eq!(firsts, [0.0, 500.0]);
    let read = data.fields[1].read(0, 0).expect("pixels");
    assert!(matches!(&read, Plane::U8(image) if image.data() == [1, 2, 1, 2]));
    assert_eq!(data.fields[1].pixel_um, None);
}

#[test]
fn what_is_no_grey_image_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.C01");
    let said = |change: &dyn Fn(&mut Vec<u8>), is_packed: bool| {
        let mut bytes = bitmap([3, 4], 0, |_, _| 7);
        change(&mut bytes);
        let bytes = if is_packed { packed(&bytes) } else { bytes };
        std::fs::write(&path, bytes).expect("written");
        opened(&path).expect_err("refused").to_string()
    };
    for (at, value, told) in [
        (14, 24, "is not supported: its pixels have 24 bits"),
        (16, 4, "it is a bitmap with the compression `4`"),
        (12, 0, "it has no planes"),
        (11, 0xff, "its image has -16777213 x 4 pixels"),
        (7, 0x7f, "is too large"),
        (0, 12, "it has no header of a bitmap"),
    ] {
        let said = said(&|bytes| bytes[at] = value, true);
        assert!(said.contains(told), "{said}");
    }
    let short = said(&|bytes| bytes.truncate(60), false);
    assert!(
        short.contains("it has 60 bytes of the 76 that its image takes"),
        "{short}"
    );
    let text = said(&|bytes| *bytes = b"hello".to_vec(), false);
    assert!(
        text.contains("it does not begin as a Cellomics file does"),
        "{text}"
    );
}

#[test]
fn damaged_files_give_a_sentence_and_never_panic() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("p_B02f00d0.C01");
    let read_all = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("written");
        if let Ok(data) = opened(&path) {
            let _ = data.fields[0].read(0, 0);
        }
    };
    for whole in [image(1), bitmap([3, 4], 0, |y, x| y + x)] {
        for cut in 0..whole.len() {
            read_all(&whole[..cut]);
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                read_all(&bytes);
            }
        }
    }
}

#[test]
fn what_a_program_drew_over_is_left_out_and_counted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["p_B02f00d0.C01", "p_B02f00o0.C01", "p_B02f00O1.DIB"] {
        put(folder.path(), name, &image(1));
    }
    put(
        folder.path(),
        "fields.csv",
        b"name,drug,pixel_um\nB02_s1,taxol,0.5\n",
    );
    let data = opened(folder.path()).expect("opens");
    assert_eq!((names(&data), data.channels.len()), (vec!["B02_s1"], 1));
    assert_eq!(data.fields[0].metadata["drug"], "taxol");
    let told = "2 images are left out, since a program drew over them";
    assert!(
        data.problems.iter().any(|line| line.starts_with(told)),
        "{:?}",
        data.problems
    );
}
