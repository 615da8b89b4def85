//! CZI files: real ones against the values of a second reader, and small ones that the test writes.

mod common;

use std::io::{Seek, SeekFrom, Write};
use std::ops::Deref;
use std::path::Path;

use common::czi::{
    Block, DIRECTORY, PART, WRITING, channels, described, description, file, patch, scenes,
    segment, with_times,
};
use common::{Random, put, put_plane, real_sets};
use stainfree_image::{Dataset, Field, Image, OpenOptions, Region, open, summarise};

/// What was made of a file `a.czi`, which lies there as long.
struct Opened {
    data: Dataset,
    _folder: tempfile::TempDir,
}

impl Deref for Opened {
    type Target = Dataset;

    fn deref(&self) -> &Dataset {
        &self.data
    }
}

fn try_open(bytes: &[u8]) -> Result<Opened, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    put(folder.path(), "a.czi", bytes);
    let path = folder.path().join("a.czi");
    match open(&path, &OpenOptions::default()) {
        Ok(data) => Ok(Opened {
            data,
            _folder: folder,
        }),
        Err(error) => Err(error.to_string()),
    }
}

fn opened(bytes: &[u8]) -> Opened {
    try_open(bytes).expect("opens")
}

/// What is said of a file after its name.
fn refused(bytes: &[u8]) -> String {
    let text = try_open(bytes).err().expect("refused");
    let (_, after) = text.split_once("a.czi` ").expect("the file is named");
    after.to_string()
}

fn names(data: &Dataset) -> Vec<&str> {
    data.fields.iter().map(|f| f.name.as_str()).collect()
}

fn values(field: &Field, channel: usize, z: usize) -> Image<f32> {
    field.read(channel, z).expect("a plane").to_f32()
}

fn first(field: &Field, channel: usize, z: usize) -> f32 {
    values(field, channel, z).get(0, 0)
}

/// A picture: a row of letters for every row of pixels, `0` to `9`.
fn drawn(image: &Image<f32>) -> Vec<String> {
    let row = |y| image.row(y).iter().map(|value| value.to_string()).collect();
    (0..image.height()).map(row).collect()
}

fn silent() -> String {
    description("", [""; 3])
}

#[test]
fn scenes_are_images_with_the_boxes_of_their_own_tiles() {
    let blocks = [
        Block::filled(2, 3, 7).at(-5, 2_000_000_000).on("S1 M0"),
        Block::filled(2, 2, 1).at(-9, -1_000_000_000).on("S0 M0"),
        Block::filled(2, 2, 2).at(-7, -1_000_000_000).on("S0 M1"),
    ];
    let said = description(
        &scenes(&[("TR1", ""), ("P1", "")]),
        ["5e-7", "5.0E-007", "1E-06"],
    );
    let data = opened(&file(&said, &blocks));
    assert_eq!(data.layout, "czi");
    assert_eq!(names(&data), ["a_P1", "a_TR1"]);
    assert_eq!(drawn(&values(&data.fields[0], 0, 0)), ["777", "777"]);
    assert_eq!(
        drawn(&values(&data.fields[1], 0, 0)),
        ["11", "11", "22", "22"]
    );
    assert_eq!(data.fields[0].pixel_um, Some(0.5));
    assert_eq!(data.fields[0].metadata.get("z_step_um"), None);
    assert_eq!(data.channels, ["C1"]);
    assert!(
        data.problems
            .iter()
            .all(|line| line.contains("differ in size"))
    );
}

#[test]
fn higher_tiles_lie_on_top_and_gaps_are_told() {
    // In the order of the file the lower tile would be on top.
    let over = Block::filled(2, 2, 2).at(1, 1).on("M1");
    let under = Block::filled(2, 3, 1).at(0, 0).on("M0");
    let data = opened(&file(&silent(), &[over.clone(), under.clone()]));
    let expected = ["111", "122", "022"];
    assert_eq!(drawn(&values(&data.fields[0], 0, 0)), expected);
    let gaps = ["tiles leave gaps in some of its planes, where pixels are 0"];
    assert_eq!(data.problems, gaps);
    // Without numbers the later block lies on top; one with a number on one without.
    let data = opened(&file(
        &silent(),
        &[under.clone().on(""), over.clone().on("")],
    ));
    assert_eq!(drawn(&values(&data.fields[0], 0, 0)), expected);
    let data = opened(&file(&silent(), &[over, under.on("")]));
    assert_eq!(drawn(&values(&data.fields[0], 0, 0)), expected);

    let twice = [Block::filled(1, 2, 3), Block::filled(1, 2, 4)];
    let data = opened(&file(&silent(), &twice));
    assert_eq!(drawn(&values(&data.fields[0], 0, 0)), ["44"]);
    let told = ["blocks lie exactly over others, of which the last is taken"];
    assert_eq!(data.problems, told);
}

#[test]
fn a_window_is_a_part_of_the_plane_and_reads_no_other_tile() {
    let mut random = Random(5);
    let mut blocks = Vec::new();
    for (tile, (top, left)) in [(0, 0), (0, 7), (5, 0), (5, 7)].into_iter().enumerate() {
        let image = Image::from_fn(6, 8, |_, _| random.below(60_000) as u16);
        let block = Block::grey(&image).at(top, left).on(&format!("M{tile}"));
        blocks.push(if tile % 2 == 0 {
            block
        } else {
            block.zstd(Some(&[3, 1, 1]))
        });
    }
    let bytes = file(&silent(), &blocks);
    let data = opened(&bytes);
    let plane = data.fields[0].planes[0][0].as_ref().expect("a plane");
    let whole = plane.read().expect("reads").to_f32();
    assert_eq!(whole.size(), (11, 15));
    for (y, x, height, width) in [(0, 0, 11, 15), (4, 6, 3, 4), (10, 14, 1, 1), (0, 0, 5, 7)] {
        let region = Region {
            y,
            x,
            height,
            width,
        };
        let part = plane.read_region(region).expect("reads").to_f32();
        assert_eq!(part, whole.crop(y, x, height, width), "{region:?}");
    }
    let beyond = Region {
        y: 11,
        x: 0,
        height: 1,
        width: 1,
    };
    assert!(plane.read_region(beyond).is_err());
    // The last tile is damaged: windows that do not touch it still read.
    let mut damaged = bytes.clone();
    let last = damaged
        .windows(14)
        .rposition(|name| name == b"ZISRAWSUBBLOCK");
    damaged[last.expect("a block")] = b'x';
    let data = opened(&damaged);
    let plane = data.fields[0].planes[0][0].as_ref().expect("a plane");
    let region = Region {
        y: 0,
        x: 0,
        height: 5,
        width: 15,
    };
    let part = plane.read_region(region).expect("reads").to_f32();
    assert_eq!(part, whole.crop(0, 0, 5, 15));
    let error = plane.read().expect_err("damaged").to_string();
    assert!(error.contains("it is no block of pixels"), "{error}");
}

#[test]
fn wells_are_taken_from_the_names_and_the_shape_of_the_plate() {
    let at = "<CenterPosition>1010.5,495</CenterPosition>";
    let said = scenes(&[
        ("P1", "<ArrayName>B3</ArrayName>"),
        ("P2", "<ArrayName>B3</ArrayName>"),
        (
            "P3",
            &format!("{at}<Shape Name=\"d6\"><CenterPosition>1000,500</CenterPosition></Shape>"),
        ),
        (
            "P4",
            "<Shape><RowIndex>5</RowIndex><ColumnIndex>11</ColumnIndex></Shape>",
        ),
        (
            "P5",
            "<Shape Name=\"A2\"><RowIndex>2</RowIndex><ColumnIndex>1</ColumnIndex></Shape>",
        ),
    ]);
    let blocks: Vec<Block> = (0..5)
        .map(|s| {
            Block::filled(1, 1, 10 + s)
                .at(0, 99_999 * i32::from(s))
                .on(&format!("S{s}"))
        })
        .collect();
    let data = opened(&file(&description(&said, [""; 3]), &blocks));
    assert_eq!(
        names(&data),
        ["A02_s1", "B03_s1", "B03_s2", "D06_s1", "E11_s1"]
    );
    let firsts: Vec<f32> = data.fields.iter().map(|field| first(field, 0, 0)).collect();
    assert_eq!(firsts, [14.0, 10.0, 11.0, 12.0, 13.0]);
    assert_eq!(data.fields[3].metadata["x_um"], "10.5");
    assert_eq!(data.fields[3].metadata["y_um"], "-5");
    let told = "scene `P5` is in well `A02` by its name and in `B01` by its row and column; the \
                name is taken";
    assert_eq!(data.problems, [told]);
    let seen = summarise(&data);
    assert_eq!((seen.wells, seen.sites), (4, 2));

    // Positions and slides are no wells, whatever they are called.
    let slide =
        "<Shape Name=\"Slide 1\"><RowIndex>1</RowIndex><ColumnIndex>1</ColumnIndex></Shape>";
    let said = scenes(&[("P1", ""), ("B2", slide)]);
    let data = opened(&file(&description(&said, [""; 3]), &blocks[..2]));
    assert_eq!(names(&data), ["a_B2", "a_P1"]);
    assert!(
        data.fields
            .iter()
            .all(|field| field.position.well.is_none())
    );
}

#[test]
fn scenes_are_told_apart_with_other_numbers_and_without_names() {
    let blocks = ["S2", "S5"].map(|on| Block::filled(1, 1, 1).on(on));
    let data = opened(&file(&silent(), &blocks));
    assert_eq!(names(&data), ["a_S2", "a_S5"]);
    // As many are described as there are: they follow in the same order.
    let said = scenes(&[("left", ""), ("right", "")]);
    for blocks in [
        &blocks,
        &["S1", "S2"].map(|on| Block::filled(1, 1, 1).on(on)),
    ] {
        let data = opened(&file(&description(&said, [""; 3]), blocks));
        assert_eq!(names(&data), ["a_left", "a_right"]);
    }
    // The numbers tell which, in whatever order they are described.
    let said = "<S><Scenes><Scene Index=\"5\" Name=\"x\"/><Scene Index=\"2\" Name=\"y\"/>\
                </Scenes></S>";
    let blocks_of_two = [
        Block::filled(1, 1, 2).on("S2"),
        Block::filled(1, 1, 5).on("S5"),
    ];
    let data = opened(&file(&description(said, [""; 3]), &blocks_of_two));
    assert_eq!(names(&data), ["a_x", "a_y"]);
    assert_eq!(first(&data.fields[0], 0, 0), 5.0);
    // More are described than there are.
    let said = scenes(&[("a", ""), ("b", ""), ("c", "")]);
    let data = opened(&file(&description(&said, [""; 3]), &blocks));
    assert_eq!(names(&data), ["a_S5", "a_c"]);
    // A single scene in the description is that of blocks without one.
    let said = scenes(&[("", "<ArrayName>C4</ArrayName>")]);
    let block = Block::filled(1, 1, 1);
    let data = opened(&file(&description(&said, [""; 3]), &[block]));
    assert_eq!(names(&data), ["C04_s1"]);
}

#[test]
fn reduced_copies_are_passed_over() {
    let mut reduced = Block::filled(2, 2, 9).on("S0");
    (reduced.x[1], reduced.y[1]) = (4, 4);
    let mut whole = Block::filled(4, 4, 5).on("S0 M0");
    // A stored size of 0 is no reduction.
    (whole.x[2], whole.y[2]) = (0, 0);
    let data = opened(&file(
        &silent(),
        &[reduced.clone(), whole.clone(), reduced.clone()],
    ));
    assert_eq!(drawn(&values(&data.fields[0], 0, 0)), ["5555"; 4]);
    assert_eq!(data.problems, [""; 0]);
    let text = refused(&file(&silent(), &[reduced]));
    assert!(
        text.contains("it has reduced copies of its pixels only"),
        "{text}"
    );
    // More pixels than are shown are not understood.
    whole.x[2] = 8;
    let text = refused(&file(&silent(), &[whole]));
    assert!(text.contains("is broken: it has no pixels"), "{text}");
}

#[test]
fn every_compression_that_is_read_gives_the_same_pixels() {
    let mut random = Random(3);
    let image = Image::from_fn(9, 13, |_, _| random.below(65_536) as u16);
    let plain = Block::grey(&image);
    let blocks = [
        plain.clone(),
        plain.clone().zstd(None),
        plain.clone().zstd(Some(&[1])),
        plain.clone().zstd(Some(&[3, 1, 0])),
        plain.clone().zstd(Some(&[3, 1, 1])),
    ];
    let blocks: Vec<Block> = blocks
        .into_iter()
        .enumerate()
        .map(|(z, block)| block.on(&format!("Z{z}")))
        .collect();
    let data = opened(&file(&silent(), &blocks));
    for z in 0..5 {
        let read = values(&data.fields[0], 0, z);
        assert_eq!(read, image.map(|&value| f32::from(value)), "{z}");
    }
}

#[test]
fn compressions_that_are_not_read_are_refused_when_the_file_is_opened() {
    for (number, name) in [
        (1, "JPEG (compression `1`)"),
        (2, "LZW (compression `2`)"),
        (4, "JPEG XR (compression `4`)"),
        (
            100,
            "a camera's or a system's own codec (compression `100`)",
        ),
        (7, "an unknown codec (compression `7`)"),
    ] {
        let mut block = Block::filled(2, 2, 1).on("C0");
        block.compression = number;
        let expected = format!(
            "is not supported: its pixels are compressed with {name}; save it in ZEN \
             uncompressed or with zstd, or export it as OME-TIFF"
        );
        assert_eq!(refused(&file(&silent(), &[block.clone()])), expected);
        // One plane of one channel is enough to leave the channel out.
        let blocks = [
            Block::filled(2, 2, 1).on("C0 Z0"),
            block.on("C0 Z1"),
            Block::filled(2, 2, 2).on("C1 Z0"),
            Block::filled(2, 2, 3).on("C1 Z1"),
        ];
        let said = description(&channels(&["BF", "DAPI"]), [""; 3]);
        let data = opened(&file(&said, &blocks));
        assert_eq!(data.channels, ["DAPI"]);
        assert_eq!(first(&data.fields[0], 0, 1), 3.0);
        assert_eq!(data.problems.len(), 1, "{:#?}", data.problems);
        let told = format!("channel `BF` is left out: its pixels are compressed with {name}; save");
        assert!(data.problems[0].starts_with(&told), "{:#?}", data.problems);
    }
}

#[test]
fn grey_of_every_type_is_read_and_colours_are_refused() {
    let pixels = |values: [&[u8]; 2]| values.concat();
    for (number, bytes, expected) in [
        (0, vec![3, 200], [3.0, 200.0]),
        (
            1,
            pixels([&3_u16.to_le_bytes(), &60_000_u16.to_le_bytes()]),
            [3.0, 60_000.0],
        ),
        (
            2,
            pixels([&0.5_f32.to_le_bytes(), &(-2.5_f32).to_le_bytes()]),
            [0.5, -2.5],
        ),
        (
            12,
            pixels([&3_u32.to_le_bytes(), &70_000_u32.to_le_bytes()]),
            [3.0, 70_000.0],
        ),
        (
            13,
            pixels([&0.5_f64.to_le_bytes(), &1e9_f64.to_le_bytes()]),
            [0.5, 1e9],
        ),
    ] {
        let data = opened(&file(&silent(), &[Block::of(number, (1, 2), bytes)]));
        assert_eq!(values(&data.fields[0], 0, 0).data(), expected, "{number}");
    }
    for (number, name) in [(3, "Bgr24"), (4, "Bgr48"), (8, "Bgr96Float"), (9, "Bgra32")] {
        let colour = Block::of(number, (1, 1), vec![0; 12]).on("C0");
        let text = refused(&file(&silent(), std::slice::from_ref(&colour)));
        let told = format!("its pixels are colours (`{name}`)");
        assert!(
            text.starts_with(&format!("is not supported: {told}; ")),
            "{text}"
        );
        let blocks = [colour, Block::filled(1, 1, 4).on("C1")];
        let data = opened(&file(&silent(), &blocks));
        assert_eq!(data.channels, ["C2"]);
        assert!(data.problems[0].starts_with(&format!("channel `C1` is left out: {told}")));
    }
    for (number, what) in [
        (10, "complex numbers"),
        (11, "complex"),
        (77, "an unknown type (`77`)"),
    ] {
        let text = refused(&file(&silent(), &[Block::of(number, (1, 1), vec![0; 24])]));
        assert!(text.contains(what), "{text}");
    }
    let blocks = [
        Block::of(0, (1, 1), vec![1]),
        Block::filled(1, 1, 1).at(0, 1),
    ];
    let text = refused(&file(&silent(), &blocks));
    assert!(
        text.contains("its blocks have pixels of several types"),
        "{text}"
    );
}

#[test]
fn channels_planes_and_times_have_their_places() {
    let mut blocks = Vec::new();
    for (t, z, c) in (0..8).map(|n| (n % 2, n / 2 % 2, n / 4)) {
        // Numbers need not start at 0.
        let on = format!("H0 B0 T{} Z{} C{c}", t + 3, z - 1);
        blocks.push(Block::filled(1, 1, (100 * t + 10 * z + c) as u16).on(&on));
    }
    blocks.swap_remove(5);
    let said = channels(&["BF", "DAPI"])
        + "<T><Positions><Interval><Increment>30</Increment></Interval></Positions></T>";
    let said = description(&said, ["1E-6", "1E-6", "2.5E-6"]);
    let data = opened(&file(&said, &blocks));
    assert_eq!(names(&data), ["a_t001", "a_t002"]);
    assert_eq!(data.channels, ["BF", "DAPI"]);
    for (t, field) in data.fields.iter().enumerate() {
        assert_eq!(field.metadata["z_step_um"], "2.5");
        assert_eq!(field.metadata["time_step_s"], "30");
        for (z, c) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            match (t, z, c) {
                (1, 0, 1) => assert!(field.planes[c][z].is_none()),
                _ => assert_eq!(first(field, c, z), (100 * t + 10 * z + c) as f32),
            }
        }
    }
    let told = "channel `DAPI` misses some planes in 1 of 2 fields: `a_t002`";
    assert_eq!(data.problems, [told]);
}

#[test]
fn the_time_between_images_is_taken_where_it_is_even() {
    let step = |said: &str, times: &[f64]| {
        let blocks = ["T0", "T1", "T2"].map(|on| Block::filled(1, 1, 1).on(on));
        let said = description(said, [""; 3]);
        let data = opened(&with_times(file(&said, &blocks), times));
        data.fields[0].metadata.get("time_step_s").cloned()
    };
    let list = |offsets: &str| {
        format!("<T><Positions><List><Offsets>{offsets}</Offsets></List></Positions></T>")
    };
    assert_eq!(step(&list("0 60.1 120.2"), &[]).as_deref(), Some("60.1"));
    assert_eq!(step(&list("0 60 600"), &[]), None);
    // The times may stand in an attachment.
    let attached = "<T><Positions><BinaryList><AttachmentName>TimeStamps</AttachmentName>\
                    </BinaryList></Positions></T>";
    assert_eq!(step(attached, &[5.0, 7.0, 9.0]).as_deref(), Some("2"));
    assert_eq!(step("", &[5.0, 7.0]), None);
}

#[test]
fn further_dimensions_are_refused_by_name() {
    for (letter, what) in [
        ('H', "2 phases, as the raw data of an Airyscan"),
        ('B', "2 blocks of an experiment (dimension `B`)"),
        ('V', "2 views (dimension `V`)"),
        ('I', "2 illuminations (dimension `I`)"),
        ('R', "2 rotations (dimension `R`)"),
        (
            'Q',
            "2 places in a dimension that is not known (dimension `Q`)",
        ),
    ] {
        let block = Block::filled(1, 1, 1);
        let blocks = [0, 1].map(|n| block.clone().on(&format!("{letter}{n} C0")));
        let text = refused(&file(&silent(), &blocks));
        assert!(
            text.starts_with("is not supported: it has ") && text.contains(what),
            "{text}"
        );
        // Always the same place is no dimension.
        let blocks = [0, 1].map(|c| block.clone().on(&format!("{letter}4 C{c}")));
        assert_eq!(opened(&file(&silent(), &blocks)).channels, ["C1", "C2"]);
    }
}

#[test]
fn names_light_and_sizes_come_from_the_description() {
    let said = "<Channels>\
        <Channel Id=\"Channel:0\" Name=\"Bright &amp; b\">\
            <IlluminationType>Transmitted</IlluminationType></Channel>\
        <Channel Id=\"Channel:1\" Name=\"\"><Fluor>DAPI</Fluor>\
            <IlluminationType>Epifluorescence</IlluminationType>\
            <ContrastMethod>Fluorescence</ContrastMethod></Channel>\
        <Channel Id=\"Channel:2\"/>\
        <Channel Id=\"Channel:3\" Name=\"T PMT\"><ContrastMethod>Other</ContrastMethod>\
            <IlluminationType>Epifluorescence</IlluminationType></Channel>\
        <Channel Id=\"Channel:4\" Name=\"TL\">\
            <ContrastMethod>Brightfield</ContrastMethod></Channel>\
        </Channels>";
    let blocks = [0, 1, 2, 3, 4].map(|c| Block::filled(1, 1, c).on(&format!("C{c}")));
    let said = description(said, ["6.5E-7", "6.5E-7", ""]);
    let expected = ["Bright & b", "DAPI", "Channel:2", "T PMT", "TL"];
    let utf16: Vec<u8> = ['\u{feff}'.to_string() + &said]
        .concat()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for text in [
        said.clone().into_bytes(),
        ("\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>".to_string() + &said).into_bytes(),
        [said.as_bytes(), b"\0\0"].concat(),
        // What a microscope is made of nests deep.
        said.replace(
            "<Information>",
            &("<A>".repeat(99) + &"</A>".repeat(99) + "<Information>"),
        )
        .into_bytes(),
        utf16,
    ] {
        let data = opened(&described(&text, &blocks));
        assert_eq!(data.channels, expected);
        assert_eq!(data.said_to_be(true), ["Bright & b", "TL"]);
        assert_eq!(data.fields[0].pixel_um, Some(0.65));
        assert_eq!(data.problems, [""; 0]);
    }
    // Fewer channels than are described have their numbers.
    let data = opened(&file(&said, &blocks[3..]));
    assert_eq!(data.channels, ["T PMT", "TL"]);
    // As many, numbered otherwise: they follow in the same order.
    let data = opened(&file(
        &description(&channels(&["x"]), [""; 3]),
        &blocks[3..4],
    ));
    assert_eq!(data.channels, ["x"]);
}

#[test]
fn an_unknown_or_uneven_pixel_size_is_not_made_up() {
    let block = [Block::filled(1, 1, 1)];
    for metres in [["0", "0", "0"], ["", "", ""], ["-1E-6", "x", ""]] {
        let data = opened(&file(&description("", metres), &block));
        assert_eq!(data.fields[0].pixel_um, None, "{metres:?}");
        assert_eq!(data.problems, [""; 0]);
    }
    let data = opened(&file(&description("", ["1E-6", "2E-6", ""]), &block));
    assert_eq!(data.fields[0].pixel_um, None);
    let told = "its pixels are not square (2 x 1 um), so no pixel size is taken";
    assert_eq!(data.problems, [told]);
}

#[test]
fn a_description_that_is_missing_or_damaged_is_told() {
    let blocks = [Block::filled(1, 1, 1)];
    let mut without = file(&silent(), &blocks);
    patch(&mut without, common::czi::DESCRIPTION, &0_u64.to_le_bytes());
    let mut elsewhere = file(&silent(), &blocks);
    patch(
        &mut elsewhere,
        common::czi::DESCRIPTION,
        &u64::MAX.to_le_bytes()[..7],
    );
    for (bytes, what) in [
        (without, "it has no description, so that"),
        (
            elsewhere,
            "its description cannot be read (its segment would take 32 bytes",
        ),
        (
            file("<ImageDocument><Meta", &blocks),
            "cannot be read (its XML is damaged",
        ),
        (
            file("<A><B></B>", &blocks),
            "(it ends within its element `A`)",
        ),
    ] {
        let data = opened(&bytes);
        assert_eq!(data.channels, ["C1"]);
        assert!(data.problems[0].contains(what), "{:#?}", data.problems);
        let end = "so that names of channels, wells and the pixel size are not known";
        assert!(data.problems[0].ends_with(end), "{:#?}", data.problems);
    }
}

#[test]
fn what_is_declared_and_missing_is_told() {
    let said = "<ImageDocument><Metadata><Information><Image><SizeT>9</SizeT><SizeC>1</SizeC>\
                <SizeS>3</SizeS></Image></Information></Metadata></ImageDocument>";
    let blocks = ["T0 S0", "T1 S0"].map(|on| Block::filled(1, 1, 1).on(on));
    let data = opened(&file(said, &blocks));
    assert_eq!(
        data.problems,
        [
            "it declares `9` times and has images of `2`",
            "it declares `3` scenes and has images of `1`"
        ]
    );
}

#[test]
fn a_file_that_was_cut_off_gives_what_is_there() {
    let blocks = ["T0", "T1", "T2"].map(|on| Block::filled(8, 8, 1).on(on));
    let whole = file(&silent(), &blocks);
    // The list of blocks was never written: the blocks are searched, and so is the description.
    let mut unlisted = whole.clone();
    patch(&mut unlisted, DIRECTORY, &0_u64.to_le_bytes());
    patch(&mut unlisted, WRITING, &1_i32.to_le_bytes());
    let data = opened(&unlisted);
    assert_eq!(names(&data), ["a_t001", "a_t002", "a_t003"]);
    assert_eq!(first(&data.fields[2], 0, 0), 1.0);
    let told = [
        "its list of blocks is missing, as where an acquisition was cut off; `3` were found",
        "a program had not finished writing it",
    ];
    assert_eq!(data.problems[..2], told);
    let third = unlisted
        .windows(14)
        .rposition(|name| name == b"ZISRAWSUBBLOCK");
    let third = third.expect("a block");
    let data = opened(&unlisted[..third + 100]);
    assert_eq!(names(&data), ["a_t001", "a_t002"]);
    // Blocks that were deleted are no blocks.
    let mut deleted = unlisted.clone();
    patch(&mut deleted, third, b"DELETED\0\0\0\0\0\0\0\0\0");
    assert_eq!(names(&opened(&deleted)), ["a_t001", "a_t002"]);

    // The list is there, the blocks behind it are not, as in a copy that was cut off.
    let list = u64::from_le_bytes(whole[DIRECTORY..DIRECTORY + 8].try_into().expect("8 bytes"));
    let mut first_listed = whole[..544].to_vec();
    let list = &whole[list as usize..];
    let shift = list.len() as u64;
    first_listed.extend(list);
    first_listed.extend(&whole[544..third + 100]);
    patch(&mut first_listed, DIRECTORY, &544_u64.to_le_bytes());
    for n in 0..3 {
        let at = 544 + 32 + 128 + n * 92 + 6;
        let place = u64::from_le_bytes(first_listed[at..at + 8].try_into().expect("8 bytes"));
        patch(&mut first_listed, at, &(place + shift).to_le_bytes());
    }
    let data = opened(&first_listed);
    assert_eq!(names(&data), ["a_t001", "a_t002"]);
    assert_eq!(first(&data.fields[1], 0, 0), 1.0);
    let text = refused(&first_listed[..544 + shift as usize]);
    let told = "is broken: it is cut off: `3` of its `3` blocks of pixels lie behind its end; copy";
    assert!(text.starts_with(told), "{text}");
    let told = "it is cut off: `1` of its `3` blocks of pixels lie behind its end";
    assert!(
        data.problems.iter().any(|line| line == told),
        "{:#?}",
        data.problems
    );
}

#[test]
fn what_is_no_whole_file_of_this_kind_is_refused() {
    let block = Block::filled(1, 1, 1);
    let whole = file(&silent(), std::slice::from_ref(&block));
    let mut part = whole.clone();
    patch(&mut part, PART, &2_i32.to_le_bytes());
    let mut elsewhere = block.clone();
    elsewhere.part = 1;
    for bytes in [part, file(&silent(), &[block.clone(), elsewhere])] {
        let text = refused(&bytes);
        let told = "is not supported: it is a part of a data set of several files; save it as one";
        assert!(text.starts_with(told), "{text}");
    }
    let mut newer = whole.clone();
    patch(&mut newer, 32, &2_i32.to_le_bytes());
    assert!(refused(&newer).contains("it is version `2.0` of CZI"));
    assert!(refused(b"ZISRAWFILX").contains("is broken: its header would take 112 bytes"));
    assert!(refused(b"").contains("but the file has 0 bytes"));
    assert!(refused(&[b'x'; 500]).contains("is broken: it does not begin as a CZI file"));
    assert!(refused(&file(&silent(), &[])).contains("is broken: it has no pixels"));
    let mut few = block;
    few.pixels.pop();
    let data = opened(&file(&silent(), &[few]));
    let error = data.fields[0].read(0, 0).expect_err("too few").to_string();
    assert!(error.contains("it has 1 bytes of 2"), "{error}");
}

#[test]
fn a_scene_that_is_too_large_is_left_out() {
    let far = [
        Block::filled(1, 1, 1).at(0, i32::MIN).on("S0"),
        Block::filled(1, 1, 1).at(99, i32::MAX).on("S0"),
    ];
    let text = refused(&file(&silent(), &far));
    let told = "is too large: a plane has 100 x 4294967296 pixels";
    assert!(text.starts_with(told), "{text}");
    let near = Block::filled(1, 1, 5).on("S1");
    let data = opened(&file(&silent(), &[&far[..], &[near]].concat()));
    assert_eq!(names(&data), ["a"]);
    let told = "scene `S0`: left out, since its tiles lie over `100` x `4294967296` pixels";
    assert!(data.problems[0].starts_with(told), "{:#?}", data.problems);
}

#[test]
fn positions_beyond_four_gigabytes_are_reached() {
    const HOLE: u64 = 5 << 30;
    let far = Block::filled(3, 3, 6).on("Z1");
    let near = file(&silent(), &[Block::filled(3, 3, 4).on("Z0"), far]);
    // The second block moves behind a hole, as a segment of its own; the rest stays.
    let at = near
        .windows(14)
        .rposition(|name| name == b"ZISRAWSUBBLOCK")
        .expect("a block");
    let room = i64::from_le_bytes(near[at + 16..at + 24].try_into().expect("8 bytes"));
    let mut bytes = near.clone();
    let entry = near.len() - 224 + 32 + 128 - 64;
    let place = (at as u64).to_le_bytes();
    let listed = (entry..near.len() - 8)
        .rfind(|&k| near[k..k + 8] == place)
        .expect("listed");
    patch(&mut bytes, listed, &HOLE.to_le_bytes());
    patch(&mut bytes, at, b"DELETED\0\0\0\0\0\0\0\0\0");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.czi");
    let mut out = std::fs::File::create(&path).expect("created");
    out.write_all(&bytes).expect("written");
    out.seek(SeekFrom::Start(HOLE)).expect("a hole");
    out.write_all(&near[at..at + 32 + room as usize])
        .expect("written");
    drop(out);
    let data = open(&path, &OpenOptions::default()).expect("opens");
    assert_eq!(drawn(&values(&data.fields[0], 0, 0)), ["444"; 3]);
    assert_eq!(drawn(&values(&data.fields[0], 0, 1)), ["666"; 3]);
}

#[test]
fn a_hundred_thousand_blocks_are_listed() {
    let mut blocks = Vec::new();
    let block = Block::filled(1, 2, 1);
    for tile in 0..50_000 {
        let (down, right) = (tile / 250, tile % 250);
        for c in 0..2 {
            blocks.push(
                block
                    .clone()
                    .at(down, 2 * right)
                    .on(&format!("C{c} M{tile}")),
            );
        }
    }
    let data = opened(&file(&silent(), &blocks));
    assert_eq!((data.fields[0].height, data.fields[0].width), (200, 500));
    assert_eq!(data.problems, [""; 0]);
    let sum: f32 = values(&data.fields[0], 1, 0).data().iter().sum();
    assert_eq!(sum, 100_000.0);
}

#[test]
fn files_of_a_folder_are_read_together_and_told_beside_images() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = file(&silent(), &[Block::filled(4, 6, 1)]);
    put(folder.path(), "a.czi", &whole);
    put(folder.path(), "b.CZI", &whole);
    put(folder.path(), "c.czi", &whole[..700]);
    put(folder.path(), "d.lsm", b"II*\0");
    let data = open(folder.path(), &OpenOptions::default()).expect("opens");
    assert_eq!(data.layout, "czi");
    assert_eq!(names(&data), ["a", "b"]);
    let problems = data.problems.join("\n");
    assert!(problems.contains("c.czi` is broken"), "{problems}");
    assert!(
        problems.contains("not read: 1 Zeiss file (`d.lsm`)"),
        "{problems}"
    );
    put_plane(folder.path(), "x.tif", 1, "");
    let data = open(folder.path(), &OpenOptions::default()).expect("opens");
    assert_eq!(data.layout, "folder");
    for told in [
        "not read: 3 Zeiss CZI files (`a.czi`, `b.CZI`, `c.czi`); name it, or a folder of such",
        "not read: 1 Zeiss file (`d.lsm`); export",
    ] {
        let problems = &data.problems;
        assert!(
            problems.iter().any(|line| line.contains(told)),
            "{problems:#?}"
        );
    }
}

/// Opens a file and reads all that it lists; only that it returns matters.
fn read_all(path: &Path) -> Option<Vec<f32>> {
    let data = open(path, &OpenOptions::default()).ok()?;
    let mut all = Vec::new();
    for field in data.fields.iter().take(20) {
        for place in field.planes.iter().flatten().flatten().take(20) {
            // A damaged size may make a plane large, which takes time to go through.
            if field.height * field.width < 1 << 22
                && let Ok(plane) = place.read()
            {
                all.extend(plane.to_f32().data());
            }
        }
    }
    Some(all)
}

/// A file with all that the reader looks at.
fn rich() -> Vec<u8> {
    let said = channels(&["BF", "DAPI"])
        + &scenes(&[
            ("P1", "<ArrayName>B3</ArrayName>"),
            ("P2", "<Shape Name=\"B4\"/>"),
        ]);
    let mut blocks = Vec::new();
    for (s, c, t, m) in (0..16).map(|n| (n % 2, n / 2 % 2, n / 4 % 2, n / 8)) {
        let block = Block::filled(5, 4, (100 * s + 10 * c + t) as u16).at(3 * m, 1000 * s);
        let block = block.on(&format!("C{c} T{t} S{s} M{m} B0"));
        blocks.push(match (c, m) {
            (0, _) => block,
            (_, 0) => block.zstd(None),
            _ => block.zstd(Some(&[3, 1, 1])),
        });
    }
    let said = description(&said, ["1E-6", "1E-6", "2E-6"]);
    with_times(file(&said, &blocks), &[1.0, 2.0])
}

#[test]
fn truncated_files_never_panic() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = rich();
    let path = folder.path().join("a.czi");
    std::fs::write(&path, &whole).expect("written");
    assert_eq!(read_all(&path).map(|values| values.len()), Some(8 * 8 * 4));
    for cut in (0..whole.len()).step_by(whole.len() / 250) {
        std::fs::write(&path, &whole[..cut]).expect("written");
        read_all(&path);
        // The same without a list of blocks, so that they are searched.
        let mut unlisted = whole[..cut].to_vec();
        if cut > 200 {
            patch(&mut unlisted, DIRECTORY, &0_u64.to_le_bytes());
            std::fs::write(&path, &unlisted).expect("written");
            read_all(&path);
        }
    }
}

#[test]
fn changed_bytes_never_panic() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = rich();
    let path = folder.path().join("a.czi");
    let list = u64::from_le_bytes(whole[DIRECTORY..DIRECTORY + 8].try_into().expect("8 bytes"));
    let list = list as usize..whole.len().min(list as usize + 3000);
    let mut random = Random(11);
    for round in 0..900 {
        let mut bytes = whole.clone();
        for _ in 0..1 + round % 3 {
            // The header, the list, the first block, and anywhere.
            let at = match round % 4 {
                0 => random.below(144),
                1 => list.start + random.below(list.len()),
                2 => 544 + random.below(400),
                _ => random.below(bytes.len()),
            };
            bytes[at] = match random.below(3) {
                0 => bytes[at] ^ (1 << random.below(8)),
                1 => [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
                _ => random.below(256) as u8,
            };
        }
        std::fs::write(&path, &bytes).expect("written");
        read_all(&path);
    }
}

#[test]
fn segments_in_a_circle_and_without_room_end() {
    let mut bytes = rich();
    patch(&mut bytes, DIRECTORY, &0_u64.to_le_bytes());
    // Of the second segment: no room, so that what follows is not a segment.
    patch(&mut bytes, 544 + 16, &0_u64.to_le_bytes());
    let told = "its list of blocks is missing, as where an acquisition was cut off; `1` were found";
    assert_eq!(opened(&bytes).problems[0], told);
    patch(&mut bytes, 544 + 16, &u64::MAX.to_le_bytes());
    assert!(try_open(&bytes).is_err());
    let mut empty = segment("ZISRAWFILE", &[0; 512]);
    patch(&mut empty, 32, &1_i32.to_le_bytes());
    for _ in 0..1000 {
        empty.extend(segment("DELETED", &[]));
    }
    assert!(refused(&empty).contains("it has no pixels"));
}

/// The value at a place of the list of a second reader.
fn number(value: &serde_json::Value) -> f64 {
    value.as_f64().expect("a number")
}

/// Compares a real file with what a second reader says of it; whether it was compared.
fn compare(folder: &Path, name: &str, expected: &serde_json::Value) -> bool {
    let data = match open(&folder.join(name), &OpenOptions::default()) {
        Ok(data) => data,
        Err(error) => {
            let text = error.to_string();
            assert!(
                expected["rgb"] == true && text.contains("colours (`Bgr24`)"),
                "{text}"
            );
            return false;
        }
    };
    let said = summarise(&data);
    let channels: Vec<&str> = expected["channels"]
        .as_array()
        .expect("channels")
        .iter()
        .map(|channel| channel.as_str().expect("a name"))
        .collect();
    assert_eq!(said.channels, channels, "{name}");
    let kinds = expected["channel_kinds"].as_array().expect("kinds").iter();
    let transmitted = kinds.filter(|kind| kind["illumination"] == "Transmitted");
    let transmitted: Vec<&str> = transmitted
        .filter_map(|kind| kind["name"].as_str())
        .collect();
    assert_eq!(data.said_to_be(true), transmitted, "{name}");
    for kind in expected["channel_kinds"].as_array().expect("kinds") {
        let (other, channel) = (kind["contrast"] == "Fluorescence", &kind["name"]);
        let channel = channel.as_str().expect("a name");
        assert_eq!(data.said_to_be(false).contains(&channel), other, "{name}");
    }
    let (times, fields) = (&expected["t"], &expected["fields"]);
    assert_eq!(
        said.times,
        times.as_u64().expect("times") as usize,
        "{name}"
    );
    assert_eq!(
        said.planes,
        expected["z"].as_u64().expect("planes") as usize,
        "{name}"
    );
    assert_eq!(
        said.positions,
        fields.as_u64().expect("fields") as usize,
        "{name}"
    );
    let wanted = &expected["pixel_um_xy"][0];
    match data.fields[0].pixel_um {
        Some(um) => assert!((um - number(wanted)).abs() < 1e-9, "{name}: {um}"),
        None => assert!(wanted.is_null(), "{name}"),
    }
    if said.planes > 1 {
        let step = data.fields[0].metadata["z_step_um"]
            .parse::<f64>()
            .expect("a number");
        assert!(
            (step - number(&expected["z_step_um"])).abs() < 1e-6,
            "{name}: {step}"
        );
    }
    for plane in expected["planes"].as_array().expect("planes") {
        let index = |key: &str| plane[key].as_u64().expect("an index") as usize;
        let scene = &expected["scenes"][index("scene")];
        let well = scene["well"].as_str();
        let field = data.fields.iter().find(|field| {
            let same_time = field.time.map_or(0, |time| time as usize - 1) == index("t");
            let same_place = match (said.positions, well, scene["name"].as_str()) {
                (1, ..) => true,
                (_, Some(well), _) => {
                    let (row, column) = well.split_at(1);
                    field.position.well == Some(format!("{row}{column:0>2}"))
                }
                (_, None, name) => field.name.ends_with(name.expect("a name")),
            };
            same_time && same_place
        });
        let field = field.unwrap_or_else(|| panic!("{name}: no field for {plane}"));
        let image = values(field, index("c"), index("z"));
        let size = &plane["size_yx"];
        assert_eq!(number(&size[0]) as usize, image.height(), "{name}");
        assert_eq!(number(&size[1]) as usize, image.width(), "{name}");
        let values = || image.data().iter().map(|&value| f64::from(value));
        assert_eq!(
            values().sum::<f64>(),
            number(&plane["sum"]),
            "{name}: {plane}"
        );
        assert_eq!(
            values().fold(f64::MAX, f64::min),
            number(&plane["min"]),
            "{name}"
        );
        assert_eq!(
            values().fold(0.0, f64::max),
            number(&plane["max"]),
            "{name}"
        );
        for at in plane["at"].as_array().expect("pixels") {
            let (y, x) = (number(&at[0]) as usize, number(&at[1]) as usize);
            assert_eq!(
                f64::from(image.get(y, x)),
                number(&at[2]),
                "{name} at {y}, {x}"
            );
        }
    }
    true
}

#[test]
#[cfg_attr(not(real_sets), ignore = "the real sets are not in ../shared/data")]
fn real_files_are_as_a_second_reader_has_them() {
    let folder = real_sets().join("microscopes");
    let Ok(text) = std::fs::read_to_string(folder.join("expected.json")) else {
        println!("skipped: no files of microscopes in `{}`", folder.display());
        return;
    };
    let expected: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
    let files = expected["zeiss-czi"].as_object().expect("files");
    let compared = files
        .iter()
        .filter(|(name, expected)| compare(&folder.join("zeiss-czi"), name, expected));
    assert_eq!(compared.count(), files.len() - 1);
}
