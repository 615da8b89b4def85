//! OME-Zarr stores read as zarr-python reads them: every kind of array from small stores in
//! `testdata`, real ones beside the repository; then the rules of images, wells and series.

#![cfg(feature = "zarr")]

mod common;

use std::path::{Path, PathBuf};

use common::{hex, put, samples};
use serde_json::{Value, json};
use stainfree_image::{Dataset, Field, OpenOptions, Plane, Region, open};

fn opened(path: &Path) -> Dataset {
    open(path, &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(path: &Path) -> String {
    let data = open(path, &OpenOptions::default());
    data.map(|data| data.problems)
        .expect_err("refused")
        .to_string()
}

/// Pixels of a plane as numbers, which all of its types fit.
fn values(plane: &Plane) -> Vec<f64> {
    match plane {
        Plane::U8(image) => image.data().iter().map(|&v| v.into()).collect(),
        Plane::U16(image) => image.data().iter().map(|&v| v.into()).collect(),
        Plane::F32(image) => image.data().iter().map(|&v| v.into()).collect(),
    }
}

/// All pixels of a data set in the order of its array: times, channels, planes, rows.
fn all(data: &Dataset) -> Vec<f64> {
    let stack = |field: &Field| -> Vec<f64> {
        let planes = field.planes.iter().flatten().flatten();
        planes
            .flat_map(|plane| values(&plane.read().expect("reads")))
            .collect()
    };
    data.fields.iter().flat_map(stack).collect()
}

/// A field's channel and plane, from 0.
fn read(field: &Field, c: usize, z: usize) -> Vec<f64> {
    values(&field.read(c, z).expect("reads"))
}

/// Values as the little-endian bytes of a type of NumPy.
fn bytes(values: &[f64], kind: &str) -> Vec<u8> {
    macro_rules! as_bytes {
        ($type:ty) => {
            values
                .iter()
                .flat_map(|&v| (v as $type).to_le_bytes())
                .collect()
        };
    }
    match kind {
        "b1" | "u1" => as_bytes!(u8),
        "i1" => as_bytes!(i8),
        "u2" => as_bytes!(u16),
        "i2" => as_bytes!(i16),
        "u4" => as_bytes!(u32),
        "i4" => as_bytes!(i32),
        "u8" => as_bytes!(u64),
        "i8" => as_bytes!(i64),
        // Quarters up to 15 in half floats: sign, five bits of exponent, ten of fraction.
        "f2" => values.iter().flat_map(|&v| half(v).to_le_bytes()).collect(),
        "f4" => as_bytes!(f32),
        "f8" => as_bytes!(f64),
        other => panic!("type {other}"),
    }
}

fn half(value: f64) -> u16 {
    if value == 0.0 {
        return 0;
    }
    let bits = (value as f32).to_bits();
    let exponent = (bits >> 23 & 255) - 127 + 15;
    (bits >> 16 & 0x8000) as u16 | (exponent << 10) as u16 | (bits >> 13 & 1023) as u16
}

/// Writes one of the stores of `zarr.json` into `folder`.
fn unpack(store: &Value, folder: &Path) {
    for (name, content) in store["files"].as_object().expect("files") {
        match content {
            Value::String(digits) => {
                let byte = |k| u8::from_str_radix(&digits[k..k + 2], 16).expect("a byte");
                let content: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
                put(folder, name, &content);
            }
            metadata => put(folder, name, metadata.to_string().as_bytes()),
        }
    }
}

fn stores() -> serde_json::Map<String, Value> {
    let text = std::fs::read_to_string(samples().join("zarr.json")).expect("zarr.json");
    serde_json::from_str(&text).expect("valid JSON")
}

#[test]
fn every_kind_of_array_reads_as_zarr_python_reads_it() {
    let stores = stores();
    assert_eq!(stores.len(), 72);
    for (name, store) in stores {
        let folder = tempfile::tempdir().expect("a temporary folder");
        unpack(&store, folder.path());
        let read = all(&opened(folder.path()));
        let kind = store["type"].as_str().expect("a type");
        if name == "v3-fill-nan" {
            assert!(read.len() == 99 && read.iter().all(|v| v.is_nan()));
            continue;
        }
        assert_eq!(hex(&bytes(&read, kind)), store["sha256"], "{name}");
    }
}

#[test]
fn windows_are_cut_out_of_planes() {
    for name in [
        "v2-blosc-blocks",
        "v2-order-F",
        "v3-transpose",
        "v3-shards",
        "v3-5d",
        "v3-f8",
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        unpack(&stores()[name], folder.path());
        let data = opened(folder.path());
        let field = data.fields.last().expect("a field");
        let plane = field
            .planes
            .last()
            .and_then(|z| z.last()?.clone())
            .expect("a plane");
        let whole = values(&plane.read().expect("reads"));
        for (y, x, height, width) in [
            (0, 0, 1, 1),
            (0, 0, field.height, field.width),
            (field.height - 1, field.width - 1, 1, 1),
            (1, 2, field.height - 2, field.width - 3),
        ] {
            let region = Region {
                y,
                x,
                height,
                width,
            };
            let part = values(&plane.read_region(region).expect("reads"));
            let rows = (y..y + height).map(|y| &whole[y * field.width..][x..x + width]);
            assert_eq!(part, rows.flatten().copied().collect::<Vec<_>>(), "{name}");
        }
        let outside = Region {
            y: 0,
            x: 1,
            height: 1,
            width: field.width,
        };
        assert!(plane.read_region(outside).is_err());
    }
}

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/microscopes");
    let there = path.join(name).exists();
    if !there {
        println!("skipped: {name} is not there");
    }
    there.then(|| path.join(name))
}

#[test]
fn real_stores_read_as_zarr_python_reads_them() {
    let Some(file) = shared("expected.json") else {
        return;
    };
    let text = std::fs::read_to_string(&file).expect("read");
    let expected: Value = serde_json::from_str(&text).expect("valid JSON");
    let mut checked = 0;
    for (name, said) in expected["ome-zarr"].as_object().expect("entries") {
        let series = said["series"].as_object();
        let series = series.map_or(vec![("", said)], |all| {
            all.iter()
                .map(|(path, said)| (path.as_str(), said))
                .collect()
        });
        for (path, said) in series {
            let level = &said["levels"][0];
            if level["shape"].is_null() {
                continue;
            }
            let Some(store) = shared(&format!("ome-zarr/{name}/{path}")) else {
                continue;
            };
            let data = opened(&store);
            let read = all(&data);
            let number = |key: &str| level[key].as_f64().expect("a number");
            let close = |a: f64, b: f64| (a - b).abs() <= 1e-7 * b.abs();
            assert!(close(read.iter().sum(), number("sum")), "{name}");
            assert!(
                close(read.iter().copied().fold(f64::MAX, f64::min), number("min")),
                "{name}"
            );
            assert!(
                close(read.iter().copied().fold(f64::MIN, f64::max), number("max")),
                "{name}"
            );
            let ends = |key: &str| -> Vec<f64> {
                let all = level[key].as_array().expect("pixels").iter();
                all.map(|v| v.as_f64().expect("a number")).collect()
            };
            let first = ends("first");
            assert!(
                first.iter().zip(&read).all(|(a, b)| close(*b, *a)),
                "{name}: {first:?}"
            );
            let last = ends("last");
            let tail = &read[read.len() - last.len()..];
            assert!(
                last.iter().zip(tail).all(|(a, b)| close(*b, *a)),
                "{name}: {last:?}"
            );
            checked += 1;
        }
    }
    assert_eq!(checked, 8);
}

#[test]
fn real_stores_are_listed_as_they_are_described() {
    let Some(root) = shared("ome-zarr") else {
        return;
    };
    let data = opened(&root.join("5d_dataset_v4.ome.zarr"));
    assert_eq!(data.channels, ["lynEGFP_C1", "NLStdTomato", "lynEGFP_C3"]);
    assert_eq!((data.fields.len(), data.fields[0].planes[0].len()), (4, 16));
    assert_eq!(data.fields[3].name, "5d_dataset_v4_t004");
    assert_eq!(data.fields[0].pixel_um, None);

    let data = opened(&root.join("examples-plate-01.zarr"));
    let names: Vec<_> = data
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(names, ["A01_s1", "A02_s1", "B01_s1", "B02_s1"]);
    assert!(
        data.problems
            .iter()
            .any(|said| said.contains("fit their paths, which are taken: `A/2`"))
    );
    assert!(
        data.problems
            .iter()
            .any(|said| said.contains("none of its chunks is there"))
    );
    // A well or a field of it is opened by itself.
    assert_eq!(
        opened(&root.join("examples-plate-01.zarr/B/1"))
            .fields
            .len(),
        1
    );
    assert_eq!(
        opened(&root.join("examples-plate-01.zarr/B/1/0"))
            .fields
            .len(),
        1
    );

    let data = opened(&root.join("bf2raw_dataset_v5.ome.zarr"));
    let names: Vec<_> = data
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["bf2raw_dataset_v5_image_0", "bf2raw_dataset_v5_image_1"]
    );

    let data = opened(&root.join("cardiomyocyte_B_03_mip.zarr"));
    assert_eq!(data.channels, ["DAPI", "nanog", "Lamin B1"]);
    assert_eq!(data.fields[0].pixel_um, Some(0.325));
    let labels = refused(&root.join("cardiomyocyte_B_03_mip.zarr/labels"));
    assert!(labels.contains("lists labels and no image"), "{labels}");
    let labels = refused(&root.join("cardiomyocyte_B_03_mip.zarr/labels/nuclei"));
    assert!(labels.contains("holds labels (`image-label`)"), "{labels}");
    let table = refused(&root.join("cardiomyocyte_B_03_mip.zarr/tables"));
    assert!(table.contains("without OME-Zarr's metadata"), "{table}");

    for version in ["0.4", "0.5"] {
        let data = opened(&root.join(format!("neuroglancer-simple_{version}")));
        assert_eq!(
            data.fields[0].name,
            format!("neuroglancer-simple_{version}")
        );
        assert_eq!(data.fields[0].pixel_um, None);
        assert!(data.problems[0].contains("not square (0.004 x 0.03 um)"));
    }
    let group = refused(&root.join("n5-universe-metadata.zarr"));
    assert!(
        group.contains("(in it: `cOrder`, `coordTforms`, `fOrder`)"),
        "{group}"
    );
    // All of the folder at once: each is a field, or several, of its own.
    let data = opened(&root);
    assert!(
        data.fields
            .iter()
            .any(|field| field.name == "examples-image-02")
    );
    assert!(
        data.problems
            .iter()
            .any(|said| said.contains("n5-universe-metadata.zarr"))
    );
}

#[test]
fn every_fault_of_a_broken_plate_is_told() {
    let Some(root) = shared("zarr-broken/broken_v05.ome.zarr") else {
        return;
    };
    let data = opened(&root);
    let names: Vec<_> = data
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    let whole = [
        "A01_s2", "A03_s1", "A03_s2", "B01_s2", "B02_s2", "B03_s1", "C01_s1", "C02_s2",
    ];
    assert_eq!(names, whole);
    for said in [
        "`A/2`, `B/3/1`: left out, since it is an array and no group",
        "`A/1/0`: left out, since it names `0`, which is not there",
        "`B/1/0`: left out, since its shape has 5 axes and its chunks have 3",
        "`B/2/0`: left out, since its `0` is a group and no array",
        "`C/1/1`: left out, since it names `1`, which is not there",
        "`C/2/0`: left out, since its `multiscales` is empty",
        "`C/3`: left out, since it is no well with a list of images",
    ] {
        assert!(
            data.problems.iter().any(|found| found == said),
            "{said}: {:#?}",
            data.problems
        );
    }
}

#[test]
fn arrays_of_the_codecs_sample_read_within_an_image() {
    let Some(root) = shared("zarr-codecs") else {
        return;
    };
    let mut checked = 0;
    for entry in std::fs::read_dir(&root).expect("listed") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let said = refused(&path);
        assert!(said.contains("without OME-Zarr's metadata"), "{said}");
        let (array, sum) = match name.starts_with("sharded") {
            true => (path.join("group/array"), None),
            false => (path.clone(), Some((0..100).sum::<i32>())),
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        copy(&array, &folder.path().join("0"));
        put(
            folder.path(),
            ".zattrs",
            attributes("0.4", &["y", "x"]).to_string().as_bytes(),
        );
        let read = all(&opened(folder.path()));
        if let Some(sum) = sum {
            assert_eq!(read.iter().sum::<f64>(), f64::from(sum), "{name}");
            assert_eq!(read[37], 37.0, "{name}");
        } else {
            assert_eq!((read.len(), read[9]), (64, 9.0), "{name}");
        }
        checked += 1;
    }
    assert_eq!(checked, 10);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        match path.is_dir() {
            true => copy(&path, &to),
            false => std::fs::write(&to, std::fs::read(&path).expect("read")).expect("written"),
        }
    }
}

/// The attributes of an image with these axes, whose level is the array `0`.
fn attributes(version: &str, axes: &[&str]) -> Value {
    let axis = |name: &&str| match *name {
        "t" => json!({ "name": "t", "type": "time", "unit": "minute" }),
        "c" => json!({ "name": "c", "type": "channel" }),
        name => json!({ "name": name, "type": "space", "unit": "micrometer" }),
    };
    let scale = vec![0.5; axes.len()];
    json!({ "multiscales": [{
        "version": version,
        "axes": axes.iter().map(axis).collect::<Vec<_>>(),
        "datasets": [{
            "path": "0",
            "coordinateTransformations": [{ "type": "scale", "scale": scale }],
        }],
    }] })
}

/// An array of 8 bits in one chunk, whose values are their numbers.
fn put_array(folder: &Path, shape: &[usize]) {
    let metadata = json!({
        "zarr_format": 2, "shape": shape, "chunks": shape, "dtype": "|u1", "compressor": null,
        "fill_value": 0, "filters": null, "order": "C",
    });
    put(folder, ".zarray", metadata.to_string().as_bytes());
    let bytes: Vec<u8> = (0..shape.iter().product())
        .map(|k: usize| k as u8)
        .collect();
    let name = vec!["0"; shape.len()].join(".");
    put(folder, &name, &bytes);
}

fn put_image(folder: &Path, attributes: &Value, shape: &[usize]) {
    put(folder, ".zgroup", b"{\"zarr_format\":2}");
    put(folder, ".zattrs", attributes.to_string().as_bytes());
    put_array(&folder.join("0"), shape);
}

#[test]
fn axes_stand_in_any_order_and_number() {
    for (axes, shape) in [
        (&["t", "c", "z", "y", "x"][..], &[2, 3, 2, 4, 5][..]),
        (&["c", "y", "x"], &[3, 4, 5]),
        (&["z", "c", "y", "x"], &[2, 3, 4, 5]),
        (&["y", "x"], &[4, 5]),
        (&["x", "y"], &[5, 4]),
        (&["y", "x", "c"], &[4, 5, 3]),
        (&["x", "t", "y"], &[5, 2, 4]),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        put_image(folder.path(), &attributes("0.4", axes), shape);
        let data = opened(folder.path());
        let size = |name| {
            axes.iter()
                .position(|axis| *axis == name)
                .map_or(1, |a| shape[a])
        };
        assert_eq!(data.fields.len(), size("t"), "{axes:?}");
        assert_eq!(data.channels.len(), size("c"));
        let field = data.fields.last().expect("a field");
        assert_eq!((field.height, field.width), (4, 5));
        assert_eq!(field.pixel_um, Some(0.5));
        let (c, z) = (size("c") - 1, size("z") - 1);
        assert_eq!(field.planes[c].len(), z + 1);
        // The number of the pixel in the array, from its place along each axis.
        let (y, x) = (3, 2);
        let number = axes.iter().zip(shape).fold(0, |number, (axis, size)| {
            let at = match *axis {
                "y" => y,
                "x" => x,
                _ => size - 1,
            };
            number * size + at
        });
        assert_eq!(read(field, c, z)[y * 5 + x], number as f64, "{axes:?}");
    }
}

#[test]
fn older_versions_are_read_and_newer_ones_refused_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let of = |version: &str, axes: Value| {
        let path = folder.path().join(format!("{version}.zarr"));
        let scale = json!({ "version": version, "datasets": [{ "path": "0" }], "axes": axes });
        put_image(&path, &json!({ "multiscales": [scale] }), &[2, 3, 1, 4, 5]);
        path
    };
    for (version, axes) in [
        ("0.1", Value::Null),
        ("0.2", Value::Null),
        ("0.3", json!(["t", "c", "z", "y", "x"])),
    ] {
        let data = opened(&of(version, axes));
        assert_eq!(
            (data.fields.len(), data.channels.len()),
            (2, 3),
            "{version}"
        );
        assert_eq!(data.fields[0].pixel_um, None);
    }
    for version in ["0.6", "0.6.dev1", "0.6rc0", "1.0", "latest"] {
        let said = refused(&of(version, json!(["t", "c", "z", "y", "x"])));
        assert!(said.contains(&format!(
            "its version is `{version}`, and OME-Zarr 0.1 to 0.5"
        )));
    }
    let systems = json!({ "multiscales": [{ "coordinateSystems": [], "datasets": [] }] });
    put_image(&folder.path().join("s"), &systems, &[4, 5]);
    let said = refused(&folder.path().join("s"));
    assert!(said.contains("it has `coordinateSystems`"), "{said}");
}

/// A plate with one well `B/3` of two images in two acquisitions.
fn put_plate(folder: &Path) {
    let plate = json!({ "plate": {
        "version": "0.4", "name": "p 7",
        "acquisitions": [{ "id": 0 }, { "id": 1 }],
        "rows": [{ "name": "B" }], "columns": [{ "name": "3" }],
        "wells": [{ "path": "B/3", "rowIndex": 0, "columnIndex": 0 }],
    } });
    put(folder, ".zattrs", plate.to_string().as_bytes());
    let images = json!([
        { "path": "0", "acquisition": 0 }, { "path": "1", "acquisition": 1 },
    ]);
    let well = json!({ "well": { "version": "0.4", "images": images } });
    put(folder, "B/3/.zattrs", well.to_string().as_bytes());
    for image in ["0", "1"] {
        let image = folder.join("B/3").join(image);
        put_image(&image, &attributes("0.4", &["c", "y", "x"]), &[2, 4, 5]);
    }
}

#[test]
fn acquisitions_of_a_well_are_fields_and_no_times() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    put_plate(folder.path());
    let data = opened(folder.path());
    let names: Vec<_> = data
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(names, ["acquisition0_B03_s1", "acquisition1_B03_s1"]);
    // The same place twice, which is not to be split over training and test.
    assert_eq!(data.fields[0].position, data.fields[1].position);
    assert_eq!(data.fields[0].position.site, Some(1));
    for field in &data.fields {
        assert_eq!(field.position.plate.as_deref(), Some("p 7"));
        assert_eq!(field.position.well.as_deref(), Some("B03"));
        assert_eq!(field.time, None);
    }
    assert_eq!(data.fields[1].metadata["image"], "acquisition 1 image 1");
    let said = "`B/3`: the images of several acquisitions are fields of their own";
    assert!(
        data.problems.iter().any(|found| found == said),
        "{:?}",
        data.problems
    );
}

#[test]
fn a_store_names_nothing_outside_of_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    put_array(&folder.path().join("secret"), &[4, 5]);
    let store = folder.path().join("store");
    let absolute = folder.path().join("secret").display().to_string();
    let mut paths = vec!["../secret".to_string(), "0/../../secret".into(), absolute];
    #[cfg(unix)]
    {
        put_image(&store, &attributes("0.4", &["y", "x"]), &[4, 5]);
        let link = store.join("link");
        std::os::unix::fs::symlink(folder.path().join("secret"), link).expect("a link");
        paths.push("link".into());
    }
    for path in paths {
        let mut said = attributes("0.4", &["y", "x"]);
        said["multiscales"][0]["datasets"][0]["path"] = path.as_str().into();
        put_image(&store, &said, &[4, 5]);
        let said = refused(&store);
        assert!(said.contains(&format!("it names `{path}`")), "{said}");
    }
}

#[test]
fn sizes_that_cannot_be_are_refused_before_memory_is_taken() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let huge = 1_u64 << 40;
    for (shape, chunks, said) in [
        (json!([1, 1, huge, huge]), json!([1, 1, 8, 8]), "too large"),
        (json!([huge, huge, 4, 5]), json!([1, 1, 4, 5]), "too large"),
        (json!([1, huge, 4, 5]), json!([1, 1, 4, 5]), "too large"),
        (
            json!([1, 1, 4, 5]),
            json!([huge, huge, huge, huge]),
            "take more than",
        ),
        (
            json!([1, 1, 4, 5]),
            json!([1, 1, 1_u64 << 20, 1_u64 << 20]),
            "take more than",
        ),
        (
            json!([1, 1, 4, 5]),
            json!([1, 1, 0, 5]),
            "a size of its chunks is 0",
        ),
        (json!([0, 1, 4, 5]), json!([1, 1, 4, 5]), "0 channels"),
        (json!([1, 1, 0, 5]), json!([1, 1, 4, 5]), "no pixels"),
        (json!([1, 1, -4, 5]), json!([1, 1, 4, 5]), "its `shape` is"),
        (json!([1, 1, 4.5, 5]), json!([1, 1, 4, 5]), "its `shape` is"),
    ] {
        put_image(
            folder.path(),
            &attributes("0.4", &["c", "z", "y", "x"]),
            &[1, 1, 4, 5],
        );
        let metadata = json!({
            "zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": "<u2", "order": "C",
            "compressor": null, "fill_value": 0, "filters": null,
        });
        put(folder.path(), "0/.zarray", metadata.to_string().as_bytes());
        let found = refused(folder.path());
        assert!(found.contains(said), "{shape} {chunks}: {found}");
    }
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let array = json!({
        "zarr_format": 2, "shape": [4, 5], "chunks": [4, 5], "dtype": "|u1", "order": "C",
        "compressor": null, "fill_value": 0, "filters": null,
    });
    for (key, value, said) in [
        ("dtype", json!("|O"), "elements have the type `\"|O\"`"),
        ("dtype", json!([["a", "<u2"]]), "elements have the type"),
        ("dtype", json!("<c8"), "elements have the type"),
        ("dtype", json!("<M8[ns]"), "elements have the type"),
        ("compressor", json!({ "id": "bz2" }), "coded by `bz2`"),
        ("compressor", json!("zstd"), "has no `id`"),
        ("filters", json!([{ "id": "delta" }]), "it has the filters"),
        ("order", json!("K"), "its order"),
        ("fill_value", json!(300), "its fill value `300`"),
        ("zarr_format", json!(3), "`zarr_format` `3`"),
        ("dimension_separator", json!("-"), "separated by"),
    ] {
        put_image(folder.path(), &attributes("0.4", &["y", "x"]), &[4, 5]);
        let mut metadata = array.clone();
        metadata[key] = value;
        put(folder.path(), "0/.zarray", metadata.to_string().as_bytes());
        let found = refused(folder.path());
        assert!(found.contains(said), "{key}: {found}");
    }
    put(
        folder.path(),
        "0/.zarray",
        b"version https://git-lfs.github.com/spec/v1\n",
    );
    let found = refused(folder.path());
    assert!(found.contains("placeholder of Git LFS"), "{found}");
    let empty = folder.path().join("empty.zarr");
    std::fs::create_dir(&empty).expect("made");
    assert!(refused(&empty).contains("store without metadata"));
    std::fs::write(folder.path().join("a.zarr"), b"PK").expect("written");
    let found = refused(&folder.path().join("a.zarr"));
    assert!(
        found.contains("OME-Zarr store is a folder; unpack it first"),
        "{found}"
    );
}

/// Pixels of a large array are read where they are wanted: other chunks are damaged, or not there.
#[test]
fn a_window_reads_only_the_chunks_that_it_touches() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    put_image(folder.path(), &attributes("0.4", &["y", "x"]), &[4, 5]);
    let metadata = json!({
        "zarr_format": 2, "shape": [20_000, 20_000], "chunks": [512, 512], "dtype": "<u2",
        "order": "C", "compressor": { "id": "zstd", "level": 1 }, "fill_value": 9,
        "filters": null, "dimension_separator": "/",
    });
    put(folder.path(), "0/.zarray", metadata.to_string().as_bytes());
    let pixels: Vec<u8> = (0..512 * 512)
        .flat_map(|k: u32| (k as u16).to_le_bytes())
        .collect();
    let chunk = zstd(&pixels);
    put(folder.path(), "0/3/7", &chunk);
    put(folder.path(), "0/3/9", b"damaged");
    let data = opened(folder.path());
    let plane = data.fields[0].planes[0][0].clone().expect("a plane");
    // Its upper half lies in the chunk above, which is not there.
    let window = |x| Region {
        y: 3 * 512 - 1,
        x,
        height: 2,
        width: 3,
    };
    let read = values(&plane.read_region(window(7 * 512 + 1)).expect("reads"));
    assert_eq!(read, [9.0, 9.0, 9.0, 1.0, 2.0, 3.0]);
    let said = plane
        .read_region(window(9 * 512))
        .expect_err("damaged")
        .to_string();
    assert!(said.contains("the chunk does not decode"), "{said}");
}

/// A frame of zstd with its bytes as they are, in blocks of at most 128 KiB.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut frame = b"\x28\xb5\x2f\xfd\x00\x58".to_vec();
    let blocks: Vec<_> = bytes.chunks(1 << 17).collect();
    for (k, block) in blocks.iter().enumerate() {
        let head = (block.len() as u32) << 3 | u32::from(k + 1 == blocks.len());
        frame.extend(&head.to_le_bytes()[..3]);
        frame.extend(*block);
    }
    frame
}

#[test]
fn a_plane_whose_chunks_changed_has_another_stamp_and_other_bytes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    put_image(
        folder.path(),
        &attributes("0.4", &["c", "y", "x"]),
        &[2, 4, 5],
    );
    let metadata = json!({
        "zarr_format": 2, "shape": [2, 4, 5], "chunks": [1, 4, 3], "dtype": "|u1", "order": "C",
        "compressor": null, "fill_value": 0, "filters": null,
    });
    put(folder.path(), "0/.zarray", metadata.to_string().as_bytes());
    put(folder.path(), "0/0.0.0", &[1; 12]);
    let data = opened(folder.path());
    let plane = |c: usize| data.fields[0].planes[c][0].clone().expect("a plane");
    let stored = || {
        let mut bytes = Vec::new();
        let mut sink = |piece: &[u8]| bytes.extend_from_slice(piece);
        plane(0).stored(&mut sink).expect("read");
        bytes
    };
    let (stamps, bytes) = ([0, 1].map(|c| plane(c).stamp().expect("a stamp")), stored());
    assert_eq!([0, 1].map(|c| plane(c).stamp().expect("a stamp")), stamps);
    put(folder.path(), "0/0.0.1", &[2; 12]);
    assert_ne!(plane(0).stamp().expect("a stamp"), stamps[0]);
    // The other channel lies in other files.
    assert_eq!(plane(1).stamp().expect("a stamp"), stamps[1]);
    assert_ne!(stored(), bytes);
    // The same bytes in another place are other pixels.
    let before = stored();
    std::fs::rename(folder.path().join("0/0.0.1"), folder.path().join("0/1.0.1")).expect("moved");
    assert_ne!(stored(), before);
}

#[test]
fn planes_without_chunks_are_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    put_image(
        folder.path(),
        &attributes("0.4", &["c", "y", "x"]),
        &[2, 4, 5],
    );
    let metadata = json!({
        "zarr_format": 2, "shape": [3, 4, 5], "chunks": [1, 4, 5], "dtype": "|u1", "order": "C",
        "compressor": null, "fill_value": 6, "filters": null, "dimension_separator": "/",
    });
    put(folder.path(), "0/.zarray", metadata.to_string().as_bytes());
    std::fs::remove_file(folder.path().join("0/0.0.0")).expect("removed");
    put(folder.path(), "0/1/0/0", &[1; 20]);
    let data = opened(folder.path());
    let said = "2 of its 3 planes have no chunks and are missing (the first: channel 1, plane 1, \
                time 1)";
    assert!(
        data.problems.iter().any(|found| found == said),
        "{:?}",
        data.problems
    );
    // What is missing as a whole is no channel.
    assert_eq!(data.channels, ["C2"]);
    assert_eq!(read(&data.fields[0], 0, 0), [1.0; 20]);
    // Where nothing at all is stored, it is what the fill value says.
    std::fs::remove_dir_all(folder.path().join("0/1")).expect("removed");
    let data = opened(folder.path());
    assert_eq!(read(&data.fields[0], 2, 0), [6.0; 20]);
    assert!(data.problems[0].contains("are read as the fill value `6`"));
}

/// A linear congruential generator (Knuth, MMIX): the tests must be the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        let product = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = product.wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % end.max(1) as u64) as usize
    }
}

/// Everything that reads a store; only that it returns matters.
fn read_all(path: &Path) {
    let Ok(data) = open(path, &OpenOptions::default()) else {
        return;
    };
    for field in data.fields.iter().take(4) {
        for plane in field.planes.iter().flatten().flatten().take(4) {
            let height = field.height.min(64);
            let width = field.width.min(64);
            let _ = plane.read_region(Region {
                y: 0,
                x: 0,
                height,
                width,
            });
            let _ = plane.stamp();
        }
    }
}

#[test]
fn damaged_stores_never_panic() {
    let mut random = Random(7);
    let stores = stores();
    for name in [
        "v2-blosc-blosclz-1",
        "v2-blosc-lz4-2",
        "v2-blosc-zlib-1",
        "v2-blosc-zstd-1",
        "v2-lz4",
        "v3-shards",
        "v3-shards-start",
        "v3-shards-plain",
        "v3-crc32c",
        "v3-blosc",
        "v3-transpose",
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        unpack(&stores[name], folder.path());
        let files = stores[name]["files"].as_object().expect("files");
        for file in files.keys().take(8) {
            let path = folder.path().join(file);
            let whole = std::fs::read(&path).expect("read");
            for _ in 0..20 {
                std::fs::write(&path, &whole[..random.below(whole.len())]).expect("written");
                read_all(folder.path());
                let mut flipped = whole.clone();
                let at = random.below(whole.len());
                flipped[at] ^= 1 << random.below(8);
                std::fs::write(&path, &flipped).expect("written");
                read_all(folder.path());
            }
            std::fs::write(&path, &whole).expect("written");
        }
    }
}

#[test]
fn a_plate_in_parts_of_it_never_panics() {
    let mut random = Random(9);
    let folder = tempfile::tempdir().expect("a temporary folder");
    put_plate(folder.path());
    for file in [".zattrs", "B/3/.zattrs", "B/3/0/.zattrs", "B/3/0/0/.zarray"] {
        let path = folder.path().join(file);
        let whole = std::fs::read(&path).expect("read");
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).expect("written");
            read_all(folder.path());
            let mut flipped = whole.clone();
            flipped[length] ^= 1 << random.below(8);
            std::fs::write(&path, &flipped).expect("written");
            read_all(folder.path());
        }
        std::fs::write(&path, &whole).expect("written");
    }
    assert_eq!(opened(folder.path()).fields.len(), 2);
}

#[test]
fn acquisitions_of_a_well_by_itself_show_the_same_places() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    put_plate(folder.path());
    let data = opened(&folder.path().join("B/3"));
    let names: Vec<_> = data.fields.iter().map(|field| &field.name).collect();
    assert_eq!(names, ["acquisition0_3_s1", "acquisition1_3_s1"]);
    assert_eq!(data.fields[0].position, data.fields[1].position);
}

#[test]
fn a_store_in_the_folder_of_a_plate_does_not_stand_for_the_plate() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    put_image(
        &folder.path().join("a.zarr"),
        &attributes("0.4", &["y", "x"]),
        &[4, 5],
    );
    let htd = common::htd(1, 0, 1, &["TL"]);
    put(folder.path(), "day/p.HTD", htd.as_bytes());
    common::put_plane(folder.path(), "day/p_B02_s1_w1.tif", 1, "");
    let data = opened(folder.path());
    assert_eq!(data.layout, "imagexpress", "{:?}", data.problems);

    // What the program made of images is none, and is told.
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["a.zarr", "b.zarr"] {
        let store = folder.path().join(name);
        put_image(&store, &attributes("0.4", &["y", "x"]), &[4, 5]);
    }
    let marker = json!({ "program": "stainfree", "version": "1", "command": "x", "kind": "study" });
    put(
        &folder.path().join("b.zarr"),
        "made-by-stainfree.json",
        marker.to_string().as_bytes(),
    );
    let data = opened(folder.path());
    assert_eq!(data.fields.len(), 1);
    let said = data.problems.join("\n");
    assert!(
        said.contains("`b.zarr`: left out, since it is a study"),
        "{said}"
    );
}

#[test]
fn many_channels_and_planes_are_listed_at_once_and_more_are_refused() {
    for (shape, depth) in [([1, 1024, 1, 1, 1], 1), ([1, 1, 65_536, 1, 1], 65_536)] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let axes = ["t", "c", "z", "y", "x"];
        put_image(folder.path(), &attributes("0.4", &axes), &shape);
        let data = opened(folder.path());
        assert_eq!(data.channels.len(), shape[1]);
        assert_eq!(data.fields[0].planes[0].len(), depth);
        let more = shape.map(|size| if size > 1 { size + 1 } else { 1 });
        let array = folder.path().join("0/.zarray");
        let text = std::fs::read_to_string(&array).expect("read");
        let shapes = [shape, more].map(|shape| serde_json::to_string(&shape).expect("JSON"));
        std::fs::write(&array, text.replace(&shapes[0], &shapes[1])).expect("written");
        let said = refused(folder.path());
        assert!(
            said.contains("too large") && said.contains("in parts"),
            "{said}"
        );
    }
}
