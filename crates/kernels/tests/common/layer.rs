//! A convolution beside its definition: the same planar arrays go through both.

use super::{noise, packed, unpacked};
use stainfree_kernels::blocked::{Rows, RowsMut};
use stainfree_kernels::convolution::{Convolution, ConvolutionScratch};
use stainfree_kernels::epilogue::{Epilogue, Sink};
use stainfree_kernels::plain::Definition;
use stainfree_kernels::{Blocked, Buffer, LANES, Workers};

/// A convolution, what it is by definition, and the parts that its input is joined of: channels,
/// and whether each pixel is repeated 2x2.
pub struct Layer {
    pub conv: Convolution,
    pub plain: Definition,
    pub parts: Vec<(usize, bool)>,
}

/// A planar array of an epilogue or a sink, where there is one.
pub type Planar<'a> = Option<&'a [f32]>;

pub fn planar_len(shape: &Blocked) -> usize {
    shape.images * shape.channels * shape.height * shape.width
}

impl Layer {
    /// Of one array.
    pub fn of_one(conv: Convolution, plain: Definition) -> Self {
        let parts = vec![(plain.inputs, false)];
        Self { conv, plain, parts }
    }

    /// Shapes of the parts.
    pub fn inputs(&self) -> Vec<Blocked> {
        let part = |&(channels, up): &(usize, bool)| Blocked {
            images: self.plain.images,
            channels,
            height: self.plain.height >> usize::from(up),
            width: self.plain.width >> usize::from(up),
        };
        self.parts.iter().map(part).collect()
    }

    pub fn output(&self) -> Blocked {
        let [height, width] = self.plain.output_size();
        Blocked {
            images: self.plain.images,
            channels: self.plain.outputs,
            height,
            width,
        }
    }

    /// Noise for every part, planar; the seed counts up.
    pub fn arrays(&self, seed: u32) -> Vec<Vec<f32>> {
        let numbered = self.inputs().into_iter().zip(seed..);
        numbered
            .map(|(shape, seed)| noise(planar_len(&shape), seed))
            .collect()
    }

    /// Visits the index of every value of the joined array with its part and index there.
    fn joined(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let (height, width) = (self.plain.height, self.plain.width);
        let mut at = 0;
        for image in 0..self.plain.images {
            for (part, &(channels, up)) in self.parts.iter().enumerate() {
                let shift = usize::from(up);
                for channel in 0..channels {
                    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                        let row = (image * channels + channel) * (height >> shift) + (y >> shift);
                        visit(at, part, row * (width >> shift) + (x >> shift));
                        at += 1;
                    }
                }
            }
        }
    }

    /// What the definition reads: the parts joined, and up-sampled where they are.
    pub fn join(&self, arrays: &[Vec<f32>]) -> Vec<f32> {
        let Definition {
            images,
            inputs,
            height,
            width,
            ..
        } = self.plain;
        let mut x = vec![0.0; images * inputs * height * width];
        self.joined(|at, part, from| x[at] = arrays[part][from]);
        x
    }

    /// The gradient of the joined array added to `before`, part by part.
    pub fn part(&self, d_joined: &[f64], before: Option<&[Vec<f32>]>) -> Vec<Vec<f64>> {
        let start = |(i, shape): (usize, &Blocked)| match before {
            Some(before) => before[i].iter().map(|&b| f64::from(b)).collect(),
            None => vec![0.0; planar_len(shape)],
        };
        let mut parts: Vec<Vec<f64>> = self.inputs().iter().enumerate().map(start).collect();
        self.joined(|at, part, to| parts[part][to] += d_joined[at]);
        parts
    }

    /// Weights as they are trained.
    pub fn blocked(&self, weights: &[f32]) -> Buffer {
        let mut blocked = Buffer::zeros(self.conv.blocked_len());
        self.conv.block(weights, &mut blocked);
        blocked
    }

    /// The whole output of planar arrays; checks that filled-up channels stay zero.
    pub fn forward(
        &self,
        workers: &Workers,
        arrays: &[Vec<f32>],
        weights: &[f32],
        epilogue: Epilogue,
    ) -> Vec<f32> {
        self.forward_onto(workers, arrays, weights, epilogue, None)
    }

    /// The same onto what `before` holds.
    pub fn forward_onto(
        &self,
        workers: &Workers,
        arrays: &[Vec<f32>],
        weights: &[f32],
        epilogue: Epilogue,
        before: Planar,
    ) -> Vec<f32> {
        let (shapes, output) = (self.inputs(), self.output());
        let inputs = shapes.iter().zip(arrays);
        let x: Vec<Buffer> = inputs.map(|(shape, x)| packed(workers, shape, x)).collect();
        let rows = shapes.iter().zip(&x).map(|(shape, x)| shape.whole(x));
        let rows: Vec<Rows> = rows.collect();
        let mut out = match before {
            Some(before) => packed(workers, &output, before),
            None => Buffer::zeros(output.len()),
        };
        let (blocked, mut room) = (self.blocked(weights), Buffer::default());
        let filters = self.conv.prepare(workers, &blocked, &mut room);
        let (to, all) = (output.whole_mut(&mut out), 0..output.height);
        self.conv
            .forward_rows(workers, &rows, filters, epilogue, to, all);
        let used =
            |(i, _): &(usize, &f32)| i / output.plane() % output.blocks() * LANES + i % LANES;
        let mut rest = out
            .iter()
            .enumerate()
            .filter(|v| used(v) >= output.channels);
        assert!(rest.all(|(_, &v)| v == 0.0), "filled-up channels stay zero");
        unpacked(workers, &output, &out)
    }

    /// The output of one array made in bands of so many rows, of which `kept` are held, from as
    /// many rows of the input as they see; both wrap around.
    pub fn forward_in_bands(
        &self,
        workers: &Workers,
        (x, weights): (&[f32], &[f32]),
        band: usize,
        kept: usize,
    ) -> Vec<f32> {
        let Definition {
            kernel,
            stride,
            before,
            ..
        } = self.plain;
        let (input, output) = (self.inputs()[0], self.output());
        let (blocked, mut room) = (self.blocked(weights), Buffer::default());
        let filters = self.conv.prepare(workers, &blocked, &mut room);
        let line = |channel: usize, y: usize, to: &mut [f32]| {
            let from = (channel * input.height + y) * input.width;
            to.copy_from_slice(&x[from..][..input.width]);
        };
        let held = band * stride + kernel;
        let buffer = |shape: &Blocked, kept| {
            Buffer::zeros(shape.images * shape.blocks() * kept * shape.width * LANES)
        };
        let (mut lines, mut out) = (buffer(&input, held), buffer(&output, kept));
        let mut found = vec![0.0; planar_len(&output)];
        let (mut filled, mut done) = (0, 0);
        while done < output.height {
            let rows = done..(done + band).min(output.height);
            let needed = ((rows.end - 1) * stride + kernel - before).min(input.height);
            let to = RowsMut {
                data: &mut lines,
                kept: held,
            };
            input.pack_rows(workers, &line, to, filled..needed);
            let from = Rows {
                data: &lines,
                kept: held,
            };
            let (to, epilogue) = (
                RowsMut {
                    data: &mut out,
                    kept,
                },
                Epilogue::default(),
            );
            self.conv
                .forward_rows(workers, &[from], filters, epilogue, to, rows.clone());
            output.unpack_rows(workers, Rows { data: &out, kept }, &mut found, rows.clone());
            (filled, done) = (needed, rows.end);
        }
        found
    }

    /// Gradients of the parts for `d` from above. With arrays for them, they are added to the first
    /// and cut off where the second is not positive.
    pub fn input_gradients(
        &self,
        workers: &Workers,
        d: &[f32],
        weights: &[f32],
        onto: Option<[&[Vec<f32>]; 2]>,
    ) -> Vec<Vec<f32>> {
        let shapes = self.inputs();
        let pack = |i: usize, planar: &[Vec<f32>]| packed(workers, &shapes[i], &planar[i]);
        let numbers = 0..shapes.len();
        let mut found: Vec<Buffer> = match onto {
            Some([before, _]) => numbers.clone().map(|i| pack(i, before)).collect(),
            None => shapes
                .iter()
                .map(|shape| Buffer::zeros(shape.len()))
                .collect(),
        };
        let masks: Option<Vec<Buffer>> =
            onto.map(|[_, masks]| numbers.map(|i| pack(i, masks)).collect());
        let numbered = found.iter_mut().enumerate();
        let mut sinks: Vec<Sink> = numbered
            .map(|(i, data)| Sink {
                data,
                epilogue: Epilogue {
                    accumulate: onto.is_some(),
                    mask: masks.as_ref().map(|masks| &masks[i][..]),
                    ..Epilogue::default()
                },
            })
            .collect();
        let (blocked, mut room) = (self.blocked(weights), Buffer::default());
        let filters = self.conv.prepare_turned(workers, &blocked, &mut room);
        let d = packed(workers, &self.output(), d);
        self.conv.input_gradient(workers, &d, filters, &mut sinks);
        drop(sinks);
        let found = shapes.iter().zip(&found);
        found
            .map(|(shape, d)| unpacked(workers, shape, d))
            .collect()
    }

    /// Gradient of the weights for `d` from above.
    pub fn weight_gradient(&self, workers: &Workers, arrays: &[Vec<f32>], d: &[f32]) -> Vec<f32> {
        let shapes = self.inputs();
        let inputs = shapes.iter().zip(arrays);
        let x: Vec<Buffer> = inputs.map(|(shape, x)| packed(workers, shape, x)).collect();
        let x: Vec<&[f32]> = x.iter().map(|x| &x[..]).collect();
        let d = packed(workers, &self.output(), d);
        let mut blocked = Buffer::zeros(self.conv.blocked_len());
        let mut scratch = ConvolutionScratch::default();
        self.conv
            .weight_gradient(workers, &x, &d, &mut blocked, &mut scratch);
        let mut weights = vec![0.0; self.plain.weights()];
        self.conv.unblock(&blocked, &mut weights);
        weights
    }
}
