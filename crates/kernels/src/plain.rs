//! The definitions, as loops over planar arrays in f64: every fast kernel is tested against these.
//!
//! Arrays are `[image][channel][y][x]`, weights `[out][in][y][x]`.

use crate::activation::Activation;

/// A convolution of one shape, by its definition; output `y` sees the input rows from
/// `y * stride - before` on, zeros outside.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Images in the batch.
    pub images: usize,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Rows and columns of a filter.
    pub kernel: usize,
    /// Input pixels from one output to the next.
    pub stride: usize,
    /// Rows and columns that the first filter stands above and left of the input.
    pub before: usize,
    /// Whether every channel sees itself alone; weights are `[channel][1][kernel][kernel]` then.
    pub depthwise: bool,
}

impl Definition {
    /// 3x3 with stride 1 and zero padding 1.
    pub fn same_3x3(
        images: usize,
        inputs: usize,
        outputs: usize,
        [height, width]: [usize; 2],
    ) -> Self {
        let (kernel, stride, before, depthwise) = (3, 1, 1, false);
        Self {
            images,
            inputs,
            outputs,
            height,
            width,
            kernel,
            stride,
            before,
            depthwise,
        }
    }

    /// Height and width of the output.
    pub fn output_size(&self) -> [usize; 2] {
        [self.height, self.width].map(|side| side.div_ceil(self.stride))
    }

    /// Number of weights.
    pub fn weights(&self) -> usize {
        let inputs = if self.depthwise { 1 } else { self.inputs };
        self.outputs * inputs * self.kernel * self.kernel
    }

    /// Calls `visit(output index, input index, weight index)` for every product of the sum.
    fn products(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let [rows, columns] = self.output_size();
        // The input pixel under a tap, if there is one.
        let under = |out: usize, tap: usize, size: usize| {
            (out * self.stride + tap)
                .checked_sub(self.before)
                .filter(|&at| at < size)
        };
        for n in 0..self.images {
            for k in 0..self.outputs {
                let seen = if self.depthwise {
                    k..k + 1
                } else {
                    0..self.inputs
                };
                for (out_y, out_x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
                    let out = ((n * self.outputs + k) * rows + out_y) * columns + out_x;
                    for (i, c) in seen.clone().enumerate() {
                        for dy in 0..self.kernel {
                            for dx in 0..self.kernel {
                                let at =
                                    (under(out_y, dy, self.height), under(out_x, dx, self.width));
                                let (Some(y), Some(x)) = at else { continue };
                                let input = ((n * self.inputs + c) * self.height + y) * self.width;
                                let filter = k * seen.len() + i;
                                let weight = (filter * self.kernel + dy) * self.kernel + dx;
                                visit(out, input + x, weight);
                            }
                        }
                    }
                }
            }
        }
    }

    /// The convolution without bias.
    pub fn forward(&self, x: &[f32], weight: &[f32]) -> Vec<f64> {
        let [rows, columns] = self.output_size();
        let mut y = vec![0.0; self.images * self.outputs * rows * columns];
        self.products(|o, i, k| y[o] += f64::from(x[i]) * f64::from(weight[k]));
        y
    }

    /// Gradient of a loss with respect to the input, from that with respect to the output.
    pub fn input_gradient(&self, weight: &[f32], dy: &[f32]) -> Vec<f64> {
        let mut dx = vec![0.0; self.images * self.inputs * self.height * self.width];
        self.products(|o, i, k| dx[i] += f64::from(dy[o]) * f64::from(weight[k]));
        dx
    }

    /// Gradient of a loss with respect to the weights, from that with respect to the output.
    pub fn weight_gradient(&self, x: &[f32], dy: &[f32]) -> Vec<f64> {
        let mut dw = vec![0.0; self.weights()];
        self.products(|o, i, k| dw[k] += f64::from(dy[o]) * f64::from(x[i]));
        dw
    }
}

/// Value and slope of an activation at `x`; where there are two slopes, 0.
pub fn activation(activation: Activation, x: f64) -> [f64; 2] {
    let g = 1.0 / (1.0 + (-x).exp());
    match activation {
        Activation::None => [x, 1.0],
        // Not `f64::max`, which is 0 for NaN.
        Activation::Relu => [if x < 0.0 { 0.0 } else { x }, f64::from(x > 0.0)],
        Activation::Relu6 => [x.clamp(0.0, 6.0), f64::from(x > 0.0 && x < 6.0)],
        Activation::Swish => [x * g, g + x * g * (1.0 - g)],
    }
}

/// `norm(found - expected) / norm(expected)`.
pub fn relative_error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "arrays differ in length");
    let difference: f64 = found
        .iter()
        .zip(expected)
        .map(|(&a, &b)| (f64::from(a) - b).powi(2))
        .sum();
    let norm: f64 = expected.iter().map(|b| b * b).sum();
    if norm == 0.0 {
        difference.sqrt()
    } else {
        (difference / norm).sqrt()
    }
}
