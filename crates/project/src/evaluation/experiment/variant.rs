//! What a run's choices change: the study it trains on, its recipe, its images.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use stainfree_network::recipe::{Length, Recipe};

use super::file::{Choice, Experiment, Images, Planes, ScheduleRule, SplitRule};
use crate::study::config::{Config, Scheme};
use crate::study::fields::FieldRow;
use crate::study::recipe;
use crate::study::template;
use crate::study::{Study, relative_to};
use crate::training::train::narrowed;
use crate::{Part, ProjectError};

/// Epochs the paper's largest set trained for: what its schedule was made for.
const PAPER_EPOCHS: u64 = 40;

/// Name of the study that a choice trains on: choices that share it share truth and split.
pub(super) fn study_name(choice: &Choice) -> String {
    let planes = choice
        .planes
        .as_ref()
        .map_or(String::new(), |planes| format!("-planes-{planes}"));
    let mitotic = match choice.mitotic {
        None => "",
        Some(true) => "-mitotic",
        Some(false) => "-not-mitotic",
    };
    let fold = choice
        .fold
        .map_or(String::new(), |[fold, folds]| format!("-{fold}-of-{folds}"));
    format!(
        "{:?}{planes}{mitotic}-by-{}{fold}",
        choice.scheme, choice.split
    )
}

/// The study of a choice, as a variant of `base` that lies in `folder`; images and truth stay where
/// they are.
///
/// # Errors
/// The images cannot be opened, or lack the planes that are asked for.
pub(super) fn config_of(
    base: &Study,
    choice: &Choice,
    folder: &Path,
) -> Result<Config, ProjectError> {
    let mut config = base.config().clone();
    if config.truth.scheme != choice.scheme {
        config.truth.scheme = choice.scheme;
        if choice.scheme == Scheme::B {
            // Cytoplasm joins the background, as in the paper.
            config.truth.cytoplasm = None;
            config.truth.cell_masks = None;
            config.truth.cell_labels = None;
        }
        config.truth.classes = config.truth.usual_classes();
    }
    if let Some(mitotic) = choice.mitotic.filter(|m| *m != config.truth.mitosis.find) {
        config.truth.mitosis.find = mitotic;
        config.truth.classes = config.truth.usual_classes();
    }
    if let Some(planes) = &choice.planes {
        choose_planes(base, &mut config, planes)?;
    }
    if choice.split == SplitRule::Field {
        config.split.group = "field".to_owned();
        config.split.test_groups.clear();
    }
    // Without a choice of its own a run is scored as the study is, be that on a fold of it.
    if choice.split != SplitRule::Group {
        config.split.fold = choice.fold;
    }
    config.truth.corrected = crate::study::human::corrected::place_in_use(base);
    for place in config.places_mut() {
        let target = absolute(&base.resolve(place))?;
        *place = relative_to(&target, &absolute(folder)?);
    }
    // Runs bring their own recipe; the study's is not read again.
    config.training = crate::study::config::TrainingConfig::default();
    Ok(config)
}

/// # Errors
/// The working directory is gone.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, ProjectError> {
    path.canonicalize()
        .or_else(|_| std::path::absolute(path))
        .map_err(|error| ProjectError::read(path, &error))
}

fn choose_planes(base: &Study, config: &mut Config, planes: &Planes) -> Result<(), ProjectError> {
    let source = base.source()?;
    let Some(first) = source.dataset.fields.first() else {
        return Ok(());
    };
    let found = source.brightfield.planes_of(first)?.len();
    let images = &mut config.images;
    match planes {
        Planes::These(z) => {
            images.planes.clone_from(z);
        }
        Planes::Count(count) if *count == found => {}
        Planes::Count(1) if images.brightfield.len() == 3 => {
            images.brightfield = vec![images.brightfield.swap_remove(1)];
        }
        Planes::Count(1) => {
            images.planes = vec![images.planes.get(1).copied().unwrap_or(2)];
        }
        Planes::Count(count) => {
            return Err(ProjectError::Failed(format!(
                "the study `{}` has {found} brightfield plane{} and a run asks for {count}; set \
                 `planes` to what there is",
                base.root().display(),
                if found == 1 { "" } else { "s" }
            )));
        }
    }
    Ok(())
}

/// Makes or renews the study of a choice in `folder` and opens it; it may have to be prepared.
///
/// # Errors
/// As [`config_of`], or the file cannot be written.
pub(super) fn study_of(
    base: &Study,
    choice: &Choice,
    folder: &Path,
) -> Result<Study, ProjectError> {
    let config = config_of(base, choice, folder)?;
    let text = template::render(&config, "");
    let path = folder.join(crate::study::config::FILE_NAME);
    // A class that these sources cannot give is refused here, before anything is written.
    crate::study::config::parse(&text, &path)?;
    std::fs::create_dir_all(folder).map_err(|error| ProjectError::write(folder, &error))?;
    // Untouched where nothing changed, so that another machine does not read it half way.
    if std::fs::read_to_string(&path).ok().as_deref() != Some(text.as_str()) {
        stainfree_image::write_atomic(&path, text.as_bytes())?;
    }
    Study::open(folder)
}

/// The recipe of a choice.
///
/// # Errors
/// A recipe or loss that does not exist, or a change that no recipe knows.
pub(super) fn recipe_of(
    base: &Study,
    experiment: &Experiment,
    choice: &Choice,
) -> Result<Recipe, ProjectError> {
    let wrong = |message: String| ProjectError::Config {
        path: experiment.path.clone(),
        line: None,
        message,
    };
    let mut training = base.config().training.clone();
    if let Some(name) = &choice.recipe {
        training.recipe.clone_from(name);
        if Recipe::named(name).is_none() {
            let file = experiment.beside(Path::new(name));
            training.recipe = absolute(&file)?.to_string_lossy().into_owned();
        }
    }
    let file = &experiment.file;
    for (key, value) in &file.change {
        training.change.insert(key.clone(), value.clone());
    }
    let variant = choice
        .variant
        .as_ref()
        .and_then(|name| file.variants.get(name));
    training
        .change
        .extend(variant.cloned().into_iter().flatten());
    if let Some(encoder) = &choice.encoder {
        let encoder = ("encoder".to_owned(), encoder.clone().into());
        training.change.extend([encoder]);
    }
    let key = match &choice.variant {
        Some(name) => format!("variants.{name}"),
        None => "change".to_owned(),
    };
    let mut recipe = recipe::load(base.root(), &training, &experiment.path, &key)?;
    let truth = &base.config().truth;
    recipe::fit_outputs(&mut recipe, &training, truth, choice.scheme);
    if let Some(width) = file.width {
        recipe = narrowed(recipe, width);
    }
    if let Some(terms) = choice.loss_terms().map_err(wrong)? {
        recipe.loss = terms;
    }
    recipe.seed = choice.seed;
    match (file.schedule, choice.steps.or(file.steps)) {
        (ScheduleRule::Steps, steps) => {
            // Without a number, the length that the recipe has for the paper's largest set.
            let steps = steps.unwrap_or_else(|| recipe.steps(LARGEST_SET));
            recipe.length = Length::Steps(steps);
            recipe.epoch_steps = Some((steps / PAPER_EPOCHS).max(1));
        }
        (ScheduleRule::Epochs, Some(steps)) => {
            recipe.length = Length::Crops(steps * recipe.batch as u64);
        }
        (ScheduleRule::Epochs, None) => {}
    }
    Ok(recipe)
}

/// Images of the paper's largest set.
const LARGEST_SET: usize = 1500;

/// The training images of a choice: a seeded order of all, cut off, so that smaller sets are part
/// of larger ones.
///
/// # Errors
/// There are fewer than the run asks for.
pub(super) fn images_of(choice: &Choice, rows: &[FieldRow]) -> Result<Vec<String>, ProjectError> {
    let mut names: Vec<&str> = rows
        .iter()
        .filter(|row| row.split == Some(Part::Train))
        .map(|row| row.name.as_str())
        .collect();
    let key = |name: &&str| {
        let mut hash = Sha256::new();
        hash.update(choice.seed.to_le_bytes());
        hash.update(name.as_bytes());
        hash.finalize()
    };
    names.sort_by_key(key);
    if let Images::Count(count) = choice.images {
        if names.len() < count {
            return Err(ProjectError::Failed(format!(
                "the run asks for {count} training images and the split leaves {}; ask for fewer, \
                 or for \"all\"",
                names.len()
            )));
        }
        names.truncate(count);
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(images: Images, seed: u64) -> Choice {
        Choice {
            images,
            seed,
            ..Choice::usual()
        }
    }

    #[test]
    fn smaller_sets_are_part_of_larger_ones_and_seeds_differ() {
        let rows: Vec<FieldRow> = (0..20)
            .map(|i| FieldRow {
                split: Some(if i % 4 == 0 { Part::Test } else { Part::Train }),
                ..FieldRow::left_out(&format!("f{i}"), "g", String::new())
            })
            .collect();
        let images = |images, seed| images_of(&choice(images, seed), &rows);
        let all = images(Images::All, 1).unwrap();
        assert_eq!(all.len(), 15);
        for count in 1..=15 {
            assert_eq!(images(Images::Count(count), 1).unwrap(), all[..count]);
        }
        assert_ne!(images(Images::All, 2).unwrap(), all);
        assert!(images(Images::Count(16), 1).is_err());
    }
}
