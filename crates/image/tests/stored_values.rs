//! Values are those that the file stores: photometric interpretation, colour tables, the order of
//! bits and bytes, planes and tiles change none of them. What is not read is refused in words.

mod common;

use std::path::PathBuf;

use common::tiff::{Page, Value, write};
use stainfree_image::{OpenOptions, Plane, open, read_info, read_labels, read_plane};

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

fn stack_bytes(planes: usize) -> Vec<u8> {
    let value = |n: usize| 1000 + 10 * (n / (HEIGHT * WIDTH)) as u16;
    (0..planes * HEIGHT * WIDTH)
        .flat_map(|n| value(n).to_le_bytes())
        .collect()
}

fn grey16(bytes: &[u8]) -> Page {
    Page::grey(HEIGHT as u16, WIDTH as u16, 16, bytes.to_vec())
}

/// The first pixel of every page.
fn firsts(path: &std::path::Path) -> Vec<f32> {
    let pages = read_info(path).expect("a header").pages.len();
    let first = |page| common::first_pixel(&read_plane(path, page).expect("a plane"));
    (0..pages).map(first).collect()
}

#[test]
fn all_planes_of_a_stack_under_one_page_are_alike() {
    let place = Place::new();
    let path = place.path("a.tif");
    let bytes = stack_bytes(3);
    let (one, behind) = bytes.split_at(bytes.len() / 3);
    for photometric in [0, 1] {
        let page = grey16(one)
            .short(262, photometric)
            .text("ImageJ=1.54f\nimages=3\nslices=3\n");
        write(&path, false, &[page], behind);
        assert_eq!(firsts(&path), [1000.0, 1010.0, 1020.0]);
    }
    // The same in several strips.
    let rows = 2 * WIDTH * 7;
    let strips = one.chunks(rows).map(<[u8]>::to_vec).collect();
    let page = grey16(one)
        .short(278, 7)
        .chunks(strips)
        .text("ImageJ=1.54f\nimages=3\n");
    write(&path, false, &[page], behind);
    assert_eq!(firsts(&path), [1000.0, 1010.0, 1020.0]);
}

#[test]
fn metamorph_stacks_have_all_their_planes_and_their_calibration() {
    let place = Place::new();
    let path = place.path("a.tif");
    let bytes = stack_bytes(4);
    let (one, behind) = bytes.split_at(bytes.len() / 4);
    // Four planes of 24 bytes each: MetaMorph's type says 8 bytes.
    let mut tail = behind.to_vec();
    let uic2_at = tail.len();
    tail.extend(
        (0..4)
            .flat_map(|_| [1_u32, 1, 0, 0, 0, 0])
            .flat_map(u32::to_le_bytes),
    );
    let units_at = tail.len();
    tail.extend(13_u32.to_le_bytes());
    tail.extend(b"um\0and the rest");
    let ratio_at = tail.len();
    tail.extend([645_u32, 1000].into_iter().flat_map(u32::to_le_bytes));
    let pairs_at = tail.len();
    let page = |tail: &[u8], places: [u32; 2]| {
        let tags = [33628, 33629].into_iter().zip(places);
        let page = grey16(one);
        let page = tags.fold(page, |page, (tag, place)| {
            page.with(tag, Value::Pointer { count: 4, place })
        });
        write(&path, false, &[page], tail);
    };
    // Once to learn where the pixels end, once with the places.
    page(&tail, [0; 2]);
    let length = std::fs::metadata(&path).expect("written").len() as usize;
    let start = length - tail.len();
    let at = |place: usize| (start + place) as u32;
    let pairs = [3, 1, 4, at(ratio_at), 5, at(ratio_at), 6, at(units_at)];
    tail.extend(pairs.into_iter().flat_map(u32::to_le_bytes));
    page(&tail, [at(pairs_at), at(uic2_at)]);

    assert_eq!(firsts(&path), [1000.0, 1010.0, 1020.0, 1030.0]);
    let data = open(&path, &OpenOptions::default()).expect("opens");
    assert_eq!(data.fields[0].planes[0].len(), 4);
    assert_eq!(data.fields[0].pixel_um, Some(0.645));
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

/// Six pages whose first pixels are 1000, 1010, ...
fn six(description: &[&str]) -> Vec<Page> {
    let bytes = stack_bytes(6);
    let mut pages: Vec<Page> = bytes.chunks(bytes.len() / 6).map(grey16).collect();
    for text in description {
        pages[0] = pages[0].clone().another_text(text);
    }
    pages
}

/// The first pixel of channel `c`, plane `z`.
fn plane_of(path: &std::path::Path, c: usize, z: usize) -> f32 {
    let data = open(path, &OpenOptions::default()).expect("opens");
    common::first_pixel(&data.fields[0].read(c, z).expect("a plane"))
}

#[test]
fn imagej_pages_run_in_the_order_that_the_file_states() {
    let place = Place::new();
    let path = place.path("a.tif");
    for (order, c1z0, c0z1) in [("", 1010.0, 1020.0), ("order=zct\n", 1030.0, 1010.0)] {
        let text = format!("ImageJ=1.53t\nimages=6\nchannels=2\nslices=3\n{order}");
        write(&path, true, &six_big(&text), &[]);
        assert_eq!(plane_of(&path, 1, 0), c1z0, "{order}");
        assert_eq!(plane_of(&path, 0, 1), c0z1, "{order}");
    }
    let text = "ImageJ=1.53t\nimages=6\nchannels=2\nslices=3\norder=spiral\n";
    write(&path, true, &six_big(text), &[]);
    let said = read_info(&path).expect("a header");
    assert_eq!(said.axes, None);
    assert!(said.problems[0].contains("its page order `spiral` is not known"));
}

fn six_big(text: &str) -> Vec<Page> {
    let mut pages: Vec<Page> = (0..6_u16)
        .map(|n| grey16(&(1000 + 10 * n).to_be_bytes().repeat(HEIGHT * WIDTH)))
        .collect();
    pages[0] = pages[0].clone().text(text);
    pages
}

#[test]
fn of_two_descriptions_in_one_page_neither_is_lost() {
    let place = Place::new();
    let path = place.path("a.tif");
    let ome = "<OME><Image><Pixels DimensionOrder=\"XYCZT\" SizeX=\"19\" SizeY=\"21\" SizeC=\"2\" \
               SizeZ=\"3\" SizeT=\"1\" PhysicalSizeX=\"0.5\"><Channel Name=\"BF\"/>\
               <Channel Name=\"DAPI\"/><TiffData FirstC=\"1\" IFD=\"0\"/>\
               <TiffData FirstC=\"1\" FirstZ=\"1\" IFD=\"1\"/>\
               <TiffData FirstC=\"1\" FirstZ=\"2\" IFD=\"2\"/><TiffData IFD=\"3\"/>\
               <TiffData FirstZ=\"1\" IFD=\"4\"/><TiffData FirstZ=\"2\" IFD=\"5\"/>\
               </Pixels></Image></OME>";
    let imagej = "ImageJ=1.53t\nimages=6\nchannels=2\nslices=3\nunit=um\n";
    for texts in [[ome, imagej], [imagej, ome]] {
        write(&path, false, &six(&texts), &[]);
        let info = read_info(&path).expect("a header");
        assert_eq!(
            (info.channels, info.pixel_um),
            (vec!["BF".into(), "DAPI".into()], Some(0.5))
        );
        assert_eq!(info.problems, Vec::<String>::new());
        assert_eq!(plane_of(&path, 1, 1), 1010.0);
        assert_eq!(plane_of(&path, 0, 2), 1050.0);
    }
}

#[test]
fn the_positions_of_one_file_are_fields() {
    let place = Place::new();
    let path = place.path("a.tif");
    let image = |page: usize, um: f64| {
        format!(
            "<Image><Pixels DimensionOrder=\"XYZCT\" SizeX=\"19\" SizeY=\"21\" SizeC=\"2\" \
             SizeZ=\"1\" SizeT=\"1\" PhysicalSizeX=\"{um}\"><Channel Name=\"BF\"/>\
             <Channel Name=\"DAPI\"/><TiffData IFD=\"{page}\" PlaneCount=\"2\"/></Pixels></Image>"
        )
    };
    let text = format!(
        "<OME>{}{}{}</OME>",
        image(0, 0.5),
        image(4, 0.5),
        image(2, 0.5)
    );
    write(&path, false, &six(&[&text]), &[]);
    let data = open(&path, &OpenOptions::default()).expect("opens");
    let found: Vec<(&str, f32)> = data
        .fields
        .iter()
        .map(|field| {
            let plane = field.read(1, 0).expect("a plane");
            (field.name.as_str(), common::first_pixel(&plane))
        })
        .collect();
    assert_eq!(
        found,
        [("a_p1", 1010.0), ("a_p2", 1050.0), ("a_p3", 1030.0)]
    );
    assert_eq!(data.channels, ["BF", "DAPI"]);
    assert_eq!(data.problems, Vec::<String>::new());
    assert_eq!(data.fields[2].pixel_um, Some(0.5));
}

#[test]
fn units_are_known_in_every_encoding_and_others_are_named() {
    let place = Place::new();
    let path = place.path("a.tif");
    let size = |description: &[u8], unit: u16| {
        let page = KINDS[0]
            .page(false)
            .with(270, Value::Text(description.to_vec()))
            .with(282, Value::Ratio(2, 1))
            .with(283, Value::Ratio(2, 1))
            .short(296, unit);
        write(&path, false, &[page], &[]);
        let info = read_info(&path).expect("a header");
        (info.pixel_um, info.problems)
    };
    let latin: &[u8] = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><OME><Image><Pixels \
        DimensionOrder=\"XYZCT\" SizeX=\"19\" SizeY=\"21\" SizeC=\"1\" SizeZ=\"1\" SizeT=\"1\" \
        PhysicalSizeX=\"0,5\" PhysicalSizeXUnit=\"\xb5m\"><Channel/></Pixels></Image></OME>";
    for (description, unit) in [
        (b"ImageJ=1.5\nunit=\xb5m\n".as_slice(), 1),
        (b"ImageJ=1.5\nunit=Micron\r\n", 1),
        (b"ImageJ=1.5\nunit=um\n", 3),
        (latin, 2),
        (b"", 5),
        (b"{\"shape\": [21, 19]}", 5),
        (b"{\"shape\": [21, 19], \"unit\": \"\\u00b5m\"}", 1),
    ] {
        let text = String::from_utf8_lossy(description);
        assert_eq!(size(description, unit), (Some(0.5), vec![]), "{text}");
    }
    // Two pixels per inch are no calibration, and said neither way.
    assert_eq!(size(b"", 2), (None, vec![]));
    let (um, said) = size(b"ImageJ=1.5\nunit=furlong\n", 1);
    assert_eq!(um, None);
    assert_eq!(
        said,
        ["its unit `furlong` is not known, so no pixel size is taken"]
    );
}

#[test]
fn a_movie_of_many_pages_is_read_in_any_order_and_a_replaced_one_anew() {
    let place = Place::new();
    let path = place.path("a.tif");
    let movie = |first: u16, count: u16| {
        let page = |n: u16| Page::grey(1, 1, 16, (first + n).to_le_bytes().to_vec());
        let pages: Vec<Page> = (0..count).map(page).collect();
        write(&path, false, &pages, &[]);
    };
    let value = |page| read_plane(&path, page).map(|plane| common::first_pixel(&plane));
    movie(0, 3000);
    assert_eq!(read_info(&path).expect("a header").pages.len(), 3000);
    for page in [2999, 1, 1500, 0, 2998] {
        assert_eq!(value(page).expect("a plane"), page as f32);
    }
    let text = value(3000).expect_err("no such page").to_string();
    assert!(text.contains("has no page 3000 (it has 3000"), "{text}");
    movie(7, 100);
    assert_eq!(value(99).expect("a plane"), 106.0);
    assert!(value(100).is_err());
}

#[test]
fn directories_in_a_circle_and_reduced_pages_between_others() {
    let place = Place::new();
    let path = place.path("a.tif");
    let mut pages = six(&[]);
    pages[1] = pages[1].clone().short(254, 1);
    pages[5] = pages[5].clone().short(254, 1);
    write(&path, false, &pages, &[]);
    assert_eq!(firsts(&path), [1000.0, 1020.0, 1030.0, 1040.0]);

    write(&path, false, &six(&[])[..1], &[]);
    let mut bytes = std::fs::read(&path).expect("written");
    // The link behind the first directory, which begins at byte 8, back to it.
    let count = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[10 + 12 * count] = 8;
    std::fs::write(&path, bytes).expect("written");
    let text = read_info(&path).expect_err("a circle").to_string();
    assert!(
        text.contains("its directories go round in a circle"),
        "{text}"
    );
    assert!(matches!(read_plane(&path, 0), Ok(Plane::U16(_))));
}
