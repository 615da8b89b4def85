//! What a run trains on, and what its id hangs on.

use std::path::{Path, PathBuf};

use stainfree_image::{Image, write};
use stainfree_network::Machine;
use stainfree_network::recipe::{Length, Recipe};

use super::decisive::Decisive;
use super::variant::{config_of, recipe_of, study_name, study_of};
use super::{Choice, Experiment};
use crate::study::config::{Config, CytoplasmFrom, Scheme};
use crate::study::fields::FieldRow;
use crate::truth::prepare::prepare;
use crate::{Cancel, Job, Part, Silent, Study};

/// A prepared study of three fields in `PLACE/study`, with images and labels beside it.
fn study(place: &Path) -> (Study, Vec<FieldRow>) {
    let note = write::Note::default();
    for folder in ["images", "labels", "study"] {
        std::fs::create_dir_all(place.join(folder)).unwrap();
    }
    for i in 0..3u16 {
        let file = format!("f{i}.tif");
        let labels = Image::from_fn(32, 32, |y, x| {
            u32::from(y % 16 < 9 && x % 16 < 9) * (y / 16 * 2 + x / 16 + 1) as u32
        });
        let image = Image::from_fn(32, 32, |y, x| 100 * i + (y * 7 + x * 13) as u16 % 50);
        write::labels(&place.join("labels").join(&file), &labels, &note).unwrap();
        write::plane_u16(&place.join("images").join(&file), &image, &note).unwrap();
    }
    let text = "[images]\npath = \"../images\"\nbrightfield = [\"images\"]\n[truth]\nlabels = \
                \"../labels\"\nclasses = [\"background\", \"nucleus\"]\n[split]\ngroup = \
                \"field\"\nfractions = [0.4, 0.3, 0.3]\n";
    std::fs::write(place.join("study/stainfree.toml"), text).unwrap();
    opened(place)
}

fn opened(place: &Path) -> (Study, Vec<FieldRow>) {
    let study = Study::open(&place.join("study")).unwrap();
    let (cancel, machine) = (Cancel::new(), Machine::new(1));
    prepare(&study, &Job::new(&Silent, &cancel, &machine)).unwrap();
    let rows = study.fields().unwrap();
    (study, rows)
}

/// What a run is made of, to be changed.
struct Run {
    study: Study,
    rows: Vec<FieldRow>,
    recipe: Recipe,
    weights: String,
    images: Vec<String>,
    kinds: Option<PathBuf>,
}

impl Run {
    fn of(place: &Path) -> Self {
        let (study, rows) = opened(place);
        let train = rows.iter().filter(|row| row.split == Some(Part::Train));
        Self {
            images: train.map(|row| row.name.clone()).collect(),
            study,
            rows,
            recipe: Recipe::named("default").unwrap(),
            weights: "none".to_owned(),
            kinds: None,
        }
    }

    fn hash(&self) -> String {
        let decisive = Decisive {
            study: &self.study,
            rows: &self.rows,
            recipe: &self.recipe,
            weights: &self.weights,
            images: &self.images,
            kinds: self.kinds.as_deref(),
        };
        decisive.hash().unwrap()
    }
}

#[test]
fn a_run_is_the_same_wherever_its_files_lie_and_whoever_touched_them() {
    let place = tempfile::tempdir().unwrap();
    study(place.path());
    let hash = Run::of(place.path()).hash();
    assert_eq!(Run::of(place.path()).hash(), hash);
    // A comment in the study's file, and a file that was saved again as it was.
    let config = place.path().join("study/stainfree.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("# mine\n{text}")).unwrap();
    let image = place.path().join("images/f0.tif");
    let bytes = std::fs::read(&image).unwrap();
    std::fs::remove_file(&image).unwrap();
    std::fs::write(&image, bytes).unwrap();
    assert_eq!(Run::of(place.path()).hash(), hash);
    // Another folder, and images that lie elsewhere in it.
    let other = tempfile::tempdir().unwrap();
    for folder in ["labels", "study"] {
        std::fs::rename(place.path().join(folder), other.path().join(folder)).unwrap();
    }
    std::fs::create_dir(other.path().join("data")).unwrap();
    // A folder of one channel gives it its name, which is a choice.
    let data = other.path().join("data/images");
    std::fs::rename(place.path().join("images"), data).unwrap();
    let moved = text.replace("../images", "../data/images");
    std::fs::write(other.path().join("study/stainfree.toml"), moved).unwrap();
    assert_eq!(Run::of(other.path()).hash(), hash);
}

#[test]
fn whatever_decides_a_result_makes_another_run() {
    let place = tempfile::tempdir().unwrap();
    study(place.path());
    let kinds = place.path().join("kinds.csv");
    std::fs::write(&kinds, "field,label,kind\n").unwrap();
    type Change = fn(&mut Run, &Path);
    let changes: [(&str, Change); 9] = [
        ("seed", |run, _| run.recipe.seed += 1),
        ("batch", |run, _| run.recipe.batch += 1),
        ("outputs", |run, _| run.recipe.outputs.clear()),
        ("start", |run, _| run.weights = "virtual-plates".to_owned()),
        ("images", |run, _| run.images.clear()),
        ("kinds", |run, place| {
            run.kinds = Some(place.join("kinds.csv"))
        }),
        ("part", |run, _| {
            let row = run.rows.iter_mut().find(|row| row.split.is_some()).unwrap();
            row.split = match row.split {
                Some(Part::Test) => Some(Part::Validation),
                _ => Some(Part::Test),
            };
        }),
        ("a field less", |run, _| run.rows[0].split = None),
        ("a choice of the study", |run, _| {
            let mut config = run.study.config().clone();
            config.truth.mitosis.min_score = 0.7;
            run.study = run.study.with_config(config);
        }),
    ];
    let mut hashes = vec![Run::of(place.path()).hash()];
    for (what, change) in changes {
        let mut run = Run::of(place.path());
        change(&mut run, place.path());
        let hash = run.hash();
        assert!(!hashes.contains(&hash), "{what} decides nothing");
        hashes.push(hash);
    }
    // What the files hold: the kinds, the truth, an image.
    let with_kinds = || Run {
        kinds: Some(kinds.clone()),
        ..Run::of(place.path())
    };
    std::fs::write(&kinds, "field,label,kind\nf0,1,big\n").unwrap();
    let hash = with_kinds().hash();
    assert!(!hashes.contains(&hash), "the kinds decide nothing");
    hashes.push(hash);
    let run = Run::of(place.path());
    let mask = run.study.class_mask_path("f1");
    let blank = Image::filled(32, 32, 0u8);
    write::class_mask(&mask, &blank, &write::Note::default()).unwrap();
    let hash = run.hash();
    assert!(!hashes.contains(&hash), "the truth decides nothing");
    hashes.push(hash);
    let image = Image::filled(32, 32, 7u16);
    let file = place.path().join("images/f2.tif");
    write::plane_u16(&file, &image, &write::Note::default()).unwrap();
    assert!(!hashes.contains(&run.hash()), "the image decides nothing");
}

#[test]
fn what_is_gone_is_an_error_and_no_other_run() {
    let place = tempfile::tempdir().unwrap();
    study(place.path());
    let mut run = Run::of(place.path());
    run.kinds = Some(place.path().join("none.csv"));
    let hash = |run: &Run| {
        Decisive {
            study: &run.study,
            rows: &run.rows,
            recipe: &run.recipe,
            weights: &run.weights,
            images: &run.images,
            kinds: run.kinds.as_deref(),
        }
        .hash()
    };
    let error = hash(&run).unwrap_err().to_string();
    assert!(
        error.contains("none.csv` could not be read: it does not exist"),
        "{error}"
    );
    run.kinds = None;
    run.weights = place
        .path()
        .join("weights.h5")
        .to_string_lossy()
        .into_owned();
    assert!(hash(&run).unwrap_err().to_string().contains("weights.h5`"));
    run.weights = "none".to_owned();
    std::fs::remove_file(run.study.class_mask_path("f0")).unwrap();
    assert!(hash(&run).unwrap_err().to_string().contains("f0.tif`"));
}

/// A study with a cytoplasm of its own, whose folders are empty.
fn described(place: &Path, planes: &str) -> Study {
    let text = format!(
        "[images]\npath = \"../plate\"\nbrightfield = [\"TL\"]\n{planes}\n[truth]\nnucleus = \
         \"DAPI\"\ncell_masks = \"../cells\"\nclasses = [\"background\", \"nucleus\", \
         \"cytoplasm\"]\n[split]\ngroup = \"well\"\ntest_groups = [\"B02\"]\n[training]\nrecipe = \
         \"paper\"\n[training.change]\nbatch = 5\ncrop = 80\n"
    );
    for folder in ["study", "plate", "cells"] {
        std::fs::create_dir_all(place.join(folder)).unwrap();
    }
    std::fs::write(place.join("study/stainfree.toml"), text).unwrap();
    Study::open(&place.join("study")).unwrap()
}

fn config(study: &Study, choice: &Choice, folder: &Path) -> Config {
    config_of(study, choice, folder).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_choice_changes_what_it_names_and_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    let base = described(place.path(), "");
    let folder = place.path().join("out/studies/x");
    let usual = config(&base, &Choice::usual(), &folder);
    // Images and truth are those of the study, seen from where the variant lies.
    assert_eq!(usual.images.path, PathBuf::from("../../../plate"));
    assert_eq!(
        usual.truth.cell_masks,
        Some(PathBuf::from("../../../cells"))
    );
    assert_eq!(
        usual.without_places().truth,
        base.config().without_places().truth
    );
    assert_eq!(usual.split, base.config().split);
    let lines = Choice {
        scheme: Scheme::B,
        ..Choice::usual()
    };
    let truth = config(&base, &lines, &folder).truth;
    assert_eq!(truth.cytoplasm_from(), CytoplasmFrom::Nothing);
    assert_eq!(
        truth.classes,
        ["background", "nucleus", "boundary", "split"]
    );
    let mitotic = Choice {
        mitotic: Some(true),
        ..Choice::usual()
    };
    let truth = config(&base, &mitotic, &folder).truth;
    assert!(truth.mitosis.find && truth.classes.last().unwrap() == "mitotic");
    // Field by field, as the paper split: no group is the test.
    let by_field = Choice {
        split: super::file::SplitRule::Field,
        ..Choice::usual()
    };
    let split = config(&base, &by_field, &folder).split;
    assert_eq!((&split.group[..], split.test_groups.len()), ("field", 0));
    let fold = Choice {
        split: super::file::SplitRule::Cross,
        fold: Some([2, 3]),
        ..Choice::usual()
    };
    let split = config(&base, &fold, &folder).split;
    assert_eq!((split.fold, split.test_groups.len()), (Some([2, 3]), 1));
    // Choices that differ in what they train on have studies of their own; others share one.
    let names = [&Choice::usual(), &lines, &mitotic, &by_field, &fold].map(study_name);
    let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "{names:?}");
    let other_loss = Choice {
        loss: Some("dice".to_owned()),
        seed: 9,
        ..Choice::usual()
    };
    assert_eq!(study_name(&other_loss), names[0]);
}

#[test]
fn a_variant_is_written_once_and_refused_where_the_sources_cannot_give_it() {
    let place = tempfile::tempdir().unwrap();
    let base = described(place.path(), "");
    let folder = place.path().join("out/x");
    let made = study_of(&base, &Choice::usual(), &folder).unwrap();
    let path = made.config_path();
    let time = || std::fs::metadata(&path).unwrap().modified().unwrap();
    let before = time();
    study_of(&base, &Choice::usual(), &folder).unwrap();
    assert_eq!(time(), before, "another machine may be reading it");
    let labels = "[images]\npath = \"p\"\nbrightfield = [\"b\"]\n[truth]\nlabels = \"l\"\nclasses \
                  = [\"background\", \"nucleus\"]\n";
    std::fs::write(base.config_path(), labels).unwrap();
    let base = Study::open(base.root()).unwrap();
    let mitotic = Choice {
        mitotic: Some(true),
        ..Choice::usual()
    };
    let error = study_of(&base, &mitotic, &place.path().join("y"));
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("mitotic nuclei are found in a nuclear stain"),
        "{error}"
    );
    assert!(!place.path().join("y").exists());
}

#[test]
fn the_nearest_word_on_the_recipe_counts() {
    let place = tempfile::tempdir().unwrap();
    let base = described(place.path(), "");
    let path = place.path().join("e.toml");
    let text = "study = \"study\"\nsteps = 400\nwidth = 0.25\n[change]\ncrop = 96\n[variants.v]\n\
                batch = 7\n[[runs]]\nseed = [3]\n[[runs]]\nvariant = [\"v\"]\n[[runs]]\nloss = \
                [\"dice\"]\nsteps = [50]\n[[runs]]\nrecipe = [\"default\"]\n";
    std::fs::write(&path, text).unwrap();
    let experiment = Experiment::load(&path).unwrap();
    let recipes: Vec<Recipe> = experiment
        .choices
        .iter()
        .map(|choice| recipe_of(&base, &experiment, choice).unwrap())
        .collect();
    let of = |label: &str| {
        let at = experiment
            .choices
            .iter()
            .position(|choice| choice.full_label().contains(label));
        &recipes[at.unwrap_or_else(|| panic!("{label}"))]
    };
    // The study's change of the crop gives way to the file's, its batch to the variant's.
    let usual = of("seed 3");
    assert_eq!((usual.crop, usual.batch, usual.seed), (96, 5, 3));
    assert_eq!((usual.width, &usual.name[..]), (0.25, "paper"));
    assert_eq!(usual.length, Length::Steps(400));
    assert_eq!(usual.epoch_steps, Some(10), "a fortieth");
    assert_eq!((of("variant v").batch, of("variant v").crop), (7, 96));
    let dice = of("loss dice");
    assert_eq!((dice.loss.len(), &dice.length), (1, &Length::Steps(50)));
    assert_eq!(dice.epoch_steps, Some(1), "no epoch is shorter than a step");
    assert_eq!(of("recipe default").name, "default");
    // Without a number of steps, the recipe's own for the paper's largest set; by epochs none.
    let load = |lines: &str| {
        std::fs::write(&path, format!("study = \"study\"\n{lines}[[runs]]\n")).unwrap();
        let experiment = Experiment::load(&path).unwrap();
        recipe_of(&base, &experiment, &experiment.choices[0]).unwrap()
    };
    let plain = load("");
    assert!(matches!(plain.length, Length::Steps(_)));
    let epochs = load("schedule = \"epochs\"\nsteps = 30\n");
    assert_eq!(epochs.length, Length::Crops(30 * 5));
    assert_eq!(
        epochs.epoch_steps,
        Recipe::named("paper").unwrap().epoch_steps
    );
    // A key that no recipe knows names the place in the file.
    std::fs::write(&path, "study = \"study\"\n[change]\nbacth = 3\n[[runs]]\n").unwrap();
    let experiment = Experiment::load(&path).unwrap();
    let error = recipe_of(&base, &experiment, &experiment.choices[0]).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("e.toml`: `change`: unknown key `bacth`"),
        "{error}"
    );
}
