//! Student's t distribution, with any number of degrees of freedom, and the binomial one.
//!
//! Source: Abramowitz & Stegun (1964), 26.5.8 (the continued fraction of the incomplete beta
//! function) and 26.7.1; 6.1.34 for the logarithm of the gamma function by its asymptotic series.

/// The `share` point of the distribution with `freedom` > 0 degrees of freedom, for shares from one
/// half to below 1: by bisection of its distribution function, to 1e-12 of its value.
pub(crate) fn quantile(share: f64, freedom: f64) -> f64 {
    let outside = 2.0 * (1.0 - share);
    let (mut low, mut high) = (0.0, 1.0);
    while two_sided(high, freedom) > outside {
        (low, high) = (high, high * 2.0);
    }
    while high - low > 1e-13 * high {
        let middle = (low + high) / 2.0;
        if two_sided(middle, freedom) > outside {
            low = middle;
        } else {
            high = middle;
        }
        // Neighbouring numbers have no middle.
        if middle <= low && middle >= high {
            break;
        }
    }
    (low + high) / 2.0
}

/// The 97.5 % point, by which 95 % intervals are made.
pub(crate) fn point_975(freedom: f64) -> f64 {
    quantile(0.975, freedom)
}

/// Probability that at least `k` of `n` draws succeed, each with the probability `p`.
///
/// Source: Abramowitz & Stegun (1964), 26.5.24.
pub(crate) fn at_least(k: usize, n: usize, p: f64) -> f64 {
    match k {
        0 => 1.0,
        k if k > n => 0.0,
        k => incomplete_beta(k as f64, (n - k + 1) as f64, p),
    }
}

/// Probability that at most `k` of `n` draws succeed, each with the probability `p`.
pub(crate) fn at_most(k: usize, n: usize, p: f64) -> f64 {
    1.0 - at_least(k + 1, n, p)
}

/// Probability that |T| > t.
fn two_sided(t: f64, freedom: f64) -> f64 {
    incomplete_beta(freedom / 2.0, 0.5, freedom / (freedom + t * t))
}

/// The regularised incomplete beta function.
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // The fraction converges fast on one side of the mean; the other follows by symmetry.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let front = a * x.ln() + b * (1.0 - x).ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b);
    front.exp() / a * fraction(a, b, x)
}

/// The continued fraction, by Lentz's method.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    /// Stands for a denominator of zero.
    const TINY: f64 = 1e-300;
    const MOST_TERMS: usize = 10_000;
    let kept = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / kept(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for term in 1..MOST_TERMS {
        let m = term as f64;
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = value;
        for step in [even, odd] {
            d = 1.0 / kept(1.0 + step * d);
            c = kept(1.0 + step / c);
            value *= c * d;
        }
        if (value / before - 1.0).abs() < 1e-16 {
            break;
        }
    }
    value
}

/// Logarithm of the gamma function for x > 0.
fn ln_gamma(x: f64) -> f64 {
    /// From here on the series is exact to rounding.
    const FAR: f64 = 20.0;
    let (mut x, mut shift) = (x, 0.0);
    while x < FAR {
        shift += x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1260.0,
        -1.0 / 1680.0,
        1.0 / 1188.0,
    ];
    let tail = series
        .iter()
        .rev()
        .fold(0.0, |sum, term| sum * inverse + term)
        / x;
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + tail - shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_those_of_the_tables() {
        // scipy.stats.t.ppf(0.975, n)
        for (freedom, expected) in [
            (1.0, 12.706204736174694),
            (1.5, 6.016663104427929),
            (2.0, 4.302652729749462),
            (3.0, 3.1824463052837078),
            (3.7, 2.8675207071911895),
            (4.0, 2.7764451051977934),
            (5.0, 2.5705818356363146),
            (10.0, 2.2281388519862744),
            (29.0, 2.045229642132703),
            (100.0, 1.9839715185235518),
            (999.0, 1.9623414611334487),
            (12345.6, 1.9601561582595104),
        ] {
            let got = point_975(freedom);
            assert!((got - expected).abs() < 1e-9, "{freedom}: {got} {expected}");
        }
    }

    #[test]
    fn tails_of_the_binomial_distribution_are_exact() {
        // Sums of fractions.
        for (k, n, p, more, less) in [
            (1, 10, 0.05, 0.4012630607616211, 0.9138616441006836),
            (3, 10, 0.05, 0.011503557379296874, 0.9989715020621094),
            (6, 9, 0.9, 0.991668906, 0.052972138),
            (2, 4, 0.05, 0.01401875, 0.99951875),
            (0, 3, 0.05, 1.0, 0.857375),
            (40, 200, 0.1, 1.7007333197272116e-05, 0.9999927782979444),
            (5, 4, 0.5, 0.0, 1.0),
        ] {
            let got = (at_least(k, n, p), at_most(k, n, p));
            assert!((got.0 - more).abs() < 1e-12, "{k} of {n}: {got:?}");
            assert!((got.1 - less).abs() < 1e-12, "{k} of {n}: {got:?}");
        }
    }
}
