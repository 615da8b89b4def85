//! What scores say to whoever wants to use a model's numbers.

use crate::confidence::ExpectedCount;
use crate::result::{ConfidenceSummary, Scores};
use crate::verdict::{Evidence, Tested, Verdict};

impl Scores {
    /// What the rules say of using numbers of this model on images like these.
    pub fn verdict(&self) -> Verdict {
        Verdict::of(&Evidence {
            test: Some(self.into()),
            result: None,
        })
    }
}

impl From<&Scores> for Tested {
    fn from(scores: &Scores) -> Self {
        let objects = scores.objects.as_ref();
        let of = |name: &str| {
            let found = objects?.detail.get(name)?;
            Some((found.pooled?, found.ci95))
        };
        let confidence = scores.confidence.as_ref();
        let pixels = scores.pixels_kept + scores.pixels_ignored;
        Self {
            standing: scores.on.as_ref().map(|on| on.standing),
            groups: scores.groups,
            f1: of("f1_50"),
            count_error: of("count_error"),
            ece: confidence.and_then(|c| c.ece.pooled.zip(c.ece_by_chance)),
            auroc: confidence.and_then(|c| c.auroc.pooled),
            held: confidence.and_then(held),
            ignored: (pixels > 0).then(|| scores.pixels_ignored as f64 / pixels as f64),
        }
    }
}

/// Intervals of wells' counts, of fields' where there is no more than one well.
fn held(confidence: &ConfidenceSummary) -> Option<(usize, usize, f64)> {
    let of = |counts: &[ExpectedCount]| {
        let [all, held] = ConfidenceSummary::held(counts);
        let level = counts.iter().find_map(|count| count.level)?;
        (all > 1).then_some((all, held, level))
    };
    of(&confidence.wells).or_else(|| of(&confidence.fields))
}
