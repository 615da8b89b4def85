//! How sure the nuclei of an image are that is predicted part by part.

use std::sync::Arc;

use stainfree_image::Image;
use stainfree_objects::RowsDone;

use crate::confidence::{Confidence, FeatureRows, SureNucleus};

/// Maps that confidences are told from: the probability of a nucleus, the distance to the border,
/// and that to the neighbour.
pub(super) const FEATURE_MAPS: usize = 3;

/// Where these maps lie among those of nuclei.
#[derive(Clone, Copy, Debug)]
pub(super) struct FeaturePlan {
    /// The place of each among all maps of rows that are done.
    places: [Option<usize>; FEATURE_MAPS],
    /// Of the maps of nuclei.
    of_nuclei: usize,
}

impl FeaturePlan {
    /// Of the maps that nuclei are made of, the first three of which are these, and of these, as
    /// far as both are there.
    pub(super) fn of(nuclei: [bool; 5], features: [bool; FEATURE_MAPS]) -> Self {
        let count = |maps: &[bool]| maps.iter().filter(|&&there| there).count();
        let of_nuclei = count(&nuclei);
        let mut next = of_nuclei;
        let mut places = [None; FEATURE_MAPS];
        for (i, place) in places.iter_mut().enumerate().filter(|(i, _)| features[*i]) {
            if nuclei[i] {
                *place = Some(count(&nuclei[..i]));
            } else {
                *place = Some(next);
                next += 1;
            }
        }
        Self { places, of_nuclei }
    }

    /// Whether a map is none that nuclei are made of.
    pub(super) fn is_carried(&self, map: usize) -> bool {
        self.places[map].is_some_and(|place| place >= self.of_nuclei)
    }

    /// How many maps are carried along.
    pub(super) fn carried(&self) -> usize {
        (0..FEATURE_MAPS)
            .filter(|&map| self.is_carried(map))
            .count()
    }
}

/// Says of nuclei how sure they are, row by row.
pub(super) struct SureRows {
    confidence: Arc<Confidence>,
    plan: FeaturePlan,
    features: FeatureRows,
    nuclei: Vec<SureNucleus>,
}

impl SureRows {
    /// Of an image of that size, whose pixels have the side `pixel_um` where sizes count; it holds
    /// no more than so many rows. `None` where there is no probability.
    pub(super) fn new(
        confidence: Arc<Confidence>,
        plan: FeaturePlan,
        size: (usize, usize),
        pixel_um: Option<f64>,
        most_rows: usize,
    ) -> Option<Self> {
        let [Some(_), distance, neighbour] = plan.places else {
            return None;
        };
        let has = [distance.is_some(), neighbour.is_some()];
        Some(Self {
            confidence,
            plan,
            features: FeatureRows::new(size, pixel_um, has, most_rows),
            nuclei: Vec::new(),
        })
    }

    /// Takes rows that are done.
    pub(super) fn push(&mut self, done: &RowsDone) {
        let map = |place: Option<usize>| -> Option<&Image<f32>> { done.maps.get(place?) };
        let table = self.features.push(&done.labels, self.plan.places.map(map));
        self.nuclei.extend(self.confidence.nuclei(&table));
    }

    /// All nuclei, by label.
    pub(super) fn finish(mut self) -> Vec<SureNucleus> {
        self.nuclei.sort_unstable_by_key(|nucleus| nucleus.label);
        self.nuclei
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_that_nuclei_are_made_of_are_not_carried_twice() {
        let plan = FeaturePlan::of([false, true, true, true, true], [true, true, true]);
        assert_eq!(plan.places, [Some(4), Some(0), Some(1)]);
        assert_eq!((plan.carried(), plan.is_carried(0)), (1, true));
        let plan = FeaturePlan::of([true, false, false, true, true], [true, true, false]);
        assert_eq!(plan.places, [Some(0), Some(3), None]);
        assert_eq!((plan.carried(), plan.is_carried(1)), (1, true));
        assert_eq!(FeaturePlan::of([true; 5], [false; 3]).carried(), 0);
    }
}
