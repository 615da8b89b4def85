//! Tables of objects: what stands in which column, and that every format says the same.

use std::path::Path;

use stainfree_image::{Image, OpenOptions, write};
use stainfree_objects::measure::MeasureSettings;
use stainfree_project::ProjectError;
use stainfree_project::measuring::{ColumnNames, MeasureOptions, MeasuredPlate, Objects, measure};

use crate::common::{Place, drawn, has, heard, note, quietly, said};

fn options(place: &Place, out: &str) -> MeasureOptions {
    MeasureOptions {
        objects: Objects::Labels(place.path("labels")),
        images: place.path("images"),
        cells: None,
        out: place.path(out),
        wells: None,
        heatmaps: Vec::new(),
        channels: Vec::new(),
        plane: None,
        opening: OpenOptions::default(),
        skip_border: false,
        names: ColumnNames::Own,
        overwrite: false,
        shard: None,
        settings: MeasureSettings::default(),
    }
}

fn measured(options: &MeasureOptions) -> Result<MeasuredPlate, ProjectError> {
    quietly(|job| measure(options, job))
}

/// A table, by titles and rows.
struct Rows {
    titles: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Rows {
    fn read(path: &Path) -> Self {
        let mut reader = csv::Reader::from_path(path).unwrap();
        let titles = reader
            .headers()
            .unwrap()
            .iter()
            .map(str::to_owned)
            .collect();
        let rows = reader.records();
        let rows = rows.map(|row| row.unwrap().iter().map(str::to_owned).collect());
        Self {
            titles,
            rows: rows.collect(),
        }
    }

    fn column(&self, title: &str) -> Vec<&str> {
        let at = self.titles.iter().position(|found| found == title);
        let at = at.unwrap_or_else(|| panic!("no column `{title}` in {:?}", self.titles));
        self.rows.iter().map(|row| row[at].as_str()).collect()
    }

    fn numbers(&self, title: &str) -> Vec<f64> {
        let cells = self.column(title).into_iter();
        cells.map(|cell| cell.parse().unwrap()).collect()
    }
}

/// An image of these values under a name, with labels of its own.
fn scene(place: &Place, name: &str, labels: &Image<u32>, value: impl Fn(usize, usize) -> f32) {
    let (height, width) = labels.size();
    let image = Image::from_fn(height, width, value);
    let path = place.made(&format!("images/{name}.tif"));
    write::plane_f32(&path, &image, &note()).unwrap();
    let path = place.made(&format!("labels/{name}.tif"));
    write::wide_labels(&path, labels, &note()).unwrap();
}

#[test]
fn numbers_are_those_of_the_pixels_whatever_their_size() {
    let place = Place::new();
    // A label beyond 16 bits, intensities beyond it, and some below 0.
    let labels = drawn(&[
        "..........",
        ".11..222..",
        ".11..222..",
        ".....222..",
        "..........",
    ]);
    let labels = labels.map(|&label| [0, 5, 100_000][label as usize]);
    let value = |y: usize, x: usize| y as f32 * 1e6 - x as f32 * 1000.5;
    scene(&place, "f", &labels, value);
    let found = measured(&options(&place, "t.csv")).unwrap();
    assert_eq!((found.fields, found.objects), (1, 2));
    let table = Rows::read(&place.path("t.csv"));
    assert_eq!(table.titles, found.columns);
    assert_eq!(table.column("label"), ["5", "100000"]);
    assert_eq!(table.column("field"), ["f", "f"]);
    assert_eq!(table.numbers("area"), [4.0, 9.0]);
    assert_eq!(table.numbers("area_um2"), [1.0, 2.25]);
    assert_eq!(table.numbers("centroid-0"), [1.5, 2.0]);
    assert_eq!(table.numbers("centroid-1"), [1.5, 6.0]);
    for (title, expected) in [
        ("bbox-0", [1.0, 1.0]),
        ("bbox-1", [1.0, 5.0]),
        ("bbox-2", [3.0, 4.0]),
        ("bbox-3", [3.0, 8.0]),
        ("touches_border", [0.0, 0.0]),
    ] {
        assert_eq!(table.numbers(title), expected, "{title}");
    }
    // By definition, in f64 over the pixels as they are stored.
    for (row, number) in [(0, 5), (1, 100_000)] {
        let pixels = (0..labels.height()).flat_map(|y| (0..labels.width()).map(move |x| (y, x)));
        let pixels = pixels.filter(|&(y, x)| labels.get(y, x) == number);
        let values: Vec<f64> = pixels.map(|(y, x)| f64::from(value(y, x))).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        let extreme = |of: fn(f64, f64) -> f64| values.iter().copied().reduce(of).unwrap();
        for (title, expected) in [
            ("intensity_mean", mean),
            ("intensity_sum", n * mean),
            ("intensity_std", std),
            ("intensity_min", extreme(f64::min)),
            ("intensity_max", extreme(f64::max)),
        ] {
            let found = table.numbers(title)[row];
            // Sums of a few numbers of f32 in f64.
            let near = (found - expected).abs() <= 1e-9 * expected.abs().max(1.0);
            assert!(near, "{title} of {number}: {found}, {expected}");
        }
    }
}

#[test]
fn what_is_not_known_is_an_empty_cell_and_never_a_number() {
    let place = Place::new();
    // A single pixel has no spread worth the name, and an image without a pixel size no um.
    let labels = drawn(&["1....", ".....", "...22", "...22"]);
    let image = Image::from_fn(4, 5, |y, x| (y * 5 + x) as u16);
    let bare = write::Note::default();
    write::plane_u16(&place.made("images/f.tif"), &image, &bare).unwrap();
    write::labels(&place.made("labels/f.tif"), &labels, &bare).unwrap();
    let (found, notes) = heard(|job| measure(&options(&place, "t.csv"), job));
    let found = found.unwrap();
    has(
        &notes.join("\n"),
        &["no pixel size is known", "`--pixel-um`"],
    );
    let table = Rows::read(&place.path("t.csv"));
    assert!(!table.titles.iter().any(|title| title == "area_um2"));
    no_odd_cell(&table);
    for title in ["plate", "well", "site", "time"] {
        assert_eq!(table.column(title), ["", ""], "{title}");
    }
    assert_eq!(found.columns.len(), table.titles.len());
    // Once a size is given, there are um.
    let sized = MeasureOptions {
        opening: OpenOptions {
            pixel_um: Some(2.0),
            ..OpenOptions::default()
        },
        ..options(&place, "sized.csv")
    };
    measured(&sized).unwrap();
    let table = Rows::read(&place.path("sized.csv"));
    assert_eq!(table.numbers("area_um2"), [4.0, 16.0]);
    no_odd_cell(&table);
    // Rings of 4 um of pixels of 2 um: some number of these objects is not known.
    assert!(
        table
            .rows
            .iter()
            .any(|row| row[6..].iter().any(String::is_empty))
    );
}

/// Asserts that no cell holds a word for a number that is none.
fn no_odd_cell(table: &Rows) {
    for row in &table.rows {
        for (title, cell) in table.titles.iter().zip(row) {
            let odd = ["nan", "inf", "-inf", "null"].contains(&cell.to_lowercase().as_str());
            assert!(!odd, "`{title}` holds `{cell}`");
        }
    }
}

#[test]
fn names_survive_the_table_and_columns_keep_their_order() {
    let place = Place::new();
    let labels = drawn(&["11.", "11.", "..."]);
    let names = ["a, b", "ü 細胞", "it's", "x y"];
    for name in names {
        scene(&place, name, &labels, |y, x| (y + x) as f32);
    }
    measured(&options(&place, "t.csv")).unwrap();
    let table = Rows::read(&place.path("t.csv"));
    let mut fields = table.column("field");
    fields.sort_unstable();
    let mut expected = names.to_vec();
    expected.sort_unstable();
    assert_eq!(fields, expected);
    assert_eq!(
        table.titles[..6],
        ["plate", "well", "site", "time", "field", "label"]
    );
    // Channels come in the order in which they are asked for.
    let place = Place::new();
    for (channel, factor) in [("bf", 1.0), ("dapi", 2.0), ("mito", 3.0)] {
        let image = Image::from_fn(3, 3, |y, x| factor * (y * 3 + x) as f32);
        let path = place.made(&format!("images/{channel}/f.tif"));
        write::plane_f32(&path, &image, &note()).unwrap();
    }
    place.numbers("labels/f.tif", &labels);
    let asked = MeasureOptions {
        channels: vec!["mito".to_owned(), "BF".to_owned()],
        ..options(&place, "t.csv")
    };
    measured(&asked).unwrap();
    let table = Rows::read(&place.path("t.csv"));
    let at = |title: &str| table.titles.iter().position(|found| found == title);
    assert!(at("intensity_mean_mito") < at("intensity_mean_bf"));
    assert_eq!(at("intensity_mean_dapi"), None);
    let [mito] = table.numbers("intensity_sum_mito")[..] else {
        panic!("one object");
    };
    assert_eq!(mito, 3.0 * table.numbers("intensity_sum_bf")[0]);
}

#[test]
fn objects_at_the_rim_are_left_out_where_that_is_asked_for() {
    let place = Place::new();
    let labels = drawn(&["11......", "11..22..", "....22..", "........", "33....44"]);
    scene(&place, "f", &labels, |y, x| (y * x) as f32);
    let inner = MeasureOptions {
        skip_border: true,
        ..options(&place, "t.csv")
    };
    let found = measured(&inner).unwrap();
    assert_eq!(found.objects, 1);
    let table = Rows::read(&place.path("t.csv"));
    assert_eq!(table.column("label"), ["2"]);
    // A field all of whose objects touch the rim is measured, and has no rows.
    let place = Place::new();
    scene(&place, "f", &drawn(&["11", "11"]), |y, _| y as f32);
    let inner = MeasureOptions {
        skip_border: true,
        ..options(&place, "t.csv")
    };
    let found = measured(&inner).unwrap();
    assert_eq!((found.fields, found.objects), (1, 0));
    assert!(Rows::read(&place.path("t.csv")).rows.is_empty());
}

#[test]
fn what_cannot_be_asked_for_is_refused_before_any_image_is_read() {
    let place = Place::new();
    scene(&place, "f", &drawn(&["11.", "..."]), |y, _| y as f32);
    type Change = fn(&mut MeasureOptions, &Place);
    let cases: [(Change, &[&str]); 8] = [
        (
            |o, p| o.out = p.path("t.xlsx"),
            &["t.xlsx` is no table that can be written", "`.csv`"],
        ),
        (
            |o, _| o.plane = Some(0),
            &["`--plane 0`: planes are counted from 1"],
        ),
        (
            |o, _| o.plane = Some(2),
            &["field `f` has no plane `2`", "(planes: 1 to 1)"],
        ),
        (
            |o, p| o.wells = Some(p.path("t.csv")),
            &["`--out` and `--wells` are both", "a name of its own"],
        ),
        (
            |o, p| o.wells = Some(p.path("w.csv")),
            &["names no wells", "leave `--wells` and"],
        ),
        (
            |o, _| o.channels = vec!["x".to_owned()],
            &["has no channel `x`", "choose with `--channels`"],
        ),
        (
            |o, _| o.channels = vec!["images".to_owned(), "Images".to_owned()],
            &["names a channel twice"],
        ),
        (
            |o, p| o.objects = Objects::Prediction(p.path("labels")),
            &["is no result of `stainfree predict`", "`--labels`"],
        ),
    ];
    for (change, parts) in cases {
        let mut options = options(&place, "t.csv");
        change(&mut options, &place);
        match measured(&options) {
            // What only a field's images show fails with them.
            Ok(found) => has(&found.failed.join("\n"), parts),
            Err(error) => has(&error.to_string(), parts),
        }
        assert!(!place.path("t.csv").exists());
    }
}

#[test]
fn tables_are_replaced_where_that_is_asked_for_and_only_ours() {
    let place = Place::new();
    scene(&place, "f", &drawn(&["11.", "..."]), |y, _| y as f32);
    let first = options(&place, "t.csv");
    measured(&first).unwrap();
    let text = place.text("t.csv");
    let error = said(measured(&first));
    has(
        &error,
        &["t.csv` exists; give another name, or `--overwrite`"],
    );
    let over = MeasureOptions {
        overwrite: true,
        ..first.clone()
    };
    measured(&over).unwrap();
    assert_eq!(place.text("t.csv"), text);
    // Under the other names it is this program's table as well.
    let theirs = MeasureOptions {
        names: ColumnNames::CellProfiler,
        ..over.clone()
    };
    measured(&theirs).unwrap();
    let table = Rows::read(&place.path("t.csv"));
    assert_eq!(table.titles[..2], ["ImageNumber", "ObjectNumber"]);
    assert_eq!(table.column("AreaShape_Area"), ["2"]);
    assert_eq!(table.column("Metadata_Field"), ["f"]);
    measured(&over).unwrap();
    place.write("t.csv", "sample,dose\na,1\n");
    has(
        &said(measured(&over)),
        &["t.csv` is there and is no table of `measure`"],
    );
    assert_eq!(place.text("t.csv"), "sample,dose\na,1\n");
    // Nor is a label image replaced by a table that bears its name.
    let label = place.path("labels/f.tif");
    std::fs::rename(&label, place.path("labels/f.csv")).unwrap();
    let odd = MeasureOptions {
        out: place.path("labels/f.csv"),
        ..over
    };
    assert!(measured(&odd).is_err());
}

#[test]
fn labels_and_images_of_other_sizes_or_kinds_fail_field_by_field() {
    let place = Place::new();
    let labels = drawn(&["11....", "11..22", "....22"]);
    for name in ["good", "small", "mask", "broken"] {
        scene(&place, name, &labels, |y, x| (y * 6 + x) as f32);
    }
    place.numbers("labels/small.tif", &labels.crop(0, 0, 2, 6));
    place.mask("labels/mask.tif", &labels.map(|&l| u8::from(l > 0) * 255));
    place.write("labels/broken.tif", "II*");
    let found = measured(&options(&place, "t.csv")).unwrap();
    assert_eq!((found.fields, found.objects, found.failed.len()), (1, 2, 3));
    has(
        &found.failed.join("\n"),
        &[
            "small.tif` is 2 x 6 but `",
            "both must show the same field",
            "mask.tif` holds 0 and 255 only",
            "broken.tif`",
        ],
    );
    assert_eq!(
        Rows::read(&place.path("t.csv")).column("field"),
        ["good", "good"]
    );
    // Where none can be measured, no table is left.
    std::fs::remove_file(place.path("labels/good.tif")).unwrap();
    let none = measured(&options(&place, "none.csv")).unwrap();
    assert_eq!((none.fields, none.failed.len()), (0, 3));
    assert!(none.files.is_empty() && !place.path("none.csv").exists());
}

#[test]
fn predictions_are_measured_where_their_table_vouches_for_them() {
    let place = Place::new();
    let labels = drawn(&["11.", "..."]);
    for name in ["a", "b", "c"] {
        scene(&place, name, &labels, |y, _| y as f32);
        place.numbers(&format!("result/nuclei/{name}.tif"), &labels);
    }
    let options = |out: &str| MeasureOptions {
        objects: Objects::Prediction(place.path("result")),
        ..options(&place, out)
    };
    has(
        &said(measured(&options("t.csv"))),
        &["has no `predictions.csv` that says which fields are done"],
    );
    let head = "name,status,message,background_share,nucleus_share,model";
    let table = |rows: &str| place.write("result/predictions.csv", format!("{head}\n{rows}"));
    table("a,failed,,0,0,\nb,failed,,0,0,\n");
    has(
        &said(measured(&options("t.csv"))),
        &["no field of `", "is done"],
    );
    // Of two models, and one field that nobody vouches for; saved in a spreadsheet.
    table("a,DONE,,0,0,1111\nb,done,,0,0,2222222222\n");
    let (found, notes) = heard(|job| measure(&options("t.csv"), job));
    assert_eq!(found.unwrap().fields, 2);
    has(
        &notes.join("\n"),
        &[
            "1 of 3 label images of `",
            "such as `c`",
            "predictions of 2 models (1 by `1111`, 1 by `22222222`)",
            "not comparable",
        ],
    );
    assert_eq!(Rows::read(&place.path("t.csv")).column("field"), ["a", "b"]);
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_holds_the_same_cells_as_csv() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;
    let place = Place::new();
    let labels = drawn(&["1....", ".....", "...22", "...22"]);
    for name in ["a, b", "ü"] {
        scene(&place, name, &labels, |y, x| (y * 5 + x) as f32 / 7.0);
    }
    measured(&options(&place, "t.csv")).unwrap();
    measured(&options(&place, "t.parquet")).unwrap();
    let table = Rows::read(&place.path("t.csv"));
    let file = std::fs::File::open(place.path("t.parquet")).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let mut compared = 0;
    for (row, expected) in reader.get_row_iter(None).unwrap().zip(&table.rows) {
        let row = row.unwrap();
        let cells = row.get_column_iter();
        for (((title, cell), known), expected) in cells.zip(&table.titles).zip(expected) {
            assert_eq!(title, known);
            let text = match cell {
                Field::Null => String::new(),
                Field::Str(text) => text.clone(),
                Field::Long(number) => number.to_string(),
                Field::Double(number) => number.to_string(),
                other => panic!("`{title}` is {other:?}"),
            };
            assert_eq!(text, *expected, "`{title}`");
            compared += 1;
        }
    }
    assert_eq!(compared, table.rows.len() * table.titles.len());
    // Whose table it is and what it is of stands in the file.
    let facts = reader.metadata().file_metadata().key_value_metadata();
    let facts: Vec<&str> = facts.unwrap().iter().map(|fact| &fact.key[..]).collect();
    assert!(
        ["program", "images", "labels"]
            .iter()
            .all(|key| facts.contains(key)),
        "{facts:?}"
    );
}
