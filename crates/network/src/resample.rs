//! Fields brought to the pixel size of a model.
//!
//! A network knows things by their size in pixels, so a nucleus must be as large in the image it is
//! shown as in those it learned from. Intensities go through a triangle filter that widens when
//! pixels become larger, so that nothing aliases; classes take the pixel at the same place. Both
//! agree with PyTorch's `interpolate` (`bilinear` with `antialias`, and `nearest-exact`), which
//! `testdata/network/make_resample.py` asks.

use crate::output::Output;
use rayon::prelude::*;
use stainfree_image::{Image, rounded_um};
use std::ops::Range;

/// Pixel sizes closer than this share are taken for the same: scale augmentation covers them, and
/// every resampling costs sharpness.
pub const SAME_PIXEL_SIZE: f64 = 0.05;
/// Factors beyond this are mistakes of units, not microscopes.
pub const MAX_FACTOR: f64 = 8.0;

/// Height and width of a field of `[height, width]` pixels of `from_um` once its pixels are of
/// `to_um`; none if the sizes count as the same.
///
/// # Errors
/// [`ResampleError`] if the sizes differ by more than [`MAX_FACTOR`].
pub fn resampled_size(
    [height, width]: [usize; 2],
    from_um: f64,
    to_um: f64,
) -> Result<Option<[usize; 2]>, ResampleError> {
    let factor = from_um / to_um;
    if !(1.0 / MAX_FACTOR..=MAX_FACTOR).contains(&factor) {
        return Err(ResampleError { from_um, to_um });
    }
    if (factor - 1.0).abs() <= SAME_PIXEL_SIZE {
        return Ok(None);
    }
    let side = |n: usize| ((n as f64 * factor).round() as usize).max(1);
    Ok(Some([side(height), side(width)]))
}

/// Two pixel sizes that cannot both be right.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "its pixels of {} um are more than a factor of {MAX_FACTOR} from the model's {} um; give the \
     right size with `--pixel-um`",
    rounded_um(*from_um),
    rounded_um(*to_um)
)]
pub struct ResampleError {
    /// Of the field, um.
    pub from_um: f64,
    /// Of the model, um.
    pub to_um: f64,
}

/// `image` at another size, its corners staying where they are.
pub fn resample(image: &Image<f32>, height: usize, width: usize) -> Image<f32> {
    let (old_height, old_width) = image.size();
    let across = Taps::new(old_width, width);
    let mut rows = vec![0.0f32; old_height * width];
    rows.par_chunks_mut(width.max(1))
        .zip(image.data().par_chunks(old_width.max(1)))
        .for_each(|(to, from)| {
            for (x, value) in to.iter_mut().enumerate() {
                let (first, weights) = across.of(x);
                *value = weights.iter().zip(&from[first..]).map(|(w, v)| w * v).sum();
            }
        });
    let down = Taps::new(old_height, height);
    let mut out = vec![0.0f32; height * width];
    out.par_chunks_mut(width.max(1))
        .enumerate()
        .for_each(|(y, to)| {
            let (first, weights) = down.of(y);
            for (from, w) in rows.chunks_exact(width.max(1)).skip(first).zip(weights) {
                for (value, v) in to.iter_mut().zip(from) {
                    *value += w * v;
                }
            }
        });
    Image::new(height, width, out)
}

/// How an image is brought to another size, for parts of it: what [`resample`] gives there, bit for
/// bit.
pub struct Resampling {
    down: Taps,
    across: Taps,
    from: [usize; 2],
    to: [usize; 2],
}

impl Resampling {
    /// From one height and width to another.
    pub fn new(from: [usize; 2], to: [usize; 2]) -> Self {
        Self {
            down: Taps::new(from[0], to[0]),
            across: Taps::new(from[1], to[1]),
            from,
            to,
        }
    }

    /// Rows and columns of the old image that these of the new one are made of.
    pub fn needed(&self, part: &[Range<usize>; 2]) -> [Range<usize>; 2] {
        [
            self.down.needed(&part[0], self.from[0]),
            self.across.needed(&part[1], self.from[1]),
        ]
    }

    /// Rows and columns `part` of the new image, from the part of the old one that is
    /// [`needed`](Self::needed), whose first pixel is `corner`.
    ///
    /// # Panics
    /// If that part is not there.
    pub fn part(
        &self,
        old: &Image<f32>,
        corner: [usize; 2],
        part: &[Range<usize>; 2],
    ) -> Image<f32> {
        let (height, width) = (part[0].len(), part[1].len());
        let mut rows = vec![0.0f32; old.height() * width];
        rows.par_chunks_mut(width.max(1))
            .zip(old.data().par_chunks(old.width().max(1)))
            .for_each(|(to, from)| {
                for (value, x) in to.iter_mut().zip(part[1].clone()) {
                    let (first, weights) = self.across.of(x);
                    let from = &from[first - corner[1]..];
                    *value = weights.iter().zip(from).map(|(w, v)| w * v).sum();
                }
            });
        let mut out = vec![0.0f32; height * width];
        out.par_chunks_mut(width.max(1))
            .zip(part[0].clone())
            .for_each(|(to, y)| {
                let (first, weights) = self.down.of(y);
                let rows = rows.chunks_exact(width.max(1)).skip(first - corner[0]);
                for (from, w) in rows.zip(weights) {
                    for (value, v) in to.iter_mut().zip(from) {
                        *value += w * v;
                    }
                }
            });
        Image::new(height, width, out)
    }

    /// [`resample_output`] of a part: one image a channel.
    ///
    /// # Panics
    /// If there is no image for every channel, or [`part`](Self::part) panics.
    pub fn output_part(
        &self,
        output: &Output,
        planes: &[Image<f32>],
        corner: [usize; 2],
        part: &[Range<usize>; 2],
    ) -> Vec<Image<f32>> {
        assert_eq!(planes.len(), output.channels, "an image a channel");
        let channel = |(channel, plane): (usize, &Image<f32>)| {
            let factor = output.values.resized(channel, self.from, self.to);
            let mut new = self.part(plane, corner, part);
            if factor != 1.0 {
                new.data_mut().iter_mut().for_each(|x| *x *= factor as f32);
            }
            new
        };
        planes.iter().enumerate().map(channel).collect()
    }
}

/// One image a channel of an output at another size: [`resample`], and what counts in pixels
/// counts in those of the new size.
///
/// # Panics
/// If there is no image for every channel.
pub fn resample_output(
    output: &Output,
    planes: &[Image<f32>],
    height: usize,
    width: usize,
) -> Vec<Image<f32>> {
    assert_eq!(planes.len(), output.channels, "an image a channel");
    let channel = |(channel, plane): (usize, &Image<f32>)| {
        let from = [plane.height(), plane.width()];
        let factor = output.values.resized(channel, from, [height, width]);
        let mut new = resample(plane, height, width);
        if factor != 1.0 {
            new.data_mut().iter_mut().for_each(|x| *x *= factor as f32);
        }
        new
    };
    planes.iter().enumerate().map(channel).collect()
}

/// A class mask, or labels, at another size: each pixel takes the class that lies under its centre.
pub fn resample_classes<T: Copy>(mask: &Image<T>, height: usize, width: usize) -> Image<T> {
    let (old_height, old_width) = mask.size();
    let under = |i: usize, n: usize, old: usize| {
        (((i as f64 + 0.5) * old as f64 / n as f64) as usize).min(old - 1)
    };
    let columns: Vec<usize> = (0..width).map(|x| under(x, width, old_width)).collect();
    let mut out = Vec::with_capacity(height * width);
    for y in 0..height {
        let row = &mask.data()[under(y, height, old_height) * old_width..][..old_width];
        out.extend(columns.iter().map(|&x| row[x]));
    }
    Image::new(height, width, out)
}

/// What each new pixel of a line is made of: the first old one, and weights that add up to 1.
struct Taps {
    first: Vec<usize>,
    weights: Vec<Vec<f32>>,
}

impl Taps {
    fn new(old: usize, new: usize) -> Self {
        let scale = old as f64 / new as f64;
        let support = scale.max(1.0);
        let (mut first, mut weights) = (Vec::with_capacity(new), Vec::with_capacity(new));
        for i in 0..new {
            let centre = scale * (i as f64 + 0.5);
            let from = (centre - support + 0.5).max(0.0) as usize;
            let to = ((centre + support + 0.5) as usize).min(old);
            let triangle = |j: usize| (1.0 - ((j as f64 + 0.5 - centre) / support).abs()).max(0.0);
            let sum: f64 = (from..to).map(triangle).sum();
            first.push(from);
            weights.push((from..to).map(|j| (triangle(j) / sum) as f32).collect());
        }
        Self { first, weights }
    }

    fn of(&self, i: usize) -> (usize, &[f32]) {
        (self.first[i], &self.weights[i])
    }

    /// Old pixels that these new ones are made of, of a line of `old`.
    fn needed(&self, new: &Range<usize>, old: usize) -> Range<usize> {
        let (mut start, mut end) = (old, 0);
        for i in new.clone() {
            let (first, weights) = self.of(i);
            (start, end) = (start.min(first), end.max(first + weights.len()));
        }
        start.min(end)..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Values;
    use safetensors::SafeTensors;

    fn floats(bytes: &[u8]) -> Vec<f32> {
        bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()
    }

    #[test]
    fn lengths_grow_with_the_image_and_shares_do_not() {
        let planes = [2.0, 3.0].map(|x| Image::filled(10, 20, x));
        let at = |values: Values, channels: usize| {
            let output = Output {
                values,
                ..Output::classes(channels)
            };
            let new = resample_output(&output, &planes[..channels], 40, 60);
            assert!(new.iter().all(|plane| plane.size() == (40, 60)));
            new.iter()
                .map(|plane| plane.get(20, 30))
                .collect::<Vec<_>>()
        };
        let close = |found: Vec<f32>, expected: &[f32]| {
            let pairs = found.iter().zip(expected);
            // Weights that add up to 1 but for rounding.
            assert!(
                pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-5),
                "{found:?}"
            );
        };
        close(at(Values::Scalar, 2), &[2.0, 3.0]);
        close(at(Values::Direction, 2), &[2.0, 3.0]);
        close(at(Values::Length, 1), &[2.0 * 12f32.sqrt()]);
        close(at(Values::Displacement, 2), &[8.0, 9.0]);
    }

    #[test]
    fn images_and_classes_agree_with_pytorch() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../testdata/network/resample.safetensors"
        );
        let bytes = std::fs::read(path).unwrap();
        let golden = SafeTensors::deserialize(&bytes).unwrap();
        let tensor = |name: &str| golden.tensor(name).unwrap();
        let image = tensor("image");
        let &[height, width] = image.shape() else {
            panic!("two dimensions")
        };
        let mask = Image::new(height, width, tensor("mask").data().to_vec());
        let image = Image::new(height, width, floats(image.data()));
        let cases: Vec<&str> = golden
            .names()
            .into_iter()
            .filter(|n| n.starts_with("image_"))
            .collect();
        assert_eq!(cases.len(), 5);
        for name in cases {
            let expected = tensor(name);
            let &[h, w] = expected.shape() else {
                panic!("two dimensions")
            };
            let found = resample(&image, h, w);
            for (i, (a, b)) in found.data().iter().zip(floats(expected.data())).enumerate() {
                // PyTorch keeps places along up to 47 pixels in f32, which may be off by 4e-6
                // pixels; values change by up to 1000 from one pixel to the next.
                assert!((a - b).abs() < 4e-3, "{name} at {i}: {a} {b}");
            }
            let classes = resample_classes(&mask, h, w);
            let expected = tensor(&name.replace("image_", "mask_")).data().to_vec();
            assert_eq!(classes.data(), expected, "{name}");
        }
    }

    #[test]
    fn parts_are_those_of_the_whole_bit_for_bit() {
        let image = Image::from_fn(37, 53, |y, x| ((y * 7919 + x * 104_729) % 997) as f32 / 7.0);
        for to in [[37, 53], [20, 91], [90, 19], [5, 5]] {
            let whole = resample(&image, to[0], to[1]);
            let resampling = Resampling::new([37, 53], to);
            for rows in [0..1, 0..to[0], to[0] / 3..to[0] / 2 + 1, to[0] - 2..to[0]] {
                let part = [rows.clone(), to[1] / 4..to[1]];
                let [down, right] = resampling.needed(&part);
                let old = image.crop(down.start, right.start, down.len(), right.len());
                let found = resampling.part(&old, [down.start, right.start], &part);
                let expected = whole.crop(rows.start, to[1] / 4, rows.len(), to[1] - to[1] / 4);
                assert_eq!(found, expected, "{to:?} {rows:?}");
            }
        }
    }

    #[test]
    fn the_size_follows_the_pixels() {
        assert_eq!(
            resampled_size([1024, 999], 0.34, 0.62),
            Ok(Some([562, 548]))
        );
        assert_eq!(resampled_size([10, 10], 0.62, 0.34), Ok(Some([18, 18])));
        assert_eq!(resampled_size([10, 10], 0.63, 0.62), Ok(None));
        assert_eq!(resampled_size([1, 3], 0.1, 0.62), Ok(Some([1, 1])));
        let wrong = resampled_size([10, 10], 340.0, 0.62)
            .unwrap_err()
            .to_string();
        assert_eq!(
            wrong,
            "its pixels of 340 um are more than a factor of 8 from the model's 0.62 um; give the \
             right size with `--pixel-um`"
        );
        assert!(resampled_size([10, 10], f64::NAN, 0.62).is_err());
    }
}
