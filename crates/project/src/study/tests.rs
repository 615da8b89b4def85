//! Records beside models, parts of groups and prints of inputs: what is taken for the same, and
//! what never is.

use std::collections::BTreeMap;
use std::path::Path;

use stainfree_image::table::Table;
use stainfree_network::model::sha256;

use super::beside_model::{INPUT, RECORD, input_channels};
use super::config::Config;
use super::fields::{self, FieldRow};
use super::fingerprint::{Fingerprint, stamp_of_file};
use super::predictions::{classes, done, header};
use super::split::Part;
use super::split_record::{self, kept, moved_to_test};
use super::{Study, human};
use crate::ProjectError;

/// A study that names images which are not there, with these lines of `[split]`.
fn study(root: &Path, split: &str) -> Study {
    let text = format!(
        "[images]\npath = \"../images\"\nbrightfield = [\"BF\"]\n[truth]\nlabels = \
         \"../labels\"\nclasses = [\"background\", \"nucleus\"]\n[split]\n{split}\n"
    );
    std::fs::create_dir_all(root).unwrap();
    std::fs::write(root.join("stainfree.toml"), text).unwrap();
    Study::open(root).unwrap()
}

fn parts(groups: &[(&str, Part)]) -> BTreeMap<String, Part> {
    let named = groups
        .iter()
        .map(|(group, part)| ((*group).to_owned(), *part));
    named.collect()
}

fn row(name: &str, group: &str, split: Option<Part>) -> FieldRow {
    FieldRow {
        split,
        ..FieldRow::left_out(name, group, String::new())
    }
}

#[test]
fn groups_keep_their_part_until_the_rule_says_otherwise() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("study");
    let first = study(&root, "seed = 3\ngroup = \"re:^(a)\"");
    let known = parts(&[("a", Part::Train), ("b, \"c\"", Part::Test)]);
    split_record::write(&first, BTreeMap::new(), &known).unwrap();
    assert_eq!(kept(&first, &first).unwrap(), known);
    // A fold changes no group's part, and neither does an older spelling of the same rule.
    for same in [
        "seed = 3\ngroup = \"re:^(a)\"\nfold = [1, 3]",
        "seed = 3\ngroup = \"^(a)\"",
    ] {
        let other = study(&root, same);
        assert_eq!(kept(&other, &other).unwrap(), known, "{same}");
    }
    for other in [
        "seed = 4\ngroup = \"re:^(a)\"",
        "seed = 3\ngroup = \"re:^(b)\"",
        "seed = 3\ngroup = \"re:^(a)\"\nfractions = [0.7, 0.2, 0.1]",
        "seed = 3\ngroup = \"re:^(a)\"\ntest_groups = [\"a\"]",
    ] {
        let study = study(&root, other);
        assert!(kept(&study, &study).unwrap().is_empty(), "{other}");
    }
    // Groups that are not there at the moment stay in the record; what did not change is not
    // written again.
    let again = parts(&[("a", Part::Train), ("new", Part::Validation)]);
    split_record::write(&first, known.clone(), &again).unwrap();
    let mut all = known;
    all.extend(again.clone());
    let first = study(&root, "seed = 3\ngroup = \"re:^(a)\"");
    assert_eq!(kept(&first, &first).unwrap(), all);
    let path = root.join(split_record::FILE_NAME);
    let time = || std::fs::metadata(&path).unwrap().modified().unwrap();
    let before = time();
    split_record::write(&first, all.clone(), &again).unwrap();
    assert_eq!(time(), before);
    // A variant in another folder is split as its base.
    let variant = study(
        &place.path().join("variant"),
        "seed = 3\ngroup = \"re:^(a)\"",
    );
    assert_eq!(kept(&variant, &first).unwrap(), all);
    for damaged in ["", "{}", "{\"rule\": {}, \"groups\": {\"a\": \"exam\"}}"] {
        std::fs::write(&path, damaged).unwrap();
        let error = kept(&first, &first).unwrap_err();
        assert!(
            matches!(error, ProjectError::DamagedSplit { .. }),
            "{error}"
        );
    }
}

#[test]
fn a_study_without_a_record_keeps_the_parts_of_its_table_where_its_rule_made_them() {
    let place = tempfile::tempdir().unwrap();
    let study = study(
        &place.path().join("study"),
        "group = \"field\"\nfractions = [0.5, 0.25, 0.25]",
    );
    let path = study.root().join(fields::FILE_NAME);
    assert!(kept(&study, &study).unwrap().is_empty());
    let names: Vec<String> = (0..8).map(|i| format!("f{i}")).collect();
    let made = super::split::split_groups(&names, &study.config().split.rule()).unwrap();
    let rows = |parts: &BTreeMap<String, Part>| -> Vec<FieldRow> {
        let known = names.iter().map(|name| row(name, name, Some(parts[name])));
        // Fields that were left out say nothing.
        known.chain([row("out", "out", None)]).collect()
    };
    fields::write(&path, &rows(&made)).unwrap();
    assert_eq!(kept(&study, &study).unwrap(), made);
    // Parts that this rule does not give were given by another one.
    let mut other = made.clone();
    let train = made.iter().find(|(_, part)| **part == Part::Train).unwrap();
    other.insert(train.0.clone(), Part::Test);
    fields::write(&path, &rows(&other)).unwrap();
    assert!(kept(&study, &study).unwrap().is_empty());
    // A table that cannot be read is not taken for an empty one.
    std::fs::write(&path, "name,group\nf,g\n").unwrap();
    assert!(kept(&study, &study).is_err());
}

#[test]
fn fields_that_come_into_the_test_after_a_training_are_counted() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("fields.csv");
    let after = [
        row("trained", "g", Some(Part::Test)),
        row("chose", "g", Some(Part::Test)),
        row("tested", "g", Some(Part::Test)),
        row("new", "g", Some(Part::Test)),
        row("other way", "g", Some(Part::Train)),
    ];
    assert_eq!(
        moved_to_test(&path, &after).unwrap(),
        0,
        "there was no table"
    );
    let before = [
        row("trained", "g", Some(Part::Train)),
        row("chose", "g", Some(Part::Validation)),
        row("tested", "g", Some(Part::Test)),
        row("other way", "g", Some(Part::Test)),
    ];
    fields::write(&path, &before).unwrap();
    assert_eq!(moved_to_test(&path, &after).unwrap(), 2);
}

#[test]
fn files_of_two_models_are_never_taken_together() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let (old, new) = (b"old record".as_slice(), b"new record".as_slice());
    assert_eq!(RECORD.find(folder, &sha256(old)).unwrap(), None);
    let (key, hash) = RECORD.put(folder, old).unwrap();
    assert_eq!((&key[..], &hash), ("provenance", &sha256(old)));
    assert_eq!(RECORD.find(folder, &hash).unwrap().as_deref(), Some(old));
    // While a model is replaced, the file of each is found by its own hash.
    let info = |hash: &str| format!("[hashes]\nprovenance = \"{hash}\"\n");
    std::fs::write(folder.join("model.toml"), info(&hash)).unwrap();
    let (_, next) = RECORD.put(folder, new).unwrap();
    assert_eq!(RECORD.find(folder, &hash).unwrap().as_deref(), Some(old));
    assert_eq!(RECORD.find(folder, &next).unwrap().as_deref(), Some(new));
    assert!(folder.join("provenance.next.json").is_file());
    // A third model's hash finds neither.
    let error = RECORD.find(folder, &sha256(b"third")).unwrap_err();
    assert!(matches!(error, ProjectError::OtherModels { .. }), "{error}");
}

#[test]
fn the_channels_of_a_model_are_those_that_it_was_written_with() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let none = BTreeMap::new();
    assert_eq!(input_channels(folder, &none).unwrap(), None);
    let text = "brightfield = [\"TL, low\", \"TL\"]\nplanes = []\n";
    std::fs::write(folder.join("input.toml"), text).unwrap();
    // Earlier versions did not name it.
    let found = input_channels(folder, &none).unwrap().unwrap();
    assert_eq!(found.brightfield, ["TL, low", "TL"]);
    let named = |bytes: &[u8]| BTreeMap::from([(INPUT.key.to_owned(), sha256(bytes))]);
    assert!(
        input_channels(folder, &named(text.as_bytes()))
            .unwrap()
            .is_some()
    );
    let error = input_channels(folder, &named(b"another"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("input.toml` is not the file that the `model.toml`"),
        "{error}"
    );
    std::fs::remove_file(folder.join("input.toml")).unwrap();
    assert!(
        input_channels(folder, &named(text.as_bytes())).is_err(),
        "it is missing"
    );
    std::fs::write(folder.join("input.toml"), "brightfeild = []\nplanes = []\n").unwrap();
    let error = input_channels(folder, &none).unwrap_err().to_string();
    assert!(error.contains("did you mean `brightfield`?"), "{error}");
}

#[test]
fn neighbouring_texts_do_not_run_into_each_other() {
    let of = |texts: &[&str]| {
        let mut hash = Fingerprint::new(1);
        texts.iter().for_each(|text| hash.text(text));
        hash.finish()
    };
    assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
    assert_ne!(of(&["", "a"]), of(&["a", ""]));
    assert_ne!(of(&["a"]), Fingerprint::new(2).finish());
    assert_eq!(of(&["a", "b"]).len(), 64);
    let short = |bytes| {
        let mut hash = Fingerprint::new(1);
        hash.text("a");
        hash.finish_short(bytes)
    };
    assert_eq!(short(8), of(&["a"])[..16]);
}

#[test]
fn stamps_say_the_same_in_another_folder_and_in_any_order() {
    let place = tempfile::tempdir().unwrap();
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    let put = |name: &str, text: &str| {
        let path = place.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(time).unwrap();
        stamp_of_file(&path).unwrap()
    };
    let of = |stamps: Vec<stainfree_image::Stamp>| {
        let mut hash = Fingerprint::empty();
        hash.stamps(stamps);
        hash.finish()
    };
    let (a, b) = (put("one/a.tif", "1"), put("one/b.tif", "22"));
    let (same_a, same_b) = (put("two/a.tif", "3"), put("two/b.tif", "44"));
    let first = of(vec![a.clone(), b.clone()]);
    assert_eq!(of(vec![b.clone(), a.clone(), a.clone()]), first);
    assert_eq!(of(vec![same_a, same_b]), first);
    // Another size, name or time is another file; one less is something else.
    for other in [
        vec![a.clone()],
        vec![a.clone(), put("three/b.tif", "333")],
        vec![a.clone(), put("three/c.tif", "22")],
    ] {
        assert_ne!(of(other), first);
    }
    assert!(stamp_of_file(&place.path().join("none")).is_err());
}

#[test]
fn tables_of_predictions_are_read_whoever_saved_them() {
    let names = ["background", "nucleus", "ignored"].map(str::to_owned);
    let head = header(&names);
    assert_eq!(head[..3], ["name", "status", "message"]);
    // The share of ignored pixels is that of no class, and a class of that name is not taken for
    // it.
    assert_eq!(
        classes(&head).collect::<Vec<_>>()[..2],
        ["background", "nucleus"]
    );
    let parse = |text: &str| Table::parse(Path::new("p.csv"), text.as_bytes()).unwrap();
    let found = done(&parse(
        "name,status,model,content\na,done,m,x y\nb,failed,,\nc,Done,n,\n",
    ));
    let found = found.unwrap();
    let said: Vec<_> = found
        .iter()
        .map(|row| (&row.name[..], &row.model[..], &row.content[..]))
        .collect();
    assert_eq!(said, [("a", "m", "x y"), ("c", "n", "")]);
    // Tables of earlier versions know no content; another program's table is none.
    assert_eq!(
        done(&parse("Name;Status;Model\na;done;m\n")).unwrap()[0].content,
        ""
    );
    assert!(done(&parse("name,status\na,done\n")).is_none());
}

#[test]
fn decisions_that_have_no_effect_are_told_one_by_one_and_then_counted() {
    use human::fit::{Seen, notes};
    use human::mitosis::{Decision, Said};
    let place = tempfile::tempdir().unwrap();
    let study = study(&place.path().join("study"), "");
    let said = |field: &str, y_px: f64, decision, line| Said {
        field: field.to_owned(),
        y_px,
        x_px: 7.0,
        decision,
        image: "old".to_owned(),
        line,
    };
    let seen = [
        Seen {
            name: "f",
            image: "new",
            misfits: &[(3.0, 7.0)],
        },
        Seen {
            name: "unread",
            image: "",
            misfits: &[],
        },
    ];
    let none = BTreeMap::new();
    let of = |said: &[Said]| notes(&study, said, &none, &BTreeMap::new(), &seen);
    let yes = Some(Decision::Yes);
    let told = of(&[
        said("f", 3.0, yes, 2),
        said("f", 9.0, Some(Decision::No), 3),
    ]);
    assert_eq!(told.len(), 2);
    assert!(
        told[0].contains("line 2: field `f` has no nucleus at y 3.0, x 7.0 now"),
        "{told:?}"
    );
    assert!(
        told[1].contains("line 3: the image of field `f` is another"),
        "{told:?}"
    );
    // What was taken back, or said again later, is not in force; of an image that could not be
    // read nobody knows whether it is another.
    assert!(of(&[said("f", 3.0, yes, 2), said("f", 3.04, None, 3)]).is_empty());
    assert_eq!(
        of(&[said("f", 3.0, yes, 2), said("f", 3.0, yes, 3)]).len(),
        1
    );
    assert!(of(&[said("unread", 1.0, yes, 2)]).is_empty());
    let many: Vec<Said> = (0..8).map(|i| said("gone", f64::from(i), yes, 2)).collect();
    let told = of(&many);
    assert_eq!(told.len(), 6);
    assert!(
        told[5].ends_with("mitosis.csv`: 3 more like these"),
        "{}",
        told[5]
    );
}

#[test]
fn where_a_study_lies_is_no_choice() {
    let mut config = Config::default();
    config.images.path = "a".into();
    config.truth.masks = Some("b".into());
    let mut moved = config.clone();
    moved.images.path = "../elsewhere/a".into();
    moved.truth.masks = Some("/data/b".into());
    moved.truth.corrected = "drawn".into();
    assert_eq!(moved.without_places(), config.without_places());
    // Whether there are masks is one.
    moved.truth.masks = None;
    assert_ne!(moved.without_places(), config.without_places());
}
