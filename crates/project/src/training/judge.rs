//! Whole nuclei of validation fields, counted while a network is trained.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use stainfree_image::Image;
use stainfree_inference::{NucleusDecoder, Pixels, default_rule};
use stainfree_network::Output;
use stainfree_network::train::{Judge, TrainingData};
use stainfree_objects::IGNORED;
use stainfree_scores::match_labels_ignoring;

/// What a pixel is taken for where fields have no one size, um: about what microscopes have.
const USUAL_UM: f64 = 0.5;

/// Counts nuclei by the default rule: what is chosen for the network at its end must not decide
/// which state is kept.
pub(crate) struct NucleusJudge<'a> {
    fields: &'a dyn TrainingData,
    outputs: &'a [Output],
    decoder: NucleusDecoder,
    truth: Mutex<HashMap<usize, Option<Arc<Truth>>>>,
}

/// True nuclei of a field, and the pixels that do not count.
struct Truth {
    nuclei: Image<u32>,
    ignore: Image<bool>,
}

impl<'a> NucleusJudge<'a> {
    /// For networks with these `outputs` that tell `classes` apart.
    pub(crate) fn new(
        fields: &'a dyn TrainingData,
        outputs: &'a [Output],
        classes: &[String],
        pixel_um: Option<f64>,
    ) -> Self {
        Self {
            fields,
            outputs,
            decoder: NucleusDecoder {
                classes: classes.to_vec(),
                rule: default_rule(outputs),
                pixel_um: Some(pixel_um.unwrap_or(USUAL_UM)),
                in_pixels: false,
            },
            truth: Mutex::default(),
        }
    }

    /// The field's truth, read once; none where its nuclei are not told apart.
    fn truth(&self, field: usize) -> Result<Option<Arc<Truth>>, Box<dyn Error + Send + Sync>> {
        let known = || self.truth.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(truth) = known().get(&field) {
            return Ok(truth.clone());
        }
        let raw = self.fields.read(field)?;
        let ignore = raw.target.map(|&class| class == IGNORED);
        let truth = raw.labels.map(|nuclei| Arc::new(Truth { nuclei, ignore }));
        known().insert(field, truth.clone());
        Ok(truth)
    }
}

impl Judge for NucleusJudge<'_> {
    fn judge(
        &self,
        field: usize,
        made: &[f32],
        size: [usize; 2],
    ) -> Result<[u64; 3], Box<dyn Error + Send + Sync>> {
        let Some(truth) = self.truth(field)? else {
            return Ok([0; 3]);
        };
        let pixels = Pixels::of_network(self.outputs, &self.decoder.classes, made, size);
        let found = self.decoder.decode(&pixels, None)?;
        let counts = match_labels_ignoring(&truth.nuclei, &found.labels, Some(&truth.ignore))?;
        let at_half = counts.at[0];
        Ok([at_half.tp, at_half.fp, at_half.fn_])
    }
}
