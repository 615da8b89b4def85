//! The real sets open with what their descriptions say, and every file reads as the outside judge
//! reads it. Ignored, with the reason, where the sets are absent when the tests are compiled; small
//! real files that are always there are among the samples (`testdata/image/real`).

mod common;

use std::path::Path;

use common::{digest, golden, hex, real_sets};
use stainfree_image::{
    Inspection, MaskContent, OpenOptions, open, read_info, read_labels, read_plane, summarise,
    truth_files,
};

/// Layout, fields, wells, sites, times, planes, channels, height, width, pixel size.
type Expected<'a> = (
    &'a str,
    usize,
    usize,
    usize,
    usize,
    usize,
    &'a [&'a str],
    usize,
    usize,
    Option<f64>,
);

fn check(root: &Path, name: &str, expected: Expected<'_>, problems: &[&str]) {
    let data = open(&root.join(name), &OpenOptions::default()).expect("opens");
    let Inspection {
        layout,
        fields,
        wells,
        sites,
        positions,
        times,
        planes,
        channels,
        height,
        width,
        pixel_um,
        pixel_um_range,
        problems: said,
    } = summarise(&data);
    let channels: Vec<&str> = channels.iter().map(String::as_str).collect();
    let found: Expected<'_> = (
        &layout, fields, wells, sites, times, planes, &channels, height, width, pixel_um,
    );
    assert_eq!(found, expected, "{name}");
    assert!(positions <= fields && positions * times >= fields, "{name}");
    // One set was taken at two magnifications.
    let range = match name {
        "aisegcell" => Some([0.34, 0.62]),
        _ => pixel_um.map(|um| [um, um]),
    };
    assert_eq!(pixel_um_range, range, "{name}");
    assert_eq!(said.len(), problems.len(), "{name}: {said:#?}");
    for wanted in problems {
        assert!(
            said.iter().any(|line| line.contains(wanted)),
            "{name}: no `{wanted}` in {said:#?}"
        );
    }
}

const NO_SIZE: &str = "no pixel size is stated";

#[test]
#[cfg_attr(not(real_sets), ignore = "the real sets are not in ../shared/data")]
fn pairs_open_as_described() {
    let root = real_sets();
    check(
        &root,
        "celldetective",
        (
            "folder",
            62,
            0,
            0,
            1,
            1,
            &["brightfield", "hoechst"],
            416,
            416,
            Some(0.3112),
        ),
        &[],
    );
    check(
        &root,
        "aisegcell",
        (
            "parallel-folders",
            11,
            0,
            0,
            8,
            1,
            &["bf", "cell_mask", "nuc", "nuc_gt", "p65"],
            1024,
            1024,
            Some(0.34),
        ),
        &[
            "channel `cell_mask` is missing in 7 of 11 fields",
            "channel `p65` is missing in 8 of 11 fields",
            "fields differ in pixel size: 4 without, 4 with 0.34 um, 3 with 0.62 um",
        ],
    );
    check(
        &root,
        "sephace",
        (
            "folder",
            1,
            0,
            0,
            1,
            6,
            &["bf", "dapi"],
            1024,
            1344,
            Some(0.2004),
        ),
        &[],
    );
    let fluorescence = [
        "DAPI_CONFOCAL maximum projection",
        "MAP2_CONFOCAL maximum projection",
    ];
    let isl = [fluorescence[0], fluorescence[1], "transmitted"];
    check(
        &root,
        "isl_neurons",
        ("folder", 1, 0, 0, 1, 3, &isl, 1024, 640, None),
        &[NO_SIZE],
    );
    check(
        &root,
        "xacgan",
        (
            "folder",
            1,
            0,
            0,
            1,
            13,
            &["bf", "healthy", "apoptotic"],
            512,
            512,
            None,
        ),
        &[NO_SIZE],
    );
    check(
        &root,
        "bf_mito_hoechst",
        (
            "folder",
            1,
            0,
            0,
            1,
            1,
            &["bf", "hoechst", "mito"],
            1024,
            1024,
            None,
        ),
        &[NO_SIZE],
    );
    check(
        &root,
        "bbbc038-u2os",
        (
            "parallel-folders",
            48,
            0,
            0,
            1,
            1,
            &["images", "labels"],
            520,
            696,
            None,
        ),
        &[NO_SIZE],
    );
}

#[test]
#[cfg_attr(not(real_sets), ignore = "the real sets are not in ../shared/data")]
fn plates_open_as_described() {
    let root = real_sets();
    let root = root.join("plates");
    check(
        &root,
        "imagexpress-exported/9987_Plate_3420",
        (
            "imagexpress",
            1,
            1,
            1,
            1,
            1,
            &["DAPI"],
            256,
            256,
            Some(1.3672),
        ),
        &[],
    );
    let three = ["DAPI", "FITC", "Texas Red"];
    let mixed = [
        "wave w4 (`Cy5`) is declared in `9987.HTD`, but no image of it exists",
        "1 of 2 wells declared in `9987.HTD` have no images: `B02`",
        "channel `DAPI` has projections beside its 2 planes",
        "channel `DAPI` has 2 of the 3 planes that the plate declares",
        "channel `DAPI` is missing in 1 of 2 fields: `B03_s2`",
    ];
    for path in [
        "imagexpress-exported/9987_Plate_3434",
        "imagexpress-exported/9987_Plate_3434/9987.HTD",
    ] {
        check(
            &root,
            path,
            ("imagexpress", 2, 1, 2, 1, 2, &three, 256, 256, Some(1.3672)),
            &mixed,
        );
    }
    let database = "imagexpress-database";
    check(
        &root,
        "imagexpress-database/Projection-Mix",
        (
            database,
            1,
            1,
            1,
            1,
            3,
            &["FITC_05_w1", "FITC_05_w2", "FITC_05_w3", "FITC_05_w4"],
            512,
            512,
            Some(1.3668),
        ),
        &["channel `FITC_05_w1` has projections beside its 3 planes"],
    );
    check(
        &root,
        "imagexpress-database/1well-3C-2S-Zmix-T",
        (
            database,
            3,
            1,
            2,
            2,
            1,
            &["FITC", "Cy3", "Texas Red"],
            256,
            256,
            Some(13.5504),
        ),
        &[
            "channel `Cy3` is missing in 2 of 3",
            "channel `Texas Red` is missing in 2 of 3",
        ],
    );
    check(
        &root,
        "imagej/gray8-3x2-stack.tif",
        (
            "file",
            1,
            0,
            0,
            1,
            2,
            &["imagej"],
            2,
            3,
            Some(1.0 / (2834.0 / 1e6)),
        ),
        &[],
    );
    check(
        &root,
        "made-here/imagej-hyperstack-z2c2.tif",
        (
            "file",
            1,
            0,
            0,
            1,
            2,
            &["DAPI", "FITC"],
            100,
            100,
            Some(1.0 / (1250.0 / 1709.0)),
        ),
        &[],
    );
    check(
        &root,
        "made-here/pyramid-subifd-zstd-bigtiff.ome.tif",
        (
            "file",
            1,
            0,
            0,
            1,
            1,
            &["DAPI", "FITC"],
            400,
            300,
            Some(0.65),
        ),
        &[],
    );
    check(
        &root,
        "ome-tiff/multi-channel-z-series.ome.tif",
        ("file", 1, 0, 0, 1, 5, &["C1", "C2", "C3"], 167, 439, None),
        &[NO_SIZE],
    );
}

/// A wave without a stack is copied into every `ZStep` folder: that is one plane and no stack.
#[test]
#[cfg_attr(not(real_sets), ignore = "the real sets are not in ../shared/data")]
fn copied_planes_are_no_stack() {
    let root = real_sets();
    let plate = root.join("plates/imagexpress-exported/9987_Plate_3434");
    let data = open(&plate, &OpenOptions::default()).expect("opens");
    let depths: Vec<usize> = data.fields[0].planes.iter().map(Vec::len).collect();
    assert_eq!(depths, [2, 1, 1]);
    assert_eq!(
        data.fields[0].position.plate.as_deref(),
        Some("9987_Plate_3434")
    );
}

#[test]
#[cfg_attr(not(real_sets), ignore = "the real sets are not in ../shared/data")]
fn every_file_reads_as_the_outside_judge_reads_it() {
    let root = real_sets();
    let golden = golden();
    let cases = golden["real"].as_object().expect("real sets");
    assert!(
        cases.len() > 300,
        "golden.json has lost files: {}",
        cases.len()
    );
    let mut failures = Vec::new();
    for (name, expected) in cases {
        let path = root.join(name);
        let info = read_info(&path).expect("a header");
        let mut hashes = String::new();
        for page in 0..info.pages.len() {
            hashes += &digest(&read_plane(&path, page).expect("a plane")).1;
        }
        let (height, width) = info.pages[0];
        let found = serde_json::json!([
            info.pages.len(),
            height,
            width,
            &hex(hashes.as_bytes())[..16]
        ]);
        if found != *expected {
            failures.push(format!("{name}: {found}, not {expected}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
#[cfg_attr(not(real_sets), ignore = "the real sets are not in ../shared/data")]
fn truth_beside_images_is_found_and_is_labels() {
    let root = real_sets();
    let truth = truth_files(&root.join("celldetective")).expect("truth");
    assert_eq!(truth.len(), 62);
    assert!(truth.iter().all(|file| file.suffix == "_labels"));
    let mut nuclei = 0;
    for file in &truth {
        match MaskContent::of(&read_labels(&file.path).expect("labels")) {
            MaskContent::Labels { objects, .. } => nuclei += objects,
            // Three or four nuclei numbered from 1 look like classes; the folder as a whole does
            // not.
            MaskContent::Classes { values } => nuclei += values.len() - 1,
            other => panic!("{}: {other:?}", file.path.display()),
        }
    }
    // The number that the description of the set states.
    assert_eq!(nuclei, 1949);

    let masks = truth_files(&root.join("aisegcell/nuc_gt")).expect("truth");
    for file in masks {
        let mask = read_labels(&file.path).expect("a mask");
        assert_eq!(
            MaskContent::of(&mask),
            MaskContent::Binary { foreground: 255 }
        );
    }
}

#[test]
#[cfg_attr(not(real_sets), ignore = "the real sets are not in ../shared/data")]
fn sidecars_and_tables_become_metadata() {
    let root = real_sets();
    let data = open(&root.join("celldetective"), &OpenOptions::default()).expect("opens");
    let groups: std::collections::BTreeSet<_> = data
        .fields
        .iter()
        .map(|field| field.metadata["experiment"].clone())
        .collect();
    assert_eq!(groups.len(), 18);
    let data = open(&root.join("aisegcell"), &OpenOptions::default()).expect("opens");
    let with_size = data
        .fields
        .iter()
        .filter(|field| field.pixel_um.is_some())
        .count();
    assert_eq!(with_size, 7);
    assert!(
        data.fields
            .iter()
            .all(|field| field.metadata.contains_key("experiment"))
    );
}
