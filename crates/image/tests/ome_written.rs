//! OME-TIFFs that are written read back equal. That other programs read them as well is shown by
//! `testdata/image/check_outlines.py` on the files that
//! `STAINFREE_KEEP_WRITTEN=DIR cargo test -p stainfree-image --test ome_written` leaves in DIR.

use std::path::{Path, PathBuf};

use stainfree_image::write::{OmeTiff, PixelType, PlaneOf, Samples, Shrink, ome_tiff};
use stainfree_image::{Image, ImageError, OpenOptions, Plane, open, read_info, read_labels};

/// A folder for the written files: a temporary one, or the one asked for, which stays.
fn folder() -> (Option<tempfile::TempDir>, PathBuf) {
    match std::env::var_os("STAINFREE_KEEP_WRITTEN") {
        Some(path) => (None, path.into()),
        None => {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().to_path_buf();
            (Some(folder), path)
        }
    }
}

fn ome(size: (usize, usize), pixel_type: PixelType) -> OmeTiff {
    OmeTiff {
        name: "B02_s1 <\"µ\" & co>".into(),
        text: "from a plate\nof two lines".into(),
        size,
        planes: 1,
        times: 1,
        channels: vec!["DAPI".into()],
        pixel_type,
        pixel_um: Some(0.65),
        z_step_um: None,
        shrink: Shrink::Mean,
    }
}

/// A plane whose values tell which one it is; the script knows the rule.
fn values((height, width): (usize, usize), PlaneOf { z, channel, time }: PlaneOf) -> Image<u16> {
    let first = 10_000 * time + 1000 * channel + 100 * z;
    Image::from_fn(height, width, |y, x| (first + (y * 31 + x * 7) % 97) as u16)
}

fn write(path: &Path, image: &OmeTiff, mut plane: impl FnMut(PlaneOf) -> Samples) {
    let written = ome_tiff(path, image, |place| Ok::<_, ImageError>(Some(plane(place))));
    written.expect("written");
}

#[test]
fn planes_channels_and_times_come_back_in_their_places() {
    let (_keep, folder) = folder();
    let path = folder.join("zct.ome.tif");
    let mut image = ome((70, 601), PixelType::U16);
    (image.planes, image.times, image.z_step_um) = (3, 2, Some(1.5));
    image.channels = vec!["BF & \"co\"".into(), "DAPI µ".into()];
    let mut asked = Vec::new();
    write(&path, &image, |place| {
        asked.push((place.time, place.channel, place.z));
        Samples::U16(values(image.size, place))
    });
    assert_eq!(asked.len(), 12);
    assert!(asked.is_sorted(), "{asked:?}");
    let data = open(&path, &OpenOptions::default()).expect("opens");
    assert_eq!(data.channels, image.channels);
    assert_eq!((data.fields.len(), data.problems.len()), (2, 0));
    for (time, field) in data.fields.iter().enumerate() {
        assert_eq!(field.pixel_um, Some(0.65));
        for channel in 0..2 {
            for z in 0..3 {
                let expected = values(image.size, PlaneOf { z, channel, time });
                let found = field.read(channel, z).expect("a plane");
                assert_eq!(found, Plane::U16(expected), "{time} {channel} {z}");
            }
        }
    }
}

#[test]
fn every_type_keeps_its_values() {
    let (_keep, folder) = folder();
    let size = (33, 50);
    let place = PlaneOf {
        z: 0,
        channel: 0,
        time: 0,
    };
    let of = |factor: f32| values(size, place).map(|&value| f32::from(value) * factor);
    for (name, pixel_type, plane) in [
        ("u8", PixelType::U8, of(1.0)),
        ("u16", PixelType::U16, of(500.0)),
        ("u32", PixelType::U32, of(100_000.0)),
        ("f32", PixelType::F32, of(-0.37)),
    ] {
        let path = folder.join(format!("type-{name}.ome.tif"));
        write(&path, &ome(size, pixel_type), |_| {
            Samples::F32(plane.clone())
        });
        let found = &open(&path, &OpenOptions::default()).expect("opens").fields[0];
        assert_eq!(found.read(0, 0).expect("a plane").to_f32(), plane, "{name}");
        assert_eq!(found.pixel_um, Some(0.65));
    }
}

/// 4097 pixels are the first that have smaller levels.
#[test]
fn large_labels_have_levels_and_stay_labels() {
    let (_keep, folder) = folder();
    let labels = Image::from_fn(4097, 33, |y, x| ((y / 16) * 3 + x / 11) as u32 * 90);
    let mut image = ome(labels.size(), PixelType::U32);
    image.shrink = Shrink::Nearest;
    let path = folder.join("pyramid-labels.ome.tif");
    write(&path, &image, |_| Samples::U32(labels.clone()));
    assert_eq!(read_labels(&path).expect("labels"), labels);
    assert_eq!(read_info(&path).expect("a header").pixel_um, Some(0.65));

    let mean = ome((5000, 40), PixelType::U16);
    let path = folder.join("pyramid-mean.ome.tif");
    write(&path, &mean, |place| Samples::U16(values(mean.size, place)));
    let data = open(&path, &OpenOptions::default()).expect("opens");
    assert_eq!((data.fields.len(), data.channels.len()), (1, 1));
}

#[test]
fn a_missing_plane_moves_no_other() {
    let (_keep, folder) = folder();
    let path = folder.join("missing.ome.tif");
    let mut image = ome((20, 30), PixelType::U16);
    image.planes = 3;
    image.channels = vec!["A".into(), "B".into()];
    let is_there = |place: PlaneOf| place.channel == 0 || place.z == 1;
    let written = ome_tiff(&path, &image, |place| {
        let plane = Samples::U16(values(image.size, place));
        Ok::<_, ImageError>(is_there(place).then_some(plane))
    });
    written.expect("written");
    let data = open(&path, &OpenOptions::default()).expect("opens");
    for channel in 0..2 {
        for z in 0..3 {
            let place = PlaneOf {
                z,
                channel,
                time: 0,
            };
            let found = data.fields[0].read(channel, z);
            match is_there(place) {
                true => assert_eq!(found.ok(), Some(Plane::U16(values(image.size, place)))),
                false => assert!(found.is_err(), "{place:?}"),
            }
        }
    }
}

#[test]
fn what_fails_leaves_no_file_and_says_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("f.ome.tif");
    let image = ome((4, 6), PixelType::U8);
    let said = |plane: Samples| {
        let written = ome_tiff(&path, &image, |_| Ok::<_, ImageError>(Some(plane.clone())));
        written.expect_err("refused").to_string()
    };
    let size = said(Samples::U8(Image::filled(4, 5, 0)));
    assert!(
        size.contains("it is 4 x 5 pixels, and the image 4 x 6"),
        "{size}"
    );
    let large = said(Samples::U16(Image::filled(4, 6, 256)));
    assert!(
        large.contains("`uint8` does not hold all of its values"),
        "{large}"
    );
    let stopped = ome_tiff(&path, &image, |_| Err::<Option<Samples>, _>(Stopped));
    assert!(stopped.is_err());
    let none = ome_tiff(&path, &image, |_| Ok::<_, ImageError>(None));
    assert!(
        none.expect_err("refused")
            .to_string()
            .contains("no plane at all")
    );
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        0
    );
}

/// An error of a caller.
struct Stopped;

impl From<ImageError> for Stopped {
    fn from(_: ImageError) -> Self {
        Self
    }
}

#[test]
fn the_same_image_gives_the_same_bytes() {
    let (_keep, folder) = folder();
    let path = folder.join("same.ome.tif");
    let image = ome((600, 520), PixelType::U16);
    let bytes = || {
        write(&path, &image, |place| {
            Samples::U16(values(image.size, place))
        });
        std::fs::read(&path).expect("written")
    };
    assert_eq!(bytes(), bytes());
}
