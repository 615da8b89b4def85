//! Micro-Manager's data sets of separate files: positions, channels, planes and times by the names
//! of the images, and what `metadata.txt` adds.

mod common;

use std::fs;
use std::path::Path;

use common::{first_pixel, plane, put, put_plane, real_sets, samples};
use stainfree_image::{Dataset, OpenOptions, open};

fn opened(path: &Path) -> Dataset {
    open(path, &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn names(data: &Dataset) -> Vec<&str> {
    data.fields.iter().map(|f| f.name.as_str()).collect()
}

fn first(data: &Dataset, field: usize, channel: usize, z: usize) -> f32 {
    first_pixel(&data.fields[field].read(channel, z).expect("a plane"))
}

fn has(data: &Dataset, said: &str) {
    let problems = &data.problems;
    assert!(
        problems.iter().any(|p| p.contains(said)),
        "no `{said}` in {problems:#?}"
    );
}

/// One image of version 1.4 in the metadata.
fn frame(file: &str, [t, c, z]: [usize; 3], channel: &str, more: &str) -> String {
    format!(
        "\"FrameKey-{t}-{c}-{z}\": {{\"FileName\": \"{file}\", \"Channel\": \"{channel}\", \
         \"ChannelIndex\": {c}, \"SliceIndex\": {z}{more}}}"
    )
}

#[test]
fn positions_of_version_1_4_are_fields_with_channels_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("run_1");
    for (p, position) in ["1-Pos_000_000", "1-Pos_001_000"].into_iter().enumerate() {
        let mut frames = vec![
            "\"Summary\": {\"ChNames\": [\"Trans 10x\", \"DAPI\"], \"PixelSize_um\": 0.65, \
             \"z-step_um\": 2.5, \"Interval_ms\": 60000, \"Slices\": 2}"
                .to_string(),
        ];
        for t in 0..2 {
            // The stain was taken in one plane; its name was changed for the file.
            for (c, z) in [(0, 0), (0, 1), (1, 0)] {
                let (text, channel) = [("Trans-10x", "Trans 10x"), ("DAPI", "DAPI")][c];
                let file = format!("img_{t:09}_{text}_{z:03}.tif");
                let number = (100 * p + 20 * t + 10 * c + z + 1) as u16;
                put_plane(&root, &format!("{position}/{file}"), number, "");
                let at = format!(", \"XPositionUm\": {}.5, \"YPositionUm\": -7", 100 * p);
                frames.push(frame(&file, [t, c, z], channel, &at));
            }
        }
        let text = format!("{{{}}}", frames.join(",\n"));
        put(&root, &format!("{position}/metadata.txt"), text.as_bytes());
    }
    let data = opened(&root);
    assert_eq!(data.layout, "micro-manager");
    assert_eq!(
        names(&data),
        [
            "1-Pos_000_000_t001",
            "1-Pos_000_000_t002",
            "1-Pos_001_000_t001",
            "1-Pos_001_000_t002"
        ]
    );
    assert_eq!(data.channels, ["Trans 10x", "DAPI"]);
    assert_eq!(data.problems, Vec::<String>::new());
    let field = &data.fields[3];
    assert_eq!((field.planes[0].len(), field.planes[1].len()), (2, 1));
    assert_eq!(first(&data, 3, 0, 1), 12_200.0);
    assert_eq!(first(&data, 3, 1, 0), 13_100.0);
    assert_eq!(field.position.name, "1-Pos_001_000");
    assert_eq!((field.time, field.pixel_um), (Some(2), Some(0.65)));
    let fact = |key: &str| field.metadata[key].clone();
    assert_eq!(
        ["x_um", "y_um", "z_step_um", "time_step_s"].map(fact),
        ["100.5", "-7", "2.5", "60"]
    );
    // One position by itself, by its folder or its metadata.
    for path in ["1-Pos_001_000", "1-Pos_001_000/metadata.txt"] {
        let data = opened(&root.join(path));
        assert_eq!(data.fields.len(), 2, "{path}");
        assert_eq!(data.fields[1], *field, "{path}");
    }
    // Where Micro-Manager was stopped, the end of the metadata is missing.
    let path = root.join("1-Pos_001_000/metadata.txt");
    let text = fs::read_to_string(&path).expect("the metadata");
    fs::write(&path, format!("{},\n", &text[..text.len() - 1])).expect("written");
    assert_eq!(opened(&root).fields[3], *field);
    fs::write(&path, &text[..text.len() / 2]).expect("written");
    let data = opened(&root);
    has(&data, "`1-Pos_001_000`: its `metadata.txt` cannot be used");
    assert_eq!(data.fields.len(), 4);
}

#[test]
fn images_of_version_2_are_numbered_and_named_by_the_summary() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let image = |c: usize, p: usize, t: usize, z: &str| {
        format!("img_channel{c:03}_position{p:03}_time{t:09}_z{z}.tif")
    };
    let mut said = String::new();
    for (c, z, number) in [(0, "000", 1), (0, "001", 2), (1, "000", 3), (2, "000", 4)] {
        let file = image(c, 0, 0, z);
        put_plane(folder.path(), &format!("Default/{file}"), number, "");
        said += &format!(
            ", \"Coords-Default/{file}\": {{\"channel\": {c}, \"Channel\": \"no\"}}, \
             \"Metadata-Default/{file}\": {{\"PixelSizeUm\": 0.325, \"Channel\": null}}"
        );
    }
    let text = format!("{{\"Summary\": {{\"ChNames\": [\"BF\", \"\"], \"Slices\": -1}}{said}}}");
    put(folder.path(), "Default/metadata.txt", text.as_bytes());
    put_plane(folder.path(), "Default/overview.tif", 9, "");
    let data = opened(folder.path());
    assert_eq!(names(&data), ["Default"]);
    assert_eq!(data.channels, ["BF", "C2", "C3"]);
    assert_eq!(data.fields[0].pixel_um, Some(0.325));
    assert_eq!(data.fields[0].planes[0].len(), 2);
    assert_eq!(first(&data, 0, 2, 0), 400.0);
    has(
        &data,
        "`overview.tif`: its name is none of Micro-Manager's; left out",
    );
    // Two positions in one folder, without metadata.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let name = "run 3";
    for (p, number) in [(0, 1), (1, 2)] {
        let path = format!("{name}/{}", image(0, p, 0, "000"));
        put_plane(folder.path(), &path, number, "");
    }
    let data = opened(&folder.path().join(name));
    assert_eq!(names(&data), ["run 3_p1", "run 3_p2"]);
    assert_eq!(data.channels, ["C1"]);
    has(&data, "no pixel size is taken from it");
}

#[test]
fn labels_of_the_plate_plugin_are_wells() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (position, number) in [("B2-Site_0", 1), ("B2-Site_1", 2), ("C11-Site_0", 3)] {
        let file = "img_channel000_position000_time000000000_z000.tif";
        put_plane(folder.path(), &format!("p/{position}/{file}"), number, "");
        put(folder.path(), &format!("p/{position}/metadata.txt"), b"{}");
    }
    let data = opened(&folder.path().join("p"));
    assert_eq!(names(&data), ["B02_s1", "B02_s2", "C11_s1"]);
    let position = &data.fields[2].position;
    assert_eq!(position.plate.as_deref(), Some("p"));
    assert_eq!(
        (position.well.as_deref(), position.site),
        (Some("C11"), Some(1))
    );
}

#[test]
fn names_of_other_programs_are_left_to_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["img_t001.tif", "img_0001_bf.tif", "img_channel1.tif"] {
        put_plane(folder.path(), name, 1, "");
    }
    assert_eq!(opened(folder.path()).layout, "folder");
}

#[test]
fn odd_values_of_the_real_data_set_are_no_sizes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let name = "img_channel000_position000_time000000000_z000.tif";
    let pos0 = folder.path().join("Pos0");
    fs::create_dir(&pos0).expect("made");
    fs::copy(samples().join("real").join(name), pos0.join(name)).expect("copied");
    let real = real_sets().join("microscopes/micromanager-singleplane");
    let text = "{\"Summary\": {\"Slices\": -1, \"Channels\": -1, \"Frames\": -1, \"ChNames\": \
                [\"Alpha\", \"Beta\", \"Romeo\"], \"z-step_um\": 1.23456789012345E8, \
                \"WaitInterval\": -1234.5678}}";
    put(&pos0, "metadata.txt", text.as_bytes());
    let mut folders = vec![folder.path().to_path_buf(), pos0];
    match real.is_dir() {
        true => folders.push(real),
        false => println!("skipped: the microscopes' files are not in ../shared/data"),
    }
    for path in folders {
        let data = opened(&path);
        assert_eq!(names(&data), ["Pos0"]);
        assert_eq!(data.channels, ["Alpha"]);
        let field = &data.fields[0];
        assert_eq!((field.height, field.width, field.pixel_um), (16, 16, None));
        assert!(!field.metadata.contains_key("z_step_um"));
        let plane = field.read(0, 0).expect("a plane").to_f32();
        // By tifffile.
        assert_eq!(plane.data().iter().sum::<f32>(), 838_736.0);
        assert_eq!(
            [plane.get(0, 0), plane.get(8, 5), plane.get(15, 15)],
            [3276.0, 706.0, 4907.0]
        );
        assert_eq!(data.problems, Vec::<String>::new());
    }
}

#[test]
fn damaged_metadata_and_images_never_panic() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = "img_000000000_DAPI_000.tif";
    let entry = frame(
        file,
        [0, 0, 0],
        "DAPI",
        ", \"PixelSizeUm\": 0.5, \"XPositionUm\": 1",
    );
    let text =
        format!("{{\"Summary\": {{\"ChNames\": [\"DAPI\"], \"PixelSize_um\": 1}}, {entry}}}");
    put(folder.path(), file, &common::stack(&[plane(1)], ""));
    let path = folder.path().join("metadata.txt");
    let mut state = 7_u64;
    for round in 0..600 {
        let mut bytes = text.clone().into_bytes();
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let at = (state >> 33) as usize % bytes.len();
        match round % 3 {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << (state % 8),
            _ => bytes[at] = b"9-{}[]\",e"[(state >> 20) as usize % 9],
        }
        fs::write(&path, bytes).expect("written");
        let data = opened(folder.path());
        assert_eq!(data.fields.len(), 1);
        assert_eq!(first(&data, 0, 0, 0), 100.0);
    }
    // Nested without end.
    fs::write(&path, "{\"Summary\": ".to_string() + &"[".repeat(100_000)).expect("written");
    has(&opened(folder.path()), "cannot be used");
}
