//! Which pixels a line or a stroke of a brush covers.

/// A place in pixels, `[y, x]`; the centre of the first pixel at 0.
pub(super) type Point = [f32; 2];

/// The pixels of a polyline, each beside the one before (4-connected), so that no 8-connected way
/// leads through it. Places outside of the image are among them.
pub(super) fn line(points: &[Point]) -> Vec<(i64, i64)> {
    let place = |p: &Point| (p[0].round() as i64, p[1].round() as i64);
    let mut pixels = Vec::new();
    let Some(first) = points.first() else {
        return pixels;
    };
    pixels.push(place(first));
    for pair in points.windows(2) {
        let ((y0, x0), (y1, x1)) = (place(&pair[0]), place(&pair[1]));
        let (dy, dx) = ((y1 - y0).abs(), (x1 - x0).abs());
        let (sy, sx) = ((y1 - y0).signum(), (x1 - x0).signum());
        let (mut y, mut x, mut down, mut right) = (y0, x0, 0, 0);
        // One step in y or in x at a time: whichever is behind the straight line.
        while (y, x) != (y1, x1) {
            if (1 + 2 * right) * dy < (1 + 2 * down) * dx {
                x += sx;
                right += 1;
            } else {
                y += sy;
                down += 1;
            }
            pixels.push((y, x));
        }
    }
    pixels
}

/// Calls `run(y, from, to)` for every row of the pixels that a disc of `radius` covers when it is
/// moved along `points`, within an image of this size. Rows come several times.
pub(super) fn brush(
    points: &[Point],
    radius: f32,
    (height, width): (usize, usize),
    mut run: impl FnMut(usize, usize, usize),
) {
    for (i, &point) in points.iter().enumerate() {
        // A stroke between two points is the discs half a pixel apart on it.
        let from = points[i.saturating_sub(1)];
        let length = (point[0] - from[0]).hypot(point[1] - from[1]);
        let steps = (length * 2.0).ceil().max(1.0) as usize;
        for step in 1..=steps {
            let t = step as f32 / steps as f32;
            let at = |i: usize| from[i] + t * (point[i] - from[i]);
            disc(at(0), at(1), radius, (height, width), &mut run);
        }
    }
}

fn disc(
    y0: f32,
    x0: f32,
    radius: f32,
    (height, width): (usize, usize),
    run: &mut impl FnMut(usize, usize, usize),
) {
    let top = (y0 - radius).ceil().max(0.0);
    let bottom = (y0 + radius).floor().min(height as f32 - 1.0);
    let mut y = top;
    while y <= bottom {
        let half = (radius * radius - (y - y0) * (y - y0)).max(0.0).sqrt();
        let from = (x0 - half).ceil().max(0.0);
        let to = (x0 + half).floor().min(width as f32 - 1.0);
        if from <= to {
            run(y as usize, from as usize, to as usize + 1);
        }
        y += 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_from_neighbour_to_neighbour_and_keeps_to_the_straight_one() {
        for (from, to) in [
            ([0.0, 0.0], [7.0, 19.0]),
            ([5.2, 9.0], [-3.0, 2.4]),
            ([3.0, 3.0], [3.0, -8.0]),
            ([1.0, 1.0], [1.0, 1.0]),
        ] {
            let found = line(&[from, to]);
            assert_eq!(found[0], (from[0].round() as i64, from[1].round() as i64));
            let last = found[found.len() - 1];
            assert_eq!(last, (to[0].round() as i64, to[1].round() as i64));
            for pair in found.windows(2) {
                let step = (pair[1].0 - pair[0].0).abs() + (pair[1].1 - pair[0].1).abs();
                assert_eq!(step, 1, "{found:?}");
            }
            // Distance from the straight line between the rounded ends: below one pixel.
            let ((y0, x0), (y1, x1)) = (found[0], last);
            let length = ((y1 - y0) as f64).hypot((x1 - x0) as f64);
            for &(y, x) in &found {
                let off = ((y1 - y0) * (x - x0) - (x1 - x0) * (y - y0)) as f64;
                assert!(off.abs() <= length, "{found:?}");
            }
        }
    }

    #[test]
    fn a_brush_covers_what_lies_within_its_radius_of_the_stroke() {
        let (size, radius) = ((20, 30), 3.4f32);
        let points = [[4.0f32, 2.0], [4.0, 12.0], [14.0, 12.0]];
        let mut covered = vec![false; size.0 * size.1];
        brush(&points, radius, size, |y, from, to| {
            covered[y * size.1 + from..y * size.1 + to].fill(true);
        });
        for y in 0..size.0 {
            for x in 0..size.1 {
                let (fy, fx) = (y as f32, x as f32);
                let first = (fy - 4.0).hypot(fx - fx.clamp(2.0, 12.0));
                let second = (fx - 12.0).hypot(fy - fy.clamp(4.0, 14.0));
                let distance = first.min(second);
                // Discs half a pixel apart fall short of the hull by less than
                // r - sqrt(r^2 - 1/16) = 0.01.
                if (distance - radius).abs() > 0.01 {
                    assert_eq!(covered[y * size.1 + x], distance < radius, "{y} {x}");
                }
            }
        }
    }
}
