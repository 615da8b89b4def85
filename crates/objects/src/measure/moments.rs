//! Centre, the circle of the same area, and the ellipse with the same second moments.
//!
//! Sums are integers relative to the bounding box, so that they are exact and do not depend on
//! where the object lies. The tensor and the sign of the angle are those of
//! `skimage.measure.regionprops`: pixels are points (no 1/12 is added for their extent), the
//! orientation is the angle between the row axis and the major axis, from
//! -pi/2 to pi/2, counter-clockwise.

use std::f64::consts::{FRAC_PI_4, PI};

use super::regions::Regions;
use super::{Block, Column, Family, Frame, Part, Scene, Unit};

pub(super) struct Moments;

impl Family for Moments {
    fn name(&self) -> &'static str {
        "moments"
    }

    fn applies_to(&self, part: Part) -> bool {
        part.is_object()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::float("centroid-0", Unit::Length).in_frame(Frame::Row),
            Column::float("centroid-1", Unit::Length).in_frame(Frame::Column),
            Column::float("equivalent_diameter_area", Unit::Length),
            Column::float("axis_major_length", Unit::Length),
            Column::float("axis_minor_length", Unit::Length),
            Column::float("eccentricity", Unit::None),
            Column::float("orientation", Unit::Radians).in_frame(Frame::Angle),
        ]
    }

    fn measure(&self, scene: &Scene, part: Part, _channel: Option<usize>, block: &mut Block) {
        let regions = &scene.layer(part).regions;
        for i in 0..regions.len() {
            let moments = Sums::of(regions, i);
            let (y, x) = moments.centroid();
            let [major, minor] = moments.variances();
            let eccentricity = if major == 0.0 {
                0.0
            } else {
                (1.0 - minor / major).max(0.0).sqrt()
            };
            block.row(i).copy_from_slice(&[
                y,
                x,
                (4.0 * moments.n as f64 / PI).sqrt(),
                4.0 * major.sqrt(),
                4.0 * minor.sqrt(),
                eccentricity,
                moments.orientation(),
            ]);
        }
    }
}

/// Sums over the pixels of an object, and `n` times its second central moments.
struct Sums {
    n: i128,
    origin: (u32, u32),
    y: i128,
    x: i128,
    /// `n * sum(dy^2)`, `n * sum(dx^2)` and `n * sum(dy dx)` about the centre.
    yy: i128,
    xx: i128,
    yx: i128,
}

impl Sums {
    fn of(regions: &Regions, i: usize) -> Self {
        let bounds = regions.bounds(i);
        let [mut n, mut sy, mut sx, mut syy, mut sxx, mut syx] = [0i128; 6];
        for run in regions.runs(i) {
            let y = i128::from(run.y - bounds.top);
            let (from, to) = (
                i64::from(run.from - bounds.left),
                i64::from(run.to - bounds.left),
            );
            let len = i128::from(to - from);
            // Sums of x and x^2 over from..to in closed form.
            let x = i128::from((from + to - 1) * (to - from) / 2);
            let squares = |m: i64| i128::from(m) * i128::from(m - 1) * i128::from(2 * m - 1) / 6;
            n += len;
            sy += y * len;
            sx += x;
            syy += y * y * len;
            sxx += squares(to) - squares(from);
            syx += y * x;
        }
        Self {
            n,
            origin: (bounds.top, bounds.left),
            y: sy,
            x: sx,
            yy: n * syy - sy * sy,
            xx: n * sxx - sx * sx,
            yx: n * syx - sy * sx,
        }
    }

    fn centroid(&self) -> (f64, f64) {
        let mean = |sum: i128, origin: u32| f64::from(origin) + sum as f64 / self.n as f64;
        (mean(self.y, self.origin.0), mean(self.x, self.origin.1))
    }

    /// Variances along the major and the minor axis.
    fn variances(&self) -> [f64; 2] {
        let scale = (self.n * self.n) as f64;
        let (yy, xx, yx) = (self.yy as f64, self.xx as f64, self.yx as f64);
        let spread = (yy - xx).hypot(2.0 * yx);
        let major = (yy + xx + spread) / 2.0;
        if major == 0.0 {
            return [0.0, 0.0];
        }
        // The difference yy + xx - spread cancels for thin objects; the determinant does not.
        let determinant = match (self.yy.checked_mul(self.xx), self.yx.checked_mul(self.yx)) {
            (Some(product), Some(square)) => (product - square) as f64,
            _ => yy * xx - yx * yx,
        };
        [major / scale, (determinant / major).max(0.0) / scale]
    }

    fn orientation(&self) -> f64 {
        if self.yy == self.xx {
            return if self.yx > 0 { FRAC_PI_4 } else { -FRAC_PI_4 };
        }
        0.5 * (2.0 * self.yx as f64).atan2((self.yy - self.xx) as f64)
    }
}
