//! Leica LIF files: small ones made here, and a real one where it is at hand.

mod common;

use std::path::Path;

use common::lif::{channel, dimension, file, folder, image};
use common::{Random, put, real_sets};
use stainfree_image::{Dataset, Image, OpenOptions, Plane, open};

fn opened(bytes: &[u8]) -> (tempfile::TempDir, Result<Dataset, String>) {
    let made = tempfile::tempdir().expect("a temporary folder");
    put(made.path(), "a.lif", bytes);
    let data = open(&made.path().join("a.lif"), &OpenOptions::default());
    (made, data.map_err(|error| error.to_string()))
}

fn names(data: &Dataset) -> Vec<&str> {
    data.fields
        .iter()
        .map(|field| field.name.as_str())
        .collect()
}

/// The values of a plane.
fn values(data: &Dataset, field: usize, channel: usize, z: usize) -> Vec<f32> {
    let plane = data.fields[field].read(channel, z).expect("a plane");
    plane.to_f32().into_data()
}

/// 2 x 3 pixels, 2 channels, 2 slices, 2 times: tens are channel, slice and time.
const STACK: [u64; 5] = [3, 2, 2, 2, 2];

/// The bytes of `STACK` whose sample (x, y, z, t, c) lies at the sum of the steps.
fn stack(steps: [u64; 5], sample: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for at in 0..STACK.iter().product::<u64>() {
        let (mut rest, mut place, mut index) = (at, 0, [0; 5]);
        for (k, count) in STACK.iter().enumerate() {
            index[k] = rest % count;
            place += index[k] * steps[k];
            rest /= count;
        }
        let [x, y, z, t, c] = index;
        let value = (100 * c + 40 * z + 20 * t + 4 * y + x) as u16;
        bytes.resize(bytes.len().max(place as usize + sample), 0);
        bytes[place as usize..][..sample].copy_from_slice(&value.to_le_bytes()[..sample]);
    }
    bytes
}

fn stack_image(name: &str, steps: [u64; 5], sample: usize, order: [usize; 4]) -> String {
    let bits = 8 * sample as u32;
    let channels = [
        channel(bits, "Gray", 0, ""),
        channel(bits, "Green", steps[4], ""),
    ];
    let all = [
        dimension(1, 3, 2.0 * 0.5e-6, steps[0]),
        dimension(2, 2, 0.5e-6, steps[1]),
        dimension(3, 2, -2e-6, steps[2]),
        dimension(4, 2, 30.0, steps[3]),
    ];
    image(name, &channels, &order.map(|k| all[k].clone()), 1, "")
}

#[test]
fn samples_lie_where_the_steps_say_whatever_the_order() {
    // Channels of a plane, of a slice, slowest, interleaved; 8 and 16 bits; both versions.
    for (version, sample, steps) in [
        (2, 1, [1, 3, 12, 24, 6]),
        (1, 1, [1, 3, 6, 24, 12]),
        (2, 2, [2, 6, 12, 24, 48]),
        (2, 1, [2, 6, 12, 24, 1]),
        (1, 2, [4, 12, 24, 48, 2]),
        // Rows with room behind them, times before slices, columns before rows.
        (2, 1, [1, 4, 32, 16, 8]),
        (2, 1, [2, 1, 6, 12, 24]),
    ] {
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2]] {
            let xml = stack_image("s", steps, sample, order);
            let (_made, data) = opened(&file(version, &xml, &[(1, &stack(steps, sample))]));
            let data = data.expect("opens");
            assert!(data.problems.is_empty(), "{:?}", data.problems);
            assert_eq!((data.layout.as_str(), data.channels.len()), ("lif", 2));
            assert_eq!(data.channels, ["Gray", "Green"]);
            assert_eq!(names(&data), ["a_t001", "a_t002"]);
            for (t, z, c) in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)] {
                let first = (100 * c + 40 * z + 20 * t) as f32;
                let wanted = [0.0, 1.0, 2.0, 4.0, 5.0, 6.0].map(|value| first + value);
                assert_eq!(values(&data, t, c, z), wanted, "{steps:?} {order:?}");
            }
            let field = &data.fields[0];
            assert_eq!((field.height, field.width), (2, 3));
            let is_wide = matches!(field.read(0, 0), Ok(Plane::U16(_)));
            assert_eq!(is_wide, sample == 2);
            assert_eq!(field.pixel_um.map(|um| (um * 1e6).round()), Some(5e5));
            assert_eq!(field.metadata["z_step_um"], "2");
            assert_eq!(field.metadata["time_step_s"], "30");
        }
    }
}

/// An image of 2 x 2 bytes in a block.
fn plain(name: &str, block: u32) -> String {
    let sides = [dimension(1, 2, 1e-6, 1), dimension(2, 2, 1e-6, 2)];
    image(name, &[channel(8, "Gray", 0, "")], &sides, block, "")
}

#[test]
fn blocks_are_matched_by_name_and_images_named_by_their_folders() {
    let inner = folder("day 1", &(plain("x", 2) + &plain("y", 7)));
    // Containers in attachments hold elements that are no images.
    let attached = format!(
        "<Attachment Name=\"HardwareSetting\"><LMSDataContainerHeader>{}</LMSDataContainerHeader>\
         </Attachment>",
        plain("no image", 2)
    );
    let sides = [dimension(1, 2, 0.0, 1), dimension(2, 2, 0.0, 2)];
    let last = image("x", &[channel(8, "", 0, "")], &sides, 3, &attached);
    let blocks: [(u32, &[u8]); 4] = [(3, &[3; 4]), (99, &[]), (7, &[7; 4]), (2, &[2; 4])];
    let (_made, data) = opened(&file(2, &(inner + &last), &blocks));
    let data = data.expect("opens");
    assert_eq!(names(&data), ["a_day_1_x", "a_day_1_y", "a_x"]);
    let firsts: Vec<f32> = data
        .fields
        .iter()
        .map(|field| {
            let read = field.planes.iter().flatten().flatten().next();
            read.expect("a plane")
                .read()
                .expect("reads")
                .to_f32()
                .get(0, 0)
        })
        .collect();
    assert_eq!(firsts, [2.0, 7.0, 3.0]);
    // A length of 0 is no size.
    assert_eq!(data.fields[2].pixel_um, None);
    assert_eq!(data.fields[0].metadata["image"], "day 1/x");
}

#[test]
fn channels_are_called_by_user_dye_light_or_colour() {
    let property = |key: &str, value: &str| {
        format!("<ChannelProperty><Key>{key}</Key><Value>{value}</Value></ChannelProperty>")
    };
    let sides = [dimension(1, 2, 1e-6, 1), dimension(2, 2, 1e-6, 2)];
    let confocal = [
        channel(8, "Green", 0, &property("DyeName", "Leica/ALEXA 488")),
        channel(8, "Gray", 4, &property("DetectorName", "PMT Trans")),
    ];
    let info = |table: &str, contrast: &str, name: &str| {
        format!(
            "<WideFieldChannelInfo LUT=\"{table}\" ContrastingMethodName=\"{contrast}\" \
             UserDefName=\"{name}\"/>"
        )
    };
    let settings = format!(
        "<Attachment Name=\"HardwareSetting\"><A>{}{}{}</A></Attachment>",
        info("Gray", "TL-BF", ""),
        info("Gray", "FLUO", "H2B"),
        info("Blue", "FLUO", "")
    );
    let widefield = ["Gray", "Gray", "Blue"].iter().zip([0, 4, 8]);
    let widefield: Vec<String> = widefield
        .map(|(table, at)| channel(8, table, at, ""))
        .collect();
    let images =
        image("c", &confocal, &sides, 1, "") + &image("w", &widefield, &sides, 1, &settings);
    let (_made, data) = opened(&file(2, &images, &[(1, &[0; 12])]));
    let data = data.expect("opens");
    assert_eq!(data.channels, ["ALEXA 488", "Gray", "TL-BF", "H2B", "Blue"]);
    assert_eq!(data.said_to_be(true), ["Gray", "TL-BF"]);
}

#[test]
fn tiles_are_images_at_their_places() {
    let dimensions = [
        dimension(1, 2, 1e-6, 1),
        dimension(2, 2, 1e-6, 2),
        dimension(10, 3, 2.0, 4),
    ];
    let tiles = "<Attachment Name=\"TileScanInfo\" FlipX=\"0\"><Tile FieldX=\"0\" FieldY=\"0\" \
                 PosX=\"0.001\" PosY=\"0.002\"/><Tile FieldX=\"1\" FieldY=\"0\" PosX=\"0.0015\" \
                 PosY=\"0.002\"/><Tile FieldX=\"2\" FieldY=\"0\" PosX=\"0.002\" PosY=\"0.002\"/>\
                 </Attachment>";
    let gray = [channel(8, "Gray", 0, "")];
    let pixels: Vec<u8> = (0..12).collect();
    let (_made, data) = opened(&file(
        2,
        &image("s", &gray, &dimensions, 1, tiles),
        &[(1, &pixels)],
    ));
    let data = data.expect("opens");
    assert!(data.problems.is_empty(), "{:?}", data.problems);
    assert_eq!(names(&data), ["a_s_m1", "a_s_m2", "a_s_m3"]);
    assert_eq!(values(&data, 1, 0, 0), [4.0, 5.0, 6.0, 7.0]);
    assert_eq!(data.fields[1].metadata["x_um"], "1500");
    assert_eq!(data.fields[1].metadata["y_um"], "2000");
    let (_made, data) = opened(&file(
        2,
        &image("s", &gray, &dimensions, 1, ""),
        &[(1, &pixels)],
    ));
    let said = "image `s`: nothing states where its tiles lie";
    assert_eq!(data.expect("opens").problems, [said]);
}

#[test]
fn folders_of_a_row_and_a_column_are_wells() {
    let xml = folder(
        "Scan 1",
        &folder(
            "B",
            &(folder("2", &(plain("R1", 1) + &plain("R2", 2))) + &folder("11", &plain("R1", 3))),
        ),
    );
    let blocks: [(u32, &[u8]); 3] = [(1, &[1; 4]), (2, &[2; 4]), (3, &[3; 4])];
    let (_made, data) = opened(&file(2, &xml, &blocks));
    let data = data.expect("opens");
    assert_eq!(names(&data), ["B02_s1", "B02_s2", "B11_s1"]);
    assert_eq!(data.fields[2].position.plate.as_deref(), Some("a"));
    let said = "wells are taken from the folders of the images (`Scan 1/B/2/R1` is in `B02`)";
    assert_eq!(data.problems, [said]);
}

#[test]
fn images_that_are_no_grey_planes_are_left_out_by_name() {
    let sides = [dimension(1, 2, 1e-6, 1), dimension(2, 2, 1e-6, 2)];
    let gray = [channel(8, "Gray", 0, "")];
    let colours = ["1", "2", "3"].map(|tag| {
        channel(8, "", 0, "").replace("ChannelTag=\"0\"", &format!("ChannelTag=\"{tag}\""))
    });
    let with = |extra: String| [sides[0].clone(), sides[1].clone(), extra];
    for (xml, why) in [
        (
            image("i", &colours, &sides, 1, ""),
            "it is a colour image (red, green, blue)",
        ),
        (
            image("i", &gray, &with(dimension(5, 30, 1e-7, 4)), 1, ""),
            "it has 30 emission wavelengths (a lambda stack)",
        ),
        (
            image(
                "i",
                &gray,
                &[sides[0].clone(), dimension(4, 9, 1.0, 2)],
                1,
                "",
            ),
            "it has no X and Y",
        ),
        (
            image(
                "i",
                &gray,
                &[sides[0].clone(), dimension(2, 0, 1.0, 2)],
                1,
                "",
            ),
            "its dimension `2` has no valid size",
        ),
        (
            image("i", &gray, &with(dimension(2, 2, 1e-6, 4)), 1, ""),
            "it has a dimension twice",
        ),
        (
            image("i", &[channel(70, "", 0, "")], &sides, 1, ""),
            "its samples are integers of 70 bits",
        ),
        (
            image("i", &gray, &sides, 8, ""),
            "its pixels are not in the file",
        ),
        (
            image("i", &gray, &with(dimension(4, 2_000_000, 1.0, 4)), 1, ""),
            "it states 2000000 planes of 2 x 2, and the file has",
        ),
    ] {
        let (_made, alone) = opened(&file(2, &xml, &[(1, &[0; 400])]));
        let error = alone.expect_err("refused");
        let wanted = format!("none of its 1 images can be used (`i`: {why}");
        assert!(error.contains(&wanted), "{error}");
        let (_made, beside) = opened(&file(2, &(xml + &plain("ok", 1)), &[(1, &[0; 400])]));
        let beside = beside.expect("opens");
        assert_eq!(names(&beside), ["a"]);
        let wanted = format!("image `i`: left out, since {why}");
        assert!(
            beside.problems[0].contains(&wanted),
            "{:?}",
            beside.problems
        );
    }
}

#[test]
fn planes_beyond_the_end_are_missing_and_told() {
    let steps = [1, 3, 12, 24, 6];
    let whole = file(
        2,
        &stack_image("s", steps, 1, [0, 1, 2, 3]),
        &[(1, &stack(steps, 1))],
    );
    let (_made, data) = opened(&whole[..whole.len() - 10]);
    let data = data.expect("opens");
    let missing = "image `s`: 2 of its 8 planes lie beyond the end of its block or of the file";
    assert!(
        data.problems.contains(&missing.to_string()),
        "{:?}",
        data.problems
    );
    assert!(data.fields[1].planes[0][1].is_none() && data.fields[1].planes[1][1].is_none());
    assert_eq!(values(&data, 1, 0, 0)[0], 20.0);
}

#[test]
fn floats_are_read_as_they_are() {
    let sides = [dimension(1, 2, 1e-6, 4), dimension(2, 1, 0.0, 0)];
    let float = channel(32, "", 0, "").replace("DataType=\"0\"", "DataType=\"1\"");
    let pixels: Vec<u8> = [-1.5_f32, 1e9]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    let (_made, data) = opened(&file(
        2,
        &image("f", &[float], &sides, 1, ""),
        &[(1, &pixels)],
    ));
    let plane = data.expect("opens").fields[0].read(0, 0).expect("a plane");
    assert_eq!(plane, Plane::F32(Image::new(1, 2, vec![-1.5, 1e9])));
}

/// Whatever comes of it, every plane is asked for.
fn read_all(path: &Path) {
    let Ok(data) = open(path, &OpenOptions::default()) else {
        return;
    };
    for plane in data
        .fields
        .iter()
        .flat_map(|field| field.planes.iter().flatten())
        .flatten()
        .take(40)
    {
        let _ = plane.read();
    }
}

#[test]
fn damaged_files_never_panic() {
    let steps = [1, 3, 12, 24, 6];
    let xml = stack_image("s", steps, 1, [0, 1, 2, 3]) + &folder("B", &plain("p", 2));
    let whole = file(2, &xml, &[(1, &stack(steps, 1)), (2, &[5; 4])]);
    let made = tempfile::tempdir().expect("a temporary folder");
    let path = made.path().join("a.lif");
    for cut in (0..whole.len()).step_by(whole.len() / 200) {
        std::fs::write(&path, &whole[..cut]).expect("written");
        read_all(&path);
    }
    let mut random = Random(3);
    for round in 0..600 {
        let mut bytes = whole.clone();
        for _ in 0..1 + round % 3 {
            let at = random.below(bytes.len());
            match round % 2 {
                0 => bytes[at] ^= 1 << random.below(8),
                _ => bytes[at] = [0, 0x39, 0x7f, 0xff][random.below(4)],
            }
        }
        std::fs::write(&path, &bytes).expect("written");
        read_all(&path);
    }
}

#[test]
fn what_is_no_lif_file_is_broken_and_lof_files_are_refused() {
    let (made, data) = opened(b"II*\0");
    assert!(
        data.expect_err("broken").contains("a.lif` is broken"),
        "{made:?}"
    );
    let (_made, data) = opened(&[7; 200]);
    let error = data.expect_err("broken");
    assert!(
        error.contains("it does not begin as a Leica image file does"),
        "{error}"
    );
    put(made.path(), "b.lof", b"p");
    let error = open(&made.path().join("b.lof"), &OpenOptions::default()).expect_err("refused");
    assert!(error.to_string().contains("it is a Leica file"), "{error}");
}

#[test]
fn the_real_file_has_the_values_of_another_reader() {
    let path = real_sets().join("microscopes/leica-lif/testdata_2channel_xz.lif");
    if !path.is_file() {
        println!("skipped: the real sets are not in ../shared/data");
        return;
    }
    let data = open(&path, &OpenOptions::default()).expect("opens");
    assert_eq!(data.channels, ["Green", "Red"]);
    let text = std::fs::read(real_sets().join("microscopes/expected.json")).expect("is there");
    let expected: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let images = &expected["leica-lif"]["testdata_2channel_xz.lif"]["images"];
    for (name, fields, size, planes) in [
        ("xzt", 20, (128, 128), 1),
        ("xzy", 1, (23, 128), 128),
        ("xz", 1, (512, 512), 1),
    ] {
        let position = format!("testdata_2channel_xz_{name}");
        let of: Vec<_> = data
            .fields
            .iter()
            .filter(|field| field.position.name == position)
            .collect();
        assert_eq!(of.len(), fields, "{name}");
        let mut sum = 0.0;
        for field in &of {
            assert_eq!((field.height, field.width), size, "{name}");
            for plane in field
                .planes
                .iter()
                .inspect(|stack| assert_eq!(stack.len(), planes))
                .flatten()
            {
                let read = plane
                    .as_ref()
                    .expect("there")
                    .read()
                    .expect("reads")
                    .to_f32();
                sum += read
                    .data()
                    .iter()
                    .map(|&value| f64::from(value))
                    .sum::<f64>();
            }
        }
        let wanted = images
            .as_array()
            .expect("images")
            .iter()
            .find(|one| one["name"] == name);
        let wanted = wanted.expect("the image");
        assert_eq!(Some(sum), wanted["sum"].as_f64(), "{name}");
        let first = of[0].read(0, 0).expect("a plane").to_f32();
        let first: Vec<f64> = first.data()[..6].iter().map(|&v| f64::from(v)).collect();
        let wanted: Vec<f64> = wanted["first"]
            .as_array()
            .expect("values")
            .iter()
            .filter_map(serde_json::Value::as_f64)
            .collect();
        assert_eq!(first, wanted, "{name}");
    }
    let section = "it has no Y; its planes are sections, with Z along their rows";
    let told = |name: &str| format!("image `{name}`: {section}");
    assert!(data.problems.contains(&told("xzt")) && data.problems.contains(&told("xz")));
    assert!(
        data.problems
            .iter()
            .any(|line| line.starts_with("image `xzy`: its pixels are not square"))
    );
}

#[test]
fn a_file_that_was_cut_off_is_told_in_a_sentence_for_each_reason() {
    let images: String = (1..=50).map(|k| plain(&format!("i{k}"), k)).collect();
    let (_made, data) = opened(&file(2, &images, &[(1, &[1; 4]), (2, &[2; 4])]));
    let data = data.expect("opens");
    assert_eq!(data.fields.len(), 2);
    assert_eq!(data.problems.len(), 1, "{:?}", data.problems);
    let said = &data.problems[0];
    assert!(said.starts_with("images `i3`, "), "{said}");
    assert!(
        said.ends_with("left out, since its pixels are not in the file"),
        "{said}"
    );

    // Blocks that are there, but too short.
    let steps = [1, 3, 12, 24, 6];
    let both: String = ["s", "t"]
        .iter()
        .map(|name| stack_image(name, steps, 1, [0, 1, 2, 3]))
        .collect();
    let short = stack(steps, 1);
    let (_made, data) = opened(&file(2, &both, &[(1, &short[..short.len() - 10])]));
    let said = data.expect("opens").problems.join("\n");
    let told = "images `s`, `t`: 4 of their 16 planes lie beyond the ends of their blocks";
    assert!(said.contains(told), "{said}");
}
