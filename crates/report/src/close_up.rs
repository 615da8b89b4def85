//! Close-ups of single objects: outlines of truth and prediction over an enlarged picture.

use stainfree_image::Image;

use crate::ReportError;
use crate::overlay::{blend, check};
use crate::palette::{AGREED, FALSE, MISSED, Rgb};

/// Share of the colour on the outlines of the object in question, and of all others.
const SHARE: [f32; 2] = [1.0, 0.7];
/// Width of these outlines in pixels of the close-up.
const WIDTH: [usize; 2] = [3, 1];

/// A field of which close-ups are made.
#[derive(Clone, Copy, Debug)]
pub struct Outlined<'a> {
    /// What the outlines lie on.
    pub base: &'a Image<[u8; 3]>,
    /// True objects, 0 = background.
    pub truth: &'a Image<u32>,
    /// Predicted objects, 0 = background.
    pub prediction: &'a Image<u32>,
}

/// The object that a close-up is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The true object with this label.
    Truth(u32),
    /// The predicted object with this label.
    Prediction(u32),
}

/// The window of `side` x `side` pixels around `(y, x)`, moved inside where it would leave the
/// picture, `factor` times enlarged: outlines of the truth, of the prediction, and where both run
/// (see [`outline_legend`]). Those of `subject` are thick.
///
/// # Errors
/// [`ReportError::Size`] if picture and labels differ in size.
pub fn close_up(
    field: &Outlined,
    subject: Subject,
    (y, x): (f64, f64),
    side: usize,
    factor: usize,
) -> Result<Image<[u8; 3]>, ReportError> {
    check("truth", field.truth.size(), field.base.size())?;
    check("prediction", field.prediction.size(), field.base.size())?;
    let (height, width) = field.base.size();
    let (h, w, factor) = (side.min(height), side.min(width), factor.max(1));
    let first = |at: f64, side: usize, len: usize| {
        ((at - side as f64 / 2.0).round().max(0.0) as usize).min(len - side)
    };
    let (top, left) = (first(y, h, height), first(x, w, width));
    let cut = |labels: &Image<u32>| labels.crop(top, left, h, w);
    let (truth, prediction) = (cut(field.truth), cut(field.prediction));
    let base = field.base.crop(top, left, h, w);
    let (of_truth, of_prediction) = match subject {
        Subject::Truth(label) => (Some(label), None),
        Subject::Prediction(label) => (None, Some(label)),
    };
    Ok(Image::from_fn(h * factor, w * factor, |y, x| {
        let below = base.get(y / factor, x / factor);
        let truth = outline(&truth, y, x, factor, of_truth);
        let prediction = outline(&prediction, y, x, factor, of_prediction);
        match (truth, prediction) {
            (None, None) => below,
            (Some(share), None) => blend(below, MISSED, share),
            (None, Some(share)) => blend(below, FALSE, share),
            (Some(a), Some(b)) => blend(below, AGREED, a.max(b)),
        }
    }))
}

/// Colours and names of the outlines of [`close_up`].
pub fn outline_legend() -> [(Rgb, &'static str); 3] {
    [
        (MISSED, "outline of the truth"),
        (FALSE, "of the prediction"),
        (AGREED, "of both"),
    ]
}

/// How strong the outline is at a pixel of the enlarged labels; none where there is none. The rim
/// of the window is no outline.
fn outline(
    labels: &Image<u32>,
    y: usize,
    x: usize,
    factor: usize,
    subject: Option<u32>,
) -> Option<f32> {
    let (height, width) = (labels.height() * factor, labels.width() * factor);
    let own = labels.get(y / factor, x / factor);
    if own == 0 {
        return None;
    }
    let rank = usize::from(subject != Some(own));
    let other = |y: usize, x: usize| labels.get(y / factor, x / factor) != own;
    let near = (1..=WIDTH[rank]).any(|d| {
        (y >= d && other(y - d, x))
            || (x >= d && other(y, x - d))
            || (y + d < height && other(y + d, x))
            || (x + d < width && other(y, x + d))
    });
    near.then_some(SHARE[rank])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outlines_of_truth_prediction_and_both_are_told_apart_and_the_subject_is_thick() {
        let base = Image::filled(30, 60, [100; 3]);
        let square = |left: usize, label: u32| {
            Image::from_fn(30, 60, move |y, x| {
                let inside = (5..25).contains(&y) && (left..left + 20).contains(&x);
                if inside { label } else { 0 }
            })
        };
        let (truth, prediction) = (square(5, 7), square(35, 2));
        let field = Outlined {
            base: &base,
            truth: &truth,
            prediction: &prediction,
        };
        let drawn = close_up(&field, Subject::Truth(7), (15.0, 30.0), 60, 2).unwrap();
        assert_eq!(drawn.size(), (60, 120));
        // Rows of the enlarged picture through the middle: three pixels thick, and one.
        let across = |from: usize| -> Vec<bool> {
            (from..from + 5)
                .map(|x| drawn.get(30, x) != [100; 3])
                .collect()
        };
        assert_eq!(across(10), [true, true, true, false, false]);
        assert_eq!(across(70), [true, false, false, false, false]);
        assert_eq!(drawn.get(30, 10), MISSED);
        assert_eq!(drawn.get(30, 70), blend([100; 3], FALSE, SHARE[1]));
        let same = Outlined {
            prediction: &truth,
            ..field
        };
        let drawn = close_up(&same, Subject::Truth(7), (15.0, 30.0), 60, 1).unwrap();
        assert_eq!(drawn.get(15, 5), AGREED);
    }

    #[test]
    fn a_window_at_the_rim_is_moved_inside() {
        let base = Image::from_fn(20, 20, |y, x| [y as u8, x as u8, 0]);
        let none = Image::filled(20, 20, 0);
        let field = Outlined {
            base: &base,
            truth: &none,
            prediction: &none,
        };
        let drawn = close_up(&field, Subject::Truth(1), (0.0, 19.0), 8, 1).unwrap();
        assert_eq!((drawn.size(), drawn.get(0, 0)), ((8, 8), [0, 12, 0]));
    }
}
