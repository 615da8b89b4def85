//! Whether something is of the kind that is known: rows of numbers against rows of examples.
//!
//! Examples come in groups (wells, plates), and what they differ by within their own kind is
//! learned from them: their covariance, drawn to the identity since they are few
//! ([`ledoit_wolf`]), and beside it a difference for every column that is none. A row's score is
//! its Mahalanobis distance from the nearest example, so that a training of several microscopes
//! knows each and not what lies between them. Which score is unusual is learned by leaving out one
//! group after the other and scoring its rows by the rest.
//!
//! Sources: Lee, Lee, Lee & Shin (2018), "A simple unified framework for detecting
//! out-of-distribution samples" (NeurIPS), for the distance; Sun, Ming, Zhu & Li (2022),
//! "Out-of-distribution detection with deep nearest neighbors" (ICML), for the nearest example;
//! see [`ledoit_wolf`] and [`conformal_quantile`].

mod limit;
mod shrinkage;

pub use limit::{conformal_quantile, lognormal_bound};
pub use shrinkage::{Mahalanobis, Shrunk, ledoit_wolf};

/// Fewest examples by which something can be called unusual.
pub const FEWEST_EXAMPLES: usize = 5;
/// Share of rows of the known kind that may be called unusual.
pub const FALSE_ALARMS: f64 = 0.05;

/// An example of what is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Examples of one group are alike; they are left out together.
    pub group: String,
    /// A number for every column.
    pub values: Vec<f64>,
}

/// Scores below this count as it.
const LEAST_SCORE: f64 = 0.1;
/// The least limit: what differs from an example by a standard deviation in every column is none
/// the less usual.
const LEAST_LIMIT: f64 = 1.0;

/// What is known, and how unusual a score is.
#[derive(Clone, Debug)]
pub struct Familiar {
    known: Known,
    /// The score up to which a row is nothing unusual.
    limit: f64,
}

impl Familiar {
    /// Learns from `examples`; `none` is for every column a difference that is none. `None` for
    /// fewer than [`FEWEST_EXAMPLES`]. Where one group has more than half of them, examples are
    /// left out one by one.
    ///
    /// # Panics
    /// If an example has another number of columns than `none`, or one of these is not positive.
    pub fn learn(examples: &[Example], none: &[f64]) -> Option<Self> {
        assert!(none.iter().all(|v| *v > 0.0), "differences that are none");
        if examples.len() < FEWEST_EXAMPLES || none.is_empty() {
            return None;
        }
        let rows = |keep: &dyn Fn(&Example) -> bool| -> Vec<Vec<f64>> {
            let kept = examples.iter().filter(|example| keep(example));
            kept.map(|example| example.values.clone()).collect()
        };
        let mut groups: Vec<&str> = examples.iter().map(|e| e.group.as_str()).collect();
        groups.sort_unstable();
        groups.dedup();
        let mut scores = Vec::new();
        for group in groups {
            let others = rows(&|example| example.group != group);
            // One that holds most of what is known cannot be judged by the rest.
            if 2 * others.len() < examples.len() {
                scores.clear();
                break;
            }
            let known = Known::of(&others, none);
            let own = rows(&|example| example.group == group);
            scores.extend(own.iter().map(|row| known.score(row)));
        }
        if scores.is_empty() {
            for i in 0..examples.len() {
                let mut others = rows(&|_| true);
                let row = others.remove(i);
                scores.push(Known::of(&others, none).score(&row));
            }
        }
        // The same field twice is no measure of how unlike fields are.
        scores
            .iter_mut()
            .for_each(|score| *score = score.max(LEAST_SCORE));
        let limit = conformal_quantile(&scores, FALSE_ALARMS)
            .or_else(|| lognormal_bound(&scores, FALSE_ALARMS))?
            .max(LEAST_LIMIT);
        Some(Self {
            known: Known::of(&rows(&|_| true), none),
            limit,
        })
    }

    /// How unusual a row is: its score by the one that 5 % of the known kind exceed. Above 1 it is
    /// unusual.
    pub fn strangeness(&self, row: &[f64]) -> f64 {
        self.known.score(row) / self.limit
    }

    /// The number of the example that a row is most like.
    pub fn nearest(&self, row: &[f64]) -> usize {
        self.known.nearest(row).0
    }

    /// How far each column of a row lies off the middle, in standard deviations of the examples
    /// (and of differences that are none).
    pub fn deviations(&self, row: &[f64]) -> Vec<f64> {
        self.known.standardised(row)
    }
}

/// Examples, their middle and their spread.
#[derive(Clone, Debug)]
struct Known {
    middle: Vec<f64>,
    spread: Vec<f64>,
    /// In units of the spread, from the middle.
    examples: Vec<Vec<f64>>,
    distance: Mahalanobis,
}

impl Known {
    fn of(rows: &[Vec<f64>], none: &[f64]) -> Self {
        let columns = none.len();
        let (mut middle, mut spread) = (Vec::new(), Vec::new());
        for (column, none) in none.iter().enumerate() {
            let values: Vec<f64> = rows.iter().map(|row| row[column]).collect();
            let median = median(&values);
            let squares = values.iter().map(|v| (v - median).powi(2));
            let variance = squares.sum::<f64>() / values.len() as f64;
            middle.push(median);
            spread.push((variance + none * none).sqrt());
        }
        let standard = |row: &Vec<f64>| standardised(row, &middle, &spread);
        let standard: Vec<Vec<f64>> = rows.iter().map(standard).collect();
        let mut covariance = ledoit_wolf(&standard, columns).covariance;
        for (i, none) in none.iter().enumerate() {
            covariance[i * columns + i] += (none / spread[i]).powi(2);
        }
        let distance = Mahalanobis::new(vec![0.0; columns], &covariance);
        Self {
            middle,
            spread,
            examples: standard,
            // Something positive was added to the diagonal.
            distance: distance.expect("a covariance that can be inverted"),
        }
    }

    fn standardised(&self, row: &[f64]) -> Vec<f64> {
        standardised(row, &self.middle, &self.spread)
    }

    /// The example that a row is nearest to, and how far off it is, for each column alike.
    fn nearest(&self, row: &[f64]) -> (usize, f64) {
        let row = self.standardised(row);
        let squared = self.examples.iter().map(|example| {
            let apart: Vec<f64> = row.iter().zip(example).map(|(a, b)| a - b).collect();
            self.distance.squared(&apart)
        });
        let nearest = squared.enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
        let (example, squared) = nearest.expect("examples");
        (example, (squared / row.len() as f64).sqrt())
    }

    fn score(&self, row: &[f64]) -> f64 {
        self.nearest(row).1
    }
}

fn standardised(row: &[f64], middle: &[f64], spread: &[f64]) -> Vec<f64> {
    let columns = row.iter().zip(middle).zip(spread);
    columns.map(|((v, m), s)| (v - m) / s).collect()
}

/// The middle of values, of which there is one.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() % 2 {
        0 => (sorted[half - 1] + sorted[half]) / 2.0,
        _ => sorted[half],
    }
}
