//! Stores that are written read back as what they were made from. That zarr-python and
//! ome-zarr-models agree is shown by `testdata/image/check_zarr.py` on the stores that
//! `STAINFREE_KEEP_WRITTEN=DIR cargo test -p stainfree-image --features zarr --test zarr_written`
//! leaves in DIR.

#![cfg(feature = "zarr")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stainfree_image::write::{
    OmeTiff, PixelType, PlaneOf, Samples, Shrink, ZarrField, ZarrLabels, ZarrMore, ZarrSaid,
    ome_zarr, ome_zarr_labels, ome_zarr_plate, ome_zarr_rows,
};
use stainfree_image::{Dataset, Image, ImageError, OpenOptions, Plane, open};

/// Where stores go: a temporary folder, or the one that is to be kept.
fn folder(temporary: &tempfile::TempDir) -> PathBuf {
    match std::env::var_os("STAINFREE_KEEP_WRITTEN") {
        Some(kept) => PathBuf::from(kept),
        None => temporary.path().to_path_buf(),
    }
}

const SIZE: (usize, usize) = (1100, 700);

fn image(channels: &[&str], planes: usize, times: usize) -> OmeTiff {
    OmeTiff {
        name: "an image".into(),
        text: String::new(),
        size: SIZE,
        planes,
        times,
        channels: channels.iter().map(ToString::to_string).collect(),
        pixel_type: PixelType::U16,
        pixel_um: Some(0.65),
        z_step_um: (planes > 1).then_some(2.0),
        shrink: Shrink::Mean,
    }
}

fn pixels(place: PlaneOf) -> Image<u16> {
    let PlaneOf { z, channel, time } = place;
    let add = 1000 * channel + 100 * z + 10 * time;
    Image::from_fn(SIZE.0, SIZE.1, |y, x| {
        ((y * 523 + x * 7 + add) % 60_000) as u16
    })
}

fn opened(path: &Path) -> Dataset {
    open(path, &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn said(path: &Path) -> Value {
    let text = std::fs::read_to_string(path.join("zarr.json")).expect("read");
    serde_json::from_str(&text).expect("valid JSON")
}

type Asked = Result<Option<Samples>, ImageError>;

#[test]
fn an_image_of_all_axes_reads_back() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let path = folder(&temporary).join("image.ome.zarr");
    let more = ZarrMore {
        time_step_s: Some(30.0),
        attributes: BTreeMap::from([("more".to_string(), json!({ "key": 1 }))]),
    };
    let image = image(&["Brightfield", "Hoechst"], 3, 2);
    // One plane is missing.
    let missing = PlaneOf {
        z: 1,
        channel: 1,
        time: 0,
    };
    let plane = |place| -> Asked { Ok((place != missing).then(|| Samples::U16(pixels(place)))) };
    ome_zarr(&path, &image, &more, plane).expect("written");

    let data = opened(&path);
    assert_eq!(data.channels, ["Brightfield", "Hoechst"]);
    assert_eq!(data.fields.len(), 2);
    assert!(
        data.problems
            .iter()
            .any(|said| said.contains("1 of its 12 planes have no chunks"))
    );
    for (time, field) in data.fields.iter().enumerate() {
        assert_eq!(field.pixel_um, Some(0.65));
        assert_eq!(field.metadata["z_step_um"], "2");
        assert_eq!(field.metadata["time_step_s"], "30");
        for channel in 0..2 {
            for z in 0..3 {
                let place = PlaneOf { z, channel, time };
                match &field.planes[channel][z] {
                    Some(plane) => {
                        let read = plane.read().expect("reads");
                        assert_eq!(read, Plane::U16(pixels(place)));
                    }
                    None => assert_eq!(place, missing),
                }
            }
        }
    }
    let group = &said(&path)["attributes"];
    assert_eq!(group["more"]["key"], 1);
    let levels = &group["ome"]["multiscales"][0]["datasets"];
    assert_eq!(levels.as_array().map(Vec::len), Some(3));
    let steps = &levels[2]["coordinateTransformations"];
    assert_eq!(steps[0]["scale"], json!([30.0, 1.0, 2.0, 2.6, 2.6]));
    let moved = steps[1]["translation"][4].as_f64().expect("a number");
    assert!((moved - 0.975).abs() < 1e-9, "{moved}");
    let window = &group["ome"]["omero"]["channels"][1]["window"];
    assert_eq!(window["max"], 65_535.0);
    // 2 x 2 pixels in one, rounded: 0, 7, 523 and 530, and 1,000 of the channel.
    let mut level = said(&path);
    level["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = "1".into();
    std::fs::write(path.join("zarr.json"), level.to_string()).expect("written");
    let Ok(Plane::U16(mean)) = opened(&path).fields[0].read(1, 0) else {
        panic!("another type");
    };
    assert_eq!((mean.size(), mean.get(0, 0)), ((550, 350), 1265));
    level["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = "0".into();
    std::fs::write(path.join("zarr.json"), level.to_string()).expect("written");
}

#[test]
fn labels_lie_in_the_image_and_are_no_image() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let path = folder(&temporary).join("labelled.ome.zarr");
    let plain = OmeTiff {
        pixel_um: None,
        ..image(&["BF"], 1, 1)
    };
    let plane = |place| -> Asked { Ok(Some(Samples::U16(pixels(place)))) };
    ome_zarr(&path, &plain, &ZarrMore::default(), plane).expect("written");
    let labels = Image::from_fn(SIZE.0, SIZE.1, |y, x| {
        ((y / 100) * 7 + x / 100) as u32 * 70_000
    });
    for name in ["nuclei", "cells", "nuclei"] {
        let said = ZarrSaid {
            name,
            pixel_um: None,
            colours: BTreeMap::from([(70_000, [255, 0, 0, 255])]),
            properties: BTreeMap::from([(70_000, BTreeMap::from([("area".into(), json!(3))]))]),
        };
        let labels = ZarrLabels {
            labels: &labels,
            said,
        };
        ome_zarr_labels(&path, &labels).expect("written");
    }
    let data = opened(&path);
    assert_eq!((data.fields.len(), data.fields[0].pixel_um), (1, None));
    let listed = said(&path.join("labels"));
    assert_eq!(
        listed["attributes"]["ome"]["labels"],
        json!(["cells", "nuclei"])
    );
    let label = &said(&path.join("labels/nuclei"))["attributes"]["ome"];
    assert_eq!(label["image-label"]["source"]["image"], "../../");
    assert_eq!(label["image-label"]["colors"][0]["label-value"], 70_000);
    assert_eq!(
        label["multiscales"][0]["datasets"].as_array().map(Vec::len),
        Some(3)
    );
    for name in ["", "..", "a/b", ".hidden"] {
        let said = ZarrSaid {
            name,
            pixel_um: None,
            colours: BTreeMap::new(),
            properties: BTreeMap::new(),
        };
        let labels = ZarrLabels {
            labels: &labels,
            said,
        };
        assert!(ome_zarr_labels(&path, &labels).is_err(), "{name}");
    }
}

/// Every file below a folder, by its path there.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let name = path.strip_prefix(folder).expect("below it");
                    let bytes = std::fs::read(&path).expect("read");
                    found.insert(name.display().to_string(), bytes);
                }
            }
        }
    }
    found
}

#[test]
fn rows_give_the_files_of_whole_planes() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let [whole, rows] = ["whole.zarr", "rows.zarr"].map(|name| temporary.path().join(name));
    // Wide enough for smaller chunks, of odd sides at several levels, two channels.
    let said = OmeTiff {
        size: (531, 9_001),
        channels: vec!["a".into(), "b".into()],
        ..image(&["a"], 1, 1)
    };
    let plane = |place: PlaneOf| {
        let value = |y: usize, x: usize| ((y * 7919 + x * 31) % 60_000 + place.channel) as u16;
        Image::from_fn(said.size.0, said.size.1, value)
    };
    let more = ZarrMore::default();
    let all = |place| -> Asked { Ok(Some(Samples::U16(plane(place)))) };
    ome_zarr(&whole, &said, &more, all).expect("written");
    let some = |place, these: Range<usize>| -> Asked {
        let rows = plane(place).crop(these.start, 0, these.len(), said.size.1);
        Ok(Some(Samples::U16(rows)))
    };
    ome_zarr_rows(&rows, &said, &more, some).expect("written");
    let (a, b) = (files(&whole), files(&rows));
    assert!(a.contains_key("0/c/1/1/17") && a.contains_key("5/zarr.json"));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    assert!(a == b, "other bytes");
    let lacking = |place, these: Range<usize>| match these.start {
        0 => some(place, these),
        _ => Ok(None),
    };
    let error = ome_zarr_rows(&rows, &said, &more, lacking).expect_err("refused");
    assert!(error.to_string().contains("lacks rows"), "{error}");
    assert!(files(&rows) == b, "the old store stays");
}

#[test]
fn a_plate_reads_back_by_well_and_site() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let path = folder(&temporary).join("plate.ome.zarr");
    let fields: Vec<ZarrField> = [
        ("A", "01", "0"),
        ("B", "12", "0"),
        ("B", "12", "1"),
        ("AA", "03", "0"),
    ]
    .map(|(row, column, image)| ZarrField {
        row: row.into(),
        column: column.into(),
        image: image.into(),
    })
    .to_vec();
    for (k, field) in fields.iter().enumerate() {
        let plane = |place: PlaneOf| -> Asked {
            let of_field = PlaneOf { time: k, ..place };
            let values = pixels(of_field);
            Ok(Some(Samples::F32(
                values.map(|&value| f32::from(value) / 8.0),
            )))
        };
        let image = OmeTiff {
            pixel_type: PixelType::F32,
            ..image(&["DAPI"], 1, 1)
        };
        ome_zarr(
            &path.join(field.path()),
            &image,
            &ZarrMore::default(),
            plane,
        )
        .expect("written");
    }
    ome_zarr_plate(&path, "p 1", &fields).expect("written");
    let data = opened(&path);
    let names: Vec<_> = data
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(names, ["A01_s1", "AA03_s1", "B12_s1", "B12_s2"]);
    assert!(data.problems.is_empty(), "{:?}", data.problems);
    assert_eq!(data.fields[3].position.plate.as_deref(), Some("p 1"));
    let Ok(Plane::F32(read)) = data.fields[3].read(0, 0) else {
        panic!("another type");
    };
    let wanted = pixels(PlaneOf {
        z: 0,
        channel: 0,
        time: 2,
    });
    assert_eq!(read, wanted.map(|&value| f32::from(value) / 8.0));
}

#[test]
fn what_fails_leaves_the_old_group_and_nothing_else() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let path = temporary.path().join("a.ome.zarr");
    let image = image(&["BF"], 1, 2);
    let whole = |place| -> Asked { Ok(Some(Samples::U16(pixels(place)))) };
    ome_zarr(&path, &image, &ZarrMore::default(), whole).expect("written");
    // What a killed program has left is used up.
    std::fs::create_dir(temporary.path().join(".a.ome.zarr.part")).expect("made");
    let broken = |place: PlaneOf| -> Asked {
        match place.time {
            0 => Ok(Some(Samples::U16(pixels(place)))),
            _ => Ok(Some(Samples::U16(Image::filled(3, 3, 1)))),
        }
    };
    let error = ome_zarr(&path, &image, &ZarrMore::default(), broken).expect_err("refused");
    assert!(error.to_string().contains("it is 3 x 3 pixels"), "{error}");
    let none = |_| -> Asked { Ok(None) };
    let error = ome_zarr(&path, &image, &ZarrMore::default(), none).expect_err("refused");
    assert!(error.to_string().contains("no plane at all"), "{error}");
    let left: Vec<_> = std::fs::read_dir(temporary.path())
        .expect("listed")
        .collect();
    assert_eq!(left.len(), 1);
    assert_eq!(opened(&path).fields.len(), 2);
    ome_zarr(&path, &image, &ZarrMore::default(), whole).expect("replaced");
    assert_eq!(
        std::fs::read_dir(temporary.path()).expect("listed").count(),
        1
    );
}
