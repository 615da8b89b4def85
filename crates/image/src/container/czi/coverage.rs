//! Whether tiles leave gaps in the image that is composed of them.

/// A rectangle of pixels within an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Tile {
    fn right(self) -> u64 {
        u64::from(self.left) + u64::from(self.width)
    }

    fn bottom(self) -> u64 {
        u64::from(self.top) + u64::from(self.height)
    }
}

/// Whether the tiles, which lie in an image of `height` x `width` pixels, cover all of it.
///
/// A line sweeps over their upper and lower edges; what it meets between them is kept in a tree
/// over the edges to the left and right, so that a mosaic of n tiles takes n log n steps.
pub(super) fn covered((height, width): (usize, usize), tiles: &[Tile]) -> bool {
    let (height, width) = (height as u64, width as u64);
    let whole = |tile: &Tile| u64::from(tile.width) >= width && u64::from(tile.height) >= height;
    if tiles.iter().any(whole) {
        return true;
    }
    let area = |tile: &Tile| u64::from(tile.width) * u64::from(tile.height);
    if tiles.iter().map(area).fold(0, u64::saturating_add) < height * width {
        return false;
    }
    let mut edges: Vec<u64> = tiles
        .iter()
        .flat_map(|tile| [u64::from(tile.left), tile.right()])
        .collect();
    edges.sort_unstable();
    edges.dedup();
    // Downwards; at one height tiles end before others begin.
    let mut events: Vec<(u64, bool, &Tile)> = tiles
        .iter()
        .flat_map(|tile| {
            [
                (u64::from(tile.top), true, tile),
                (tile.bottom(), false, tile),
            ]
        })
        .collect();
    events.sort_unstable_by_key(|&(y, begins, _)| (y, begins));
    let mut line = Line::over(&edges);
    let mut reached = 0;
    for (y, begins, tile) in events {
        if y > reached && line.covered() < width {
            return false;
        }
        reached = y;
        line.change(u64::from(tile.left), tile.right(), begins);
    }
    reached >= height
}

/// Which part of a line is covered: a segment tree with a count and a length in every node.
struct Line<'a> {
    edges: &'a [u64],
    counts: Vec<u32>,
    lengths: Vec<u64>,
}

impl<'a> Line<'a> {
    fn over(edges: &'a [u64]) -> Self {
        let nodes = 4 * edges.len();
        Self {
            edges,
            counts: vec![0; nodes],
            lengths: vec![0; nodes],
        }
    }

    /// Pixels that are covered.
    fn covered(&self) -> u64 {
        self.lengths.get(1).copied().unwrap_or(0)
    }

    /// A tile from `left` to `right` begins or ends.
    fn change(&mut self, left: u64, right: u64, begins: bool) {
        self.visit(1, 0, self.edges.len() - 1, (left, right), begins);
    }

    /// `node` stands for the line from edge `first` to edge `last`.
    fn visit(&mut self, node: usize, first: usize, last: usize, span: (u64, u64), begins: bool) {
        let (from, to) = (self.edges[first], self.edges[last]);
        if span.1 <= from || to <= span.0 {
            return;
        }
        if span.0 <= from && to <= span.1 {
            match begins {
                true => self.counts[node] += 1,
                false => self.counts[node] -= 1,
            }
        } else {
            let middle = first.midpoint(last);
            self.visit(2 * node, first, middle, span, begins);
            self.visit(2 * node + 1, middle, last, span, begins);
        }
        self.lengths[node] = match self.counts[node] {
            0 if last - first == 1 => 0,
            0 => self.lengths[2 * node] + self.lengths[2 * node + 1],
            _ => to - from,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by painting every pixel.
    fn painted((height, width): (usize, usize), tiles: &[Tile]) -> bool {
        (0..height as u64).all(|y| {
            (0..width as u64).all(|x| {
                tiles.iter().any(|tile| {
                    (u64::from(tile.left)..tile.right()).contains(&x)
                        && (u64::from(tile.top)..tile.bottom()).contains(&y)
                })
            })
        })
    }

    #[test]
    fn gaps_are_found_as_by_painting() {
        let mut state = 7_u64;
        let mut random = |end: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            ((state >> 33) % end) as u32
        };
        let mut found = [0, 0];
        for round in 0..4000 {
            let size = (1 + random(9) as usize, 1 + random(9) as usize);
            let tiles: Vec<Tile> = (0..random(14))
                .map(|_| {
                    let (left, top) = (random(size.1 as u64), random(size.0 as u64));
                    Tile {
                        left,
                        top,
                        width: 1 + random(size.1 as u64 - u64::from(left)),
                        height: 1 + random(size.0 as u64 - u64::from(top)),
                    }
                })
                .collect();
            let expected = painted(size, &tiles);
            assert_eq!(covered(size, &tiles), expected, "round {round}: {tiles:?}");
            found[usize::from(expected)] += 1;
        }
        assert!(found.iter().all(|&count| count > 100), "{found:?}");
    }
}
