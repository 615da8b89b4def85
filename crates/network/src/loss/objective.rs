//! What a training makes small: the losses of all outputs of a network, added up.

use super::numbers::{self, Numbers};
use super::{Loss, LossError, LossTerm};
use crate::output::{Output, channels};

/// The losses of a network's outputs.
pub(crate) struct Objective {
    classes: Loss,
    /// All outputs but the classes.
    further: Vec<Output>,
}

/// What is true of a batch.
#[derive(Clone, Copy)]
pub(crate) struct Targets<'a> {
    /// `[image][pixel]`, class numbers or [`crate::output::IGNORED`].
    pub(crate) classes: &'a [u8],
    /// `[image][channel][pixel]` of the further outputs, NaN where nothing is known.
    pub(crate) numbers: &'a [f32],
}

impl Objective {
    /// For `outputs`, whose first are the classes: these learn by `terms`, the others by their own
    /// losses.
    pub(crate) fn new(terms: &[LossTerm], outputs: &[Output]) -> Result<Self, LossError> {
        let (classes, further) = outputs.split_first().expect("a network has classes");
        Ok(Self {
            classes: Loss::new(terms, classes.channels)?,
            further: further.to_vec(),
        })
    }

    /// Value and gradient for a batch of `images` images. `made` is what the last convolution
    /// gives, `[image][channel][pixel]`, and `gradient` as long.
    ///
    /// # Panics
    /// If the lengths do not fit each other.
    pub(crate) fn evaluate(
        &self,
        made: &[f32],
        targets: Targets,
        images: usize,
        gradient: &mut [f32],
    ) -> f64 {
        if self.further.is_empty() {
            return self
                .classes
                .evaluate(made, targets.classes, images, gradient);
        }
        let pixels = targets.classes.len() / images;
        let classes = self.classes.classes * pixels;
        let further = channels(&self.further) * pixels;
        assert_eq!(
            made.len(),
            images * (classes + further),
            "output differs in size"
        );
        assert_eq!(made.len(), gradient.len(), "gradient differs in size");
        assert_eq!(
            targets.numbers.len(),
            images * further,
            "truth differs in size"
        );
        let mut of_classes = Vec::with_capacity(images);
        let mut of_numbers: Vec<Vec<Numbers>> = self.further.iter().map(|_| vec![]).collect();
        let image = classes + further;
        let parts = made.chunks(image).zip(gradient.chunks_mut(image));
        let targets = targets
            .classes
            .chunks(pixels)
            .zip(targets.numbers.chunks(further));
        for ((made, gradient), (target, mut rest)) in parts.zip(targets) {
            let (logits, mut made) = made.split_at(classes);
            let (d_logits, mut gradient) = gradient.split_at_mut(classes);
            of_classes.push((logits, d_logits, target));
            for (output, numbers) in self.further.iter().zip(&mut of_numbers) {
                let own = output.channels * pixels;
                let before = made.split_off(..own).expect("every channel is there");
                let gradient = gradient.split_off_mut(..own).expect("as long");
                let truth = rest.split_off(..own).expect("as long");
                numbers.push(Numbers {
                    before,
                    gradient,
                    truth,
                });
            }
        }
        let mut sum = self.classes.evaluate_images(of_classes.into_iter());
        for (output, numbers) in self.further.iter().zip(of_numbers) {
            sum += output.weight * numbers::evaluate(output, numbers);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::IGNORED;
    use crate::output::{Link, OutputLoss, Values};
    use crate::random::{Purpose, Random};

    const PIXELS: usize = 5;
    const IMAGES: usize = 2;

    fn output(name: &str, channels: usize, link: Link, loss: OutputLoss, weight: f64) -> Output {
        Output {
            name: name.into(),
            channels,
            link,
            values: Values::Scalar,
            loss,
            weight,
        }
    }

    /// Classes, a share, and a vector whose differences lie on both sides of 1.
    fn outputs() -> Vec<Output> {
        vec![
            Output::classes(3),
            output("share", 1, Link::Sigmoid, OutputLoss::Squared, 2.0),
            output("flow", 2, Link::Linear, OutputLoss::SmoothL1, 0.5),
        ]
    }

    struct Batch {
        made: Vec<f32>,
        classes: Vec<u8>,
        values: Vec<f32>,
    }

    fn batch() -> Batch {
        let mut random = Random::new(3, Purpose::Noise, 0, 0);
        let mut numbers =
            |n: usize| -> Vec<f32> { (0..n).map(|_| random.between(-2.0, 2.0) as f32).collect() };
        let made = numbers(IMAGES * 6 * PIXELS);
        let mut values = numbers(IMAGES * 3 * PIXELS);
        (values[1], values[7], values[PIXELS * 3 + 2]) = (f32::NAN, f32::NAN, f32::NAN);
        let classes = vec![0, 1, 2, IGNORED, 1, 2, 2, 0, 0, IGNORED];
        Batch {
            made,
            classes,
            values,
        }
    }

    fn evaluate(outputs: &[Output], batch: &Batch) -> (f64, Vec<f32>) {
        let terms = [LossTerm::new("cross-entropy", 1.0)];
        let objective = Objective::new(&terms, outputs).unwrap();
        let targets = Targets {
            classes: &batch.classes,
            numbers: &batch.values,
        };
        let mut gradient = vec![9.0; batch.made.len()];
        let value = objective.evaluate(&batch.made, targets, IMAGES, &mut gradient);
        (value, gradient)
    }

    #[test]
    fn gradients_are_those_of_differences() {
        let batch = batch();
        let (_, gradient) = evaluate(&outputs(), &batch);
        let step = 1e-2;
        for at in 0..batch.made.len() {
            let moved = |by: f32| {
                let mut made = batch.made.clone();
                made[at] += by;
                let batch = Batch {
                    made,
                    classes: batch.classes.clone(),
                    values: batch.values.clone(),
                };
                evaluate(&outputs(), &batch).0
            };
            let expected = (moved(step) - moved(-step)) / f64::from(2.0 * step);
            // The curvature's part in a difference of this step.
            assert!((f64::from(gradient[at]) - expected).abs() < 2e-4, "{at}");
        }
    }

    #[test]
    fn the_sum_is_that_of_the_outputs_alone() {
        let batch = batch();
        let (all, gradient) = evaluate(&outputs(), &batch);
        // The classes alone, whose planes are the first three of six.
        let image = 6 * PIXELS;
        let alone = |first: usize, channels: usize, of: &[f32], image: usize| -> Vec<f32> {
            let part = |i: usize| of[i * image + first * PIXELS..][..channels * PIXELS].to_vec();
            (0..IMAGES).flat_map(part).collect()
        };
        let classes = Batch {
            made: alone(0, 3, &batch.made, image),
            classes: batch.classes.clone(),
            values: vec![],
        };
        let (mut expected, own) = evaluate(&outputs()[..1], &classes);
        assert_eq!(alone(0, 3, &gradient, image), own);
        // And the others by their formulas.
        let pairs = |first: usize, channels: usize| {
            let truth = alone(first - 3, channels, &batch.values, 3 * PIXELS);
            let made = alone(first, channels, &batch.made, image);
            let known = made.into_iter().zip(truth).filter(|(_, t)| !t.is_nan());
            known
                .map(|(m, t)| (f64::from(m), f64::from(t)))
                .collect::<Vec<_>>()
        };
        let mean = |losses: Vec<f64>| losses.iter().sum::<f64>() / losses.len() as f64;
        let share = |(m, t): &(f64, f64)| (1.0 / (1.0 + (-m).exp()) - t).powi(2);
        expected += 2.0 * mean(pairs(3, 1).iter().map(share).collect());
        let smooth = |(m, t): &(f64, f64)| match (m - t).abs() {
            d if d < 1.0 => 0.5 * d * d,
            d => d - 0.5,
        };
        expected += 0.5 * mean(pairs(4, 2).iter().map(smooth).collect());
        assert!((all - expected).abs() < 1e-6, "{all} {expected}");
    }

    #[test]
    fn what_is_not_known_moves_nothing() {
        let mut batch = batch();
        let (_, gradient) = evaluate(&outputs(), &batch);
        // The second pixel of the share of the first image.
        assert_eq!(gradient[3 * PIXELS + 1], 0.0);
        batch.values.fill(f32::NAN);
        batch.classes.fill(IGNORED);
        let (value, gradient) = evaluate(&outputs(), &batch);
        assert_eq!(value, 0.0);
        assert!(gradient.iter().all(|&d| d == 0.0));
    }
}
