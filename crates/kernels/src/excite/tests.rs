//! Gates against their definition, and gradients against finite differences in f64.

use super::*;

/// Numbers between -1 and 1.
fn noise(len: usize, seed: usize) -> Vec<f32> {
    let value = |i: usize| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0;
    (0..len).map(value).collect()
}

/// A small case: planar input, natural layers, and the weights of the sum that is differentiated.
struct Case {
    shape: Blocked,
    squeezed: usize,
    x: Vec<f32>,
    layers: [Vec<f32>; 4],
    d: Vec<f32>,
}

impl Case {
    fn new(channels: usize, squeezed: usize, [height, width]: [usize; 2]) -> Self {
        let shape = Blocked {
            images: 2,
            channels,
            height,
            width,
        };
        let count = 2 * channels * height * width;
        Self {
            shape,
            squeezed,
            x: noise(count, 1),
            layers: [
                noise(squeezed * channels, 2),
                noise(squeezed, 3),
                noise(channels * squeezed, 4),
                noise(channels, 5),
            ],
            d: noise(count, 6),
        }
    }

    /// The gated array by the definition, in f64, with one value of an array (4 = the input) moved.
    fn value(&self, moved: (usize, usize, f64)) -> Vec<f64> {
        let get = |array: usize, index: usize| {
            let values = if array == 4 {
                &self.x
            } else {
                &self.layers[array]
            };
            let by = if (array, index) == (moved.0, moved.1) {
                moved.2
            } else {
                0.0
            };
            f64::from(values[index]) + by
        };
        let (channels, squeezed) = (self.shape.channels, self.squeezed);
        let pixels = self.shape.height * self.shape.width;
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let mut out = Vec::new();
        for image in 0..2 {
            let at = |c: usize, p: usize| get(4, (image * channels + c) * pixels + p);
            let mean = |c: usize| (0..pixels).map(|p| at(c, p)).sum::<f64>() / pixels as f64;
            let means: Vec<f64> = (0..channels).map(mean).collect();
            let hidden: Vec<f64> = (0..squeezed)
                .map(|s| {
                    let dot = |c: usize| get(0, s * channels + c) * means[c];
                    let h = get(1, s) + (0..channels).map(dot).sum::<f64>();
                    h * sigmoid(h)
                })
                .collect();
            for c in 0..channels {
                let dot = |s: usize| get(2, c * squeezed + s) * hidden[s];
                let gate = sigmoid(get(3, c) + (0..squeezed).map(dot).sum::<f64>());
                out.extend((0..pixels).map(|p| gate * at(c, p)));
            }
        }
        out
    }

    /// The slope of the weighted sum of the gated array.
    fn slope(&self, array: usize, index: usize) -> f64 {
        let sum = |by: f64| -> f64 {
            let values = self.value((array, index, by));
            values
                .iter()
                .zip(&self.d)
                .map(|(v, d)| v * f64::from(*d))
                .sum()
        };
        (sum(1e-4) - sum(-1e-4)) / 2e-4
    }
}

#[test]
fn gates_and_every_gradient_are_those_of_the_definition() {
    let workers = Workers::new(2);
    for (channels, squeezed, size) in [(1, 1, [1, 1]), (16, 4, [3, 5]), (21, 5, [7, 4])] {
        let case = Case::new(channels, squeezed, size);
        let shape = case.shape;
        for isa in Isa::available() {
            let excite = Excite::new(isa, channels, squeezed);
            let [mut reduce, mut expand] = [(); 2].map(|()| vec![0.0; excite.matrix_len()]);
            excite.places(&mut |place, first, second| {
                reduce[place] = case.layers[0][first];
                expand[place] = case.layers[2][second];
            });
            let padded = |values: &[f32]| {
                let mut padded = values.to_vec();
                padded.resize(blocks(values.len()) * LANES, 0.0);
                padded
            };
            let (reduce_bias, expand_bias) = (padded(&case.layers[1]), padded(&case.layers[3]));
            let layers = ExciteWeights {
                reduce: &reduce[..],
                reduce_bias: &reduce_bias[..],
                expand: &expand[..],
                expand_bias: &expand_bias[..],
            };
            let blocked = |planar: &[f32]| {
                let mut to = vec![0.0; shape.len()];
                shape.pack(&workers, planar, &mut to);
                to
            };
            let planar = |blocked: &[f32]| {
                let mut to = vec![0.0; case.x.len()];
                shape.unpack(&workers, blocked, &mut to);
                to
            };
            let x = blocked(&case.x);
            let mut sums = vec![0.0; 2 * shape.blocks() * LANES];
            let rows = Rows {
                data: &x,
                kept: shape.height,
            };
            // In two bands, as a prediction does.
            let half = shape.height / 2;
            for band in [0..half, half..shape.height] {
                add_sums(isa, &workers, &shape, rows, band, &mut sums);
            }
            let gates = excite.gates(&sums, shape.height * shape.width, layers);
            let mut out = vec![0.0; shape.len()];
            scale(isa, &workers, &shape, &x, &gates.gates, &mut out);
            let error = crate::plain::relative_error(&planar(&out), &case.value((9, 0, 0.0)));
            // A few roundings of f32.
            assert!(error < 1e-6, "{} {channels}: {error:e}", isa.name());

            let mut d = blocked(&case.d);
            let mut d_layers = [
                reduce.clone(),
                reduce_bias.clone(),
                expand.clone(),
                expand_bias.clone(),
            ];
            let [a, b, c, e] = &mut d_layers;
            let to = ExciteWeights {
                reduce: &mut a[..],
                reduce_bias: &mut b[..],
                expand: &mut c[..],
                expand_bias: &mut e[..],
            };
            excite.backward(&workers, &shape, &x, &gates, layers, to, &mut d);
            let mut natural = [
                vec![],
                d_layers[1][..squeezed].to_vec(),
                vec![],
                d_layers[3][..channels].to_vec(),
            ];
            natural[0] = vec![0.0; squeezed * channels];
            natural[2] = vec![0.0; squeezed * channels];
            excite.places(&mut |place, first, second| {
                natural[0][first] = d_layers[0][place];
                natural[2][second] = d_layers[2][place];
            });
            let found: Vec<Vec<f32>> = natural.into_iter().chain([planar(&d)]).collect();
            for (array, found) in found.iter().enumerate() {
                for (index, &found) in found.iter().enumerate() {
                    let expected = case.slope(array, index);
                    // f32, and 1e-8 of the differences.
                    assert!(
                        (f64::from(found) - expected).abs() < 2e-6 * expected.abs().max(1.0),
                        "{} {channels}: array {array} [{index}]: {found} {expected}",
                        isa.name()
                    );
                }
            }
        }
    }
}
