//! Values are those that the file stores: photometric interpretation, colour tables, the order of
//! bits and bytes, planes and tiles change none of them. What is not read is refused in words.

mod common;

use std::path::PathBuf;

use common::samples;
use common::tiff::{Page, Value, write};
use stainfree_image::{OpenOptions, open, read_info, read_labels, read_plane};

/// Odd sides, so that tiles and bytes end inside of a row.
const HEIGHT: usize = 21;
const WIDTH: usize = 19;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The values of the first page of a file of these pages.
    fn read(&self, big_endian: bool, pages: &[Page]) -> Result<Vec<f32>, String> {
        let path = self.path("a.tif");
        write(&path, big_endian, pages, &[]);
        read_plane(&path, 0)
            .map(|plane| plane.to_f32().into_data())
            .map_err(|error| error.to_string())
    }
}

/// A type of samples: bits, sample format, and the value of a pixel as bits.
struct Kind {
    name: &'static str,
    bits: u16,
    format: u16,
    encode: fn(i32) -> u64,
    /// What the value of pixel number `n` is.
    value: fn(usize) -> i32,
}

/// A value for every type that tells pixels apart; negative where the type has a sign.
const KINDS: [Kind; 13] = [
    Kind {
        name: "u8",
        bits: 8,
        format: 1,
        encode: |v| v as u64,
        value: |n| (n % 251) as i32,
    },
    Kind {
        name: "u16",
        bits: 16,
        format: 1,
        encode: |v| v as u64,
        value: |n| n as i32 * 37,
    },
    Kind {
        name: "u32",
        bits: 32,
        format: 1,
        encode: |v| v as u64,
        value: |n| n as i32 * 1003,
    },
    Kind {
        name: "u64",
        bits: 64,
        format: 1,
        encode: |v| v as u64,
        value: |n| n as i32 * 1003,
    },
    Kind {
        name: "i8",
        bits: 8,
        format: 2,
        encode: |v| v as u64,
        value: |n| n as i32 % 251 - 125,
    },
    Kind {
        name: "i16",
        bits: 16,
        format: 2,
        encode: |v| v as u64,
        value: |n| n as i32 - 200,
    },
    Kind {
        name: "i32",
        bits: 32,
        format: 2,
        encode: |v| v as u64,
        value: |n| n as i32 - 200,
    },
    Kind {
        name: "i64",
        bits: 64,
        format: 2,
        encode: |v| v as i64 as u64,
        value: |n| n as i32 - 200,
    },
    Kind {
        name: "f32",
        bits: 32,
        format: 3,
        encode: |v| u64::from((v as f32).to_bits()),
        value: |n| n as i32 - 200,
    },
    Kind {
        name: "f64",
        bits: 64,
        format: 3,
        encode: |v| f64::from(v).to_bits(),
        value: |n| n as i32 - 200,
    },
    Kind {
        name: "1 bit",
        bits: 1,
        format: 1,
        encode: |v| v as u64,
        value: |n| (n % 3 == 0) as i32,
    },
    Kind {
        name: "12 bits",
        bits: 12,
        format: 1,
        encode: |v| v as u64,
        value: |n| n as i32 * 10,
    },
    Kind {
        name: "10 bits",
        bits: 10,
        format: 1,
        encode: |v| v as u64,
        value: |n| n as i32 * 2,
    },
];

impl Kind {
    fn values(&self) -> Vec<f32> {
        (0..HEIGHT * WIDTH)
            .map(|n| (self.value)(n) as f32)
            .collect()
    }

    /// The samples of rows as bytes: each row begins on a whole byte.
    fn rows(&self, big_endian: bool, rows: &[Vec<i32>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for row in rows {
            if self.bits.is_multiple_of(8) {
                let width = usize::from(self.bits / 8);
                for &value in row {
                    let number = (self.encode)(value);
                    match big_endian {
                        true => bytes.extend(&number.to_be_bytes()[8 - width..]),
                        false => bytes.extend(&number.to_le_bytes()[..width]),
                    }
                }
                continue;
            }
            let bits = row.iter().flat_map(|&value| {
                (0..self.bits)
                    .rev()
                    .map(move |bit| (self.encode)(value) >> bit & 1)
            });
            let bits: Vec<u64> = bits.collect();
            bytes.extend(bits.chunks(8).map(|byte| {
                byte.iter()
                    .enumerate()
                    .fold(0, |sum, (k, &bit)| sum | (bit as u8) << (7 - k))
            }));
        }
        bytes
    }

    fn image(&self) -> Vec<Vec<i32>> {
        let row = |y: usize| (0..WIDTH).map(|x| (self.value)(y * WIDTH + x)).collect();
        (0..HEIGHT).map(row).collect()
    }

    fn page(&self, big_endian: bool) -> Page {
        let bytes = self.rows(big_endian, &self.image());
        Page::grey(HEIGHT as u16, WIDTH as u16, self.bits, bytes).short(339, self.format)
    }

    /// Three equal channels, plane after plane, in tiles of 16 x 16.
    fn planar_tiles(&self, big_endian: bool) -> Page {
        let image = self.image();
        let mut tiles = Vec::new();
        for _ in 0..3 {
            for (y, x) in [(0, 0), (0, 16), (16, 0), (16, 16)] {
                let tile: Vec<Vec<i32>> = (y..y + 16)
                    .map(|y| {
                        let row = image.get(y);
                        (x..x + 16)
                            .map(|x| row.and_then(|row| row.get(x)).copied().unwrap_or(1))
                            .collect()
                    })
                    .collect();
                tiles.push(self.rows(big_endian, &tile));
            }
        }
        self.page(big_endian)
            .with(258, Value::Shorts(vec![self.bits; 3]))
            .with(339, Value::Shorts(vec![self.format; 3]))
            .short(262, 2)
            .short(277, 3)
            .short(284, 2)
            .tiles(16, 16, tiles)
    }
}

#[test]
fn an_inverted_lookup_table_changes_no_value_of_any_type() {
    let place = Place::new();
    for kind in &KINDS {
        for big_endian in [false, true] {
            let values = place.read(big_endian, &[kind.page(big_endian).short(262, 0)]);
            assert_eq!(values, Ok(kind.values()), "{}", kind.name);
        }
    }
}

#[test]
fn labels_in_floats_are_exact_or_refused() {
    let place = Place::new();
    let labels = |bits: u16, values: [f64; 2]| {
        let bytes = |value: f64| match bits {
            32 => (value as f32).to_le_bytes().to_vec(),
            _ => value.to_le_bytes().to_vec(),
        };
        let bytes = values.into_iter().flat_map(bytes).collect();
        let path = place.path("a.tif");
        write(
            &path,
            false,
            &[Page::grey(1, 2, bits, bytes).short(339, 3)],
            &[],
        );
        read_labels(&path)
            .map(|labels| labels.into_data())
            .map_err(|error| error.to_string())
    };
    // The first integer that a float of 32 bits does not hold, and the largest label.
    assert_eq!(labels(64, [16_777_217.0, 0.0]), Ok(vec![16_777_217, 0]));
    assert_eq!(labels(64, [4_294_967_295.0, 7.0]), Ok(vec![u32::MAX, 7]));
    for (bits, value) in [
        (64, 16_777_216.5),
        (64, 4_294_967_296.0),
        (32, 33_554_432.0),
    ] {
        let text = labels(bits, [value, 0.0]).expect_err("no label");
        let said = format!("it has the value `{value}`, and labels are whole numbers from 0");
        assert!(text.contains(&said), "{text}");
    }
    assert!(labels(64, [f64::NAN, 0.0]).is_err() && labels(64, [-1.0, 0.0]).is_err());
}

#[test]
fn planes_of_one_channel_after_another_are_read_in_tiles_that_leave_the_image() {
    let place = Place::new();
    for kind in &KINDS {
        for big_endian in [false, true] {
            let values = place.read(big_endian, &[kind.planar_tiles(big_endian)]);
            assert_eq!(values, Ok(kind.values()), "{}", kind.name);
        }
    }
}

#[test]
fn strips_of_channels_one_after_another_are_read_whatever_their_type() {
    let place = Place::new();
    for kind in &KINDS {
        let image = kind.image();
        let strips = (0..3).flat_map(|_| image.chunks(8).map(|rows| kind.rows(false, rows)));
        let page = kind
            .page(false)
            .with(258, Value::Shorts(vec![kind.bits; 3]))
            .with(339, Value::Shorts(vec![kind.format; 3]))
            .short(262, 2)
            .short(277, 3)
            .short(278, 8)
            .short(284, 2)
            .chunks(strips.collect());
        assert_eq!(
            place.read(false, &[page]),
            Ok(kind.values()),
            "{}",
            kind.name
        );
    }
}

#[test]
fn bits_in_reverse_are_turned() {
    let place = Place::new();
    for kind in &KINDS {
        let bytes = kind.rows(false, &kind.image());
        let reversed = bytes.iter().map(|byte| byte.reverse_bits()).collect();
        let page = kind.page(false).short(266, 2).chunks(vec![reversed]);
        assert_eq!(
            place.read(false, &[page]),
            Ok(kind.values()),
            "{}",
            kind.name
        );
    }
}

#[test]
fn the_indices_of_a_colour_table_are_the_values() {
    let place = Place::new();
    for bits in [1, 2, 4, 8] {
        let kind = Kind {
            bits,
            value: |n| (n % 2) as i32,
            ..KINDS[0]
        };
        let colours = (0..3 << bits).map(|entry| 65_535 - 7 * entry).collect();
        let page = kind
            .page(false)
            .short(262, 3)
            .with(320, Value::Shorts(colours));
        assert_eq!(place.read(false, &[page]), Ok(kind.values()), "{bits} bits");
        let labels = read_labels(&place.path("a.tif")).expect("labels");
        assert_eq!(labels.data()[..3], [0, 1, 0]);
        let said = read_info(&place.path("a.tif")).expect("a header").problems;
        assert!(said[0].contains("the indices are taken"), "{said:?}");
    }
}

/// A PNG of two rows of pixels `0 1 2 3 ..` of `bits` bits.
fn put_png(place: &Place, bits: u8, table: Option<&[u8]>) -> PathBuf {
    let path = place.path("a.png");
    let count = 1_usize << bits.min(4);
    let mut bytes = Vec::new();
    for _ in 0..2 {
        let per_byte = 8 / usize::from(bits);
        let values: Vec<u8> = (0..count as u8).collect();
        bytes.extend(values.chunks(per_byte).map(|values| {
            let shift = |k: usize| 8 - usize::from(bits) * (k + 1);
            values
                .iter()
                .enumerate()
                .fold(0, |sum, (k, value)| sum | value << shift(k))
        }));
    }
    let file = std::fs::File::create(&path).expect("a file");
    let mut encoder = png::Encoder::new(file, count as u32, 2);
    encoder.set_depth(png::BitDepth::from_u8(bits).expect("a depth"));
    encoder.set_color(match table {
        Some(_) => png::ColorType::Indexed,
        None => png::ColorType::Grayscale,
    });
    if let Some(table) = table {
        encoder.set_palette(table.to_vec());
    }
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&bytes).expect("pixels");
    writer.finish().expect("an end");
    path
}

#[test]
fn indices_of_a_png_are_its_values_whatever_the_colours() {
    let place = Place::new();
    for bits in [1, 2, 4, 8] {
        let table: Vec<u8> = (0..3_usize << bits).map(|k| (k * 31 % 251) as u8).collect();
        let path = put_png(&place, bits, Some(&table));
        let labels = read_labels(&path).expect("labels");
        let expected: Vec<u32> = (0..1 << bits.min(4)).collect();
        assert_eq!(labels.row(1), expected, "{bits} bits");
        let plane = read_plane(&path, 0).expect("a plane").to_f32();
        assert_eq!(plane.get(1, 1), 1.0);
        let said = read_info(&path).expect("a header").problems;
        assert!(said[0].contains("the indices are taken"), "{said:?}");
    }
}

#[test]
fn a_grey_table_of_a_small_file_is_no_lookup_table() {
    let place = Place::new();
    let table = |greys: [u8; 4]| {
        greys
            .iter()
            .flat_map(|&grey| [grey; 3])
            .collect::<Vec<u8>>()
    };
    let read = |greys: [u8; 4]| {
        let path = put_png(&place, 2, Some(&table(greys)));
        let plane = read_plane(&path, 0).expect("a plane").to_f32();
        (
            plane.row(0).to_vec(),
            read_labels(&path).expect("labels").row(0).to_vec(),
        )
    };
    // The greys of an image, listed once each, in any order.
    let (image, labels) = read([3, 9, 5, 7]);
    assert_eq!(
        (image, labels),
        (vec![3.0, 9.0, 5.0, 7.0], vec![3, 9, 5, 7])
    );
    let (image, _) = read([10, 90, 150, 200]);
    assert_eq!(image, [10.0, 90.0, 150.0, 200.0]);
    // ImageJ's inverted table, and one that shows labels apart.
    assert_eq!(
        read([255, 170, 85, 0]),
        (vec![0.0, 1.0, 2.0, 3.0], vec![0, 1, 2, 3])
    );
    assert_eq!(read([0, 80, 160, 240]).1, [0, 1, 2, 3]);
}

#[test]
fn few_bits_of_grey_in_a_png_stay_as_stored() {
    let place = Place::new();
    for bits in [2, 4] {
        let labels = read_labels(&put_png(&place, bits, None)).expect("labels");
        let expected: Vec<u32> = (0..1 << bits).collect();
        assert_eq!(labels.row(0), expected, "{bits} bits");
    }
    // Black and white, as all programs read it.
    let plane = read_plane(&put_png(&place, 1, None), 0).expect("a plane");
    assert_eq!(plane.to_f32().row(0), [0.0, 255.0]);
}

#[test]
fn what_is_not_read_is_told_in_words() {
    let place = Place::new();
    let page = || KINDS[1].page(false);
    let planar = |values: [u16; 2]| {
        let strips = values.map(|value| value.to_le_bytes().repeat(HEIGHT * WIDTH));
        page()
            .with(258, Value::Shorts(vec![16, 16]))
            .short(277, 2)
            .short(284, 2)
            .chunks(strips.to_vec())
    };
    for (page, said) in [
        (
            page().short(259, 34925),
            "compressed with LZMA (compression `34925`); save it uncompressed",
        ),
        (page().short(259, 34887), "compressed with LERC"),
        (
            page().short(259, 7),
            "compressed with JPEG, which has changed the intensities; export",
        ),
        (
            page().short(259, 12345),
            "an unknown codec (compression `12345`)",
        ),
        (
            planar([7, 8]),
            "it has 2 samples a pixel that differ (one is `7, 8`); save each channel",
        ),
        (page().short(262, 6), "its colours are YCbCr"),
        (page().short(339, 5), "its pixels are complex numbers"),
        (page().short(258, 40), "its samples have 40 bits"),
        (
            KINDS[11].page(false).short(317, 2),
            "samples of 12 bits are stored as differences",
        ),
    ] {
        let text = place.read(false, &[page]).expect_err("refused");
        assert!(text.contains(said), "{text}");
    }
    // What the header tells is said before the first reading.
    write(
        &place.path("a.tif"),
        false,
        &[page().short(259, 34925)],
        &[],
    );
    let told = read_info(&place.path("a.tif")).expect("a header").problems;
    assert!(
        told[0].starts_with("its pixels are compressed with LZMA"),
        "{told:?}"
    );
    // Samples that agree are one grey value.
    assert_eq!(
        place.read(false, &[planar([7, 7])]),
        Ok(vec![7.0; HEIGHT * WIDTH])
    );
}

/// Three samples a pixel of 16 bits, described as ImageJ does where it shows channels in colours.
fn rgb48(description: &str) -> Page {
    let pixel = |n: usize| {
        [n as u16, 100 + n as u16, 1000]
            .map(u16::to_le_bytes)
            .concat()
    };
    let bytes = (0..HEIGHT * WIDTH).flat_map(pixel).collect();
    Page::grey(HEIGHT as u16, WIDTH as u16, 16, bytes)
        .with(258, Value::Shorts(vec![16; 3]))
        .short(262, 2)
        .short(277, 3)
        .text(description)
}

#[test]
fn the_samples_of_imagejs_rgb48_are_channels() {
    let place = Place::new();
    let path = place.path("a.tif");
    write(&path, false, &[rgb48("ImageJ=1.52a\nchannels=3\n")], &[]);
    let data = open(&path, &OpenOptions::default()).expect("opens");
    assert_eq!(data.channels, ["C1", "C2", "C3"]);
    assert!(
        data.problems.iter().all(|said| said.contains("pixel size")),
        "{:?}",
        data.problems
    );
    for (channel, first) in [(0, 0.0), (1, 100.0), (2, 1000.0)] {
        let plane = data.fields[0].read(channel, 0).expect("reads").to_f32();
        let last = if channel < 2 {
            (HEIGHT * WIDTH - 1) as f32
        } else {
            0.0
        };
        assert_eq!(plane.get(0, 0), first);
        assert_eq!(plane.get(HEIGHT - 1, WIDTH - 1), first + last);
    }
    assert!(read_plane(&path, 3).is_err());
    // ImageJ may call them images.
    write(&path, false, &[rgb48("ImageJ=1.52a\nimages=3\n")], &[]);
    let data = open(&path, &OpenOptions::default()).expect("opens");
    assert_eq!(data.channels, ["C1", "C2", "C3"]);
    assert_eq!(
        data.fields[0].read(2, 0).expect("reads").to_f32().get(0, 0),
        1000.0
    );
    // Without ImageJ's word they are colours.
    write(&path, false, &[rgb48("taken by a camera")], &[]);
    let said = open(&path, &OpenOptions::default())
        .expect_err("colours")
        .to_string();
    assert!(said.contains("is a colour image"), "{said}");
}

#[test]
fn colours_are_refused_when_a_folder_is_opened_and_not_at_the_first_reading() {
    let place = Place::new();
    for name in [
        "rgb-colour.tif",
        "rgb-colour.png",
        "rgb-grey.tif",
        "rgb-grey.png",
    ] {
        std::fs::copy(samples().join(name), place.path(name)).expect("copied");
    }
    for name in ["rgb-colour.tif", "rgb-colour.png"] {
        let said = open(&place.path(name), &OpenOptions::default()).expect_err("colours");
        assert!(said.to_string().contains("is a colour image"), "{said}");
    }
    let data = open(
        place.path("x").parent().expect("a folder"),
        &OpenOptions::default(),
    );
    let data = data.expect("opens");
    let names: Vec<&str> = data
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(names, ["rgb-grey"], "{:?}", data.problems);
    let told = data
        .problems
        .iter()
        .filter(|said| said.contains("is a colour image"));
    assert_eq!(told.count(), 2, "{:?}", data.problems);
}
