//! The recipe of a training: a named one or a file, with what the study changes in it.

use std::path::Path;

use stainfree_network::Encoder;
use stainfree_network::recipe::Recipe;

use crate::ProjectError;
use crate::study::config::{Scheme, TrainingConfig, TruthConfig, explain, from_toml, toml_value};
use crate::study::names::nearest;

/// The table of a study's file that changes its recipe.
pub const CHANGE: &str = "training.change";

/// The recipe that `training` asks for; a recipe file lies relative to `root`. `config` is the file
/// whose `key` errors about the changes name.
///
/// # Errors
/// An unknown name, a file that cannot be read, or a change that no recipe knows.
pub fn load(
    root: &Path,
    training: &TrainingConfig,
    config: &Path,
    key: &str,
) -> Result<Recipe, ProjectError> {
    let base = match Recipe::named(&training.recipe) {
        Some(recipe) => recipe,
        None => from_file(root, &training.recipe)?,
    };
    if training.change.is_empty() {
        return Ok(base);
    }
    let encoder = training.change.get("encoder").and_then(toml::Value::as_str);
    let base = match encoder.and_then(Encoder::parse) {
        Some(encoder) => base.on(encoder),
        None => base,
    };
    let fail = |message: String| ProjectError::Config {
        path: config.to_owned(),
        line: None,
        message,
    };
    let mut table = toml::Table::try_from(&base).map_err(|error| fail(error.to_string()))?;
    merge(&mut table, &training.change);
    table
        .try_into()
        .map_err(|error: toml::de::Error| fail(format!("`{key}`: {}", explain(error.message()))))
}

/// Takes the default's outputs out of `recipe` where they would learn nothing that helps: masks
/// hold touching nuclei as one, and lines of scheme B part nuclei by themselves. What `training`
/// asks for by name stays.
pub(crate) fn fit_outputs(
    recipe: &mut Recipe,
    training: &TrainingConfig,
    truth: &TruthConfig,
    scheme: Scheme,
) {
    let is_asked = training.change.contains_key("outputs");
    let is_named = Recipe::named(&training.recipe).is_some();
    if is_named && !is_asked && (truth.masks.is_some() || scheme == Scheme::B) {
        recipe.outputs.clear();
    }
}

fn from_file(root: &Path, name: &str) -> Result<Recipe, ProjectError> {
    let path = root.join(name);
    if !path.is_file() {
        let names = Recipe::NAMES.map(|name| format!("`{name}`")).join(", ");
        let hint = nearest(name, Recipe::NAMES)
            .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        return Err(ProjectError::Start(format!(
            "no recipe is called `{name}` and no such file exists (recipes: {names}){hint}"
        )));
    }
    let text = crate::study::config::read_text(&path)
        .map_err(|error| ProjectError::read(&path, &error))?;
    from_toml(&text, &path)
}

/// The choices of a recipe as `name = value` lines, for showing them; nothing for a recipe file.
///
/// # Errors
/// A recipe that cannot be written down.
pub fn listing(name: &str) -> Result<String, ProjectError> {
    let Some(recipe) = Recipe::named(name) else {
        return Ok(String::new());
    };
    let table = toml::Table::try_from(&recipe).map_err(|error| {
        ProjectError::Failed(format!(
            "the recipe `{name}` cannot be written down: {error}"
        ))
    })?;
    let lines: Vec<String> = table
        .iter()
        .filter(|(key, _)| *key != "name")
        .map(|(key, value)| format!("{key} = {}", toml_value(value)))
        .collect();
    Ok(lines.join("\n"))
}

/// Puts `change` over `base`. Tables are merged key by key, but one of another `kind` is replaced.
fn merge(base: &mut toml::Table, change: &toml::Table) {
    for (key, value) in change {
        match (base.get_mut(key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new))
                if new
                    .get("kind")
                    .is_none_or(|kind| old.get("kind") == Some(kind))
                    && key != "length"
                    && key != "batch_norm" =>
            {
                merge(old, new);
            }
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_learned_where_the_truth_tells_nuclei_apart() {
        let outputs = |change: &str, masks: bool, scheme| {
            let training = TrainingConfig {
                change: toml::from_str(change).unwrap(),
                ..TrainingConfig::default()
            };
            let truth = TruthConfig {
                masks: masks.then(|| "masks".into()),
                ..TruthConfig::default()
            };
            let mut recipe = changed(change).unwrap();
            fit_outputs(&mut recipe, &training, &truth, scheme);
            recipe.outputs
        };
        let usual = ["distance", "neighbour", "flow"];
        assert_eq!(outputs("", false, Scheme::A), usual);
        assert!(outputs("", true, Scheme::A).is_empty());
        assert!(outputs("", false, Scheme::B).is_empty());
        let asked = "outputs = [\"distance\"]";
        assert_eq!(outputs(asked, true, Scheme::B), ["distance"]);
    }

    fn changed(text: &str) -> Result<Recipe, ProjectError> {
        let training = TrainingConfig {
            change: toml::from_str(text).unwrap(),
            ..TrainingConfig::default()
        };
        load(
            Path::new("."),
            &training,
            Path::new("s/stainfree.toml"),
            CHANGE,
        )
    }

    #[test]
    fn one_number_of_a_table_can_be_changed() {
        let recipe = changed("batch = 2\nadam = { lr = 0.5 }\nlength = { epochs = 3 }").unwrap();
        let base = Recipe::standard();
        assert_eq!(
            (recipe.batch, recipe.adam.lr, recipe.adam.beta2),
            (2, 0.5, base.adam.beta2)
        );
        assert_eq!(recipe.length, stainfree_network::recipe::Length::Epochs(3));
        assert_eq!(
            changed("normalisation = { kind = \"paper\" }")
                .unwrap()
                .normalisation,
            Recipe::paper().normalisation
        );
    }

    #[test]
    fn efficientnet_b4_brings_the_papers_crops_and_batches() {
        let crops = |text: &str| {
            let recipe = changed(text).unwrap();
            (recipe.crop, recipe.batch)
        };
        assert_eq!(crops("encoder = \"efficientnet-b4\""), (320, 8));
        assert_eq!(crops("encoder = \"efficientnet-b4\"\nbatch = 2"), (320, 2));
        let base = Recipe::standard();
        assert_eq!(crops("encoder = \"mobilenet-v2\""), (base.crop, base.batch));
        let paper = Recipe::paper().on(Encoder::EfficientnetB4);
        // floor(60000 / 1500) epochs of 187 whole batches.
        assert_eq!((paper.crop, paper.batch, paper.steps(1500)), (320, 8, 7480));
    }

    #[test]
    fn a_misspelt_choice_is_named_with_its_neighbour() {
        let text = changed("bacth = 2").unwrap_err().to_string();
        assert!(
            text.starts_with(
                "`s/stainfree.toml`: `training.change`: unknown key `bacth`; did you mean `batch`?"
            ),
            "{text}"
        );
        let training = TrainingConfig {
            recipe: "papr".to_owned(),
            ..TrainingConfig::default()
        };
        assert_eq!(
            load(Path::new("."), &training, Path::new("c"), CHANGE)
                .unwrap_err()
                .to_string(),
            "no recipe is called `papr` and no such file exists (recipes: `default`, `paper`); did \
             you mean `paper`?"
        );
    }

    #[test]
    fn the_listing_reads_back_as_the_recipe() {
        for name in Recipe::NAMES {
            let text = format!("name = \"{name}\"\n{}", listing(name).unwrap());
            assert_eq!(
                toml::from_str::<Recipe>(&text).unwrap(),
                Recipe::named(name).unwrap()
            );
        }
    }
}
