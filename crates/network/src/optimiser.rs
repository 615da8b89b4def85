//! Adam's numbers and the learning-rate schedules. The update itself belongs to the executors.

use serde::{Deserialize, Serialize};

/// Adam as Keras 2.3 computes it: step `lr * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) +
/// epsilon)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adam {
    /// Learning rate the schedule starts from.
    pub lr: f64,
    /// Memory of the first moment.
    pub beta1: f64,
    /// Memory of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay (Loshchilov & Hutter 2019) as a share of `lr`; 0 = none.
    pub weight_decay: f64,
}

impl Adam {
    /// The paper's: 1e-4, 0.9, 0.999, 1e-7.
    pub fn paper() -> Self {
        Self {
            lr: 1e-4,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-7,
            weight_decay: 0.0,
        }
    }
}

/// How the learning rate changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// It does not.
    Constant,
    /// Keras' `ReduceLROnPlateau` on the mean training loss of an epoch.
    Plateau {
        /// Factor on the rate when the loss stands still.
        factor: f64,
        /// Epochs without a gain before that happens.
        patience_epochs: u32,
        /// A gain must exceed this.
        min_gain: f64,
        /// Smallest rate, as a share of the first.
        floor: f64,
    },
    /// Rises linearly over `warmup_steps`, then falls along half a cosine to `floor` at the last
    /// step.
    Cosine {
        /// Steps of the rise.
        warmup_steps: u64,
        /// Last rate, as a share of the largest.
        floor: f64,
    },
}

/// What a schedule remembers; saved with every checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduleState {
    /// Best epoch loss so far.
    best: Option<f64>,
    /// Epochs since then.
    waited: u32,
    /// Present factor on the first rate.
    factor: f64,
}

impl Default for ScheduleState {
    fn default() -> Self {
        Self {
            best: None,
            waited: 0,
            factor: 1.0,
        }
    }
}

impl Schedule {
    /// The paper's: halved after 5 epochs without a gain above 1e-4, not below a sixteenth.
    pub fn paper() -> Self {
        Schedule::Plateau {
            factor: 0.5,
            patience_epochs: 5,
            min_gain: 1e-4,
            floor: 1.0 / 16.0,
        }
    }

    /// Factor on the learning rate in step `step` (counted from 0) of `steps`.
    pub fn factor(&self, state: &ScheduleState, step: u64, steps: u64) -> f64 {
        match *self {
            Schedule::Constant => 1.0,
            Schedule::Plateau { .. } => state.factor,
            Schedule::Cosine {
                warmup_steps,
                floor,
            } => {
                if step < warmup_steps {
                    return (step + 1) as f64 / (warmup_steps + 1) as f64;
                }
                let length = steps.saturating_sub(warmup_steps + 1).max(1);
                let done = ((step - warmup_steps) as f64 / length as f64).min(1.0);
                floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
        }
    }

    /// Tells the schedule the mean training loss of an epoch that ended.
    pub fn epoch_ended(&self, state: &mut ScheduleState, loss: f64) {
        let Schedule::Plateau {
            factor,
            patience_epochs,
            min_gain,
            floor,
        } = *self
        else {
            return;
        };
        if state.best.is_none_or(|best| loss < best - min_gain) {
            state.best = Some(loss);
            state.waited = 0;
            return;
        }
        state.waited += 1;
        if state.waited >= patience_epochs {
            state.factor = (state.factor * factor).max(floor);
            state.waited = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_plateau_halves_after_five_epochs_and_stops_at_a_sixteenth() {
        let schedule = Schedule::paper();
        let mut state = ScheduleState::default();
        schedule.epoch_ended(&mut state, 0.5);
        for _ in 0..4 {
            // A gain of exactly nothing, and one too small to count.
            schedule.epoch_ended(&mut state, 0.49995);
            assert_eq!(schedule.factor(&state, 0, 0), 1.0);
        }
        schedule.epoch_ended(&mut state, 0.5);
        assert_eq!(schedule.factor(&state, 0, 0), 0.5);
        schedule.epoch_ended(&mut state, 0.4);
        for _ in 0..100 {
            schedule.epoch_ended(&mut state, 0.4);
        }
        assert_eq!(schedule.factor(&state, 0, 0), 1.0 / 16.0);
    }

    #[test]
    fn the_cosine_rises_then_falls_to_its_floor() {
        let schedule = Schedule::Cosine {
            warmup_steps: 10,
            floor: 0.02,
        };
        let state = ScheduleState::default();
        let factors: Vec<f64> = (0..100)
            .map(|step| schedule.factor(&state, step, 100))
            .collect();
        assert!((factors[0] - 1.0 / 11.0).abs() < 1e-12);
        assert_eq!(factors[10], 1.0);
        assert!((factors[99] - 0.02).abs() < 1e-12);
        assert!(
            factors
                .windows(2)
                .enumerate()
                .all(|(i, w)| (w[1] > w[0]) == (i < 10))
        );
        // A run shorter than its warm-up is legal.
        assert!(schedule.factor(&state, 2, 3).is_finite());
    }
}
