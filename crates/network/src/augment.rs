//! Changes made to a crop so that the network learns what matters and not how one microscope was
//! set.
//!
//! Geometry is one affine map from the crop's pixels to the field's, so a pixel is interpolated
//! once: bilinear for planes, nearest for the target. Where the map leaves the field, planes are
//! mirrored and the target is ignored. With whole-number maps (the eight symmetries alone) every
//! value is copied exactly.

use crate::crops::Prepared;
use crate::input::{CENTRE, mirror};
use crate::loss::IGNORED;
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

    /// Cuts the window with first corner `corner` (see [`Prepared::choose`]) out of `field`,
    /// changed, as planes and target of `side` x `side` pixels. `noise` feeds the added noise.
    pub fn apply(
        &self,
        field: &Prepared,
        corner: (isize, isize),
        side: usize,
        noise: &mut Random,
    ) -> (Vec<Image<f32>>, Image<u8>) {
        let half_window = (self.span(side) as f64 - 1.0) / 2.0;
        let centre = [corner.0 as f64 + half_window, corner.1 as f64 + half_window];
        let [down, right] = self.axes();
        let half = (side as f64 - 1.0) / 2.0;
        let at = |y: usize, x: usize| {
            let (v, u) = (y as f64 - half, x as f64 - half);
            [
                centre[0] + v * down[0] + u * right[0],
                centre[1] + v * down[1] + u * right[1],
            ]
        };
        let (height, width) = field.target().size();
        let target = Image::from_fn(side, side, |y, x| {
            let [y, x] = at(y, x).map(f64::round);
            let inside = y >= 0.0 && x >= 0.0 && y < height as f64 && x < width as f64;
            if inside {
                field.target().get(y as usize, x as usize)
            } else {
                IGNORED
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
