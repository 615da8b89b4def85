//! `stainfree.toml`: every choice of a study.
//!
//! Here: the choices; `read` reads them with errors that name file, line and nearest key, `check`
//! checks that they fit together. How the file is written out with its comments is in
//! [`template`](crate::study::template).

mod check;
mod read;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stainfree_image::OpenOptions;
use stainfree_inference::MITOTIC;
use stainfree_objects::{LinePlacement, NUCLEUS, StainSettings};

pub use self::read::parse;
pub(crate) use self::read::{explain, from_toml, read_text, toml_value};
use crate::study::split::SplitRule;

/// Where nuclei that people corrected lie, in the study's folder, unless it says otherwise.
pub(crate) const CORRECTED: &str = "human/corrected";

/// Name of the file that makes a folder a study.
pub const FILE_NAME: &str = "stainfree.toml";

/// Every choice of a study.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the images are and which of their channels are brightfield.
    pub images: ImagesConfig,
    /// What the truth is made of.
    pub truth: TruthConfig,
    /// Which fields train, validate and test.
    pub split: SplitConfig,
    /// How the network is trained.
    pub training: TrainingConfig,
}

impl Config {
    /// The folders and files it names, all relative to the study.
    pub(crate) fn places_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let truth = &mut self.truth;
        let folders = [
            &mut truth.masks,
            &mut truth.labels,
            &mut truth.cell_masks,
            &mut truth.cell_labels,
        ];
        [&mut self.images.path, &mut truth.corrected]
            .into_iter()
            .chain(folders.into_iter().flatten())
    }

    /// Its choices without where things lie: a shared folder has another path on every machine.
    pub(crate) fn without_places(&self) -> Self {
        let mut config = self.clone();
        config
            .places_mut()
            .for_each(|place| *place = PathBuf::new());
        config
    }
}

/// `[images]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImagesConfig {
    /// Plate, folder or file; relative to the study.
    pub path: PathBuf,
    /// One channel, or three channels that are the planes.
    pub brightfield: Vec<String>,
    /// z of the brightfield channel, from 1: one or three; empty = all where there are three, else
    /// the middle one.
    pub planes: Vec<usize>,
    /// Pixel size in um; `None` = as the images say.
    pub pixel_um: Option<f64>,
    /// How names of files are to be read; `None` = as the program recognises them.
    // Left out of hashes where it is not set: studies without it are what they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

impl ImagesConfig {
    /// What it says of the images beside where they are.
    pub(crate) fn opening(&self) -> OpenOptions {
        OpenOptions {
            pattern: self.pattern.clone(),
            pixel_um: self.pixel_um,
        }
    }
}

/// `[truth]`. Nuclei come from exactly one of `nucleus`, `masks`, `labels`; the cytoplasm from at
/// most one of `cytoplasm`, `cell_masks`, `cell_labels`, or from class masks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TruthConfig {
    /// Channel of the nuclear stain.
    pub nucleus: Option<String>,
    /// Channel of the cytoplasmic stain.
    pub cytoplasm: Option<String>,
    /// Folder of masks, relative to the study.
    pub masks: Option<PathBuf>,
    /// What the values of `masks` mean.
    pub mask_values: MaskValues,
    /// Folder of nucleus instances, relative to the study.
    pub labels: Option<PathBuf>,
    /// Folder of nucleus instances corrected by hand, relative to the study; they take the place of
    /// the automatic ones field by field. It need not exist.
    pub corrected: PathBuf,
    /// Folder of whole-cell masks (0 outside, anything else inside), relative to the study.
    pub cell_masks: Option<PathBuf>,
    /// Folder of whole-cell instances, relative to the study.
    pub cell_labels: Option<PathBuf>,
    /// What to do with a field that has nuclei but no file in `cell_masks` or `cell_labels`.
    pub missing_cells: MissingCells,
    /// Names of the classes, background first.
    pub classes: Vec<String>,
    /// Scheme A or B.
    pub scheme: Scheme,
    /// Scheme B: width of outline and cut in pixels.
    pub line_px: usize,
    /// Scheme B: where the outline lies.
    pub line_placement: LinePlacement,
    /// What is done about uneven light in the stains.
    pub illumination: IlluminationConfig,
    /// What is done about a shift of the stains against the brightfield.
    pub shift: ShiftConfig,
    /// Whether mitotic nuclei are a class of their own.
    pub mitosis: MitosisConfig,
    /// How nuclei are found in the nuclear stain.
    pub nucleus_settings: StainSettings,
    /// How the cytoplasm is found in its stain.
    #[serde(deserialize_with = "stainfree_objects::settings::deserialize_cytoplasm")]
    pub cytoplasm_settings: StainSettings,
}

impl Default for TruthConfig {
    fn default() -> Self {
        Self {
            nucleus: None,
            cytoplasm: None,
            masks: None,
            mask_values: MaskValues::Classes,
            labels: None,
            corrected: PathBuf::from(CORRECTED),
            cell_masks: None,
            cell_labels: None,
            missing_cells: MissingCells::Skip,
            classes: Vec::new(),
            scheme: Scheme::A,
            line_px: 3,
            line_placement: LinePlacement::default(),
            illumination: IlluminationConfig::default(),
            shift: ShiftConfig::default(),
            mitosis: MitosisConfig::default(),
            nucleus_settings: StainSettings::default(),
            cytoplasm_settings: StainSettings::cytoplasm(),
        }
    }
}

/// `[truth.mitosis]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MitosisConfig {
    /// Whether mitotic nuclei are looked for in the nuclear stain and become the last class.
    pub find: bool,
    /// A nucleus of at least this score is called mitotic, unless a person says otherwise.
    pub min_score: f64,
    /// Nuclei of at least this score are put on the review list.
    pub review_score: f64,
}

impl Default for MitosisConfig {
    fn default() -> Self {
        Self {
            find: false,
            min_score: 0.5,
            review_score: 0.1,
        }
    }
}

/// `[truth.illumination]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IlluminationConfig {
    /// Whether stains are corrected for uneven light.
    pub correct: IlluminationChoice,
    /// What a dark image of the stains' camera shows, in counts.
    pub camera_offset: f64,
}

impl Default for IlluminationConfig {
    fn default() -> Self {
        Self {
            correct: IlluminationChoice::Auto,
            camera_offset: 0.0,
        }
    }
}

/// What is done about uneven light.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IlluminationChoice {
    /// It is estimated from the fields of a plate, and corrected where the estimate is certain.
    Auto,
    /// Stains stay as they are.
    Off,
}

/// `[truth.shift]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShiftConfig {
    /// Whether and by what stains are moved.
    pub correct: ShiftChoice,
    /// A shift is used only if 95 % of its uncertainty lie within this distance, pixels.
    pub max_radius_px: f64,
    /// `fixed`: how far the nuclear stain lies below and right of the brightfield, pixels.
    pub nucleus_px: [f64; 2],
    /// `fixed`: the same of the cytoplasmic stain.
    pub cytoplasm_px: [f64; 2],
    /// How far label images and masks given as truth lie below and right of the brightfield, whole
    /// pixels; they are always moved back by it. Where it is nothing, as `align` has found.
    // Left out where it is nothing: truth made before this key existed stays valid.
    #[serde(skip_serializing_if = "is_nothing")]
    pub labels_px: [i32; 2],
}

impl ShiftConfig {
    /// The key by which a person says where stains lie, if one does.
    pub(crate) fn typed_of_stains(&self) -> Option<&'static str> {
        match self.correct {
            ShiftChoice::Auto => None,
            ShiftChoice::Off => Some("correct = \"off\""),
            ShiftChoice::Fixed => Some("nucleus_px"),
        }
    }

    /// The same of label images and masks.
    pub(crate) fn typed_of_labels(&self) -> Option<&'static str> {
        (self.labels_px != [0; 2]).then_some("labels_px")
    }
}

fn is_nothing(shift: &[i32; 2]) -> bool {
    *shift == [0; 2]
}

impl Default for ShiftConfig {
    fn default() -> Self {
        Self {
            correct: ShiftChoice::Auto,
            max_radius_px: 0.5,
            nucleus_px: [0.0; 2],
            cytoplasm_px: [0.0; 2],
            labels_px: [0; 2],
        }
    }
}

/// What is done about a shift of the stains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShiftChoice {
    /// It is estimated, and corrected where the estimate is certain.
    Auto,
    /// Stains stay where they are.
    Off,
    /// Stains are moved back by what the config says.
    Fixed,
}

/// What the values of truth masks mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaskValues {
    /// The value is the class; 255 is ignored.
    Classes,
    /// 0 is background, anything else is nucleus.
    Binary,
}

/// What becomes of a field whose nuclei are known and whose cells are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MissingCells {
    /// The field is left out.
    Skip,
    /// The field is kept and everything outside its nuclei is ignored (255).
    Ignore,
}

/// Which classes the network learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// Background, nucleus, cytoplasm (or the first two).
    A,
    /// Background, nucleus, boundary, split.
    B,
}

/// `[split]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SplitConfig {
    /// Shares of train, validation and test.
    pub fractions: [f64; 3],
    /// Seed of the split.
    pub seed: u64,
    /// `well`, `field`, `key:NAME` or `re:PATTERN`; see [`GroupRule`](crate::GroupRule).
    pub group: String,
    /// Groups that are the test set; empty = by the fractions.
    pub test_groups: Vec<String>,
    /// Fold and number of folds; see [`crate::study::split::SplitRule`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<[usize; 2]>,
}

impl SplitConfig {
    /// The same as a rule.
    pub fn rule(&self) -> SplitRule<'_> {
        SplitRule {
            fractions: self.fractions,
            seed: self.seed,
            test_groups: &self.test_groups,
            fold: self.fold,
        }
    }
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self {
            fractions: [0.8, 0.1, 0.1],
            seed: 0,
            group: "well".to_owned(),
            test_groups: Vec::new(),
            fold: None,
        }
    }
}

/// `[training]`: a recipe and what differs from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// `default`, `paper`, or a recipe file (relative to the study).
    pub recipe: String,
    /// What to start from: `auto` (encoder weights found on this machine or carried by the program,
    /// else none), `none`, the name of known weights, a weights file, or a model's folder.
    pub weights: String,
    /// Any choice of the recipe, by its name there.
    pub change: toml::Table,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            recipe: "default".to_owned(),
            weights: "auto".to_owned(),
            change: toml::Table::new(),
        }
    }
}

/// Where the nuclei of the truth come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NucleiFrom<'a> {
    /// A stain: the channel's name.
    Stain(&'a str),
    /// Masks: the folder.
    Masks(&'a Path),
    /// Nucleus instances: the folder.
    Labels(&'a Path),
}

/// Where the cytoplasm of the truth comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CytoplasmFrom<'a> {
    /// Nowhere, or it is part of the class masks.
    Nothing,
    /// A stain: the channel's name.
    Stain(&'a str),
    /// Whole-cell masks or instances (both are "not 0"): the folder.
    Cells(&'a Path),
}

impl TruthConfig {
    /// Where the nuclei come from; `None` until the study says so.
    pub fn nuclei_from(&self) -> Option<NucleiFrom<'_>> {
        self.nucleus
            .as_deref()
            .map(NucleiFrom::Stain)
            .or(self.masks.as_deref().map(NucleiFrom::Masks))
            .or(self.labels.as_deref().map(NucleiFrom::Labels))
    }

    /// Where the cytoplasm comes from.
    pub fn cytoplasm_from(&self) -> CytoplasmFrom<'_> {
        if let Some(channel) = &self.cytoplasm {
            CytoplasmFrom::Stain(channel)
        } else if let Some(folder) = self.cell_masks.as_ref().or(self.cell_labels.as_ref()) {
            CytoplasmFrom::Cells(folder)
        } else {
            CytoplasmFrom::Nothing
        }
    }

    /// The class names that scheme and sources give; what `classes` holds unless class masks say
    /// otherwise.
    pub fn usual_classes(&self) -> Vec<String> {
        let names: &[&str] = match (self.scheme, self.cytoplasm_from()) {
            (Scheme::B, _) => &["background", "nucleus", "boundary", "split"],
            (Scheme::A, CytoplasmFrom::Nothing) => &["background", "nucleus"],
            (Scheme::A, _) => &["background", "nucleus", "cytoplasm"],
        };
        let mitotic = self.mitosis.find.then_some(MITOTIC);
        names
            .iter()
            .copied()
            .chain(mitotic)
            .map(str::to_owned)
            .collect()
    }
}

/// The classes that are nuclei.
pub(crate) fn nucleus_classes(classes: &[String]) -> Vec<usize> {
    let mitotic = classes.iter().position(|name| name == MITOTIC);
    std::iter::once(usize::from(NUCLEUS))
        .chain(mitotic)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[images]\npath = \"../plate\"\nbrightfield = [\"TL\"]\n\n[truth]\nnucleus \
        = \"DAPI\"\nclasses = [\"background\", \"nucleus\"]\n";

    fn error(text: &str) -> String {
        parse(text, Path::new("study/stainfree.toml"))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_misspelt_key_is_named_with_line_and_neighbour() {
        parse(GOOD, Path::new("x")).unwrap();
        let text = error(&GOOD.replace("brightfield", "brigthfield"));
        assert_eq!(
            text,
            "`study/stainfree.toml`, line 3: unknown key `brigthfield`; did you mean \
             `brightfield`? (known: `path`, `brightfield`, `planes`, `pixel_um`, `pattern`)"
        );
        let text = error(&format!("{GOOD}scheme = \"a\"\n"));
        assert_eq!(
            text,
            "`study/stainfree.toml`, line 8: unknown value `a`; did you mean `A`? (known: `A`, `B`)"
        );
    }

    #[test]
    fn choices_that_contradict_each_other_are_refused_with_their_line() {
        let text = error(&GOOD.replace(
            "nucleus = \"DAPI\"",
            "nucleus = \"DAPI\"\nlabels = \"../labels\"",
        ));
        assert!(
            text.starts_with("`study/stainfree.toml`, line 6: `[truth]` sets more than one of"),
            "{text}"
        );
        let text = error(&GOOD.replace("[\"background\", \"nucleus\"]", "[\"background\"]"));
        assert!(
            text.contains("line 7: `truth.classes` does not fit the sources"),
            "{text}"
        );
        let text = error(&format!("{GOOD}\n[split]\nfractions = [0.5, 0.1, 0.1]\n"));
        assert!(
            text.contains("line 10: split `0.5,0.1,0.1` must be three shares"),
            "{text}"
        );
        assert!(error("[images\n").starts_with("`study/stainfree.toml`, line 1: "));
    }
}
