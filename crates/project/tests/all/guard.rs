//! No output takes the place of an input, nor of what this program did not write.

use std::path::{Path, PathBuf};

use stainfree_image::marker::{self, Kind, Marker};
use stainfree_image::{Image, OpenOptions, write};
use stainfree_project::Refusal;
use stainfree_project::study::guard::{
    Inputs, ResultFolder, begins_with, check_different, check_file, is_json, is_table,
};

use crate::common::{Place, note};

const WAY_OUT: &str = "choose another folder with `--out`";

fn folder(path: &Path) -> ResultFolder<'_> {
    ResultFolder {
        path,
        kind: &Kind::Prediction,
        way_out: WAY_OUT,
    }
}

/// Checks a folder with these files to be written.
fn check(path: &Path, inputs: &Inputs, outputs: &[PathBuf]) -> Result<(), Refusal> {
    folder(path).check(inputs, outputs.iter().map(PathBuf::as_path))
}

#[cfg(unix)]
#[test]
fn an_input_is_known_under_every_name_that_the_system_has_for_it() {
    let place = Place::new();
    let image = place.picture("data/f.tif", 0, 2000);
    std::os::unix::fs::symlink(&image, place.path("link.tif")).unwrap();
    std::os::unix::fs::symlink(place.path("data"), place.path("linked")).unwrap();
    std::fs::hard_link(&image, place.path("hard.tif")).unwrap();
    std::fs::copy(&image, place.path("copy.tif")).unwrap();
    let mut inputs = Inputs::default();
    inputs.add(&image);
    inputs.add(&place.path("data/none.tif"));
    for name in [
        "data/f.tif",
        "data/../data/./f.tif",
        "link.tif",
        "linked/f.tif",
        "hard.tif",
    ] {
        let path = place.path(name);
        let refused = inputs.spare(&path, "give another name").unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!(
                "`{}` is read by this command and would be replaced; give another name",
                path.display()
            )
        );
    }
    for name in ["copy.tif", "data/g.tif", "data/none.tif", "none"] {
        inputs.spare(&place.path(name), "").unwrap();
    }
}

#[cfg(unix)]
#[test]
fn results_never_lie_among_the_images_that_they_are_of() {
    let place = Place::new();
    place.picture("plate/deep/f.tif", 0, 2000);
    std::os::unix::fs::symlink(place.path("plate"), place.path("link")).unwrap();
    let set = stainfree_image::open(&place.path("plate/deep"), &OpenOptions::default()).unwrap();
    let inputs = Inputs::of(&[set]);
    for name in [
        "plate/deep",
        "plate",
        "link",
        "link/deep",
        "plate/../plate",
        "",
    ] {
        let path = place.path(name);
        let refused = check(&path, &inputs, &[]).unwrap_err();
        let Refusal::HoldsInputs {
            folder, example, ..
        } = &refused
        else {
            panic!("{refused}");
        };
        assert_eq!(*folder, path);
        assert!(example.ends_with("f.tif"));
        // The way out is a folder that is none of those.
        assert!(refused.to_string().contains("such as `"), "{refused}");
        check(&path.join("result"), &inputs, &[]).unwrap();
    }
    check(&place.path("elsewhere"), &inputs, &[]).unwrap();
}

#[test]
fn a_folder_of_another_kind_is_left_alone() {
    let place = Place::new();
    let out = place.path("out");
    for (kind, word) in [
        (Kind::Segmentation, "segment"),
        (Kind::Model, "model"),
        (Kind::Plate, "plate"),
    ] {
        std::fs::create_dir_all(&out).unwrap();
        marker::write(&out, &Marker::new("x", kind)).unwrap();
        let refused = check(&out, &Inputs::default(), &[])
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains(word) && refused.contains(WAY_OUT),
            "{refused}"
        );
        std::fs::remove_dir_all(&out).unwrap();
    }
    std::fs::create_dir_all(&out).unwrap();
    marker::write(&out, &Marker::new("predict", Kind::Prediction)).unwrap();
    check(&out, &Inputs::default(), &[]).unwrap();
}

#[cfg(unix)]
#[test]
fn what_a_study_fills_itself_takes_no_results_by_any_way() {
    let place = Place::new();
    place.write("study/stainfree.toml", "");
    std::fs::create_dir_all(place.path("study/truth/nuclei")).unwrap();
    std::os::unix::fs::symlink(place.path("study/truth"), place.path("away")).unwrap();
    for name in [
        "study/truth",
        "study/truth/nuclei",
        "study/human",
        "study/human/corrected/deep",
        "study/models/m",
        "study/runs/new/folder",
        "away",
        "away/mine",
    ] {
        let refused = check(&place.path(name), &Inputs::default(), &[]).unwrap_err();
        let text = refused.to_string();
        assert!(text.contains("of the study `"), "{name}: {text}");
    }
    for name in ["study/predictions", "study/x/truth", "truth", "models"] {
        check(&place.path(name), &Inputs::default(), &[]).unwrap();
    }
    // A model that was trained elsewhere may lie in `models`, and nowhere else in there.
    let model = |path: &Path| {
        let folder = ResultFolder {
            path,
            kind: &Kind::Model,
            way_out: WAY_OUT,
        };
        folder.check(&Inputs::default(), std::iter::empty())
    };
    model(&place.path("study/models/mine")).unwrap();
    assert!(model(&place.path("study/truth/mine")).is_err());
}

#[test]
fn only_files_that_say_whose_they_are_are_replaced() {
    let place = Place::new();
    let out = place.path("out");
    std::fs::create_dir_all(&out).unwrap();
    let ours = write::Note {
        text: "stainfree 1.0 prediction: nuclei".to_owned(),
        pixel_um: None,
    };
    let labels = Image::from_fn(8, 8, |y, _| (y / 4) as u32);
    write::labels(&out.join("ours.tif"), &labels, &ours).unwrap();
    // What a label editor saved: the pixels of ours without its note.
    write::labels(&out.join("edited.tif"), &labels, &note()).unwrap();
    write::png_gray(&out.join("ours.png"), &Image::filled(4, 4, 7u8)).unwrap();
    place.write("out/theirs.png", "\u{89}PNG and so on");
    place.write("out/table.csv", "name,area\n");
    place.write("out/empty.csv", "");
    place.write("out/edited.geojson", "{\"type\": \"FeatureCollection\"}");
    place.write("out/theirs.zip", "PK");
    let free = ["ours.tif", "ours.png", "empty.csv", "not there.csv"];
    let theirs = [
        "edited.tif",
        "theirs.png",
        "table.csv",
        "edited.geojson",
        "theirs.zip",
    ];
    let ask = |name: &str| check(&out, &Inputs::default(), &[out.join(name)]);
    for name in free {
        ask(name).unwrap();
    }
    for name in theirs {
        let refused = ask(name).unwrap_err();
        let text = refused.to_string();
        assert!(matches!(refused, Refusal::NotOurs { .. }), "{text}");
        assert!(
            text.contains(name) && text.contains("move it away, or choose"),
            "{text}"
        );
    }
    // In a folder that this program made, tables and pictures are its own; labels still say it.
    marker::write(&out, &Marker::new("predict", Kind::Prediction)).unwrap();
    for name in ["theirs.png", "table.csv"] {
        ask(name).unwrap();
    }
    for name in ["edited.tif", "edited.geojson", "theirs.zip"] {
        assert!(ask(name).is_err(), "{name}");
    }
}

#[test]
fn a_single_file_is_replaced_only_where_it_is_known() {
    let place = Place::new();
    let path = place.write("t.csv", "a,b\n1,2\n");
    let refused = check_file(&path, "table of `measure`", |_| false).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "`{}` is there and is no table of `measure`; give another name, or move it away first",
            path.display()
        )
    );
    check_file(&path, "", |_| true).unwrap();
    check_file(&place.path("none.csv"), "", |_| false).unwrap();
    check_file(&place.write("empty.csv", ""), "", |_| false).unwrap();
    #[cfg(unix)]
    check_file(Path::new("/dev/null"), "", |_| false).unwrap();
}

#[test]
fn two_outputs_that_are_one_file_are_refused_before_either_is_there() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("d")).unwrap();
    let check = |names: &[&str]| {
        let paths: Vec<PathBuf> = names.iter().map(|name| place.path(name)).collect();
        let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        check_different(&paths)
    };
    check(&["a.csv", "b.csv", "d/a.csv"]).unwrap();
    for twins in [
        ["a.csv", "d/../a.csv"],
        ["d/a.csv", "d/./a.csv"],
        ["a", "a"],
    ] {
        let refused = check(&["x", twins[0], "y", twins[1]]).unwrap_err();
        assert!(matches!(refused, Refusal::Twice { .. }), "{refused}");
        assert!(
            refused.to_string().contains("a name of its own"),
            "{refused}"
        );
    }
    // Once one of them is there, a hard link is the same file too.
    place.write("one.csv", "x");
    std::fs::hard_link(place.path("one.csv"), place.path("other.csv")).unwrap();
    assert!(check(&["one.csv", "other.csv"]).is_err());
}

#[test]
fn tables_are_known_by_their_first_columns_however_they_were_saved() {
    let place = Place::new();
    let path = place.path("t.csv");
    let known = |text: &str| {
        std::fs::write(&path, text).unwrap();
        is_table(&path, &["field", "label"])
    };
    for ours in [
        "field,label,area\n",
        "field,label\r\n",
        "field;label;area\r\n",
        "field\tlabel\tarea\n",
        "\"field\",\"label\",\"area\"\n",
        "\u{feff}field,label,area\n",
    ] {
        assert!(known(ours), "{ours:?}");
    }
    for other in [
        "",
        "label,field\n",
        "field,labels,area\n",
        "my field,label\n",
        "field label\n",
        "x\nfield,label,area\n",
    ] {
        assert!(!known(other), "{other:?}");
    }
    assert!(!is_table(&place.path("none"), &["field"]));
}

#[test]
fn json_is_known_by_its_keys() {
    let place = Place::new();
    let path = place.path("x.json");
    let known = |text: &str| {
        std::fs::write(&path, text).unwrap();
        is_json(&path, &["images", "classes"])
    };
    assert!(known("{\"images\": 3, \"classes\": {}, \"more\": 1}"));
    assert!(known("[{\"images\": 3, \"classes\": {}}, 5]"));
    assert!(known("[]"));
    for other in [
        "",
        "{}",
        "{\"images\": 3}",
        "[5]",
        "3",
        "{\"images\": 3, \"classes\"",
    ] {
        assert!(!known(other), "{other}");
    }
    std::fs::write(&path, "%PDF-1.7").unwrap();
    assert!(begins_with(&path, "%PDF") && !begins_with(&path, "PDF"));
    assert!(!begins_with(&place.path("none"), "x"));
}
