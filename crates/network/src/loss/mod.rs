//! Losses on logits, with their gradients.
//!
//! Two passes over the pixels. The first turns logits into probabilities (kept in the gradient's
//! own buffer, so no memory is taken) and gathers each loss's sums; in between a loss turns its
//! sums into a value and a few coefficients; the second makes the gradient. Pixels are cut into
//! fixed blocks whose sums are added in order, so the result does not depend on the number of
//! threads. A loss is one file that implements `PixelLoss` and one line in [`LOSSES`].
//!
//! All this is the loss of the classes. That of numbers is in `numbers`, and `objective` adds up
//! those of all outputs of a network.

mod cross_entropy;
mod f_beta;
mod focal;
mod numbers;
mod objective;

pub(crate) use objective::{Objective, Targets};

use crate::output::IGNORED;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Pixels in a block; small enough that a block's planes stay in the level-2 cache.
const BLOCK: usize = 4096;

/// One summand of a loss, as written in a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossTerm {
    /// Name in the registry, see [`LOSSES`].
    pub kind: String,
    /// Factor of this summand.
    #[serde(default = "one")]
    pub weight: f64,
    /// A weight per class, for the kinds that have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<Vec<f64>>,
}

fn one() -> f64 {
    1.0
}

impl LossTerm {
    /// The loss `kind` with factor `weight`.
    pub fn new(kind: &str, weight: f64) -> Self {
        Self {
            kind: kind.into(),
            weight,
            class_weights: None,
        }
    }
}

/// A block of pixels of one image; `probabilities[class][pixel]`, likewise `logits`.
pub(crate) struct Block<'a> {
    logits: &'a [&'a [f32]],
    probabilities: &'a [&'a [f32]],
    target: &'a [u8],
}

/// Where a loss puts its gradient for a block.
pub(crate) struct BlockGradient<'a> {
    /// With respect to probabilities; passes through the softmax afterwards.
    by_probability: &'a mut [Vec<f32>],
    /// With respect to logits directly, for losses whose chain through the softmax is simple.
    by_logit: &'a mut [Vec<f32>],
}

/// A loss that is a function of sums over the pixels that are not ignored.
pub(crate) trait PixelLoss: Send + Sync {
    /// How many sums it needs.
    fn sums(&self) -> usize;
    /// Adds the sums of a block.
    fn gather(&self, block: &Block, sums: &mut [f64]);
    /// Value and coefficients for [`PixelLoss::gradient`], from the sums over `pixels` pixels.
    fn finish(&self, sums: &[f64], pixels: usize) -> (f64, Vec<f64>);
    /// Adds `weight` times the gradient of a block.
    fn gradient(&self, block: &Block, coefficients: &[f64], weight: f64, out: &mut BlockGradient);
}

type Parts = Vec<Box<dyn PixelLoss>>;

/// A line of the registry.
pub struct LossEntry {
    /// Name in recipes.
    pub name: &'static str,
    /// One line for users.
    pub summary: &'static str,
    build: fn(&LossTerm, usize) -> Result<Parts, LossError>,
}

/// Every loss there is.
pub const LOSSES: &[LossEntry] = &[
    LossEntry {
        name: "paper",
        summary: "the paper's hybrid as it really ran: mean F-beta with beta (0, 1, 0.5, 0.5, ..), \
            plus focal",
        build: |term, classes| {
            no_class_weights(term)?;
            let mut parts: Parts = vec![Box::new(f_beta::FBeta::paper(classes))];
            parts.push(Box::new(focal::Focal::new(classes)));
            Ok(parts)
        },
    },
    LossEntry {
        name: "dice",
        summary: "1 - mean over classes of the soft Dice coefficient",
        build: |term, classes| {
            no_class_weights(term)?;
            Ok(vec![Box::new(f_beta::FBeta::dice(vec![1.0; classes]))])
        },
    },
    LossEntry {
        name: "weighted-dice",
        summary: "1 - mean over classes of class weight times soft Dice (what the paper meant)",
        build: |term, classes| {
            let weights = class_weights(term, classes)?;
            let weights = weights.ok_or_else(|| LossError::NoClassWeights {
                kind: term.kind.clone(),
            })?;
            Ok(vec![Box::new(f_beta::FBeta::dice(weights))])
        },
    },
    LossEntry {
        name: "focal",
        summary: "categorical focal loss, alpha 0.25, gamma 2, divided by the number of classes",
        build: |term, classes| {
            no_class_weights(term)?;
            Ok(vec![Box::new(focal::Focal::new(classes))])
        },
    },
    LossEntry {
        name: "cross-entropy",
        summary: "mean negative log-likelihood of the true class, with class weights if given",
        build: |term, classes| {
            let weights = class_weights(term, classes)?.unwrap_or_else(|| vec![1.0; classes]);
            Ok(vec![Box::new(cross_entropy::CrossEntropy::new(weights))])
        },
    },
];

fn no_class_weights(term: &LossTerm) -> Result<(), LossError> {
    match term.class_weights {
        Some(_) => Err(LossError::UnwantedClassWeights {
            kind: term.kind.clone(),
        }),
        None => Ok(()),
    }
}

fn class_weights(term: &LossTerm, classes: usize) -> Result<Option<Vec<f64>>, LossError> {
    let Some(weights) = &term.class_weights else {
        return Ok(None);
    };
    let sensible =
        weights.iter().all(|w| w.is_finite() && *w >= 0.0) && weights.iter().any(|w| *w > 0.0);
    if weights.len() != classes || !sensible {
        let (kind, weights) = (term.kind.clone(), weights.clone());
        return Err(LossError::ClassWeights {
            kind,
            classes,
            weights,
        });
    }
    Ok(Some(weights.clone()))
}

/// A weighted sum of losses, ready for a number of classes.
pub struct Loss {
    classes: usize,
    parts: Vec<(f64, Box<dyn PixelLoss>)>,
}

impl Loss {
    /// Prepares the sum of `terms` for `classes` classes.
    ///
    /// # Errors
    /// For an unknown kind, weights that do not fit, or no term at all.
    pub fn new(terms: &[LossTerm], classes: usize) -> Result<Self, LossError> {
        if terms.is_empty() {
            return Err(LossError::Nothing);
        }
        let mut parts = Vec::new();
        for term in terms {
            let Some(entry) = LOSSES.iter().find(|entry| entry.name == term.kind) else {
                let known = LOSSES
                    .iter()
                    .map(|entry| entry.name)
                    .collect::<Vec<_>>()
                    .join(", ");
                return Err(LossError::Unknown {
                    kind: term.kind.clone(),
                    known,
                });
            };
            if !term.weight.is_finite() || term.weight <= 0.0 {
                return Err(LossError::Weight {
                    kind: term.kind.clone(),
                    weight: term.weight,
                });
            }
            let built = (entry.build)(term, classes)?;
            parts.extend(built.into_iter().map(|part| (term.weight, part)));
        }
        Ok(Self { classes, parts })
    }

    /// Value and gradient for a batch.
    ///
    /// `logits` and `d_logits` are `[image][class][pixel]`, `target` is `[image][pixel]` with class
    /// numbers or [`IGNORED`]. Ignored pixels take no part: their gradient is zero. Without any
    /// counted pixel value and gradient are zero.
    ///
    /// # Panics
    /// If the lengths do not fit each other.
    pub fn evaluate(
        &self,
        logits: &[f32],
        target: &[u8],
        images: usize,
        d_logits: &mut [f32],
    ) -> f64 {
        let classes = self.classes;
        assert_eq!(
            target.len() * classes,
            logits.len(),
            "target and logits differ in size"
        );
        assert_eq!(
            logits.len(),
            d_logits.len(),
            "logits and gradient differ in size"
        );
        assert_eq!(
            target.len() % images.max(1),
            0,
            "target does not hold whole images"
        );
        debug_assert!(
            target
                .iter()
                .all(|&t| t == IGNORED || usize::from(t) < classes)
        );
        if target.is_empty() {
            return 0.0;
        }
        let plane = target.len() / images;
        let batch = logits
            .chunks(plane * classes)
            .zip(d_logits.chunks_mut(plane * classes))
            .zip(target.chunks(plane));
        self.evaluate_images(batch.map(|((logits, out), target)| (logits, out, target)))
    }

    /// [`Loss::evaluate`] for images one by one: logits and gradient, `[class][pixel]`, and target.
    fn evaluate_images<'a>(
        &self,
        images: impl Iterator<Item = (&'a [f32], &'a mut [f32], &'a [u8])>,
    ) -> f64 {
        let mut jobs: Vec<Job> = images
            .flat_map(|(logits, out, target)| Job::cut(logits, out, target))
            .collect();
        let length: usize = self.parts.iter().map(|(_, part)| part.sums()).sum();
        let gathered: Vec<(Vec<f64>, usize)> = jobs
            .par_iter_mut()
            .map(|job| self.gather(job, length))
            .collect();
        let mut sums = vec![0.0; length];
        let mut pixels = 0;
        for (block, counted) in &gathered {
            sums.iter_mut().zip(block).for_each(|(sum, x)| *sum += x);
            pixels += counted;
        }
        if pixels == 0 {
            let planes = jobs.iter_mut().flat_map(|job| &mut job.out);
            planes.for_each(|plane| plane.fill(0.0));
            return 0.0;
        }
        let mut value = 0.0;
        let mut rest = &sums[..];
        let mut coefficients = Vec::new();
        for (weight, part) in &self.parts {
            let (own, next) = rest.split_at(part.sums());
            rest = next;
            let (term, c) = part.finish(own, pixels);
            value += weight * term;
            coefficients.push(c);
        }
        jobs.par_iter_mut()
            .for_each(|job| self.gradient(job, &coefficients));
        value
    }

    fn gather(&self, job: &mut Job, length: usize) -> (Vec<f64>, usize) {
        job.softmax();
        let mut sums = vec![0.0; length];
        let probabilities: Vec<&[f32]> = job.out.iter().map(|plane| &**plane).collect();
        let block = Block {
            logits: &job.logits,
            probabilities: &probabilities,
            target: job.target,
        };
        let mut rest = &mut sums[..];
        for (_, part) in &self.parts {
            let (own, next) = rest.split_at_mut(part.sums());
            part.gather(&block, own);
            rest = next;
        }
        (sums, job.target.iter().filter(|&&t| t != IGNORED).count())
    }

    fn gradient(&self, job: &mut Job, coefficients: &[Vec<f64>]) {
        let n = job.target.len();
        let mut by_probability = vec![vec![0.0f32; n]; self.classes];
        let mut by_logit = vec![vec![0.0f32; n]; self.classes];
        {
            let probabilities: Vec<&[f32]> = job.out.iter().map(|plane| &**plane).collect();
            let block = Block {
                logits: &job.logits,
                probabilities: &probabilities,
                target: job.target,
            };
            let mut out = BlockGradient {
                by_probability: &mut by_probability,
                by_logit: &mut by_logit,
            };
            for ((weight, part), c) in self.parts.iter().zip(coefficients) {
                part.gradient(&block, c, *weight, &mut out);
            }
        }
        // Softmax backwards: dz_k = p_k (g_k - sum_j p_j g_j).
        for i in 0..n {
            if job.target[i] == IGNORED {
                job.out.iter_mut().for_each(|plane| plane[i] = 0.0);
                continue;
            }
            let mean: f32 = job
                .out
                .iter()
                .zip(&by_probability)
                .map(|(p, g)| p[i] * g[i])
                .sum();
            for (k, plane) in job.out.iter_mut().enumerate() {
                plane[i] = plane[i] * (by_probability[k][i] - mean) + by_logit[k][i];
            }
        }
    }
}

/// The planes of one block: logits to read, and the buffer for probabilities, then gradients.
struct Job<'a> {
    logits: Vec<&'a [f32]>,
    out: Vec<&'a mut [f32]>,
    target: &'a [u8],
}

impl<'a> Job<'a> {
    fn cut(logits: &'a [f32], out: &'a mut [f32], target: &'a [u8]) -> Vec<Job<'a>> {
        let mut jobs: Vec<Job> = target
            .chunks(BLOCK)
            .map(|target| Job {
                logits: vec![],
                out: vec![],
                target,
            })
            .collect();
        let plane = target.len();
        for (logits, out) in logits.chunks(plane).zip(out.chunks_mut(plane)) {
            for (job, (logits, out)) in jobs
                .iter_mut()
                .zip(logits.chunks(BLOCK).zip(out.chunks_mut(BLOCK)))
            {
                job.logits.push(logits);
                job.out.push(out);
            }
        }
        jobs
    }

    fn softmax(&mut self) {
        for i in 0..self.target.len() {
            let largest = self
                .logits
                .iter()
                .fold(f32::NEG_INFINITY, |m, plane| m.max(plane[i]));
            let mut sum = 0.0;
            for (logits, out) in self.logits.iter().zip(&mut self.out) {
                out[i] = (logits[i] - largest).exp();
                sum += out[i];
            }
            self.out.iter_mut().for_each(|plane| plane[i] /= sum);
        }
    }
}

/// A loss that cannot be had.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LossError {
    /// Not in the registry.
    #[error("there is no loss `{kind}` (known: {known})")]
    Unknown {
        /// The name given.
        kind: String,
        /// The names there are.
        known: String,
    },
    /// A list without terms.
    #[error("the loss has no term; name at least one, such as `cross-entropy`")]
    Nothing,
    /// A factor that is not positive and finite.
    #[error("loss `{kind}` has weight `{weight}`; it must be a positive number")]
    Weight {
        /// The loss.
        kind: String,
        /// Its factor.
        weight: f64,
    },
    /// Class weights that do not fit.
    #[error(
        "loss `{kind}` has class weights {weights:?}; it needs {classes} numbers, none negative \
         and not all zero"
    )]
    ClassWeights {
        /// The loss.
        kind: String,
        /// Classes of the network.
        classes: usize,
        /// What was given.
        weights: Vec<f64>,
    },
    /// Class weights are missing.
    #[error("loss `{kind}` needs `class_weights`, a number per class")]
    NoClassWeights {
        /// The loss.
        kind: String,
    },
    /// Class weights for a loss without them.
    #[error("loss `{kind}` has no class weights; use `weighted-dice` or `cross-entropy` for them")]
    UnwantedClassWeights {
        /// The loss.
        kind: String,
    },
}

#[cfg(test)]
mod tests;
