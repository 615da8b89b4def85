//! Scores on whole validation fields, and the statistics they are computed with.

use super::data::Fields;
use super::{Picture, TrainError, TrainJob};
use crate::crops::Prepared;
use crate::device::Train;
use crate::output::IGNORED;
use crate::output::{Output, parts};
use crate::parameters::Parameters;
use crate::random::{Purpose, Random};
use crate::recipe::BatchNormStatistics;
use crate::tiles::{TileOptions, argmax, predict_image};
use stainfree_image::Image;
use std::collections::BTreeMap;

/// Least weight of a batch in batch norm's running statistics (Keras' momentum 0.99).
const MOMENTUM: f32 = 0.01;

/// Weight of the batch of `step`, counted from 1, in batch norm's running statistics.
///
/// With Keras' weight from the first step on, 37 % of the start are left after 100 steps, whatever
/// it was: of a fresh network (mean 0, variance 1), or of pretrained weights whose layers see other
/// values by then. So the first batch takes the start's place, and later ones weigh the more the
/// later they come until that would be less than Keras' weight.
pub(super) fn momentum(step: u64) -> f32 {
    (2.0 / (step as f32 + 1.0)).max(MOMENTUM)
}

/// Steps from here on are only used to measure statistics: far beyond any training.
const STATISTICS_STEP: u64 = 1 << 40;
/// Side of the pictures, pixels.
const PICTURE: usize = 256;

/// Per class: true positives, false positives, false negatives, in pixels pooled over fields.
pub(super) struct Counts(Vec<[u64; 3]>);

impl Counts {
    fn add(&mut self, truth: &[u8], prediction: &[u8]) {
        for (&t, &p) in truth.iter().zip(prediction) {
            if t == IGNORED {
                continue;
            }
            if t == p {
                self.0[usize::from(t)][0] += 1;
            } else {
                self.0[usize::from(p)][1] += 1;
                self.0[usize::from(t)][2] += 1;
            }
        }
    }

    /// F1 of every class; none for a class that is neither in the truth nor predicted.
    pub(super) fn f1(&self) -> Vec<Option<f64>> {
        self.0.iter().copied().map(f1_of).collect()
    }
}

/// F1 of what is found, predicted without being there, and missed; none where there is nothing.
pub(super) fn f1_of([found, spurious, missed]: [u64; 3]) -> Option<f64> {
    let all = 2 * found + spurious + missed;
    (all > 0).then(|| 2.0 * found as f64 / all as f64)
}

/// Of every further output: sum of the absolute errors, and how many numbers were known.
struct Errors<'a> {
    further: &'a [Output],
    sums: Vec<(f64, u64)>,
}

impl Errors<'_> {
    /// Adds a field: `made` is `[channel][y][x]` of the further outputs.
    fn add(&mut self, truth: &[Image<f32>], made: &[f32]) {
        let mut truth = truth.iter();
        for ((sum, known), (output, made)) in self.sums.iter_mut().zip(parts(self.further, made)) {
            let own = truth.by_ref().take(output.channels).flat_map(Image::data);
            for (&t, &p) in own.zip(made).filter(|(t, _)| !t.is_nan()) {
                *sum += f64::from((p - t).abs());
                *known += 1;
            }
        }
    }

    fn means(&self) -> BTreeMap<String, Option<f64>> {
        let mean = |&(sum, known): &(f64, u64)| (known > 0).then(|| sum / known as f64);
        let names = self.further.iter().map(|output| output.name.clone());
        names.zip(self.sums.iter().map(mean)).collect()
    }
}

/// What a validation finds.
pub(super) struct Scored {
    /// Classes pixel by pixel.
    pub(super) counts: Counts,
    /// Mean errors of further outputs.
    pub(super) errors: BTreeMap<String, Option<f64>>,
    /// Windows of the first fields.
    pub(super) pictures: Vec<Picture>,
    /// Objects found, spurious and missed, where somebody counts them.
    pub(super) objects: Option<[u64; 3]>,
}

/// Mean over the foreground classes that exist; 0 where none does.
pub(super) fn mean_foreground(f1: &[Option<f64>]) -> f64 {
    let known: Vec<f64> = f1.iter().skip(1).flatten().copied().collect();
    known.iter().sum::<f64>() / known.len().max(1) as f64
}

/// The parameters as they are now, or their average, with batch-norm statistics fit for prediction.
/// The trainer is left as it was, but for batch norm's momentum and stochastic depth, which every
/// step sets.
pub(super) fn scoring_parameters(
    job: &TrainJob,
    trainer: &mut dyn Train,
    average: Option<&Parameters>,
    fields: &Fields,
) -> Result<Parameters, TrainError> {
    let parameters = trainer.parameters();
    // Running averages are those of the last weights and not of a mean.
    let batches = match job.recipe.batch_norm {
        BatchNormStatistics::Running => average.map(|_| MEAN_BATCHES),
        BatchNormStatistics::Measured(batches) => Some(batches),
    };
    match batches {
        // Batches leave no share to the start.
        None => Ok(parameters),
        Some(batches) => {
            let state = trainer.optimiser_state();
            if let Some(average) = average {
                trainer.restore(average, &state);
            }
            // As in prediction.
            trainer.set_stochastic_depth(None);
            for k in 0..batches {
                let batch = fields.batch(job.recipe, STATISTICS_STEP + u64::from(k))?;
                trainer.set_batch_norm_momentum(1.0 / (k + 1) as f32);
                trainer.forward(&batch.input);
            }
            let measured = trainer.parameters();
            trainer.restore(&parameters, &state);
            Ok(measured)
        }
    }
}

/// Batches on which the statistics of a mean of weights are measured, unless the recipe says how
/// many.
const MEAN_BATCHES: u32 = 32;

/// Batches on which folded batch norms are measured: together some hundred thousand pixels, and
/// some thousands of the deepest layers.
pub(super) const FOLDED_BATCHES: u64 = 16;

/// Measures the encoder's batch norms on training crops; the network still predicts the same.
pub(super) fn measure_folded_norms(
    job: &TrainJob,
    trainer: &mut dyn Train,
    fields: &Fields,
) -> Result<(), TrainError> {
    let batch = |k| fields.batch(job.recipe, STATISTICS_STEP + k);
    let batches: Vec<Vec<f32>> = (0..FOLDED_BATCHES)
        .map(|k| batch(k).map(|batch| batch.input))
        .collect::<Result<_, _>>()?;
    trainer.recalibrate(job.graph.encoder_prefix(), batches);
    Ok(())
}

/// Scores `parameters` on all validation fields; the first few give a picture each.
pub(super) fn validate(
    job: &TrainJob,
    trainer: &dyn Train,
    parameters: &Parameters,
    fields: &Fields,
) -> Result<Scored, TrainError> {
    let graph = job.graph;
    let mut predictor = trainer.predictor(parameters);
    let options = TileOptions {
        memory: job.memory,
        ..TileOptions::new(graph)
    };
    let mut counts = Counts(vec![[0; 3]; graph.classes()]);
    let further = &graph.outputs()[1..];
    let mut errors = Errors {
        further,
        sums: vec![(0.0, 0); further.len()],
    };
    let mut pictures = Vec::new();
    let mut objects = job.judge.map(|_| [0; 3]);
    for index in 0..fields.len() {
        let field = fields.get(index)?;
        let (height, width) = field.target().size();
        let planes: Vec<&[f32]> = field.planes().iter().map(Image::data).collect();
        let mut input = vec![0.0; graph.input_channels() * height * width];
        job.input.write_channels(&planes, &mut input);
        let made = predict_image(&mut *predictor, &input, height, width, &options)?;
        if let (Some(judge), Some(sums)) = (job.judge, &mut objects) {
            let found = judge.judge(index, &made, [height, width]);
            let found = found.map_err(|error| TrainError::Read {
                field: fields.name(index),
                error,
            })?;
            sums.iter_mut().zip(found).for_each(|(sum, n)| *sum += n);
        }
        let (probabilities, numbers) = made.split_at(graph.classes() * height * width);
        let classes = Image::new(height, width, argmax(probabilities, graph.classes()));
        counts.add(field.target().data(), classes.data());
        errors.add(field.values(), numbers);
        if index < job.pictures {
            pictures.push(picture(&field, &classes, fields.name(index), index));
        }
    }
    Ok(Scored {
        counts,
        errors: errors.means(),
        pictures,
        objects,
    })
}

/// The same window of a field every time, aimed at its foreground.
fn picture(field: &Prepared, classes: &Image<u8>, name: String, index: usize) -> Picture {
    let (height, width) = classes.size();
    let side = PICTURE.min(height).min(width);
    let (y, x) = field.choose(
        side,
        1.0,
        &mut Random::new(0, Purpose::Crop, index as u64, 0),
    );
    let (y, x) = (y.max(0) as usize, x.max(0) as usize);
    Picture {
        name,
        input: field.planes()[0].crop(y, x, side, side),
        truth: field.target().crop(y, x, side, side),
        prediction: classes.crop(y, x, side, side),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_statistics_forget_their_start_and_then_what_is_old() {
        // What weight every batch has in the average after `steps` steps; the start is batch 0.
        let weights = |steps: u64| {
            let mut weights = vec![1.0f64];
            for step in 1..=steps {
                let new = f64::from(momentum(step));
                weights.iter_mut().for_each(|w| *w *= 1.0 - new);
                weights.push(new);
            }
            weights
        };
        for steps in [1, 2, 30, 100, 1000] {
            let weights = weights(steps);
            assert_eq!(weights[0], 0.0, "{steps}");
            assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-6);
            assert!(weights.windows(2).all(|pair| pair[0] <= pair[1] + 1e-9));
        }
        // Growing evenly at first ...
        let short = weights(100);
        assert!((short[50] / short[100] - 0.5).abs() < 1e-5);
        // ... later Keras' average, of some hundred batches.
        let long = weights(1000);
        assert_eq!(long[1000], f64::from(MOMENTUM));
        assert!((long[900] / long[1000] - 0.99f64.powi(100)).abs() < 1e-5);
    }

    #[test]
    fn pooled_errors_leave_out_what_is_unknown() {
        let further = [1, 2, 1].map(|channels| Output {
            name: channels.to_string(),
            ..Output::classes(channels)
        });
        let further = &further[..2];
        let mut errors = Errors {
            further,
            sums: vec![(0.0, 0); 2],
        };
        let image = |values: [f32; 2]| Image::new(1, 2, values.to_vec());
        let truth = [image([1.0, f32::NAN]), image([0.0, 2.0]), image([0.0; 2])];
        errors.add(&truth, &[1.5, 9.0, 1.0, 2.0, 0.0, 1.0]);
        let expected = [("1".to_owned(), Some(0.5)), ("2".to_owned(), Some(0.5))];
        assert_eq!(errors.means(), expected.into());
    }

    #[test]
    fn pooled_f1_ignores_what_is_ignored() {
        let mut counts = Counts(vec![[0; 3]; 4]);
        counts.add(&[0, 1, 1, 2, IGNORED, 1], &[0, 1, 2, 2, 1, 0]);
        let f1 = counts.f1();
        assert_eq!(f1, [Some(2.0 / 3.0), Some(0.5), Some(2.0 / 3.0), None]);
        assert!((mean_foreground(&f1) - (0.5 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
    }
}
