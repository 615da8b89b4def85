//! Which fields and which windows of them make up a batch.
//!
//! Everything is a function of (seed, step): nothing is remembered from one step to the next. Here:
//! the choice of fields and places. Not here: turning, scaling and changing what is found there
//! (`augment`).

use crate::output::IGNORED;
use crate::random::{Purpose, Random};
use serde::{Deserialize, Serialize};
use stainfree_image::Image;

/// In which order fields come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FieldOrder {
    /// Every crop from a field drawn at random.
    Random,
    /// As the paper's loader really did: each field once per epoch, the same fields always in the
    /// same batch, only the order of the batches changes; an incomplete last batch is dropped.
    FixedBatches,
}

impl FieldOrder {
    /// Steps after which every field has been seen once (on average, for [`FieldOrder::Random`]);
    /// at least 1.
    pub fn steps_per_epoch(self, fields: usize, batch: usize) -> u64 {
        let steps = match self {
            FieldOrder::Random => fields.div_ceil(batch.max(1)),
            FieldOrder::FixedBatches => fields / batch.max(1),
        };
        steps.max(1) as u64
    }

    /// The `batch` fields of `step`, out of `fields`.
    ///
    /// # Panics
    /// If there is no field.
    pub fn fields_of_step(self, seed: u64, step: u64, fields: usize, batch: usize) -> Vec<usize> {
        match self {
            FieldOrder::Random => {
                let mut random = Random::new(seed, Purpose::Fields, 0, step);
                (0..batch).map(|_| random.below(fields)).collect()
            }
            FieldOrder::FixedBatches => {
                let per_epoch = self.steps_per_epoch(fields, batch);
                let mut random = Random::new(seed, Purpose::Fields, 1, step / per_epoch);
                let order = random.permutation(per_epoch as usize);
                let first = order[(step % per_epoch) as usize] * batch;
                // Fewer fields than a batch holds: they come again within it.
                (first..first + batch).map(|i| i % fields).collect()
            }
        }
    }
}

/// A field ready for cropping: normalised planes, what is true of them, and where its foreground
/// lies.
#[derive(Clone, Debug)]
pub struct Prepared {
    planes: Vec<Image<f32>>,
    target: Image<u8>,
    /// The channels of further outputs.
    values: Vec<Image<f32>>,
    /// For every class but the background, some of its pixels, spread evenly.
    places: Vec<Vec<(u32, u32)>>,
}

/// Places kept per class and field; more would only cost memory.
const PLACES: usize = 1024;

impl Prepared {
    /// Takes normalised planes and the class of every pixel ([`IGNORED`] where unknown).
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn new(planes: Vec<Image<f32>>, target: Image<u8>, classes: usize) -> Self {
        assert!(
            planes.iter().all(|p| p.size() == target.size()),
            "planes and target differ in size"
        );
        let mut counts = vec![0usize; classes];
        for &t in target.data() {
            if let Some(count) = counts.get_mut(usize::from(t)) {
                *count += 1;
            }
        }
        let mut places = vec![vec![]; classes.saturating_sub(1)];
        let mut seen = vec![0usize; classes];
        for (i, &t) in target.data().iter().enumerate() {
            let class = usize::from(t);
            if t == IGNORED || class == 0 || class >= classes {
                continue;
            }
            if seen[class].is_multiple_of(counts[class].div_ceil(PLACES)) {
                let (y, x) = (i / target.width(), i % target.width());
                places[class - 1].push((y as u32, x as u32));
            }
            seen[class] += 1;
        }
        Self {
            planes,
            target,
            values: Vec::new(),
            places,
        }
    }

    /// The same with what is true of further outputs, an image a channel, NaN where it is unknown.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn with_values(self, values: Vec<Image<f32>>) -> Self {
        assert!(
            values.iter().all(|v| v.size() == self.target.size()),
            "values and target differ in size"
        );
        Self { values, ..self }
    }

    /// The normalised planes.
    pub fn planes(&self) -> &[Image<f32>] {
        &self.planes
    }

    /// The class of every pixel.
    pub fn target(&self) -> &Image<u8> {
        &self.target
    }

    /// What is true of further outputs, an image a channel.
    pub fn values(&self) -> &[Image<f32>] {
        &self.values
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.target.data().len() * (4 * (self.planes.len() + self.values.len()) + 1)
            + self.places.iter().map(|p| 8 * p.len()).sum::<usize>()
    }

    /// First corner `(y, x)` of a window of `span` x `span` pixels.
    ///
    /// With probability `foreground` the window shows a pixel of a class drawn evenly from those
    /// the field has (so a rare class comes as often as a common one), at a random place in the
    /// window's inner half; otherwise all windows are equally likely. A window larger than the
    /// field is centred on it.
    pub fn choose(&self, span: usize, foreground: f64, random: &mut Random) -> (isize, isize) {
        let aim = random.chance(foreground);
        let present: Vec<&Vec<(u32, u32)>> = self.places.iter().filter(|p| !p.is_empty()).collect();
        let place = (aim && !present.is_empty()).then(|| {
            let places = present[random.below(present.len())];
            places[random.below(places.len())]
        });
        let mut corner = |size: usize, place: Option<u32>| {
            if size <= span {
                return -(((span - size) / 2) as isize);
            }
            let free = (size - span) as isize;
            match place {
                None => random.below(free as usize + 1) as isize,
                Some(at) => {
                    let offset = span / 4 + random.below(span.div_ceil(2));
                    (at as isize - offset as isize).clamp(0, free)
                }
            }
        };
        let y = corner(self.target.height(), place.map(|p| p.0));
        (y, corner(self.target.width(), place.map(|p| p.1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sparse() -> Prepared {
        // One nucleus of 4 pixels and a cytoplasm of 60 in a field of 100 x 200.
        let target = Image::from_fn(100, 200, |y, x| match (y, x) {
            (70..72, 150..152) => 1,
            (60..66, 20..30) => 2,
            (0, _) => IGNORED,
            _ => 0,
        });
        Prepared::new(vec![Image::filled(100, 200, 0.0)], target, 3)
    }

    #[test]
    fn aimed_windows_show_the_rare_classes_equally_often() {
        let field = sparse();
        let mut hits = [0; 3];
        for step in 0..400 {
            let mut random = Random::new(1, Purpose::Crop, 0, step);
            let (y, x) = field.choose(32, 1.0, &mut random);
            let window = field.target().crop(y as usize, x as usize, 32, 32);
            for class in 1..3u8 {
                hits[usize::from(class)] += usize::from(window.data().contains(&class));
            }
        }
        assert!(hits[1] + hits[2] >= 400, "{hits:?}");
        assert!(hits[1] > 150 && hits[2] > 150, "{hits:?}");
    }

    #[test]
    fn unaimed_windows_cover_the_field() {
        let field = sparse();
        let corners: Vec<_> = (0..2000)
            .map(|s| field.choose(90, 0.0, &mut Random::new(1, Purpose::Crop, 0, s)))
            .collect();
        assert!(
            corners
                .iter()
                .all(|&(y, x)| (0..=10).contains(&y) && (0..=110).contains(&x))
        );
        for y in 0..=10 {
            assert!(corners.iter().any(|c| c.0 == y));
        }
        assert!(corners.iter().any(|c| c.1 == 0) && corners.iter().any(|c| c.1 == 110));
    }

    #[test]
    fn a_small_field_is_centred() {
        assert_eq!(
            sparse()
                .choose(131, 1.0, &mut Random::new(1, Purpose::Crop, 0, 0))
                .0,
            -15
        );
    }

    #[test]
    fn a_field_without_foreground_can_be_cropped() {
        let blank = Prepared::new(vec![], Image::filled(40, 40, 0), 3);
        let (y, x) = blank.choose(32, 1.0, &mut Random::new(1, Purpose::Crop, 0, 0));
        assert!((0..=8).contains(&y) && (0..=8).contains(&x));
    }

    #[test]
    fn fixed_batches_show_every_field_once_an_epoch_in_the_same_company() {
        let order = FieldOrder::FixedBatches;
        assert_eq!(order.steps_per_epoch(10, 4), 2);
        let epoch = |e: u64| -> Vec<Vec<usize>> {
            (2 * e..2 * e + 2)
                .map(|step| order.fields_of_step(9, step, 10, 4))
                .collect()
        };
        let mut firsts = std::collections::HashSet::new();
        for e in 0..20 {
            let mut batches = epoch(e);
            firsts.insert(batches[0][0]);
            batches.sort();
            assert_eq!(batches, [[0, 1, 2, 3], [4, 5, 6, 7]]);
        }
        assert_eq!(firsts.len(), 2, "the order of the batches never changed");
        assert_eq!(order.fields_of_step(9, 5, 3, 4), [0, 1, 2, 0]);
    }

    #[test]
    fn random_fields_depend_on_the_step_alone() {
        let order = FieldOrder::Random;
        assert_eq!(
            order.fields_of_step(1, 77, 50, 8),
            order.fields_of_step(1, 77, 50, 8)
        );
        assert_ne!(
            order.fields_of_step(1, 77, 50, 8),
            order.fields_of_step(1, 78, 50, 8)
        );
    }
}
