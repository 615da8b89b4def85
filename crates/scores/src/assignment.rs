//! One-to-one assignment of largest total weight on a sparse bipartite graph.
//!
//! Method: shortest augmenting paths with potentials (the Hungarian method), one row at a time.
//! Every row also has an edge of cost 0 to a private column "alone", so a row is only matched where
//! that raises the total, and a search ends as soon as it finds a free column near by. Overlap
//! tables are made of small clusters, so paths stay short and the whole costs about
//! `edges * log(edges)`.
//!
//! Source: Jonker & Volgenant (1987), "A shortest augmenting path algorithm for dense and sparse
//! linear assignment problems"; here with Dijkstra over a binary heap.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// One possible pair and what it is worth (finite, above 0).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    pub(crate) row: usize,
    pub(crate) column: usize,
    pub(crate) weight: f64,
}

/// For every row the index of its chosen edge, so that no column is used twice and the sum of the
/// weights is as large as possible.
pub(crate) fn assign(rows: usize, columns: usize, edges: &[Edge]) -> Vec<Option<usize>> {
    let mut solver = Solver::new(rows, columns, edges);
    for row in 0..rows {
        if !solver.edges_of(row).is_empty() {
            solver.place(row);
        }
    }
    solver.chosen
}

/// A column reached at a distance; ordered so that the heap yields the nearest first, ties by
/// index.
#[derive(PartialEq)]
struct Reached {
    distance: f64,
    column: usize,
}

impl Eq for Reached {}

impl Ord for Reached {
    fn cmp(&self, other: &Self) -> Ordering {
        other
            .distance
            .total_cmp(&self.distance)
            .then(other.column.cmp(&self.column))
    }
}

impl PartialOrd for Reached {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

struct Solver<'a> {
    edges: &'a [Edge],
    /// Edge indices grouped by row; row r owns `start[r]..start[r + 1]`.
    order: Vec<usize>,
    start: Vec<usize>,
    /// Chosen edge per row, owning row per column.
    chosen: Vec<Option<usize>>,
    owner: Vec<Option<usize>>,
    /// Potentials: `cost - row - column >= 0` for every edge, 0 for the chosen ones.
    row_price: Vec<f64>,
    column_price: Vec<f64>,
    /// Scratch of one search, cleared through `touched`.
    distance: Vec<f64>,
    via: Vec<usize>,
    done: Vec<bool>,
    touched: Vec<usize>,
}

impl<'a> Solver<'a> {
    fn new(rows: usize, columns: usize, edges: &'a [Edge]) -> Self {
        let mut order: Vec<usize> = (0..edges.len()).collect();
        order.sort_by_key(|&i| (edges[i].row, edges[i].column));
        let mut start = vec![0; rows + 1];
        for edge in edges {
            start[edge.row + 1] += 1;
        }
        for row in 0..rows {
            start[row + 1] += start[row];
        }
        Self {
            edges,
            order,
            start,
            chosen: vec![None; rows],
            owner: vec![None; columns],
            row_price: vec![0.0; rows],
            column_price: vec![0.0; columns],
            distance: vec![f64::INFINITY; columns],
            via: vec![usize::MAX; columns],
            done: vec![false; columns],
            touched: Vec::new(),
        }
    }

    fn edges_of(&self, row: usize) -> &[usize] {
        &self.order[self.start[row]..self.start[row + 1]]
    }

    /// Adds one row, moving others along the cheapest path.
    fn place(&mut self, row: usize) {
        // The private column of a row costs 0, has price 0 (it is never contested), and so bounds
        // the search: `alone` is the cheapest way found to leave some row of the tree alone.
        let first = self
            .edges_of(row)
            .iter()
            .map(|&e| -self.edges[e].weight - self.column_price[self.edges[e].column])
            .fold(0.0, f64::min);
        self.row_price[row] = first;
        let mut heap = BinaryHeap::new();
        let mut tree = vec![(row, 0.0)];
        let (mut alone, mut alone_row) = (-first, row);
        let mut end = None;
        self.relax(row, 0.0, &mut heap);
        while let Some(Reached { distance, column }) = heap.pop() {
            if self.done[column] || distance > self.distance[column] {
                continue;
            }
            if distance >= alone {
                break;
            }
            self.done[column] = true;
            let Some(next) = self.owner[column] else {
                end = Some((column, distance));
                break;
            };
            tree.push((next, distance));
            let leave = distance - self.row_price[next];
            if leave < alone {
                (alone, alone_row) = (leave, next);
            }
            self.relax(next, distance, &mut heap);
        }
        let total = end.map_or(alone, |(_, distance)| distance);
        // Prices move by what each node lies nearer than the end of the path.
        for &(member, distance) in &tree {
            if distance < total {
                self.row_price[member] += total - distance;
            }
        }
        for &column in &self.touched {
            if self.done[column] && self.distance[column] < total {
                self.column_price[column] -= total - self.distance[column];
            }
        }
        match end {
            Some((column, _)) => self.flip(column, row),
            None if alone_row != row => {
                let freed = self.chosen[alone_row].take().map(|e| self.edges[e].column);
                if let Some(column) = freed {
                    self.flip(column, row);
                }
            }
            None => {}
        }
        for column in self.touched.drain(..) {
            self.distance[column] = f64::INFINITY;
            self.via[column] = usize::MAX;
            self.done[column] = false;
        }
    }

    fn relax(&mut self, row: usize, base: f64, heap: &mut BinaryHeap<Reached>) {
        for slot in self.start[row]..self.start[row + 1] {
            let e = self.order[slot];
            let column = self.edges[e].column;
            // Rounding may leave a slack of -1e-16, which would upset the order of the heap.
            let slack =
                (-self.edges[e].weight - self.row_price[row] - self.column_price[column]).max(0.0);
            let distance = base + slack;
            if !self.done[column] && distance < self.distance[column] {
                if self.distance[column].is_infinite() {
                    self.touched.push(column);
                }
                self.distance[column] = distance;
                self.via[column] = e;
                heap.push(Reached { distance, column });
            }
        }
    }

    /// Hands `column` to the row that reached it, that row's old column to its own, up to `root`.
    fn flip(&mut self, mut column: usize, root: usize) {
        loop {
            let e = self.via[column];
            let row = self.edges[e].row;
            let old = self.chosen[row].replace(e);
            self.owner[column] = Some(row);
            match old {
                Some(old) if row != root => column = self.edges[old].column,
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn edge(row: usize, column: usize, weight: f64) -> Edge {
        Edge {
            row,
            column,
            weight,
        }
    }

    #[test]
    fn two_good_pairs_beat_the_single_best_one() {
        let edges = [edge(0, 0, 0.9), edge(0, 1, 0.8), edge(1, 0, 0.7)];
        assert_eq!(assign(2, 2, &edges), [Some(1), Some(2)]);
    }

    #[test]
    fn a_row_is_left_alone_where_that_is_worth_more() {
        let edges = [edge(0, 0, 0.2), edge(1, 0, 0.9)];
        assert_eq!(assign(2, 1, &edges), [None, Some(1)]);
    }

    /// The best total by trying everything.
    fn best(row: usize, rows: usize, used: u32, edges: &[Edge]) -> f64 {
        if row == rows {
            return 0.0;
        }
        let mut top = best(row + 1, rows, used, edges);
        for e in edges
            .iter()
            .filter(|e| e.row == row && used & (1 << e.column) == 0)
        {
            top = top.max(e.weight + best(row + 1, rows, used | (1 << e.column), edges));
        }
        top
    }

    proptest! {
        #[test]
        fn the_total_is_the_best_there_is(
            raw in proptest::collection::btree_map((0usize..7, 0usize..7), 1u32..1000, 0..40)
        ) {
            let edges: Vec<Edge> =
                raw.iter().map(|(&(r, c), &w)| edge(r, c, f64::from(w) / 1000.0)).collect();
            let chosen = assign(7, 7, &edges);
            let mut used = [false; 7];
            let mut total = 0.0;
            for (row, e) in chosen.iter().enumerate() {
                if let Some(e) = *e {
                    prop_assert_eq!(edges[e].row, row);
                    prop_assert!(!std::mem::replace(&mut used[edges[e].column], true));
                    total += edges[e].weight;
                }
            }
            // Sums of at most seven numbers below 1 in f64.
            prop_assert!((total - best(0, 7, 0, &edges)).abs() < 1e-12);
        }
    }
}
