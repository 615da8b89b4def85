//! `fields.csv`: what a person may do to it in an editor or a spreadsheet, and what is said of the
//! rest.

use std::path::Path;

use stainfree_project::Part;
use stainfree_project::study::fields::{self, FieldRow, NucleiBy, Usable};

use crate::common::{Place, has, said};

/// A row with every cell filled, as `prepare` writes it of a stained field.
fn full(name: &str) -> FieldRow {
    let json = format!(
        "{{\"name\": {}, \"group\": \"plate 1/B02\", \"well\": \"B02\", \"site\": 3, \
         \"split\": \"validation\", \"usable\": \"yes\", \"remarks\": \"dim; 2 \\\"odd\\\" ones\", \
         \"nuclei_from\": \"corrected\", \"height\": 2160, \"width\": 2000, \"pixel_um\": 0.325, \
         \"nuclei\": 123, \"nucleus_share\": 0.25, \"cytoplasm_share\": 0.5, \
         \"ignored_share\": 0.015625, \"blank_share\": 0.001, \"nucleus_threshold\": 1234.5, \
         \"cytoplasm_threshold\": 0.1, \"nucleus_dy_px\": -1.25, \"nucleus_dx_px\": 3.5, \
         \"nucleus_shift_radius_px\": 0.2, \"cytoplasm_dy_px\": 0.0, \"cytoplasm_dx_px\": 1e-6, \
         \"cytoplasm_shift_radius_px\": 0.3, \"mitotic\": 4, \"nucleus_verdicts\": \"dim 0.1\", \
         \"cytoplasm_verdicts\": \"\", \"concern\": 2.5, \"nucleus_signal_to_noise\": 12.0, \
         \"nucleus_saturated_share\": 0.0, \"nucleus_edge_width_px\": 3.0, \
         \"nucleus_threshold_slope\": 0.2, \"debris_share\": 0.1, \
         \"cytoplasm_signal_to_noise\": 7.0, \"cytoplasm_saturated_share\": 0.9, \
         \"cytoplasm_edge_width_px\": 8.0, \"cytoplasm_threshold_slope\": 0.4, \
         \"bleed_through\": -0.2}}",
        serde_json::to_string(name).unwrap()
    );
    serde_json::from_str(&json).unwrap()
}

fn read(path: &Path) -> Vec<FieldRow> {
    fields::read(path).unwrap()
}

/// Every line of a table split at its commas; only for tables without quotes.
fn cells(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split(',').collect()).collect()
}

#[test]
fn every_column_is_what_it_was_for_names_of_any_kind() {
    let place = Place::new();
    let path = place.path("fields.csv");
    let names = [
        "B02_s1",
        "a,b; c",
        "\"quoted\"",
        "µ-Zellen ÄÖÜ 細胞",
        "1,5",
        "0012",
        "yes",
        "NaN",
        "=SUM(A1)",
        "a_t001",
    ];
    let rows: Vec<FieldRow> = names.map(full).to_vec();
    fields::write(&path, &rows).unwrap();
    assert_eq!(read(&path), rows);
    // The head names each column once, the first ones where people look for them.
    let text = place.text("fields.csv");
    let head: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    assert_eq!(
        head[..6],
        ["name", "group", "well", "site", "split", "usable"]
    );
    let distinct: std::collections::BTreeSet<&&str> = head.iter().collect();
    assert_eq!(distinct.len(), head.len());
}

#[test]
fn a_table_that_a_spreadsheet_saved_is_the_same_table() {
    let place = Place::new();
    let path = place.path("fields.csv");
    let rows = vec![
        FieldRow {
            remarks: "dim".into(),
            ..full("f 1")
        },
        full("f2"),
    ];
    let rows: Vec<FieldRow> = rows
        .into_iter()
        .map(|row| FieldRow {
            remarks: row.remarks.replace(['"', ';'], ""),
            ..row
        })
        .collect();
    fields::write(&path, &rows).unwrap();
    let text = place.text("fields.csv");
    // A German spreadsheet: semicolons, decimal commas, words in capitals, a mark before all.
    let table = cells(&text);
    let german = |(column, cell): (usize, &&str)| match table[0][column] {
        "split" | "usable" | "nuclei_from" => cell.to_uppercase(),
        "name" | "group" | "remarks" | "nucleus_verdicts" => (*cell).to_owned(),
        _ => cell.replace('.', ","),
    };
    let line = |(i, row): (usize, &Vec<&str>)| match i {
        0 => row.join(";"),
        _ => row
            .iter()
            .enumerate()
            .map(german)
            .collect::<Vec<_>>()
            .join(";"),
    };
    let lines: Vec<String> = table.iter().enumerate().map(line).collect();
    place.write("fields.csv", format!("\u{feff}{}\r\n", lines.join("\r\n")));
    assert_eq!(read(&path), rows);
    // Columns in another order, and one of the person's own.
    let turned = |row: &Vec<&str>| {
        let cells: Vec<&str> = row.iter().rev().copied().collect();
        format!("my note,{}", cells.join(","))
    };
    let lines: Vec<String> = table.iter().map(turned).collect();
    place.write("fields.csv", lines.join("\n"));
    assert_eq!(read(&path), rows);
}

#[test]
fn tables_of_earlier_versions_lack_columns_and_are_read() {
    let place = Place::new();
    let path = place.path("fields.csv");
    fields::write(&path, &[full("f")]).unwrap();
    let later = [
        "nuclei_from",
        "blank_share",
        "nucleus_verdicts",
        "cytoplasm_verdicts",
        "concern",
        "mitotic",
        "bleed_through",
    ];
    let mut reader = csv::Reader::from_path(&path).unwrap();
    let head = reader.headers().unwrap().clone();
    let row = reader.records().next().unwrap().unwrap();
    let mut writer = csv::Writer::from_writer(Vec::new());
    for record in [&head, &row] {
        let kept = record.iter().zip(&head);
        let kept = kept.filter(|(_, title)| !later.contains(title));
        writer.write_record(kept.map(|(cell, _)| cell)).unwrap();
    }
    place.write("fields.csv", writer.into_inner().unwrap());
    let found = &read(&path)[0];
    assert_eq!((found.nuclei_from, found.mitotic), (None, None));
    assert_eq!((found.blank_share, found.concern), (0.0, 0.0));
    assert_eq!(found.nucleus_verdicts, "");
    assert_eq!((found.nuclei, &found.name[..]), (123, "f"));
}

#[test]
fn a_cell_that_cannot_be_is_named_with_line_column_and_way_out() {
    let place = Place::new();
    let path = place.path("fields.csv");
    let plain = |name: &str| FieldRow {
        remarks: String::new(),
        ..full(name)
    };
    fields::write(&path, &[plain("a"), plain("b")]).unwrap();
    let text = place.text("fields.csv");
    let table = cells(&text);
    for (column, wrong) in [
        ("split", "tset"),
        ("split", "training"),
        ("usable", "perhaps"),
        ("usable", "1"),
        ("nuclei_from", "hand"),
        ("site", "-1"),
        ("nuclei", "many"),
        ("nuclei", "1.5"),
        ("nucleus_share", "a quarter"),
        ("pixel_um", "0.5 um"),
    ] {
        let at = table[0].iter().position(|title| *title == column).unwrap();
        let mut edited = table.clone();
        edited[2][at] = wrong;
        let lines: Vec<String> = edited.iter().map(|row| row.join(",")).collect();
        place.write("fields.csv", lines.join("\n"));
        let sentence = said(fields::read(&path));
        has(
            &sentence,
            &[
                "fields.csv`, line 3: ",
                &format!("column `{column}` holds `{wrong}`: "),
                "; delete it and prepare again",
            ],
        );
    }
}

#[test]
fn what_is_no_table_of_fields_is_told() {
    let place = Place::new();
    let path = place.path("fields.csv");
    let cases: [(&[u8], &[&str]); 4] = [
        (b"PK\x03\x04 and so on", &["is a workbook", "as CSV"]),
        (
            b"name,group\nf,g\n",
            &["missing field", "delete it and prepare again"],
        ),
        (
            b"name,group\n\"f,g\n",
            &["the quote that begins in line 2 does not end"],
        ),
        (b"name\nf,g\n", &["line 2 has 2 cells under 1 titles"]),
    ];
    for (bytes, parts) in cases {
        place.write("fields.csv", bytes);
        has(&said(fields::read(&path)), parts);
    }
    has(&said(fields::read(&place.path("none.csv"))), &["none.csv"]);
    // Nothing but a head, or nothing at all: no field.
    place.write("fields.csv", "name,group\n");
    assert!(read(&path).is_empty());
}

#[test]
fn only_usable_fields_train_and_score() {
    let row = full("f");
    assert!(row.is_usable());
    assert_eq!(row.split, Some(Part::Validation));
    assert_eq!(row.nuclei_from, Some(NucleiBy::Corrected));
    let out = FieldRow {
        usable: Usable::No,
        ..row
    };
    assert!(!out.is_usable());
}
