//! Names of files read by a pattern that the user gives.

mod common;

use std::path::Path;

use common::put_plane;
use stainfree_image::{Dataset, ImageError, OpenOptions, open, open_files};

fn by(pattern: &str) -> OpenOptions {
    OpenOptions {
        pattern: Some(pattern.into()),
        ..OpenOptions::default()
    }
}

fn opened(folder: &Path, pattern: &str) -> Dataset {
    open(folder, &by(pattern)).expect("opens")
}

fn refused(folder: &Path, pattern: &str) -> String {
    open(folder, &by(pattern)).expect_err("refused").to_string()
}

fn folder_of(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (number, name) in (1..).zip(names) {
        put_plane(folder.path(), name, number, "");
    }
    folder
}

fn names(data: &Dataset) -> Vec<&str> {
    data.fields.iter().map(|f| f.name.as_str()).collect()
}

/// Which file a plane came from, counted from 1: `put_plane` writes hundreds.
fn file(data: &Dataset, field: usize, channel: usize, z: usize) -> f32 {
    let plane = data.fields[field].read(channel, z).expect("a plane");
    common::first_pixel(&plane) / 100.0
}

#[test]
fn wells_sites_planes_and_channels() {
    let folder = folder_of(&[
        "b2-2-z3-w10.tif",
        "b2-2-z1-w10.tif",
        "b2-2-z1-w9.tif",
        "C11-1-z1-w9.tif",
        "odd.tif",
    ]);
    let pattern = r"^(?<well>[A-Za-z]\d+)-(?<site>\d)-z(?<z>\d)-(?<channel>\w+)$";
    let options = OpenOptions {
        pixel_um: Some(0.4),
        ..by(pattern)
    };
    let data = open(folder.path(), &options).expect("opens");
    assert_eq!(names(&data), ["B02_s2", "C11_s1"]);
    assert_eq!(data.fields[0].position.well.as_deref(), Some("B02"));
    assert_eq!(data.channels, ["w9", "w10"]);
    assert_eq!(data.fields[0].pixel_um, Some(0.4));
    assert_eq!([0, 1].map(|z| file(&data, 0, 1, z)), [2.0, 1.0]);
    let said = data.problems.join("\n");
    assert!(
        said.contains("`odd.tif`: the name does not match"),
        "{said}"
    );
}

#[test]
fn planes_keep_their_place_where_a_field_lacks_one() {
    let folder = folder_of(&["a_z1.tif", "a_z2.tif", "a_z3.tif", "b_z1.tif", "b_z3.tif"]);
    let data = opened(folder.path(), r"(?<name>.)_z(?<z>\d)");
    assert_eq!(data.channels, ["image"]);
    assert_eq!(file(&data, 1, 0, 2), 5.0);
    assert!(data.fields[1].read(0, 1).is_err());
    assert!(data.problems.iter().any(|said| said.contains("misses")));
}

#[test]
fn files_of_one_plane_are_named_and_none_is_chosen() {
    let folder = folder_of(&["a_bf_1.tif", "a_bf_2.tif", "a_dapi_1.tif"]);
    let data = opened(folder.path(), r"(?<name>.)_(?<channel>[^_]+)");
    assert_eq!(data.channels, ["dapi"]);
    let said = data.problems.join("\n");
    let told = "`a_bf_1.tif`, `a_bf_2.tif` are one plane by their names, so none of them is used";
    assert!(said.contains(told), "{said}");
}

#[test]
fn folders_below_are_read_where_the_pattern_has_a_slash() {
    let folder = folder_of(&[
        "r02/c03/f1/BF.tif",
        "r02/c03/f2/BF.tif",
        "r02/c03/f2/DAPI.tif",
        "top.tif",
    ]);
    let pattern = r"r(?<row>\d+)/c(?<column>\d+)/f(?<site>\d+)/(?<channel>\w+)";
    let data = opened(folder.path(), pattern);
    assert_eq!(names(&data), ["B03_s1", "B03_s2"]);
    assert_eq!(data.channels, ["BF", "DAPI"]);
    assert_eq!(file(&data, 1, 1, 0), 3.0);
    // Without one, only what lies in the folder itself.
    assert_eq!(names(&opened(folder.path(), "(?<name>.+)")), ["top"]);
}

#[test]
fn times_of_one_place_are_one_position() {
    let folder = folder_of(&["cell-7-0.tif", "cell-7-1.tif", "cell-8-1.tif"]);
    let data = opened(folder.path(), r"(?<name>\w+-\d)-(?<time>\d)");
    assert_eq!(names(&data), ["cell-7_t000", "cell-7_t001", "cell-8_t001"]);
    let at: Vec<_> = data.fields.iter().map(|field| field.time).collect();
    assert_eq!(at, [Some(0), Some(1), Some(1)]);
    assert_eq!(data.fields[0].position, data.fields[1].position);
    assert_ne!(data.fields[1].position, data.fields[2].position);
}

#[test]
fn a_pattern_counts_more_than_what_wrote_the_files() {
    let htd = common::htd(1, 0, 1, &["TL"]);
    for (name, mark) in [
        ("VID7_B2_1_00d00h00m.tif", ""),
        ("B3_02_1_1_Bright Field_001.tif", ""),
        ("img_000000000_BF_000.tif", ""),
        ("plate_B02_s1_w1.tif", "plate.HTD"),
        ("r02c03f01p01-ch1sk1fk1fl1.tiff", "Index.idx.xml"),
    ] {
        let folder = folder_of(&[name]);
        if !mark.is_empty() {
            common::put(folder.path(), mark, htd.as_bytes());
        }
        let data = opened(folder.path(), "^(?<name>...).*$");
        assert_eq!(data.layout, "folder", "{name}");
        assert_eq!(data.fields[0].name, name[..3], "{name}");
    }
}

#[test]
fn files_named_one_by_one_are_read_by_it_too() {
    let folder = folder_of(&["a-1.tif", "a-2.tif"]);
    let paths = ["a-1.tif", "a-2.tif"].map(|name| folder.path().join(name));
    let options = by(r"(?<name>.)-(?<channel>.)");
    let data = open_files(&paths, &options).expect("opens");
    assert_eq!((names(&data), data.channels.len()), (vec!["a"], 2));
    let one = open(&paths[1], &options).expect("opens");
    assert_eq!(one.channels, ["2"]);
}

#[test]
fn what_a_pattern_cannot_mean_is_refused() {
    let folder = folder_of(&["a.tif"]);
    let at = folder.path();
    for (pattern, said) in [
        ("(?<name>", "is no regular expression"),
        (
            "(?<site>.)",
            "has no group `name` or `well`, nor `row` and `column`",
        ),
        (
            "(?<row>.)",
            "has no group `name` or `well`, nor `row` and `column`",
        ),
        (
            "(?<name>.)(?<chanel>.)?",
            "has the group `chanel`, which means nothing",
        ),
        (
            "(?<name>b)",
            "`a.tif`: the name does not match the pattern `(?<name>b)`",
        ),
        ("(?<name>.)|(?<well>.)", ""),
        ("(?<well>.)", "`a.tif`: `a` is no well of a plate"),
        ("(?<name>.)(?<z>)", ""),
        (
            "(?<site>(?<name>.))",
            "`a.tif`: `a` is no number for the group `site`",
        ),
    ] {
        match said {
            "" => drop(opened(at, pattern)),
            said => {
                let told = refused(at, pattern);
                assert!(told.contains(said), "{pattern}: {told}");
            }
        }
    }
    let empty = tempfile::tempdir().expect("a temporary folder");
    let told = refused(empty.path(), "(?<name>.+)");
    assert!(
        told.contains("reads names of TIFF and PNG files, and it has none"),
        "{told}"
    );
    common::put(empty.path(), "a.nd2", b"");
    let error = open(&empty.path().join("a.nd2"), &by("(?<name>.+)")).expect_err("refused");
    assert!(matches!(error, ImageError::Misuse { .. }), "{error}");
}
