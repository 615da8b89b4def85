//! The mean of weights: over a training's last steps, or over its rounds. It is scored and kept in
//! place of the last step's.
//!
//! Steps with a large rate scatter around a good place; their mean lies nearer to it (Polyak &
//! Juditsky 1992; Izmailov et al. 2018, "Averaging weights leads to wider optima and better
//! generalization"). Trainings from one pretrained start end in one basin, and the mean of their
//! weights predicts about as well as all of them together (Wortsman et al. 2022, "Model soups").
//! Batch-norm statistics belong to the weights they were collected with, so they are measured anew
//! for a mean.

use crate::parameters::Parameters;

/// Updates in the time over which is averaged: more would cost time, fewer would follow unevenly.
const UPDATES: u64 = 16;

/// A mean of parameters.
#[derive(Clone, Debug)]
pub(super) struct Average {
    pub(super) parameters: Parameters,
    /// Updates so far, the first included.
    pub(super) updates: u64,
    /// Steps over which it is a moving average; 0 for the plain mean of rounds.
    steps: u64,
}

impl Average {
    /// The average over about `steps` steps, from `start` on.
    pub(super) fn new(start: Parameters, steps: u64) -> Self {
        Self {
            parameters: start,
            updates: 1,
            steps,
        }
    }

    /// The mean of rounds, of which `first` is the first.
    pub(super) fn of_rounds(first: Parameters) -> Self {
        Self::new(first, 0)
    }

    /// Goes on from what a checkpoint holds.
    pub(super) fn resumed(parameters: Parameters, updates: u64, steps: u64) -> Self {
        Self {
            parameters,
            updates,
            steps,
        }
    }

    /// Whether an update is due after `step` steps.
    pub(super) fn is_due(&self, step: u64) -> bool {
        self.steps > 0 && step.is_multiple_of(self.every())
    }

    fn every(&self) -> u64 {
        (self.steps / UPDATES).max(1)
    }

    /// Takes the parameters of now in.
    ///
    /// Early on it is the plain mean of all updates, so that the start does not linger.
    pub(super) fn update(&mut self, now: &Parameters) {
        let mean = 1.0 / (self.updates + 1) as f64;
        let share = match self.steps {
            0 => mean,
            steps => (1.0 - (-(self.every() as f64) / steps as f64).exp()).max(mean),
        } as f32;
        for (average, tensor) in self.parameters.iter_mut().zip(now.iter()) {
            for (a, &v) in average.data.iter_mut().zip(&tensor.data) {
                *a += share * (v - *a);
            }
        }
        self.updates += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;
    use crate::{Encoder, UnetSpec};

    #[test]
    fn it_is_a_mean_at_first_and_then_forgets() {
        let graph = Graph::unet(&UnetSpec::narrow(Encoder::Vgg16, 0.0625, 2)).unwrap();
        let filled = |value: f32| {
            let mut parameters = Parameters::initialise(&graph, 1);
            parameters.iter_mut().for_each(|t| t.data.fill(value));
            parameters
        };
        let first = |average: &Average| average.parameters.iter().next().unwrap().data[0];
        let mut average = Average::new(filled(0.0), 160);
        assert!(average.is_due(10) && !average.is_due(11));
        for value in [3.0, 6.0] {
            average.update(&filled(value));
        }
        // Sums in f32.
        assert!((first(&average) - 3.0).abs() < 1e-6);
        for _ in 0..100 {
            average.update(&filled(1.0));
        }
        let (before, decay) = (first(&average), (-1.0f32 / 16.0).exp());
        average.update(&filled(11.0));
        let expected = decay * before + (1.0 - decay) * 11.0;
        assert!((first(&average) - expected).abs() < 1e-5);
    }
}
