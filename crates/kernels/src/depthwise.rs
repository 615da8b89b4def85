//! Depthwise convolution: every channel is seen through a small filter of its own.
//!
//! 1. Forward: a strip of outputs of one row is kept in registers while the taps pass by. Columns
//!    whose filter leaves the image take a slower way that adds up in the same order.
//! 2. Input gradient: with stride 1 a convolution with turned filters. With stride 2 input pixels
//!    of each parity of row and column see taps of one parity only, so each parity is a convolution
//!    again.
//! 3. Weight gradient: sums along a row in f32, over rows in f64, in slices that depend on the
//!    shape alone.
//!
//! There is little arithmetic (9 or 25 products a value), so memory decides; 16 channels are one
//! vector, and every number is read from the first-level cache but for the first time.

use crate::blocked::{LANES, Rows, RowsMut, blocks, slot};
use crate::epilogue::{Epilogue, Sink};
use crate::isa::Isa;
use crate::pass::Cut;
use crate::simd::{Simd, SimdKernel};
use crate::workers::{Shared, Workers};
use std::ops::Range;

/// A depthwise convolution of one shape: 3x3 or 5x5, stride 1 or 2.
///
/// Output `y` sees the rows from `y * stride - before` on, with zeros outside; height and width
/// shrink by the stride, rounded up. *Blocked* filters are `[channel / 16][kernel][kernel][16]`.
#[derive(Clone, Debug)]
pub struct Depthwise {
    isa: Isa,
    images: usize,
    channels: usize,
    /// Rows and columns of the input.
    size: [usize; 2],
    window: Window,
}

/// How filters stand on the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns of a filter.
    pub kernel: usize,
    /// Input pixels from one output to the next.
    pub stride: usize,
    /// Rows and columns that the first filter stands above and left of the input.
    pub before: usize,
}

/// Outputs of a strip: 8 sums and a filter's tap fit into the registers of every instruction set
/// but one of the narrowest.
const STRIP: usize = 8;

impl Depthwise {
    /// A convolution of `images` images whose inputs have `size` (height, width).
    ///
    /// # Panics
    /// If the window is not among those there are.
    pub fn new(isa: Isa, images: usize, channels: usize, size: [usize; 2], window: Window) -> Self {
        let Window {
            kernel,
            stride,
            before,
        } = window;
        assert!(
            [3, 5].contains(&kernel) && [1, 2].contains(&stride) && before < kernel,
            "no such depthwise convolution"
        );
        Self {
            isa: isa.f32(),
            images,
            channels,
            size,
            window,
        }
    }

    fn taps(&self) -> usize {
        self.window.kernel * self.window.kernel
    }

    fn output_size(&self) -> [usize; 2] {
        self.size.map(|side| side.div_ceil(self.window.stride))
    }

    /// Values of the blocked filters.
    pub fn blocked_len(&self) -> usize {
        blocks(self.channels) * self.taps() * LANES
    }

    /// Calls `visit(blocked index, index in [channel][1][kernel][kernel])` for every real weight.
    pub fn indices(&self, visit: &mut dyn FnMut(usize, usize)) {
        let taps = self.taps();
        for channel in 0..self.channels {
            for tap in 0..taps {
                let blocked = (channel / LANES * taps + tap) * LANES + channel % LANES;
                visit(blocked, channel * taps + tap);
            }
        }
    }

    /// The output rows `rows`; arrays may hold fewer rows than the image has.
    ///
    /// # Panics
    /// If an array does not have the size the shape says.
    pub fn forward_rows(
        &self,
        workers: &Workers,
        x: Rows,
        filters: &[f32],
        epilogue: Epilogue,
        out: RowsMut,
        rows: Range<usize>,
    ) {
        let (size, made) = (self.size, self.output_size());
        self.correlate(
            workers,
            (x, size),
            filters,
            self.window,
            epilogue,
            (out, made),
            rows,
        );
    }

    /// Gradient of the input from `d_out`, with the filters as they are.
    ///
    /// # Panics
    /// If an array does not have the size the shape says.
    pub fn input_gradient(
        &self,
        workers: &Workers,
        d_out: &[f32],
        filters: &[f32],
        sink: &mut Sink,
    ) {
        let epilogue = sink.epilogue;
        epilogue.check(blocks(self.channels), sink.data.len());
        let (size, seen) = (self.size, self.output_size());
        let kept = seen[0];
        let d = Rows { data: d_out, kept };
        let [kept, _] = size;
        let to = RowsMut {
            data: sink.data,
            kept,
        };
        if self.window.stride == 1 {
            // By the transpose of a convolution: each input pixel sees the outputs that saw it.
            let turned: Vec<f32> = filters
                .chunks_exact(self.taps() * LANES)
                .flat_map(|block| block.rchunks_exact(LANES).flatten().copied())
                .collect();
            let before = self.window.kernel - 1 - self.window.before;
            let window = Window {
                before,
                ..self.window
            };
            return self.correlate(
                workers,
                (d, seen),
                &turned,
                window,
                epilogue,
                (to, size),
                0..kept,
            );
        }
        self.check(d.data.len(), d.kept, seen[1]);
        self.check(to.data.len(), to.kept, size[1]);
        assert_eq!(
            filters.len(),
            self.blocked_len(),
            "filters have another size"
        );
        let c_blocks = blocks(self.channels);
        let cut = Cut::new(self.images * c_blocks, 0..size[0], size[1]);
        let shared = Shared::new(to.data);
        cut.for_each(workers, |plane, rows| {
            self.isa.run(Spread {
                window: self.window,
                filter: filter(filters, plane % c_blocks, self.taps()),
                d: &d_out[plane * seen[0] * seen[1] * LANES..][..seen[0] * seen[1] * LANES],
                seen,
                to: shared,
                first: plane * size[0] * size[1] * LANES,
                width: size[1],
                rows,
                block: plane % c_blocks,
                epilogue,
            });
        });
    }

    #[allow(clippy::too_many_arguments)]
    fn correlate(
        &self,
        workers: &Workers,
        (x, size): (Rows, [usize; 2]),
        filters: &[f32],
        window: Window,
        epilogue: Epilogue,
        (out, made): (RowsMut, [usize; 2]),
        rows: Range<usize>,
    ) {
        self.check(x.data.len(), x.kept, size[1]);
        self.check(out.data.len(), out.kept, made[1]);
        epilogue.check(blocks(self.channels), out.data.len());
        assert_eq!(
            filters.len(),
            self.blocked_len(),
            "filters have another size"
        );
        assert!(
            rows.end <= made[0] && rows.len() <= out.kept,
            "rows that are not held"
        );
        let c_blocks = blocks(self.channels);
        let cut = Cut::new(self.images * c_blocks, rows, made[1]);
        let shared = Shared::new(out.data);
        cut.for_each(workers, |plane, rows| {
            self.isa.run(Correlate {
                window,
                filter: filter(filters, plane % c_blocks, self.taps()),
                x: &x.data[plane * x.kept * size[1] * LANES..][..x.kept * size[1] * LANES],
                x_kept: x.kept,
                size,
                to: shared,
                first: plane * out.kept * made[1] * LANES,
                to_kept: out.kept,
                width: made[1],
                rows,
                block: plane % c_blocks,
                epilogue,
            });
        });
    }

    /// Gradient of the blocked filters from the input and `d_out`.
    ///
    /// # Panics
    /// If an array does not have the size the shape says.
    pub fn weight_gradient(
        &self,
        workers: &Workers,
        x: &[f32],
        d_out: &[f32],
        d_filters: &mut [f32],
    ) {
        let (size, made) = (self.size, self.output_size());
        self.check(x.len(), size[0], size[1]);
        self.check(d_out.len(), made[0], made[1]);
        assert_eq!(
            d_filters.len(),
            self.blocked_len(),
            "filters have another size"
        );
        let c_blocks = blocks(self.channels);
        // Within a chunk, then chunk by chunk: an order of its own for every cut, so the cut must
        // depend on the shape alone.
        let cut = Cut::new(self.images * c_blocks, 0..made[0], made[1]);
        let parts = cut.map(workers, |plane, rows| {
            self.isa.run(TapSums {
                window: self.window,
                x: &x[plane * size[0] * size[1] * LANES..][..size[0] * size[1] * LANES],
                size,
                d: &d_out[plane * made[0] * made[1] * LANES..][..made[0] * made[1] * LANES],
                width: made[1],
                rows,
            })
        });
        let len = self.taps() * LANES;
        let mut sums = vec![0.0; self.blocked_len()];
        for (task, part) in parts.iter().enumerate() {
            let block = cut.plane_of(task) % c_blocks;
            for (sum, value) in sums[block * len..][..len]
                .iter_mut()
                .zip(part.as_flattened())
            {
                *sum += value;
            }
        }
        for (to, sum) in d_filters.iter_mut().zip(sums) {
            *to = sum as f32;
        }
    }

    /// Panics unless an array of `len` values holds `kept` rows of every block.
    #[track_caller]
    fn check(&self, len: usize, kept: usize, width: usize) {
        let expected = self.images * blocks(self.channels) * kept * width * LANES;
        assert_eq!(len, expected, "blocked array has another size");
    }
}

/// The filters of one block.
fn filter(filters: &[f32], block: usize, taps: usize) -> &[f32] {
    &filters[block * taps * LANES..][..taps * LANES]
}

impl Window {
    /// Input place under tap 0 of output `at`.
    #[inline(always)]
    fn start(&self, at: usize) -> isize {
        (at * self.stride) as isize - self.before as isize
    }

    /// Outputs along a side of `made` whose taps all lie within `size`.
    #[inline(always)]
    fn inside(&self, size: usize, made: usize) -> Range<usize> {
        let first = self.before.div_ceil(self.stride).min(made);
        let end = match (size + self.before).checked_sub(self.kernel) {
            Some(room) => (room / self.stride + 1).min(made),
            None => 0,
        };
        first..end.max(first)
    }
}

/// Some rows of one plane of the output.
struct Correlate<'a, 'b> {
    window: Window,
    /// `[kernel][kernel][16]`.
    filter: &'a [f32],
    /// One plane of the input, of which `x_kept` rows are held.
    x: &'a [f32],
    x_kept: usize,
    size: [usize; 2],
    /// The whole output, and where the plane begins there.
    to: Shared<'b>,
    first: usize,
    to_kept: usize,
    width: usize,
    rows: Range<usize>,
    block: usize,
    epilogue: Epilogue<'a>,
}

impl SimdKernel for Correlate<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match (self.window.kernel, self.window.stride) {
            (3, 1) => self.rows::<S, 3, 1>(s),
            (3, _) => self.rows::<S, 3, 2>(s),
            (_, 1) => self.rows::<S, 5, 1>(s),
            (_, _) => self.rows::<S, 5, 2>(s),
        }
    }
}

impl Correlate<'_, '_> {
    #[inline(always)]
    fn rows<S: Simd, const K: usize, const STRIDE: usize>(&self, s: S) {
        let row = self.size[1] * LANES;
        assert!(self.x.len() == self.x_kept * row && self.filter.len() == K * K * LANES);
        let inside = self.window.inside(self.size[1], self.width);
        // SAFETY: the block is one of the output's, and the bias was checked.
        let bias = unsafe { self.epilogue.bias_of(s, self.block * LANES) };
        for y in self.rows.clone() {
            let mut lines: [Option<&[f32]>; K] = [None; K];
            for (ty, line) in lines.iter_mut().enumerate() {
                let at = self.window.start(y) + ty as isize;
                if (0..self.size[0] as isize).contains(&at) {
                    *line = Some(&self.x[slot(at as usize, self.x_kept) * row..][..row]);
                }
            }
            let place = self.first + slot(y, self.to_kept) * self.width * LANES;
            // Taps in the order of `strip`, so that a value does not depend on where the image
            // ends.
            for x in (0..inside.start).chain(inside.end..self.width) {
                let value = self.edge::<S, K>(s, &lines, x);
                self.store(s, bias, place + x * LANES, [value]);
            }
            let mut x = inside.start;
            while x < inside.end {
                if x + STRIP <= inside.end {
                    // SAFETY: the strip lies inside.
                    let values = unsafe { self.strip::<S, K, STRIDE, STRIP>(s, &lines, x) };
                    self.store(s, bias, place + x * LANES, values);
                    x += STRIP;
                } else {
                    // SAFETY: as above.
                    let values = unsafe { self.strip::<S, K, STRIDE, 1>(s, &lines, x) };
                    self.store(s, bias, place + x * LANES, values);
                    x += 1;
                }
            }
        }
    }

    /// `N` outputs from `x` on.
    ///
    /// # Safety
    /// All taps of all of them lie within the lines.
    #[inline(always)]
    unsafe fn strip<S: Simd, const K: usize, const STRIDE: usize, const N: usize>(
        &self,
        s: S,
        lines: &[Option<&[f32]>; K],
        x: usize,
    ) -> [S::V; N] {
        // N sums at once: a tap is loaded once for all of them, and they hide each other's latency.
        let mut sums = [s.zero(); N];
        let start = self.window.start(x) as usize * LANES;
        for ty in 0..K {
            let Some(line) = lines[ty] else { continue };
            for tx in 0..K {
                // SAFETY: the filter has K x K taps, and the caller vouches for the line.
                unsafe {
                    let w = s.load(self.filter.as_ptr().add((ty * K + tx) * LANES));
                    let from = line.as_ptr().add(start + tx * LANES);
                    for n in 0..N {
                        sums[n] = s.mul_add(w, s.load(from.add(n * STRIDE * LANES)), sums[n]);
                    }
                }
            }
        }
        sums
    }

    /// The output `x`, some of whose taps lie outside.
    #[inline(always)]
    fn edge<S: Simd, const K: usize>(&self, s: S, lines: &[Option<&[f32]>; K], x: usize) -> S::V {
        let mut sum = s.zero();
        for ty in 0..K {
            let Some(line) = lines[ty] else { continue };
            for tx in 0..K {
                let at = self.window.start(x) + tx as isize;
                if (0..self.size[1] as isize).contains(&at) {
                    let value = &line[at as usize * LANES..][..LANES];
                    let w = &self.filter[(ty * K + tx) * LANES..][..LANES];
                    // SAFETY: 16 values each.
                    sum = unsafe { s.mul_add(s.load(w.as_ptr()), s.load(value.as_ptr()), sum) };
                }
            }
        }
        sum
    }

    #[inline(always)]
    fn store<S: Simd, const N: usize>(
        &self,
        s: S,
        bias: Option<S::V>,
        place: usize,
        values: [S::V; N],
    ) {
        for (n, value) in values.into_iter().enumerate() {
            let place = place + n * LANES;
            // SAFETY: the place belongs to this task's rows of the output, whose size was checked.
            unsafe {
                let target = self.to.at(place);
                s.store(target, self.epilogue.apply(s, value, bias, place, target));
            }
        }
    }
}

/// Some rows of one plane of the input gradient of a convolution with stride 2.
struct Spread<'a, 'b> {
    window: Window,
    filter: &'a [f32],
    /// One plane of the output's gradient, and its height and width.
    d: &'a [f32],
    seen: [usize; 2],
    to: Shared<'b>,
    first: usize,
    width: usize,
    rows: Range<usize>,
    block: usize,
    epilogue: Epilogue<'a>,
}

impl Spread<'_, '_> {
    /// Taps that reach input place `at`, with the output each comes from.
    #[inline(always)]
    fn reaching(&self, at: usize, count: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
        let Window { kernel, before, .. } = self.window;
        // With stride 2 every second tap lands on an output.
        let first = (at + before) % 2;
        (first..kernel.min(at + before + 1))
            .step_by(2)
            .map(move |tap| (tap, (at + before - tap) / 2))
            .filter(move |&(_, from)| from < count)
    }
}

impl SimdKernel for Spread<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let kernel = self.window.kernel;
        // SAFETY: the block is one of the target's, and a bias was checked.
        let bias = unsafe { self.epilogue.bias_of(s, self.block * LANES) };
        for y in self.rows.clone() {
            for x in 0..self.width {
                let mut sum = s.zero();
                for (ty, from_y) in self.reaching(y, self.seen[0]) {
                    let line = &self.d[from_y * self.seen[1] * LANES..][..self.seen[1] * LANES];
                    for (tx, from_x) in self.reaching(x, self.seen[1]) {
                        let d = &line[from_x * LANES..][..LANES];
                        let w = &self.filter[(ty * kernel + tx) * LANES..][..LANES];
                        // SAFETY: 16 values each.
                        sum = unsafe { s.mul_add(s.load(w.as_ptr()), s.load(d.as_ptr()), sum) };
                    }
                }
                let place = self.first + (y * self.width + x) * LANES;
                // SAFETY: the place belongs to this task's rows of the output, whose size was
                // checked.
                unsafe {
                    let target = self.to.at(place);
                    s.store(target, self.epilogue.apply(s, sum, bias, place, target));
                }
            }
        }
    }
}

/// Sums of the products of every tap over some rows of the output.
struct TapSums<'a> {
    window: Window,
    x: &'a [f32],
    size: [usize; 2],
    d: &'a [f32],
    width: usize,
    rows: Range<usize>,
}

impl SimdKernel for TapSums<'_> {
    type Output = Vec<[f64; LANES]>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<[f64; LANES]> {
        match (self.window.kernel, self.window.stride) {
            (3, 1) => self.sums::<S, 3, 1>(s),
            (3, _) => self.sums::<S, 3, 2>(s),
            (_, 1) => self.sums::<S, 5, 1>(s),
            (_, _) => self.sums::<S, 5, 2>(s),
        }
    }
}

impl TapSums<'_> {
    #[inline(always)]
    fn sums<S: Simd, const K: usize, const STRIDE: usize>(&self, s: S) -> Vec<[f64; LANES]> {
        let mut sums = vec![[0.0; LANES]; K * K];
        let (row, made) = (self.size[1] * LANES, self.width * LANES);
        let inside = self.window.inside(self.size[1], self.width);
        for y in self.rows.clone() {
            let d = &self.d[y * made..][..made];
            for ty in 0..K {
                let at = self.window.start(y) + ty as isize;
                if !(0..self.size[0] as isize).contains(&at) {
                    continue;
                }
                let line = &self.x[at as usize * row..][..row];
                // K sums a row of taps and not K x K: they stay in registers, and every input row
                // is in the first-level cache for the next tap row.
                let mut taps = [s.zero(); K];
                for x in (0..inside.start).chain(inside.end..self.width) {
                    for (tx, tap) in taps.iter_mut().enumerate() {
                        let at = self.window.start(x) + tx as isize;
                        if (0..self.size[1] as isize).contains(&at) {
                            let (value, d) = (&line[at as usize * LANES..], &d[x * LANES..]);
                            assert!(value.len() >= LANES && d.len() >= LANES);
                            // SAFETY: 16 values each.
                            *tap = unsafe {
                                s.mul_add(s.load(value.as_ptr()), s.load(d.as_ptr()), *tap)
                            };
                        }
                    }
                }
                if !inside.is_empty() {
                    let start = self.window.start(inside.start) as usize;
                    for (i, x) in inside.clone().enumerate() {
                        // SAFETY: all taps of the columns inside lie within the line.
                        unsafe {
                            let d = s.load(d.as_ptr().add(x * LANES));
                            let from = line.as_ptr().add((start + i * STRIDE) * LANES);
                            for tx in 0..K {
                                taps[tx] = s.mul_add(s.load(from.add(tx * LANES)), d, taps[tx]);
                            }
                        }
                    }
                }
                for (tx, tap) in taps.into_iter().enumerate() {
                    let mut lanes = [0.0; LANES];
                    // SAFETY: `lanes` holds 16 values.
                    unsafe { s.store(lanes.as_mut_ptr(), tap) };
                    for (sum, lane) in sums[ty * K + tx].iter_mut().zip(lanes) {
                        *sum += f64::from(lane);
                    }
                }
            }
        }
        sums
    }
}
