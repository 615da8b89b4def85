//! Experiment files: which runs they ask for, once each, and what is said of those that cannot be.

use std::collections::BTreeSet;

use stainfree_project::ProjectError;
use stainfree_project::evaluation::experiment::file::{Images, Planes, SplitRule};
use stainfree_project::evaluation::experiment::{Choice, Experiment};
use stainfree_project::study::config::Scheme;

use crate::common::{Place, has, said};

fn load(place: &Place, text: &str) -> Result<Experiment, ProjectError> {
    let path = place.write("plans/e.toml", format!("study = \"../study\"\n{text}"));
    Experiment::load(&path)
}

fn labels(experiment: &Experiment) -> Vec<String> {
    experiment.choices.iter().map(Choice::full_label).collect()
}

#[test]
fn every_list_of_a_block_multiplies_its_runs() {
    let place = Place::new();
    let experiment = load(
        &place,
        "[[runs]]\nscheme = [\"A\", \"B\"]\nplanes = [1, 3, [1, 2, 3]]\nmitotic = [true, \
         false]\nimages = [2, \"all\"]\nsplit = [\"group\", \"field\"]\nseed = [1, 2, 3]\n",
    )
    .unwrap();
    assert_eq!(experiment.choices.len(), 2 * 3 * 2 * 2 * 2 * 3);
    let distinct: BTreeSet<String> = labels(&experiment).into_iter().collect();
    assert_eq!(distinct.len(), experiment.choices.len());
    // The first seed answers every question before the second begins.
    let seeds: Vec<u64> = experiment
        .choices
        .iter()
        .map(|choice| choice.seed)
        .collect();
    assert!(seeds.is_sorted(), "{seeds:?}");
    let first = &experiment.choices[0];
    assert_eq!((first.scheme, first.images), (Scheme::A, Images::Count(2)));
    assert_eq!(
        (first.planes.clone(), first.split),
        (Some(Planes::Count(1)), SplitRule::Group)
    );
}

#[test]
fn what_is_left_out_is_the_studys_own_and_said_so() {
    let place = Place::new();
    let experiment = load(&place, "[[runs]]\n").unwrap();
    let [choice] = &experiment.choices[..] else {
        panic!("{:?}", experiment.choices);
    };
    assert_eq!(
        (choice.scheme, choice.images, choice.seed),
        (Scheme::A, Images::All, 1)
    );
    assert_eq!(choice.full_label(), "A, all images, seed 1");
    let file = &experiment.file;
    assert_eq!((file.folds, file.steps, file.flips), (3, None, false));
    // The study of scheme B is trained on as it is.
    place.write(
        "study/stainfree.toml",
        "[images]\npath = \"p\"\nbrightfield = [\"b\"]\n[truth]\nlabels = \"l\"\nscheme = \
         \"B\"\nclasses = [\"background\", \"nucleus\", \"boundary\", \"split\"]\n",
    );
    let experiment = load(&place, "[[runs]]\n").unwrap();
    assert_eq!(labels(&experiment), ["B, all images, seed 1"]);
}

#[test]
fn results_lie_beside_the_file_under_its_name_or_where_it_says() {
    let place = Place::new();
    let experiment = load(&place, "[[runs]]\n").unwrap();
    assert_eq!(experiment.out(), place.path("plans/e"));
    assert_eq!(experiment.study_path(), place.path("plans/../study"));
    let experiment = load(&place, "out = \"../results\"\n[[runs]]\n").unwrap();
    assert_eq!(experiment.out(), place.path("plans/../results"));
}

#[test]
fn runs_that_blocks_share_are_made_once_and_no_other_is_lost() {
    let place = Place::new();
    let experiment = load(
        &place,
        "[[runs]]\nimages = [4, 4]\n[[runs]]\nimages = [4]\nseed = [1]\n[[runs]]\nimages = \
         [8]\n",
    )
    .unwrap();
    assert_eq!(
        labels(&experiment),
        ["A, 4 images, seed 1", "A, 8 images, seed 1"]
    );
    // Names that differ in letters that no file's name takes are different all the same.
    let experiment = load(
        &place,
        "[variants.\"α\"]\nbatch = 2\n[variants.\"β\"]\nbatch = 3\n[variants.a_b]\nbatch = \
         4\n[variants.a-b]\nbatch = 5\n[[runs]]\nvariant = [\"α\", \"β\", \"a_b\", \
         \"a-b\"]\n[[runs]]\nweights = [\"../m/x_1\", \"../m/x 1\"]\n",
    )
    .unwrap();
    assert_eq!(experiment.choices.len(), 6, "{:?}", labels(&experiment));
}

#[test]
fn folds_come_for_cross_validated_runs_alone() {
    let place = Place::new();
    let experiment = load(
        &place,
        "folds = 4\n[[runs]]\nsplit = [\"cross\", \"group\"]\nseed = [7]\n",
    )
    .unwrap();
    let folds: Vec<_> = experiment
        .choices
        .iter()
        .map(|choice| choice.fold)
        .collect();
    let expected = [Some([1, 4]), Some([2, 4]), Some([3, 4]), Some([4, 4]), None];
    assert_eq!(folds, expected);
    assert_eq!(
        labels(&experiment)[1],
        "A, all images, cross-validated, fold 2 of 4, seed 7"
    );
    // Folds of one condition are one line of the tables.
    let lines: BTreeSet<String> = experiment.choices.iter().map(Choice::label).collect();
    assert_eq!(lines.len(), 2);
}

#[test]
fn what_a_file_cannot_ask_for_is_named() {
    let place = Place::new();
    for (text, parts) in [
        ("", &["it asks for no run; add a `[[runs]]` block"][..]),
        (
            "steps = 0\n[[runs]]\n",
            &["`steps` is 0; it must be 1 or more"],
        ),
        ("[[runs]]\nsteps = [5, 0]\n", &["`steps` is 0"]),
        (
            "folds = 1\n[[runs]]\n",
            &["`folds` is 1; it must be 2 or more"],
        ),
        (
            "[[runs]]\nplanes = [0]\n",
            &["`planes` is 0; a network reads 1 or 3"],
        ),
        (
            "[[runs]]\nimages = [\"most\"]\n",
            &["`images` is `most`; give numbers or \"all\""],
        ),
        ("[[runs]]\nimages = [-1]\n", &["e.toml`, line 3: "]),
        (
            "[[runs]]\nscheme = [\"C\"]\n",
            &["unknown value `C`", "`A`, `B`"],
        ),
        (
            "[[runs]]\nsplit = [\"wells\"]\n",
            &["`group`, `field`, `cross`"],
        ),
        (
            "[[runs]]\nloss = [\"0.5 dice + x focal\"]\n",
            &["`x` is no factor of a loss"],
        ),
        (
            "[[runs]]\nloss = [\"dice+\"]\n",
            &["no loss is called ``", "hybrid"],
        ),
        (
            "[[runs]]\nvariant = [\"wide\"]\n",
            &["no variant is called `wide`", "`[variants.wide]`"],
        ),
        (
            "[[runs]]\nencoder = [\"resnet\"]\n",
            &["no encoder is called `resnet` (encoders: "],
        ),
        ("[[run]]\n", &["unknown key `run`; did you mean `runs`?"]),
        (
            "schedule = \"crops\"\n[[runs]]\n",
            &["unknown value `crops`", "`steps`, `epochs`"],
        ),
    ] {
        let sentence = said(load(&place, text));
        has(&sentence, &["e.toml`"]);
        has(&sentence, parts);
    }
    has(
        &said(Experiment::load(&place.path("none.toml"))),
        &["none.toml`", "does not exist"],
    );
}

#[test]
fn losses_are_sums_of_terms_with_factors() {
    let place = Place::new();
    for loss in [
        "dice",
        "dice + focal",
        "0.25 dice + 2 focal",
        "hybrid",
        "recipe",
    ] {
        let experiment = load(&place, &format!("[[runs]]\nloss = [\"{loss}\"]\n")).unwrap();
        let label = experiment.choices[0].label();
        assert_eq!(label, format!("A, loss {loss}, all images"));
    }
}

#[test]
fn choices_survive_the_files_in_which_results_are_kept() {
    let place = Place::new();
    let experiment = load(
        &place,
        "[variants.v]\nbatch = 2\n[[runs]]\nscheme = [\"B\"]\nplanes = [[1, 3, 5]]\nmitotic = \
         [false]\nloss = [\"dice\"]\nencoder = [\"vgg16\"]\nweights = [\"none\"]\nimages = [16, \
         \"all\"]\nsplit = [\"cross\"]\nsteps = [10]\nrecipe = [\"paper\"]\nvariant = \
         [\"v\"]\nseed = [18446744073709551]\n",
    )
    .unwrap();
    assert_eq!(experiment.choices.len(), 2 * 3);
    for choice in &experiment.choices {
        let text = serde_json::to_string(choice).unwrap();
        let again: Choice = serde_json::from_str(&text).unwrap();
        assert_eq!(again, *choice, "{text}");
    }
    // Results of earlier versions say less.
    let older: Choice = serde_json::from_str(
        "{\"scheme\": \"A\", \"planes\": 1, \"loss\": null, \"encoder\": null, \"weights\": \
         null, \"images\": \"all\", \"split\": \"group\", \"recipe\": null, \"seed\": 3}",
    )
    .unwrap();
    assert_eq!(older.full_label(), "A, planes 1, all images, seed 3");
    assert_eq!((older.fold, older.flips), (None, false));
}
