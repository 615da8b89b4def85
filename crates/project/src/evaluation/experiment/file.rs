//! The experiment file: which runs there are.
//!
//! Every `[[runs]]` block is a product of its lists; a key left out takes the study's own choice.
//! Runs that several blocks ask for are made once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stainfree_network::Encoder;
use stainfree_network::loss::{LOSSES, LossTerm};

use crate::ProjectError;
use crate::study::Study;
use crate::study::config::{Scheme, from_toml};
use crate::study::names::nearest;

/// A matrix of trainings on one study.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentFile {
    /// The study whose images, truth and groups are used; relative to the file.
    pub study: PathBuf,
    /// Folder for runs and results, relative to the file; default: the file's name without
    /// extension.
    pub out: Option<PathBuf>,
    /// Optimiser steps of every run, whatever its number of images, unless its block says
    /// otherwise; default: the recipe's own length.
    pub steps: Option<u64>,
    /// Factor on all channel counts, as `train --width`.
    pub width: Option<f64>,
    /// What patience and epochs of the recipe are counted in.
    #[serde(default)]
    pub schedule: ScheduleRule,
    /// Choices of the recipe that all runs share, by their names there.
    #[serde(default)]
    pub change: toml::Table,
    /// Whether the paper's published numbers stand beside one's own.
    #[serde(default)]
    pub published: bool,
    /// Whether every run is scored a second time with the four flips of each field averaged, as
    /// `evaluate --flips`.
    #[serde(default)]
    pub flips: bool,
    /// Table of the kinds of the true nuclei, as `evaluate --kinds`; relative to the file.
    pub kinds: Option<PathBuf>,
    /// Folds of the split `cross`.
    #[serde(default = "three")]
    pub folds: usize,
    /// Named changes of the recipe, which `variant` chooses from.
    #[serde(default)]
    pub variants: BTreeMap<String, toml::Table>,
    /// The runs.
    #[serde(default)]
    pub runs: Vec<RunsBlock>,
}

fn three() -> usize {
    3
}

/// What an epoch is to the recipe's schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleRule {
    /// A fortieth of the steps for every set size, as the paper's largest set had it: small sets
    /// keep their learning rate as long as large ones.
    #[default]
    Steps,
    /// One pass over the run's images, as in the paper: with 16 images patience is over after 80
    /// steps.
    Epochs,
}

/// A product of choices.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunsBlock {
    /// Scheme A or B.
    pub scheme: Vec<Scheme>,
    /// Brightfield planes: 1, 3, or a list of z from 1.
    pub planes: Vec<Planes>,
    /// Whether mitotic nuclei are a class of their own, as `prepare --mitosis`.
    pub mitotic: Vec<bool>,
    /// Losses by name, summed with `+`, or `recipe`.
    pub loss: Vec<String>,
    /// Encoders.
    pub encoder: Vec<String>,
    /// What to start from: `auto`, `none`, the name of known weights, a weights file or a model's
    /// folder.
    pub weights: Vec<String>,
    /// Numbers of training images, or `all`; smaller sets are part of larger ones.
    pub images: Vec<Images>,
    /// How fields are split.
    pub split: Vec<SplitRule>,
    /// Optimiser steps in place of the file's.
    pub steps: Vec<u64>,
    /// Recipes.
    pub recipe: Vec<String>,
    /// Names of `[variants.NAME]`.
    pub variant: Vec<String>,
    /// Seeds of training and of the choice of images.
    pub seed: Vec<u64>,
}

/// Which brightfield planes the network reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Planes {
    /// One (the middle one) or three.
    Count(usize),
    /// These z, from 1.
    These(Vec<usize>),
}

impl fmt::Display for Planes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Planes::Count(count) => write!(f, "{count}"),
            Planes::These(z) => {
                let z: Vec<String> = z.iter().map(usize::to_string).collect();
                write!(f, "z{}", z.join("+"))
            }
        }
    }
}

/// How many training images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "ImagesText", into = "ImagesText")]
pub enum Images {
    /// So many.
    Count(usize),
    /// All there are.
    All,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum ImagesText {
    Count(usize),
    Word(String),
}

impl TryFrom<ImagesText> for Images {
    type Error = String;
    fn try_from(text: ImagesText) -> Result<Self, String> {
        match text {
            ImagesText::Count(0) => Err("`images` must be 1 or more, or \"all\"".to_owned()),
            ImagesText::Count(count) => Ok(Images::Count(count)),
            ImagesText::Word(word) if word == "all" => Ok(Images::All),
            ImagesText::Word(word) => Err(format!("`images` is `{word}`; give numbers or \"all\"")),
        }
    }
}

impl From<Images> for ImagesText {
    fn from(images: Images) -> Self {
        match images {
            Images::Count(count) => ImagesText::Count(count),
            Images::All => ImagesText::Word("all".to_owned()),
        }
    }
}

impl fmt::Display for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Images::Count(count) => write!(f, "{count}"),
            Images::All => f.write_str("all"),
        }
    }
}

/// How fields are split into training, validation and test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitRule {
    /// As the study says: groups stay together.
    Group,
    /// Field by field, as the paper did: fields of one well train and test.
    Field,
    /// Cross-validation among the groups that are not the test set, which nobody looks at.
    Cross,
}

impl fmt::Display for SplitRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SplitRule::Group => "group",
            SplitRule::Field => "field",
            SplitRule::Cross => "cross",
        })
    }
}

/// The choices of one run; `None` is the study's or the recipe's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Scheme A or B.
    pub scheme: Scheme,
    /// Planes.
    pub planes: Option<Planes>,
    /// Whether mitotic nuclei are a class of their own.
    #[serde(default)]
    pub mitotic: Option<bool>,
    /// Loss, as written.
    pub loss: Option<String>,
    /// Encoder.
    pub encoder: Option<String>,
    /// Encoder weights.
    pub weights: Option<String>,
    /// Number of training images.
    pub images: Images,
    /// Split.
    pub split: SplitRule,
    /// With the split `cross`: the fold, from 1, and how many there are.
    #[serde(default)]
    pub fold: Option<[usize; 2]>,
    /// Optimiser steps.
    #[serde(default)]
    pub steps: Option<u64>,
    /// Recipe.
    pub recipe: Option<String>,
    /// Named change of the recipe.
    #[serde(default)]
    pub variant: Option<String>,
    /// Whether it is scored with flips averaged: the same training, another prediction.
    #[serde(default)]
    pub flips: bool,
    /// Seed.
    pub seed: u64,
}

impl Choice {
    /// What a block without any list asks for.
    pub(super) fn usual() -> Self {
        Self {
            scheme: Scheme::A,
            planes: None,
            mitotic: None,
            loss: None,
            encoder: None,
            weights: None,
            images: Images::All,
            split: SplitRule::Group,
            fold: None,
            steps: None,
            recipe: None,
            variant: None,
            flips: false,
            seed: 1,
        }
    }

    /// All but seed and fold, for people: `A, planes 1, loss dice, 16 images`.
    pub fn label(&self) -> String {
        let mut parts = vec![format!("{:?}", self.scheme)];
        let mut add = |name: &str, value: &Option<String>| {
            parts.extend(value.as_ref().map(|value| format!("{name} {value}")));
        };
        add("planes", &self.planes.as_ref().map(Planes::to_string));
        add("mitotic", &self.mitotic_as());
        add("loss", &self.loss);
        add("encoder", &self.encoder);
        add("weights", &self.weights);
        add("steps", &self.steps.map(|steps| steps.to_string()));
        add("recipe", &self.recipe);
        add("variant", &self.variant);
        parts.push(format!("{} images", self.images));
        match self.split {
            SplitRule::Group => {}
            SplitRule::Field => parts.push("split by field".to_owned()),
            SplitRule::Cross => parts.push("cross-validated".to_owned()),
        }
        if self.flips {
            parts.push("flips averaged".to_owned());
        }
        parts.join(", ")
    }

    /// The same with seed and fold.
    pub fn full_label(&self) -> String {
        let fold = self.fold.map_or(String::new(), |[fold, folds]| {
            format!(", fold {fold} of {folds}")
        });
        format!("{}{fold}, seed {}", self.label(), self.seed)
    }

    /// The same as part of a file's name.
    pub(crate) fn slug(&self) -> String {
        let fold = self
            .fold
            .map_or(String::new(), |[fold, folds]| format!(" f{fold}of{folds}"));
        let text = format!("{}{fold} s{}", self.label(), self.seed);
        let mut slug = String::new();
        for c in text.chars() {
            match c {
                c if c.is_ascii_alphanumeric() || c == '.' => slug.push(c),
                _ if slug.ends_with('-') => {}
                _ => slug.push('-'),
            }
        }
        slug
    }

    /// What mitotic nuclei are to the run, where it has a say in that.
    pub(super) fn mitotic_as(&self) -> Option<String> {
        let word = |own: bool| if own { "a class" } else { "nuclei" };
        self.mitotic.map(word).map(str::to_owned)
    }

    /// The terms of the loss, where the run has one of its own.
    pub(crate) fn loss_terms(&self) -> Result<Option<Vec<LossTerm>>, String> {
        match self.loss.as_deref() {
            None | Some("recipe") => Ok(None),
            Some(text) => text
                .split('+')
                .map(|term| loss_term(term.trim()))
                .collect::<Result<_, _>>()
                .map(Some),
        }
    }
}

/// `dice`, or with a factor `0.5 dice`.
fn loss_term(text: &str) -> Result<LossTerm, String> {
    let (weight, name) = match text.split_once(' ') {
        Some((weight, name)) => (
            weight
                .parse()
                .map_err(|_| format!("`{weight}` is no factor of a loss"))?,
            name.trim(),
        ),
        None => (1.0, text),
    };
    // The paper's name for what its notebooks ran.
    let name = if name == "hybrid" { "paper" } else { name };
    if LOSSES.iter().any(|entry| entry.name == name) {
        return Ok(LossTerm::new(name, weight));
    }
    let names: Vec<&str> = LOSSES.iter().map(|entry| entry.name).collect();
    let hint = nearest(name, names.iter().copied())
        .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    Err(format!(
        "no loss is called `{name}` (losses: recipe, hybrid, {}){hint}",
        names.join(", ")
    ))
}

/// An experiment file that has been read, and where it lies.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// The file.
    pub path: PathBuf,
    /// What it says.
    pub file: ExperimentFile,
    /// Every run once, seed by seed, so that the first seed answers every question before the
    /// second begins.
    pub choices: Vec<Choice>,
}

impl Experiment {
    /// Reads an experiment file.
    ///
    /// # Errors
    /// The file cannot be read, has an unknown key, asks for no run, or for something that does not
    /// exist.
    pub fn load(path: &Path) -> Result<Self, ProjectError> {
        let text = crate::study::config::read_text(path)
            .map_err(|error| ProjectError::read(path, &error))?;
        let file: ExperimentFile = from_toml(&text, path)?;
        let wrong = |message: String| ProjectError::Config {
            path: path.to_owned(),
            line: None,
            message,
        };
        if file.runs.is_empty() {
            return Err(wrong(
                "it asks for no run; add a `[[runs]]` block".to_owned(),
            ));
        }
        if file.steps == Some(0) || file.runs.iter().any(|block| block.steps.contains(&0)) {
            return Err(wrong("`steps` is 0; it must be 1 or more".to_owned()));
        }
        if file.folds < 2 {
            return Err(wrong(format!(
                "`folds` is {}; it must be 2 or more",
                file.folds
            )));
        }
        let mut experiment = Self {
            path: path.to_owned(),
            file,
            choices: Vec::new(),
        };
        // A study that cannot be opened is reported where it is used.
        let study = Study::open(&experiment.study_path());
        let scheme = study.map_or(Scheme::A, |study| study.config().truth.scheme);
        experiment.choices = choices(&experiment.file, scheme);
        for choice in &experiment.choices {
            choice.loss_terms().map_err(wrong)?;
            if let Some(Planes::Count(count)) = choice.planes
                && count != 1
                && count != 3
            {
                return Err(wrong(format!(
                    "`planes` is {count}; a network reads 1 or 3, or give a list of z such as [2]"
                )));
            }
            if let Some(name) = &choice.variant
                && !experiment.file.variants.contains_key(name)
            {
                let known = experiment.file.variants.keys().map(String::as_str);
                let hint = nearest(name, known)
                    .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                return Err(wrong(format!(
                    "no variant is called `{name}`; add `[variants.{name}]`{hint}"
                )));
            }
            if let Some(name) = &choice.encoder
                && Encoder::parse(name).is_none()
            {
                let known: Vec<&str> = Encoder::ALL.iter().map(|encoder| encoder.name()).collect();
                return Err(wrong(format!(
                    "no encoder is called `{name}` (encoders: {})",
                    known.join(", ")
                )));
            }
        }
        Ok(experiment)
    }

    pub(super) fn beside(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    /// The study.
    pub fn study_path(&self) -> PathBuf {
        self.beside(&self.file.study)
    }

    /// The folder for results unless told otherwise.
    pub fn out(&self) -> PathBuf {
        match &self.file.out {
            Some(out) => self.beside(out),
            None => self.path.with_extension(""),
        }
    }
}

/// All runs of a file; `scheme` is the study's.
fn choices(file: &ExperimentFile, scheme: Scheme) -> Vec<Choice> {
    let blocks = file.runs.iter();
    let usual = Choice {
        scheme,
        ..Choice::usual()
    };
    let mut all: Vec<Choice> = blocks
        .flat_map(|block| expand(block, &usual))
        .flat_map(|choice| folded(choice, file.folds))
        .collect();
    // Once each, in the file's order, sorted by seed. By what they are called and not by the names
    // of their files, in which letters may be left out.
    let mut seen = BTreeSet::new();
    all.retain(|choice| seen.insert(choice.full_label()));
    all.sort_by_key(|choice| choice.seed);
    all
}

/// A cross-validated choice once for every fold.
fn folded(choice: Choice, folds: usize) -> Vec<Choice> {
    if choice.split != SplitRule::Cross {
        return vec![choice];
    }
    let of = |fold| Choice {
        fold: Some([fold, folds]),
        ..choice.clone()
    };
    (1..=folds).map(of).collect()
}

/// The product of a block's lists, one list after the other; the first varies slowest.
fn expand(block: &RunsBlock, usual: &Choice) -> Vec<Choice> {
    let mut product = vec![usual.clone()];
    vary(&mut product, &block.seed, |c, seed| c.seed = seed);
    vary(&mut product, &block.scheme, |c, scheme| c.scheme = scheme);
    vary(&mut product, &block.planes, |c, z| c.planes = Some(z));
    vary(&mut product, &block.mitotic, |c, m| c.mitotic = Some(m));
    vary(&mut product, &block.loss, |c, loss| c.loss = Some(loss));
    vary(&mut product, &block.encoder, |c, e| c.encoder = Some(e));
    vary(&mut product, &block.weights, |c, w| c.weights = Some(w));
    vary(&mut product, &block.steps, |c, s| c.steps = Some(s));
    vary(&mut product, &block.recipe, |c, r| c.recipe = Some(r));
    vary(&mut product, &block.variant, |c, v| c.variant = Some(v));
    vary(&mut product, &block.images, |c, images| c.images = images);
    vary(&mut product, &block.split, |c, split| c.split = split);
    product
}

/// Every choice once for each value; an empty list leaves them as they are.
fn vary<T: Clone>(product: &mut Vec<Choice>, values: &[T], set: impl Fn(&mut Choice, T)) {
    if values.is_empty() {
        return;
    }
    let with = |choice: &Choice, value: &T| {
        let mut choice = choice.clone();
        set(&mut choice, value.clone());
        choice
    };
    let each = product
        .iter()
        .flat_map(|choice| values.iter().map(move |value| with(choice, value)));
    *product = each.collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Experiment, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.toml");
        std::fs::write(&path, text).unwrap();
        Experiment::load(&path).map_err(|error| {
            error
                .to_string()
                .replace(&format!("{}/", folder.path().display()), "")
        })
    }

    #[test]
    fn blocks_are_products_and_every_run_is_there_once() {
        let experiment = load(
            "study = \"s\"\n\
             [[runs]]\nimages = [4, \"all\"]\nseed = [1, 2]\n\
             [[runs]]\nscheme = [\"A\", \"B\"]\n\
             [[runs]]\nplanes = [1, [3]]\nloss = [\"dice + 0.5 focal\"]",
        )
        .unwrap();
        let labels: Vec<String> = experiment.choices.iter().map(Choice::slug).collect();
        assert_eq!(
            labels,
            [
                "A-4-images-s1",
                "A-all-images-s1",
                "B-all-images-s1",
                "A-planes-1-loss-dice-0.5-focal-all-images-s1",
                "A-planes-z3-loss-dice-0.5-focal-all-images-s1",
                "A-4-images-s2",
                "A-all-images-s2",
            ]
        );
        let terms = experiment.choices[3].loss_terms().unwrap().unwrap();
        assert_eq!(
            terms,
            [LossTerm::new("dice", 1.0), LossTerm::new("focal", 0.5)]
        );
    }

    #[test]
    fn the_ready_files_are_understood() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut understood = 0;
        for folder in ["experiments", "docs/results"] {
            for entry in std::fs::read_dir(root.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_none_or(|extension| extension != "toml") {
                    continue;
                }
                // Recipes lie beside them.
                if std::fs::read_to_string(&path).unwrap().contains("[[runs]]") {
                    Experiment::load(&path).unwrap_or_else(|error| panic!("{error}"));
                    understood += 1;
                }
            }
        }
        assert!(understood >= 4, "{understood}");
    }

    #[test]
    fn cross_validated_runs_come_once_a_fold() {
        let experiment = load(
            "study = \"s\"\nfolds = 2\n[variants.a]\n[variants.b]\ncrop = 64\n\
             [[runs]]\nvariant = [\"a\", \"b\"]\nsplit = [\"cross\"]",
        )
        .unwrap();
        let labels: Vec<String> = experiment.choices.iter().map(Choice::slug).collect();
        assert_eq!(
            labels,
            [
                "A-variant-a-all-images-cross-validated-f1of2-s1",
                "A-variant-a-all-images-cross-validated-f2of2-s1",
                "A-variant-b-all-images-cross-validated-f1of2-s1",
                "A-variant-b-all-images-cross-validated-f2of2-s1",
            ]
        );
    }

    #[test]
    fn what_does_not_exist_is_named_with_the_choices() {
        let fails = |runs: &str| load(&format!("study = \"s\"\n{runs}")).unwrap_err();
        assert_eq!(
            fails(""),
            "`e.toml`: it asks for no run; add a `[[runs]]` block"
        );
        assert!(
            fails("[[runs]]\nloss = [\"dise\"]").ends_with("did you mean `dice`?"),
            "{}",
            fails("[[runs]]\nloss = [\"dise\"]")
        );
        assert!(fails("[[runs]]\nplanes = [2]").contains("`planes` is 2"));
        assert!(fails("[[runs]]\nencoder = [\"vgg\"]").contains("no encoder is called `vgg`"));
        assert!(
            fails("[variants.flat]\n[[runs]]\nvariant = [\"falt\"]")
                .ends_with("did you mean `flat`?")
        );
        assert!(fails("[[runs]]\nimages = [0]").contains("`images` must be 1 or more"));
        assert!(fails("[[runs]]\nseeds = [0]").contains("did you mean `seed`?"));
    }
}
