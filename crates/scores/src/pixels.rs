//! Pixel scores: true positives, false positives and false negatives per class, and what follows
//! from them.
//!
//! Here: counting one field and adding fields up. Not here: thresholded probabilities (`paper`),
//! means and intervals over fields (`summary`).

use serde::{Deserialize, Serialize};
use stainfree_image::Image;

use crate::ScoreError;

/// Value of an ignored pixel in a class mask: it leaves truth and prediction before counting.
pub const IGNORED: u8 = 255;

/// One class against all others, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCounts {
    /// Pixels of the class in truth and prediction.
    pub tp: u64,
    /// Pixels predicted as the class that are not.
    pub fp: u64,
    /// Pixels of the class that were predicted as something else, or as nothing.
    #[serde(rename = "fn")]
    pub fn_: u64,
}

impl ClassCounts {
    /// `TP / (TP + FP + FN)`; NaN where the class is in neither truth nor prediction.
    pub fn iou(&self) -> f64 {
        ratio(self.tp as f64, (self.tp + self.fp + self.fn_) as f64)
    }

    /// `2 TP / (2 TP + FP + FN)`, the Dice coefficient; NaN where the class is in neither.
    pub fn f1(&self) -> f64 {
        ratio(
            2.0 * self.tp as f64,
            (2 * self.tp + self.fp + self.fn_) as f64,
        )
    }

    /// `TP / (TP + FP)`; NaN where nothing was predicted as the class.
    pub fn precision(&self) -> f64 {
        ratio(self.tp as f64, (self.tp + self.fp) as f64)
    }

    /// `TP / (TP + FN)`; NaN where the truth has none of the class.
    pub fn recall(&self) -> f64 {
        ratio(self.tp as f64, (self.tp + self.fn_) as f64)
    }

    pub(crate) fn add(&mut self, other: &ClassCounts) {
        self.tp += other.tp;
        self.fp += other.fp;
        self.fn_ += other.fn_;
    }
}

/// Pixel counts of one field, or the sum over several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PixelCounts {
    /// One entry per class, background first.
    pub classes: Vec<ClassCounts>,
    /// Kept pixels whose class is right.
    pub correct: u64,
    /// Pixels that were counted.
    pub kept: u64,
    /// Pixels left out: truth 255 or under the ignore mask.
    pub ignored: u64,
}

impl PixelCounts {
    /// Share of kept pixels whose class is right; NaN where no pixel was kept.
    pub fn accuracy(&self) -> f64 {
        ratio(self.correct as f64, self.kept as f64)
    }

    /// Mean F1 over the classes that are defined; NaN where none is.
    pub fn mean_f1(&self, background: Background) -> f64 {
        mean(self.from(background).map(ClassCounts::f1))
    }

    /// Mean IoU over the classes that are defined; NaN where none is.
    pub fn mean_iou(&self, background: Background) -> f64 {
        mean(self.from(background).map(ClassCounts::iou))
    }

    /// Adds the counts of another field.
    ///
    /// # Errors
    /// [`ScoreError::Mismatch`] if the numbers of classes differ.
    pub fn add(&mut self, other: &PixelCounts) -> Result<(), ScoreError> {
        add_classes(&mut self.classes, &other.classes)?;
        self.correct += other.correct;
        self.kept += other.kept;
        self.ignored += other.ignored;
        Ok(())
    }

    fn from(&self, background: Background) -> impl Iterator<Item = &ClassCounts> {
        self.classes.iter().skip(match background {
            Background::Included => 0,
            Background::Excluded => 1,
        })
    }
}

/// Whether class 0 enters a mean over classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Background {
    /// As in the paper.
    Included,
    /// Only the classes one looks for.
    Excluded,
}

/// Counts the pixels of one field, class by class.
///
/// Both masks are `[height, width]` with one class per pixel, 0 to `classes - 1`. A truth pixel of
/// [`IGNORED`] leaves both sides. A *prediction* of 255 says nothing about the pixel: the truth's
/// class then counts as missed and no class as found, so that leaving pixels open never pays.
///
/// # Errors
/// [`ScoreError::Size`], [`ScoreError::UnknownClass`] and [`ScoreError::ClassNumber`].
pub fn pixel_counts(
    truth: &Image<u8>,
    prediction: &Image<u8>,
    classes: usize,
) -> Result<PixelCounts, ScoreError> {
    pixel_counts_ignoring(truth, prediction, None, classes)
}

/// [`pixel_counts`] with a mask of pixels to leave out besides the truth's 255.
///
/// # Errors
/// As [`pixel_counts`].
pub fn pixel_counts_ignoring(
    truth: &Image<u8>,
    prediction: &Image<u8>,
    ignore: Option<&Image<bool>>,
    classes: usize,
) -> Result<PixelCounts, ScoreError> {
    check_class_number(classes)?;
    check_size("prediction", prediction.size(), truth.size())?;
    if let Some(ignore) = ignore {
        check_size("ignore mask", ignore.size(), truth.size())?;
    }
    // One table of (truth, prediction) pairs costs a single increment per pixel; everything else
    // follows from its rows and columns.
    let mut table = vec![0u64; 256 * 256];
    match ignore {
        None => {
            for (&t, &p) in truth.data().iter().zip(prediction.data()) {
                table[usize::from(t) * 256 + usize::from(p)] += 1;
            }
        }
        Some(ignore) => {
            for ((&t, &p), &skip) in truth
                .data()
                .iter()
                .zip(prediction.data())
                .zip(ignore.data())
            {
                let t = if skip { IGNORED } else { t };
                table[usize::from(t) * 256 + usize::from(p)] += 1;
            }
        }
    }
    let known = |value: usize| value < classes || value == usize::from(IGNORED);
    for t in 0..256 {
        for p in 0..256 {
            if table[t * 256 + p] == 0 || (known(t) && known(p)) {
                continue;
            }
            return Err(unknown_class(truth, prediction, ignore, classes));
        }
    }
    let mut counts = PixelCounts {
        classes: vec![ClassCounts::default(); classes],
        ..Default::default()
    };
    counts.ignored = table[usize::from(IGNORED) * 256..].iter().sum();
    for t in 0..classes {
        for p in (0..classes).chain([usize::from(IGNORED)]) {
            let n = table[t * 256 + p];
            counts.kept += n;
            if t == p {
                counts.classes[t].tp += n;
                counts.correct += n;
                continue;
            }
            counts.classes[t].fn_ += n;
            if p < classes {
                counts.classes[p].fp += n;
            }
        }
    }
    Ok(counts)
}

/// Finds the first pixel with a value that is no class; called only when the table holds one.
fn unknown_class(
    truth: &Image<u8>,
    prediction: &Image<u8>,
    ignore: Option<&Image<bool>>,
    classes: usize,
) -> ScoreError {
    let skipped = |i: usize| ignore.is_some_and(|ignore| ignore.data()[i]);
    let unknown = |value: u8| usize::from(value) >= classes && value != IGNORED;
    let width = truth.width().max(1);
    let found = |what, i: usize, value| ScoreError::UnknownClass {
        what,
        value,
        y: i / width,
        x: i % width,
        classes,
    };
    let pairs = truth.data().iter().zip(prediction.data()).enumerate();
    for (i, (&t, &p)) in pairs {
        if unknown(t) && !skipped(i) {
            return found("truth", i, t);
        }
        if unknown(p) {
            return found("prediction", i, p);
        }
    }
    found("prediction", 0, IGNORED)
}

/// Adds class by class; an empty sum takes the number of classes of the first part.
pub(crate) fn add_classes(
    sum: &mut Vec<ClassCounts>,
    part: &[ClassCounts],
) -> Result<(), ScoreError> {
    if sum.is_empty() {
        sum.resize(part.len(), ClassCounts::default());
    }
    if sum.len() != part.len() {
        return Err(ScoreError::Mismatch(format!(
            "one field was counted with {} classes and another with {}",
            sum.len(),
            part.len()
        )));
    }
    for (sum, part) in sum.iter_mut().zip(part) {
        sum.add(part);
    }
    Ok(())
}

pub(crate) fn check_class_number(classes: usize) -> Result<(), ScoreError> {
    if (1..=usize::from(IGNORED)).contains(&classes) {
        Ok(())
    } else {
        Err(ScoreError::ClassNumber { classes })
    }
}

/// Whether there is a plane of the truth's size for every class.
pub(crate) fn check_probabilities(
    probabilities: &[Image<f32>],
    truth: &Image<u8>,
) -> Result<(), ScoreError> {
    check_class_number(probabilities.len())?;
    for (class, plane) in probabilities.iter().enumerate() {
        let what = format!("probability plane {class}");
        check_size(&what, plane.size(), truth.size())?;
    }
    Ok(())
}

/// The value, none where it is NaN.
pub(crate) fn defined(value: f64) -> Option<f64> {
    // The sum of nothing is -0, which is no number to show.
    (!value.is_nan()).then_some(value + 0.0)
}

pub(crate) fn check_size(
    what: &str,
    found: (usize, usize),
    truth: (usize, usize),
) -> Result<(), ScoreError> {
    if found == truth {
        Ok(())
    } else {
        Err(ScoreError::Size {
            what: what.to_owned(),
            found,
            truth,
        })
    }
}

/// `a / b`, NaN where `b` is zero.
pub(crate) fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { f64::NAN } else { a / b }
}

/// Mean of the values that are numbers; NaN where there is none.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut n) = (0.0, 0usize);
    for value in values.filter(|value| !value.is_nan()) {
        sum += value;
        n += 1;
    }
    ratio(sum, n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws a class mask: a digit per pixel, `.` = 0, `x` = 255.
    fn classes(rows: &[&str]) -> Image<u8> {
        let width = rows[0].len();
        let value = |c: u8| match c {
            b'.' => 0,
            b'x' => IGNORED,
            digit => digit - b'0',
        };
        Image::new(
            rows.len(),
            width,
            rows.iter().flat_map(|row| row.bytes().map(value)).collect(),
        )
    }

    #[test]
    fn counts_a_drawn_field_class_by_class() {
        let truth = classes(&["11..", "1122", "..22"]);
        let prediction = classes(&["1...", "1122", ".222"]);
        let counts = pixel_counts(&truth, &prediction, 3).unwrap();
        assert_eq!(
            counts.classes[0],
            ClassCounts {
                tp: 3,
                fp: 1,
                fn_: 1
            }
        );
        assert_eq!(
            counts.classes[1],
            ClassCounts {
                tp: 3,
                fp: 0,
                fn_: 1
            }
        );
        assert_eq!(
            counts.classes[2],
            ClassCounts {
                tp: 4,
                fp: 1,
                fn_: 0
            }
        );
        assert_eq!((counts.correct, counts.kept), (10, 12));
        assert_eq!(counts.classes[1].iou(), 0.75);
        assert_eq!(counts.classes[1].f1(), 6.0 / 7.0);
        assert_eq!(
            counts.mean_iou(Background::Included),
            (0.6 + 0.75 + 0.8) / 3.0
        );
        assert_eq!(counts.mean_iou(Background::Excluded), (0.75 + 0.8) / 2.0);
    }

    #[test]
    fn ignored_pixels_leave_both_sides() {
        let truth = classes(&["11xx", "...."]);
        let prediction = classes(&["1211", "..22"]);
        let mask = Image::from_fn(2, 4, |y, x| y == 1 && x >= 2);
        let counts = pixel_counts_ignoring(&truth, &prediction, Some(&mask), 3).unwrap();
        assert_eq!(
            counts.classes[1],
            ClassCounts {
                tp: 1,
                fp: 0,
                fn_: 1
            }
        );
        assert_eq!(
            counts.classes[2],
            ClassCounts {
                tp: 0,
                fp: 1,
                fn_: 0
            }
        );
        assert_eq!((counts.kept, counts.ignored), (4, 4));
    }

    #[test]
    fn an_open_prediction_counts_as_missed() {
        let counts = pixel_counts(&classes(&["11"]), &classes(&["1x"]), 2).unwrap();
        assert_eq!(
            counts.classes[1],
            ClassCounts {
                tp: 1,
                fp: 0,
                fn_: 1
            }
        );
        assert_eq!(counts.classes[0], ClassCounts::default());
        assert_eq!(counts.kept, 2);
    }

    #[test]
    fn absent_in_both_is_undefined_and_absent_in_one_is_zero() {
        let counts = pixel_counts(&classes(&["...."]), &classes(&["..2."]), 3).unwrap();
        assert!(counts.classes[1].f1().is_nan() && counts.classes[1].iou().is_nan());
        assert_eq!(counts.classes[2].f1(), 0.0);
        // The undefined class does not enter the mean.
        assert_eq!(counts.mean_f1(Background::Excluded), 0.0);
    }

    #[test]
    fn values_that_are_no_class_are_named_with_their_place() {
        let error = pixel_counts(&classes(&["..", ".7"]), &classes(&["..", ".."]), 3).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the truth holds class `7` at (y 1, x 1), but there are only 3 classes (0 to 2, and \
             255 for \
             ignored pixels); was a label image or a 0/255 mask given instead of a class mask?"
        );
        let error = pixel_counts(&classes(&[".."]), &classes(&[".", "."]), 3).unwrap_err();
        assert_eq!(
            error.to_string(),
            "prediction is 2 x 1 pixels but the truth is 1 x 2; both must show the same field at \
             the same size"
        );
    }
}
