//! ND2 files: the real samples as a second reader reads them, and small files made here for what
//! the format allows and the samples do not have.

mod common;

use std::path::{Path, PathBuf};

use common::nd2::{File, Item, attributes, experiment, picture, pixels, points};
use common::{put, put_plane, real_sets};
use serde_json::Value;
use stainfree_image::{Dataset, ImageError, OpenOptions, Plane, Region, open};

const SIZE: [u32; 2] = [3, 5];

fn opened(path: &Path) -> Result<Dataset, ImageError> {
    open(path, &OpenOptions::default())
}

/// Opens a file with these bytes.
fn of(bytes: &[u8]) -> (tempfile::TempDir, Result<Dataset, ImageError>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    put(folder.path(), "a.nd2", bytes);
    let data = opened(&folder.path().join("a.nd2"));
    (folder, data)
}

fn refused(bytes: &[u8]) -> String {
    of(bytes).1.expect_err("refused").to_string()
}

fn values(plane: &Plane) -> Vec<f32> {
    plane.to_f32().into_data()
}

/// The first pixels of a channel: by field, then by plane; -1 where one is missing.
fn firsts(data: &Dataset, channel: usize) -> Vec<Vec<f32>> {
    let first = |field: &stainfree_image::Field, z| match field.read(channel, z) {
        Ok(plane) => values(&plane)[0],
        Err(_) => -1.0,
    };
    let fields = data.fields.iter();
    let planes = fields.map(|field| {
        let planes = 0..field.planes[channel].len();
        planes.map(|z| first(field, z)).collect()
    });
    planes.collect()
}

/// A frame whose pixels say its number and their component.
fn frame(number: u32, components: u32) -> Vec<u8> {
    pixels(SIZE, components, |_, _, c| (10 * number + c) as u16)
}

/// A file with frames 0 to `frames` in two channels.
fn with_loops(frames: u32, loops: &Item) -> Vec<u8> {
    let picture = picture(&["BF", "DAPI"], Some(0.5));
    let mut file = File::described(&attributes(SIZE, 2, 16, 2), &picture, Some(loops));
    for number in 0..frames {
        file.frame(number, &frame(number, 2));
    }
    file.finished()
}

fn z_loop(count: u32, next: Option<Item>) -> Item {
    let values = vec![Item::Uint("uiCount", count), Item::Double("dZStep", 2.5)];
    experiment(4, values, next)
}

fn time_loop(count: u32, next: Option<Item>) -> Item {
    let values = vec![Item::Uint("uiCount", count), Item::Double("dPeriod", 6e4)];
    experiment(1, values, next)
}

fn names(data: &Dataset) -> Vec<&str> {
    data.fields
        .iter()
        .map(|field| field.name.as_str())
        .collect()
}

#[test]
fn real_files_read_as_a_second_reader_reads_them() {
    let folder = real_sets().join("microscopes");
    let Ok(text) = std::fs::read_to_string(folder.join("expected.json")) else {
        eprintln!("skipped: no expected.json in {}", folder.display());
        return;
    };
    let all: Value = serde_json::from_str(&text).expect("JSON");
    let files = all["nikon-nd2"].as_object().expect("files");
    assert!(files.len() >= 3);
    let mut planes = 0;
    for (name, expected) in files {
        let data = opened(&folder.join("nikon-nd2").join(name)).expect("opens");
        assert_eq!(data.layout, "nd2");
        let channels: Vec<_> = expected["channels"]
            .as_array()
            .expect("names")
            .iter()
            .collect();
        assert_eq!(channels, data.channels.iter().collect::<Vec<_>>(), "{name}");
        let number = |key: &str| expected[key].as_u64().expect("a number") as usize;
        assert_eq!(data.fields.len(), number("t") * number("fields"), "{name}");
        assert_eq!(data.places(), number("fields"), "{name}");
        assert!(data.problems.is_empty(), "{name}: {:?}", data.problems);
        let field = &data.fields[0];
        assert_eq!(field.planes[0].len(), number("z"), "{name}");
        let size: Vec<u64> = serde_json::from_value(expected["size_yx"].clone()).expect("a size");
        assert_eq!(
            [field.height as u64, field.width as u64],
            size[..],
            "{name}"
        );
        assert_eq!(
            field.pixel_um,
            expected["pixel_um_xy"][0].as_f64(),
            "{name}"
        );
        let step = field
            .metadata
            .get("z_step_um")
            .map(|step| step.parse::<f64>().expect("um"));
        assert_eq!(step, expected["z_step_um"].as_f64(), "{name}");
        assert!(data.transmitted.is_empty(), "{name}");
        for plane in expected["planes"].as_array().expect("planes") {
            check_plane(&data, plane, name);
            planes += 1;
        }
    }
    assert!(planes >= 25);
}

fn check_plane(data: &Dataset, expected: &Value, name: &str) {
    let number = |key: &str| expected[key].as_u64().expect("a number") as usize;
    let plane = data.fields[number("t")]
        .read(number("c"), number("z"))
        .expect("a plane");
    let Plane::U16(image) = &plane else {
        panic!("{name}: {plane:?}");
    };
    let sum: u64 = image.data().iter().map(|value| u64::from(*value)).sum();
    assert_eq!(
        sum,
        expected["sum"].as_u64().expect("a sum"),
        "{name} {expected}"
    );
    for (of, value) in [
        ("min", image.data().iter().min()),
        ("max", image.data().iter().max()),
    ] {
        assert_eq!(
            value.map(|value| u64::from(*value)),
            expected[of].as_u64(),
            "{name}"
        );
    }
    for at in expected["at"].as_array().expect("pixels") {
        let at: [usize; 3] = serde_json::from_value(at.clone()).expect("y, x, value");
        assert_eq!(usize::from(image.get(at[0], at[1])), at[2], "{name} {at:?}");
    }
}

#[test]
fn samples_of_a_pixel_are_channels_and_padding_is_left_out() {
    let value = |y: u32, x: u32, c: u32| (1000 * c + 10 * y + x) as u16;
    let stored = pixels(SIZE, 3, value);
    for packing in [0, 2] {
        let picture = picture(&["a", "b", "c"], Some(0.25));
        let mut file = File::described(&attributes(SIZE, 3, 16, packing), &picture, None);
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), Default::default());
        std::io::Write::write_all(&mut packed, &stored).expect("packed");
        let packed = packed.finish().expect("packed");
        file.frame(0, if packing == 0 { &packed } else { &stored });
        let (_folder, data) = of(&file.finished());
        let data = data.expect("opens");
        assert_eq!((names(&data), &data.problems[..]), (vec!["a"], &[][..]));
        assert_eq!(data.fields[0].pixel_um, Some(0.25));
        assert_eq!(data.fields[0].metadata["x_um"], "-120.5");
        for c in 0..3 {
            let plane = data.fields[0].plane(c, 0).expect("a plane");
            let whole = plane.read().expect("pixels");
            let Plane::U16(image) = &whole else {
                panic!("{whole:?}");
            };
            let wanted =
                stainfree_image::Image::from_fn(3, 5, |y, x| value(y as u32, x as u32, c as u32));
            assert_eq!(image, &wanted);
            let region = Region {
                y: 1,
                x: 2,
                height: 2,
                width: 3,
            };
            let part = plane.read_region(region).expect("a part");
            assert_eq!(values(&part), values(&Plane::U16(wanted.crop(1, 2, 2, 3))));
            let beyond = Region {
                y: 2,
                x: 0,
                height: 2,
                width: 1,
            };
            assert!(plane.read_region(beyond).is_err());
        }
        let stamp = |c: usize| {
            data.fields[0]
                .plane(c, 0)
                .expect("a plane")
                .stamp()
                .expect("there")
        };
        assert_ne!(stamp(0), stamp(1));
    }
}

#[test]
fn bytes_and_floats_are_what_they_are() {
    let mut file = File::described(&attributes([2, 3], 1, 8, 2), &picture(&["a"], None), None);
    file.frame(0, &[1, 2, 3, 0xee, 4, 5, 6]);
    let (_folder, data) = of(&file.finished());
    let read = data.expect("opens").fields[0].read(0, 0).expect("pixels");
    assert!(matches!(&read, Plane::U8(image) if image.data() == [1, 2, 3, 4, 5, 6]));

    let mut file = File::described(&attributes([1, 2], 1, 32, 2), &picture(&["a"], None), None);
    let stored = [0.5_f32, -3.0].map(f32::to_le_bytes).concat();
    file.frame(0, &stored);
    let (_folder, data) = of(&file.finished());
    let data = data.expect("opens");
    assert_eq!(data.fields[0].pixel_um, None);
    let read = data.fields[0].read(0, 0).expect("pixels");
    assert!(matches!(&read, Plane::F32(image) if image.data() == [0.5, -3.0]));

    let said = refused(&{
        let mut file = File::described(&attributes([1, 2], 1, 64, 2), &picture(&["a"], None), None);
        file.frame(0, &[0; 16]);
        file.finished()
    });
    assert!(
        said.contains("is not supported: its samples have 64 bits"),
        "{said}"
    );
}

#[test]
fn frames_are_taken_in_the_order_of_the_loops() {
    let two = points(&[("left", 10.0, 20.0), ("right", 30.0, -40.0)]);
    // Times, places, planes; then places outermost and times innermost.
    let usual = time_loop(2, Some(experiment(2, two.clone(), Some(z_loop(3, None)))));
    let (_folder, data) = of(&with_loops(12, &usual));
    let data = data.expect("opens");
    assert_eq!(data.problems, [""; 0]);
    assert_eq!(
        names(&data),
        ["a_left_t001", "a_left_t002", "a_right_t001", "a_right_t002"]
    );
    assert_eq!(
        firsts(&data, 1),
        [
            [1.0, 11.0, 21.0],
            [61.0, 71.0, 81.0],
            [31.0, 41.0, 51.0],
            [91.0, 101.0, 111.0]
        ]
    );
    let field = &data.fields[3];
    let said = ["z_step_um", "time_step_s", "x_um", "y_um", "image"];
    assert_eq!(
        said.map(|key| field.metadata[key].as_str()),
        ["2.5", "60", "30", "-40", "right"]
    );
    assert_eq!(
        (field.time, field.position.name.as_str()),
        (Some(2), "a_right")
    );

    let other = experiment(2, two, Some(z_loop(3, Some(time_loop(2, None)))));
    let (_folder, data) = of(&with_loops(12, &other));
    let rows = firsts(&data.expect("opens"), 0);
    assert_eq!(rows[1], [10.0, 30.0, 50.0]);
    assert_eq!(rows[2], [60.0, 80.0, 100.0]);
}

#[test]
fn points_of_a_plate_are_its_wells() {
    let named = [
        ("B02_0000", 0.0, 0.0),
        ("B02_0001", 300.0, 0.0),
        ("C03_0000", 9e3, 9e3),
    ];
    let (_folder, data) = of(&with_loops(3, &experiment(2, points(&named), None)));
    let data = data.expect("opens");
    assert_eq!(names(&data), ["B02_s1", "B02_s2", "C03_s1"]);
    let at = &data.fields[2].position;
    assert_eq!(at.well_or_name(), "a/C03");
    assert_eq!(at.site, Some(1));

    // Each well in a file of its own.
    let folder = tempfile::tempdir().expect("a temporary folder");
    for well in ["B02", "B03"] {
        let loops = experiment(2, points(&[("#1", 0.0, 0.0), ("#2", 1.0, 0.0)]), None);
        let name = format!("run/Well{well}_ChannelBF,DAPI_Seq0000.nd2");
        put(folder.path(), &name, &with_loops(2, &loops));
    }
    let data = opened(&folder.path().join("run")).expect("opens");
    let wells: Vec<String> = data
        .fields
        .iter()
        .map(|f| f.position.well_or_name())
        .collect();
    assert_eq!(wells, ["run/B02", "run/B02", "run/B03", "run/B03"]);
    assert_eq!(data.fields[1].position.site, Some(2));
    assert_eq!(data.places(), 4);
}

#[test]
fn what_a_stopped_recording_lacks_is_told() {
    let loops = time_loop(100, Some(z_loop(2, None)));
    let (_folder, data) = of(&with_loops(5, &loops));
    let data = data.expect("opens");
    assert_eq!(names(&data), ["a_t001", "a_t002", "a_t003"]);
    assert_eq!(firsts(&data, 0)[2], [40.0, -1.0]);
    let told = "it has 5 of the 200 frames of its experiment, as of a recording that was stopped";
    assert!(
        data.problems.contains(&told.to_string()),
        "{:?}",
        data.problems
    );

    // A frame in the middle that the map forgets is found, one that is nowhere is not.
    let picture = picture(&["BF"], None);
    for (is_there, told) in [(true, None), (false, Some("3 of the 4 frames"))] {
        let mut file = File::described(
            &attributes(SIZE, 1, 16, 2),
            &picture,
            Some(&z_loop(4, None)),
        );
        for number in [0, 1, 2, 3] {
            match number {
                1 if !is_there => {}
                1 => file.unlisted_frame(number, &frame(number, 1)),
                _ => file.frame(number, &frame(number, 1)),
            }
        }
        let (_folder, data) = of(&file.finished());
        let data = data.expect("opens");
        let second = if is_there { 10.0 } else { -1.0 };
        assert_eq!(firsts(&data, 0), [[0.0, second, 20.0, 30.0]]);
        let said = data.problems.concat();
        assert_eq!(
            said.contains(told.unwrap_or("frames")),
            told.is_some(),
            "{said}"
        );
    }
}

#[test]
fn a_file_that_was_cut_off_gives_what_is_whole_in_it() {
    let picture = picture(&["BF"], None);
    let loops = z_loop(3, None);
    let begun = || File::described(&attributes(SIZE, 1, 16, 2), &picture, Some(&loops));
    let mut file = begun();
    file.frame(0, &frame(0, 1));
    file.frame(1, &frame(1, 1));
    let mut bytes = file.cut_off();
    bytes.truncate(bytes.len() - 1);
    let (_folder, data) = of(&bytes);
    let data = data.expect("opens");
    assert_eq!(firsts(&data, 0), [[0.0, -1.0, -1.0]]);
    assert!(data.problems[0].contains("map of chunks is missing or damaged"));

    // NIS-Elements writes the size of the images last.
    let mut file = File::new("Ver3.0");
    file.chunk("ImageMetadataSeqLV|0!", &picture.binary());
    file.frame(0, &frame(0, 1));
    let said = refused(&file.cut_off());
    assert!(
        said.contains("nothing in it says how large its images are"),
        "{said}"
    );
}

#[test]
fn older_files_say_the_same_in_xml() {
    let loops = time_loop(
        2,
        Some(experiment(
            2,
            points(&[("p", 1.0, 2.0), ("q", 3.0, 4.0)]),
            None,
        )),
    );
    let xml = |item: &Item| {
        let Item::Level(_, items) = item else {
            panic!("a level")
        };
        let inner = Item::Level("", items.clone()).xml();
        format!("<?xml version=\"1.0\"?><variant version=\"1.0\">{inner}</variant>").into_bytes()
    };
    let mut file = File::new("Ver2.1");
    file.chunk("ImageAttributes!", &xml(&attributes(SIZE, 2, 16, 2)));
    file.chunk("ImageMetadata!", &xml(&loops));
    file.chunk(
        "ImageMetadataSeq|0!",
        &xml(&picture(&["BF", "DAPI"], Some(0.5))),
    );
    for number in 0..4 {
        file.frame(number, &frame(number, 2));
    }
    let (_folder, data) = of(&file.finished());
    let data = data.expect("opens");
    assert_eq!(data.channels, ["BF", "DAPI"]);
    assert_eq!(
        names(&data),
        ["a_p_t001", "a_p_t002", "a_q_t001", "a_q_t002"]
    );
    assert_eq!(firsts(&data, 1), [[1.0], [21.0], [11.0], [31.0]]);
    assert_eq!(data.fields[0].pixel_um, Some(0.5));
    assert_eq!(data.problems, [""; 0]);
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    let said = refused(b"\0\0\0\x0cjP  \r\n\x87\n");
    assert!(
        said.contains("is not supported: it is an ND2 file of an old version"),
        "{said}"
    );
    let said = refused(b"hello there");
    assert!(
        said.contains("it does not begin as an ND2 file does"),
        "{said}"
    );
    assert!(refused(b"").contains("the file is empty"));

    let mut file = File::described(&attributes(SIZE, 1, 16, 1), &picture(&["a"], None), None);
    file.frame(0, &[0; 64]);
    let said = refused(&file.finished());
    assert!(
        said.contains("whose compression has changed the intensities"),
        "{said}"
    );

    let odd = experiment(5, vec![Item::Uint("uiCount", 2), Item::Uint("x", 0)], None);
    let said = refused(&with_loops(2, &odd));
    assert!(
        said.contains("its experiment has a loop of the type `5`, which is not known"),
        "{said}"
    );

    let file = File::described(&attributes(SIZE, 1, 16, 2), &picture(&["a"], None), None);
    assert!(refused(&file.finished()).contains("it has no frames"));
}

#[test]
fn what_does_not_fit_together_is_told() {
    let picture = picture(&["a"], None);
    let mut file = File::described(&attributes(SIZE, 2, 16, 2), &picture, None);
    for number in 0..3 {
        file.frame(number, &frame(number, 2));
    }
    let (_folder, data) = of(&file.finished());
    let data = data.expect("opens");
    assert_eq!(data.channels, ["C1", "C2"]);
    assert_eq!(names(&data), ["a_t001", "a_t002", "a_t003"]);
    let said = data.problems.join("\n");
    assert!(
        said.contains("pixels have 2 samples and 1 are described"),
        "{said}"
    );
    assert!(
        said.contains("nothing says what its 3 frames are; they are taken as times"),
        "{said}"
    );

    let (_folder, data) = of(&with_loops(5, &z_loop(3, None)));
    let data = data.expect("opens");
    assert_eq!(firsts(&data, 0), [[0.0, 10.0, 20.0]]);
    assert!(
        data.problems[0].starts_with("2 of its 5 frames are beyond the 3"),
        "{:?}",
        data.problems
    );

    // Frames that are shorter than they should be are no images.
    let mut file = File::described(&attributes(SIZE, 1, 16, 2), &picture, None);
    file.frame(0, &[0; 31]);
    let (_folder, data) = of(&file.finished());
    let said = data.expect("opens").fields[0]
        .read(0, 0)
        .expect_err("too short")
        .to_string();
    assert!(said.contains("too few for 3 rows of 12"), "{said}");
}

/// A linear congruential generator (Knuth, MMIX): the tests must be the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % end as u64) as usize
    }
}

/// Opens and reads a few planes; only that it returns matters.
fn read_all(path: &Path) {
    if let Ok(data) = opened(path) {
        for field in data.fields.iter().take(3) {
            for channel in 0..data.channels.len().min(3) {
                let _ = field.read(channel, 0);
            }
        }
    }
}

#[test]
fn damaged_files_give_a_sentence_and_never_panic() {
    let loops = time_loop(
        2,
        Some(experiment(
            2,
            points(&[("p", 1.0, 2.0), ("q", 3.0, 4.0)]),
            None,
        )),
    );
    let bytes = with_loops(4, &loops);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path: PathBuf = folder.path().join("a.nd2");
    for cut in (0..bytes.len()).step_by(bytes.len() / 300) {
        std::fs::write(&path, &bytes[..cut]).expect("written");
        read_all(&path);
    }
    // Bytes that are not zero: headers, descriptions, the map.
    let used: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
    let mut random = Random(3);
    for round in 0..1000 {
        let mut bytes = bytes.clone();
        for _ in 0..1 + round % 3 {
            let at = used[random.below(used.len())] + random.below(4);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = [0, 1, 0x7f, 0x80, 0xff, random.below(256) as u8][random.below(6)];
            }
        }
        std::fs::write(&path, &bytes).expect("written");
        read_all(&path);
    }
}

/// A file of one frame.
fn one() -> Vec<u8> {
    let mut file = File::described(&attributes(SIZE, 1, 16, 2), &picture(&["a"], None), None);
    file.frame(0, &frame(7, 1));
    file.finished()
}

#[test]
fn a_folder_with_one_file_says_what_lies_beside_it_and_has_its_own_table() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let inside = folder.path().join("day");
    put(&inside, "a.nd2", &one());
    put(&inside, "b.lif", b"x");
    put(&inside, "fields.csv", b"name,drug\na,taxol\n");
    put(&inside, "notes/readme.txt", b"x");
    put(folder.path(), "fields.csv", b"name,drug\na,none\n");
    let data = opened(&inside).expect("opens");
    assert_eq!(names(&data), ["a"]);
    assert_eq!(data.fields[0].metadata["drug"], "taxol");
    let said = data.problems.join("\n");
    assert!(said.contains("(`b.lif`)"), "{said}");
    assert!(
        said.contains("other folders are not read: `notes`"),
        "{said}"
    );
    // The table of a file that is named itself lies beside it.
    let data = opened(&inside.join("a.nd2")).expect("opens");
    assert_eq!(data.fields[0].metadata["drug"], "taxol");
    assert!(data.problems.is_empty(), "{:?}", data.problems);

    put(folder.path(), "broken/a.nd2", b"hello there");
    let error = opened(&folder.path().join("broken")).expect_err("refused");
    assert!(error.to_string().contains("a.nd2` is broken"), "{error}");
}

#[test]
fn folders_of_images_beside_a_file_are_read_and_the_file_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    put(folder.path(), "raw.nd2", &one());
    for channel in ["bf", "nuc"] {
        put_plane(folder.path(), &format!("{channel}/a.tif"), 1, "");
    }
    let data = opened(folder.path()).expect("opens");
    assert_eq!(data.layout, "parallel-folders");
    assert_eq!(data.channels, ["bf", "nuc"]);
    let said = data.problems.join("\n");
    assert!(said.contains("(`raw.nd2`)"), "{said}");

    // Truth, and pictures that are no channels, are no images of the same fields.
    for others in [
        &["masks/raw.tif"][..],
        &["one/a.tif", "two/b.tif"],
        &["thumbnails/raw.tif"],
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        put(folder.path(), "raw.nd2", &one());
        others
            .iter()
            .for_each(|name| put_plane(folder.path(), name, 1, ""));
        let data = opened(folder.path()).expect("opens");
        assert_eq!((data.layout.as_str(), names(&data)), ("nd2", vec!["raw"]));
        assert!(
            data.problems
                .join("\n")
                .contains("other folders are not read")
        );
    }
}

#[test]
fn packed_rows_that_are_mostly_padding_are_refused() {
    let attributes = |bytes| {
        let Item::Level(name, mut items) = attributes(SIZE, 1, 16, 0) else {
            panic!("attributes are a level");
        };
        items.retain(|item| !matches!(item, Item::Uint("uiWidthBytes", _)));
        items.push(Item::Uint("uiWidthBytes", bytes));
        Item::Level(name, items)
    };
    let file = |bytes| {
        let mut file = File::described(&attributes(bytes), &picture(&["a"], None), None);
        file.frame(0, &[0; 8]);
        file.finished()
    };
    let said = refused(&file(1 << 30));
    let wanted = "its packed rows have 1073741824 bytes for 10 of pixels";
    assert!(said.contains(wanted), "{said}");
    assert!(of(&file(16)).1.is_ok());
}
