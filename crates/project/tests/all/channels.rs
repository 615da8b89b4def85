//! Which channel is meant, or is likely to be: names of real microscopes.

use stainfree_image::Dataset;
use stainfree_project::study::channels::{guess_brightfield, recognise_brightfield};
use stainfree_project::study::names::{nearest, truth_files};

use crate::common::{Place, has, said};

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn dataset(channels: &[&str], transmitted: &[&str]) -> Dataset {
    Dataset {
        layout: "folder".to_owned(),
        root: "images".into(),
        channels: owned(channels),
        transmitted: owned(transmitted)
            .into_iter()
            .map(|name| (name, true))
            .collect(),
        fields: Vec::new(),
        problems: Vec::new(),
    }
}

#[test]
fn brightfield_is_recognised_by_the_names_that_microscopes_give() {
    let cases: [(&[&str], &[&str]); 19] = [
        (&["DAPI", "Brightfield"], &["Brightfield"]),
        (&["w1", "BF"], &["BF"]),
        (&["Hoechst", "TL 20"], &["TL 20"]),
        (&["Hoechst", "TransLight"], &["TransLight"]),
        (&["DAPI", "Bright Field"], &["Bright Field"]),
        (&["DAPI", "bright-field-z2"], &["bright-field-z2"]),
        (&["dapi", "Phase_10x"], &["Phase_10x"]),
        // Blue fluorescent protein is none.
        (&["BFP", "BF"], &["BF"]),
        // Three are planes, and are read as planes in their order.
        (&["BF1", "BF2", "BF3", "DAPI"], &["BF1", "BF2", "BF3"]),
        // Of two or four, the middle one.
        (&["BF1", "BF2", "DAPI"], &["BF1"]),
        (&["BF1", "BF2", "BF3", "BF4", "BF5", "DAPI"], &["BF3"]),
        // What is computed or taken with rings stands back.
        (&["Phase", "Brightfield", "DAPI"], &["Brightfield"]),
        (&["TL phase", "BF", "x"], &["BF"]),
        // The only channel, whatever it is called; and the only one that is no truth.
        (&["w7"], &["w7"]),
        (&["images", "labels"], &["images"]),
        (&["cells", "masks", "nuclei_labels"], &["cells"]),
        (&["brightfield", "brightfield_labels"], &["brightfield"]),
        (&["instances_ids", "raw"], &["raw"]),
        (&["mito", "TL-BF"], &["TL-BF"]),
    ];
    for (channels, expected) in cases {
        let found = guess_brightfield(&owned(channels));
        assert_eq!(found, Some(owned(expected)), "{channels:?}");
    }
    // Nobody can tell: the user is asked rather than a stain taken.
    for channels in [&["DAPI", "Mito"][..], &["w1", "w2"], &["BFP", "GFP"], &[]] {
        assert_eq!(guess_brightfield(&owned(channels)), None, "{channels:?}");
    }
}

#[test]
fn what_the_files_say_counts_more_than_names() {
    let found = |channels: &[&str], transmitted: &[&str]| {
        let found = recognise_brightfield(&dataset(channels, transmitted));
        found.map(|found| (found.channels, found.said))
    };
    assert_eq!(
        found(&["BF", "Ch2"], &["Ch2"]),
        Some((owned(&["Ch2"]), true))
    );
    assert_eq!(
        found(&["a", "b", "c", "DAPI"], &["a", "b", "c"]),
        Some((owned(&["a", "b", "c"]), true))
    );
    // Phase contrast is transmitted light as well: names tell which is meant.
    assert_eq!(
        found(&["Phase", "Bright"], &["Phase", "Bright"]),
        Some((owned(&["Bright"]), true))
    );
    assert_eq!(found(&["x", "y"], &["x", "y"]), Some((owned(&["x"]), true)));
    assert_eq!(found(&["DAPI", "TL"], &[]), Some((owned(&["TL"]), false)));
    assert_eq!(found(&["DAPI", "Mito"], &[]), None);
}

#[test]
fn a_misspelt_channel_is_answered_with_those_there_are() {
    let place = Place::new();
    for (folder, shift) in [("BF", 0), ("Hoechst 33342", 1)] {
        place.picture(&format!("images/{folder}/f.tif"), shift, 2000);
    }
    let study = |brightfield: &str, nucleus: &str| {
        let text = format!(
            "[images]\npath = \"../images\"\nbrightfield = [\"{brightfield}\"]\n[truth]\nnucleus \
             = \"{nucleus}\"\nclasses = [\"background\", \"nucleus\"]\n"
        );
        place.write("study/stainfree.toml", text);
        stainfree_project::Study::open(&place.path("study")).unwrap()
    };
    // Case does not matter where that is unambiguous.
    let source = study("bf", "hoechst 33342").source().unwrap();
    assert_eq!(source.brightfield.channels, [0]);
    assert_eq!(source.nucleus, Some(1));
    has(
        &said(study("Bf2", "Hoechst 33342").source()),
        &[
            "stainfree.toml`: `",
            "has no channel `Bf2` (channels: `BF`, `Hoechst 33342`)",
            "did you mean `BF`?",
            "set `images.brightfield` to one of them",
        ],
    );
    has(
        &said(study("BF", "DAPI").source()),
        &[
            "has no channel `DAPI`",
            "set `truth.nucleus` to one of them",
        ],
    );
}

#[test]
fn near_names_are_offered_and_far_ones_are_not() {
    let choices = ["brightfield", "planes", "pixel_um", "path"];
    for (wanted, expected) in [
        ("brigthfield", Some("brightfield")),
        ("PIXEL_UM", Some("pixel_um")),
        ("pixel", Some("pixel_um")),
        ("plane", Some("planes")),
        ("zzz", None),
        ("nucleus_settings", None),
        // Half of it may differ, not more.
        ("pazz", Some("path")),
        ("pzzz", None),
    ] {
        assert_eq!(nearest(wanted, choices), expected, "{wanted}");
    }
    assert_eq!(nearest("anything", []), None);
    // The same distance: always the same answer.
    assert_eq!(nearest("ab", ["ax", "ay"]), Some("ax"));
}

#[test]
fn truth_files_belong_to_the_field_of_their_name() {
    let place = Place::new();
    for name in ["a_labels.tif", "b_labels.tif", "ü ö_labels.tif"] {
        place.labels(&format!("truth/{name}"), 0);
    }
    let files = truth_files(&place.path("truth")).unwrap();
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["a", "b", "ü ö"]);
    place.labels("truth/b_labels.png.tif", 0);
    place.write("empty/readme.txt", "no image");
    has(&said(truth_files(&place.path("empty"))), &["empty"]);
    has(&said(truth_files(&place.path("gone"))), &["gone"]);
}
