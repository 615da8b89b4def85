//! What an image looks like beside what is in it: light, contrast, sharpness, noise, evenness.
//!
//! One pyramid of Haar's wavelets gives all of it. A block of 2 x 2 values becomes their mean and
//! three differences; the means are the next level. The variance within the blocks of a level is
//! the power of an octave, and octaves and the variance of the last means add up to the variance of
//! the image (Percival & Walden 2000, *Wavelet methods for time series analysis*, chapter 8): a
//! power spectrum that needs no window and can leave pixels out.

use stainfree_image::Image;

/// Octaves: structures of 1, 2, 4, 8, 16 and 32 px.
pub const OCTAVES: usize = 6;
/// Levels of the means between which details are, fine, middle and coarse: 2 and 8 px, 4 and 32 px,
/// 8 and 64 px. Means of 2 px and more have averaged most of the noise away.
const DETAILS: [[usize; 2]; 3] = [[1, 3], [2, 5], [3, 6]];
/// Side of the blocks of finest differences of which the quietest are noise.
const NOISE_BLOCK: usize = 8;
/// Share of these blocks that is quieter than what is taken for noise.
const QUIET: f64 = 0.2;
/// Root of the 20 % point of a mean of 64 squares of normal numbers (chi-squared by Wilson &
/// Hilferty 1931): what the quiet blocks of mere noise lie below its standard deviation by.
const QUIET_NOISE: f64 = 0.921_46;
/// Fewer blocks say nothing of an octave.
const LEAST_BLOCKS: usize = 4;

/// What a plane looks like. What a plane is too small for is NaN.
#[derive(Clone, Debug, PartialEq)]
pub struct Appearance {
    /// Mean of its pixels, counts.
    pub light: f64,
    /// Power of structures of 1, 2, .. 32 px: variance within blocks of twice that side, less that
    /// within blocks of it; counts squared.
    pub octaves: [f64; OCTAVES],
    /// Standard deviation of white noise, as far as it can be told: of the finest diagonal
    /// differences where least is going on, counts.
    pub noise: f64,
    /// Standard deviation of the means of blocks of 64 px: uneven light, and clumps of cells.
    pub unevenness: f64,
    /// Skewness of fine (2 to 8 px), middle (4 to 32 px) and coarse (8 to 64 px) details: positive
    /// where they are brighter than what surrounds them.
    pub skewness: [f64; 3],
    /// Kurtosis of these details: 3 for normal ones, more where few stand out.
    pub kurtosis: [f64; 3],
    /// Power of the finest differences from left to right by that from top to bottom.
    pub lines: f64,
}

/// A level of the pyramid: means of blocks, NaN where a pixel of a block is blank.
type Means = Image<f32>;

/// Variance within the 2 x 2 blocks of a level, by the direction of the differences.
#[derive(Clone, Copy, Default)]
struct Within {
    blocks: usize,
    across: f64,
    down: f64,
    diagonal: f64,
}

/// What `plane` looks like, besides its `blank` pixels; values that are no numbers are blank.
///
/// # Panics
/// If `blank` is of another size.
pub fn appearance(plane: &Image<f32>, blank: Option<&Image<bool>>) -> Appearance {
    if let Some(blank) = blank {
        assert_eq!(plane.size(), blank.size(), "a mask of the plane");
    }
    let shown = |i: usize, value: f32| match blank.is_some_and(|blank| blank.data()[i]) {
        true => f32::NAN,
        false => value,
    };
    let values = plane.data().iter().enumerate();
    let seen = values.map(|(i, &value)| shown(i, value)).collect();
    let mut levels: Vec<Means> = vec![Image::new(plane.height(), plane.width(), seen)];
    let (light, _) = mean_and_deviation(&levels[0]);
    let mut octaves = [f64::NAN; OCTAVES];
    let mut lines = f64::NAN;
    for (level, octave) in octaves.iter_mut().enumerate() {
        let (means, within) = halved(&levels[level]);
        if within.blocks >= LEAST_BLOCKS {
            let blocks = within.blocks as f64;
            *octave = (within.across + within.down + within.diagonal) / blocks;
            if level == 0 {
                lines = within.across / within.down;
            }
        }
        levels.push(means);
    }
    let noise = noise_of(&levels[0]);
    let shapes = DETAILS.map(|between| shape_of(&levels, between));
    let (_, unevenness) = mean_and_deviation(&levels[OCTAVES]);
    Appearance {
        light,
        octaves,
        noise,
        unevenness,
        skewness: shapes.map(|[skewness, _]| skewness),
        kurtosis: shapes.map(|[_, kurtosis]| kurtosis),
        lines,
    }
}

/// How alike two planes of a field are: the correlation of their details of 4 to 32 px; NaN where
/// there are too few.
///
/// # Panics
/// If the planes differ in size.
pub fn likeness(one: &Image<f32>, other: &Image<f32>) -> f64 {
    assert_eq!(one.size(), other.size(), "planes of one field");
    let details = [one, other].map(|plane| {
        let between = DETAILS[1];
        let mut levels = vec![plane.clone()];
        for level in 0..between[1] {
            levels.push(halved(&levels[level]).0);
        }
        details(&levels, between)
    });
    let pairs = || details[0].iter().zip(&details[1]);
    if pairs().len() < LEAST_BLOCKS {
        return f64::NAN;
    }
    let power = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>();
    let both: f64 = pairs().map(|(a, b)| a * b).sum();
    both / (power(&details[0]) * power(&details[1])).sqrt()
}

/// The means of the 2 x 2 blocks of a level, and what varies within them. An odd row or column at
/// the end is left out.
fn halved(level: &Means) -> (Means, Within) {
    let (height, width) = (level.height() / 2, level.width() / 2);
    let (mut means, mut within) = (Vec::with_capacity(height * width), Within::default());
    for y in 0..height {
        let (top, bottom) = (level.row(2 * y), level.row(2 * y + 1));
        let mut row = Within::default();
        for (above, below) in top.chunks_exact(2).zip(bottom.chunks_exact(2)) {
            let [a, b, c, d] = [above[0], above[1], below[0], below[1]];
            let mean = (a + b + c + d) / 4.0;
            means.push(mean);
            if mean.is_finite() {
                let [across, down, diagonal] = [a - b + c - d, a + b - c - d, a - b - c + d]
                    .map(|difference| f64::from(difference / 4.0).powi(2));
                row.blocks += 1;
                row.across += across;
                row.down += down;
                row.diagonal += diagonal;
            }
        }
        within.blocks += row.blocks;
        within.across += row.across;
        within.down += row.down;
        within.diagonal += row.diagonal;
    }
    (Image::new(height, width, means), within)
}

/// Mean and standard deviation of the values that are numbers.
fn mean_and_deviation(level: &Means) -> (f64, f64) {
    let values = || level.data().iter().filter(|value| value.is_finite());
    let count = values().count() as f64;
    let mean = values().map(|&v| f64::from(v)).sum::<f64>() / count;
    let squares: f64 = values().map(|&v| (f64::from(v) - mean).powi(2)).sum();
    let deviation = match count >= LEAST_BLOCKS as f64 {
        true => (squares / count).sqrt(),
        false => f64::NAN,
    };
    (mean, deviation)
}

/// See [`Appearance::noise`].
fn noise_of(plane: &Means) -> f64 {
    let side = 2 * NOISE_BLOCK;
    let mut powers = Vec::new();
    for y in (0..(plane.height() + 1).saturating_sub(side)).step_by(side) {
        for x in (0..(plane.width() + 1).saturating_sub(side)).step_by(side) {
            let mut sum = 0.0;
            for row in (y..y + side).step_by(2) {
                let pairs = |y: usize| plane.row(y)[x..x + side].chunks_exact(2);
                for (above, below) in pairs(row).zip(pairs(row + 1)) {
                    let diagonal = (above[0] - above[1] - below[0] + below[1]) / 4.0;
                    sum += f64::from(diagonal).powi(2);
                }
            }
            powers.push(sum / (NOISE_BLOCK * NOISE_BLOCK) as f64);
        }
    }
    powers.retain(|power| power.is_finite());
    if powers.is_empty() {
        return f64::NAN;
    }
    powers.sort_by(f64::total_cmp);
    let quiet = powers[((powers.len() - 1) as f64 * QUIET) as usize];
    // A difference of four pixels by four has half the deviation of one.
    2.0 * quiet.sqrt() / QUIET_NOISE
}

/// What a level is above the means of the larger blocks, a coarser level, that its values lie in.
fn details(levels: &[Means], [fine, coarse]: [usize; 2]) -> Vec<f64> {
    let step = 1 << (coarse - fine);
    let (fine, coarse) = (&levels[fine], &levels[coarse]);
    let mut found = Vec::new();
    for y in 0..coarse.height() * step {
        for x in 0..coarse.width() * step {
            let detail = fine.row(y)[x] - coarse.row(y / step)[x / step];
            if detail.is_finite() {
                found.push(f64::from(detail));
            }
        }
    }
    found
}

/// Skewness and kurtosis of the details between two levels.
fn shape_of(levels: &[Means], between: [usize; 2]) -> [f64; 2] {
    let details = details(levels, between);
    if details.len() < LEAST_BLOCKS {
        return [f64::NAN; 2];
    }
    let moment =
        |power: i32| details.iter().map(|d| d.powi(power)).sum::<f64>() / details.len() as f64;
    let variance = moment(2);
    [moment(3) / variance.powf(1.5), moment(4) / variance.powi(2)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_image::random::Stream;

    /// Uniform noise of this standard deviation around `level`.
    fn noise(side: usize, level: f32, deviation: f32, seed: u64) -> Image<f32> {
        let mut stream = Stream::new(seed);
        let mut unit = || (stream.bits() >> 40) as f32 / (1u32 << 24) as f32;
        Image::from_fn(side, side, |_, _| {
            level + deviation * 12f32.sqrt() * (unit() - 0.5)
        })
    }

    #[test]
    fn octaves_and_what_is_left_add_up_to_the_variance() {
        let plane = noise(256, 1000.0, 20.0, 1);
        let found = appearance(&plane, None);
        let (mean, deviation) = mean_and_deviation(&plane);
        let sum: f64 = found.octaves.iter().sum::<f64>() + found.unevenness.powi(2);
        // Means and differences are f32 of about 1000: 6e-5 of 20 each.
        assert!((sum / deviation.powi(2) - 1.0).abs() < 1e-3, "{found:?}");
        assert!((found.light - mean).abs() < 1e-6);
    }

    #[test]
    fn white_noise_has_three_quarters_of_what_is_left_in_each_octave() {
        let found = appearance(&noise(512, 1000.0, 20.0, 2), None);
        for (level, octave) in found.octaves[..3].iter().enumerate() {
            let expected = 300.0 * 0.25f64.powi(level as i32);
            // Means of 3 * 4^(8 - level) squares: 1 % at the third level; four of these.
            assert!((octave / expected - 1.0).abs() < 0.05, "{level}: {octave}");
        }
        // A quantile of 1,024 blocks of 64 squares.
        assert!((found.noise / 20.0 - 1.0).abs() < 0.05, "{found:?}");
        assert!((found.lines - 1.0).abs() < 0.05 && found.skewness[0].abs() < 0.1);
    }

    #[test]
    fn noise_is_told_from_structures() {
        let dots = |y: usize, x: usize| f32::from(u8::from(y % 64 < 16 && x % 64 < 16)) * 300.0;
        let flat = noise(256, 1000.0, 5.0, 3);
        let full = Image::from_fn(256, 256, |y, x| flat.get(y, x) + dots(y, x));
        let found = appearance(&full, None);
        assert!((found.noise / 5.0 - 1.0).abs() < 0.1, "{found:?}");
        // Few bright dots.
        assert!(found.skewness[1] > 0.5, "{found:?}");
        let dark = appearance(&full.map(|v| 2000.0 - v), None);
        for (bright, dark) in found.skewness.iter().zip(dark.skewness) {
            assert!((bright + dark).abs() < 1e-3, "{bright} {dark}");
        }
    }

    #[test]
    fn what_is_blank_takes_no_part() {
        let plane = noise(256, 1000.0, 20.0, 4);
        let blank = Image::from_fn(256, 256, |_, x| x >= 128);
        let half = Image::from_fn(256, 128, |y, x| plane.get(y, x));
        let mut gap = plane.clone();
        for y in 0..256 {
            gap.row_mut(y)[128..].fill(0.0);
        }
        assert_eq!(appearance(&gap, Some(&blank)), appearance(&half, None));
    }

    #[test]
    fn what_is_too_small_to_say_is_no_number() {
        let found = appearance(&Image::filled(3, 3, 7.0), None);
        assert_eq!(found.light, 7.0);
        assert!(found.octaves.iter().all(|octave| octave.is_nan()));
        assert!(found.noise.is_nan() && found.skewness[0].is_nan());
        let flat = appearance(&Image::filled(256, 256, 7.0), None);
        assert_eq!(
            (flat.octaves[0], flat.noise, flat.unevenness),
            (0.0, 0.0, 0.0)
        );
    }

    #[test]
    fn planes_are_alike_or_the_reverse() {
        let plane = noise(256, 1000.0, 20.0, 5);
        assert!((likeness(&plane, &plane) - 1.0).abs() < 1e-9);
        let reverse = plane.map(|v| 2000.0 - v);
        assert!((likeness(&plane, &reverse) + 1.0).abs() < 1e-6);
        let other = noise(256, 1000.0, 20.0, 6);
        // 4,096 details of which none knows the other: a deviation of 1/64.
        assert!(likeness(&plane, &other).abs() < 0.07);
    }
}
