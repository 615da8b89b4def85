//! The learning curve: error (1 - score) by number of training images, and what twice as many would
//! bring.
//!
//! 1. Each [`Shape`] is fitted to the mean errors of the set sizes by least squares, weighted by
//!    the number of runs; its one parameter that is not linear is searched for, the others follow
//!    (variable projection).
//! 2. Shapes are averaged with Akaike weights, here ratios of likelihood, since all have three
//!    parameters. A power law without a floor is part of the one with a floor; as a choice of its
//!    own, taken wherever it fitted no worse, it made intervals hold the true gain in a few of 100
//!    cases instead of 95 (three sizes, two runs each).
//! 3. For the interval, units of fields are drawn anew for all runs alike, and runs are scattered
//!    anew around their mean by Student's t, with the scatter that the runs have around the curve.
//!    Drawing runs with replacement instead would halve the variance of two runs and see none of
//!    one. Every resample is fitted anew with a shape drawn by its weight.
//!
//! Source: Viering & Loog (2022), "The Shape of Learning Curves: a Review" (power laws fit most
//! often); Golub & Pereyra (1973) for the projection; Burnham & Anderson (2002), "Model Selection
//! and Multimodel Inference", for the weights.

use serde::{Deserialize, Serialize};

use crate::bootstrap::uniform;
use crate::repeats::{Draw, Table, Terms};
use crate::{BootstrapOptions, ByName, FieldScores, ScoreError};

/// A curve that errors may follow, `floor + scale * basis(n)`.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    /// Falls from 1 at the largest set's number of images; n is in units of that number.
    basis: fn(n: f64, rate: f64) -> f64,
    /// Rates that are searched, lowest and highest. Slower than the lowest, the curve is a straight
    /// line over any set that can be had; faster than the highest, it is at its floor from the
    /// second size on.
    rates: [f64; 2],
}

const SHAPES: [Shape; 2] = [
    Shape {
        name: "power law with a floor",
        basis: |n, rate| n.powf(-rate),
        rates: [0.05, 3.0],
    },
    Shape {
        name: "exponential with a floor",
        basis: |n, rate| (-rate * (n - 1.0)).exp(),
        rates: [0.2, 20.0],
    },
];

/// Rates tried before the best is refined.
const RATES: usize = 24;
/// Halvings of the distance between two of them; the score then moves by less than 1e-5.
const REFINEMENTS: usize = 12;
/// Floor, scale and rate.
const PARAMETERS: usize = 3;
/// Runs beyond the parameters that a curve needs: with one, the scatter of runs is so badly known
/// that the interval held the true gain in 76 of 100 cases.
const LEAST_FREEDOM: usize = 2;
/// Places at which the curve is drawn, to twice the largest set.
const DRAWN: usize = 33;

/// A training and its scores.
#[derive(Clone, Copy, Debug)]
pub struct CurveRun<'a> {
    /// Training images.
    pub images: usize,
    /// Counts on the test fields, the same for every run.
    pub fields: &'a [FieldScores],
}

/// Mean score of the runs of one set size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SizePoint {
    /// Training images.
    pub images: usize,
    /// Runs.
    pub runs: usize,
    /// Mean of their pooled scores.
    pub score: f64,
}

/// A place on the fitted curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Training images.
    pub images: f64,
    /// Expected score.
    pub score: f64,
    /// 95 % interval.
    pub ci95: Option<[f64; 2]>,
}

/// What twice the images of the largest set are expected to bring.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Doubling {
    /// Images of the largest set.
    pub from: usize,
    /// Twice as many.
    pub to: usize,
    /// Expected gain in score.
    pub gain: f64,
    /// 95 % interval of the gain.
    pub ci95: Option<[f64; 2]>,
    /// Share of the resamples in which the gain is at least `worth`.
    pub chance: f64,
    /// The gain that [`Doubling::chance`] is about.
    pub worth: f64,
}

/// A fitted learning curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearningCurve {
    /// The shapes and their weights in the curve.
    pub shapes: ByName<f64>,
    /// Standard deviation of single runs around the best shape.
    pub scatter: f64,
    /// The set sizes.
    pub sizes: Vec<SizePoint>,
    /// The curve, from the smallest set to twice the largest.
    pub curve: Vec<CurvePoint>,
    /// What twice the largest set is expected to bring.
    pub doubling: Doubling,
}

/// Fits the learning curve of runs that differ in nothing but the number of images and the seed.
///
/// `terms` says which score, as in [`over_repeats`](crate::over_repeats); `worth` is the gain whose
/// chance is wanted. `None` with fewer than three set sizes, or without two runs more than a shape
/// has parameters. With one run a set size an interval holds the true gain in 81 to 87 of 100
/// cases, with several in 92 to 97, be the sets independent or the smaller ones parts of the larger
/// ones, as in an experiment (`tests/learning_curve.rs`).
///
/// # Errors
/// [`ScoreError::Mismatch`] if the runs were not scored on the same fields.
pub fn learning_curve(
    runs: &[CurveRun],
    options: &BootstrapOptions,
    worth: f64,
    terms: impl Fn(&FieldScores) -> Vec<Terms>,
) -> Result<Option<LearningCurve>, ScoreError> {
    let fields: Vec<&[FieldScores]> = runs.iter().map(|run| run.fields).collect();
    let table = Table::new(&fields, options, terms)?;
    let images: Vec<usize> = runs.iter().map(|run| run.images).collect();
    let sizes_of = |draw: &Draw| -> Option<Sizes> {
        let scores = (0..runs.len()).map(|run| table.pooled(run, draw));
        Some(Sizes::new(&images, &scores.collect::<Option<Vec<f64>>>()?))
    };
    let enough = |sizes: &Sizes| sizes.points.len() >= 3 && sizes.freedom() >= LEAST_FREEDOM;
    let Some(sizes) = sizes_of(&Draw::AsItIs).filter(enough) else {
        return Ok(None);
    };
    let fits = SHAPES.map(|shape| sizes.fit(shape));
    let weights = sizes.weights(&fits);
    let scatter = fits
        .iter()
        .map(|fit| sizes.scatter(fit))
        .fold(f64::INFINITY, f64::min);
    let resampled: Vec<Fit> = (0..options.resamples)
        .filter_map(|number| {
            let mut drawn = sizes_of(&Draw::Resample(options.seed, number))?;
            let mut random = Random::new(!options.seed, number);
            drawn.scatter_anew(scatter, sizes.freedom(), &mut random);
            Some(drawn.fit(SHAPES[random.pick(&weights)]))
        })
        .collect();
    let over = |value: &dyn Fn(&Fit) -> f64| {
        table.interval(resampled.iter().map(value).collect(), options.resamples)
    };
    let average = |value: &dyn Fn(&Fit) -> f64| -> f64 {
        fits.iter()
            .zip(weights)
            .map(|(fit, weight)| weight * value(fit))
            .sum()
    };
    let largest = sizes.largest();
    let place = |k: usize| {
        let [from, to] = [sizes.points[0].images as f64, 2.0 * largest];
        from * (to / from).powf(k as f64 / (DRAWN - 1) as f64)
    };
    let curve = (0..DRAWN).map(place).map(|images| CurvePoint {
        images,
        score: average(&|fit| fit.score(images)),
        ci95: over(&|fit| fit.score(images)),
    });
    let gain = |fit: &Fit| fit.score(2.0 * largest) - fit.score(largest);
    let worthy = resampled.iter().filter(|fit| gain(fit) >= worth).count();
    Ok(Some(LearningCurve {
        shapes: ByName(
            SHAPES
                .iter()
                .zip(weights)
                .map(|(shape, weight)| (shape.name.to_owned(), weight))
                .collect(),
        ),
        scatter,
        curve: curve.collect(),
        doubling: Doubling {
            from: largest as usize,
            to: 2 * largest as usize,
            gain: average(&gain),
            ci95: over(&gain),
            chance: worthy as f64 / resampled.len().max(1) as f64,
            worth,
        },
        sizes: sizes.points,
    }))
}

/// A fitted shape.
#[derive(Clone, Copy)]
struct Fit {
    shape: Shape,
    floor: f64,
    scale: f64,
    rate: f64,
    largest: f64,
    /// Sum over the sizes of runs times squared distance of their mean from the curve.
    misfit: f64,
}

impl Fit {
    fn score(&self, images: f64) -> f64 {
        1.0 - self.floor - self.scale * (self.shape.basis)(images / self.largest, self.rate)
    }
}

/// Mean scores by set size.
struct Sizes {
    /// Smallest first.
    points: Vec<SizePoint>,
    runs: usize,
    /// Sum of the squared distances of runs from the mean of their size.
    within: f64,
}

impl Sizes {
    fn new(images: &[usize], scores: &[f64]) -> Self {
        let mut sizes = images.to_vec();
        sizes.sort_unstable();
        sizes.dedup();
        let of = |size: usize| {
            let same = images.iter().zip(scores).filter(move |(n, _)| **n == size);
            same.map(|(_, score)| *score)
        };
        let point = |&size: &usize| SizePoint {
            images: size,
            runs: of(size).count(),
            score: of(size).sum::<f64>() / of(size).count() as f64,
        };
        let points: Vec<SizePoint> = sizes.iter().map(point).collect();
        let squares = |p: &SizePoint| of(p.images).map(|s| (s - p.score).powi(2)).sum::<f64>();
        Self {
            within: points.iter().map(squares).sum(),
            runs: images.len(),
            points,
        }
    }

    fn largest(&self) -> f64 {
        self.points.last().map_or(1.0, |point| point.images as f64)
    }

    /// Runs beyond the number of parameters.
    fn freedom(&self) -> usize {
        self.runs.saturating_sub(PARAMETERS)
    }

    /// Standard deviation of single runs around the curve.
    fn scatter(&self, fit: &Fit) -> f64 {
        ((fit.misfit + self.within) / self.freedom() as f64).sqrt()
    }

    /// Likelihood of each fit with its best normal scatter, as a share of all.
    fn weights(&self, fits: &[Fit; SHAPES.len()]) -> [f64; SHAPES.len()] {
        // A curve through all points would be infinitely likely; scores carry five digits at best.
        let squares = fits.map(|fit| (fit.misfit + self.within).max(1e-10));
        let least = squares.iter().copied().fold(f64::INFINITY, f64::min);
        let likelihood = squares.map(|s| (s / least).powf(-0.5 * self.runs as f64));
        likelihood.map(|l| l / likelihood.iter().sum::<f64>())
    }

    /// Least squares with floor and scale of 0 and more.
    fn fit(&self, shape: Shape) -> Fit {
        let [from, to] = shape.rates;
        let rate = |k: f64| from * (to / from).powf(k / (RATES - 1) as f64);
        let at = |k: f64| self.at_rate(shape, rate(k));
        let (mut place, mut best) = (0.0, at(0.0));
        for k in 1..RATES {
            let fit = at(k as f64);
            if fit.misfit < best.misfit {
                (place, best) = (k as f64, fit);
            }
        }
        let mut step = 0.5;
        for _ in 0..REFINEMENTS {
            for near in [place - step, place + step] {
                let fit = at(near.clamp(0.0, (RATES - 1) as f64));
                if fit.misfit < best.misfit {
                    (place, best) = (near, fit);
                }
            }
            step /= 2.0;
        }
        best
    }

    fn at_rate(&self, shape: Shape, rate: f64) -> Fit {
        let largest = self.largest();
        // Weighted sums of 1, basis, basis^2, error, basis * error.
        let mut sums = [0.0; 5];
        for point in &self.points {
            let (w, error) = (point.runs as f64, 1.0 - point.score);
            let basis = (shape.basis)(point.images as f64 / largest, rate);
            for (sum, term) in
                sums.iter_mut()
                    .zip([1.0, basis, basis * basis, error, basis * error])
            {
                *sum += w * term;
            }
        }
        let [n, b, bb, e, be] = sums;
        let without = (0.0, be / bb);
        let (floor, scale) = match n * bb - b * b {
            determinant if determinant > 1e-12 * n * bb => {
                let scale = (n * be - b * e) / determinant;
                let floor = (e - scale * b) / n;
                if scale < 0.0 {
                    (e / n, 0.0)
                } else if floor < 0.0 {
                    without
                } else {
                    (floor, scale)
                }
            }
            _ => without,
        };
        let mut fit = Fit {
            shape,
            floor,
            scale,
            rate,
            largest,
            misfit: 0.0,
        };
        let squares =
            |p: &SizePoint| p.runs as f64 * (p.score - fit.score(p.images as f64)).powi(2);
        fit.misfit = self.points.iter().map(squares).sum();
        fit
    }

    /// Moves the means as other runs would have: normal scatter whose size is itself only known
    /// from `freedom` runs, which makes it Student's t.
    fn scatter_anew(&mut self, scatter: f64, freedom: usize, random: &mut Random) {
        let chi_squared: f64 = (0..freedom).map(|_| random.normal().powi(2)).sum();
        let scatter = scatter * (freedom as f64 / chi_squared).sqrt();
        for point in &mut self.points {
            point.score += scatter * random.normal() / (point.runs as f64).sqrt();
        }
    }
}

/// The random numbers of one resample.
struct Random {
    seed: u64,
    resample: usize,
    drawn: usize,
}

impl Random {
    fn new(seed: u64, resample: usize) -> Self {
        Self {
            seed,
            resample,
            drawn: 0,
        }
    }

    fn uniform(&mut self) -> f64 {
        self.drawn += 1;
        uniform(self.seed, self.resample, self.drawn)
    }

    /// Box & Muller (1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// An index, by weights that add up to 1.
    fn pick(&mut self, weights: &[f64]) -> usize {
        let mut left = self.uniform();
        let passes = |weight: &f64| {
            left -= weight;
            left < 0.0
        };
        weights.iter().position(passes).unwrap_or(0)
    }
}
