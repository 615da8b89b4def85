//! Which page of a file is which plane: stacks under one page, orders of pages, several
//! descriptions, positions, and the sizes of pixels that go with them.

mod common;

use std::path::{Path, PathBuf};

use common::tiff::{Page, Value, write};
use stainfree_image::{OpenOptions, Plane, open, read_info, read_plane};

/// Odd sides, so that strips end inside of the image.
const HEIGHT: usize = 21;
const WIDTH: usize = 19;

/// A file to write, in a folder that lasts as long as the first of the two.
fn file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.tif");
    (folder, path)
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
fn firsts(path: &Path) -> Vec<f32> {
    let pages = read_info(path).expect("a header").pages.len();
    let first = |page| common::first_pixel(&read_plane(path, page).expect("a plane"));
    (0..pages).map(first).collect()
}

#[test]
fn all_planes_of_a_stack_under_one_page_are_alike() {
    let (_folder, path) = file();
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
    let (_folder, path) = file();
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
fn plane_of(path: &Path, c: usize, z: usize) -> f32 {
    let data = open(path, &OpenOptions::default()).expect("opens");
    common::first_pixel(&data.fields[0].read(c, z).expect("a plane"))
}

#[test]
fn imagej_pages_run_in_the_order_that_the_file_states() {
    let (_folder, path) = file();
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
    let (_folder, path) = file();
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
    let (_folder, path) = file();
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
    let (_folder, path) = file();
    let size = |description: &[u8], unit: u16| {
        let page = Page::grey(HEIGHT as u16, WIDTH as u16, 8, vec![1; HEIGHT * WIDTH])
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
    let (_folder, path) = file();
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
    let (_folder, path) = file();
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

#[test]
fn exports_of_nis_elements_have_their_pixel_size() {
    let (_folder, path) = file();
    for big_endian in [false, true] {
        for (um, wanted) in [
            (0.325, Some(0.325)),
            (0.0, None),
            (-1.0, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            let page = grey16(&stack_bytes(1)).with(65326, Value::Double(um));
            write(&path, big_endian, &[page], &[]);
            assert_eq!(read_info(&path).expect("opens").pixel_um, wanted, "{um}");
        }
    }
    let real = common::real_sets().join("usiigaci/set10/raw.tif");
    match real.is_file() {
        true => {
            let um = read_info(&real).expect("opens").pixel_um;
            assert_eq!(um, Some(0.8707951277094507));
        }
        false => println!("skipped: the real sets are not in ../shared/data"),
    }
}

/// A page of another size, whose values begin with `first`.
fn of_size(height: usize, width: usize, first: u16) -> Page {
    let bytes = (0..height * width).flat_map(|_| first.to_le_bytes());
    Page::grey(height as u16, width as u16, 16, bytes.collect())
}

#[test]
fn reduced_copies_as_pages_of_their_own_are_neither_channels_nor_planes() {
    let (_folder, path) = file();
    let full = || grey16(&stack_bytes(1));
    let copies = || [of_size(10, 9, 1), of_size(5, 4, 2)];
    let opened = || open(&path, &OpenOptions::default()).expect("opens");
    let of_all = |pages: Vec<Page>| write(&path, false, &pages, &[]);
    let said = |smaller: usize, pages: usize| {
        format!("`a.tif`: {smaller} of its {pages} pages are smaller than the others")
    };
    // Without a word about them.
    of_all([vec![full()], copies().to_vec()].concat());
    let data = opened();
    assert_eq!(data.channels.len(), 1);
    assert_eq!(data.fields[0].planes[0].len(), 1);
    assert!(
        data.problems[0].starts_with(&said(2, 3)),
        "{:?}",
        data.problems
    );
    // After two channels, and between them.
    of_all([vec![full(), full()], copies().to_vec()].concat());
    assert_eq!(opened().channels, ["page1", "page2"]);
    let [small, smaller] = copies();
    of_all(vec![full(), small, of_size(HEIGHT, WIDTH, 7), smaller]);
    let data = opened();
    assert_eq!(data.channels, ["page1", "page3"]);
    let second = data.fields[0].read(1, 0).expect("a plane");
    assert_eq!(common::first_pixel(&second), 7.0);
    // Behind pages that a description counts, but for one it names.
    let xml = |blocks: &str| {
        format!(
            "<OME><Image><Pixels DimensionOrder=\"XYZCT\" SizeC=\"2\" SizeZ=\"1\" \
             SizeT=\"1\"><Channel Name=\"BF\"/><Channel Name=\"DAPI\"/>{blocks}</Pixels>\
             </Image></OME>"
        )
    };
    for text in [xml(""), "ImageJ=1.54f\nimages=2\nchannels=2\n".into()] {
        of_all([vec![full().text(&text), full()], copies().to_vec()].concat());
        let data = opened();
        assert_eq!(data.channels.len(), 2, "{text}");
        assert!(
            data.problems[0].starts_with(&said(2, 4)),
            "{:?}",
            data.problems
        );
    }
    let text = xml("<TiffData IFD=\"0\" PlaneCount=\"2\"/>");
    of_all([vec![full().text(&text), full()], copies().to_vec()].concat());
    let data = opened();
    assert_eq!(data.channels, ["BF", "DAPI"]);
    assert!(
        data.problems[0].contains("does not name 2 of 4 pages"),
        "{:?}",
        data.problems
    );
}

#[test]
fn a_pyramid_below_its_page_is_the_full_resolution_alone() {
    let (_folder, path) = file();
    // A directory below the first page, of a reduced copy of 2 x 2 pixels.
    let page = |place: u32| {
        let below = Value::Pointer { count: 1, place };
        grey16(&stack_bytes(1)).with(330, below)
    };
    write(&path, false, &[page(0)], &[]);
    let at = std::fs::metadata(&path).expect("written").len() as u32;
    let entries = [
        (254_u16, 4_u16, 1_u32),
        (256, 3, 2),
        (257, 3, 2),
        (258, 3, 16),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 3, 2),
        (279, 4, 8),
    ];
    let mut below = (entries.len() as u16).to_le_bytes().to_vec();
    for (tag, kind, value) in entries {
        below.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        below.extend([1_u32.to_le_bytes(), value.to_le_bytes()].concat());
    }
    below.extend([0; 4]);
    write(&path, false, &[page(at)], &below);
    let info = read_info(&path).expect("a header");
    assert_eq!(info.pages, [(HEIGHT, WIDTH)]);
    let data = open(&path, &OpenOptions::default()).expect("opens");
    assert_eq!(data.problems, ["no pixel size is stated"; 0]);
    assert_eq!((data.channels.len(), data.fields[0].height), (1, HEIGHT));
}

#[test]
fn positions_of_one_file_bear_their_names_and_places() {
    let (_folder, path) = file();
    let image = |page: usize, name: &str| {
        format!(
            "<Image Name=\"{name}\"><StageLabel X=\"{page}\" XUnit=\"mm\" Y=\"2\" \
             YUnit=\"mm\"/><Pixels DimensionOrder=\"XYZCT\" SizeC=\"1\" SizeZ=\"3\" \
             SizeT=\"1\" PhysicalSizeZ=\"3\"><Channel Name=\"x\" \
             ContrastMethod=\"Brightfield\"/><TiffData IFD=\"{page}\" PlaneCount=\"3\"/>\
             </Pixels></Image>"
        )
    };
    let opened = |names: [&str; 2]| {
        let text = format!("<OME>{}{}</OME>", image(0, names[0]), image(3, names[1]));
        write(&path, false, &six(&[&text]), &[]);
        open(&path, &OpenOptions::default()).expect("opens")
    };
    let names = |data: &stainfree_image::Dataset| -> Vec<String> {
        data.fields.iter().map(|field| field.name.clone()).collect()
    };
    let data = opened(["left side", "a_right"]);
    assert_eq!(names(&data), ["a_left_side", "a_right"]);
    assert_eq!(data.said_to_be(true), ["x"]);
    let facts = &data.fields[1].metadata;
    assert_eq!(
        [&facts["x_um"], &facts["y_um"], &facts["z_step_um"]],
        ["3000", "2000", "3"]
    );
    // Numbers that programs give are no names.
    assert_eq!(names(&opened(["Image0", "Image1"])), ["a_p1", "a_p2"]);
    assert_eq!(names(&opened(["b", "b"])), ["a_p1", "a_p2"]);
}

#[test]
fn a_stack_that_micro_manager_did_not_finish_is_sorted_by_its_pages() {
    let (_folder, path) = file();
    let page = |number: usize, said: String| {
        let bytes = stack_bytes(number + 1).split_off(number * 2 * HEIGHT * WIDTH);
        grey16(&bytes).with(51123, Value::Text(said.into_bytes()))
    };
    // Planes first, then channels; the last page was not finished.
    let mut pages: Vec<Page> = [(0, 0), (0, 1), (1, 0), (1, 1)]
        .into_iter()
        .enumerate()
        .map(|(number, (c, z))| {
            let said = format!(
                "{{\"Channel\": \"{}\", \"ChannelIndex\": {c}, \"SliceIndex\": {z}, \
                 \"FrameIndex\": 0, \"PositionIndex\": 2, \"PixelSizeUm\": 0.25}}",
                ["BF", "DAPI"][c]
            );
            page(number, said)
        })
        .collect();
    pages.push(page(4, "{\"Channel\": ".into()));
    write(&path, false, &pages, &[]);
    let data = open(&path, &OpenOptions::default()).expect("opens");
    assert_eq!(data.channels, ["BF", "DAPI"]);
    assert_eq!(data.fields[0].pixel_um, Some(0.25));
    let first = |c, z| common::first_pixel(&data.fields[0].read(c, z).expect("a plane"));
    assert_eq!([first(0, 1), first(1, 0)], [1010.0, 1020.0]);
    assert!(
        data.problems[0].contains("1 of 5 pages bear no metadata"),
        "{:?}",
        data.problems
    );
    // A description that fits counts for all of them.
    let text = "ImageJ=1.48v\nchannels=5\n";
    pages[0] = pages[0].clone().text(text);
    write(&path, false, &pages, &[]);
    assert_eq!(
        open(&path, &OpenOptions::default())
            .expect("opens")
            .channels
            .len(),
        5
    );
}
