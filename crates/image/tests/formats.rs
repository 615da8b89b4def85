//! Every sample of `testdata/image` reads as tifffile and Pillow read it.

mod common;

use common::{digest, golden, samples};
use stainfree_image::{OpenOptions, Plane, open, read_info, read_labels, read_plane};

#[test]
fn every_sample_reads_as_the_outside_judge_reads_it() {
    let golden = golden();
    let cases = golden["samples"].as_object().expect("samples");
    assert!(
        cases.len() >= 52,
        "golden.json has lost samples: {}",
        cases.len()
    );
    let mut failures = Vec::new();
    for (name, pages) in cases {
        let path = samples().join(name);
        let pages = pages.as_array().expect("pages");
        let info = read_info(&path).expect("a header");
        if info.pages.len() != pages.len() {
            failures.push(format!(
                "{name}: {} pages, not {}",
                info.pages.len(),
                pages.len()
            ));
        }
        for (number, expected) in pages.iter().enumerate() {
            let plane = match read_plane(&path, number) {
                Ok(plane) => plane,
                Err(error) => {
                    failures.push(format!("{name}: {error}"));
                    continue;
                }
            };
            let (height, width) = plane.size();
            let (kind, hash) = digest(&plane);
            let same = expected["shape"] == serde_json::json!([height, width])
                && expected["type"] == kind
                && expected["sha256"] == hash;
            if !same {
                failures.push(format!(
                    "{name} page {number}: {height} x {width} {kind}, not {expected}"
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn imagej_hyperstacks_become_fields_by_time_with_channels_planes_and_calibration() {
    let data = open(
        &samples().join("imagej-t2z3c2.tif"),
        &OpenOptions::default(),
    )
    .expect("opens");
    assert_eq!(data.channels, ["BF", "DAPI"]);
    let names: Vec<_> = data
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(names, ["imagej-t2z3c2_t001", "imagej-t2z3c2_t002"]);
    assert_eq!(data.fields[1].time, Some(2));
    for (t, field) in data.fields.iter().enumerate() {
        assert!((field.pixel_um.expect("calibrated") - 0.325).abs() < 1e-6);
        for (c, planes) in field.planes.iter().enumerate() {
            assert_eq!(planes.len(), 3);
            for z in 0..3 {
                // The sample's planes start at 1000 times their number in the order t, z, c.
                let first = common::first_pixel(&field.read(c, z).expect("a plane"));
                let start = common::first_pixel(&data.fields[0].read(0, 0).expect("a plane"));
                assert_eq!(
                    first - start,
                    (1000 * (t * 6 + z * 2 + c)) as f32,
                    "t{t} z{z} c{c}"
                );
            }
        }
    }
}

#[test]
fn one_directory_with_many_images_is_read_by_stride() {
    let data = open(
        &samples().join("imagej-one-ifd.tif"),
        &OpenOptions::default(),
    )
    .expect("opens");
    assert_eq!(data.channels, ["C1", "C2"]);
    let field = &data.fields[0];
    assert_eq!(field.planes[0].len(), 3);
    assert_eq!(field.pixel_um, Some(0.5));
    let start = common::first_pixel(&field.read(0, 0).expect("a plane"));
    assert_eq!(
        common::first_pixel(&field.read(1, 2).expect("a plane")) - start,
        5.0
    );
}

#[test]
fn ome_orders_both_ways_give_the_same_planes() {
    // `czyx` was written with C slowest, `zcyx` with Z slowest; values are 500 times the number of
    // the plane in that order.
    for (name, stride_c, stride_z) in [("ome-czyx.ome.tif", 2, 1), ("ome-zcyx.ome.tif", 1, 2)] {
        let data = open(&samples().join(name), &OpenOptions::default()).expect("opens");
        assert_eq!(data.channels, ["BF", "Kern & Zelle"]);
        let field = &data.fields[0];
        assert_eq!(field.pixel_um, Some(0.5), "{name}");
        let start = common::first_pixel(&field.read(0, 0).expect("a plane"));
        for (c, z) in [(0, 1), (1, 0), (1, 1)] {
            let first = common::first_pixel(&field.read(c, z).expect("a plane"));
            assert_eq!(
                first - start,
                (500 * (c * stride_c + z * stride_z)) as f32,
                "{name}"
            );
        }
    }
}

#[test]
fn labels_keep_every_number_whatever_their_type() {
    let wide = read_labels(&samples().join("u32-labels.tif")).expect("labels");
    let floats = read_labels(&samples().join("f32-labels.tif")).expect("labels");
    assert_eq!(wide, floats.map(|label| label * 1000));
    assert!(wide.data().iter().any(|&label| label > 65_535));
}

#[test]
fn labels_are_the_same_whichever_editor_saved_them() {
    let read = |name: &str| read_labels(&samples().join("labels").join(name));
    let labels = read("napari-uint32.tif").expect("labels");
    assert_eq!(labels.get(2, 12), 40_000);
    for name in [
        "napari-int32.tif",
        "napari-int64.tif",
        "napari-uint64.tif",
        "fiji-uint16.tif",
        "fiji-float32.tif",
    ] {
        assert_eq!(read(name).expect("labels"), labels, "{name}");
    }
    let text = read("too-wide-int64.tif")
        .expect_err("too wide")
        .to_string();
    assert!(
        text.contains("it holds 64-bit integers that do not fit 32 bits"),
        "{text}"
    );
}

#[test]
fn colours_that_differ_are_refused_by_name() {
    for name in ["rgb-colour.tif", "rgb-colour.png"] {
        let path = samples().join(name);
        let text = read_plane(&path, 0).expect_err("colours").to_string();
        assert!(
            text.contains(name) && text.contains("is a colour image"),
            "{text}"
        );
        assert!(
            text.ends_with("save each channel as a grey image of its own"),
            "{text}"
        );
    }
}

#[test]
fn ranges_are_those_of_the_stored_type() {
    let range = |name: &str| {
        read_plane(&samples().join(name), 0)
            .expect("a plane")
            .full_range()
    };
    assert_eq!(range("u8.png"), Some(255.0));
    assert_eq!(range("u16-none.tif"), Some(65_535.0));
    assert_eq!(range("f64.tif"), None);
    let signed = read_plane(&samples().join("i16.tif"), 0).expect("a plane");
    assert!(matches!(signed, Plane::F32(_)));
}
