//! A window of a plane is what the whole plane has there, and the rest of it is not read.

mod common;

use std::path::Path;

use common::tiff::{Page, write};
use common::{golden, samples};
use stainfree_image::{
    Image, OpenOptions, Plane, PlaneRef, Region, open, read_plane, read_region, write as save,
};

fn cut(plane: &Plane, region: Region) -> Plane {
    let Region {
        y,
        x,
        height,
        width,
    } = region;
    match plane {
        Plane::U8(image) => Plane::U8(image.crop(y, x, height, width)),
        Plane::U16(image) => Plane::U16(image.crop(y, x, height, width)),
        Plane::F32(image) => Plane::F32(image.crop(y, x, height, width)),
    }
}

/// Windows at the corners, across the middle, of single rows and columns, and all of it.
fn windows((height, width): (usize, usize)) -> Vec<Region> {
    let stretches = |side: usize| {
        let (half, third) = (side / 2, (side / 3).max(1));
        [
            (0, side),
            (0, 1),
            (side - 1, 1),
            (half, side - half),
            (third - 1, third),
        ]
    };
    let mut found = Vec::new();
    for (y, height) in stretches(height) {
        for (x, width) in stretches(width) {
            let region = Region {
                y,
                x,
                height,
                width,
            };
            found.push(region);
        }
    }
    found
}

fn check(path: &Path, page: usize) {
    let whole = read_plane(path, page).expect("a plane");
    for region in windows(whole.size()) {
        let part = read_region(path, page, region).expect("a part");
        // NaN is no number that equals itself.
        let same = part == cut(&whole, region)
            || format!("{part:?}") == format!("{:?}", cut(&whole, region));
        assert!(same, "{} page {page} {region:?}", path.display());
    }
}

#[test]
fn a_window_of_every_sample_is_cut_out_of_its_plane() {
    let golden = golden();
    let cases = golden["samples"].as_object().expect("samples");
    for (name, pages) in cases {
        for page in 0..pages.as_array().expect("pages").len() {
            check(&samples().join(name), page);
        }
    }
}

/// Strips of a few rows, tiles that reach over the rim, and pixels of less than a byte.
#[test]
fn windows_that_begin_and_end_inside_of_strips_and_tiles() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.tif");
    let byte = |n: usize| (n % 251) as u8;
    let strips = |rows: usize| -> Vec<Vec<u8>> {
        let all: Vec<u8> = (0..21 * 19).map(byte).collect();
        all.chunks(rows * 19).map(<[u8]>::to_vec).collect()
    };
    for rows in [1, 4, 21] {
        let page = Page::grey(21, 19, 8, Vec::new());
        let page = page.short(278, rows as u16).chunks(strips(rows));
        write(&path, false, &[page], &[]);
        check(&path, 0);
    }
    let tiles = (0..4).map(|tile| (0..256).map(|n| byte(7 * tile + n)).collect());
    let page = Page::grey(21, 19, 8, Vec::new()).tiles(16, 16, tiles.collect());
    write(&path, false, &[page], &[]);
    check(&path, 0);
    let rows = (0..21 * 19_usize.div_ceil(8)).map(byte).collect();
    write(&path, false, &[Page::grey(21, 19, 1, rows)], &[]);
    check(&path, 0);
}

/// Strips are found by their offsets, so that damage in one of them is nothing to the others.
#[test]
fn strips_outside_of_the_window_are_not_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.tif");
    // 256 KiB a strip: three of them, of noise that hardly shrinks.
    let mut random = stainfree_image::random::Stream::new(1);
    let noise = Image::from_fn(700, 512, |_, _| random.bits() as u16);
    save::plane_u16(&path, &noise, &save::Note::default()).expect("written");
    let mut bytes = std::fs::read(&path).expect("written");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 1000].fill(0);
    std::fs::write(&path, &bytes).expect("damaged");
    assert!(read_plane(&path, 0).is_err(), "the damage is in a strip");
    for y in [0, 690] {
        let region = Region {
            y,
            x: 100,
            height: 10,
            width: 50,
        };
        let part = read_region(&path, 0, region).expect("a part of a whole strip");
        assert_eq!(part, cut(&Plane::U16(noise.clone()), region));
    }
}

#[test]
fn a_window_outside_of_the_plane_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let grey = Image::filled(4, 6, 9_u8);
    let (tiff, png) = (folder.path().join("a.tif"), folder.path().join("a.png"));
    save::class_mask(&tiff, &grey, &save::Note::default()).expect("written");
    save::png_gray(&png, &grey).expect("written");
    for path in [&tiff, &png] {
        for (y, x, height, width) in [
            (0, 0, 5, 6),
            (1, 6, 1, 1),
            (0, 0, 0, 6),
            (usize::MAX, 0, 2, 2),
        ] {
            let region = Region {
                y,
                x,
                height,
                width,
            };
            let error = read_region(path, 0, region)
                .expect_err("outside")
                .to_string();
            assert!(error.contains("has 4 x 6 pixels, and"), "{error}");
        }
    }
}

/// What is kept elsewhere than in a file is a plane like any other.
#[test]
fn a_plane_of_another_source_is_read_through_its_field() {
    use stainfree_image::{ImageError, PlaneSource, Stamp};

    #[derive(Debug)]
    struct Memory(Image<u16>);

    impl PlaneSource for Memory {
        fn location(&self) -> &Path {
            Path::new("memory")
        }
        fn part(&self) -> usize {
            0
        }
        fn stamp(&self) -> std::io::Result<Stamp> {
            Ok(Stamp {
                location: "memory".into(),
                part: 0,
                bytes: 2 * self.0.data().len() as u64,
                modified: None,
            })
        }
        fn read(&self) -> Result<Plane, ImageError> {
            Ok(Plane::U16(self.0.clone()))
        }
        fn read_region(&self, region: Region) -> Result<Plane, ImageError> {
            Ok(cut(&Plane::U16(self.0.clone()), region))
        }
        fn stored(&self, sink: &mut dyn FnMut(&[u8])) -> std::io::Result<()> {
            self.0
                .data()
                .iter()
                .for_each(|value| sink(&value.to_le_bytes()));
            Ok(())
        }
    }

    let folder = tempfile::tempdir().expect("a temporary folder");
    common::put_plane(folder.path(), "a.tif", 1, "");
    let mut data = open(&folder.path().join("a.tif"), &OpenOptions::default()).expect("opens");
    let field = &mut data.fields[0];
    assert_eq!(
        field.read(0, 0).expect("a plane"),
        Plane::U16(common::plane(1))
    );
    field.planes[0][0] = Some(PlaneRef::new(Memory(common::plane(2))));
    assert_eq!(
        field.read(0, 0).expect("a plane"),
        Plane::U16(common::plane(2))
    );
    // Of another size than the field it is refused, wherever it is kept.
    field.planes[0][0] = Some(PlaneRef::new(Memory(Image::filled(3, 3, 0))));
    assert!(field.read(0, 0).is_err());
}
