//! The contract of every property family: each column of the registry goes through each law.

use stainfree_image::{Image, Plane};
use stainfree_objects::measure::{
    Background, FieldImages, Frame, Kind, MeasurePlan, MeasureSettings, Measured, TextureSettings,
    family_names,
};

const SIDE: (usize, usize) = (70, 90);

/// A field with all parts and three channels of different pixel types.
#[derive(Clone)]
struct Field {
    objects: Image<u32>,
    cells: Image<u32>,
    planes: [Image<u16>; 3],
}

impl Field {
    /// Ragged objects of many shapes, off the rim: blobs, a speck, a line, a hole, one in two
    /// pieces.
    fn new() -> Self {
        let objects = Image::from_fn(SIDE.0, SIDE.1, |y, x| {
            let disk = |cy: i32, cx: i32, r: i32| {
                let (dy, dx) = (y as i32 - cy, x as i32 - cx);
                dy * dy + dx * dx + (dy * 3 + dx * 5) % 4 <= r * r
            };
            match (y, x) {
                _ if disk(25, 25, 7) && !disk(25, 26, 3) => 4,
                _ if disk(25, 39, 7) => 9,
                _ if disk(48, 30, 5) || disk(48, 50, 4) => 11,
                (30..=31, 60) => 20,
                (40, 64) => 21,
                (45, 60..=68) => 22,
                (50..=54, 58..=63) if y - 50 == x - 58 => 23,
                _ => 0,
            }
        });
        // Cells with other numbers: 4 and 9 share one, 21 has none, and one holds no object.
        let cells = Image::from_fn(SIDE.0, SIDE.1, |y, x| match (y, x) {
            (15..=35, 15..=48) => 300,
            (41..=55, 22..=55) => 7,
            (28..=34, 57..=63) => 50,
            (44..=47, 57..=70) => 51,
            (48..=56, 57..=66) => 52,
            (20..=24, 62..=66) => 60,
            _ => 0u32,
        });
        let plane = |seed: usize, levels: usize| {
            Image::from_fn(SIDE.0, SIDE.1, |y, x| {
                ((y * 31 + x * 17 + y * x * seed) % levels) as u16
            })
        };
        Self {
            objects,
            cells,
            planes: [plane(7, 251), plane(3, 60_013), plane(5, 977)],
        }
    }

    fn map(&self, each: impl Fn(&Image<u32>) -> Image<u32>) -> Self {
        let plane = |image: &Image<u16>| each(&image.map(|&v| u32::from(v))).map(|&v| v as u16);
        Self {
            objects: each(&self.objects),
            cells: each(&self.cells),
            planes: [0, 1, 2].map(|i| plane(&self.planes[i])),
        }
    }

    fn measure(&self, plan: &MeasurePlan) -> Measured {
        let [bytes, words, floats] = &self.planes;
        let channels = [
            Some(Plane::U8(bytes.map(|&v| v as u8))),
            Some(Plane::U16(words.clone())),
            Some(Plane::F32(floats.map(|&v| f32::from(v) / 8.0 - 20.0))),
        ];
        let images = FieldImages {
            objects: &self.objects,
            cells: Some(&self.cells),
            channels: &channels,
            pixel_um: Some(0.8),
        };
        plan.measure(&images).unwrap()
    }
}

fn plans() -> Vec<MeasurePlan> {
    let channels = ["bytes", "words", "floats"].map(str::to_owned);
    [Background::Field, Background::Ring]
        .map(|background| {
            let settings = MeasureSettings {
                background,
                texture: Some(TextureSettings::default()),
                ..MeasureSettings::default()
            };
            MeasurePlan::new(settings, &channels, true, true).unwrap()
        })
        .into()
}

/// Compares every column; `expected` gives what each value should have become, `None` if anything
/// goes.
fn assert_columns(
    plan: &MeasurePlan,
    (before, after): (&Measured, &Measured),
    law: &str,
    expected: impl Fn(Frame, f64, &str) -> Option<f64>,
) {
    assert_eq!(before.labels.len(), after.labels.len(), "{law}");
    for (k, column) in plan.columns().iter().enumerate() {
        for (i, &value) in before.columns[k].iter().enumerate() {
            let Some(wanted) = expected(column.frame, value, &column.name) else {
                continue;
            };
            let found = after.columns[k][i];
            // Sums of floats in another order; everything else is equal to the last bit.
            let equal = (found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0)
                || (found.is_nan() && wanted.is_nan());
            assert!(
                equal,
                "{law}: `{}` of {} is {found}, not {wanted}",
                column.name, before.labels[i]
            );
        }
    }
}

#[test]
fn every_family_has_columns_in_the_table() {
    assert_eq!(family_names().len(), 11);
    let plan = &plans()[0];
    let mut names: Vec<&str> = plan.columns().iter().map(|c| c.name.as_str()).collect();
    for name in [
        "area",
        "area_um2",
        "cell_label",
        "ring_intensity_mean_words",
        "cytoplasm_ratio_bytes",
        "texture_contrast_floats",
        "cell_perimeter_um",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "column names are unique");
}

#[test]
fn moving_the_image_moves_only_places() {
    let (field, (dy, dx)) = (Field::new(), (5, 11));
    // A cyclic move: what leaves on one side comes in on the other, so that the background stays.
    let moved = field.map(|image| {
        Image::from_fn(SIDE.0, SIDE.1, |y, x| {
            image.get((y + SIDE.0 - dy) % SIDE.0, (x + SIDE.1 - dx) % SIDE.1)
        })
    });
    for plan in plans() {
        let (before, after) = (field.measure(&plan), moved.measure(&plan));
        assert_columns(&plan, (&before, &after), "moved", |frame, value, name| {
            let step = match frame {
                Frame::Row => dy as f64,
                Frame::Column => dx as f64,
                _ => 0.0,
            };
            Some(value + step * if name.ends_with("_um") { 0.8 } else { 1.0 })
        });
    }
}

#[test]
fn turning_the_image_changes_only_places_and_angles() {
    let field = Field::new();
    let turned =
        field.map(|image| Image::from_fn(SIDE.1, SIDE.0, |y, x| image.get(x, SIDE.1 - 1 - y)));
    for plan in plans() {
        let (before, after) = (field.measure(&plan), turned.measure(&plan));
        assert_columns(
            &plan,
            (&before, &after),
            "turned",
            |frame, value, _| match frame {
                Frame::Free | Frame::Label => Some(value),
                _ => None,
            },
        );
    }
}

#[test]
fn renaming_labels_renames_only_labels() {
    let field = Field::new();
    // Order kept, gaps up to the largest numbers there are.
    let rename = |l: u32| if l == 0 { 0 } else { u32::MAX - 400 + l };
    let renamed = Field {
        objects: field.objects.map(|&l| rename(l)),
        cells: field.cells.map(|&l| rename(l)),
        ..field.clone()
    };
    // Order turned around.
    let reversed = Field {
        objects: field.objects.map(|&l| if l == 0 { 0 } else { 100 - l }),
        ..field.clone()
    };
    for plan in plans() {
        let before = field.measure(&plan);
        let free = |frame, value, _: &str| (frame != Frame::Label).then_some(value);
        let after = renamed.measure(&plan);
        let labels: Vec<u32> = before.labels.iter().map(|&l| rename(l)).collect();
        assert_eq!(after.labels, labels);
        assert_columns(&plan, (&before, &after), "renamed", free);
        let mut after = reversed.measure(&plan);
        after.columns.iter_mut().for_each(|column| column.reverse());
        assert_columns(&plan, (&before, &after), "reversed", free);
    }
}

#[test]
fn an_empty_image_has_no_rows_and_a_pixel_has_one() {
    let field = Field::new();
    for plan in plans() {
        for objects in [
            field.objects.map(|_| 0),
            Image::from_fn(SIDE.0, SIDE.1, |y, x| u32::from((y, x) == (3, 0))),
        ] {
            let measured = Field {
                objects,
                ..field.clone()
            }
            .measure(&plan);
            let rows = measured.labels.len();
            assert!(measured.columns.iter().all(|column| column.len() == rows));
            for (column, values) in plan.columns().iter().zip(&measured.columns) {
                let whole = |v: &f64| v.is_nan() || v.fract() == 0.0;
                assert!(
                    column.kind == Kind::Float || values.iter().all(whole),
                    "{}",
                    column.name
                );
                assert!(values.iter().all(|v| !v.is_infinite()), "{}", column.name);
            }
        }
    }
    let nothing = FieldImages {
        objects: &Image::new(0, 0, vec![]),
        cells: None,
        channels: &[],
        pixel_um: Some(1.0),
    };
    let plan = MeasurePlan::new(MeasureSettings::default(), &[], false, true).unwrap();
    assert!(plan.measure(&nothing).unwrap().labels.is_empty());
}

#[test]
fn more_objects_than_sixteen_bits_hold() {
    let objects = Image::from_fn(600, 600, |y, x| {
        if y % 2 == 0 && x % 2 == 0 {
            (y / 2 * 300 + x / 2 + 1) as u32
        } else {
            0
        }
    });
    let plane = Plane::U16(Image::from_fn(600, 600, |y, x| (y / 2 + x / 2) as u16));
    let images = FieldImages {
        objects: &objects,
        cells: None,
        channels: &[Some(plane)],
        pixel_um: Some(1.0),
    };
    let settings = MeasureSettings {
        neighbours_um: 2.0,
        ..MeasureSettings::default()
    };
    let plan = MeasurePlan::new(settings, &["w1".into()], false, true).unwrap();
    let measured = plan.measure(&images).unwrap();
    assert_eq!(measured.labels, (1..=90_000).collect::<Vec<u32>>());
    let column =
        |name: &str| &measured.columns[plan.columns().iter().position(|c| c.name == name).unwrap()];
    assert!(column("area").iter().all(|&area| area == 1.0));
    assert_eq!(column("intensity_mean")[89_999], 598.0);
    // Four at a distance of 2, none touches; two at a corner.
    assert_eq!(
        (column("neighbours_near")[0], column("neighbours_near")[301]),
        (2.0, 4.0)
    );
    assert_eq!(column("neighbours_touching")[301], 0.0);
}

#[test]
fn without_a_pixel_size_there_are_no_um_and_no_ring() {
    let plan = MeasurePlan::new(
        MeasureSettings::default(),
        &["a".into(), "b".into()],
        false,
        false,
    )
    .unwrap();
    let names: Vec<&str> = plan.columns().iter().map(|c| c.name.as_str()).collect();
    assert!(
        !names
            .iter()
            .any(|n| n.contains("_um") || n.starts_with("ring_")),
        "{names:?}"
    );
    assert!(names.contains(&"intensity_mean_a"));
    // One field of a calibrated table that has none itself, and lacks a channel.
    let plan = MeasurePlan::new(MeasureSettings::default(), &["a".into()], true, true).unwrap();
    let images = FieldImages {
        objects: &Image::filled(3, 3, 1),
        cells: None,
        channels: &[None],
        pixel_um: None,
    };
    let measured = plan.measure(&images).unwrap();
    for (column, values) in plan.columns().iter().zip(&measured.columns) {
        let unknown = column.name.contains("_um")
            || column.name.contains("intensity")
            || column.name.starts_with("ring_")
            || column.name.starts_with("c");
        let known = column.name == "centroid-0" || column.name == "centroid-1";
        assert!(
            !unknown || known || values[0].is_nan(),
            "{} is {}",
            column.name,
            values[0]
        );
    }
}

#[test]
fn what_makes_no_sense_is_said() {
    let objects = Image::filled(3, 3, 1);
    let measure = |cells: Option<&Image<u32>>, pixel_um| {
        let plan = MeasurePlan::new(MeasureSettings::default(), &[], true, true).unwrap();
        let images = FieldImages {
            objects: &objects,
            cells,
            channels: &[],
            pixel_um,
        };
        plan.measure(&images).unwrap_err().to_string()
    };
    assert_eq!(
        measure(Some(&Image::filled(3, 4, 1)), None),
        "the labels is `3` x `3` but the cells is `3` x `4`; both must show the same field"
    );
    assert_eq!(
        measure(None, Some(-1.0)),
        "pixel size `-1` um is not a positive number; give it in um or leave it out"
    );
    let settings = MeasureSettings {
        neighbours_um: f64::NAN,
        ..MeasureSettings::default()
    };
    let error = MeasurePlan::new(settings, &[], false, false)
        .err()
        .map(|e| e.to_string());
    assert_eq!(
        error.as_deref(),
        Some("`neighbours` = `NaN` is out of range; it must be from 0 to 100 um")
    );
}
