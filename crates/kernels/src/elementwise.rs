//! Small passes over activations: sums of channels, sums of arrays, functions of single values.

use crate::activation::Activation;
use crate::blocked::{Blocked, LANES, Rows, RowsMut};
use crate::epilogue::{Epilogue, Sink};
use crate::isa::Isa;
use crate::pass::{Pass, RowKernel};
use crate::simd::Simd;
use crate::workers::Workers;
use std::ops::Range;

/// Sum of every channel over images and pixels (filled-up channels included): the gradient of a
/// bias.
///
/// Rows are summed in f32, everything above in f64.
///
/// # Panics
/// If the length does not match.
pub fn channel_sums(isa: Isa, workers: &Workers, shape: &Blocked, x: &[f32]) -> Vec<f32> {
    assert_eq!(x.len(), shape.len(), "array has another size");
    let kernel = RowSums {
        row: shape.width * LANES,
        x: shape.whole(x),
    };
    let pass = Pass::whole(isa, workers, shape);
    let parts = pass.sums(None, &kernel);
    let mut sums = vec![0.0; shape.blocks() * LANES];
    for (plane, [part]) in parts.iter().enumerate() {
        let first = plane % shape.blocks() * LANES;
        for (sum, value) in sums[first..].iter_mut().zip(part) {
            *sum += value;
        }
    }
    sums.into_iter().map(|s: f64| s as f32).collect()
}

/// `out = a + b * factor` in the rows `rows`, with a factor for every image; arrays may hold fewer
/// rows than the images have.
///
/// # Panics
/// If a length does not match.
#[allow(clippy::too_many_arguments)]
pub fn add_rows(
    isa: Isa,
    workers: &Workers,
    shape: &Blocked,
    [a, b]: [Rows; 2],
    factors: &[f32],
    out: RowsMut,
    rows: Range<usize>,
) {
    assert_eq!(factors.len(), shape.images, "one factor for every image");
    for (len, kept) in [
        (a.data.len(), a.kept),
        (b.data.len(), b.kept),
        (out.data.len(), out.kept),
    ] {
        shape.check_rows(len, kept, &rows);
    }
    let kernel = AddScaled {
        blocks: shape.blocks(),
        a,
        b,
        factors,
    };
    Pass::new(isa, workers, shape.planes(), rows, shape.width).run(out, &kernel);
}

struct AddScaled<'a> {
    blocks: usize,
    a: Rows<'a>,
    b: Rows<'a>,
    /// Of every image.
    factors: &'a [f32],
}

impl RowKernel<0> for AddScaled<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, s: S, plane: usize, y: usize, out: &mut [f32]) -> [S::V; 0] {
        let factor = s.splat(self.factors[plane / self.blocks]);
        let (a, b) = (
            self.a.line(plane, y, out.len()),
            self.b.line(plane, y, out.len()),
        );
        let inputs = a.chunks_exact(LANES).zip(b.chunks_exact(LANES));
        for ((a, b), out) in inputs.zip(out.chunks_exact_mut(LANES)) {
            // SAFETY: 16 values each.
            unsafe {
                let sum = s.mul_add(s.load(b.as_ptr()), factor, s.load(a.as_ptr()));
                s.store(out.as_mut_ptr(), sum);
            }
        }
        []
    }
}

/// Sends the gradient `d` of a sum to one of its terms, which was multiplied with a factor for
/// every image.
///
/// # Panics
/// If a length does not match.
pub fn add_gradient(
    isa: Isa,
    workers: &Workers,
    shape: &Blocked,
    d: &[f32],
    factors: &[f32],
    sink: &mut Sink,
) {
    assert_eq!(factors.len(), shape.images, "one factor for every image");
    assert!(
        d.len() == shape.len() && sink.data.len() == d.len(),
        "array has another size"
    );
    let Sink { data, epilogue } = sink;
    epilogue.check(shape.blocks(), data.len());
    let kernel = SendScaled {
        blocks: shape.blocks(),
        height: shape.height,
        d: shape.whole(d),
        factors,
        epilogue: *epilogue,
    };
    let pass = Pass::whole(isa, workers, shape);
    pass.run(shape.whole_mut(data), &kernel);
}

struct SendScaled<'a> {
    blocks: usize,
    height: usize,
    d: Rows<'a>,
    /// Of every image.
    factors: &'a [f32],
    epilogue: Epilogue<'a>,
}

impl RowKernel<0> for SendScaled<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, s: S, plane: usize, y: usize, out: &mut [f32]) -> [S::V; 0] {
        let factor = s.splat(self.factors[plane / self.blocks]);
        let place = (plane * self.height + y) * out.len();
        let channels = plane % self.blocks * LANES;
        // SAFETY: the channels are a block's, and a bias was checked.
        let bias = unsafe { self.epilogue.bias_of(s, channels) };
        let line = self.d.line(plane, y, out.len());
        let pixels = line.chunks_exact(LANES).zip(out.chunks_exact_mut(LANES));
        for (i, (d, out)) in pixels.enumerate() {
            // SAFETY: 16 values each; the mask was checked to be as long as the whole target.
            unsafe {
                let value = s.mul(s.load(d.as_ptr()), factor);
                let place = place + i * LANES;
                let value = self.epilogue.apply(s, value, bias, place, out.as_ptr());
                s.store(out.as_mut_ptr(), value);
            }
        }
        []
    }
}

/// `out = activation(x)` in the rows `rows`; arrays may hold fewer rows than the images have.
///
/// # Panics
/// If a length does not match.
pub fn activate_rows(
    isa: Isa,
    workers: &Workers,
    shape: &Blocked,
    activation: Activation,
    x: Rows,
    out: RowsMut,
    rows: Range<usize>,
) {
    shape.check_rows(x.data.len(), x.kept, &rows);
    shape.check_rows(out.data.len(), out.kept, &rows);
    let kernel = Activate {
        activation,
        x: Some(x),
    };
    Pass::new(isa, workers, shape.planes(), rows, shape.width).run(out, &kernel);
}

/// [`activate_rows`] of an array onto itself.
///
/// # Panics
/// If the length does not match.
pub fn activate_in_place_rows(
    isa: Isa,
    workers: &Workers,
    shape: &Blocked,
    activation: Activation,
    data: RowsMut,
    rows: Range<usize>,
) {
    shape.check_rows(data.data.len(), data.kept, &rows);
    let kernel = Activate {
        activation,
        x: None,
    };
    Pass::new(isa, workers, shape.planes(), rows, shape.width).run(data, &kernel);
}

struct Activate<'a> {
    activation: Activation,
    /// What the function is of; none = what it is written to.
    x: Option<Rows<'a>>,
}

impl RowKernel<0> for Activate<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, s: S, plane: usize, y: usize, out: &mut [f32]) -> [S::V; 0] {
        if let Some(x) = &self.x {
            out.copy_from_slice(x.line(plane, y, out.len()));
        }
        for out in out.chunks_exact_mut(LANES) {
            // SAFETY: 16 values.
            unsafe {
                let value = self.activation.apply(s, s.load(out.as_ptr()));
                s.store(out.as_mut_ptr(), value);
            }
        }
        []
    }
}

/// Sends the gradient `d` at `y = activation(x)` to `x`.
///
/// # Panics
/// If a length does not match.
pub fn activation_gradient(
    isa: Isa,
    workers: &Workers,
    shape: &Blocked,
    activation: Activation,
    [x, y, d]: [&[f32]; 3],
    sink: &mut Sink,
) {
    let Sink { data, epilogue } = sink;
    assert!(
        [x, y, d, &**data].map(<[f32]>::len) == [shape.len(); 4],
        "array has another size"
    );
    epilogue.check(shape.blocks(), data.len());
    let kernel = SendBack {
        activation,
        blocks: shape.blocks(),
        height: shape.height,
        arrays: [x, y, d].map(|data| shape.whole(data)),
        epilogue: *epilogue,
    };
    let pass = Pass::whole(isa, workers, shape);
    pass.run(shape.whole_mut(data), &kernel);
}

struct SendBack<'a> {
    activation: Activation,
    blocks: usize,
    height: usize,
    /// Input, output, and the gradient at that.
    arrays: [Rows<'a>; 3],
    epilogue: Epilogue<'a>,
}

impl RowKernel<0> for SendBack<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, s: S, plane: usize, y: usize, out: &mut [f32]) -> [S::V; 0] {
        let place = (plane * self.height + y) * out.len();
        let channels = plane % self.blocks * LANES;
        // SAFETY: the channels are a block's, and a bias was checked.
        let bias = unsafe { self.epilogue.bias_of(s, channels) };
        let [before, made, d] = &self.arrays;
        let (before, made) = (
            before.line(plane, y, out.len()),
            made.line(plane, y, out.len()),
        );
        let d = d.line(plane, y, out.len());
        for (i, out) in out.chunks_exact_mut(LANES).enumerate() {
            let at = i * LANES;
            // SAFETY: 16 values each; the mask was checked to be as long as the whole target.
            unsafe {
                let (x, y) = (
                    s.load(before.as_ptr().add(at)),
                    s.load(made.as_ptr().add(at)),
                );
                let d = s.load(d.as_ptr().add(at));
                let value = self.activation.gradient(s, x, y, d);
                let value = self
                    .epilogue
                    .apply(s, value, bias, place + at, out.as_ptr());
                s.store(out.as_mut_ptr(), value);
            }
        }
        []
    }
}

/// The sum of every row, of so many values.
pub(crate) struct RowSums<'a> {
    pub(crate) row: usize,
    pub(crate) x: Rows<'a>,
}

impl RowKernel<1> for RowSums<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, s: S, plane: usize, y: usize, _: &mut [f32]) -> [S::V; 1] {
        let mut sum = s.zero();
        for x in self.x.line(plane, y, self.row).chunks_exact(LANES) {
            // SAFETY: 16 values.
            sum = s.add(sum, unsafe { s.load(x.as_ptr()) });
        }
        [sum]
    }
}
