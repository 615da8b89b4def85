//! `stainfree.toml`: every choice of a study.
//!
//! Here: the choices, reading them with errors that name file, line and nearest key, checking that
//! they fit together. How the file is written out with its comments is in
//! [`template`](crate::template).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stainfree_objects::{LinePlacement, StainSettings};

use crate::names::nearest;
use crate::split::{SplitRule, check_fold, check_fractions};
use crate::{GroupRule, ProjectError};

/// Name of the file that makes a folder a study.
pub const FILE_NAME: &str = "stainfree.toml";

/// Largest shift that can be given: beyond it, two images hardly show the same field.
const MOST_FIXED_PX: f64 = 512.0;

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
            corrected: PathBuf::from(crate::human::corrected::PLACE),
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
    /// pixels; they are always moved back by it, since nothing in them tells.
    // Left out where it is nothing: truth made before this key existed stays valid.
    #[serde(skip_serializing_if = "is_nothing")]
    pub labels_px: [i32; 2],
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
    /// `well`, `field`, `key:NAME` or a regular expression; see [`GroupRule`].
    pub group: String,
    /// Groups that are the test set; empty = by the fractions.
    pub test_groups: Vec<String>,
    /// Fold and number of folds; see [`crate::split::SplitRule`].
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
        let mitotic = self.mitosis.find.then_some(crate::mitosis::CLASS);
        names
            .iter()
            .copied()
            .chain(mitotic)
            .map(str::to_owned)
            .collect()
    }
}

/// Reads `text`, the content of the file `path`, and checks it.
///
/// # Errors
/// [`ProjectError::Config`] with the line, and the nearest known key for an unknown one.
pub fn parse(text: &str, path: &Path) -> Result<Config, ProjectError> {
    let config: Config = from_toml(text, path)?;
    check(&config, text, path)?;
    Ok(config)
}

/// The text of a file of choices, however an editor saved it: Windows' "Unicode" is UTF-16, old
/// Macs end lines in CR.
pub(crate) fn read_text(path: &Path) -> std::io::Result<String> {
    let text = stainfree_image::table::text_of(&std::fs::read(path)?);
    Ok(match text.contains('\n') {
        true => text,
        false => text.replace('\r', "\n"),
    })
}

/// Any TOML as `T`, with errors as [`parse`] gives them.
pub(crate) fn from_toml<T: serde::de::DeserializeOwned>(
    text: &str,
    path: &Path,
) -> Result<T, ProjectError> {
    toml::from_str(text).map_err(|error| {
        let line = error
            .span()
            .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        ProjectError::Config {
            path: path.to_owned(),
            line,
            message: explain(error.message()),
        }
    })
}

/// Turns the parser's words into the user's: an unknown key gets its nearest known one.
pub(crate) fn explain(message: &str) -> String {
    let Some((unknown, expected)) = message.split_once(", expected ") else {
        return message.trim_end_matches('.').replace('\n', " ");
    };
    let choices = quoted(expected);
    let wanted = quoted(unknown).into_iter().next().unwrap_or_default();
    let what = if unknown.starts_with("unknown field") {
        "unknown key"
    } else {
        "unknown value"
    };
    if !unknown.starts_with("unknown ") || wanted.is_empty() {
        return message.to_owned();
    }
    let hint = match nearest(wanted, choices.iter().copied()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => String::new(),
    };
    let known: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
    format!("{what} `{wanted}`{hint} (known: {})", known.join(", "))
}

/// The pieces of `text` between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn check(config: &Config, text: &str, path: &Path) -> Result<(), ProjectError> {
    let fail = |key: &str, message: String| {
        let line = text.lines().position(|line| {
            line.trim_start()
                .strip_prefix(key)
                .is_some_and(|rest| rest.trim_start().starts_with('='))
        });
        Err(ProjectError::Config {
            path: path.to_owned(),
            line: line.map(|n| n + 1),
            message,
        })
    };
    let images = &config.images;
    if images.path.as_os_str().is_empty() {
        return fail(
            "path",
            "`images.path` is empty; name the plate, folder or file with the images".to_owned(),
        );
    }
    if ![1, 3].contains(&images.brightfield.len()) {
        return fail(
            "brightfield",
            format!(
                "`images.brightfield` names {} channels; name one, or three that are the planes",
                images.brightfield.len()
            ),
        );
    }
    if ![0, 1, 3].contains(&images.planes.len())
        || (images.brightfield.len() == 3 && images.planes.len() == 3)
    {
        return fail(
            "planes",
            format!(
                "`images.planes` has {} entries; give one or three z of one channel",
                images.planes.len()
            ),
        );
    }
    if images.planes.contains(&0) {
        return fail(
            "planes",
            "`images.planes` holds 0; planes count from 1".to_owned(),
        );
    }
    if images
        .pixel_um
        .is_some_and(|um| !(um.is_finite() && um > 0.0))
    {
        return fail(
            "pixel_um",
            "`images.pixel_um` must be a length above 0 in um".to_owned(),
        );
    }
    let truth = &config.truth;
    let sources = [
        truth.nucleus.is_some(),
        truth.masks.is_some(),
        truth.labels.is_some(),
    ];
    match sources.iter().filter(|&&given| given).count() {
        1 => {}
        0 => return fail(
            "[truth]",
            "`[truth]` says nowhere where the nuclei are; set one of `nucleus`, `masks`, `labels`"
                .to_owned(),
        ),
        _ => {
            return fail(
                "nucleus",
                "`[truth]` sets more than one of `nucleus`, `masks`, `labels`; keep one".to_owned(),
            );
        }
    }
    let cells = [
        truth.cytoplasm.is_some(),
        truth.cell_masks.is_some(),
        truth.cell_labels.is_some(),
    ];
    if cells.iter().filter(|&&given| given).count() > 1 {
        return fail(
            "cytoplasm",
            "`[truth]` sets more than one of `cytoplasm`, `cell_masks`, `cell_labels`; keep one"
                .to_owned(),
        );
    }
    if truth.mitosis.find && truth.nucleus.is_none() {
        return fail(
            "find",
            "mitotic nuclei are found in a nuclear stain; set `truth.nucleus`, or \
             `truth.mitosis.find = false`"
                .to_owned(),
        );
    }
    for (key, score) in [
        ("min_score", truth.mitosis.min_score),
        ("review_score", truth.mitosis.review_score),
    ] {
        if !(0.0..=1.0).contains(&score) {
            return fail(
                key,
                format!("`truth.mitosis.{key}` is {score}; scores are 0 to 1"),
            );
        }
    }
    let class_masks = truth.masks.is_some() && truth.mask_values == MaskValues::Classes;
    if class_masks && truth.cytoplasm_from() != CytoplasmFrom::Nothing {
        return fail(
            "masks",
            "class masks in `truth.masks` already say what is cytoplasm; remove the cytoplasm's \
             own source or set `mask_values = \"binary\"`"
                .to_owned(),
        );
    }
    if truth.scheme == Scheme::B
        && (class_masks || truth.cytoplasm_from() != CytoplasmFrom::Nothing)
    {
        return fail(
            "scheme",
            "scheme B is made from nuclei alone; use scheme A, or drop class masks and cytoplasm"
                .to_owned(),
        );
    }
    if class_masks {
        if !(2..=16).contains(&truth.classes.len()) {
            return fail(
                "classes",
                format!(
                    "`truth.classes` names {} classes; name 2 to 16, background first",
                    truth.classes.len()
                ),
            );
        }
    } else if truth.classes != truth.usual_classes() {
        let usual: Vec<String> = truth
            .usual_classes()
            .iter()
            .map(|name| format!("\"{name}\""))
            .collect();
        return fail(
            "classes",
            format!(
                "`truth.classes` does not fit the sources; it must be [{}]",
                usual.join(", ")
            ),
        );
    }
    if !(1..=15).contains(&truth.line_px) {
        return fail(
            "line_px",
            format!(
                "`truth.line_px` is {}; lines are 1 to 15 pixels wide",
                truth.line_px
            ),
        );
    }
    if !(truth.illumination.camera_offset >= 0.0 && truth.illumination.camera_offset.is_finite()) {
        return fail(
            "camera_offset",
            "`truth.illumination.camera_offset` must be 0 or more counts".to_owned(),
        );
    }
    let shift = &truth.shift;
    if !(shift.max_radius_px > 0.0 && shift.max_radius_px.is_finite()) {
        return fail(
            "max_radius_px",
            "`truth.shift.max_radius_px` must be a length above 0 in pixels".to_owned(),
        );
    }
    for (key, value) in [
        ("nucleus_px", shift.nucleus_px),
        ("cytoplasm_px", shift.cytoplasm_px),
        ("labels_px", shift.labels_px.map(f64::from)),
    ] {
        if value.iter().any(|v| v.is_nan() || v.abs() > MOST_FIXED_PX) {
            return fail(
                key,
                format!(
                    "`truth.shift.{key}` must be two numbers of at most {MOST_FIXED_PX} pixels"
                ),
            );
        }
    }
    if let Err(error) = check_fractions(config.split.fractions) {
        return fail("fractions", error.to_string());
    }
    if let Some(Err(error)) = config.split.fold.map(check_fold) {
        return fail("fold", error.to_string());
    }
    if let Err(error) = GroupRule::parse(&config.split.group) {
        return fail("group", error.to_string());
    }
    Ok(())
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
             `brightfield`? (known: `path`, `brightfield`, `planes`, `pixel_um`)"
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
