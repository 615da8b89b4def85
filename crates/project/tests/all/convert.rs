//! Converted images: what they are called, when they are made again, and what stays.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stainfree_image::{Image, OpenOptions, Plane, open, write};
use stainfree_project::ProjectError;
use stainfree_project::convert::{ConvertOptions, Converted, Format, convert};

use crate::common::{Place, has, heard, note, quietly, said};

fn options(place: &Place, to: Format) -> ConvertOptions {
    ConvertOptions {
        input: place.path("images"),
        out: place.path("out"),
        to,
        opening: OpenOptions::default(),
        overwrite: false,
    }
}

fn converted(options: &ConvertOptions) -> Result<Converted, ProjectError> {
    quietly(|job| convert(options, job))
}

/// A plane of these values.
fn plane(place: &Place, name: &str, value: impl Fn(usize, usize) -> u16) {
    let path = place.made(name);
    write::plane_u16(&path, &Image::from_fn(20, 24, value), &note()).unwrap();
}

/// All files below a folder with their bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => drop(found.insert(path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    found
}

#[test]
fn files_have_the_names_of_the_images_as_every_system_takes_them() {
    for to in Format::ALL {
        let place = Place::new();
        let names = ["plain", "a b, c", "ü 細胞", "dots.in.name", "100%"];
        for (i, name) in names.iter().enumerate() {
            plane(&place, &format!("images/{name}.tif"), |y, x| {
                (y * 7 + x * i) as u16
            });
        }
        let found = converted(&options(&place, to)).unwrap();
        assert_eq!((found.images, found.skipped, found.failed.len()), (5, 0, 0));
        let ending = match to {
            Format::OmeTiff => "ome.tif",
            Format::OmeZarr => "ome.zarr",
        };
        let mut expected: Vec<String> = names.map(|name| format!("{name}.{ending}")).to_vec();
        let mut files = found.files.clone();
        expected.sort();
        files.sort();
        assert_eq!(files, expected);
        // Each opens as the image that it was, under the name that it had.
        for (i, name) in names.iter().enumerate() {
            let path = place.path(&format!("out/{name}.{ending}"));
            let set = open(&path, &OpenOptions::default()).unwrap();
            let expected = Image::from_fn(20, 24, |y, x| (y * 7 + x * i) as u16);
            let read = set.fields[0].read(0, 0).unwrap();
            assert_eq!(read.to_f32(), Plane::U16(expected).to_f32(), "{name}");
            assert_eq!(set.fields[0].pixel_um, Some(0.5));
        }
    }
}

#[test]
fn names_that_differ_in_case_alone_are_refused_before_anything_is_written() {
    let place = Place::new();
    for name in ["Cells", "cells", "x"] {
        plane(&place, &format!("images/{name}.tif"), |y, _| y as u16);
    }
    if std::fs::read_dir(place.path("images")).unwrap().count() < 3 {
        return; // A file system without case has one of them.
    }
    has(
        &said(converted(&options(&place, Format::OmeTiff))),
        &["two images or plates of", "one by one", "`--out`"],
    );
    assert!(!place.path("out").exists());
}

#[test]
fn pixels_keep_their_values_and_their_narrowest_type() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("images")).unwrap();
    let small = Image::from_fn(20, 24, |y, x| (y * 10 + x) as u8);
    write::png_gray(&place.path("images/bytes.png"), &small).unwrap();
    plane(&place, "images/words.tif", |y, x| {
        (60_000 + y * 24 + x) as u16
    });
    let real = Image::from_fn(20, 24, |y, x| y as f32 / 3.0 - x as f32 * 1e6);
    write::plane_f32(&place.path("images/real.tif"), &real, &note()).unwrap();
    for to in Format::ALL {
        let out = ConvertOptions {
            out: place.path(to.name()),
            ..options(&place, to)
        };
        let found = converted(&out).unwrap();
        assert!(found.failed.is_empty(), "{:?}", found.failed);
        let first = |file: &str| {
            let set = open(&out.out.join(file), &OpenOptions::default()).unwrap();
            set.fields[0].read(0, 0).unwrap()
        };
        let end = if to == Format::OmeTiff { "tif" } else { "zarr" };
        assert_eq!(first(&format!("bytes.ome.{end}")), Plane::U8(small.clone()));
        let words = first(&format!("words.ome.{end}"));
        assert!(matches!(&words, Plane::U16(image) if image.get(19, 23) == 60_479));
        assert_eq!(first(&format!("real.ome.{end}")), Plane::F32(real.clone()));
    }
}

#[test]
fn times_of_a_place_are_one_image_and_one_that_is_missing_stays_so() {
    let place = Place::new();
    for time in [1, 2, 4] {
        plane(&place, &format!("images/a_t00{time}.tif"), |y, x| {
            (100 * time + y + x) as u16
        });
    }
    let (found, notes) = heard(|job| convert(&options(&place, Format::OmeTiff), job));
    assert_eq!(found.unwrap().files, ["a.ome.tif"], "{notes:?}");
    let set = open(&place.path("out/a.ome.tif"), &OpenOptions::default()).unwrap();
    let times: Vec<Option<u32>> = set.fields.iter().map(|field| field.time).collect();
    assert!(times.contains(&Some(4)), "{times:?}");
    for field in &set.fields {
        match field.time {
            Some(3) => assert!(field.read(0, 0).is_err() || times.len() == 3),
            time => {
                let first = field.read(0, 0).unwrap().to_f32().get(0, 0);
                assert_eq!(Some(first), time.map(|time| 100.0 * time as f32));
            }
        }
    }
}

#[test]
fn planes_of_a_stack_stay_in_their_order_in_both_formats() {
    let place = Place::new();
    let planes: Vec<Image<u16>> = (0..4)
        .map(|z| Image::from_fn(20, 24, |y, x| (1000 * z + 24 * y + x) as u16))
        .collect();
    place.stack("images/s.ome.tif", &planes);
    for to in Format::ALL {
        let out = ConvertOptions {
            out: place.path(to.name()),
            ..options(&place, to)
        };
        let found = converted(&out).unwrap();
        let set = open(&out.out.join(&found.files[0]), &OpenOptions::default()).unwrap();
        assert_eq!(set.channels, ["BF"]);
        let field = &set.fields[0];
        assert_eq!(field.planes[0].len(), 4);
        for (z, plane) in planes.iter().enumerate() {
            assert_eq!(field.read(0, z).unwrap(), Plane::U16(plane.clone()), "{z}");
        }
    }
}

#[test]
fn the_same_command_goes_on_and_another_input_is_refused() {
    let place = Place::new();
    for i in 0..3 {
        plane(&place, &format!("images/f{i}.tif"), |y, x| {
            (y * x + i) as u16
        });
    }
    let options = options(&place, Format::OmeTiff);
    converted(&options).unwrap();
    let before = files(&options.out);
    let again = converted(&options).unwrap();
    assert_eq!((again.images, again.skipped), (3, 3));
    assert_eq!(files(&options.out), before);
    // One that is gone is made again, with the same bytes, and the others are left alone.
    std::fs::remove_file(place.path("out/f1.ome.tif")).unwrap();
    let again = converted(&options).unwrap();
    assert_eq!((again.images, again.skipped), (3, 2));
    assert_eq!(files(&options.out), before);
    // An image that changed is another one.
    plane(&place, "images/f2.tif", |y, x| (y + x + 999) as u16);
    let error = said(converted(&options));
    has(
        &error,
        &[
            "holds 1 of 3 results, such as `f2.ome.tif`",
            "`--overwrite`",
        ],
    );
    assert_eq!(files(&options.out), before);
    let over = ConvertOptions {
        overwrite: true,
        ..options.clone()
    };
    let found = converted(&over).unwrap();
    assert_eq!((found.images, found.skipped), (3, 2));
    let set = open(&place.path("out/f2.ome.tif"), &OpenOptions::default()).unwrap();
    assert_eq!(set.fields[0].read(0, 0).unwrap().to_f32().get(0, 0), 999.0);
    // A further image joins what is there.
    plane(&place, "images/f3.tif", |y, _| y as u16);
    let found = converted(&options).unwrap();
    assert_eq!((found.images, found.skipped, found.files.len()), (4, 3, 4));
}

#[test]
fn files_of_others_are_never_replaced_even_where_that_is_asked_for() {
    let place = Place::new();
    plane(&place, "images/f.tif", |y, _| y as u16);
    place.write("out/f.ome.tif", "my own");
    for overwrite in [false, true] {
        let options = ConvertOptions {
            overwrite,
            ..options(&place, Format::OmeTiff)
        };
        has(
            &said(converted(&options)),
            &[
                "f.ome.tif` is there and is no result of `convert`",
                "move it away",
            ],
        );
        assert_eq!(place.text("out/f.ome.tif"), "my own");
    }
    // A store of another program, in a folder where ours have been.
    let place = Place::new();
    plane(&place, "images/f.tif", |y, _| y as u16);
    let zarr = options(&place, Format::OmeZarr);
    converted(&zarr).unwrap();
    std::fs::remove_dir_all(place.path("out/f.ome.zarr")).unwrap();
    place.write(
        "out/f.ome.zarr/zarr.json",
        "{\"zarr_format\": 3, \"node_type\": \"group\"}",
    );
    has(
        &said(converted(&zarr)),
        &["f.ome.zarr` is there and is no result"],
    );
    // Results never go among the images.
    let inside = ConvertOptions {
        out: place.path("images"),
        ..zarr
    };
    has(
        &said(converted(&inside)),
        &["holds images that are read", "`--out`"],
    );
}

#[test]
fn an_image_that_cannot_be_read_spoils_no_other() {
    let place = Place::new();
    for i in 0..3 {
        plane(&place, &format!("images/f{i}.tif"), |y, x| {
            (y * x + i) as u16
        });
    }
    let bytes = std::fs::read(place.path("images/f1.tif")).unwrap();
    // The head says what it is, the pixels end too early.
    let set = open(&place.path("images"), &OpenOptions::default()).unwrap();
    assert_eq!(set.fields.len(), 3);
    std::fs::write(place.path("images/f1.tif"), &bytes[..bytes.len() / 2]).unwrap();
    let (found, notes) = heard(|job| convert(&options(&place, Format::OmeTiff), job));
    let found = found.unwrap();
    assert_eq!(found.files, ["f0.ome.tif", "f2.ome.tif"]);
    let all = [found.failed.join("\n"), notes.join("\n")].join("\n");
    has(&all, &["f1"]);
    assert!(!place.path("out/f1.ome.tif").exists());
    // Repaired, the same command makes what is missing.
    std::fs::write(place.path("images/f1.tif"), &bytes).unwrap();
    let found = converted(&options(&place, Format::OmeTiff)).unwrap();
    assert_eq!((found.images, found.skipped), (3, 2));
}
