//! Star-shaped outlines: a radius for every direction around a centre.

use crate::rng::Stream;

/// Directions in the table of an outline.
const DIRECTIONS: usize = 256;

/// A closed curve that every ray from its centre meets once.
#[derive(Clone, Debug)]
pub(crate) struct Outline {
    /// Centre in pixels.
    pub(crate) y: f32,
    pub(crate) x: f32,
    /// Radius in pixels by direction, with the first entry repeated at the end.
    radius: Vec<f32>,
    /// Largest and mean radius in pixels.
    pub(crate) reach: f32,
    pub(crate) mean: f32,
}

/// The angle of `(y, x)` in turns, 0 to 1, to 5e-5 of a turn.
///
/// A polynomial of the smaller over the larger coordinate, then the octant.
#[inline]
fn turns(y: f32, x: f32) -> f32 {
    let (ax, ay) = (x.abs(), y.abs());
    let ratio = ax.min(ay) / ax.max(ay).max(1e-20);
    let s = ratio * ratio;
    // Minimax coefficients of the arc tangent on [0, 1], divided by a full turn.
    let mut turn = ratio * (0.159_125 + s * (-0.052_142_6 + s * (0.025_355_3 + s * -0.007_400_1)));
    if ay > ax {
        turn = 0.25 - turn;
    }
    if x < 0.0 {
        turn = 0.5 - turn;
    }
    if y < 0.0 { 1.0 - turn } else { turn }
}

impl Outline {
    /// An outline whose radius in pixels is `radius(angle)`, the angle in rad from +x towards +y.
    pub(crate) fn new(y: f32, x: f32, radius: impl Fn(f32) -> f32) -> Self {
        let mut table: Vec<f32> = (0..DIRECTIONS)
            .map(|i| radius(std::f32::consts::TAU * i as f32 / DIRECTIONS as f32).max(1.0))
            .collect();
        let reach = table.iter().copied().fold(0.0, f32::max);
        let mean = table.iter().sum::<f32>() / DIRECTIONS as f32;
        table.push(table[0]);
        Outline {
            y,
            x,
            radius: table,
            reach,
            mean,
        }
    }

    /// Distance of a point from the centre as a fraction of the radius in that direction: below 1
    /// inside.
    #[inline]
    pub(crate) fn fraction(&self, y: f32, x: f32) -> f32 {
        let (dy, dx) = (y - self.y, x - self.x);
        (dy * dy + dx * dx).sqrt() / self.radius_towards(dy, dx)
    }

    /// Radius in pixels in the direction `(dy, dx)`.
    #[inline]
    pub(crate) fn radius_towards(&self, dy: f32, dx: f32) -> f32 {
        let place = turns(dy, dx) * DIRECTIONS as f32;
        let i = (place as usize).min(DIRECTIONS - 1);
        let low = self.radius[i];
        low + (self.radius[i + 1] - low) * (place - i as f32)
    }

    /// The same shape around another centre.
    pub(crate) fn moved_to(mut self, y: f32, x: f32) -> Self {
        (self.y, self.x) = (y, x);
        self
    }
}

/// Random low harmonics of an outline: relative radius changes of waves 2 to 7 around it.
#[derive(Clone, Debug)]
pub(crate) struct Wobble([(f32, f32); 6]);

impl Wobble {
    /// Wave `k` has a standard deviation of `amplitude * (2 / k)^1.2`: coarse waves are the larger.
    pub(crate) fn new(stream: &mut Stream, amplitude: f32) -> Self {
        Wobble(std::array::from_fn(|i| {
            let size = amplitude * (2.0 / (i + 2) as f32).powf(1.2);
            (
                size * stream.normal(),
                std::f32::consts::TAU * stream.unit(),
            )
        }))
    }

    /// Relative radius change at `angle`.
    pub(crate) fn at(&self, angle: f32) -> f32 {
        let waves = self.0.iter().enumerate();
        waves
            .map(|(i, &(size, phase))| size * ((i + 2) as f32 * angle + phase).cos())
            .sum()
    }
}

/// Radius of an ellipse of mean radius 1 and axis ratio `ratio`, at `angle` from its long axis.
pub(crate) fn ellipse(ratio: f32, angle: f32) -> f32 {
    let (sin, cos) = angle.sin_cos();
    // Semi-axes sqrt(ratio) and 1 / sqrt(ratio): the area stays that of the unit circle.
    1.0 / (cos * cos / ratio + sin * sin * ratio).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_match_the_arc_tangent() {
        for i in 0..1000 {
            let angle = (i as f32 + 0.5) / 1000.0;
            let (sin, cos) = (angle * std::f32::consts::TAU).sin_cos();
            assert!(
                (turns(3.0 * sin, 3.0 * cos) - angle).abs() < 2e-4,
                "at {angle} turns"
            );
        }
    }

    #[test]
    fn an_ellipse_has_its_axes_and_area() {
        let outline = Outline::new(50.0, 50.0, |angle| 10.0 * ellipse(2.0, angle));
        let long = 10.0 * 2.0_f32.sqrt();
        assert!((outline.fraction(50.0, 50.0 + long) - 1.0).abs() < 0.01);
        assert!((outline.fraction(50.0 + 100.0 / long, 50.0) - 1.0).abs() < 0.01);
        let inside = (0..10_000)
            .filter(|i| outline.fraction((i / 100) as f32, (i % 100) as f32) < 1.0)
            .count();
        // Pi r^2 with r = 10 is 314.2; the rim of 63 px is cut to +- half a pixel at random.
        assert!((inside as f32 - 314.2).abs() < 8.0, "{inside} pixels");
    }
}
