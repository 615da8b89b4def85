//! Logistic regression with a ridge, by Newton's method (iteratively reweighted least squares).
//!
//! Minimises `sum_i log(1 + exp(-s_i z_i)) + ridge / 2 |w|^2` with `z_i = o_i + a + w x_i`, `s_i` 1
//! where row `i` is right and -1 where it is wrong, and `o_i` a given offset. The intercept `a` is
//! not shrunk. It is what scikit-learn's `LogisticRegression(C=1 / ridge)` minimises.
//!
//! Source: McCullagh & Nelder (1989), "Generalized linear models", section 4.4; le Cessie & van
//! Houwelingen (1992), "Ridge estimators in logistic regression", Applied Statistics 41:191.

/// Steps at most; Newton's method needs about ten.
const STEPS: usize = 100;
/// Where the gradient is smaller than this, in objects, the minimum is reached.
const FLAT: f64 = 1e-9;

/// A line through the features: intercept and a weight each.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) intercept: f64,
    pub(super) weights: Vec<f64>,
}

impl Line {
    /// The logit of a row.
    pub(super) fn logit(&self, row: &[f64]) -> f64 {
        let products = self.weights.iter().zip(row).map(|(w, x)| w * x);
        self.intercept + products.sum::<f64>()
    }
}

/// The logistic function.
pub(super) fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + (-z).exp())
    } else {
        z.exp() / (1.0 + z.exp())
    }
}

/// The loss of a row of this logit.
pub(super) fn log_loss(z: f64, right: bool) -> f64 {
    let towards = if right { z } else { -z };
    // log(1 + exp(-t)) without overflow.
    (-towards).max(0.0) + (-towards.abs()).exp().ln_1p()
}

/// Fits a line to `rows`, each with what was right; `offsets` are added to the logits, one a row or
/// none at all. `ridge` is above 0, so that there is a minimum where the kinds can be told apart
/// exactly; without both kinds the intercept has none and stops where the steps end.
pub(super) fn fit(rows: &[&[f64]], right: &[bool], offsets: &[f64], ridge: f64) -> Line {
    let count = rows.first().map_or(0, |row| row.len());
    let mut line = Line {
        intercept: 0.0,
        weights: vec![0.0; count],
    };
    let logit =
        |line: &Line, i: usize| line.logit(rows[i]) + offsets.get(i).copied().unwrap_or(0.0);
    let loss = |line: &Line| {
        let rows = (0..rows.len()).map(|i| log_loss(logit(line, i), right[i]));
        let squares: f64 = line.weights.iter().map(|w| w * w).sum();
        rows.sum::<f64>() + ridge / 2.0 * squares
    };
    let mut now = loss(&line);
    for _ in 0..STEPS {
        let (gradient, curvature) = slope(rows, right, &line, ridge, |i| logit(&line, i));
        if gradient.iter().all(|g| g.abs() < FLAT) {
            break;
        }
        let Some(step) = solve(curvature, gradient) else {
            break;
        };
        // A whole step nearly always; half of it as long as it leads up.
        let (mut size, mut moved) = (1.0, false);
        while size > 1e-6 && !moved {
            let mut next = line.clone();
            next.intercept -= size * step[0];
            for (w, s) in next.weights.iter_mut().zip(&step[1..]) {
                *w -= size * s;
            }
            let then = loss(&next);
            moved = then < now;
            if moved {
                (line, now) = (next, then);
            }
            size /= 2.0;
        }
        if !moved {
            break;
        }
    }
    line
}

/// Gradient and Hessian, the intercept first.
fn slope(
    rows: &[&[f64]],
    right: &[bool],
    line: &Line,
    ridge: f64,
    logit: impl Fn(usize) -> f64,
) -> (Vec<f64>, Vec<Vec<f64>>) {
    let size = line.weights.len() + 1;
    let mut gradient = vec![0.0; size];
    let mut curvature = vec![vec![0.0; size]; size];
    let mut x = vec![1.0; size];
    for (i, row) in rows.iter().enumerate() {
        x[1..].copy_from_slice(row);
        let p = sigmoid(logit(i));
        let off = p - f64::from(u8::from(right[i]));
        // Where the row is certain nothing bends; a little keeps the matrix from being singular.
        let weight = (p * (1.0 - p)).max(1e-12);
        for (a, line) in curvature.iter_mut().enumerate() {
            gradient[a] += off * x[a];
            for (b, value) in line.iter_mut().enumerate().take(a + 1) {
                *value += weight * x[a] * x[b];
            }
        }
    }
    for (a, w) in line.weights.iter().enumerate() {
        gradient[a + 1] += ridge * w;
        curvature[a + 1][a + 1] += ridge;
    }
    (gradient, curvature)
}

/// Solves `matrix x = right` by Cholesky's decomposition; the lower triangle of a symmetric matrix
/// is read. `None` where it is not positive definite.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let n = right.len();
    for i in 0..n {
        for j in 0..=i {
            let done: f64 = (0..j).map(|k| matrix[i][k] * matrix[j][k]).sum();
            let rest = matrix[i][j] - done;
            if i != j {
                matrix[i][j] = rest / matrix[j][j];
            } else if rest > 0.0 {
                matrix[i][i] = rest.sqrt();
            } else {
                return None;
            }
        }
    }
    for i in 0..n {
        let done: f64 = (0..i).map(|k| matrix[i][k] * right[k]).sum();
        right[i] = (right[i] - done) / matrix[i][i];
    }
    for i in (0..n).rev() {
        let done: f64 = (i + 1..n).map(|k| matrix[k][i] * right[k]).sum();
        right[i] = (right[i] - done) / matrix[i][i];
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows, kinds and lines of scikit-learn, made by `testdata/inference/make_confidence.py`.
    #[test]
    fn lines_are_those_of_scikit_learn() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../testdata/inference/logistic.csv"
        );
        let text = std::fs::read_to_string(path).unwrap();
        let (mut rows, mut right, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (kind, numbers) = line.split_once(',').unwrap();
            let numbers: Vec<f64> = numbers.split(',').map(|n| n.parse().unwrap()).collect();
            match kind {
                "row" => {
                    right.push(numbers[0] == 1.0);
                    rows.push(numbers[1..].to_vec());
                }
                _ => lines.push(numbers),
            }
        }
        let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        assert!(rows.len() > 50 && lines.len() == 3);
        for expected in lines {
            let found = fit(&rows, &right, &[], expected[0]);
            let found = [found.intercept].into_iter().chain(found.weights);
            for (found, expected) in found.zip(&expected[1..]) {
                // scikit-learn stops at a gradient of 1e-10 by row.
                assert!((found - expected).abs() < 1e-7, "{found} {expected}");
            }
        }
    }

    #[test]
    fn an_offset_that_says_all_leaves_nothing_to_the_line() {
        // Of 8 rows with the logit of three quarters, 6 are right.
        let rows = vec![&[0.5][..]; 8];
        let right: Vec<bool> = (0..8).map(|i| i < 6).collect();
        let line = fit(&rows, &right, &[3f64.ln(); 8], 1.0);
        assert!(line.intercept.abs() < 1e-9 && line.weights[0].abs() < 1e-9);
        let line = fit(&rows, &right, &[], 1.0);
        assert!((line.logit(rows[0]) - 3f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn kinds_that_are_told_apart_exactly_have_a_line_all_the_same() {
        let values: Vec<[f64; 1]> = (0..10).map(|i| [f64::from(i)]).collect();
        let rows: Vec<&[f64]> = values.iter().map(|v| &v[..]).collect();
        let right: Vec<bool> = (0..10).map(|i| i >= 5).collect();
        let line = fit(&rows, &right, &[], 0.1);
        assert!(line.weights[0].is_finite() && line.weights[0] > 1.0);
        assert!((line.logit(&[4.5])).abs() < 1e-6, "half way is even");
    }
}
