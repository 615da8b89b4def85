//! Which nuclei are joined, and the clusters that they form.
//!
//! Two nuclei are joined where their 1-px dilations (3 x 3 square) overlap or touch: their nearest
//! pixels are at most 3 apart in both y and x, so at most two pixels of background lie between.
//! A cluster is a connected component of that graph; a component of one nucleus is a single.
//!
//! A nearest pair of pixels can always be chosen among contour pixels (those with a 4-neighbour of
//! another value), so only these look around, and only forward: the other pixel would find the
//! same.

use stainfree_image::Image;

/// Largest Chebyshev distance between the nearest pixels of joined nuclei.
const REACH: usize = 3;

/// Labels (smaller first) of all joined pairs of a label image, sorted.
pub(crate) fn joined_pairs(labels: &Image<u32>) -> Vec<[u32; 2]> {
    let (height, width) = labels.size();
    let mut found: Vec<[u32; 2]> = Vec::new();
    for y in 0..height {
        let row = labels.row(y);
        let above = labels.row(y.saturating_sub(1));
        let below = labels.row((y + 1).min(height - 1));
        for x in 0..width {
            let here = row[x];
            let contour = here != row[x.saturating_sub(1)]
                || here != row[(x + 1).min(width - 1)]
                || here != above[x]
                || here != below[x];
            if here == 0 || !contour {
                continue;
            }
            let mut see = |other: &u32| {
                let pair = [here.min(*other), here.max(*other)];
                // Neighbouring pixels mostly see the same pair; the sort removes the rest.
                if *other != 0 && *other != here && found.last() != Some(&pair) {
                    found.push(pair);
                }
            };
            let right = (x + REACH + 1).min(width);
            row[x + 1..right].iter().for_each(&mut see);
            for lower in y + 1..(y + REACH + 1).min(height) {
                labels.row(lower)[x.saturating_sub(REACH)..right]
                    .iter()
                    .for_each(&mut see);
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Number of the connected component of each of `count` nodes, and how many components there are.
pub(crate) fn components(count: usize, edges: &[(usize, usize)]) -> (Vec<usize>, usize) {
    let mut parent: Vec<usize> = (0..count).collect();
    fn root(parent: &mut [usize], mut node: usize) -> usize {
        while parent[node] != node {
            parent[node] = parent[parent[node]];
            node = parent[node];
        }
        node
    }
    for &(a, b) in edges {
        let (a, b) = (root(&mut parent, a), root(&mut parent, b));
        parent[a.max(b)] = a.min(b);
    }
    let mut number = vec![usize::MAX; count];
    let mut total = 0;
    for node in 0..count {
        // A root is the smallest node of its component, so it is numbered before the others.
        let root = root(&mut parent, node);
        if root == node {
            number[node] = total;
            total += 1;
        } else {
            number[node] = number[root];
        }
    }
    (number, total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::labels;

    #[test]
    fn two_background_pixels_join_and_three_do_not() {
        assert_eq!(joined_pairs(&labels(&["11..22"])), [[1, 2]]);
        assert_eq!(joined_pairs(&labels(&["11...22"])), [[0u32; 2]; 0]);
        // Along the diagonal as well: rows and columns both differ by 3.
        let near = labels(&["1...", "....", "....", "...2"]);
        assert_eq!(joined_pairs(&near), [[1, 2]]);
        let far = labels(&["1....", ".....", ".....", "....2"]);
        assert_eq!(joined_pairs(&far), [[0u32; 2]; 0]);
        let near = labels(&["...1", "....", "....", "2..."]);
        assert_eq!(joined_pairs(&near), [[1, 2]]);
    }

    #[test]
    fn another_nucleus_between_does_not_part_a_pair() {
        assert_eq!(
            joined_pairs(&labels(&["1332"])),
            [[1, 2], [1, 3], [2, 3]],
            "pixels of 1 and 2 are 3 apart"
        );
    }

    #[test]
    fn a_chain_is_one_cluster() {
        let edges = [(4, 3), (0, 1), (1, 3)];
        assert_eq!(components(6, &edges), (vec![0, 0, 1, 0, 0, 2], 3));
    }
}
