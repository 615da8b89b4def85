//! Every measured number against scikit-image, scipy and numpy, on crops of real fields and on
//! drawn shapes. `testdata/measure/make_golden.py` makes the numbers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use stainfree_image::{read_labels, read_plane};
use stainfree_objects::measure::{
    FieldImages, Kind, MeasurePlan, MeasureSettings, TextureSettings,
};

const FIELDS: [&str; 5] = ["u2os", "u2os16", "dense", "large", "drawn"];
const PIXEL_UM: f64 = 0.5;
/// The bound; the numbers are written with ten digits and the sums are exact.
const TOLERANCE: f64 = 1e-5;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../testdata/measure")
        .join(name)
}

/// `[column][object]` by name; empty cells are NaN.
fn table(name: &str) -> BTreeMap<String, Vec<f64>> {
    let text = std::fs::read_to_string(file(name)).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let mut columns: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for line in lines {
        for (name, cell) in header.iter().zip(line.split(',')) {
            let value = if cell.is_empty() {
                f64::NAN
            } else {
                cell.parse().unwrap()
            };
            columns.entry((*name).to_owned()).or_default().push(value);
        }
    }
    columns
}

/// Angles are equal modulo pi; where both axes are as long there is none.
fn same_angle(ours: f64, theirs: f64, eccentricity: f64) -> bool {
    let turned = (ours - theirs).rem_euclid(std::f64::consts::PI);
    turned.min(std::f64::consts::PI - turned) < TOLERANCE || eccentricity < 1e-6
}

#[test]
fn every_column_equals_scikit_image() {
    let settings = MeasureSettings {
        texture: Some(TextureSettings::default()),
        ..MeasureSettings::default()
    };
    let plan = MeasurePlan::new(settings, &["only".into()], true, true).unwrap();
    for field in FIELDS {
        let objects = read_labels(&file(&format!("{field}_labels.png"))).unwrap();
        let cells = read_labels(&file(&format!("{field}_cells.png"))).unwrap();
        let plane = read_plane(&file(&format!("{field}_image.png")), 0).unwrap();
        let images = FieldImages {
            objects: &objects,
            cells: Some(&cells),
            channels: &[Some(plane)],
            pixel_um: Some(PIXEL_UM),
        };
        let measured = plan.measure(&images).unwrap();
        let mut golden = table(&format!("{field}.csv"));
        let labels: Vec<f64> = measured.labels.iter().map(|&l| f64::from(l)).collect();
        assert_eq!(golden.remove("label"), Some(labels), "{field}");
        let eccentricity = golden["eccentricity"].clone();
        for (column, ours) in plan.columns().iter().zip(&measured.columns) {
            let Some(theirs) = golden.remove(&column.name) else {
                continue;
            };
            // What is 0 but for rounding is compared by the size of the objects.
            let scale = theirs
                .iter()
                .filter(|v| v.is_finite())
                .fold(0.0f64, |m, v| m.max(v.abs()));
            for (i, (&a, &b)) in ours.iter().zip(&theirs).enumerate() {
                let equal = match column.kind {
                    _ if a.is_nan() || b.is_nan() => a.is_nan() && b.is_nan(),
                    Kind::Integer => a == b,
                    Kind::Float if column.name == "orientation" => {
                        same_angle(a, b, eccentricity[i])
                    }
                    Kind::Float => (a - b).abs() <= TOLERANCE * b.abs() + 1e-7 * scale,
                };
                let label = measured.labels[i];
                assert!(
                    equal,
                    "{field}: `{}` of {label} is {a}, not {b}",
                    column.name
                );
            }
        }
        assert!(
            golden.is_empty(),
            "{field}: not measured: {:?}",
            golden.keys()
        );
    }
}

#[test]
fn twins_are_in_um() {
    let plan = MeasurePlan::new(MeasureSettings::default(), &[], false, true).unwrap();
    let objects = read_labels(&file("dense_labels.png")).unwrap();
    let images = FieldImages {
        objects: &objects,
        cells: None,
        channels: &[],
        pixel_um: Some(PIXEL_UM),
    };
    let measured = plan.measure(&images).unwrap();
    let column = |name: &str| {
        let place = plan.columns().iter().position(|column| column.name == name);
        &measured.columns[place.unwrap_or_else(|| panic!("no column {name}"))]
    };
    for (pixels, um) in column("area").iter().zip(column("area_um2")) {
        assert_eq!(pixels * 0.25, *um);
    }
    for (pixels, um) in column("perimeter").iter().zip(column("perimeter_um")) {
        assert_eq!(pixels * 0.5, *um);
    }
}
