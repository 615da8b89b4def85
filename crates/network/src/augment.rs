//! Changes made to a crop so that the network learns what matters and not how one microscope was
//! set.
//!
//! Geometry is one affine map from the crop's pixels to the field's, so a pixel is interpolated
//! once: bilinear for planes, nearest for the target, classes and numbers alike: numbers jump where
//! objects touch, and what lies between two of them is true of neither. Where the map leaves the
//! field, planes are mirrored and the target is ignored. With whole-number maps (the eight
//! symmetries alone) every value is copied exactly.

use crate::crops::Prepared;
use crate::input::{CENTRE, mirror};
use crate::output::IGNORED;
use crate::output::{Output, View, channels};
use crate::random::Random;
use serde::{Deserialize, Serialize};
use stainfree_image::Image;

/// Which changes are made, and how strong. Ranges are `[smallest, largest]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// The eight symmetries of the square, equally often.
    pub symmetries: bool,
    /// Share of the crops that are rotated and scaled.
    pub warp_chance: f64,
    /// Rotation by up to this angle to either side, degrees.
    pub rotation_deg: f64,
    /// Magnification, drawn evenly in its logarithm: above 1, cells get larger.
    pub scale: [f64; 2],
    /// Factor on the distance from the planes' centre, drawn evenly in its logarithm.
    pub contrast: [f64; 2],
    /// Added to the planes, to either side.
    pub brightness: f64,
    /// Exponent of a bending of the grey scale, drawn evenly in its logarithm.
    pub gamma: [f64; 2],
    /// Share of the crops that are blurred, and the largest standard deviation in pixels.
    pub blur_chance: f64,
    /// See `blur_chance`.
    pub blur_px: f64,
    /// Share of the crops that get noise, and its largest standard deviation.
    pub noise_chance: f64,
    /// See `noise_chance`; a normalised plane spans about 1.
    pub noise: f64,
}

impl Augmentation {
    /// The eight symmetries and nothing else, as in the paper.
    pub fn paper() -> Self {
        Self {
            symmetries: true,
            warp_chance: 0.0,
            rotation_deg: 0.0,
            scale: [1.0, 1.0],
            contrast: [1.0, 1.0],
            brightness: 0.0,
            gamma: [1.0, 1.0],
            blur_chance: 0.0,
            blur_px: 0.0,
            noise_chance: 0.0,
            noise: 0.0,
        }
    }

    /// Any angle, a quarter larger or smaller, exposure, focus and noise.
    pub fn strong() -> Self {
        Self {
            symmetries: true,
            warp_chance: 0.7,
            rotation_deg: 180.0,
            scale: [0.75, 1.33],
            contrast: [0.7, 1.4],
            brightness: 0.08,
            gamma: [0.8, 1.25],
            blur_chance: 0.25,
            blur_px: 1.2,
            noise_chance: 0.3,
            noise: 0.05,
        }
    }

    /// Refuses numbers that make no sense.
    ///
    /// # Errors
    /// Names the setting and its value.
    pub fn check(&self) -> Result<(), AugmentError> {
        let sizes = [
            ("warp_chance", self.warp_chance, 1.0, "0 to 1"),
            ("blur_chance", self.blur_chance, 1.0, "0 to 1"),
            ("noise_chance", self.noise_chance, 1.0, "0 to 1"),
            ("rotation_deg", self.rotation_deg, 180.0, "0 to 180"),
            ("brightness", self.brightness, 2.0, "0 to 2"),
            ("blur_px", self.blur_px, 10.0, "0 to 10"),
            ("noise", self.noise, 2.0, "0 to 2"),
        ];
        for (name, value, most, range) in sizes {
            if !(0.0..=most).contains(&value) {
                let value = value.to_string();
                return Err(AugmentError { name, value, range });
            }
        }
        for (name, [low, high]) in [
            ("scale", self.scale),
            ("contrast", self.contrast),
            ("gamma", self.gamma),
        ] {
            if !(0.1 <= low && low <= high && high <= 10.0) {
                let value = format!("[{low}, {high}]");
                return Err(AugmentError {
                    name,
                    value,
                    range: "0.1 to 10, smallest first",
                });
            }
        }
        Ok(())
    }

    /// Draws one set of changes.
    pub fn draw(&self, random: &mut Random) -> Change {
        // Every number is drawn whether used or not, so that switching one change off leaves the
        // others be.
        let symmetry = random.below(8);
        let warp = random.chance(self.warp_chance);
        let angle = random
            .between(-self.rotation_deg, self.rotation_deg)
            .to_radians();
        let mut log_between = |[low, high]: [f64; 2]| random.between(low.ln(), high.ln()).exp();
        let scale = log_between(self.scale);
        let contrast = log_between(self.contrast) as f32;
        let gamma = log_between(self.gamma) as f32;
        let brightness = random.between(-self.brightness, self.brightness) as f32;
        let blur = random.chance(self.blur_chance);
        let blur_px = random.uniform() * self.blur_px;
        let noisy = random.chance(self.noise_chance);
        let noise = random.uniform() * self.noise;
        Change {
            symmetry: if self.symmetries { symmetry } else { 0 },
            angle: if warp { angle } else { 0.0 },
            scale: if warp { scale } else { 1.0 },
            contrast,
            gamma,
            brightness,
            blur_px: if blur { blur_px } else { 0.0 },
            noise: if noisy { noise as f32 } else { 0.0 },
        }
    }
}

/// One drawn set of changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    symmetry: usize,
    angle: f64,
    scale: f64,
    contrast: f32,
    gamma: f32,
    brightness: f32,
    blur_px: f64,
    noise: f32,
}

impl Change {
    /// Side of the field's window that fills a crop of `side` pixels.
    pub fn span(&self, side: usize) -> usize {
        ((side as f64 / self.scale).round() as usize).max(1)
    }

    /// The step in the field, `[dy, dx]`, for a step down and a step right in the crop.
    fn axes(&self) -> [[f64; 2]; 2] {
        let flip_y = if self.symmetry & 1 == 0 { 1.0 } else { -1.0 };
        let flip_x = if self.symmetry & 2 == 0 { 1.0 } else { -1.0 };
        let (sin, cos) = if self.angle == 0.0 {
            (0.0, 1.0)
        } else {
            self.angle.sin_cos()
        };
        let (down, right) = (
            [cos / self.scale, -sin / self.scale],
            [sin / self.scale, cos / self.scale],
        );
        let turn = |[y, x]: [f64; 2]| [flip_y * y, flip_x * x];
        if self.symmetry & 4 == 0 {
            [turn(down), turn(right)]
        } else {
            [turn(right), turn(down)]
        }
    }

    /// Where a pixel of the crop lies in the field.
    fn place(&self, corner: (isize, isize), side: usize) -> impl Fn(usize, usize) -> [f64; 2] {
        let half_window = (self.span(side) as f64 - 1.0) / 2.0;
        let centre = [corner.0 as f64 + half_window, corner.1 as f64 + half_window];
        let [down, right] = self.axes();
        let half = (side as f64 - 1.0) / 2.0;
        move |y: usize, x: usize| {
            let (v, u) = (y as f64 - half, x as f64 - half);
            [
                centre[0] + v * down[0] + u * right[0],
                centre[1] + v * down[1] + u * right[1],
            ]
        }
    }

    /// Cuts the window with first corner `corner` (see [`Prepared::choose`]) out of `field`,
    /// changed, as planes and target of `side` x `side` pixels. `noise` feeds the added noise.
    pub fn apply(
        &self,
        field: &Prepared,
        corner: (isize, isize),
        side: usize,
        noise: &mut Random,
    ) -> (Vec<Image<f32>>, Image<u8>) {
        let at = self.place(corner, side);
        let target = Image::from_fn(side, side, |y, x| {
            match nearest(field.target().size(), at(y, x)) {
                Some((y, x)) => field.target().get(y, x),
                None => IGNORED,
            }
        });
        let planes = field
            .planes()
            .iter()
            .map(|plane| {
                let mut out = Image::from_fn(side, side, |y, x| bilinear(plane, at(y, x)));
                self.intensity(&mut out, noise);
                out
            })
            .collect();
        (planes, target)
    }

    /// Adds the numbers of `further` outputs in the same window to `to`, `[channel][y][x]`, as they
    /// are in the changed image; NaN where the field's are, and outside of it.
    pub fn apply_to_values(
        &self,
        field: &Prepared,
        corner: (isize, isize),
        side: usize,
        further: &[Output],
        to: &mut Vec<f32>,
    ) {
        if further.is_empty() {
            return;
        }
        let at = self.place(corner, side);
        let view = View { axes: self.axes() };
        let (first, pixels) = (to.len(), side * side);
        to.resize(first + channels(further) * pixels, f32::NAN);
        let to = &mut to[first..];
        let mut here = vec![0.0; channels(further)];
        for (pixel, (y, x)) in (0..pixels).map(|i| (i, (i / side, i % side))) {
            let Some((y, x)) = nearest(field.target().size(), at(y, x)) else {
                continue;
            };
            for (value, plane) in here.iter_mut().zip(field.values()) {
                *value = plane.get(y, x);
            }
            let mut rest = &mut here[..];
            for output in further {
                let (own, next) = rest.split_at_mut(output.channels);
                output.values.follow(&view, own);
                rest = next;
            }
            for (channel, value) in here.iter().enumerate() {
                to[channel * pixels + pixel] = *value;
            }
        }
    }

    fn intensity(&self, plane: &mut Image<f32>, noise: &mut Random) {
        if self.blur_px > 0.05 {
            gaussian(plane, self.blur_px);
        }
        if self.gamma != 1.0 {
            let shift = bend(CENTRE, self.gamma) - CENTRE;
            for x in plane.data_mut() {
                *x = bend(*x, self.gamma) - shift;
            }
        }
        if self.contrast != 1.0 || self.brightness != 0.0 {
            let offset = CENTRE + self.brightness;
            for x in plane.data_mut() {
                *x = (*x - CENTRE) * self.contrast + offset;
            }
        }
        if self.noise > 0.0 {
            for x in plane.data_mut() {
                *x += self.noise * noise.normal() as f32;
            }
        }
    }
}

/// A power law over the range -1 to 2, which holds what any normalisation gives.
fn bend(x: f32, gamma: f32) -> f32 {
    3.0 * ((x + 1.0) / 3.0).clamp(0.0, 1.0).powf(gamma) - 1.0
}

/// The pixel of a field of `size` nearest to a place; none outside of it.
fn nearest((height, width): (usize, usize), place: [f64; 2]) -> Option<(usize, usize)> {
    let [y, x] = place.map(f64::round);
    let inside = y >= 0.0 && x >= 0.0 && y < height as f64 && x < width as f64;
    inside.then_some((y as usize, x as usize))
}

fn bilinear(plane: &Image<f32>, [y, x]: [f64; 2]) -> f32 {
    let (height, width) = plane.size();
    let (y0, x0) = (y.floor(), x.floor());
    let (fy, fx) = ((y - y0) as f32, (x - x0) as f32);
    let (y0, x0) = (y0 as isize, x0 as isize);
    let (ya, yb) = (mirror(y0, height), mirror(y0 + 1, height));
    let (xa, xb) = (mirror(x0, width), mirror(x0 + 1, width));
    let mix = |a: f32, b: f32, f: f32| if f == 0.0 { a } else { a + (b - a) * f };
    let top = mix(plane.get(ya, xa), plane.get(ya, xb), fx);
    mix(top, mix(plane.get(yb, xa), plane.get(yb, xb), fx), fy)
}

/// Separable Gaussian blur cut at three standard deviations, borders mirrored.
fn gaussian(plane: &mut Image<f32>, sigma: f64) {
    let reach = (3.0 * sigma).ceil() as isize;
    let weights: Vec<f32> = (-reach..=reach)
        .map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp() as f32)
        .collect();
    let sum: f32 = weights.iter().sum();
    let (height, width) = plane.size();
    let rows = Image::from_fn(height, width, |y, x| {
        let row = plane.row(y);
        weighted(&weights, |i| row[mirror(x as isize + i - reach, width)]) / sum
    });
    *plane = Image::from_fn(height, width, |y, x| {
        weighted(&weights, |i| {
            rows.get(mirror(y as isize + i - reach, height), x)
        }) / sum
    });
}

/// The sum of `weights`, each times the value at its index.
fn weighted(weights: &[f32], at: impl Fn(isize) -> f32) -> f32 {
    (0..).zip(weights).map(|(i, w)| w * at(i)).sum()
}

/// A setting out of range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("augmentation `{name}` is `{value}`; it must lie in {range}")]
pub struct AugmentError {
    name: &'static str,
    value: String,
    range: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Values;
    use crate::random::Purpose;
    use std::collections::HashSet;

    fn random(step: u64) -> Random {
        Random::new(1, Purpose::Augment, 0, step)
    }

    fn field(height: usize, width: usize) -> Prepared {
        let plane = Image::from_fn(height, width, |y, x| (100 * y + x) as f32);
        let target = Image::from_fn(height, width, |y, x| ((y + x) % 3) as u8);
        Prepared::new(vec![plane], target, 3)
    }

    #[test]
    fn the_papers_change_copies_exact_values_in_all_eight_ways() {
        let field = field(9, 12);
        let mut seen = HashSet::new();
        for step in 0..100 {
            let change = Augmentation::paper().draw(&mut random(step));
            let (planes, target) = change.apply(&field, (2, 3), 4, &mut random(step));
            let values: Vec<u32> = planes[0].data().iter().map(|&x| x as u32).collect();
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let window: Vec<u32> = (2..6)
                .flat_map(|y| (3..7).map(move |x| 100 * y + x))
                .collect();
            assert_eq!(sorted, window);
            // The target went the same way.
            for (value, class) in values.iter().zip(target.data()) {
                assert_eq!((value / 100 + value % 100) % 3, u32::from(*class));
            }
            seen.insert(values);
        }
        assert_eq!(seen.len(), 8);
    }

    #[test]
    fn a_small_field_is_mirrored_and_its_surroundings_ignored() {
        let field = field(3, 4);
        let change = Change {
            symmetry: 0,
            ..Augmentation::paper().draw(&mut random(0))
        };
        let (planes, target) = change.apply(&field, (-1, 0), 5, &mut random(0));
        assert_eq!(planes[0].row(0), [100.0, 101.0, 102.0, 103.0, 102.0]);
        assert_eq!(target.row(0), [IGNORED; 5]);
        assert_eq!(target.row(1), [0, 1, 2, 0, IGNORED]);
        assert_eq!(target.row(4), [IGNORED; 5]);
    }

    #[test]
    fn a_quarter_turn_equals_transposing_and_flipping() {
        let field = field(9, 9);
        let still = Augmentation::paper().draw(&mut random(0));
        let turned = Change {
            symmetry: 0,
            angle: std::f64::consts::FRAC_PI_2,
            ..still.clone()
        };
        let (a, t) = turned.apply(&field, (0, 0), 9, &mut random(0));
        let matches = (0..8).any(|symmetry| {
            let (b, u) = Change {
                symmetry,
                ..still.clone()
            }
            .apply(&field, (0, 0), 9, &mut random(0));
            let close = a[0]
                .data()
                .iter()
                .zip(b[0].data())
                .all(|(a, b)| (a - b).abs() < 1e-3);
            close && t == u
        });
        assert!(matches);
    }

    #[test]
    fn numbers_go_where_the_classes_go_and_turn_with_the_image() {
        // A radial field around (20, 24): displacement to the centre, its length, its direction.
        let (height, width, centre) = (41, 49, [20.0, 24.0]);
        let to_centre = |y: usize, x: usize| [centre[0] - y as f64, centre[1] - x as f64];
        let target = Image::from_fn(height, width, |y, x| ((y + x) % 3) as u8);
        let length = |y, x| to_centre(y, x)[0].hypot(to_centre(y, x)[1]);
        let image = |of: &dyn Fn(usize, usize) -> f64| {
            Image::from_fn(height, width, |y, x| of(y, x) as f32)
        };
        let values = vec![
            image(&|y, x| f64::from(target.get(y, x))),
            image(&length),
            image(&|y, x| to_centre(y, x)[0]),
            image(&|y, x| to_centre(y, x)[1]),
            image(&|y, x| to_centre(y, x)[0] / length(y, x).max(1.0)),
            image(&|y, x| to_centre(y, x)[1] / length(y, x).max(1.0)),
        ];
        let field = Prepared::new(vec![], target, 3).with_values(values);
        let kinds = [
            (Values::Scalar, 1),
            (Values::Length, 1),
            (Values::Displacement, 2),
            (Values::Direction, 2),
        ];
        let further = kinds.map(|(values, channels)| Output {
            channels,
            values,
            ..Output::classes(1)
        });
        for step in 0..40 {
            // Half of them symmetries alone.
            let augmentation = Augmentation {
                warp_chance: 0.5,
                ..Augmentation::strong()
            };
            let change = augmentation.draw(&mut random(step));
            let side = 32;
            let corner = (
                20 - change.span(side) as isize / 2,
                24 - change.span(side) as isize / 2,
            );
            let (_, classes) = change.apply(&field, corner, side, &mut random(step));
            let mut made = vec![];
            change.apply_to_values(&field, corner, side, &further, &mut made);
            let of = |channel: usize, i: usize| f64::from(made[channel * side * side + i]);
            // The centre as the crop shows it, from any pixel on.
            let exact = change.scale == 1.0 && change.angle == 0.0;
            let mut centres = vec![];
            for (i, &class) in classes.data().iter().enumerate() {
                if class == IGNORED {
                    assert!((0..6).all(|channel| of(channel, i).is_nan()));
                    continue;
                }
                assert_eq!(of(0, i), f64::from(class));
                let ([y, x], long) = ([of(2, i), of(3, i)], of(1, i));
                assert!((y.hypot(x) - long).abs() < 1e-3);
                let norm = long.max(change.scale);
                assert!((of(4, i) - y / norm).abs() < 1e-5 && (of(5, i) - x / norm).abs() < 1e-5);
                centres.push([(i / side) as f64 + y, (i % side) as f64 + x]);
            }
            // Displacements are those of the nearest pixel, at most half a diagonal beside.
            let reach = if exact { 1e-5 } else { 0.71 * change.scale };
            let mean = [0, 1]
                .map(|axis| centres.iter().map(|c| c[axis]).sum::<f64>() / centres.len() as f64);
            for found in &centres {
                let off = (found[0] - mean[0]).hypot(found[1] - mean[1]);
                assert!(off < reach + 0.1 * f64::from(!exact), "{change:?} {off}");
            }
        }
    }

    #[test]
    fn magnification_makes_objects_larger() {
        let disc = |y: usize, x: usize| (y as f64 - 32.0).hypot(x as f64 - 32.0) < 10.0;
        let target = Image::from_fn(65, 65, |y, x| u8::from(disc(y, x)));
        let field = Prepared::new(vec![target.map(|&t| f32::from(t))], target, 2);
        let area = |scale| {
            let change = Change {
                scale,
                angle: 0.4,
                ..Augmentation::paper().draw(&mut random(0))
            };
            let first = 32 - change.span(41) as isize / 2;
            let (planes, target) = change.apply(&field, (first, first), 41, &mut random(0));
            let pixels = target.data().iter().filter(|&&t| t == 1).count() as f64;
            let mass: f32 = planes[0].data().iter().sum();
            // The plane went along with the target.
            assert!((f64::from(mass) / pixels - 1.0).abs() < 0.05);
            pixels
        };
        assert!((area(1.25) / area(1.0) - 1.5625).abs() < 0.1);
    }

    #[test]
    fn strong_changes_keep_the_centre_of_the_grey_scale() {
        let field = Prepared::new(
            vec![Image::filled(64, 64, CENTRE)],
            Image::filled(64, 64, 0),
            2,
        );
        let mut spread = 0.0f32;
        for step in 0..50 {
            let change = Augmentation::strong().draw(&mut random(step));
            let (planes, target) = change.apply(&field, (8, 8), 48, &mut random(step + 1000));
            let mean = planes[0].data().iter().sum::<f32>() / 48.0 / 48.0;
            // Only the brightness moves it; the noise of 2304 pixels at most by 4 * 0.05 / 48.
            assert!(
                (mean - CENTRE - change.brightness).abs() < 0.005,
                "{change:?} {mean}"
            );
            spread = spread.max((mean - CENTRE).abs());
            assert_eq!(target.size(), (48, 48));
        }
        assert!(spread > 0.04);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let wrong = Augmentation {
            scale: [1.5, 0.5],
            ..Augmentation::strong()
        };
        assert_eq!(
            wrong.check().unwrap_err().to_string(),
            "augmentation `scale` is `[1.5, 0.5]`; it must lie in 0.1 to 10, smallest first"
        );
        assert!(
            Augmentation {
                noise_chance: f64::NAN,
                ..Augmentation::strong()
            }
            .check()
            .is_err()
        );
        Augmentation::strong().check().unwrap();
        Augmentation::paper().check().unwrap();
    }
}
