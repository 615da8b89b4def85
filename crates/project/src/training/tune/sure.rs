//! How sure a model's nuclei are, fitted on the fields that rules are tried on.

use std::path::Path;

use rayon::prelude::*;
use stainfree_image::Image;
use stainfree_inference::confidence::{FieldFound, TooFew};
use stainfree_inference::{Confidence, NucleusDecoder, cytoplasm_class};
use stainfree_scores::Matching;

use super::{Seen, decided};
use crate::ProjectError;

/// Fits the confidence of nuclei that `decoder` makes, for the model `hash`, and writes it into its
/// folder. Where nuclei are too few it says so, and what is there of another rule is removed.
pub(super) fn fit(
    seen: &[Seen],
    decoder: &NucleusDecoder,
    (folder, hash): (&Path, &str),
) -> Result<Result<Confidence, TooFew>, ProjectError> {
    let unknown = decoder.pixel_um.is_none() && seen.iter().any(|seen| seen.pixel_um.is_none());
    let in_pixels = decoder.in_pixels || unknown;
    let found = |seen: &Seen| found(seen, decoder, in_pixels);
    let fields: Result<Vec<FieldFound>, ProjectError> = seen.par_iter().map(found).collect();
    let word = decoder.word();
    let fitted = Confidence::fit(hash, &word, in_pixels, &fields?);
    match &fitted {
        Ok(confidence) => {
            confidence.write(folder).map_err(decided)?;
        }
        // One that was fitted before, on other fields, is not what these fields say.
        Err(_) => Confidence::forget_other(folder, hash, "").map_err(decided)?,
    }
    Ok(fitted)
}

/// The nuclei of a field, and which of them are right.
fn found(
    seen: &Seen,
    decoder: &NucleusDecoder,
    in_pixels: bool,
) -> Result<FieldFound, ProjectError> {
    let nuclei = decoder
        .decode(&seen.pixels, seen.pixel_um)
        .map_err(decided)?;
    let table = decoder.features(&seen.pixels, &nuclei.labels, seen.pixel_um, in_pixels);
    let matching = Matching::new(&seen.truth, &nuclei.labels, seen.ignore.as_ref());
    let matching = matching.map_err(|error| ProjectError::Failed(error.to_string()))?;
    let right = matching.right();
    let side = match in_pixels {
        true => 1.0,
        false => seen.pixel_um.or(decoder.pixel_um).unwrap_or(1.0),
    };
    let counts = |i: usize| seen.ignore.as_ref().is_none_or(|ignore| !ignore.data()[i]);
    let area = |is: &dyn Fn(usize) -> bool| {
        let pixels = (0..seen.truth.data().len()).filter(|&i| counts(i) && is(i));
        pixels.count() as f64 * side * side
    };
    let of_class = |classes: &Image<u8>, class: u8| area(&|i| classes.data()[i] == class);
    let cytoplasm = cytoplasm_class(&decoder.classes)
        .map(|class| [&seen.classes, &seen.pixels.classes].map(|classes| of_class(classes, class)));
    Ok(FieldFound {
        name: seen.name.clone(),
        group: seen.group.clone(),
        well: seen.well.clone(),
        right: table
            .labels
            .iter()
            .map(|label| right.get(label).copied())
            .collect(),
        truth: matching.objects().truth,
        true_area: area(&|i| seen.truth.data()[i] > 0),
        cytoplasm,
        table,
    })
}

/// What a user is told of a fit.
pub(super) fn sentence(fitted: &Result<Confidence, TooFew>) -> String {
    match fitted {
        Ok(confidence) if confidence.features.is_empty() => {
            let checked = &confidence.checked;
            let right = checked.nuclei - checked.wrong;
            format!(
                "of {} predicted nuclei of the validation fields {right} are right and {} wrong, \
                 too few of one kind to tell which: every nucleus has the confidence {:.2}; {}",
                checked.nuclei,
                checked.wrong,
                confidence.of_all().unwrap_or(f64::NAN),
                confidence.counts.sentence()
            )
        }
        Ok(confidence) => {
            let checked = &confidence.checked;
            format!(
                "how sure nuclei are was fitted on {} of them ({} wrong): on what was left out, \
                 calibration error {:.3}, AUROC {:.2}; {}",
                checked.nuclei,
                checked.wrong,
                checked.ece,
                checked.auroc,
                confidence.counts.sentence()
            )
        }
        Err(few) => format!("nuclei have no confidence: {few}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_inference::{CONFIDENCE, Pixels};
    use stainfree_network::Output;

    /// Six by six squares of 12 px, each third of which is spurious and of a lower probability; of
    /// both kinds some have that of the other.
    fn seen(name: &str, spurious: bool) -> Seen {
        let square = |y: usize, x: usize| {
            let inside = |at: usize| at % 20 >= 4 && at % 20 < 16;
            (inside(y) && inside(x)).then(|| y / 20 * 6 + x / 20)
        };
        let is_spurious = |number: usize| spurious && number.is_multiple_of(3);
        let truth = Image::from_fn(120, 120, |y, x| match square(y, x) {
            Some(number) if !is_spurious(number) => number as u32 + 1,
            _ => 0,
        });
        let nucleus = Image::from_fn(120, 120, |y, x| match square(y, x) {
            None => 0.1f32,
            Some(number) if is_spurious(number) != (number % 7 == 1) => 0.6,
            Some(_) => 0.9,
        });
        let made = [nucleus.map(|p| 1.0 - p), nucleus];
        let made: Vec<f32> = made.iter().flat_map(|p| p.data().to_vec()).collect();
        Seen {
            name: name.to_owned(),
            group: name.to_owned(),
            well: None,
            pixels: Pixels::of_network(&[Output::classes(2)], &classes(), &made, [120, 120]),
            pixel_um: Some(1.0),
            classes: truth.map(|&label| u8::from(label > 0)),
            truth,
            ignore: None,
        }
    }

    fn classes() -> Vec<String> {
        ["background", "nucleus"].map(str::to_owned).into()
    }

    #[test]
    fn nuclei_of_a_low_probability_that_are_mostly_wrong_get_a_low_confidence() {
        let decoder = NucleusDecoder {
            classes: classes(),
            rule: stainfree_objects::NucleusRule::default(),
            pixel_um: Some(1.0),
            in_pixels: false,
        };
        let folder = tempfile::tempdir().unwrap();
        let fields = ["a", "b", "c", "d"].map(|name| seen(name, true));
        let fitted = fit(&fields, &decoder, (folder.path(), "model")).unwrap();
        let confidence = fitted.as_ref().unwrap();
        let checked = &confidence.checked;
        assert_eq!(
            (checked.groups, checked.nuclei, checked.wrong),
            (4, 144, 48)
        );
        assert!(checked.auroc > 0.75 && checked.ece < 0.1, "{checked:?}");
        // All that are right were found: nothing is missed.
        assert!(
            (confidence.counts.per_found - 1.0).abs() < 0.05,
            "{confidence:?}"
        );
        assert!(sentence(&fitted).contains("144 of them (48 wrong)"));
        assert!(folder.path().join(CONFIDENCE).is_file());
        // Squares of 144 um2, found as they are.
        let areas = confidence.areas.as_ref().unwrap();
        assert!((areas.mean.per_found - 1.0).abs() < 1e-9 && areas.usual == 144.0);
        assert!(areas.nuclei.field.is_some() && areas.cytoplasm.is_none());
        // Where all are right, they cannot be told apart: 73 of 74.
        let fields = ["a", "b"].map(|name| seen(name, false));
        let fitted = fit(&fields, &decoder, (folder.path(), "model")).unwrap();
        let said = sentence(&fitted);
        assert!(said.contains("72 are right and 0 wrong"), "{said}");
        assert!(said.contains("has the confidence 0.99"), "{said}");
        // Of few nuclei nothing can be said, and what was there goes.
        let mut few = seen("a", false);
        few.ignore = Some(Image::from_fn(120, 120, |y, _| y >= 70));
        let fitted = fit(&[few], &decoder, (folder.path(), "model")).unwrap();
        assert!(
            sentence(&fitted).contains("too few"),
            "{}",
            sentence(&fitted)
        );
        assert!(!folder.path().join(CONFIDENCE).is_file());
    }
}
