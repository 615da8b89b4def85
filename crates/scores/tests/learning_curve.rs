//! Learning curves against scipy's bounded least squares
//! (`testdata/scores/make_learning_curve.py`), and whether their intervals hold what they promise.

use std::collections::BTreeMap;

use serde::Deserialize;
use stainfree_scores::{
    BootstrapOptions, ClassCounts, CurveRun, FieldScores, LearningCurve, PixelCounts, Terms,
    learning_curve,
};

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    images: Vec<usize>,
    scores: Vec<f64>,
    fits: BTreeMap<String, ScipyFit>,
}

#[derive(Deserialize)]
struct ScipyFit {
    rss: f64,
    at: [f64; 2],
}

/// Fields of a run whose pooled precision is `score`; each field is off it by its own `offsets`.
fn fields(score: f64, offsets: &[f64]) -> Vec<FieldScores> {
    const PIXELS: f64 = 1e9;
    let field = |(i, offset): (usize, &f64)| {
        let tp = (PIXELS * (score + offset)).round() as u64;
        FieldScores {
            name: format!("f{i}"),
            pixels: Some(PixelCounts {
                classes: vec![ClassCounts {
                    tp,
                    fp: PIXELS as u64 - tp,
                    fn_: 0,
                }],
                ..PixelCounts::default()
            }),
            ..FieldScores::default()
        }
    };
    offsets.iter().enumerate().map(field).collect()
}

fn precision(field: &FieldScores) -> Vec<Terms> {
    let class = field.pixels.as_ref().unwrap().classes[0];
    vec![[class.tp as f64, (class.tp + class.fp) as f64]]
}

fn fitted(
    images: &[usize],
    scores: &[f64],
    offsets: &[f64],
    resamples: usize,
) -> Option<LearningCurve> {
    let counts: Vec<Vec<FieldScores>> = scores.iter().map(|s| fields(*s, offsets)).collect();
    let runs: Vec<CurveRun> = images
        .iter()
        .zip(&counts)
        .map(|(&images, fields)| CurveRun { images, fields })
        .collect();
    let options = BootstrapOptions {
        resamples,
        ..BootstrapOptions::default()
    };
    learning_curve(&runs, &options, 0.01, precision).unwrap()
}

#[test]
fn the_curve_is_scipys() {
    let text = include_str!("../../../testdata/scores/learning_curve.json");
    let golden: Golden = serde_json::from_str(text).unwrap();
    for case in golden.cases {
        let found = fitted(&case.images, &case.scores, &[0.0; 8], 50).unwrap();
        let runs = case.images.len() as f64;
        let least = case
            .fits
            .values()
            .map(|fit| fit.rss)
            .fold(f64::INFINITY, f64::min);
        let likelihood = |fit: &ScipyFit| (fit.rss / least).powf(-0.5 * runs);
        let sum: f64 = case.fits.values().map(likelihood).sum();
        let mut expected = [0.0; 2];
        for (shape, fit) in &case.fits {
            let weight = likelihood(fit) / sum;
            // Residuals agree to about 1e-5 of themselves.
            assert!(
                (found.shapes.get(shape).unwrap() - weight).abs() < 1e-3,
                "{}: {shape} {weight}",
                case.name
            );
            expected = [0, 1].map(|i| expected[i] + weight * fit.at[i]);
        }
        let largest = *case.images.iter().max().unwrap();
        assert_eq!(
            (found.doubling.from, found.doubling.to),
            (largest, 2 * largest)
        );
        let end = found.curve.last().unwrap().score;
        // The search for the rate ends within 1e-4 of its logarithm, where the misfit is flat.
        assert!(
            (end - expected[1]).abs() < 1e-4,
            "{}: {end} {expected:?}",
            case.name
        );
        let gain = expected[1] - expected[0];
        assert!((found.doubling.gain - gain).abs() < 1e-4, "{}", case.name);
    }
}

#[test]
fn too_few_sizes_or_runs_have_no_curve() {
    let none = |images: &[usize], scores: &[f64]| fitted(images, scores, &[0.0; 8], 50).is_none();
    assert!(none(&[4, 4, 8, 8], &[0.7, 0.71, 0.8, 0.79]), "two sizes");
    let sizes = [4, 8, 16, 16, 16];
    let scores = [0.7, 0.78, 0.81, 0.8, 0.805];
    assert!(
        none(&sizes[..4], &scores[..4]),
        "one run more than parameters"
    );
    assert!(!none(&sizes, &scores));
}

/// How the scores of runs scatter around the true curve.
#[derive(Clone, Copy, Debug)]
enum Scatter {
    /// Every run has images of its own.
    Independent,
    /// The smaller sets of a seed are part of its larger ones, and the largest is all there is, the
    /// same for every seed, as in an experiment and in `advise`. Half of the variance is that of
    /// the images, half that of the training.
    Nested,
}

/// A set of runs with its images in nested order.
struct Design<'a> {
    sizes: &'a [usize],
    seeds: usize,
    scatter: Scatter,
}

/// Standard deviation of single runs around the curve.
const SCATTER: f64 = 0.01;

impl Design<'_> {
    /// Deviations of the runs, size by size, in standard deviations.
    fn deviations(&self, normal: &mut impl FnMut() -> f64) -> Vec<f64> {
        let all = *self.sizes.last().unwrap();
        let images: Vec<f64> = (0..all).map(|_| normal()).collect();
        let orders: Vec<Vec<usize>> = (0..self.seeds)
            .map(|_| {
                let mut keyed: Vec<(f64, usize)> = (0..all).map(|i| (normal(), i)).collect();
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
                keyed.into_iter().map(|(_, i)| i).collect()
            })
            .collect();
        let mut deviations = Vec::new();
        for &size in self.sizes {
            for order in &orders {
                let of_training = normal();
                let sum: f64 = order[..size].iter().map(|&i| images[i]).sum();
                let of_images = sum / (size as f64).sqrt();
                deviations.push(match self.scatter {
                    Scatter::Independent => of_training,
                    Scatter::Nested => (of_training + of_images) / 2f64.sqrt(),
                });
            }
        }
        deviations
    }

    /// How often the interval of the gain holds the true one, over data sets drawn from a known
    /// curve.
    fn coverage(&self, truth: fn(f64) -> f64, sets: u64, resamples: usize) -> f64 {
        let images: Vec<usize> = self
            .sizes
            .iter()
            .flat_map(|&n| vec![n; self.seeds])
            .collect();
        let last = *self.sizes.last().unwrap() as f64;
        let gain = truth(2.0 * last) - truth(last);
        let mut state = 7u64;
        // Sum of twelve uniform numbers: close enough to normal, from a generator that is not the
        // code's own.
        let mut normal = || {
            let mut next = || {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f64 / (1u64 << 24) as f64
            };
            (0..12).map(|_| next()).sum::<f64>() - 6.0
        };
        let mut held = 0;
        for _ in 0..sets {
            let deviations = self.deviations(&mut normal);
            let scores: Vec<f64> = images
                .iter()
                .zip(deviations)
                .map(|(&n, deviation)| truth(n as f64) + SCATTER * deviation)
                .collect();
            // Fields differ from each other alike in all runs, as hard and easy fields do.
            let offsets: Vec<f64> = (0..10).map(|_| 0.03 * normal()).collect();
            let centre = offsets.iter().sum::<f64>() / 10.0;
            let offsets: Vec<f64> = offsets.iter().map(|o| o - centre).collect();
            let found = fitted(&images, &scores, &offsets, resamples).unwrap();
            let [low, high] = found.doubling.ci95.unwrap();
            held += u64::from((low - 1e-4..=high + 1e-4).contains(&gain));
        }
        held as f64 / sets as f64
    }
}

/// Sizes and seeds of the coverage tests, with the least share that is let pass. 400 sets of 400
/// resamples gave 0.95, 0.92, 0.94 and 0.82 with independent sets, 0.96, 0.94, 0.93 and 0.81 with
/// nested ones; a share of 0.93 of 120 scatters by 0.023, one of 0.82 by 0.035, and two of these
/// are let pass.
const DESIGNS: [(&[usize], usize, f64); 4] = [
    (&[2, 4, 8], 2, 0.9),
    (&[2, 4, 8, 16], 2, 0.87),
    (&[2, 4, 8, 16, 32], 3, 0.88),
    (&[2, 4, 8, 16, 32], 1, 0.74),
];

fn curve(n: f64) -> f64 {
    1.0 - 0.12 - 0.35 * n.powf(-0.7)
}

#[test]
fn the_interval_of_the_gain_holds_the_true_one() {
    for scatter in [Scatter::Independent, Scatter::Nested] {
        for (sizes, seeds, least) in DESIGNS {
            let design = Design {
                sizes,
                seeds,
                scatter,
            };
            let share = design.coverage(curve, 120, 120);
            assert!(share >= least, "{scatter:?}, {sizes:?} x {seeds}: {share}");
        }
    }
}

#[test]
#[ignore = "a minute: the figures that the documentation of `learning_curve` names"]
fn coverage_of_the_interval_of_the_gain() {
    for scatter in [Scatter::Independent, Scatter::Nested] {
        for (sizes, seeds, _) in DESIGNS {
            let design = Design {
                sizes,
                seeds,
                scatter,
            };
            let share = design.coverage(curve, 400, 400);
            println!("{scatter:?}, {sizes:?} x {seeds}: {share}");
        }
    }
}
