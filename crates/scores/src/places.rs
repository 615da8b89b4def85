//! Sets of pixels kept row by row, and how far each pixel of one set is from another set.

use crate::bootstrap::percentile;

/// A set of pixels: where each row begins, and its columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// First row.
    top: i32,
    /// Row `top + i` has the columns from `starts[i]` to the next start.
    starts: Vec<usize>,
    /// Columns of the pixels, ascending within a row.
    columns: Vec<i32>,
}

impl Places {
    /// Adds a pixel that lies behind all others in reading order.
    pub(crate) fn push(&mut self, y: usize, x: usize) {
        let y = y as i32;
        if self.columns.is_empty() {
            self.top = y;
        }
        while self.bottom() <= y {
            self.starts.push(self.columns.len());
        }
        self.columns.push(x as i32);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn contains(&self, y: usize, x: usize) -> bool {
        let y = y as i32;
        (self.top..self.bottom()).contains(&y) && self.row(y).contains(&(x as i32))
    }

    /// Columns of the row `y`, which lies in `top..bottom`.
    fn row(&self, y: i32) -> &[i32] {
        let i = (y - self.top) as usize;
        let end = self.starts.get(i + 1).copied();
        &self.columns[self.starts[i]..end.unwrap_or(self.columns.len())]
    }

    /// The row below the last.
    fn bottom(&self) -> i32 {
        self.top + self.starts.len() as i32
    }

    /// Distance to the nearest pixel, searched from the own row outwards.
    fn distance_from(&self, y: i32, x: i32) -> f64 {
        let mut best = i64::MAX;
        let start = y.clamp(self.top, self.bottom());
        let mut search = |row: i32| {
            let dy = i64::from(row - y);
            if dy * dy >= best {
                return false;
            }
            let columns = self.row(row);
            let place = columns.partition_point(|&column| column < x);
            for column in &columns[place.saturating_sub(1)..columns.len().min(place + 1)] {
                let dx = i64::from(column - x);
                best = best.min(dy * dy + dx * dx);
            }
            true
        };
        let _ = (start..self.bottom()).all(&mut search);
        let _ = (self.top..start).rev().all(&mut search);
        (best as f64).sqrt()
    }
}

/// The distance from each pixel of one set to the nearest pixel of another, in px.
pub(crate) struct Nearest(Vec<f64>);

impl Nearest {
    /// Neither set is empty.
    pub(crate) fn of(from: &Places, to: &Places) -> Self {
        let mut distances = Vec::with_capacity(from.columns.len());
        for y in from.top..from.bottom() {
            distances.extend(from.row(y).iter().map(|&x| to.distance_from(y, x)));
        }
        Self(distances)
    }

    pub(crate) fn sum(&self) -> f64 {
        self.0.iter().sum()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn mean(&self) -> f64 {
        self.sum() / self.0.len() as f64
    }

    /// The `share`-th of the distances, interpolated as NumPy does.
    pub(crate) fn percentile(mut self, share: f64) -> f64 {
        self.0.sort_unstable_by(f64::total_cmp);
        percentile(&self.0, share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(rows: std::ops::Range<usize>, x: usize) -> Places {
        let mut places = Places::default();
        rows.for_each(|y| places.push(y, x));
        places
    }

    #[test]
    fn parallel_lines_are_as_far_apart_as_their_columns() {
        assert_eq!(
            Nearest::of(&column(5..14, 4), &column(5..14, 6)).mean(),
            2.0
        );
    }

    #[test]
    fn the_two_directions_differ() {
        let (one, line) = (column(3..4, 4), column(3..12, 4));
        assert_eq!(Nearest::of(&one, &line).mean(), 0.0);
        // 0 .. 8
        assert_eq!(Nearest::of(&line, &one).mean(), 4.0);
        assert_eq!(Nearest::of(&line, &one).percentile(0.95), 7.6);
    }

    #[test]
    fn empty_rows_between_are_passed_over() {
        let mut places = Places::default();
        places.push(0, 5);
        places.push(7, 1);
        assert!(places.contains(7, 1) && !places.contains(3, 5));
        // From row 3: 3 up and 4 right, or 4 down.
        assert_eq!(Nearest::of(&column(3..4, 1), &places).mean(), 4.0);
    }
}
