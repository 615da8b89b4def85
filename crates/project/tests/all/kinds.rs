//! Tables that say which nuclei are of which kind: what is read of them, and what is refused.

use stainfree_project::Part;
use stainfree_project::evaluation::evaluate::{FolderOptions, Pair, evaluate_folders};
use stainfree_project::truth::kinds::KindTable;
use stainfree_scores::Convention;

use crate::common::{Place, drawn, has, quietly, said};

fn options(place: &Place) -> FolderOptions {
    FolderOptions {
        classes: None,
        objects: Some(Pair {
            truth: place.path("truth"),
            prediction: place.path("found"),
        }),
        cells: None,
        splitting: false,
        boundaries: false,
        kinds: Some(place.path("kinds.csv")),
        pixel_um: None,
        convention: Convention::default(),
        group: None,
        only: None,
        on: Part::Test,
    }
}

/// Two true nuclei of three are found: 1 and 3.
fn scene(place: &Place) {
    let truth = drawn(&["11..22..33", "11..22..33", "11..22..33", ".........."]);
    place.numbers("truth/f.tif", &truth);
    place.numbers(
        "found/f.tif",
        &truth.map(|&label| if label == 2 { 0 } else { label }),
    );
}

/// Of each kind, how many nuclei there are and how many were found.
fn by_kind(place: &Place, table: &str) -> Vec<(String, u64, u64)> {
    place.write("kinds.csv", table);
    let found = quietly(|job| evaluate_folders(&options(place), job)).unwrap();
    let kinds = &found.counts[0].kinds;
    let each = kinds.iter();
    each.map(|(kind, counts)| (kind.to_owned(), counts.n, counts.at_50))
        .collect()
}

#[test]
fn nuclei_are_found_by_number_or_by_place_and_counted_by_kind() {
    let place = Place::new();
    scene(&place);
    let expected = vec![
        ("interphase".to_owned(), 2, 2),
        ("mitotic".to_owned(), 1, 0),
    ];
    for table in [
        "field,label,mitotic\nf,1,0\nf,2,1\nf,3,0\n",
        "field,id,kind\nf,3,interphase\nf,2,mitotic\nf,1,interphase\ng,9,other\n",
        "Field;y_px;x_px;Mitotic\nf;1,0;4,6;yes\nf;1;0,4;no\nf;0,5;8,5;no\n",
        "field\tlabel\ty_px\tx_px\tmitotic\nf\t1\t1\t0.5\t0\nf\t2\t1\t4.5\t1\nf\t3\t1\t8.5\t0\n",
    ] {
        let mut found = by_kind(&place, table);
        found.sort();
        assert_eq!(found, expected, "{table}");
    }
    // A kind that is not said is not known: the nucleus counts for none.
    let found = by_kind(&place, "field,label,kind\nf,1,\nf,2,big\n");
    assert_eq!(found, [("big".to_owned(), 1, 0)]);
}

#[test]
fn a_table_that_says_too_little_or_something_else_is_refused() {
    let place = Place::new();
    for (table, parts) in [
        (
            "name,label,kind\n",
            &["it has no column `field` (columns: name, label, kind)"][..],
        ),
        (
            "field,kind\nf,a\n",
            &["it has no column `label` (or `id`, or `y_px` and `x_px`)"],
        ),
        ("field,y_px,kind\nf,1,a\n", &["it has no column `label`"]),
        (
            "field,label\nf,1\n",
            &["it has no column `kind` or `mitotic`"],
        ),
        (
            "field,label,mitotic\nf,1,0\nf,2,perhaps\n",
            &["line 3: `perhaps` in column `mitotic` of field `f`, which holds 1 or 0"],
        ),
        (
            "field,label,kind\nf,one,a\n",
            &["line 2: `one` in column `label` of field `f`, which holds whole numbers"],
        ),
        (
            "field,y_px,x_px,kind\nf,4,left,a\n",
            &["line 2: `left` in column `x_px`", "a coordinate in px"],
        ),
    ] {
        let path = place.write("kinds.csv", table);
        has(&said(KindTable::read(&path)), parts);
    }
    has(
        &said(KindTable::read(&place.path("none.csv"))),
        &["none.csv"],
    );
}

#[test]
fn a_table_without_a_fields_nuclei_is_said() {
    let place = Place::new();
    scene(&place);
    place.write("kinds.csv", "field,label,kind\nother,1,a\n");
    let found = quietly(|job| evaluate_folders(&options(&place), job)).unwrap();
    let messages = found.messages.join("\n");
    has(
        &messages,
        &["the table of kinds has no nucleus of 1 of 1 fields"],
    );
    assert!(found.counts[0].kinds.iter().next().is_none());
}
