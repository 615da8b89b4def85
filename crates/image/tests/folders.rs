//! Folders of images beside one another: channels, places, times, or a question.

mod common;

use common::put_plane;
use stainfree_image::{Dataset, ImageError, OpenOptions, open};

fn folders(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (number, name) in (1..).zip(names) {
        put_plane(folder.path(), name, number, "");
    }
    folder
}

fn opened(names: &[&str]) -> Dataset {
    open(folders(names).path(), &OpenOptions::default()).expect("opens")
}

/// Fields and channels.
fn read(names: &[&str]) -> (Vec<String>, Vec<String>) {
    let data = opened(names);
    let fields = data.fields.into_iter().map(|field| field.name);
    (fields.collect(), data.channels)
}

fn are(fields: &[&str], channels: &[&str]) -> (Vec<String>, Vec<String>) {
    let owned = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
    (owned(fields), owned(channels))
}

#[test]
fn folders_called_after_places_are_no_channels() {
    let wells = ["B02/bf.tif", "B02/dapi.tif", "C11/bf.tif", "C11/dapi.tif"];
    assert_eq!(read(&wells), are(&["B02", "C11"], &["bf", "dapi"]));
    let data = opened(&wells);
    assert_eq!(data.fields[1].position.well.as_deref(), Some("C11"));
    let sites = [
        "B2/s1_bf.tif",
        "B2/s2_bf.tif",
        "B3/s1_bf.tif",
        "B3/s2_bf.tif",
    ];
    let found = are(&["B02_s1", "B02_s2", "B03_s1", "B03_s2"], &["bf"]);
    assert_eq!(read(&sites), found);
    // One folder for each field, with its truth beside it.
    let sets = ["set1/raw.tif", "set1/instances_ids.tif", "set10/raw.tif"];
    let found = are(&["set1", "set10"], &["instances_ids", "raw"]);
    assert_eq!(read(&sets), found);
    // Files that are fields themselves.
    let runs = ["exp1/f01.tif", "exp1/f02.tif", "exp2/f01.tif"];
    let found = are(&["exp1_f01", "exp1_f02", "exp2_f01"], &["image"]);
    assert_eq!(read(&runs), found);
    let numbered = [
        "site1/img_001.tif",
        "site1/img_002.tif",
        "site2/img_001.tif",
    ];
    let found = are(
        &["site1_img_001", "site1_img_002", "site2_img_001"],
        &["image"],
    );
    assert_eq!(read(&numbered), found);
    // Names that differ from folder to folder, and say the folder again.
    let own = ["Pos0/Pos0_bf.tif", "Pos1/Pos1_bf.tif", "Pos1/Pos1_dapi.tif"];
    assert_eq!(read(&own), are(&["Pos0", "Pos1"], &["bf", "dapi"]));
    // Named after nothing that is known, but their files are channels.
    let conditions = ["control/bf.tif", "control/dapi.tif", "drug/bf.tif"];
    assert_eq!(
        read(&conditions),
        are(&["control", "drug"], &["bf", "dapi"])
    );
}

#[test]
fn folders_of_wells_are_wells_in_every_row() {
    // Rows that also begin names of channels (`C1`, `A647`) are rows beside others.
    for (one, other) in [
        ("B02", "C03"),
        ("A1", "A2"),
        ("A1", "C1"),
        ("C9", "C10"),
        ("c3", "d4"),
    ] {
        for file in ["s1_bf", "001", "Pos2"] {
            let names = [one, other].map(|well| format!("{well}/{file}.tif"));
            let data = opened(&[&names[0], &names[1]]);
            let wells = data.fields.iter().map(|field| field.position.well.clone());
            let known = wells.flatten().collect::<Vec<_>>();
            assert_eq!(known.len(), 2, "{names:?}: {known:?}, {:?}", data.channels);
        }
    }
    let row = ["C1/a.tif", "C2/a.tif", "C3/a.tif"];
    assert_eq!(read(&row), are(&["a"], &["C1", "C2", "C3"]));
}

#[test]
fn folders_called_after_channels_are_channels() {
    for [first, second] in [
        ["bf", "dapi"],
        ["C1", "C2"],
        ["405", "488nm"],
        ["images", "masks"],
        ["raw", "stain"],
        ["BF_z1", "BF_z2"],
        ["w1", "w2"],
        ["Bright Field", "unknown"],
    ] {
        let files = [first, second].map(|folder| format!("{folder}/001.tif"));
        let found = read(&files.each_ref().map(String::as_str));
        assert_eq!(found, are(&["001"], &[first, second]));
    }
    // `C1` and `C2` with channels in them are wells.
    let wells = ["C1/bf.tif", "C1/dapi.tif", "C2/bf.tif", "C2/dapi.tif"];
    assert_eq!(read(&wells), are(&["C01", "C02"], &["bf", "dapi"]));
    // A single folder, whatever its name.
    assert_eq!(read(&["anything/a.tif"]), are(&["a"], &["anything"]));
}

#[test]
fn folders_called_after_times_are_times_of_the_same_places() {
    let data = opened(&["t0/a.tif", "t0/b.tif", "t1/a.tif", "t10/a.tif"]);
    let places: Vec<_> = data
        .fields
        .iter()
        .map(|f| f.position.name.as_str())
        .collect();
    let times: Vec<_> = data.fields.iter().map(|f| f.time).collect();
    assert_eq!(places, ["a", "a", "a", "b"]);
    assert_eq!(times, [Some(0), Some(1), Some(10), Some(0)]);
}

#[test]
fn what_nothing_tells_is_asked() {
    let folder = folders(&["control/001.tif", "treated/001.tif"]);
    let open_by = |pattern: Option<&str>| {
        let options = OpenOptions {
            pattern: pattern.map(String::from),
            ..OpenOptions::default()
        };
        open(folder.path(), &options)
    };
    let error = open_by(None).expect_err("unclear");
    assert!(matches!(error, ImageError::Unclear { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("its folders (`control`, `treated`)"),
        "{text}"
    );
    // Both answers that it offers work.
    let answers: Vec<&str> = text.split('\'').skip(1).step_by(2).collect();
    let [channels, places] = answers[..] else {
        panic!("{text}");
    };
    let data = open_by(Some(channels)).expect("opens");
    assert_eq!((data.fields.len(), data.channels.len()), (1, 2));
    let data = open_by(Some(places)).expect("opens");
    assert_eq!(data.fields[0].name, "control_001");
    assert_eq!((data.fields.len(), data.channels.len()), (2, 1));
}
