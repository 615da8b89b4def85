//! Planes normalised row by row: the numbers of [`Normalisation::apply_besides`], bit for bit, of
//! planes that are larger than memory.
//!
//! What a normalisation has to know of the whole plane is found first ([`RowNormaliser::survey`]),
//! in as many passes over the rows as that takes, and then rows are normalised as they come
//! ([`RowNormaliser::rows`]). Percentiles are exact: values are counted by the upper half of their
//! bits, then those of the few halves in question by the lower. Sums are f64 in the order of the
//! pixels, and the blur's running sums along columns are held for all columns at once.

use super::{
    CENTRE, InputError, LEAST_DEVIATION, LEAST_LIGHT, LEAST_RANGE, LIMIT, Normalisation, OUTLIERS,
    SPREAD, STRETCHED, blur_half, blur_line, mirror,
};
use std::collections::VecDeque;

/// One row of a plane on its way: its values, and which of them are blank.
pub struct Row<'a> {
    /// Raw values; those that are not finite count as 0.
    pub values: &'a [f32],
    /// Pixels that show nothing, where the plane has any.
    pub blank: Option<&'a [bool]>,
}

/// Takes values of a row, and which of them are blank.
type TakeRow<'a> = dyn FnMut(&[f32], Option<&[bool]>) + 'a;
/// Takes values of a row and of what is around them, and which of them are blank.
type TakePair<'a> = dyn FnMut(&[f32], &[f32], Option<&[bool]>) + 'a;

/// Goes over all rows of a plane, from the top, and hands each to what it is given.
pub type Pass<'a, E> = dyn FnMut(&mut dyn FnMut(Row)) -> Result<(), E> + 'a;

/// What is known of a plane, and turns its rows into what the network's input is made of.
#[derive(Clone, Debug)]
pub struct RowNormaliser {
    size: (usize, usize),
    kind: Kind,
    /// What blank pixels get, where there are any.
    blank: Option<f32>,
}

#[derive(Clone, Debug)]
enum Kind {
    Paper { full_range: f32 },
    Stretched { low: f32, range: f32 },
    Local { half: usize, floor: f32, scale: f32 },
}

impl RowNormaliser {
    /// What `normalisation` has to know of a plane of that size, whose rows `pass` goes over. Of a
    /// plane with blank pixels every row says which they are.
    ///
    /// # Errors
    /// What a pass gives; choices that make no sense.
    pub fn survey<E: From<InputError>>(
        normalisation: &Normalisation,
        size: (usize, usize),
        full_range: f32,
        has_blank: bool,
        pass: &mut Pass<E>,
    ) -> Result<Self, E> {
        normalisation.check()?;
        let kind = match *normalisation {
            Normalisation::Paper => Kind::Paper { full_range },
            Normalisation::Percentiles { low, high } => {
                let mut seen = |f: &mut dyn FnMut(f32)| pass(&mut |row| each_seen(&row, &mut *f));
                let [low, high] = percentiles([low, high], &mut seen)?;
                let range = (high - low).max(LEAST_RANGE * full_range);
                Kind::Stretched { low, range }
            }
            Normalisation::Local { radius_px } => {
                Self::survey_local(size, radius_px, full_range, has_blank, pass)?
            }
        };
        let mut found = Self {
            size,
            kind,
            blank: has_blank.then_some(0.0),
        };
        if has_blank {
            let (mut sum, mut count) = (0.0f64, 0usize);
            found.each_normalised(pass, &mut |values, blank| {
                for (&v, &blank) in values.iter().zip(blank.unwrap_or(&[])) {
                    if !blank {
                        sum += f64::from(v);
                        count += 1;
                    }
                }
            })?;
            found.blank = Some((sum / count.max(1) as f64) as f32);
        }
        Ok(found)
    }

    fn survey_local<E>(
        size: (usize, usize),
        radius_px: f64,
        full_range: f32,
        has_blank: bool,
        pass: &mut Pass<E>,
    ) -> Result<Kind, E> {
        let half = blur_half(radius_px);
        let local = |pass: &mut Pass<E>, f: &mut dyn FnMut(f32, f32)| {
            let mut rows = LocalRows::new(size, half, has_blank);
            let mut each = |values: &[f32], background: &[f32], blank: Option<&[bool]>| {
                let pairs = values.iter().zip(background).enumerate();
                let seen = pairs.filter(|(i, _)| blank.is_none_or(|blank| !blank[*i]));
                seen.for_each(|(_, (&v, &b))| f(v, b));
            };
            pass(&mut |row| rows.push(&row, &mut each))
        };
        let (mut sum, mut seen) = (0.0f64, 0usize);
        local(pass, &mut |_, b| {
            sum += f64::from(b);
            seen += 1;
        })?;
        let mean = sum / seen.max(1) as f64;
        let floor = (LEAST_LIGHT * mean as f32).max(LEAST_RANGE * full_range);
        let magnitude = |v: f32, b: f32| ((v - b) / b.max(floor)).abs();
        let mut magnitudes = |f: &mut dyn FnMut(f32)| local(pass, &mut |v, b| f(magnitude(v, b)));
        let [limit] = percentiles([OUTLIERS], &mut magnitudes)?;
        let mut squares = 0.0f64;
        local(pass, &mut |v, b| {
            squares += f64::from(magnitude(v, b).min(limit)).powi(2);
        })?;
        let deviation = (squares / seen.max(1) as f64).sqrt() as f32;
        let scale = match deviation > LEAST_DEVIATION {
            true => 1.0 / deviation,
            false => 0.0,
        };
        Ok(Kind::Local { half, floor, scale })
    }

    fn each_normalised<E>(&self, pass: &mut Pass<E>, f: &mut TakeRow) -> Result<(), E> {
        let mut rows = self.rows();
        pass(&mut |row| rows.push_with(&row, f))
    }

    /// Rows from the top.
    pub fn rows(&self) -> NormalisedRows {
        NormalisedRows {
            of: self.clone(),
            local: match self.kind {
                Kind::Local { half, .. } => {
                    Some(LocalRows::new(self.size, half, self.blank.is_some()))
                }
                _ => None,
            },
        }
    }

    /// How many rows are held on the way, each as wide as the plane: those of the blur's passes (of
    /// the weights, too, where some pixels are blank), and those that wait for it.
    pub fn held_rows(normalisation: &Normalisation, has_blank: bool) -> usize {
        let passes = if has_blank { 8 } else { 5 };
        match normalisation {
            Normalisation::Local { radius_px } => passes * (2 * blur_half(*radius_px) + 2),
            _ => 1,
        }
    }
}

/// Normalises rows in their order; some wait until rows below them are there.
pub struct NormalisedRows {
    of: RowNormaliser,
    local: Option<LocalRows>,
}

impl NormalisedRows {
    /// Takes the next row, and hands on all that are ready now; with the last row, all that remain.
    pub fn push(&mut self, row: &Row, ready: &mut dyn FnMut(&[f32])) {
        let filled = self.of.blank;
        self.push_with(row, &mut |values, blank| {
            let Some((blank, filled)) = blank.zip(filled) else {
                return ready(values);
            };
            let pairs = values.iter().zip(blank);
            let values: Vec<f32> = pairs.map(|(&v, &b)| if b { filled } else { v }).collect();
            ready(&values);
        });
    }

    fn push_with(&mut self, row: &Row, ready: &mut TakeRow) {
        match (&self.of.kind, &mut self.local) {
            (Kind::Local { floor, scale, .. }, Some(local)) => {
                let (floor, scale) = (*floor, *scale);
                let normalised = |v: f32, b: f32| {
                    let contrast = (v - b) / b.max(floor);
                    CENTRE + SPREAD * (contrast * scale).clamp(-LIMIT, LIMIT)
                };
                local.push(row, &mut |values, background, blank| {
                    let pairs = values.iter().zip(background);
                    let values: Vec<f32> = pairs.map(|(&v, &b)| normalised(v, b)).collect();
                    ready(&values, blank);
                });
            }
            (kind, _) => {
                let normalised = |x: f32| match *kind {
                    Kind::Paper { full_range } => {
                        (x * (255.0 / full_range)).round().clamp(0.0, 255.0) / 255.0
                    }
                    Kind::Stretched { low, range } => {
                        ((x - low) / range).clamp(STRETCHED[0], STRETCHED[1])
                    }
                    Kind::Local { .. } => x,
                };
                let values: Vec<f32> = row.values.iter().map(|&v| normalised(finite(v))).collect();
                ready(&values, row.blank);
            }
        }
    }
}

fn finite(value: f32) -> f32 {
    if value.is_finite() { value } else { 0.0 }
}

fn each_seen(row: &Row, mut f: impl FnMut(f32)) {
    for (i, &v) in row.values.iter().enumerate() {
        if row.blank.is_none_or(|blank| !blank[i]) {
            f(finite(v));
        }
    }
}

/// Goes over values and hands each to what it is given.
pub type Values<'a, E> = dyn FnMut(&mut dyn FnMut(f32)) -> Result<(), E> + 'a;

/// As `super::percentiles`, of values that `pass` goes over.
fn percentiles<const N: usize, E>(percent: [f64; N], pass: &mut Values<E>) -> Result<[f32; N], E> {
    let rank = |p: f64, count: usize| p / 100.0 * (count - 1) as f64;
    let ranks = |count: usize| {
        let of = |p: &f64| {
            let below = rank(*p, count) as usize;
            [below, (below + 1).min(count - 1)]
        };
        percent.iter().flat_map(of).collect()
    };
    let (count, found) = ranked(ranks, pass)?;
    let mut pairs = found.chunks_exact(2);
    Ok(percent.map(|p| match pairs.next() {
        Some(&[below, above]) => match rank(p, count).fract() as f32 {
            share if share > 0.0 => below + (above - below) * share,
            _ => below,
        },
        _ => 0.0,
    }))
}

/// How many values there are that `pass` goes over, twice, and those with the ranks that are asked
/// for, from 0, in the order of `total_cmp`; none where there are no values.
///
/// # Errors
/// What a pass gives.
pub fn ranked<E>(
    ranks: impl Fn(usize) -> Vec<usize>,
    pass: &mut Values<E>,
) -> Result<(usize, Vec<f32>), E> {
    const HALF: u32 = 16;
    let mut upper = vec![0usize; 1 << HALF];
    pass(&mut |v| upper[(key(v) >> HALF) as usize] += 1)?;
    let count: usize = upper.iter().sum();
    if count == 0 {
        return Ok((0, Vec::new()));
    }
    // The upper half of the bits of the value with this rank, and its rank among those.
    let half_of = |rank: usize| {
        let mut before = 0;
        for (half, &n) in upper.iter().enumerate() {
            if rank < before + n {
                return (half as u32, rank - before);
            }
            before += n;
        }
        (0, 0)
    };
    let wanted: Vec<(u32, usize)> = ranks(count).into_iter().map(half_of).collect();
    let mut lower: Vec<(u32, Vec<usize>)> = Vec::new();
    for &(half, _) in &wanted {
        if lower.iter().all(|(known, _)| *known != half) {
            lower.push((half, vec![0; 1 << HALF]));
        }
    }
    pass(&mut |v| {
        let key = key(v);
        if let Some((_, counts)) = lower.iter_mut().find(|(half, _)| *half == key >> HALF) {
            counts[(key & 0xffff) as usize] += 1;
        }
    })?;
    let value_of = |&(half, within): &(u32, usize)| {
        let counts = lower.iter().find(|(known, _)| *known == half);
        let mut before = 0;
        for (low, &n) in counts.iter().flat_map(|(_, counts)| counts).enumerate() {
            before += n;
            if within < before {
                return value(half << HALF | low as u32);
            }
        }
        0.0
    };
    Ok((count, wanted.iter().map(value_of).collect()))
}

/// Bits in the order of `total_cmp`.
fn key(value: f32) -> u32 {
    let bits = value.to_bits();
    bits ^ if bits >> 31 == 1 { u32::MAX } else { 1 << 31 }
}

/// The value with that [`key`].
fn value(key: u32) -> f32 {
    f32::from_bits(key ^ if key >> 31 == 1 { 1 << 31 } else { u32::MAX })
}

/// Rows with the local background of their pixels.
struct LocalRows {
    sum: RowBlur,
    /// Of the weights, where some pixels are blank.
    weight: Option<RowBlur>,
    /// Rows whose background is not yet known.
    waiting: VecDeque<(Vec<f32>, Option<Vec<bool>>)>,
    ready: [VecDeque<Vec<f32>>; 2],
}

impl LocalRows {
    fn new(size: (usize, usize), half: usize, has_blank: bool) -> Self {
        Self {
            sum: RowBlur::new(size, half),
            weight: has_blank.then(|| RowBlur::new(size, half)),
            waiting: VecDeque::new(),
            ready: Default::default(),
        }
    }

    /// Hands on values, background and blank pixels of the rows that are ready.
    fn push(&mut self, row: &Row, ready: &mut TakePair) {
        let values: Vec<f32> = row.values.iter().map(|&v| finite(v)).collect();
        let [sums, weights] = &mut self.ready;
        match &mut self.weight {
            None => self.sum.push(values.clone(), sums),
            Some(weight) => {
                let blank = row.blank.unwrap_or(&[]);
                let of: Vec<f32> = blank.iter().map(|&b| if b { 0.0 } else { 1.0 }).collect();
                let weighed = values.iter().zip(&of).map(|(v, w)| v * w).collect();
                self.sum.push(weighed, sums);
                weight.push(of, weights);
            }
        }
        self.waiting
            .push_back((values, row.blank.map(<[bool]>::to_vec)));
        while !sums.is_empty() && (self.weight.is_none() || !weights.is_empty()) {
            let (Some(mut sum), Some((values, blank))) =
                (sums.pop_front(), self.waiting.pop_front())
            else {
                break;
            };
            if let Some(weight) = weights.pop_front() {
                let pairs = sum.iter_mut().zip(&weight);
                pairs.for_each(|(v, &w)| *v = if w > 1e-4 { *v / w } else { 0.0 });
            }
            ready(&values, &sum, blank.as_deref());
        }
    }
}

/// `super::blur`, row by row.
struct RowBlur {
    half: usize,
    passes: [ColumnMeans; super::BLUR_PASSES],
}

impl RowBlur {
    fn new((height, width): (usize, usize), half: usize) -> Self {
        Self {
            half,
            passes: std::array::from_fn(|_| ColumnMeans::new(height, width, half)),
        }
    }

    fn push(&mut self, mut row: Vec<f32>, ready: &mut VecDeque<Vec<f32>>) {
        blur_line(&mut row, self.half);
        let mut rows = VecDeque::from([row]);
        for pass in &mut self.passes {
            let mut next = VecDeque::new();
            for row in rows {
                pass.push(row, &mut next);
            }
            rows = next;
        }
        ready.extend(rows);
    }
}

/// Means of the rows around each row, mirrored beyond the first and the last.
struct ColumnMeans {
    height: usize,
    half: usize,
    /// Rows from `first` on.
    kept: VecDeque<Vec<f32>>,
    first: usize,
    /// The next row that is handed on.
    next: usize,
    sums: Vec<f64>,
}

impl ColumnMeans {
    fn new(height: usize, width: usize, half: usize) -> Self {
        Self {
            height,
            half,
            kept: VecDeque::new(),
            first: 0,
            next: 0,
            sums: vec![0.0; width],
        }
    }

    fn push(&mut self, row: Vec<f32>, ready: &mut VecDeque<Vec<f32>>) {
        self.kept.push_back(row);
        let there = self.first + self.kept.len();
        while self.next < self.height && (there == self.height || there > self.next + self.half) {
            ready.push_back(self.mean());
            self.next += 1;
            // The row that leaves the next window, and that at the mirrored end, are still there.
            let needed = match self.height > 2 * self.half + 2 {
                true => self.next.saturating_sub(self.half + 1),
                false => 0,
            };
            while self.first < needed {
                self.kept.pop_front();
                self.first += 1;
            }
        }
    }

    fn row(&self, at: isize) -> &[f32] {
        &self.kept[mirror(at, self.height) - self.first]
    }

    fn mean(&mut self) -> Vec<f32> {
        let (at, half) = (self.next as isize, self.half as isize);
        let mut sums = std::mem::take(&mut self.sums);
        if at == 0 {
            for i in -half..=half {
                let row = self.row(i);
                sums.iter_mut()
                    .zip(row)
                    .for_each(|(sum, &v)| *sum += f64::from(v));
            }
        } else {
            let (next, last) = (self.row(at + half), self.row(at - half - 1));
            for ((sum, &next), &last) in sums.iter_mut().zip(next).zip(last) {
                *sum += f64::from(next) - f64::from(last);
            }
        }
        let scale = 1.0 / (2 * self.half + 1) as f64;
        let means = sums.iter().map(|&sum| (sum * scale) as f32).collect();
        self.sums = sums;
        means
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Random};
    use stainfree_image::Image;

    fn by_rows(
        normalisation: &Normalisation,
        plane: &Image<f32>,
        blank: Option<&Image<bool>>,
    ) -> Image<f32> {
        let mut pass = |f: &mut dyn FnMut(Row)| {
            for y in 0..plane.height() {
                f(Row {
                    values: plane.row(y),
                    blank: blank.map(|blank| blank.row(y)),
                });
            }
            Ok::<(), InputError>(())
        };
        let has_blank = blank.is_some();
        let known =
            RowNormaliser::survey(normalisation, plane.size(), 65_535.0, has_blank, &mut pass);
        let mut rows = known.unwrap().rows();
        let mut data = Vec::new();
        pass(&mut |row| rows.push(&row, &mut |values| data.extend_from_slice(values))).unwrap();
        Image::new(plane.height(), plane.width(), data)
    }

    #[test]
    fn rows_are_normalised_as_the_whole_plane_is_bit_for_bit() {
        let mut random = Random::new(3, Purpose::Noise, 0, 0);
        // Heights below, at and beyond what the blur's windows mirror.
        for (height, width) in [(1, 1), (5, 40), (23, 31), (24, 8), (60, 50), (131, 3)] {
            let plane = Image::from_fn(height, width, |y, x| {
                9000.0 - 20.0 * y as f32 + 11.0 * x as f32 + 300.0 * random.normal() as f32
            });
            let mut odd = plane.clone();
            *odd.get_mut(0, 0) = f32::NAN;
            *odd.get_mut(height / 2, width / 2) = -5.0;
            let blank = Image::from_fn(height, width, |y, x| x == 2 || (y + x) % 7 == 1);
            for normalisation in [
                Normalisation::Paper,
                Normalisation::Percentiles {
                    low: 0.5,
                    high: 99.5,
                },
                Normalisation::Percentiles {
                    low: 0.0,
                    high: 100.0,
                },
                Normalisation::Local { radius_px: 10.5 },
                Normalisation::Local { radius_px: 1.0 },
            ] {
                for blank in [None, Some(&blank)] {
                    for plane in [&plane, &odd, &plane.map(|v| v - 9000.0)] {
                        let expected = normalisation.apply_besides(plane, 65_535.0, blank);
                        let found = by_rows(&normalisation, plane, blank);
                        let bits = |image: &Image<f32>| -> Vec<u32> {
                            image.data().iter().map(|v| v.to_bits()).collect()
                        };
                        assert!(
                            bits(&found) == bits(&expected),
                            "{normalisation:?} of {height} x {width}, blank {}",
                            blank.is_some()
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn keys_are_in_the_order_of_the_values() {
        let mut values = [-0.0, 0.0, 1.5, -1.5, f32::MAX, f32::MIN, f32::NAN, 1e-40];
        values.sort_by(f32::total_cmp);
        assert!(values.map(key).is_sorted());
        assert!(
            values
                .iter()
                .all(|v| value(key(*v)).to_bits() == v.to_bits())
        );
    }
}
