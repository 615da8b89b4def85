//! Class masks, labels and errors drawn over a picture.

use stainfree_image::Image;

use crate::ReportError;
use crate::palette::{AGREED, CYCLE, FALSE, MISSED, Rgb};

/// Share of the class colour inside an object: the cell stays visible below.
const FILL: f32 = 0.28;
/// Share of the class colour on its outline.
const OUTLINE: f32 = 0.95;

/// Draws classes 1.. over `base`: translucent fill, clear outline. 0 and 255 are left as they are.
///
/// `colors` has one entry per class, background first (see [`crate::class_colors`]); higher classes
/// are cycled through.
///
/// # Errors
/// [`ReportError::Size`] if mask and picture differ in size.
pub fn overlay_classes(
    base: &Image<[u8; 3]>,
    classes: &Image<u8>,
    colors: &[Rgb],
) -> Result<Image<[u8; 3]>, ReportError> {
    check("class mask", classes.size(), base.size())?;
    let color = |class: u8| {
        colors
            .get(usize::from(class))
            .copied()
            .unwrap_or(cycle(class.into()))
    };
    Ok(Image::from_fn(base.height(), base.width(), |y, x| {
        let class = classes.get(y, x);
        if class == 0 || class == 255 {
            return base.get(y, x);
        }
        let share = if on_edge(classes, y, x) {
            OUTLINE
        } else {
            FILL
        };
        blend(base.get(y, x), color(class), share)
    }))
}

/// Draws the outline of every label over `base`, in colours that differ between neighbours in
/// number.
///
/// # Errors
/// [`ReportError::Size`] if labels and picture differ in size.
pub fn overlay_labels(
    base: &Image<[u8; 3]>,
    labels: &Image<u32>,
) -> Result<Image<[u8; 3]>, ReportError> {
    check("label image", labels.size(), base.size())?;
    Ok(Image::from_fn(
        base.height(),
        base.width(),
        |y, x| match labels.get(y, x) {
            0 => base.get(y, x),
            label if on_edge(labels, y, x) => blend(base.get(y, x), cycle(label), OUTLINE),
            label => blend(base.get(y, x), cycle(label), FILL / 2.0),
        },
    ))
}

/// A class mask on its own: full colours on near-black, ignored pixels (255) grey.
pub fn class_picture(classes: &Image<u8>, colors: &[Rgb]) -> Image<[u8; 3]> {
    classes.map(|&class| match class {
        0 => [16, 18, 22],
        255 => [110, 110, 110],
        class => colors
            .get(usize::from(class))
            .copied()
            .unwrap_or(cycle(class.into())),
    })
}

/// Where truth and prediction of one class agree (green), where it was missed (purple) and where it
/// was found though nothing is there (yellow), over a darkened `base`. Truth pixels of 255 are left
/// alone.
///
/// # Errors
/// [`ReportError::Size`] if a mask and the picture differ in size.
pub fn error_picture(
    base: &Image<[u8; 3]>,
    truth: &Image<u8>,
    prediction: &Image<u8>,
    class: u8,
) -> Result<Image<[u8; 3]>, ReportError> {
    check("truth", truth.size(), base.size())?;
    check("prediction", prediction.size(), base.size())?;
    Ok(Image::from_fn(base.height(), base.width(), |y, x| {
        let dim = base.get(y, x).map(|v| (f32::from(v) * 0.6) as u8);
        let t = truth.get(y, x);
        match (t == class, prediction.get(y, x) == class) {
            _ if t == 255 => dim,
            (true, true) => blend(dim, AGREED, 0.35),
            (true, false) => blend(dim, MISSED, 0.85),
            (false, true) => blend(dim, FALSE, 0.85),
            (false, false) => dim,
        }
    }))
}

/// Colours and names of [`error_picture`].
pub fn error_legend() -> [(Rgb, &'static str); 3] {
    [(AGREED, "found"), (MISSED, "missed"), (FALSE, "false")]
}

pub(crate) fn check(
    what: &'static str,
    found: (usize, usize),
    expected: (usize, usize),
) -> Result<(), ReportError> {
    if found == expected {
        Ok(())
    } else {
        Err(ReportError::Size {
            what,
            found,
            expected,
        })
    }
}

fn cycle(label: u32) -> Rgb {
    CYCLE[(label as usize).saturating_sub(1) % CYCLE.len()]
}

pub(crate) fn blend(below: Rgb, above: Rgb, share: f32) -> Rgb {
    std::array::from_fn(|i| {
        (f32::from(below[i]) * (1.0 - share) + f32::from(above[i]) * share).round() as u8
    })
}

/// A pixel of an object with a 4-neighbour of another value. The image rim is no edge, so that cut
/// objects stay open there.
fn on_edge<T: Copy + PartialEq>(image: &Image<T>, y: usize, x: usize) -> bool {
    let own = image.get(y, x);
    (y > 0 && image.get(y - 1, x) != own)
        || (x > 0 && image.get(y, x - 1) != own)
        || (y + 1 < image.height() && image.get(y + 1, x) != own)
        || (x + 1 < image.width() && image.get(y, x + 1) != own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outlines_are_clear_fills_translucent_and_background_untouched() {
        let base = Image::filled(5, 5, [100, 100, 100]);
        let classes = Image::from_fn(5, 5, |y, x| {
            u8::from((1..4).contains(&y) && (1..4).contains(&x))
        });
        let colors = [[0, 0, 0], [200, 0, 0]];
        let drawn = overlay_classes(&base, &classes, &colors).unwrap();
        assert_eq!(drawn.get(0, 0), [100, 100, 100]);
        assert_eq!(drawn.get(1, 2), [195, 5, 5]);
        assert_eq!(drawn.get(2, 2), [128, 72, 72]);
    }

    #[test]
    fn touching_labels_keep_a_line_between_them() {
        let base = Image::filled(3, 6, [0, 0, 0]);
        let labels = Image::from_fn(3, 6, |_, x| if x < 3 { 1 } else { 2 });
        let drawn = overlay_labels(&base, &labels).unwrap();
        assert_ne!(drawn.get(1, 2), drawn.get(1, 1));
        assert_ne!(drawn.get(1, 2), drawn.get(1, 3));
    }

    #[test]
    fn errors_are_told_apart() {
        let base = Image::filled(1, 5, [90, 90, 90]);
        let truth = Image::new(1, 5, vec![1, 1, 0, 0, 255]);
        let prediction = Image::new(1, 5, vec![1, 0, 1, 0, 1]);
        let drawn = error_picture(&base, &truth, &prediction, 1).unwrap();
        let pixels: std::collections::BTreeSet<_> = drawn.data()[..4].iter().collect();
        assert_eq!(pixels.len(), 4);
        assert_eq!(drawn.get(0, 4), drawn.get(0, 3));
    }

    #[test]
    fn masks_of_another_size_are_named() {
        let base = Image::filled(2, 2, [0; 3]);
        let error = overlay_classes(&base, &Image::filled(2, 3, 0), &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the class mask is 2 x 3 pixels but the picture below it is 2 x 2; both must show the \
             same field"
        );
    }
}
