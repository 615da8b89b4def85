//! Masks as one bit a pixel: an eighth of the memory, and 64 pixels a step.
//!
//! Here: packing and unpacking, runs of pixels, dilation and erosion. Not here: what hangs together
//! (`components`), grey images. A row begins with a new word; bits beyond the width are always 0.

use crate::footprint::Footprint;
use rayon::prelude::*;
use stainfree_image::Image;

/// Pixels in a word.
const WORD: usize = u64::BITS as usize;

/// Rows worked on by one task: enough to be worth handing out, few enough to stay in cache.
pub(crate) const BAND: usize = 32;

/// A binary mask, `[height, width]`, packed by rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bits {
    height: usize,
    width: usize,
    /// Words a row.
    stride: usize,
    words: Vec<u64>,
}

/// Columns `from..to` of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) from: u32,
    pub(crate) to: u32,
}

impl Run {
    pub(crate) fn len(self) -> usize {
        (self.to - self.from) as usize
    }

    /// The same run counted from column `left`.
    pub(crate) fn relative_to(self, left: usize) -> Self {
        Self {
            from: self.from - left as u32,
            to: self.to - left as u32,
        }
    }

    pub(crate) fn columns(self) -> std::ops::Range<usize> {
        self.from as usize..self.to as usize
    }
}

impl Bits {
    /// A mask without a pixel.
    pub(crate) fn empty(height: usize, width: usize) -> Self {
        let stride = width.div_ceil(WORD);
        Self {
            height,
            width,
            stride,
            words: vec![0; height * stride],
        }
    }

    /// Asks for the flags of every row; rows are asked for in parallel.
    pub(crate) fn from_rows(
        height: usize,
        width: usize,
        fill: impl Fn(usize, &mut [bool]) + Sync,
    ) -> Self {
        let mut bits = Self::empty(height, width);
        let stride = bits.stride.max(1);
        let band = |(i, rows): (usize, &mut [u64])| {
            let mut flags = vec![false; width];
            for (k, row) in rows.chunks_exact_mut(stride).enumerate() {
                fill(i * BAND + k, &mut flags);
                pack(&flags, row);
            }
        };
        bits.words
            .par_chunks_mut(stride * BAND)
            .enumerate()
            .for_each(band);
        bits
    }

    pub(crate) fn from_mask(mask: &Image<bool>) -> Self {
        let (height, width) = mask.size();
        let mut bits = Self::empty(height, width);
        let stride = bits.stride.max(1);
        for (y, row) in bits.words.chunks_exact_mut(stride).enumerate() {
            pack(mask.row(y), row);
        }
        bits
    }

    pub(crate) fn to_mask(&self) -> Image<bool> {
        let mut flags = vec![false; self.height * self.width];
        flags
            .par_chunks_mut((self.width * BAND).max(1))
            .enumerate()
            .for_each(|(i, rows)| {
                for (k, row) in rows.chunks_exact_mut(self.width).enumerate() {
                    for run in self.runs_of(i * BAND + k) {
                        row[run.columns()].fill(true);
                    }
                }
            });
        Image::new(self.height, self.width, flags)
    }

    pub(crate) fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    pub(crate) fn row(&self, y: usize) -> &[u64] {
        &self.words[y * self.stride..(y + 1) * self.stride]
    }

    /// Sets the pixels of `run` in row `y`.
    pub(crate) fn set(&mut self, y: usize, run: Run) {
        self.change(y, run, |word, bits| *word |= bits);
    }

    /// Clears the pixels of `run` in row `y`.
    pub(crate) fn clear(&mut self, y: usize, run: Run) {
        self.change(y, run, |word, bits| *word &= !bits);
    }

    fn change(&mut self, y: usize, run: Run, change: impl Fn(&mut u64, u64)) {
        let (from, to) = (run.from as usize, run.to as usize);
        if from >= to {
            return;
        }
        let row = &mut self.words[y * self.stride..(y + 1) * self.stride];
        let (first, last) = (from / WORD, (to - 1) / WORD);
        let head = u64::MAX << (from % WORD);
        let tail = u64::MAX >> (WORD - 1 - (to - 1) % WORD);
        if first == last {
            change(&mut row[first], head & tail);
            return;
        }
        change(&mut row[first], head);
        row[first + 1..last]
            .iter_mut()
            .for_each(|word| change(word, u64::MAX));
        change(&mut row[last], tail);
    }

    /// Number of pixels.
    pub(crate) fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// The runs of row `y`, from the left.
    pub(crate) fn runs_of(&self, y: usize) -> impl Iterator<Item = Run> + '_ {
        runs_in(self.row(y), self.width)
    }

    /// The other pixels.
    pub(crate) fn inverse(&self) -> Self {
        let mut out = self.clone();
        let used = self.width % WORD;
        let last = if used == 0 { u64::MAX } else { (1 << used) - 1 };
        for row in out.words.chunks_exact_mut(self.stride.max(1)) {
            row.iter_mut().for_each(|word| *word = !*word);
            if let Some(word) = row.last_mut() {
                *word &= last;
            }
        }
        out
    }

    /// Word by word `combine` of masks of one size; it must give 0 where all are 0.
    pub(crate) fn combined<const N: usize>(
        masks: [&Bits; N],
        combine: impl Fn([u64; N]) -> u64,
    ) -> Self {
        let mut out = masks[0].clone();
        for (i, word) in out.words.iter_mut().enumerate() {
            *word = combine(masks.map(|m| m.words[i]));
        }
        out
    }

    /// Pixels whose footprint meets the mask; outside the image there are none.
    pub(crate) fn dilated(&self, footprint: Footprint) -> Self {
        match footprint {
            Footprint::Square(r) => self.painted(&vec![r; r + 1]),
            Footprint::Disk(r) => {
                let spans: Vec<usize> = (0..=r).map(|dy| (r * r - dy * dy).isqrt()).collect();
                self.painted(&spans)
            }
        }
    }

    /// Pixels at most `distance` (Euclidean, in pixels) from the mask.
    pub(crate) fn within(&self, distance: f64) -> Self {
        let reach = distance as usize;
        let span = |dy: usize| (distance * distance - (dy * dy) as f64).sqrt() as usize;
        self.painted(&(0..=reach).map(span).collect::<Vec<usize>>())
    }

    /// Every pixel paints a footprint; `spans` are the half-widths of its rows from the middle one.
    fn painted(&self, spans: &[usize]) -> Self {
        let mut out = Self::empty(self.height, self.width);
        let stride = out.stride.max(1);
        let band = |(i, rows): (usize, &mut [u64])| {
            let mut wide = vec![0u64; stride];
            for (k, row) in rows.chunks_exact_mut(stride).enumerate() {
                self.dilated_row(i * BAND + k, spans, row, &mut wide);
            }
        };
        let bands = out.words.par_chunks_mut(stride * BAND);
        bands.enumerate().for_each(band);
        out
    }

    /// Pixels whose whole footprint lies in the mask; what lies outside the image does not count.
    pub(crate) fn eroded(&self, footprint: Footprint) -> Self {
        self.inverse().dilated(footprint).inverse()
    }

    /// Row `y` of the dilation: rows of one half-width are joined before they are widened.
    fn dilated_row(&self, y: usize, spans: &[usize], out: &mut [u64], wide: &mut [u64]) {
        let mut dy = 0;
        while dy < spans.len() {
            let span = spans[dy];
            wide.fill(0);
            while dy < spans.len() && spans[dy] == span {
                if y >= dy {
                    join(wide, self.row(y - dy));
                }
                if y + dy < self.height {
                    join(wide, self.row(y + dy));
                }
                dy += 1;
            }
            widen(wide, span);
            join(out, wide);
        }
        let used = self.width % WORD;
        if let Some(word) = out.last_mut().filter(|_| used > 0) {
            *word &= (1 << used) - 1;
        }
    }
}

/// Packs flags into words, 8 at a time.
fn pack(flags: &[bool], words: &mut [u64]) {
    for (word, flags) in words.iter_mut().zip(flags.chunks(WORD)) {
        let (eights, rest) = flags.as_chunks::<8>();
        *word = 0;
        for (i, eight) in eights.iter().enumerate() {
            // The product moves bit 8 i to bit 56 + i; no two terms meet in the highest byte.
            let bytes = u64::from_le_bytes(eight.map(u8::from));
            *word |= (bytes.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * i);
        }
        for (i, &flag) in rest.iter().enumerate() {
            *word |= u64::from(flag) << (8 * eights.len() + i);
        }
    }
}

/// Runs of ones: every change between neighbouring bits begins or ends one.
fn runs_in(words: &[u64], width: usize) -> impl Iterator<Item = Run> + '_ {
    let (mut at, mut changes, mut before) = (0, 0u64, 0u64);
    let mut next_change = move || {
        while changes == 0 {
            let &word = words.get(at)?;
            changes = word ^ (word << 1 | before);
            before = word >> (WORD - 1);
            at += 1;
        }
        let bit = changes.trailing_zeros() as usize;
        changes &= changes - 1;
        Some(((at - 1) * WORD + bit) as u32)
    };
    std::iter::from_fn(move || {
        let from = next_change()?;
        let to = next_change().unwrap_or(width as u32);
        Some(Run { from, to })
    })
}

fn join(into: &mut [u64], other: &[u64]) {
    into.iter_mut().zip(other).for_each(|(a, b)| *a |= b);
}

/// Every bit paints `span` bits to either side; steps double, so the time grows with its logarithm.
fn widen(row: &mut [u64], span: usize) {
    let mut done = 0;
    while done < span {
        // A run of 2 done + 1 moved by this much leaves no gap, also where the rim of the image has
        // cut the run down to done + 1.
        let step = (span - done).min(done + 1).min(WORD - 1);
        let mut low = 0u64;
        for i in 0..row.len() {
            let here = row[i];
            let high = row.get(i + 1).copied().unwrap_or(0);
            row[i] =
                here | here << step | low >> (WORD - step) | here >> step | high << (WORD - step);
            low = here;
        }
        done += step;
    }
}
