//! NDTiff data sets: small ones made here, and real ones where they are at hand.

mod common;

use std::path::Path;

use common::ndtiff::{Taken, set};
use common::{Random, put, real_sets, samples};
use serde_json::Value;
use stainfree_image::{Dataset, OpenOptions, Plane, open};

/// An image of 2 x 3 samples of 16 bits, of which the first is `first`.
fn taken<'a>(axes: &'a str, said: &'a str, pixels: &'a [u8]) -> Taken<'a> {
    let (kind, size) = (1, (2, 3));
    Taken {
        axes,
        said,
        kind,
        size,
        pixels,
    }
}

fn pixels(first: u16) -> Vec<u8> {
    (first..first + 6).flat_map(u16::to_le_bytes).collect()
}

fn opened(path: &Path) -> Result<Dataset, String> {
    open(path, &OpenOptions::default()).map_err(|error| error.to_string())
}

const FILE: &str = "run_NDTiffStack.tif";

/// Writes a set into `folder` and opens it.
fn written(folder: &Path, summary: &str, images: &[Taken<'_>]) -> Result<Dataset, String> {
    let (index, tiff) = set(FILE, summary, images);
    put(folder, "run/NDTiff.index", &index);
    put(folder, &format!("run/{FILE}"), &tiff);
    opened(&folder.join("run"))
}

fn made() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn names(data: &Dataset) -> Vec<&str> {
    data.fields
        .iter()
        .map(|field| field.name.as_str())
        .collect()
}

fn first(data: &Dataset, field: usize, channel: usize, z: usize) -> f32 {
    data.fields[field]
        .read(channel, z)
        .expect("a plane")
        .to_f32()
        .get(0, 0)
}

#[test]
fn channels_planes_and_times_are_sorted_by_their_axes() {
    let folder = made();
    let all: Vec<Vec<u8>> = (0..8).map(|k| pixels(10 * k)).collect();
    let axes = [
        r#"{"channel":1,"z":0,"time":0}"#,
        r#"{"channel":0,"Z":-1,"time":0}"#,
        r#"{"channel":0,"z":1,"time":0}"#,
        r#"{"channel":0,"z":0,"time":0}"#,
        r#"{"channel":0,"z":0,"time":10}"#,
        r#"{"channel":1,"z":1,"time":10}"#,
        // Taken again: the last one counts.
        r#"{"channel":1,"z":0,"time":0}"#,
    ];
    let said = r#"{"Channel":"DAPI","PixelSizeUm":0.5,"XPositionUm":-3,"YPositionUm":4.5}"#;
    let images: Vec<_> = axes
        .iter()
        .zip(&all)
        .map(|(axes, all)| taken(axes, said, all))
        .collect();
    let summary = r#"{"ChNames":["BF","x"],"z-step_um":1.5,"Interval_ms":2000}"#;
    let mut images = images;
    images[1].said = r#"{"Channel":"Default"}"#;
    for path in ["run", "run/NDTiff.index", "run/run_NDTiffStack.tif", "."] {
        let _ = written(folder.path(), summary, &images);
        let data = opened(&folder.path().join(path)).expect("opens");
        assert_eq!(data.layout, "ndtiff");
        assert_eq!(data.channels, ["BF", "DAPI"], "{path}");
        assert_eq!(data.fields.len(), 2);
        assert!(names(&data)[1].ends_with("_t002"), "{:?}", names(&data));
        let field = &data.fields[0];
        assert_eq!(
            field.planes.iter().map(Vec::len).collect::<Vec<_>>(),
            [3, 3]
        );
        let of = |z| first(&data, 0, 0, z);
        assert_eq!([of(0), of(1), of(2)], [10.0, 30.0, 20.0]);
        assert_eq!((first(&data, 0, 1, 1), first(&data, 1, 0, 1)), (60.0, 40.0));
        assert!(field.planes[1][0].is_none() && data.fields[1].planes[0][0].is_none());
        assert_eq!(field.pixel_um, Some(0.5));
        for (key, wanted) in [
            ("z_step_um", "1.5"),
            ("time_step_s", "2"),
            ("x_um", "-3"),
            ("y_um", "4.5"),
        ] {
            assert_eq!(field.metadata[key], wanted, "{key}");
        }
        let told = "1 entries of its index have a later one for the same image, which counts";
        assert_eq!(data.problems[0], told);
    }
}

#[test]
fn other_axes_are_places() {
    let folder = made();
    let all: Vec<Vec<u8>> = (0..6).map(|k| pixels(10 * k)).collect();
    let axes = [
        r#"{"row":-1,"column":0,"SecondaryZ":0,"channel":"BF"}"#,
        r#"{"row":-1,"column":1,"SecondaryZ":0,"channel":"BF"}"#,
        r#"{"row":0,"column":1,"SecondaryZ":0,"channel":"GFP"}"#,
    ];
    let images: Vec<_> = axes
        .iter()
        .zip(&all)
        .map(|(axes, all)| taken(axes, "{}", all))
        .collect();
    let summary = r#"{"GridPixelOverlapX":1,"GridPixelOverlapY":2,"PixelSize_um":0}"#;
    let data = written(folder.path(), summary, &images).expect("opens");
    let wanted = [
        "run_row_-1_column_0",
        "run_row_-1_column_1",
        "run_row_0_column_1",
    ];
    assert_eq!(names(&data), wanted);
    assert_eq!(data.channels, ["BF", "GFP"]);
    assert_eq!(data.fields[0].pixel_um, None);
    let overlap = "its 3 places are tiles that overlap by 2 x 1 pixels (y x x)";
    assert!(
        data.problems.contains(&overlap.to_string()),
        "{:?}",
        data.problems
    );

    let axes = [r#"{"position":"Pos 10"}"#, r#"{"position":"Pos 2"}"#];
    let images: Vec<_> = axes
        .iter()
        .zip(&all)
        .map(|(axes, all)| taken(axes, "{}", all))
        .collect();
    let data = written(folder.path(), "{}", &images).expect("opens");
    assert_eq!(names(&data), ["run_Pos_2", "run_Pos_10"]);
    assert_eq!(first(&data, 0, 0, 0), 10.0);

    let axes = [r#"{"position":0}"#, r#"{"position":1}"#];
    let said = [
        r#"{"PositionName":"B3-Site_0"}"#,
        r#"{"PositionName":"C12-Site_4"}"#,
    ];
    let images: Vec<_> = (0..2).map(|k| taken(axes[k], said[k], &all[k])).collect();
    let data = written(folder.path(), "{}", &images).expect("opens");
    assert_eq!(names(&data), ["B03_s1", "C12_s5"]);
}

#[test]
fn a_pyramid_is_its_full_resolution() {
    let folder = made();
    let all = pixels(7);
    let (index, tiff) = set(FILE, "{}", &[taken(r#"{"row":0,"column":0}"#, "{}", &all)]);
    for level in ["Full resolution", "Downsampled_x2", "Downsampled_x4"] {
        put(folder.path(), &format!("run/{level}/NDTiff.index"), &index);
        put(folder.path(), &format!("run/{level}/{FILE}"), &tiff);
    }
    let data = opened(&folder.path().join("run")).expect("opens");
    assert_eq!((names(&data), data.channels.len()), (vec!["run"], 1));
    assert!(data.problems.is_empty(), "{:?}", data.problems);
    let data = opened(&folder.path().join("run/Downsampled_x2")).expect("opens");
    assert!(
        data.problems[0].contains("a smaller copy"),
        "{:?}",
        data.problems
    );
}

#[test]
fn types_of_pixels_are_known_by_number_and_colours_refused() {
    let folder = made();
    let all = pixels(300);
    for kind in 0..9 {
        let one = Taken {
            kind,
            ..taken("{\"z\":0}", "{}", &all)
        };
        let data = written(folder.path(), "{}", std::slice::from_ref(&one));
        match kind {
            0 => {
                let data = data.expect("opens");
                let plane = data.fields[0].read(0, 0).expect("a plane");
                assert!(matches!(plane, Plane::U8(image) if image.data() == &all[..6]));
            }
            2 | 7 | 8 => {
                let error = data.expect_err("refused");
                let why = match kind {
                    2 => "they are colour images (RGB)".to_string(),
                    _ => format!("their type of pixels is `{kind}`, which is not known"),
                };
                assert!(
                    error.contains(&format!("none of its 1 images is read: {why}")),
                    "{error}"
                );
                // Beside others it is told.
                let ok = taken("{\"z\":1}", "{}", &all);
                let data = written(folder.path(), "{}", &[one, ok]).expect("opens");
                let said = format!("1 of 2 images are left out, since {why}");
                assert!(data.problems.contains(&said), "{:?}", data.problems);
            }
            _ => assert_eq!(first(&data.expect("opens"), 0, 0, 0), 300.0),
        }
    }
}

#[test]
fn renamed_missing_and_unlisted_files_are_told() {
    let folder = made();
    let all = pixels(5);
    let images = [
        taken("{\"z\":0}", "{}", &all),
        taken("{\"z\":1}", "{}", &all),
    ];
    let (index, tiff) = set(FILE, "{}", &images);
    put(folder.path(), "NDTiff.index", &index);
    let error = opened(folder.path()).expect_err("no file").to_string();
    assert!(
        error.contains("files of its index are not there: `run_NDTiffStack.tif`"),
        "{error}"
    );
    put(folder.path(), "other.tif", &tiff);
    let data = opened(folder.path()).expect("opens");
    let said = "its index calls `other.tif` by another name, `run_NDTiffStack.tif`";
    assert_eq!(data.problems, [said]);
    assert_eq!(first(&data, 0, 0, 1), 5.0);
    // Two could be it: by the end of the name.
    put(folder.path(), "new_NDTiffStack.tif", &tiff);
    let data = opened(folder.path()).expect("opens");
    let said = "files that its index does not name: `other.tif`";
    assert!(
        data.problems.iter().any(|line| line == said),
        "{:?}",
        data.problems
    );
    // A name that leads elsewhere is none.
    let elsewhere = set("../x.tif", "{}", &images[..1]);
    put(folder.path(), "in/NDTiff.index", &elsewhere.0);
    put(folder.path(), "x.tif", &elsewhere.1);
    let error = opened(&folder.path().join("in")).expect_err("outside");
    assert!(error.contains("not there: `../x.tif`"), "{error}");

    // An index that lost its last entry: a page that nobody finds.
    let folder = made();
    put(folder.path(), FILE, &tiff);
    put(folder.path(), "NDTiff.index", &index[..index.len() / 2]);
    let data = opened(folder.path()).expect("opens");
    let said = "1 of 2 pages of `run_NDTiffStack.tif` are not in its index, and are not read";
    assert_eq!(data.problems, [said]);
    // Zeros at the end are the room of an acquisition that did not end.
    put(
        folder.path(),
        "NDTiff.index",
        &[&index[..], &[0; 60]].concat(),
    );
    let data = opened(folder.path()).expect("opens");
    assert!(
        data.problems[0].contains("its index ends after 2 entries"),
        "{:?}",
        data.problems
    );
    // A file that ends early.
    put(folder.path(), FILE, &tiff[..tiff.len() - 8]);
    put(folder.path(), "NDTiff.index", &index);
    let data = opened(folder.path()).expect("opens");
    assert!(data.fields[0].planes[0][1].is_none());
    let said = "1 images lie beyond the end of `run_NDTiffStack.tif`";
    assert!(
        data.problems.contains(&said.to_string()),
        "{:?}",
        data.problems
    );
}

#[test]
fn planes_of_another_size_are_left_out() {
    let folder = made();
    let all = pixels(5);
    let small = Taken {
        size: (1, 3),
        ..taken("{\"z\":2}", "{}", &all)
    };
    let images = [
        taken("{\"z\":0}", "{}", &all),
        taken("{\"z\":1}", "{}", &all),
        small,
    ];
    let data = written(folder.path(), "{}", &images).expect("opens");
    assert_eq!((data.fields[0].height, data.fields[0].width), (2, 3));
    assert!(data.fields[0].planes[0][2].is_none());
    assert!(
        data.problems[0].contains("1 images have another size"),
        "{:?}",
        data.problems
    );
}

#[test]
fn damaged_sets_never_panic() {
    let folder = made();
    let all = pixels(9);
    let said = r#"{"Channel":"BF","PixelSizeUm":0.5}"#;
    let images = [
        taken(r#"{"channel":0,"z":0,"time":0,"position":"a"}"#, said, &all),
        taken(r#"{"channel":1,"z":1,"time":0,"position":"b"}"#, said, &all),
    ];
    let whole = set(FILE, r#"{"ChNames":["BF"]}"#, &images);
    let read = |index: &[u8], tiff: &[u8]| {
        put(folder.path(), "NDTiff.index", index);
        put(folder.path(), FILE, tiff);
        let data = opened(folder.path());
        for field in data.iter().flat_map(|data| &data.fields) {
            for plane in field.planes.iter().flatten().flatten().take(20) {
                let _ = plane.read();
            }
        }
    };
    for cut in 0..whole.0.len() {
        read(&whole.0[..cut], &whole.1);
    }
    for cut in (0..whole.1.len()).step_by(3) {
        read(&whole.0, &whole.1[..cut]);
    }
    let mut random = Random(4);
    for round in 0..600 {
        let (mut index, mut tiff) = whole.clone();
        let bytes = if round % 3 == 0 {
            &mut tiff
        } else {
            &mut index
        };
        let at = random.below(bytes.len());
        match round % 2 {
            0 => bytes[at] ^= 1 << random.below(8),
            _ => bytes[at] = [0, 0x7f, 0x80, 0xff][random.below(4)],
        }
        read(&index, &tiff);
    }
}

#[test]
fn axes_that_are_nearly_empty_are_refused_before_memory_is_taken() {
    let folder = made();
    let axes: Vec<String> = (0..400)
        .map(|k| format!("{{\"position\":{k},\"time\":{k},\"channel\":\"{k}\"}}"))
        .collect();
    let images: Vec<_> = axes
        .iter()
        .map(|axes| taken(axes, "{}", &[0; 12]))
        .collect();
    let error = written(folder.path(), "{}", &images).expect_err("sparse");
    assert!(error.contains("which are nearly all empty"), "{error}");
}

/// What the other reader found in a plane, and what is read here.
fn check(data: &Dataset, wanted: &Value, name: &str) {
    let axes = &wanted["axes"];
    let number = |axis: &str| axes[axis].as_u64().unwrap_or_default() as usize;
    let channel = axes["channel"].as_str();
    let c = data
        .channels
        .iter()
        .position(|known| Some(known.as_str()) == channel);
    let place = match (&axes["position"], &axes["row"]) {
        (Value::String(position), _) => format!("{name}_{position}"),
        (_, Value::Number(row)) => format!("{name}_row_{row}_column_{}", axes["column"]),
        _ => name.to_string(),
    };
    let field = data.fields.iter().find(|field| {
        let time = field.time.map_or(0, |time| time as usize - 1);
        field.position.name == place && time == number("time")
    });
    let field = field.unwrap_or_else(|| panic!("{name}: no {place} in {:?}", names(data)));
    let plane = field.read(c.unwrap_or(0), number("z")).expect("a plane");
    assert!(matches!(plane, Plane::U16(_)));
    let image = plane.to_f32();
    let sum: f64 = image.data().iter().map(|&value| f64::from(value)).sum();
    assert_eq!(Some(sum), wanted["sum"].as_f64(), "{name}: {axes}");
    for at in wanted["at"].as_array().expect("pixels") {
        let [y, x, value] = [0, 1, 2].map(|k| at[k].as_u64().expect("a number") as usize);
        assert_eq!(image.get(y, x), value as f32, "{name}: {axes}");
    }
}

#[test]
fn the_real_sets_have_the_values_of_another_reader() {
    let root = real_sets().join("microscopes");
    if !root.is_dir() {
        println!("skipped: the real sets are not in ../shared/data");
        return;
    }
    let text = std::fs::read(root.join("expected.json")).expect("is there");
    let expected: Value = serde_json::from_slice(&text).expect("JSON");
    for (name, channels, fields, planes) in [
        ("ndtiff3.2_multichannel", &["DAPI", "FITC"][..], 8, 16),
        ("12_bit_pycromanager_mda", &["DAPI", "FITC"], 4, 1),
        ("labeled_positions_1", &["DAPI"], 3, 1),
        (
            "no_magellan_explore_multi_channel",
            &["Cy5", "DAPI", "FITC", "Rhodamine"],
            7,
            1,
        ),
    ] {
        let data = opened(&root.join("micromanager-ndtiff").join(name)).expect("opens");
        assert_eq!(
            (data.channels.len(), data.fields.len()),
            (channels.len(), fields),
            "{name}"
        );
        assert_eq!(data.channels, channels, "{name}");
        // Four of the seven tiles were taken in two channels.
        let missing = match name {
            "no_magellan_explore_multi_channel" => ["FITC", "Rhodamine"].map(|channel| {
                let of = data.problems.iter();
                of.filter(|line| line.contains(&format!("`{channel}` is missing in 4 of 7")))
                    .count()
            }),
            _ => [0; 2],
        };
        assert_eq!(
            missing.iter().sum::<usize>(),
            data.problems.len(),
            "{:?}",
            data.problems
        );
        let set = &expected["micromanager-ndtiff"][name];
        for field in &data.fields {
            assert_eq!(Some(field.height as u64), set["size_yx"][0].as_u64());
            assert_eq!(field.pixel_um, set["pixel_um"].as_f64());
            assert!(
                field.planes.iter().all(|stack| stack.len() == planes),
                "{name}"
            );
            assert!(
                missing[0] + missing[1] > 0 || field.planes.iter().flatten().all(Option::is_some)
            );
        }
        for plane in set["planes"].as_array().expect("planes") {
            check(&data, plane, name);
        }
    }
    let path = root.join("micromanager-ndtiff/ndtiff3.2_magellan_explore_rgb");
    let error = opened(&path).expect_err("colours");
    assert!(error.contains("they are colour images (RGB)"), "{error}");
}

#[test]
fn a_real_set_among_the_samples_opens() {
    let data = opened(&samples().join("real/ndtiff-12-bit")).expect("opens");
    assert!(data.problems.is_empty(), "{:?}", data.problems);
    assert_eq!(
        (data.channels.as_slice(), data.fields.len()),
        (&["DAPI".into(), "FITC".into()][..], 4)
    );
    let sum = |channel| {
        let image = data.fields[0].read(channel, 0).expect("a plane").to_f32();
        (image.get(32, 21), image.data().iter().sum::<f32>())
    };
    assert_eq!(sum(0), (47.0, 836_464.0));
}
