//! What the numbers of an output are, and how they follow an image that is flipped, turned, scaled
//! or resized.

use serde::{Deserialize, Serialize};

/// What the numbers of an output are. Vectors are pairs of channels, the part down first, the part
/// to the right second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Values {
    /// Numbers that stay what they are: shares, probabilities.
    Scalar,
    /// Lengths in pixels: in an image twice as large they are twice as long.
    Length,
    /// Vectors that turn with the image and keep their length, such as gradients of norm 1.
    Direction,
    /// Vectors in pixels: they turn with the image and grow with it.
    Displacement,
}

/// An image as it is seen through a flip, a rotation and a magnification.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// The step in the image, `[down, right]`, for a step down and for a step to the right in the
    /// view; both of one length and at right angles.
    pub axes: [[f64; 2]; 2],
}

impl View {
    /// The image upside down, or with left and right exchanged, or both; seen so twice it is the
    /// image again.
    pub fn flipped(down: bool, right: bool) -> Self {
        let sign = |flip: bool| if flip { -1.0 } else { 1.0 };
        Self {
            axes: [[sign(down), 0.0], [0.0, sign(right)]],
        }
    }

    /// Pixels of the view for a pixel of the image.
    pub fn magnification(&self) -> f64 {
        let [[y, x], _] = self.axes;
        1.0 / y.hypot(x)
    }
}

impl Values {
    /// Every kind of value there is.
    pub const ALL: [Values; 4] = [
        Values::Scalar,
        Values::Length,
        Values::Direction,
        Values::Displacement,
    ];

    /// The word in files.
    pub fn name(self) -> &'static str {
        match self {
            Values::Scalar => "scalar",
            Values::Length => "length",
            Values::Direction => "direction",
            Values::Displacement => "displacement",
        }
    }

    /// Whether two channels belong together.
    pub fn is_vector(self) -> bool {
        matches!(self, Values::Direction | Values::Displacement)
    }

    /// Whether they are counted in pixels.
    fn in_pixels(self) -> bool {
        matches!(self, Values::Length | Values::Displacement)
    }

    /// `values`, all channels of one pixel of the image, become what they are in the view.
    pub fn follow(self, view: &View, values: &mut [f32]) {
        if self == Values::Scalar {
            return;
        }
        let magnification = view.magnification();
        let grown = if self.in_pixels() { magnification } else { 1.0 };
        if !self.is_vector() {
            let grow = |x: &mut f32| *x = (f64::from(*x) * grown) as f32;
            return values.iter_mut().for_each(grow);
        }
        for vector in values.chunks_exact_mut(2) {
            let [y, x] = [vector[0], vector[1]].map(f64::from);
            // The axes at norm 1 are an orthogonal matrix, so their transpose leads back.
            for (part, axis) in vector.iter_mut().zip(view.axes) {
                *part = ((axis[0] * y + axis[1] * x) * magnification * grown) as f32;
            }
        }
    }

    /// [`Values::follow`] for `[channel][pixel]`, whose pixels stand where the view has them.
    ///
    /// # Panics
    /// If `planes` does not hold whole planes of `channels` channels.
    pub fn follow_all(self, view: &View, channels: usize, planes: &mut [f32]) {
        if self == Values::Scalar {
            return;
        }
        assert!(planes.len().is_multiple_of(channels), "whole planes");
        let pixels = planes.len() / channels;
        let mut values = vec![0.0; channels];
        for pixel in 0..pixels {
            for (channel, value) in values.iter_mut().enumerate() {
                *value = planes[channel * pixels + pixel];
            }
            self.follow(view, &mut values);
            for (channel, value) in values.iter().enumerate() {
                planes[channel * pixels + pixel] = *value;
            }
        }
    }

    /// What the numbers of `channel` are multiplied with where an image of `from` pixels, height
    /// and width, is brought to `to` pixels.
    pub fn resized(self, channel: usize, from: [usize; 2], to: [usize; 2]) -> f64 {
        if !self.in_pixels() {
            return 1.0;
        }
        // They differ by the rounding to whole pixels.
        let [down, right] = [0, 1].map(|axis| to[axis] as f64 / from[axis].max(1) as f64);
        match (self.is_vector(), channel % 2) {
            (false, _) => (down * right).sqrt(),
            (true, 0) => down,
            (true, _) => right,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(values: Values, view: &View, mut of: Vec<f32>) -> Vec<f32> {
        values.follow(view, &mut of);
        of
    }

    #[test]
    fn a_flip_changes_the_sign_of_one_part_exactly() {
        for values in [Values::Direction, Values::Displacement] {
            let of = |down, right| seen(values, &View::flipped(down, right), vec![0.1, 0.7]);
            assert_eq!(of(false, false), [0.1, 0.7]);
            assert_eq!(of(true, false), [-0.1, 0.7]);
            assert_eq!(of(false, true), [0.1, -0.7]);
            assert_eq!(of(true, true), [-0.1, -0.7]);
        }
        for values in [Values::Scalar, Values::Length] {
            assert_eq!(seen(values, &View::flipped(true, true), vec![0.1]), [0.1]);
        }
    }

    #[test]
    fn transposing_exchanges_the_parts_and_a_quarter_turn_one_sign_more() {
        let of = |axes| seen(Values::Direction, &View { axes }, vec![3.0, 5.0]);
        assert_eq!(of([[0.0, 1.0], [1.0, 0.0]]), [5.0, 3.0]);
        // A step down in the view is a step to the left in the image.
        assert_eq!(of([[0.0, -1.0], [1.0, 0.0]]), [-5.0, 3.0]);
    }

    #[test]
    fn what_is_counted_in_pixels_grows_with_the_image() {
        // Twice as large: a step in the view is half a step in the image.
        let view = View {
            axes: [[0.0, -0.5], [0.5, 0.0]],
        };
        assert_eq!(seen(Values::Scalar, &view, vec![3.0, 5.0]), [3.0, 5.0]);
        assert_eq!(seen(Values::Length, &view, vec![3.0, 5.0]), [6.0, 10.0]);
        assert_eq!(seen(Values::Direction, &view, vec![3.0, 5.0]), [-5.0, 3.0]);
        let displaced = seen(Values::Displacement, &view, vec![3.0, 5.0]);
        assert_eq!(displaced, [-10.0, 6.0]);
        let mut planes = [3.0, 30.0, 5.0, 50.0];
        Values::Displacement.follow_all(&view, 2, &mut planes);
        assert_eq!(planes, [-10.0, -100.0, 6.0, 60.0]);
        let factors = |values: Values| [0, 1].map(|c| values.resized(c, [10, 20], [40, 60]));
        assert_eq!(factors(Values::Displacement), [4.0, 3.0]);
        assert_eq!(factors(Values::Length), [12f64.sqrt(); 2]);
        assert_eq!(factors(Values::Scalar), [1.0; 2]);
        assert_eq!(factors(Values::Direction), [1.0; 2]);
    }

    #[test]
    fn unknown_stays_unknown() {
        for values in Values::ALL {
            let made = seen(values, &View::flipped(true, false), vec![f32::NAN; 2]);
            assert!(made.iter().all(|x| x.is_nan()), "{}", values.name());
        }
    }
}
