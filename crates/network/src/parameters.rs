//! The numbers of a network: named tensors in natural order, and how they start.

use crate::graph::{Graph, Init, ParameterKind};
use crate::random::{Random, mix};
use std::collections::HashMap;

/// One named array of f32 values, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Parameter name, as in [`crate::graph::ParameterInfo`].
    pub name: String,
    /// Natural order; convolution weights are `[out, in, height, width]`.
    pub shape: Vec<usize>,
    /// Trainable or statistic.
    pub kind: ParameterKind,
    /// The values.
    pub data: Vec<f32>,
}

/// All parameters of one graph, in the graph's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    tensors: Vec<Tensor>,
    index: HashMap<String, usize>,
}

impl Parameters {
    /// Takes tensors that belong to `graph`, in any order.
    ///
    /// # Errors
    /// If one is missing, unknown, double, or of another shape.
    pub fn new(graph: &Graph, tensors: Vec<Tensor>) -> Result<Self, ParameterError> {
        let mut given: HashMap<String, Tensor> = HashMap::new();
        for tensor in tensors {
            if let Some(old) = given.insert(tensor.name.clone(), tensor) {
                return Err(ParameterError::Double { name: old.name });
            }
        }
        let mut ordered = Vec::with_capacity(given.len());
        for info in graph.parameters() {
            let Some(mut tensor) = given.remove(&info.name) else {
                return Err(ParameterError::Missing {
                    name: info.name.clone(),
                });
            };
            if tensor.shape != info.shape || tensor.data.len() != info.len() {
                return Err(ParameterError::Shape {
                    name: info.name.clone(),
                    expected: info.shape.clone(),
                    found: tensor.shape,
                });
            }
            tensor.kind = info.kind;
            ordered.push(tensor);
        }
        if let Some(name) = given.into_keys().min() {
            return Err(ParameterError::Unknown { name });
        }
        Ok(Self::from_ordered(ordered))
    }

    /// Fresh parameters for `graph`; the same seed gives the same values.
    pub fn initialise(graph: &Graph, seed: u64) -> Self {
        let tensors = graph
            .parameters()
            .iter()
            .enumerate()
            .map(|(stream, info)| Tensor {
                name: info.name.clone(),
                shape: info.shape.clone(),
                kind: info.kind,
                data: fresh(info.init, &info.shape, Stream::new(seed, stream as u64)),
            })
            .collect();
        Self::from_ordered(tensors)
    }

    fn from_ordered(tensors: Vec<Tensor>) -> Self {
        let index = tensors
            .iter()
            .enumerate()
            .map(|(i, t)| (t.name.clone(), i))
            .collect();
        Self { tensors, index }
    }

    /// Parameters of no graph.
    #[cfg(test)]
    pub(crate) fn lacking(tensors: Vec<Tensor>) -> Self {
        Self::from_ordered(tensors)
    }

    /// The tensor called `name`.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.index.get(name).map(|&i| &self.tensors[i])
    }

    /// The tensor called `name`, for writing.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Tensor> {
        self.index.get(name).map(|&i| &mut self.tensors[i])
    }

    /// All tensors in the graph's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Tensor> {
        self.tensors.iter()
    }

    /// All tensors in the graph's order, for writing.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = &mut Tensor> {
        self.tensors.iter_mut()
    }

    /// The values of a parameter that the graph is known to have.
    pub(crate) fn values(&self, name: &str) -> &[f32] {
        &self.get(name).expect("the graph lists this parameter").data
    }
}

/// Tensors that do not fit the network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ParameterError {
    /// A tensor is missing.
    #[error("tensor `{name}` is missing")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A tensor is there twice.
    #[error("tensor `{name}` is there twice")]
    Double {
        /// Its name.
        name: String,
    },
    /// A tensor the network does not have.
    #[error("tensor `{name}` does not belong to this network")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// A tensor of the wrong shape.
    #[error("tensor `{name}` has shape {found:?}, the network needs {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// What the graph says.
        expected: Vec<usize>,
        /// What was given.
        found: Vec<usize>,
    },
}

/// A stream of random numbers for one parameter, so that its start does not depend on the others'
/// sizes.
struct Stream(Random);

impl Stream {
    fn new(seed: u64, stream: u64) -> Self {
        Self(Random::of_key(mix(mix(seed) ^ stream)))
    }

    /// Uniform in (0, 1).
    fn uniform(&mut self) -> f64 {
        ((self.0.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Standard normal (Box-Muller).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

fn fresh(init: Init, shape: &[usize], mut random: Stream) -> Vec<f32> {
    let count = shape.iter().product();
    let area: usize = shape.iter().skip(2).product();
    let fan_in = (shape.get(1).copied().unwrap_or(1) * area) as f64;
    let fan_out = (shape[0] * area) as f64;
    let uniform = |random: &mut Stream, limit: f64| (limit * (2.0 * random.uniform() - 1.0)) as f32;
    (0..count)
        .map(|_| match init {
            Init::Constant(value) => value,
            Init::HeNormal => ((2.0 / fan_in).sqrt() * random.normal()) as f32,
            Init::HeUniform => uniform(&mut random, (6.0 / fan_in).sqrt()),
            Init::GlorotUniform => uniform(&mut random, (6.0 / (fan_in + fan_out)).sqrt()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::Encoder;
    use crate::unet::UnetSpec;

    fn graph() -> Graph {
        Graph::unet(&UnetSpec::narrow(Encoder::Vgg16, 0.125, 2)).unwrap()
    }

    #[test]
    fn fresh_weights_have_the_stated_variance() {
        let parameters = Parameters::initialise(&graph(), 1);
        let variance = |name: &str| {
            let w = &parameters.get(name).unwrap().data;
            w.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / w.len() as f64
        };
        // 64 channels in: 2 / (9 * 64); 36,864 values give about 0.7 % sampling error.
        let expected = 2.0 / (9.0 * 64.0);
        assert!((variance("encoder.features.26.weight") / expected - 1.0).abs() < 0.04);
        assert!((variance("decoder.center.1.0.weight") / expected - 1.0).abs() < 0.04);
        assert_ne!(parameters, Parameters::initialise(&graph(), 2));
    }

    #[test]
    fn a_wrong_set_of_tensors_names_the_culprit() {
        let graph = graph();
        let mut tensors: Vec<Tensor> = Parameters::initialise(&graph, 0).iter().cloned().collect();
        tensors[3].shape = vec![1];
        let error = Parameters::new(&graph, tensors.clone()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("`encoder.features.2.bias` has shape [1]"),
            "{error}"
        );
        tensors.remove(3);
        let error = Parameters::new(&graph, tensors).unwrap_err();
        assert_eq!(
            error.to_string(),
            "tensor `encoder.features.2.bias` is missing"
        );
    }
}
