//! Recipes by name and by file, and what a study changes in them.

use std::path::Path;

use stainfree_network::recipe::Recipe;
use stainfree_project::ProjectError;
use stainfree_project::study::config::TrainingConfig;
use stainfree_project::study::recipe::{CHANGE, listing, load};

use crate::common::{Place, has, said};

fn training(recipe: &str, change: &str) -> TrainingConfig {
    TrainingConfig {
        recipe: recipe.to_owned(),
        change: toml::from_str(change).unwrap(),
        ..TrainingConfig::default()
    }
}

fn loaded(root: &Path, recipe: &str, change: &str) -> Result<Recipe, ProjectError> {
    let config = Path::new("study/stainfree.toml");
    load(root, &training(recipe, change), config, CHANGE)
}

#[test]
fn every_named_recipe_is_what_its_listing_says() {
    for name in Recipe::NAMES {
        let recipe = loaded(Path::new("."), name, "").unwrap();
        assert_eq!(Some(&recipe), Recipe::named(name).as_ref());
        let lines = listing(name).unwrap();
        let again = loaded(Path::new("."), name, &lines).unwrap();
        assert_eq!(again, recipe, "{name}:\n{lines}");
    }
    // A file has no listing: the file is the place to change it.
    assert_eq!(listing("my-recipe.toml").unwrap(), "");
}

#[test]
fn a_recipe_file_lies_beside_the_study_and_is_changed_like_a_named_one() {
    let place = Place::new();
    let mut own = Recipe::named("paper").unwrap();
    own.batch = 5;
    place.write("recipes/own.toml", toml::to_string(&own).unwrap());
    let study = place.path("study");
    std::fs::create_dir_all(&study).unwrap();
    let found = loaded(&study, "../recipes/own.toml", "").unwrap();
    assert_eq!(found, own);
    let changed = loaded(&study, "../recipes/own.toml", "crop = 96").unwrap();
    assert_eq!((changed.batch, changed.crop), (5, 96));
    // Saved in an old editor it is the same.
    let text = place.text("recipes/own.toml").replace('\n', "\r");
    place.write("recipes/old.toml", text);
    assert_eq!(loaded(&study, "../recipes/old.toml", "").unwrap(), own);
    place.write("recipes/wrong.toml", "name = \"x\"\nbatchsize = 3\n");
    let sentence = said(loaded(&study, "../recipes/wrong.toml", ""));
    has(&sentence, &["wrong.toml`, line 2: unknown key `batchsize`"]);
}

#[test]
fn what_no_recipe_knows_is_named_with_file_key_and_neighbour() {
    let root = Path::new(".");
    has(
        &said(loaded(root, "papr", "")),
        &[
            "no recipe is called `papr`",
            "`default`, `paper`",
            "did you mean `paper`?",
        ],
    );
    for (change, parts) in [
        (
            "bacth = 3",
            &["unknown key `bacth`; did you mean `batch`?"][..],
        ),
        ("encoder = \"vgg\"", &["`vgg`", "vgg16"]),
        ("batch = \"many\"", &["invalid type"]),
        ("crop = -64", &["invalid value"]),
    ] {
        let sentence = said(loaded(root, "default", change));
        has(&sentence, &["`study/stainfree.toml`: `training.change`: "]);
        has(&sentence, parts);
    }
}

#[test]
fn a_change_leaves_all_else_as_it_was() {
    let usual = Recipe::named("default").unwrap();
    for (change, check) in [
        ("seed = 9", (|r: &mut Recipe| r.seed = 9) as fn(&mut Recipe)),
        ("batch = 3", |r| r.batch = 3),
        ("crop = 128", |r| r.crop = 128),
        ("rescale = false", |r| r.rescale = false),
        ("outputs = []", |r| r.outputs.clear()),
        ("width = 0.25", |r| r.width = 0.25),
    ] {
        let mut expected = usual.clone();
        check(&mut expected);
        assert_ne!(expected, usual, "{change} changes something");
        assert_eq!(loaded(Path::new("."), "default", change).unwrap(), expected);
    }
}
