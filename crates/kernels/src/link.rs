//! From the numbers of a network's last convolution to what they stand for: probabilities, shares,
//! lengths.
//!
//! The channels of the convolution come in groups, each with its own [`Link`]. Here: the functions,
//! and their way from a blocked array into planes. Not here: their gradients, which belong to
//! losses.

use crate::blocked::{Blocked, LANES, Rows, slot};
use crate::pass::Cut;
use crate::workers::{Shared, Workers};
use std::ops::Range;

/// The function that the channels of a group go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// `e^x` over the sum of `e^x` of all channels of the group: probabilities that add up to 1.
    Softmax,
    /// `1 / (1 + e^-x)`: a number between 0 and 1 for every channel.
    Sigmoid,
    /// The number as it is.
    Linear,
}

impl Link {
    /// Every link there is.
    pub const ALL: [Link; 3] = [Link::Softmax, Link::Sigmoid, Link::Linear];

    /// Its word in files.
    pub fn name(self) -> &'static str {
        match self {
            Link::Softmax => "softmax",
            Link::Sigmoid => "sigmoid",
            Link::Linear => "linear",
        }
    }

    /// The link called `name`.
    pub fn parse(name: &str) -> Option<Link> {
        Self::ALL.into_iter().find(|link| link.name() == name)
    }

    /// One row: `from` holds blocks of 16 channels, those of the group begin at `first` and have a
    /// line each.
    fn row(self, from: &[f32], first: usize, lines: &mut [&mut [f32]]) {
        let pixels = from.chunks_exact(LANES).map(|pixel| &pixel[first..]);
        match self {
            Link::Softmax => softmax(pixels, lines),
            Link::Sigmoid => each(pixels, lines, sigmoid),
            Link::Linear => each(pixels, lines, |x| x),
        }
    }
}

/// `1 / (1 + e^-x)`; 0 and 1 far out, NaN for NaN.
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

fn softmax<'a>(pixels: impl Iterator<Item = &'a [f32]>, lines: &mut [&mut [f32]]) {
    let classes = lines.len();
    for (x, pixel) in pixels.enumerate() {
        // Taken away first: exponentials of logits above 88 would be infinite.
        let mut largest = f32::NEG_INFINITY;
        for &logit in &pixel[..classes] {
            largest = largest.max(logit);
        }
        let mut sum = 0.0;
        for (line, &logit) in lines.iter_mut().zip(pixel) {
            line[x] = (logit - largest).exp();
            sum += line[x];
        }
        for line in lines.iter_mut() {
            line[x] /= sum;
        }
    }
}

fn each<'a>(
    pixels: impl Iterator<Item = &'a [f32]>,
    lines: &mut [&mut [f32]],
    of: impl Fn(f32) -> f32,
) {
    for (x, pixel) in pixels.enumerate() {
        for (line, &value) in lines.iter_mut().zip(pixel) {
            line[x] = of(value);
        }
    }
}

/// A planar array `[channel][height][width]` that values are written to.
pub struct Planes<'a> {
    /// Its values.
    pub data: &'a mut [f32],
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Where the first row and column of the blocked array lie in it; they may lie outside.
    pub corner: [isize; 2],
}

/// Writes the values of the pixels `rows` x `columns` of `from`, an array of one image shaped
/// `shape` that may hold only some rows, to their places in `to`. `groups` are the links of the
/// channels in order, each with the number of its channels.
///
/// # Panics
/// If a length does not match, there are more than 16 channels, or a pixel has no place.
pub fn write_linked(
    workers: &Workers,
    shape: &Blocked,
    groups: &[(Link, usize)],
    from: Rows,
    [rows, columns]: [Range<usize>; 2],
    to: Planes,
) {
    let channels = shape.channels;
    assert!(
        shape.images == 1 && channels <= LANES,
        "one block of channels"
    );
    let grouped: usize = groups.iter().map(|(_, channels)| channels).sum();
    assert_eq!(grouped, channels, "every channel has a link");
    shape.check_rows(from.data.len(), from.kept, &rows);
    assert_eq!(
        to.data.len(),
        channels * to.height * to.width,
        "planar array has another size"
    );
    let place = |range: &Range<usize>, axis: usize, length: usize| {
        let first = range.start as isize + to.corner[axis];
        assert!(
            first >= 0 && first as usize + range.len() <= length,
            "pixels without a place"
        );
        first as usize
    };
    let top = place(&rows, 0, to.height);
    let left = place(&columns, 1, to.width);
    let shared = Shared::new(to.data);
    let one_row = |y: usize| {
        let row = slot(y, from.kept) * shape.width;
        let from = &from.data[(row + columns.start) * LANES..][..columns.len() * LANES];
        let place = (top + y - rows.start) * to.width + left;
        // SAFETY: every row belongs to one chunk, and has places of its own in each channel.
        let mut lines: Vec<&mut [f32]> = (0..channels)
            .map(|c| unsafe { shared.slice(c * to.height * to.width + place, columns.len()) })
            .collect();
        let (mut rest, mut first) = (&mut lines[..], 0);
        for &(link, channels) in groups {
            let (own, next) = rest.split_at_mut(channels);
            link.row(from, first, own);
            (rest, first) = (next, first + channels);
        }
    };
    let cut = Cut::new(1, rows.clone(), EXPONENTIALS * columns.len());
    cut.for_each(workers, |_, rows| rows.for_each(&one_row));
}

/// Pixels that are only read and written in the time of one with its exponentials.
const EXPONENTIALS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Channels of 7 x 9 pixels, larger than an exponential of f32 can hold.
    fn planar(channels: usize) -> Vec<f32> {
        (0..channels * 63).map(|i| (i % 11) as f32 * 30.0).collect()
    }

    /// Rows 2 to 5, columns 1 to 8, of an image that begins at row -1 and column -1 of another of
    /// 6 x 7 pixels, whose planes come back.
    fn part(planar: &[f32], groups: &[(Link, usize)]) -> Vec<f32> {
        let shape = Blocked {
            images: 1,
            channels: planar.len() / 63,
            height: 7,
            width: 9,
        };
        let workers = Workers::new(2);
        let mut blocked = vec![0.0; shape.len()];
        shape.pack(&workers, planar, &mut blocked);
        let mut found = vec![-1.0; shape.channels * 6 * 7];
        let from = Rows {
            data: &blocked,
            kept: 7,
        };
        let to = Planes {
            data: &mut found,
            height: 6,
            width: 7,
            corner: [-1, -1],
        };
        write_linked(&workers, &shape, groups, from, [2..5, 1..8], to);
        found
    }

    #[test]
    fn probabilities_add_up_and_keep_the_order_of_the_logits() {
        let planar = planar(3);
        let found = part(&planar, &[(Link::Softmax, 3)]);
        for (y, x) in (0..6).flat_map(|y| (0..7).map(move |x| (y, x))) {
            let found: Vec<f32> = (0..3).map(|c| found[c * 42 + y * 7 + x]).collect();
            if !(1..4).contains(&y) {
                assert_eq!(found, [-1.0; 3], "row {y} was not asked for");
                continue;
            }
            let logits: Vec<f32> = (0..3)
                .map(|c| planar[c * 63 + (y + 1) * 9 + x + 1])
                .collect();
            let largest = logits.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
            let terms: Vec<f64> = logits
                .iter()
                .map(|&x| f64::from(x - largest).exp())
                .collect();
            let sum: f64 = terms.iter().sum();
            for (found, term) in found.iter().zip(terms) {
                // Rounding of an exponential and a division in f32.
                assert!((f64::from(*found) - term / sum).abs() < 1e-6, "({y}, {x})");
            }
        }
    }

    #[test]
    fn every_group_goes_through_its_own_link_and_sees_its_own_channels() {
        // Small enough for the sigmoid not to be 1 everywhere.
        let planar: Vec<f32> = planar(6).iter().map(|x| x / 60.0 - 2.0).collect();
        let groups = [(Link::Softmax, 2), (Link::Linear, 1), (Link::Sigmoid, 3)];
        let found = part(&planar, &groups);
        let alone = part(&planar[..2 * 63], &groups[..1]);
        assert_eq!(found[..2 * 42], alone, "probabilities see two channels");
        let sigmoid = |x: f32| (1.0 / (1.0 + f64::from(-x).exp())) as f32;
        for (y, x) in (1..4).flat_map(|y| (0..7).map(move |x| (y, x))) {
            let made = |c: usize| found[c * 42 + y * 7 + x];
            let given = |c: usize| planar[c * 63 + (y + 1) * 9 + x + 1];
            assert_eq!(made(2), given(2));
            for c in 3..6 {
                assert!((made(c) - sigmoid(given(c))).abs() < 1e-6, "({y}, {x})");
            }
        }
    }

    #[test]
    fn links_are_known_by_their_words() {
        for link in Link::ALL {
            assert_eq!(Link::parse(link.name()), Some(link));
        }
        assert_eq!(Link::parse("probit"), None);
    }
}
