//! All choices of a training in one place, written into the project's file and into every model.

use crate::augment::{AugmentError, Augmentation};
use crate::crops::FieldOrder;
use crate::encoder::Encoder;
use crate::input::{InputError, Normalisation};
use crate::loss::{Loss, LossError, LossTerm};
use crate::optimiser::{Adam, Schedule};
#[cfg(doc)]
use crate::output::KINDS;
use crate::output::{OutputError, OutputKind};
use serde::{Deserialize, Serialize};
use stainfree_kernels::Precision;

/// How long to train.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Length {
    /// So many optimiser steps.
    Steps(u64),
    /// So many passes over the training fields.
    Epochs(u64),
    /// So many crops in all, rounded down to whole epochs; the paper's rule is `floor(60000 /
    /// fields)` epochs.
    Crops(u64),
}

/// Which state of the network is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// The epoch of the lowest mean training loss, as in the paper.
    TrainingLoss,
    /// The highest mean F1 of the foreground classes on whole validation fields.
    Validation,
    /// The highest mean of that and of the F1 of whole nuclei on the validation fields.
    Objects,
    /// The last step.
    Last,
}

/// Where the batch-norm statistics used outside training come from. Keras' running averages alone
/// will not do: with momentum 0.99 they still hold 37 % of their start after 100 steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchNormStatistics {
    /// The running averages, which the first batch begins anew: their start has no share in them.
    /// Recipes of earlier versions call them `corrected`.
    #[serde(alias = "corrected")]
    Running,
    /// The plain average over so many training batches, measured with the weights as they are.
    Measured(u32),
}

/// All choices of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What it is called.
    pub name: String,
    /// The encoder.
    pub encoder: Encoder,
    /// Factor on all channel counts.
    pub width: f64,
    /// Arithmetic of the products; weights, sums and moments are f32 either way.
    #[serde(default, with = "precision_by_name")]
    pub precision: Precision,
    /// Seed of everything random.
    pub seed: u64,
    /// Crops per step.
    pub batch: usize,
    /// Side of a crop, pixels; a multiple of 32.
    pub crop: usize,
    /// When training ends.
    pub length: Length,
    /// Whether fields are brought to one pixel size, where sizes are known: that of most training
    /// fields, and in prediction the model's. Without it a pixel is a pixel.
    #[serde(default)]
    pub rescale: bool,
    /// Which fields come when.
    pub field_order: FieldOrder,
    /// Share of the crops that are aimed at a pixel of a foreground class.
    pub foreground: f64,
    /// What the network says beside the classes, by the names of [`KINDS`]: numbers learned from
    /// labelled nuclei, by which they are told apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<String>,
    /// How intensities become comparable.
    pub normalisation: Normalisation,
    /// Changes made to crops.
    pub augmentation: Augmentation,
    /// The loss, a weighted sum.
    pub loss: Vec<LossTerm>,
    /// The optimiser.
    pub adam: Adam,
    /// The learning rate's course.
    pub schedule: Schedule,
    /// Which state is kept.
    pub selection: Selection,
    /// Where the statistics for prediction come from.
    pub batch_norm: BatchNormStatistics,
    /// Steps over which the weights are averaged before they are scored and kept (a moving
    /// average); 0 = as they are.
    #[serde(default)]
    pub average_steps: u64,
    /// Least steps of a round. A training of two rounds and more is as many trainings from one
    /// start, each on crops of its own with the whole course of the rate, and what is kept is the
    /// mean of their weights; none, or more than the training has = one round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_steps: Option<u64>,
    /// Steps that schedule and selection count as an epoch; none = one pass over the training
    /// fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch_steps: Option<u64>,
    /// Steps between validations, beside those at the end and at the end of every round; 0 = none.
    pub validate_every: u64,
    /// Stop after so many validations without a better one; 0 = never. In a training of several
    /// rounds those at their ends count.
    pub patience: u32,
}

impl Recipe {
    /// The names [`Recipe::named`] knows.
    pub const NAMES: [&'static str; 2] = ["default", "paper"];

    /// The recipe called `name`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "default" => Some(Self::standard()),
            "paper" => Some(Self::paper()),
            _ => None,
        }
    }

    /// The paper's, as its notebooks ran: 8-bit input, symmetries, the hybrid loss with its
    /// accidental betas, Adam 1e-4 halved on plateaus of the training loss, batch 4 of 640 x 640,
    /// about 15,000 steps.
    pub fn paper() -> Self {
        Self {
            name: "paper".into(),
            encoder: Encoder::Vgg16,
            width: 1.0,
            precision: Precision::F32,
            seed: 1,
            batch: 4,
            crop: 640,
            length: Length::Crops(60_000),
            rescale: false,
            field_order: FieldOrder::FixedBatches,
            foreground: 0.0,
            outputs: Vec::new(),
            normalisation: Normalisation::Paper,
            augmentation: Augmentation::paper(),
            loss: vec![LossTerm::new("paper", 1.0)],
            adam: Adam::paper(),
            schedule: Schedule::paper(),
            selection: Selection::TrainingLoss,
            batch_norm: BatchNormStatistics::Running,
            average_steps: 0,
            round_steps: None,
            epoch_steps: None,
            validate_every: 1000,
            patience: 0,
        }
    }

    /// The one to use: the encoder that the program carries a start for, locally flattened input,
    /// varied crops aimed at the rare classes, cross-entropy plus Dice, distances and directions by
    /// which nuclei are told apart, a larger rate that rises and falls, the mean of rounds, the
    /// checkpoint chosen on validation.
    pub fn standard() -> Self {
        Self {
            name: "default".into(),
            encoder: Encoder::MobilenetV2,
            crop: 320,
            length: Length::Steps(2000),
            rescale: true,
            field_order: FieldOrder::Random,
            foreground: 0.7,
            outputs: ["distance", "neighbour", "flow"].map(String::from).to_vec(),
            normalisation: Normalisation::Local { radius_px: 40.0 },
            augmentation: Augmentation::strong(),
            loss: vec![
                LossTerm::new("cross-entropy", 1.0),
                LossTerm::new("dice", 1.0),
            ],
            adam: Adam {
                lr: 8e-4,
                weight_decay: 1e-4,
                ..Adam::paper()
            },
            schedule: Schedule::Cosine {
                warmup_steps: 50,
                floor: 0.02,
            },
            selection: Selection::Validation,
            round_steps: Some(400),
            validate_every: 100,
            ..Self::paper()
        }
    }

    /// The recipe for another encoder, with the crops and batches the paper trained it on.
    ///
    /// The batch-norm statistics and the rate of the default recipe were chosen for MobileNetV2
    /// from weights (`docs/recipe.md`, `docs/objects.md`). With the others the rate is lower, and
    /// statistics are measured: their trainings mostly begin from nothing, whose early averages say
    /// little.
    pub fn on(mut self, encoder: Encoder) -> Self {
        if self.name == "default" && encoder != Encoder::MobilenetV2 {
            self.batch_norm = BatchNormStatistics::Measured(16);
            // A file may say another one.
            if self.adam == Self::standard().adam {
                self.adam.lr = 3e-4;
            }
        }
        let (crop, batch) = match encoder {
            Encoder::EfficientnetB4 => (320, 8),
            Encoder::Vgg16 | Encoder::MobilenetV2 => (self.crop, self.batch),
        };
        Self {
            encoder,
            crop,
            batch,
            ..self
        }
    }

    /// Steps that schedule and selection count as an epoch, on `fields` fields.
    pub fn epoch(&self, fields: usize) -> u64 {
        let pass = || self.field_order.steps_per_epoch(fields, self.batch);
        self.epoch_steps.unwrap_or_else(pass).max(1)
    }

    /// Steps of a training on `fields` fields.
    pub fn steps(&self, fields: usize) -> u64 {
        let per_epoch = self.field_order.steps_per_epoch(fields, self.batch);
        match self.length {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => epochs * per_epoch,
            Length::Crops(crops) => (crops / fields.max(1) as u64).max(1) * per_epoch,
        }
    }

    /// Least steps of a round; none for a training that has one round, however long it is. So has
    /// one that keeps a moving average, or the state of the lowest training loss: it has a mean of
    /// its own, or needs none.
    pub fn round_length(&self) -> Option<u64> {
        let alone = self.average_steps > 0 || self.selection == Selection::TrainingLoss;
        self.round_steps.filter(|&length| !alone && length > 0)
    }

    /// The rounds of a training of `steps` steps, of which `from` were made as a shorter training
    /// and count as rounds that have ended.
    pub fn rounds(&self, from: u64, steps: u64) -> Rounds {
        Rounds {
            from,
            steps,
            length: self.round_length().unwrap_or(steps).max(1),
        }
    }

    /// Refuses what cannot be trained, for a network of `classes` classes whose sides are multiples
    /// of `multiple`.
    ///
    /// # Errors
    /// Names the setting, its value and what it must be.
    pub fn check(&self, classes: usize, multiple: usize) -> Result<(), RecipeError> {
        let wrong = |name: &'static str, value: String, must: &'static str| {
            Err(RecipeError::Value { name, value, must })
        };
        if self.crop == 0 || !self.crop.is_multiple_of(multiple) || self.crop > 8192 {
            return Err(RecipeError::Crop {
                crop: self.crop,
                multiple,
            });
        }
        if !(1..=1024).contains(&self.batch) {
            return wrong("batch", self.batch.to_string(), "1 to 1024");
        }
        if !(0.0..=1.0).contains(&self.foreground) {
            return wrong("foreground", self.foreground.to_string(), "0 to 1");
        }
        if self.length == Length::Steps(0) || self.length == Length::Epochs(0) {
            return wrong("length", "0".into(), "1 step or more");
        }
        let adam = &self.adam;
        if !(adam.lr > 0.0 && adam.lr <= 1.0) {
            return wrong("adam.lr", adam.lr.to_string(), "above 0 and at most 1");
        }
        for (name, beta) in [("adam.beta1", adam.beta1), ("adam.beta2", adam.beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return wrong(name, beta.to_string(), "0 to below 1");
            }
        }
        if !(adam.epsilon > 0.0 && adam.epsilon <= 1.0) {
            return wrong(
                "adam.epsilon",
                adam.epsilon.to_string(),
                "above 0 and at most 1",
            );
        }
        if !(0.0..=1.0).contains(&adam.weight_decay) {
            return wrong("adam.weight_decay", adam.weight_decay.to_string(), "0 to 1");
        }
        let shares = match self.schedule {
            Schedule::Constant => [("", 0.0); 2],
            Schedule::Plateau { factor, floor, .. } => {
                [("schedule.factor", factor), ("schedule.floor", floor)]
            }
            Schedule::Cosine { floor, .. } => [("schedule.floor", floor); 2],
        };
        if let Some((name, value)) = shares.into_iter().find(|(_, x)| !(0.0..=1.0).contains(x)) {
            return wrong(name, value.to_string(), "0 to 1");
        }
        if self.batch_norm == BatchNormStatistics::Measured(0) {
            return wrong("batch_norm.measured", "0".into(), "1 batch or more");
        }
        if self.average_steps > 0 && self.batch_norm == BatchNormStatistics::Running {
            // Running averages belong to the weights of the last steps, not to their mean.
            return wrong(
                "average_steps",
                self.average_steps.to_string(),
                "0 where `batch_norm` is `running`; give `batch_norm = { measured = 16 }`",
            );
        }
        if self.round_steps == Some(0) {
            return wrong("round_steps", "0".into(), "1 step or more");
        }
        self.normalisation.check()?;
        self.augmentation.check()?;
        Loss::new(&self.loss, classes)?;
        for name in &self.outputs {
            OutputKind::named(name)?;
        }
        Ok(())
    }
}

/// How the steps of a training are parted into rounds: all of one length, but for the last, which
/// takes what is left where that is too little for a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounds {
    from: u64,
    steps: u64,
    length: u64,
}

impl Rounds {
    /// Rounds that are not of a shorter training.
    fn own(&self) -> u64 {
        (self.steps.saturating_sub(self.from) / self.length).max(1)
    }

    /// Their number; a shorter training counts as one.
    pub fn count(&self) -> u64 {
        self.own() + u64::from(self.from > 0)
    }

    /// The steps of its round before `step`, counted from 0, and those of the whole round.
    pub fn within(&self, step: u64) -> (u64, u64) {
        let last = self.own() - 1;
        let round = (step.saturating_sub(self.from) / self.length).min(last);
        let begin = self.from + round * self.length;
        let end = if round == last {
            self.steps
        } else {
            begin + self.length
        };
        (step.saturating_sub(begin), end.saturating_sub(begin))
    }

    /// The number of the round that `step` is in, from 0.
    pub fn number(&self, step: u64) -> u64 {
        match step.checked_sub(self.from) {
            Some(own) => u64::from(self.from > 0) + (own / self.length).min(self.own() - 1),
            None => 0,
        }
    }

    /// Whether a round ends after `done` steps.
    pub fn ends_after(&self, done: u64) -> bool {
        let own = done.saturating_sub(self.from);
        let inner =
            own.is_multiple_of(self.length) && (1..self.own()).contains(&(own / self.length));
        inner || done == self.steps || (self.from > 0 && done == self.from)
    }

    /// Whether a training that was made for `self` can go on as one for `other` after `done` steps:
    /// rounds so far end where they ended.
    pub fn go_on_as(&self, other: &Self, done: u64) -> bool {
        (1..=done).all(|step| self.ends_after(step) == other.ends_after(step))
    }
}

/// `Precision` as the words of `--precision`.
mod precision_by_name {
    use super::Precision;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        precision: &Precision,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(precision.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Precision, D::Error> {
        let name = String::deserialize(from)?;
        Precision::parse(&name).ok_or_else(|| {
            de::Error::custom(format!(
                "`precision` is `{name}`; it must be `f32` or `bf16`"
            ))
        })
    }
}

/// A recipe that cannot be followed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RecipeError {
    /// A number out of range.
    #[error("`{name}` is `{value}`; it must be {must}")]
    Value {
        /// The key.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        must: &'static str,
    },
    /// A crop the network cannot read.
    #[error("`crop` is `{crop}`; it must be a multiple of {multiple} and at most 8192")]
    Crop {
        /// Its value.
        crop: usize,
        /// The network's multiple.
        multiple: usize,
    },
    /// The loss.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// The input.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The augmentation.
    #[error(transparent)]
    Augment(#[from] AugmentError),
    /// An output beside the classes.
    #[error(transparent)]
    Output(#[from] OutputError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_recipes_can_be_followed_and_survive_toml() {
        for name in Recipe::NAMES {
            let recipe = Recipe::named(name).unwrap();
            assert_eq!(recipe.name, name);
            recipe.check(3, 32).unwrap();
            let text = toml::to_string(&recipe).unwrap();
            assert_eq!(toml::from_str::<Recipe>(&text).unwrap(), recipe, "{text}");
        }
    }

    #[test]
    fn rounds_part_all_steps_and_short_trainings_have_one() {
        let recipe = Recipe {
            round_steps: Some(400),
            ..Recipe::standard()
        };
        for (steps, count) in [(1, 1), (399, 1), (400, 1), (799, 1), (800, 2), (1300, 3)] {
            assert_eq!(recipe.rounds(0, steps).count(), count, "{steps}");
        }
        let rounds = recipe.rounds(0, 1300);
        let ends: Vec<u64> = (0..=1300).filter(|&done| rounds.ends_after(done)).collect();
        assert_eq!(ends, [400, 800, 1300]);
        assert_eq!(rounds.within(0), (0, 400));
        assert_eq!(rounds.within(399), (399, 400));
        assert_eq!(rounds.within(400), (0, 400));
        assert_eq!(rounds.within(800), (0, 500));
        assert_eq!(rounds.within(1300), (500, 500));
        let averaged = Recipe {
            average_steps: 100,
            ..recipe
        };
        assert_eq!(averaged.rounds(0, 1300).count(), 1);
        let plain = Recipe::paper().rounds(0, 1300);
        assert_eq!((plain.count(), plain.within(1299)), (1, (1299, 1300)));
    }

    #[test]
    fn a_longer_training_goes_on_where_its_rounds_end_alike() {
        let recipe = Recipe {
            round_steps: Some(400),
            ..Recipe::standard()
        };
        let goes_on = |was, now, done| {
            let [was, now] = [was, now].map(|steps| recipe.rounds(0, steps));
            was.go_on_as(&now, done)
        };
        assert!(goes_on(800, 1200, 800) && goes_on(800, 1200, 500));
        assert!(goes_on(400, 800, 400));
        // A last round of 500 steps is none of a longer training.
        assert!(!goes_on(1300, 2000, 1300) && goes_on(1300, 2000, 1100));
        assert!(!goes_on(700, 1200, 600));
        // Where it was finished, it counts as rounds that have ended.
        let rounds = recipe.rounds(1300, 2000);
        assert_eq!((rounds.count(), rounds.within(1300)), (2, (0, 700)));
        let ends: Vec<u64> = (0..=2000).filter(|&done| rounds.ends_after(done)).collect();
        assert_eq!(ends, [1300, 2000]);
        let rounds = recipe.rounds(200, 2000);
        assert_eq!((rounds.count(), rounds.within(600)), (5, (0, 400)));
        let numbers = [0, 199, 200, 599, 600, 1999].map(|step| rounds.number(step));
        assert_eq!(numbers, [0, 0, 1, 1, 2, 4]);
    }

    #[test]
    fn recipes_of_earlier_versions_are_read() {
        let recipe = Recipe::standard();
        let text = toml::to_string(&recipe).unwrap();
        let earlier = text.replace("batch_norm = \"running\"", "batch_norm = \"corrected\"");
        assert_ne!(earlier, text, "{text}");
        assert_eq!(toml::from_str::<Recipe>(&earlier).unwrap(), recipe);
    }

    #[test]
    fn the_papers_length_is_its_rule() {
        // Epochs = floor(40 * 1500 / n) times n / 4 steps.
        let recipe = Recipe::paper();
        for (fields, epochs, steps) in [
            (16, 3750, 4),
            (128, 468, 32),
            (512, 117, 128),
            (1024, 58, 256),
            (1500, 40, 375),
        ] {
            assert_eq!(recipe.steps(fields), epochs * steps);
        }
    }

    #[test]
    fn an_epoch_is_a_pass_unless_it_is_so_many_steps() {
        let paper = Recipe::paper();
        assert_eq!((paper.epoch(16), paper.epoch(1500)), (4, 375));
        let even = Recipe {
            epoch_steps: Some(50),
            ..paper
        };
        assert_eq!((even.epoch(16), even.epoch(1500)), (50, 50));
    }

    #[test]
    fn wrong_values_are_named() {
        let text = |recipe: Recipe| recipe.check(3, 32).unwrap_err().to_string();
        assert_eq!(
            text(Recipe {
                crop: 300,
                ..Recipe::standard()
            }),
            "`crop` is `300`; it must be a multiple of 32 and at most 8192"
        );
        assert_eq!(
            text(Recipe {
                batch: 0,
                ..Recipe::standard()
            }),
            "`batch` is `0`; it must be 1 to 1024"
        );
        let schedule = Schedule::Cosine {
            warmup_steps: 0,
            floor: 20.0,
        };
        assert_eq!(
            text(Recipe {
                schedule,
                ..Recipe::standard()
            }),
            "`schedule.floor` is `20`; it must be 0 to 1"
        );
        let adam = Adam {
            lr: f64::NAN,
            ..Adam::paper()
        };
        assert!(
            text(Recipe {
                adam,
                ..Recipe::standard()
            })
            .contains("`adam.lr` is `NaN`")
        );
        let unknown = toml::to_string(&Recipe::standard())
            .unwrap()
            .replace("batch =", "bacth =");
        assert!(
            toml::from_str::<Recipe>(&unknown)
                .unwrap_err()
                .to_string()
                .contains("bacth")
        );
    }
}
