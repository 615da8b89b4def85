//! Pixels that show nothing in planes that are larger than memory.
//!
//! Regions of one value are looked for in a picture of every n-th row and column, in which they
//! keep their straight edges; n is 1 for planes of up to [`MOST_PIXELS`], and then what is found is
//! what [`blank_pixels`] finds. Of larger planes regions count from n times the length on that
//! others do, and a pixel is theirs where it lies near one and has its value.

use super::{LEAST_LENGTH, MOST_VALUES, SpeckLimits, blank_pixels};
use stainfree_image::Image;
use std::collections::HashMap;

/// Pixels of the picture in which regions are looked for.
pub const MOST_PIXELS: usize = 1 << 23;

/// Looks at the rows of a plane, from the top.
pub struct BlankSurvey {
    size: (usize, usize),
    step: usize,
    picture: Vec<f32>,
    row: usize,
    /// Equal values above each pixel of the last row, and that row.
    equal: Vec<usize>,
    last: Vec<f32>,
    has_long_run: bool,
    not_finite: bool,
}

impl BlankSurvey {
    /// Of a plane of that size, in a picture of at most so many pixels ([`MOST_PIXELS`]).
    pub fn new(size: (usize, usize), most: usize) -> Self {
        let (height, width) = size;
        let fits = |step: &usize| height.div_ceil(*step) * width.div_ceil(*step) <= most.max(1);
        Self {
            size,
            step: (1..).find(fits).unwrap_or(1),
            picture: Vec::new(),
            row: 0,
            equal: vec![0; width],
            last: Vec::new(),
            has_long_run: false,
            not_finite: false,
        }
    }

    /// The next row.
    pub fn push(&mut self, row: &[f32]) {
        if self.row.is_multiple_of(self.step) {
            self.picture.extend(row.iter().step_by(self.step));
        }
        self.row += 1;
        self.not_finite |= row.iter().any(|v| !v.is_finite());
        if self.has_long_run {
            return;
        }
        let mut length = 1;
        for pair in row.windows(2) {
            length = if pair[0] == pair[1] { length + 1 } else { 1 };
            self.has_long_run |= length >= LEAST_LENGTH;
        }
        if self.last.is_empty() {
            self.equal.fill(1);
        } else {
            for ((n, a), b) in self.equal.iter_mut().zip(row).zip(&self.last) {
                *n = if a == b { *n + 1 } else { 1 };
                self.has_long_run |= *n >= LEAST_LENGTH;
            }
        }
        self.last.clear();
        self.last.extend_from_slice(row);
    }

    /// What was found.
    pub fn found(self) -> BlankRows {
        let (height, width) = self.size;
        let step = self.step;
        let picture = Image::new(height.div_ceil(step), width.div_ceil(step), self.picture);
        let regions = self.has_long_run.then(|| blank_pixels(&picture)).flatten();
        let mut counts: HashMap<u32, usize> = HashMap::new();
        if let Some(regions) = regions.as_ref().filter(|_| step > 1) {
            let pairs = picture.data().iter().zip(regions.data());
            for (&v, _) in pairs.filter(|&(v, &blank)| blank && v.is_finite()) {
                *counts.entry((v + 0.0).to_bits()).or_default() += 1;
            }
        }
        let mut values: Vec<(usize, u32)> = counts.into_iter().map(|(v, n)| (n, v)).collect();
        values.sort_unstable_by(|a, b| b.cmp(a));
        values.truncate(MOST_VALUES);
        values.retain(|&(n, _)| n >= LEAST_LENGTH);
        BlankRows {
            step,
            regions,
            values: values.into_iter().map(|(_, v)| f32::from_bits(v)).collect(),
            not_finite: self.not_finite,
            specks: None,
        }
    }
}

/// What shows nothing in a plane.
#[derive(Clone, Debug)]
pub struct BlankRows {
    step: usize,
    /// In the smaller picture.
    regions: Option<Image<bool>>,
    /// Values of regions, where the picture is smaller.
    values: Vec<f32>,
    not_finite: bool,
    specks: Option<SpeckLimits>,
}

impl BlankRows {
    /// Rows that are needed around those that are asked for.
    pub const MARGIN: usize = LEAST_LENGTH + 1;

    /// Every how many rows and columns were looked at for regions.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Whether any pixel may be blank.
    pub fn any(&self) -> bool {
        self.regions.is_some() || self.not_finite || self.specks.is_some()
    }

    /// The same with what lies far beyond all other values.
    pub fn with_specks(self, specks: Option<SpeckLimits>) -> Self {
        Self { specks, ..self }
    }

    /// Whether a pixel shows nothing, specks aside.
    fn is_blank(&self, (y, x): (usize, usize), value: f32) -> bool {
        let Some(regions) = &self.regions else {
            return !value.is_finite();
        };
        if self.step == 1 {
            return !value.is_finite() || regions.get(y, x);
        }
        let (v, u) = (y / self.step, x / self.step);
        let (height, width) = regions.size();
        let mut near = (v.saturating_sub(1)..(v + 2).min(height))
            .flat_map(|v| (u.saturating_sub(1)..(u + 2).min(width)).map(move |u| (v, u)));
        !value.is_finite() || self.values.contains(&value) && near.any(|(v, u)| regions.get(v, u))
    }

    /// Hands on the values of a row that are not blank, specks aside.
    pub fn each_seen(&self, y: usize, row: &[f32], mut f: impl FnMut(f32)) {
        for (x, &v) in row.iter().enumerate() {
            if !self.any() || !self.is_blank((y, x), v) {
                f(v);
            }
        }
    }

    /// Marks the blank pixels of `values`, which are rows of the plane from `first` on. In the
    /// first and the last of them specks may be missing.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn mark(&self, first: usize, values: &Image<f32>, blank: &mut Image<bool>) {
        assert_eq!(values.size(), blank.size(), "a mask of the rows");
        if !self.any() {
            return;
        }
        let (height, width) = values.size();
        for y in 0..height {
            for (x, &v) in values.row(y).iter().enumerate() {
                if self.is_blank((first + y, x), v) {
                    *blank.get_mut(y, x) = true;
                } else if self.specks.is_some_and(|specks| specks.is_far(v)) {
                    for y in y.saturating_sub(1)..(y + 2).min(height) {
                        for x in x.saturating_sub(1)..(x + 2).min(width) {
                            *blank.get_mut(y, x) = true;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{blank_in_brightfield, blank_regions};

    fn hash(y: usize, x: usize) -> usize {
        (y * 7919 + x * 104_729 + y * x * 31) * 2_654_435_761 % 1009
    }

    /// Marked by rows, in a picture of so many pixels.
    fn by_rows(plane: &Image<f32>, most: usize, step: usize) -> Option<Image<bool>> {
        let mut survey = BlankSurvey::new(plane.size(), most);
        (0..plane.height()).for_each(|y| survey.push(plane.row(y)));
        let found = survey.found();
        let mut seen = Vec::new();
        for y in 0..plane.height() {
            found.each_seen(y, plane.row(y), |v| seen.push(v));
        }
        seen.sort_by(f32::total_cmp);
        let limits = SpeckLimits::rank(seen.len()).and_then(|rank| {
            let limits = SpeckLimits::between(seen[rank], seen[seen.len() - 1 - rank])?;
            let far = seen.iter().filter(|v| limits.is_far(**v)).count();
            SpeckLimits::are_few(far, seen.len()).then_some(limits)
        });
        let found = found.with_specks(limits);
        if !found.any() {
            return None;
        }
        let (height, width) = plane.size();
        let mut rows = Vec::new();
        for y in (0..height).step_by(step) {
            let (from, to) = (
                y.saturating_sub(BlankRows::MARGIN),
                (y + step + BlankRows::MARGIN).min(height),
            );
            let mut blank = Image::filled(to - from, width, false);
            found.mark(from, &plane.crop(from, 0, to - from, width), &mut blank);
            let until = (y + step).min(height);
            rows.extend_from_slice(blank.crop(y - from, 0, until - y, width).data());
        }
        Some(Image::new(height, width, rows))
    }

    #[test]
    fn rows_show_the_blank_pixels_of_the_whole_plane() {
        let texture = Image::from_fn(120, 90, |y, x| 5000.0 + hash(y, x) as f32);
        let mut rim = texture.clone();
        for y in 0..120 {
            rim.row_mut(y)[..20].fill(0.0);
        }
        let mut specks = rim.clone();
        *specks.get_mut(60, 50) = 65_535.0;
        *specks.get_mut(61, 89) = f32::NAN;
        for plane in [&texture, &rim, &specks] {
            let expected = blank_in_brightfield([plane]);
            for step in [1, 13, 120] {
                assert!(by_rows(plane, 1 << 20, step) == expected, "steps of {step}");
            }
        }
        // In a smaller picture the rim is the same, whose width is 5 pixels there.
        let expected = blank_in_brightfield([&specks]).and_then(|blank| blank_regions(&blank));
        let found = by_rows(&specks, 120 * 90 / 16, 40).and_then(|blank| blank_regions(&blank));
        assert_eq!(found, expected);
    }
}
