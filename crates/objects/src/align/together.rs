//! Where the truth of groups lies that are each too small to tell.
//!
//! What moves truth off the brightfield (a filter, a camera, a stage) is mostly alike in all groups
//! of a study, so that the others say where one is likely to lie. Every group's estimate is drawn
//! towards the mean of all, the more so the less certain it is and the less groups differ: the
//! hierarchical normal model, both directions taken together. How much groups differ is not known
//! either; all that it may be is averaged, each by how well it explains the estimates, from even
//! odds on its standard deviation (Gelman et al. 2013, Bayesian Data Analysis, 3rd ed., 5.4). One
//! value alone would make the circles of few groups too small.

use super::{MODEL_PX, TruthShift};

/// Fewer groups do not tell how much groups differ.
const LEAST_GROUPS: usize = 4;

/// 95 % of a round normal distribution in the plane lie within so many standard deviations.
const RADIUS95: f64 = 2.447_746_830_680_816;

/// Values of the deviation between groups that are tried.
const STEPS: usize = 200;
/// The largest of them, as a multiple of how far estimates lie from their mean.
const WIDEST: f64 = 3.0;

/// What all groups of a study say together.
#[derive(Clone, Debug, PartialEq)]
pub struct Together {
    /// How groups may lie, likely and unlikely.
    ways: Vec<Way>,
}

/// One way that groups may lie.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Way {
    /// How likely, of 1.
    share: f64,
    /// Variance between groups in one direction.
    between: f64,
    /// Their mean, down and right, pixels.
    mean: [f64; 2],
    /// Variance of the mean in one direction.
    of_mean: f64,
}

impl Together {
    /// Of the shifts of groups that fit; none of fewer than four with a circle.
    pub fn of(shifts: &[TruthShift]) -> Option<Self> {
        let known = shifts.iter().filter(|s| s.radius95_px.is_finite());
        let groups: Vec<([f64; 2], f64)> = known.map(|s| (place(s), variance(s))).collect();
        if groups.len() < LEAST_GROUPS {
            return None;
        }
        let (plain, ..) = weighted(&groups, 0.0);
        let squares = groups.iter().map(|(place, own)| apart(place, &plain) + own);
        let widest = WIDEST * (squares.sum::<f64>() / groups.len() as f64).sqrt();
        let deviations = (0..STEPS).map(|i| widest * (i as f64 + 0.5) / STEPS as f64);
        let likely: Vec<(f64, Way)> = deviations.map(|d| way(&groups, d * d)).collect();
        let most = likely
            .iter()
            .fold(f64::NEG_INFINITY, |m, (log, _)| m.max(*log));
        let sum: f64 = likely.iter().map(|(log, _)| (log - most).exp()).sum();
        let share = |(log, way): (f64, Way)| Way {
            share: (log - most).exp() / sum,
            ..way
        };
        Some(Self {
            ways: likely.into_iter().map(share).collect(),
        })
    }

    /// How far groups lie from their mean in one direction, pixels (root of the expected square).
    pub fn spread_px(&self) -> f64 {
        let squares = self.ways.iter().map(|way| way.share * way.between);
        squares.sum::<f64>().sqrt()
    }

    /// Where a group lies whose own estimate is `own`, given what the others say.
    pub fn shift(&self, own: &TruthShift) -> TruthShift {
        let told: Vec<(f64, [f64; 2], f64)> = self.ways.iter().map(|way| way.told(own)).collect();
        let along = |axis: usize| told.iter().map(|(share, at, _)| share * at[axis]).sum();
        let mean: [f64; 2] = [along(0), along(1)];
        // In one direction: what each way leaves open, and how much the ways differ.
        let open = told
            .iter()
            .map(|(share, at, left)| share * (left + apart(at, &mean) / 2.0));
        TruthShift {
            dy_px: mean[0],
            dx_px: mean[1],
            // What a model is off it is off in all groups: pooling does not take it out.
            radius95_px: (RADIUS95 * open.sum::<f64>().sqrt()).hypot(MODEL_PX),
            second_peak: own.second_peak,
        }
    }
}

impl Way {
    /// Its share, where it has the group whose own estimate is `own`, and the variance of that.
    fn told(&self, own: &TruthShift) -> (f64, [f64; 2], f64) {
        let variance = variance(own);
        // The share of what the group's own estimate differs from the mean that is believed.
        let believed = self.between / (self.between + variance);
        let at = place(own);
        let at = [0, 1].map(|i| self.mean[i] + believed * (at[i] - self.mean[i]));
        let left = variance * believed + (1.0 - believed).powi(2) * self.of_mean;
        (self.share, at, left)
    }
}

/// What groups are like if they differ by the variance `between`, and the logarithm of how likely
/// that makes their estimates, whatever their mean.
fn way(groups: &[([f64; 2], f64)], between: f64) -> (f64, Way) {
    let (mean, weights) = weighted(groups, between);
    let of_mean = 1.0 / weights.iter().sum::<f64>();
    let pairs = groups.iter().zip(&weights);
    // Two directions: each normal density counts twice.
    let log = of_mean.ln()
        + pairs
            .map(|((place, _), w)| w.ln() - w * apart(place, &mean) / 2.0)
            .sum::<f64>();
    let way = Way {
        share: 0.0,
        between,
        mean,
        of_mean,
    };
    (log, way)
}

fn place(shift: &TruthShift) -> [f64; 2] {
    [shift.dy_px, shift.dx_px]
}

/// Of an estimate, in one direction, without what the model itself is off.
fn variance(shift: &TruthShift) -> f64 {
    let own = shift.radius95_px.powi(2) - MODEL_PX.powi(2);
    own.max(LEAST_RADIUS_PX.powi(2)) / RADIUS95.powi(2)
}

/// No estimate is surer than this, pixels.
const LEAST_RADIUS_PX: f64 = 0.05;

/// Squared distance.
fn apart(a: &[f64; 2], b: &[f64; 2]) -> f64 {
    (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)
}

/// The mean of groups that differ by the variance `between` beside their own, and their weights.
fn weighted(groups: &[([f64; 2], f64)], between: f64) -> ([f64; 2], Vec<f64>) {
    let weights: Vec<f64> = groups
        .iter()
        .map(|(_, own)| 1.0 / (own + between))
        .collect();
    let sum: f64 = weights.iter().sum();
    let along = |axis: usize| {
        let pairs = groups.iter().zip(&weights);
        pairs.map(|((place, _), w)| w * place[axis]).sum::<f64>() / sum
    };
    ([along(0), along(1)], weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_image::random::Stream;

    /// Normally distributed (Box & Muller 1958).
    fn normal(random: &mut Stream) -> f64 {
        let mut uniform = || (random.bits() >> 11) as f64 / (1u64 << 53) as f64;
        let (a, b) = (1.0 - uniform(), uniform());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }

    fn shift(dy_px: f64, dx_px: f64, radius95_px: f64) -> TruthShift {
        TruthShift {
            dy_px,
            dx_px,
            radius95_px,
            second_peak: 0.0,
        }
    }

    #[test]
    fn three_groups_say_nothing_of_each_other() {
        let some = [shift(4.0, 0.0, 1.0); 4];
        assert!(Together::of(&some[..3]).is_none());
        assert!(Together::of(&some).is_some());
        let endless = shift(4.0, 0.0, f64::INFINITY);
        assert!(Together::of(&[some[0], some[1], some[2], endless]).is_none());
    }

    #[test]
    fn a_way_is_that_of_the_formulas() {
        // Variances 1, 1, 4, 4 around 0, 4, 2, 10 down, between groups 2: by hand.
        let groups = [(0.0, 1.0), (4.0, 1.0), (2.0, 4.0), (10.0, 4.0)];
        let groups: Vec<([f64; 2], f64)> = groups.iter().map(|&(y, v)| ([y, 0.0], v)).collect();
        let (log, found) = way(&groups, 2.0);
        let (near, far) = (1.0f64 / 3.0, 1.0f64 / 6.0);
        let mean = (4.0 * near + 12.0 * far) / (2.0 * (near + far));
        assert!((found.mean[0] - mean).abs() < 1e-12 && found.mean[1] == 0.0);
        assert!((found.of_mean - 1.0 / (2.0 * (near + far))).abs() < 1e-12);
        let squares = near * (mean.powi(2) + (4.0 - mean).powi(2))
            + far * ((2.0 - mean).powi(2) + (10.0 - mean).powi(2));
        let expected = found.of_mean.ln() + 2.0 * near.ln() + 2.0 * far.ln() - squares / 2.0;
        assert!((log - expected).abs() < 1e-12, "{log} {expected}");
        // The first group, whose own variance is 1: two thirds of its own are believed.
        let own = shift(0.0, 0.0, RADIUS95.hypot(MODEL_PX));
        let (_, at, left) = found.told(&own);
        assert!((at[0] - mean / 3.0).abs() < 1e-12, "{at:?}");
        assert!((left - (2.0 / 3.0 + found.of_mean / 9.0)).abs() < 1e-12);
    }

    #[test]
    fn groups_that_agree_are_one_and_groups_that_differ_stay_apart() {
        let alike = [1.0, 2.0, 3.0, 2.0].map(|y| shift(y, -1.0, 5.0));
        let together = Together::of(&alike).unwrap();
        assert!(together.spread_px() < 1.5, "{}", together.spread_px());
        let found = together.shift(&alike[2]);
        let near = (found.dy_px - 2.0).abs() < 0.5 && found.radius95_px < 4.0;
        assert!(near, "{found:?}");
        let differ = [-8.0, 8.0, 0.0, 5.0].map(|y| shift(y, 0.0, 0.1));
        let found = Together::of(&differ).unwrap().shift(&differ[0]);
        assert!((found.dy_px + 8.0).abs() < 0.01, "{found:?}");
    }

    #[test]
    fn the_circle_holds_what_it_says_and_the_error_is_smaller() {
        // 300 studies of eight groups that lie around (4, -2) with a deviation of 1.5 px, each
        // known to 0.5 to 2.5 px.
        let mut random = Stream::new(7);
        let (mut held, mut before, mut after, mut count) = (0, 0.0, 0.0, 0);
        for _ in 0..300 {
            let mut groups = Vec::new();
            for i in 0..8 {
                let own = 0.5 + 2.0 * f64::from(i) / 7.0;
                let truth = [4.0, -2.0].map(|mean| mean + 1.5 * normal(&mut random));
                let seen = truth.map(|at| at + own * normal(&mut random));
                groups.push((truth, shift(seen[0], seen[1], own * RADIUS95)));
            }
            let shifts: Vec<TruthShift> = groups.iter().map(|(_, shift)| *shift).collect();
            let together = Together::of(&shifts).unwrap();
            for (truth, own) in &groups {
                let found = together.shift(own);
                let off = apart(&place(&found), truth).sqrt();
                held += usize::from(off <= found.radius95_px);
                after += off * off;
                before += apart(&place(own), truth);
                count += 1;
            }
        }
        let share = held as f64 / count as f64;
        // Averaged over all spreads it would be 95 %; at this one it is a little less.
        assert!((0.92..0.97).contains(&share), "{share}");
        assert!(after < 0.65 * before, "{after} {before}");
    }
}
