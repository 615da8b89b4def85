//! A rule that misses no more nuclei than a user allows, by conformal risk control over groups.
//!
//! The settings are fixed beforehand: the model's default rule with falling thresholds. A rule that
//! was chosen on the same fields would make the promise too good.

use std::collections::BTreeMap;

use rayon::prelude::*;
use stainfree_inference::{NucleusDecoder, Promise};
use stainfree_objects::NucleusRule;
use stainfree_scores::controlled;

use super::{Seen, decided};
use crate::{Cancel, ProjectError};

/// Thresholds of the nucleus class, the strictest first.
const THRESHOLDS: [f64; 14] = [
    0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05, 0.02,
];
/// Of the least distance that a default rule asks for where its threshold is 0.4: it falls with it.
const LEAST_DISTANCE_BY_THRESHOLD: f64 = 0.5;
/// A nucleus is missed where less than this share of it is covered by predicted nuclei, one or
/// more.
const COVERED: f64 = 0.5;

/// The strictest rule that promises to miss at most the share `bound` of the nuclei of a group that
/// is not among those of `seen`, and the promise. `decoder` has the model's default.
pub(super) fn rule_within(
    seen: &[Seen],
    decoder: &NucleusDecoder,
    bound: f64,
    cancel: &Cancel,
) -> Result<(NucleusRule, Promise), ProjectError> {
    let mut losses: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for threshold in THRESHOLDS {
        cancel.check()?;
        for (group, lost) in losses_by_group(seen, &with(decoder, threshold))? {
            losses.entry(group).or_default().push(lost);
        }
    }
    let units: Vec<Vec<f64>> = losses.into_values().collect();
    let found = controlled(&units, bound).map_err(|error| {
        ProjectError::Failed(format!(
            "`--miss {bound}` cannot be promised: {error}; allow more, or let more groups validate \
             (`[split]` in `stainfree.toml`)"
        ))
    })?;
    let promise = Promise {
        missed: bound,
        promised: found.promised,
        missed_here: found.mean_loss,
        groups: units.len(),
    };
    Ok((with(decoder, THRESHOLDS[found.setting]).rule, promise))
}

/// The default rule with another threshold.
fn with(decoder: &NucleusDecoder, threshold: f64) -> NucleusDecoder {
    let mut decoder = decoder.clone();
    decoder.rule.threshold = Some(threshold);
    let least = decoder.rule.least_distance;
    decoder.rule.least_distance = least.min(LEAST_DISTANCE_BY_THRESHOLD * threshold);
    decoder
}

/// Of every group with true nuclei, the share of them that is missed.
fn losses_by_group<'a>(
    seen: &'a [Seen],
    decoder: &NucleusDecoder,
) -> Result<BTreeMap<&'a str, f64>, ProjectError> {
    let counted = |seen: &'a Seen| {
        let found = decoder
            .decode(&seen.pixels, seen.pixel_um)
            .map_err(decided)?;
        Ok((seen.group.as_str(), missed(seen, found.labels.data())))
    };
    let fields: Result<Vec<_>, ProjectError> = seen.par_iter().map(counted).collect();
    let mut groups: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    for (group, [lost, all]) in fields? {
        let sums = groups.entry(group).or_default();
        *sums = [sums[0] + lost, sums[1] + all];
    }
    let with_nuclei = groups.into_iter().filter(|(_, [_, all])| *all > 0);
    Ok(with_nuclei
        .map(|(group, [lost, all])| (group, lost as f64 / all as f64))
        .collect())
}

/// True nuclei that are missed, and all; those that are ignored for the most part do not count.
fn missed(seen: &Seen, labels: &[u32]) -> [u64; 2] {
    #[derive(Clone, Copy, Default)]
    struct Pixels {
        all: u64,
        counted: u64,
        covered: u64,
    }
    let mut nuclei: BTreeMap<u32, Pixels> = BTreeMap::new();
    for (i, (&truth, &label)) in seen.truth.data().iter().zip(labels).enumerate() {
        if truth == 0 {
            continue;
        }
        let counts = seen.ignore.as_ref().is_none_or(|ignore| !ignore.data()[i]);
        let pixels = nuclei.entry(truth).or_default();
        pixels.all += 1;
        pixels.counted += u64::from(counts);
        pixels.covered += u64::from(counts && label > 0);
    }
    let of_interest = nuclei.values().filter(|n| 2 * n.counted >= n.all);
    of_interest.fold([0, 0], |[lost, all], nucleus| {
        let is_lost = (nucleus.covered as f64) < COVERED * nucleus.counted as f64;
        [lost + u64::from(is_lost), all + 1]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_image::Image;
    use stainfree_inference::{Pixels, default_rule};
    use stainfree_network::Output;

    const CLASSES: [&str; 2] = ["background", "nucleus"];

    /// A field of two nuclei of 12 x 12 pixels, seen with these probabilities.
    fn field(group: usize, sure: [f32; 2]) -> Seen {
        let at = |y: usize, x: usize| match (y, x) {
            (6..18, 6..18) => 1,
            (6..18, 30..42) => 2,
            _ => 0u32,
        };
        let nucleus = Image::from_fn(24, 48, |y, x| match at(y, x) {
            0 => 0.0f32,
            label => sure[label as usize - 1],
        });
        let planes = [nucleus.map(|p| 1.0 - p), nucleus];
        let made: Vec<f32> = planes.iter().flat_map(|p| p.data().to_vec()).collect();
        let classes: Vec<String> = CLASSES.map(str::to_owned).into();
        Seen {
            name: format!("field{group}"),
            group: format!("group{group}"),
            well: None,
            pixels: Pixels::of_network(&[Output::classes(2)], &classes, &made, [24, 48]),
            pixel_um: Some(1.0),
            classes: Image::from_fn(24, 48, |y, x| u8::from(at(y, x) > 0)),
            truth: Image::from_fn(24, 48, at),
            ignore: None,
        }
    }

    fn decoder() -> NucleusDecoder {
        NucleusDecoder {
            classes: CLASSES.map(str::to_owned).into(),
            rule: default_rule(&[Output::classes(2)]),
            pixel_um: Some(1.0),
            in_pixels: false,
        }
    }

    #[test]
    fn the_threshold_falls_until_the_promise_holds() {
        let cancel = Cancel::default();
        // In one of nineteen groups a nucleus has a probability of 0.33, in two it has 0.12.
        let mut seen: Vec<Seen> = (0..16).map(|g| field(g, [0.95, 0.95])).collect();
        seen.push(field(16, [0.95, 0.33]));
        seen.extend((17..19).map(|g| field(g, [0.95, 0.12])));
        let within = |bound| rule_within(&seen, &decoder(), bound, &cancel);
        let (rule, promise) = within(0.13).expect("kept");
        // Three groups lose half: (1.5 + 1) / 20 is 0.125.
        assert_eq!(rule.threshold, Some(0.9));
        assert!((promise.promised - 0.125).abs() < 1e-12);
        // Two do: 0.1; none: 0.05.
        assert_eq!(within(0.1).expect("kept").0.threshold, Some(0.3));
        let (rule, promise) = within(0.05).expect("kept");
        assert_eq!((rule.threshold, promise.groups), (Some(0.1), 19));
        assert_eq!(promise.missed_here, 0.0);
        let said = within(0.04).expect_err("too few").to_string();
        let part = "19 groups can promise 5.0 % at best; 24 are needed for 4.0 %";
        assert!(said.contains(part), "{said}");
    }

    #[test]
    fn nuclei_that_are_fused_or_ignored_are_not_missed() {
        let mut one = field(0, [0.95, 0.1]);
        let both = vec![7; 24 * 48];
        assert_eq!(missed(&one, &both), [0, 2]);
        let none = vec![0; 24 * 48];
        assert_eq!(missed(&one, &none), [2, 2]);
        one.ignore = Some(Image::from_fn(24, 48, |_, x| x >= 30));
        assert_eq!(missed(&one, &none), [1, 1]);
    }
}
