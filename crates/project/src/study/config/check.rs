//! Whether the choices of a study fit together.

use std::path::Path;

use super::{
    Config, CytoplasmFrom, ImagesConfig, MaskValues, Scheme, ShiftConfig, SplitConfig, TruthConfig,
};
use crate::study::split::{check_fold, check_fractions};
use crate::{GroupRule, ProjectError};

/// Largest shift that can be given: beyond it, two images hardly show the same field.
const MOST_FIXED_PX: f64 = 512.0;

/// Nothing, or what is wrong and where.
type Checked = Result<(), ProjectError>;

/// Refuses choices that cannot be, or that contradict each other, with the line of `text` that says
/// so.
pub(super) fn check(config: &Config, text: &str, path: &Path) -> Checked {
    let file = File { text, path };
    file.images(&config.images)?;
    file.sources(&config.truth)?;
    file.mitosis(&config.truth)?;
    file.classes(&config.truth)?;
    file.lines_and_light(&config.truth)?;
    file.shift(&config.truth.shift)?;
    file.split(&config.split)
}

/// The file that is checked.
struct File<'a> {
    text: &'a str,
    path: &'a Path,
}

impl File<'_> {
    /// An error that names the first line which sets `key`, or begins the section of that name.
    fn fail(&self, key: &str, message: String) -> Checked {
        let sets = |line: &str| match line.trim().strip_prefix(key) {
            // A section, where none of its lines is the one.
            Some(rest) if key.starts_with('[') => rest.is_empty(),
            rest => rest.is_some_and(|rest| rest.trim_start().starts_with('=')),
        };
        let line = self.text.lines().position(sets);
        Err(ProjectError::Config {
            path: self.path.to_owned(),
            line: line.map(|n| n + 1),
            message,
        })
    }

    /// Which images, and which of their planes.
    fn images(&self, images: &ImagesConfig) -> Checked {
        if images.path.as_os_str().is_empty() {
            return self.fail(
                "path",
                "`images.path` is empty; name the plate, folder or file with the images".to_owned(),
            );
        }
        if ![1, 3].contains(&images.brightfield.len()) {
            return self.fail(
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
            return self.fail(
                "planes",
                format!(
                    "`images.planes` has {} entries; give one or three z of one channel",
                    images.planes.len()
                ),
            );
        }
        if images.planes.contains(&0) {
            return self.fail(
                "planes",
                "`images.planes` holds 0; planes count from 1".to_owned(),
            );
        }
        if images
            .pixel_um
            .is_some_and(|um| !(um.is_finite() && um > 0.0))
        {
            return self.fail(
                "pixel_um",
                "`images.pixel_um` must be a length above 0 in um".to_owned(),
            );
        }
        Ok(())
    }

    /// One source of nuclei, at most one of cytoplasm.
    fn sources(&self, truth: &TruthConfig) -> Checked {
        let nuclei = [
            ("nucleus", truth.nucleus.is_some()),
            ("masks", truth.masks.is_some()),
            ("labels", truth.labels.is_some()),
        ];
        match set_keys(&nuclei)[..] {
            [_] => {}
            [] => {
                return self.fail(
                    "[truth]",
                    "`[truth]` says nowhere where the nuclei are; set one of `nucleus`, `masks`, \
                     `labels`"
                        .to_owned(),
                );
            }
            [first, ..] => {
                return self.fail(
                    first,
                    "`[truth]` sets more than one of `nucleus`, `masks`, `labels`; keep one"
                        .to_owned(),
                );
            }
        }
        let cells = [
            ("cytoplasm", truth.cytoplasm.is_some()),
            ("cell_masks", truth.cell_masks.is_some()),
            ("cell_labels", truth.cell_labels.is_some()),
        ];
        if let [first, _, ..] = set_keys(&cells)[..] {
            return self.fail(
                first,
                "`[truth]` sets more than one of `cytoplasm`, `cell_masks`, `cell_labels`; keep \
                 one"
                .to_owned(),
            );
        }
        Ok(())
    }

    /// Mitotic nuclei and their scores.
    fn mitosis(&self, truth: &TruthConfig) -> Checked {
        if truth.mitosis.find && truth.nucleus.is_none() {
            return self.fail(
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
                return self.fail(
                    key,
                    format!("`truth.mitosis.{key}` is {score}; scores are 0 to 1"),
                );
            }
        }
        Ok(())
    }

    /// Classes fit scheme and sources.
    fn classes(&self, truth: &TruthConfig) -> Checked {
        let class_masks = truth.masks.is_some() && truth.mask_values == MaskValues::Classes;
        if class_masks && truth.cytoplasm_from() != CytoplasmFrom::Nothing {
            return self.fail(
            "masks",
            "class masks in `truth.masks` already say what is cytoplasm; remove the cytoplasm's \
             own source or set `mask_values = \"binary\"`"
                .to_owned(),
        );
        }
        if truth.scheme == Scheme::B
            && (class_masks || truth.cytoplasm_from() != CytoplasmFrom::Nothing)
        {
            return self.fail(
            "scheme",
            "scheme B is made from nuclei alone; use scheme A, or drop class masks and cytoplasm"
                .to_owned(),
        );
        }
        if class_masks {
            if !(2..=16).contains(&truth.classes.len()) {
                return self.fail(
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
            return self.fail(
                "classes",
                format!(
                    "`truth.classes` does not fit the sources; it must be [{}]",
                    usual.join(", ")
                ),
            );
        }
        Ok(())
    }

    /// Widths of lines, counts of dark images.
    fn lines_and_light(&self, truth: &TruthConfig) -> Checked {
        if !(1..=15).contains(&truth.line_px) {
            return self.fail(
                "line_px",
                format!(
                    "`truth.line_px` is {}; lines are 1 to 15 pixels wide",
                    truth.line_px
                ),
            );
        }
        if !(truth.illumination.camera_offset >= 0.0
            && truth.illumination.camera_offset.is_finite())
        {
            return self.fail(
                "camera_offset",
                "`truth.illumination.camera_offset` must be 0 or more counts".to_owned(),
            );
        }
        Ok(())
    }

    /// How shifts are told and given.
    fn shift(&self, shift: &ShiftConfig) -> Checked {
        if !(shift.max_radius_px > 0.0 && shift.max_radius_px.is_finite()) {
            return self.fail(
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
                return self.fail(
                    key,
                    format!(
                        "`truth.shift.{key}` must be two numbers of at most {MOST_FIXED_PX} pixels"
                    ),
                );
            }
        }
        Ok(())
    }

    /// Parts, folds and groups.
    fn split(&self, split: &SplitConfig) -> Checked {
        if let Err(error) = check_fractions(split.fractions) {
            return self.fail("fractions", error.to_string());
        }
        if let Some(Err(error)) = split.fold.map(check_fold) {
            return self.fail("fold", error.to_string());
        }
        if let Err(error) = GroupRule::parse(&split.group) {
            return self.fail("group", error.to_string());
        }
        Ok(())
    }
}

/// Those of the keys that are set.
fn set_keys<'a>(keys: &[(&'a str, bool)]) -> Vec<&'a str> {
    let set = keys.iter().filter(|(_, is_set)| *is_set);
    set.map(|(key, _)| *key).collect()
}
