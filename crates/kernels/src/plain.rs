//! The definitions, as loops over planar arrays in f64: every fast kernel is tested against these.
//!
//! Arrays are `[image][channel][y][x]`, weights `[out][in][3][3]`.

/// Shape of a 3x3 convolution with stride 1 and zero padding 1.
#[derive(Clone, Copy, Debug)]
pub struct Conv3x3 {
    /// Images in the batch.
    pub images: usize,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Rows of input and output.
    pub height: usize,
    /// Columns of input and output.
    pub width: usize,
}

impl Conv3x3 {
    /// Calls `visit(output index, input index, weight index)` for every product of the sum.
    fn products(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let (h, w) = (self.height, self.width);
        for n in 0..self.images {
            for k in 0..self.outputs {
                for y in 0..h {
                    for x in 0..w {
                        let out = ((n * self.outputs + k) * h + y) * w + x;
                        for c in 0..self.inputs {
                            for dy in 0..3 {
                                for dx in 0..3 {
                                    let (sy, sx) = (y + dy, x + dx);
                                    if (1..=h).contains(&sy) && (1..=w).contains(&sx) {
                                        let input =
                                            ((n * self.inputs + c) * h + sy - 1) * w + sx - 1;
                                        visit(
                                            out,
                                            input,
                                            ((k * self.inputs + c) * 3 + dy) * 3 + dx,
                                        );
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// The convolution without bias.
    pub fn forward(&self, x: &[f32], weight: &[f32]) -> Vec<f64> {
        let mut y = vec![0.0; self.images * self.outputs * self.height * self.width];
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
        let mut dw = vec![0.0; self.outputs * self.inputs * 9];
        self.products(|o, i, k| dw[k] += f64::from(dy[o]) * f64::from(x[i]));
        dw
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
