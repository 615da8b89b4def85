//! What an optimiser holds of an array.

use stainfree_kernels::adam::{self, AdamNumbers};
use stainfree_kernels::{Buffer, Isa, Workers};

/// A trained array with its gradient and moments, in the executor's order.
pub(super) struct Trained {
    pub(super) name: String,
    pub(super) values: Buffer,
    pub(super) gradient: Buffer,
    first: Buffer,
    second: Buffer,
}

impl Trained {
    pub(super) fn new(name: &str, len: usize) -> Self {
        let [values, gradient, first, second] = [(); 4].map(|()| Buffer::zeros(len));
        Self {
            name: name.to_string(),
            values,
            gradient,
            first,
            second,
        }
    }

    /// One step of Adam along the gradient.
    pub(super) fn update(&mut self, isa: Isa, workers: &Workers, numbers: &AdamNumbers) {
        let Self {
            values,
            gradient,
            first,
            second,
            ..
        } = self;
        adam::update(isa, workers, numbers, gradient, values, first, second);
    }

    pub(super) fn part(&self, which: Which) -> &Buffer {
        match which {
            Which::Values => &self.values,
            Which::Gradient => &self.gradient,
            Which::First => &self.first,
            Which::Second => &self.second,
        }
    }

    pub(super) fn part_mut(&mut self, which: Which) -> &mut Buffer {
        match which {
            Which::Values => &mut self.values,
            Which::Gradient => &mut self.gradient,
            Which::First => &mut self.first,
            Which::Second => &mut self.second,
        }
    }
}

/// One of the four arrays of a [`Trained`].
#[derive(Clone, Copy)]
pub(super) enum Which {
    Values,
    Gradient,
    First,
    Second,
}
