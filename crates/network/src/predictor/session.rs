//! What one image at a time needs: threads, memory for the rows that are held, the gates of that
//! image.

use super::gates::Gated;
use super::prepared::{PreparedNetwork, write};
use crate::bands::{Band, Maker, Schedule};
use crate::graph::Graph;
use crate::machine::Machine;
use crate::output::{self, Link};
use crate::parameters::Parameters;
use crate::tiles::{DeviceError, Predict, Tile};
use stainfree_kernels::blocked::Rows;
use stainfree_kernels::link::{Planes, write_linked};
use stainfree_kernels::{Blocked, Buffer, Workers};
use std::ops::Range;
use std::sync::Arc;

/// Runs a prepared network on one image after the other, of any size that is a multiple of
/// [`Graph::multiple`]: the threads, and the memory that an image takes.
pub struct Session {
    pub(super) network: Arc<PreparedNetwork>,
    pub(super) workers: Workers,
    /// Rows of values that are held; the memory is kept from one image to the next.
    memory: Buffer,
    /// Per step: the gates of a convolution's input.
    gated: Vec<Gated>,
}

impl Session {
    /// A session of a network that no other session needs, on the threads of `machine`.
    pub fn new(machine: &Machine, graph: &Graph, parameters: &Parameters) -> Self {
        let network = PreparedNetwork::new(machine, graph, parameters);
        Self::on(machine.workers(), &Arc::new(network))
    }

    /// A session of `network` on these threads.
    pub fn on(workers: &Workers, network: &Arc<PreparedNetwork>) -> Self {
        let steps = network.lowered.program.steps.iter();
        Self {
            workers: workers.clone(),
            memory: Buffer::default(),
            gated: steps.map(|_| Gated::default()).collect(),
            network: Arc::clone(network),
        }
    }

    /// What it shares with other sessions.
    pub fn network(&self) -> &Arc<PreparedNetwork> {
        &self.network
    }

    /// The threads of its arithmetic.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// What the last convolution gives, `[channel][y][x]` (logits of the classes, then further
    /// outputs before their links), for `input`, `[channel][y][x]`.
    ///
    /// # Panics
    /// If the size is not a multiple of [`PreparedNetwork::multiple`], or `input` has another
    /// length.
    pub fn logits(&mut self, input: &[f32], height: usize, width: usize) -> Vec<f32> {
        let schedule = self.network.schedule(height, width);
        self.logits_in(&schedule, input, height, width)
    }

    pub(super) fn logits_in(
        &mut self,
        schedule: &Schedule,
        input: &[f32],
        height: usize,
        width: usize,
    ) -> Vec<f32> {
        let pixels = height * width;
        assert_eq!(
            input.len(),
            self.network.input_channels * pixels,
            "input has another size"
        );
        let line = |channel: usize, y: usize, to: &mut [f32]| {
            to.copy_from_slice(&input[channel * pixels + y * width..][..width]);
        };
        let mut logits = vec![0.0; output::channels(&self.network.outputs) * pixels];
        let workers = self.workers.clone();
        self.each_band(
            schedule,
            [height, width],
            &line,
            &mut |shape, from, rows| {
                shape.unpack_rows(&workers, from, &mut logits, rows);
            },
        );
        logits
    }

    /// Runs all bands: `line` writes row `y` of an input channel, `emit` gets rows of logits as
    /// they come.
    pub(super) fn each_band(
        &mut self,
        schedule: &Schedule,
        [height, width]: [usize; 2],
        line: &(dyn Fn(usize, usize, &mut [f32]) + Sync),
        emit: &mut (dyn FnMut(&Blocked, Rows, Range<usize>) + Send),
    ) {
        let held = self.network.held(schedule, height, width);
        // Tiles at the edge of an image need a little less than those inside; only an image far
        // smaller gives memory back.
        let (has, needs) = (self.memory.len(), held.size);
        if has < needs || has > 2 * needs {
            // The old memory is given back before the new is taken.
            self.memory = Buffer::default();
            self.memory = Buffer::zeros(held.size);
        }
        let mut memory = std::mem::take(&mut self.memory);
        let mut gated = std::mem::take(&mut self.gated);
        let network = &self.network;
        self.workers.run(|| {
            for Band { maker, rows } in &schedule.bands {
                match *maker {
                    Maker::Input => {
                        let to = write(&mut memory[held.places[0].clone()], held.kept[0]);
                        held.shapes[0].pack_rows(&self.workers, line, to, rows.clone());
                    }
                    Maker::Step(step) => {
                        let (memory, gated) = (&mut memory, &mut gated);
                        network.step(step, rows, &held, memory, gated, &self.workers);
                    }
                    Maker::Output => {
                        let last = network.lowered.program.logits;
                        emit(&held.shapes[last], held.read(&memory, last), rows.clone());
                    }
                }
            }
        });
        (self.memory, self.gated) = (memory, gated);
    }
}

impl Predict for Session {
    fn predict(&mut self, tile: &Tile, out: &mut [f32]) -> Result<(), DeviceError> {
        let [height, width] = tile.size();
        let schedule = self.network.schedule(height, width);
        let line = |channel: usize, y: usize, to: &mut [f32]| tile.row(channel, y, to);
        let [kept_rows, columns] = tile.kept();
        let workers = self.workers.clone();
        let groups = self.network.outputs.iter().map(|o| (o.link, o.channels));
        let groups: Vec<(Link, usize)> = groups.collect();
        self.each_band(
            &schedule,
            [height, width],
            &line,
            &mut |shape, logits, rows| {
                let rows = rows.start.max(kept_rows.start)..rows.end.min(kept_rows.end);
                if rows.is_empty() {
                    return;
                }
                let [height, width] = tile.out_size();
                let to = Planes {
                    data: out,
                    height,
                    width,
                    corner: tile.corner(),
                };
                let pixels = [rows, columns.clone()];
                write_linked(&workers, shape, &groups, logits, pixels, to);
            },
        );
        Ok(())
    }

    /// Rows that are held, and filters.
    fn memory_bytes(&self, height: usize, width: usize) -> usize {
        let network = &self.network;
        let schedule = Schedule::new(&network.lowered, height, width);
        let rows = network.held(&schedule, height, width).size;
        size_of::<f32>() * rows + network.filter_bytes() + network.gated_bytes()
    }
}
