//! The pixels of one channel in a region, whatever type they are stored in.

use stainfree_image::{Image, Plane};

use super::regions::{Regions, Run};

/// The quantiles that are taken of every region: minimum, percentiles, maximum.
pub(super) const QUANTILES: [f64; 7] = [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0];
/// The median's place among them.
pub(super) const MEDIAN: usize = 3;

/// What is known of the pixels of one region in one channel; intensities as stored, sums in f64.
pub(super) struct Values {
    /// Number of pixels; at least 1.
    pub(super) count: usize,
    /// Sum of the intensities.
    pub(super) sum: f64,
    /// Population variance.
    pub(super) variance: f64,
    /// In the order of [`QUANTILES`].
    pub(super) quantiles: [f64; QUANTILES.len()],
}

impl Values {
    /// The pixels of region `i`.
    pub(super) fn of(plane: &Plane, regions: &Regions, i: usize) -> Self {
        let runs = regions.runs(i);
        match plane {
            Plane::U8(image) => Self::of_integers(gather(image, runs)),
            Plane::U16(image) => Self::of_integers(gather(image, runs)),
            Plane::F32(image) => Self::of_floats(&gather(image, runs)),
        }
    }

    pub(super) fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }

    /// Sums of integers are exact, so that neither order nor size of the region matters.
    fn of_integers<T: Copy + Ord + Default + Into<u64>>(mut values: Vec<T>) -> Self
    where
        f64: From<T>,
    {
        let (mut sum, mut squares) = (0u64, 0u64);
        for &value in &values {
            let value: u64 = value.into();
            sum += value;
            squares += value * value;
        }
        let n = values.len() as u128;
        let spread = n * u128::from(squares) - u128::from(sum) * u128::from(sum);
        sort_integers(&mut values);
        Self {
            count: values.len(),
            variance: spread as f64 / (n * n) as f64,
            sum: sum as f64,
            quantiles: QUANTILES.map(|q| quantile(&values, q)),
        }
    }

    /// A value that is not a number makes everything so.
    fn of_floats(values: &[f32]) -> Self {
        let mut values: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
        let n = values.len() as f64;
        let sum: f64 = values.iter().sum();
        let mean = sum / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        values.sort_unstable_by(f64::total_cmp);
        if sum.is_nan() {
            values.fill(f64::NAN);
        }
        Self {
            count: values.len(),
            sum,
            variance,
            quantiles: QUANTILES.map(|q| quantile(&values, q)),
        }
    }
}

/// The pixels of the runs, one after the other.
fn gather<T: Copy>(image: &Image<T>, runs: &[Run]) -> Vec<T> {
    let mut values = Vec::with_capacity(runs.iter().map(|run| run.len()).sum());
    for run in runs {
        values.extend_from_slice(run.of(image));
    }
    values
}

/// The quantile `q` of ascending values, linear between two of them: numpy's default (Hyndman & Fan
/// 1996, type 7).
fn quantile<T: Copy>(sorted: &[T], q: f64) -> f64
where
    f64: From<T>,
{
    let place = q * (sorted.len() - 1) as f64;
    let low = place as usize;
    let at = |i: usize| f64::from(sorted[i.min(sorted.len() - 1)]);
    let (a, b) = (at(low), at(low + 1));
    a + (b - a) * (place - low as f64)
}

/// Sorts 8- and 16-bit integers byte by byte, lowest first (a radix sort): half the time of
/// comparing, since a nucleus has hundreds of pixels of similar values.
fn sort_integers<T: Copy + Default + Into<u64>>(values: &mut Vec<T>) {
    let byte = |value: T, place: usize| (value.into() >> (8 * place) & 255) as usize;
    let mut sorted = vec![T::default(); values.len()];
    for place in 0..size_of::<T>() {
        let mut next = [0u32; 256];
        for &value in values.iter() {
            next[byte(value, place)] += 1;
        }
        let mut from = 0;
        for next in &mut next {
            from += std::mem::replace(next, from);
        }
        for &value in values.iter() {
            let next = &mut next[byte(value, place)];
            sorted[*next as usize] = value;
            *next += 1;
        }
        std::mem::swap(values, &mut sorted);
    }
}

/// Sum of the intensities of one region; integers are added exactly.
pub(super) fn sum(plane: &Plane, regions: &Regions, i: usize) -> f64 {
    fn integers<T: Copy + Into<u64>>(image: &Image<T>, runs: &[Run]) -> f64 {
        let pixels = runs.iter().flat_map(|run| run.of(image));
        pixels.map(|&value| value.into()).sum::<u64>() as f64
    }
    let runs = regions.runs(i);
    match plane {
        Plane::U8(image) => integers(image, runs),
        Plane::U16(image) => integers(image, runs),
        Plane::F32(image) => {
            let pixels = runs.iter().flat_map(|run| run.of(image));
            pixels.map(|&value| f64::from(value)).sum()
        }
    }
}

/// The median of the pixels where `inside` holds; NaN where there is none.
///
/// Of an even number the mean of the two in the middle. Pixels that are not a number are left out.
pub(super) fn median_where(plane: &Plane, inside: &Image<bool>) -> f64 {
    fn of_counts<T: Copy + Into<usize>>(
        image: &Image<T>,
        levels: usize,
        inside: &Image<bool>,
    ) -> f64 {
        let mut counts = vec![0usize; levels];
        for (&value, &inside) in image.data().iter().zip(inside.data()) {
            counts[value.into()] += usize::from(inside);
        }
        let total: usize = counts.iter().sum();
        let at = |rank: usize| {
            let mut below = 0;
            counts.iter().position(|&count| {
                below += count;
                below > rank
            })
        };
        match total
            .checked_sub(1)
            .map(|last| (at(last / 2), at(total / 2)))
        {
            Some((Some(low), Some(high))) => (low + high) as f64 / 2.0,
            _ => f64::NAN,
        }
    }
    match plane {
        Plane::U8(image) => of_counts(image, 1 << 8, inside),
        Plane::U16(image) => of_counts(image, 1 << 16, inside),
        Plane::F32(image) => {
            let pixels = image.data().iter().zip(inside.data());
            let mut values: Vec<f32> = pixels
                .filter(|&(value, &inside)| inside && !value.is_nan())
                .map(|(&value, _)| value)
                .collect();
            let Some(last) = values.len().checked_sub(1) else {
                return f64::NAN;
            };
            let (below, &mut high, _) =
                values.select_nth_unstable_by(last.div_ceil(2), f32::total_cmp);
            let low = if last % 2 == 0 {
                high
            } else {
                below.iter().copied().max_by(f32::total_cmp).unwrap_or(high)
            };
            (f64::from(low) + f64::from(high)) / 2.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_in_the_middle() {
        let data = [7u8, 1, 3, 200, 9];
        let only = |used: [u8; 5]| Image::new(1, 5, used.map(|u| u == 1).to_vec());
        for plane in [
            Plane::U8(Image::new(1, 5, data.to_vec())),
            Plane::U16(Image::new(1, 5, data.map(u16::from).to_vec())),
            Plane::F32(Image::new(1, 5, data.map(f32::from).to_vec())),
        ] {
            assert_eq!(median_where(&plane, &only([1, 1, 1, 0, 0])), 3.0);
            assert_eq!(median_where(&plane, &only([1, 1, 1, 1, 0])), 5.0);
            assert_eq!(median_where(&plane, &only([1; 5])), 7.0);
            assert!(median_where(&plane, &only([0; 5])).is_nan());
        }
    }
}
