//! Covariances from few rows, and distances by them.

/// A covariance drawn towards a multiple of the identity.
#[derive(Clone, Debug, PartialEq)]
pub struct Shrunk {
    /// Mean of every column.
    pub mean: Vec<f64>,
    /// `[column][column]`, row by row.
    pub covariance: Vec<f64>,
    /// How far it was drawn: 0 is the rows' own covariance, 1 the identity's multiple.
    pub shrinkage: f64,
}

/// The covariance of `rows` of `columns` numbers, drawn to a multiple of the identity as far as
/// the rows are too few to tell: with fewer rows than columns it still can be inverted, where they
/// differ at all.
///
/// # Panics
/// If there is no row, or one of another length.
///
/// # Source
/// Ledoit & Wolf (2004), "A well-conditioned estimator for large-dimensional covariance matrices",
/// Journal of Multivariate Analysis 88:365; as `sklearn.covariance.LedoitWolf` has it.
pub fn ledoit_wolf(rows: &[Vec<f64>], columns: usize) -> Shrunk {
    assert!(!rows.is_empty(), "a row to learn from");
    let (n, p) = (rows.len() as f64, columns as f64);
    let mut mean = vec![0.0; columns];
    for row in rows {
        assert_eq!(row.len(), columns, "a number for every column");
        mean.iter_mut().zip(row).for_each(|(m, v)| *m += v / n);
    }
    let mut covariance = vec![0.0; columns * columns];
    // Sum of the squares of all products of two columns of a row.
    let mut fourth = 0.0;
    for row in rows {
        let off: Vec<f64> = row.iter().zip(&mean).map(|(v, m)| v - m).collect();
        for (i, a) in off.iter().enumerate() {
            let places = &mut covariance[i * columns..(i + 1) * columns];
            places.iter_mut().zip(&off).for_each(|(c, b)| *c += a * b);
        }
        fourth += off.iter().map(|v| v * v).sum::<f64>().powi(2);
    }
    covariance.iter_mut().for_each(|c| *c /= n);
    let trace: f64 = (0..columns).map(|i| covariance[i * columns + i]).sum();
    let mu = trace / p;
    let squares: f64 = covariance.iter().map(|c| c * c).sum();
    let delta = (squares - 2.0 * mu * trace + p * mu * mu) / p;
    let beta = ((fourth / n - squares) / (p * n)).min(delta);
    let shrinkage = match beta > 0.0 && delta > 0.0 {
        true => beta / delta,
        false => 0.0,
    };
    covariance.iter_mut().for_each(|c| *c *= 1.0 - shrinkage);
    for i in 0..columns {
        covariance[i * columns + i] += shrinkage * mu;
    }
    Shrunk {
        mean,
        covariance,
        shrinkage,
    }
}

/// Distances from a centre in units of a covariance.
#[derive(Clone, Debug)]
pub struct Mahalanobis {
    centre: Vec<f64>,
    /// Lower triangle `L` of the covariance `L L'`, row by row.
    factor: Vec<f64>,
}

impl Mahalanobis {
    /// By a covariance, `[column][column]`; `None` where it cannot be inverted.
    ///
    /// # Panics
    /// If the covariance is of another size than the centre.
    pub fn new(centre: Vec<f64>, covariance: &[f64]) -> Option<Self> {
        let n = centre.len();
        assert_eq!(
            covariance.len(),
            n * n,
            "a covariance of the centre's columns"
        );
        let mut factor = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let inner: f64 = (0..j).map(|k| factor[i * n + k] * factor[j * n + k]).sum();
                let value = covariance[i * n + j] - inner;
                factor[i * n + j] = match i == j {
                    true if value > 0.0 => value.sqrt(),
                    true => return None,
                    false => value / factor[j * n + j],
                };
            }
        }
        Some(Self { centre, factor })
    }

    /// The squared distance of a row: `(x - m)' S^-1 (x - m)`.
    ///
    /// # Panics
    /// If the row is of another length.
    pub fn squared(&self, row: &[f64]) -> f64 {
        let n = self.centre.len();
        assert_eq!(row.len(), n, "a number for every column");
        let mut solved = vec![0.0; n];
        for (i, (value, centre)) in row.iter().zip(&self.centre).enumerate() {
            let inner: f64 = (0..i).map(|k| self.factor[i * n + k] * solved[k]).sum();
            solved[i] = (value - centre - inner) / self.factor[i * n + i];
        }
        solved.iter().map(|v| v * v).sum()
    }
}
