//! The exact Euclidean distance transform, in integers.
//!
//! Method: Felzenszwalb & Huttenlocher (2012), "Distance Transforms of Sampled Functions", in the
//! integer form of Meijster, Roerdink & Hesselink (2000): first the distance to the nearest
//! background pixel of the same column, then for every row the lower envelope of the parabolas
//! `(x - i)^2 + g(i)^2`. Squared distances are integers, so the result is exact.
//!
//! A run of foreground in a row sees only parabolas of its own columns and of the two background
//! pixels that end it: whatever lies beyond those is farther than they are. So the envelope is
//! built per run, and the second pass costs time by foreground, not by image.

use stainfree_image::Image;

/// Marks "no background anywhere" in squared distances.
pub const UNREACHED: u32 = u32::MAX;

/// Squared Euclidean distance in pixels from each true pixel to the nearest false pixel.
///
/// False pixels are 0. The rim of the image is not background. Without any background every value
/// is [`UNREACHED`].
///
/// # Panics
/// If a side is longer than 32,768 pixels: squared distances would not fit u32.
pub fn edt_squared(mask: &Image<bool>) -> Image<u32> {
    let (height, width) = mask.size();
    assert!(
        height <= 32_768 && width <= 32_768,
        "distance transform of {height} x {width} pixels"
    );
    let mut out = Image::filled(height, width, 0u32);
    if height == 0 || width == 0 {
        return out;
    }
    // Column distances; `far` exceeds every real one.
    let far = (height + width) as u32;
    // Whole rows at a time, so that the inner loops have no branches.
    for y in 0..height {
        let (above, here) = out.data_mut()[..(y + 1) * width].split_at_mut(y * width);
        let flags = here.iter_mut().zip(mask.row(y));
        if y == 0 {
            flags.for_each(|(h, &m)| *h = if m { far } else { 0 });
            continue;
        }
        for ((h, &m), &a) in flags.zip(&above[(y - 1) * width..]) {
            *h = if m { (a + 1).min(far) } else { 0 };
        }
    }
    for y in (0..height - 1).rev() {
        let (here, below) = out.data_mut()[y * width..].split_at_mut(width);
        for (h, &b) in here.iter_mut().zip(&*below) {
            *h = (b + 1).min(*h);
        }
    }
    let mut envelope = Envelope::default();
    let mut column = vec![0u32; width];
    for y in 0..height {
        column.copy_from_slice(out.row(y));
        let row = out.row_mut(y);
        let mut start = 0;
        while start < width {
            if column[start] == 0 {
                start += 1;
                continue;
            }
            let mut end = start;
            while end < width && column[end] != 0 {
                end += 1;
            }
            // One background pixel on either side joins the envelope where there is one.
            let first = start.saturating_sub(1);
            let last = (end + 1).min(width);
            envelope.lower(&column, first, last, start, end, far, row);
            start = end;
        }
    }
    out
}

/// Euclidean distance in pixels from each true pixel to the nearest false pixel; see [`edt_squared`].
///
/// Infinite where there is no background. Equal to `scipy.ndimage.distance_transform_edt` rounded to f32.
pub fn edt(mask: &Image<bool>) -> Image<f32> {
    edt_squared(mask).map(|&d| {
        if d == UNREACHED {
            f32::INFINITY
        } else {
            (f64::from(d)).sqrt() as f32
        }
    })
}

/// The parabolas that make up the lower envelope, and where each begins to be lowest.
#[derive(Default)]
struct Envelope {
    apex: Vec<usize>,
    from: Vec<i64>,
}

impl Envelope {
    /// Squared distances of columns `start..end` into `row`, from column distances `first..last`.
    fn lower(
        &mut self,
        column: &[u32],
        first: usize,
        last: usize,
        start: usize,
        end: usize,
        far: u32,
        row: &mut [u32],
    ) {
        let height_at = |i: usize| i64::from(column[i]) * i64::from(column[i]);
        self.apex.clear();
        self.from.clear();
        for i in first..last {
            if column[i] == far {
                continue;
            }
            let begin = loop {
                let Some(&top) = self.apex.last() else {
                    break i64::MIN;
                };
                // First x at which the parabola of `i` is strictly below that of `top`.
                let (a, b) = (top as i64, i as i64);
                let cross =
                    (b * b - a * a + height_at(i) - height_at(top)).div_euclid(2 * (b - a)) + 1;
                if self.from.last().is_some_and(|&f| cross <= f) {
                    self.apex.pop();
                    self.from.pop();
                } else {
                    break cross;
                }
            };
            self.apex.push(i);
            self.from.push(begin);
        }
        if self.apex.is_empty() {
            row[start..end].fill(UNREACHED);
            return;
        }
        let mut k = 0;
        for x in start..end {
            while k + 1 < self.apex.len() && self.from[k + 1] <= x as i64 {
                k += 1;
            }
            let d = x as i64 - self.apex[k] as i64;
            row[x] = (d * d + height_at(self.apex[k])) as u32;
        }
    }
}
