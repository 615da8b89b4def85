//! What people decide about a study stays, whatever is prepared again.

mod common;

use common::{Place, disks, parallel_folders};
use stainfree_image::{Image, write};

/// The rows of a table that begin with `start`.
fn rows(place: &Place, table: &str, start: &str) -> Vec<String> {
    let text = place.text(table);
    let rows = text.lines().filter(|line| line.starts_with(start));
    rows.map(str::to_owned).collect()
}

#[test]
fn decisions_on_nuclei_outlast_fields_that_fail_change_or_vanish() {
    let place = Place::new();
    parallel_folders(&place, 4);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study", "--mitosis"]);
    // As Excel saves it; the disks of f0 and f1 lie there.
    let list = "\u{FEFF}decision;y_px;x_px;field\r\nYes;16,0;16,0;f0\r\n NO;15;15;f1\r\n;;;\r\n";
    std::fs::write(place.path("study/truth/mitosis.csv"), list).unwrap();
    let run = place.ok(&["prepare", "study", "--by", "Ada"]);
    assert!(
        run.stderr.contains("2 decisions on nuclei taken over"),
        "{}",
        run.stderr
    );
    let kept = place.text("study/human/mitosis.csv");
    let said = kept.lines().nth(1).unwrap();
    assert!(
        said.starts_with("f0,16,16,yes,") && said.contains(",Ada,20"),
        "{kept}"
    );
    let of_f0 = rows(&place, "study/truth/mitosis.csv", "f0,");
    assert!(
        of_f0.len() == 1 && of_f0[0].ends_with(",yes,yes"),
        "{of_f0:?}"
    );
    let mitotic = |stdout: &str| stdout.contains("\n1 nuclei are mitotic");
    assert!(mitotic(&run.stdout), "{}", run.stdout);

    // Its stain cannot be read: rows and decisions stay, and it is not counted.
    let stain = place.path("images/dapi/f0.tif");
    let whole = std::fs::read(&stain).unwrap();
    std::fs::write(&stain, &whole[..200]).unwrap();
    let run = place.run(&["prepare", "study"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(!mitotic(&run.stdout), "{}", run.stdout);
    assert_eq!(rows(&place, "study/truth/mitosis.csv", "f0,"), of_f0);
    assert_eq!(place.text("study/human/mitosis.csv"), kept);

    // Another image, with background at that place; and a field is gone.
    disks(&stain, 96, 9000, 16);
    for channel in ["bf", "dapi"] {
        std::fs::remove_file(place.path(&format!("images/{channel}/f1.tif"))).unwrap();
    }
    for _ in 0..2 {
        let run = place.ok(&["prepare", "study"]);
        for what in [
            "mitosis.csv`, line 2: field `f0` has no nucleus at y 16.0, x 16.0 now; the decision \
             `yes` is kept and has no effect",
            "mitosis.csv`, line 3: there is no field `f1`; the decision `no` is kept",
        ] {
            assert!(run.stderr.contains(what), "{}", run.stderr);
        }
        assert_eq!(place.text("study/human/mitosis.csv"), kept);
    }

    // As before: in force again.
    std::fs::write(&stain, &whole).unwrap();
    let run = place.ok(&["prepare", "study"]);
    assert!(mitotic(&run.stdout), "{}", run.stdout);
    assert_eq!(rows(&place, "study/truth/mitosis.csv", "f0,"), of_f0);
}

#[test]
fn noise_of_a_field_that_is_left_out_is_no_candidate() {
    let place = Place::new();
    parallel_folders(&place, 4);
    let mut state = 1u32;
    let noise = Image::from_fn(96, 96, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        100 + (state >> 27) as u16
    });
    let note = write::Note {
        text: String::new(),
        pixel_um: Some(0.5),
    };
    write::plane_u16(&place.path("images/dapi/f2.tif"), &noise, &note).unwrap();
    place.ok(&["new", "study", "--images", "images"]);
    let run = place.ok(&["prepare", "study", "--mitosis"]);
    let row = &rows(&place, "study/fields.csv", "f2,")[0];
    assert!(row.contains(",no,"), "{row}");
    let found = place.text("study/truth/rows/f2.json");
    assert!(
        found.contains("\"score\": "),
        "no candidate in the noise: {found}"
    );
    assert!(rows(&place, "study/truth/mitosis.csv", "f2,").is_empty());
    assert!(
        run.stdout.contains("\n0 nuclei are mitotic"),
        "{}",
        run.stdout
    );
}

#[test]
fn excluded_fields_are_left_out_until_they_are_taken_in_again() {
    let place = Place::new();
    parallel_folders(&place, 4);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    let row = |name: &str| rows(&place, "study/fields.csv", &format!("{name},")).remove(0);
    assert!(!row("f1").contains("excluded"));
    place.ok(&[
        "exclude",
        "study",
        "f1",
        "--because",
        "out of focus",
        "--by",
        "Ada",
    ]);
    let run = place.ok(&["prepare", "study"]);
    assert!(
        run.stdout.contains(" 1 left out (0 made, 4 unchanged)"),
        "{}",
        run.stdout
    );
    assert!(
        row("f1").contains(",no,excluded by Ada: out of focus"),
        "{}",
        row("f1")
    );
    let listed = place.ok(&["exclude", "study"]).stdout;
    assert_eq!(listed, "`f1`: excluded by Ada: out of focus\n");

    let table = place.path("study/human/excluded.csv");
    let before = std::fs::read_to_string(&table).unwrap();
    let run = place.run(&["exclude", "study", "f2", "f11"]);
    assert_eq!(run.code, 2);
    assert!(
        run.stderr
            .contains("has no field `f11`; did you mean `f1`?"),
        "{}",
        run.stderr
    );
    assert_eq!(std::fs::read_to_string(&table).unwrap(), before);

    place.ok(&["exclude", "study", "f1", "--undo", "--by", "Bo"]);
    place.ok(&["prepare", "study"]);
    assert!(!row("f1").contains("excluded"));
    let after = std::fs::read_to_string(&table).unwrap();
    assert!(
        after.starts_with(&before) && after.lines().count() == 3,
        "{after}"
    );

    // Set to `no` in the table that prepare rewrites.
    let fields = place.text("study/fields.csv");
    let of_f2 = row("f2");
    let edited = fields.replace(&of_f2, &of_f2.replacen(",yes,", ",No,", 1));
    std::fs::write(place.path("study/fields.csv"), edited).unwrap();
    let run = place.ok(&["prepare", "study"]);
    let said = "`usable` of f2 was set to `no` in `fields.csv`: taken over into";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    for _ in 0..2 {
        assert!(row("f2").contains(",no,excluded by "), "{}", row("f2"));
        place.ok(&["prepare", "study"]);
    }
    place.ok(&["exclude", "study", "f2", "--undo"]);
    for _ in 0..2 {
        place.ok(&["prepare", "study"]);
        assert_eq!(row("f2"), of_f2);
    }

    // Typed in Excel, by name alone; a field that is gone is said.
    std::fs::write(&table, "FIELD;reason\r\nf3;scratch; with a hair\r\n").unwrap();
    let run = place.run(&["prepare", "study"]);
    assert!(
        run.stderr.contains("line 2 has 3 cells under 2 titles"),
        "{}",
        run.stderr
    );
    std::fs::write(&table, "FIELD;reason\r\nf3;scratch\r\nf9;\r\n").unwrap();
    let run = place.ok(&["prepare", "study"]);
    assert!(row("f3").contains(",no,excluded: scratch"), "{}", row("f3"));
    let gone = "excluded.csv`, line 3: there is no field `f9`";
    assert!(run.stderr.contains(gone), "{}", run.stderr);
}
