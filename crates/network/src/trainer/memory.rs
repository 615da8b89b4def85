//! Where the arrays of a training step lie: all of them in one piece of memory, each only as long
//! as it is held.
//!
//! Method: the forward pass, the loss and the backward pass are one row of moments. A value is
//! written by its step and held until the last step that reads it, on the way there or back; what a
//! batch norm read and the gradients of values likewise. The step from activations to gradients
//! frees about as much as it needs. A value that costs little to make beside the convolutions
//! around it is not held between its last reader on the way there and its first on the way back: it
//! is made again, from the same numbers by the same kernel, so to the same bits.

use crate::places::{self, Lived};
use crate::program::{ConvStep, Program, Step, ValueId};
use stainfree_kernels::Blocked;
use std::ops::Range;

/// Places of all arrays of a step.
pub(super) struct StepMemory {
    /// By value: where the forward pass has it.
    pub(super) values: Vec<Range<usize>>,
    /// By value: where the backward pass has it; the same place, unless it is made again.
    pub(super) kept: Vec<Range<usize>>,
    /// By value: its gradient.
    pub(super) gradients: Vec<Range<usize>>,
    /// By step: what its batch norm reads; empty where there is none.
    pub(super) before: Vec<Range<usize>>,
    /// By step: values to make again before its gradients, in this order.
    pub(super) again: Vec<Vec<ValueId>>,
    /// By value: the step that writes it; none writes the input.
    pub(super) writers: Vec<Option<usize>>,
    /// f32 values that all of them take.
    pub(super) size: usize,
}

impl StepMemory {
    /// Places for values of `shapes`.
    pub(super) fn new(program: &Program, shapes: &[Blocked]) -> Self {
        let moments = Moments {
            steps: program.steps.len(),
        };
        let lives = Lives::new(program, &moments);
        let lens = || shapes.iter().map(Blocked::len);
        let before_lens = program.steps.iter().map(|step| shapes[step.to()].len());
        let arrays: Vec<Lived> = lens()
            .zip(&lives.values)
            .chain(lens().zip(&lives.again))
            .chain(lens().zip(&lives.gradients))
            .chain(before_lens.zip(&lives.before))
            .map(|(len, life)| Lived {
                len,
                life: life.clone(),
            })
            .collect();
        let (mut places, size) = places::lay_out(&arrays);
        let before = places.split_off(3 * shapes.len());
        let gradients = places.split_off(2 * shapes.len());
        let mut kept = places.split_off(shapes.len());
        let values = places;
        let mut again = vec![vec![]; program.steps.len()];
        for (value, life) in lives.again.iter().enumerate() {
            if life.is_empty() {
                kept[value] = values[value].clone();
            } else {
                again[moments.step_of_backward(life.start)].push(value);
            }
        }
        Self {
            values,
            kept,
            gradients,
            before,
            again,
            writers: lives.writers,
            size,
        }
    }
}

/// The order of what happens in a step of training.
struct Moments {
    /// Steps of the program.
    steps: usize,
}

impl Moments {
    /// The input is laid down.
    const INPUT: usize = 0;

    fn forward(&self, step: usize) -> usize {
        1 + step
    }

    /// The logits are given away.
    fn logits(&self) -> usize {
        1 + self.steps
    }

    /// Their gradient comes in.
    fn loss(&self) -> usize {
        2 + self.steps
    }

    fn backward(&self, step: usize) -> usize {
        2 + 2 * self.steps - step
    }

    fn step_of_backward(&self, moment: usize) -> usize {
        2 + 2 * self.steps - moment
    }
}

/// When every array is held.
struct Lives {
    /// By value: the step that writes it.
    writers: Vec<Option<usize>>,
    values: Vec<Range<usize>>,
    again: Vec<Range<usize>>,
    gradients: Vec<Range<usize>>,
    before: Vec<Range<usize>>,
}

impl Lives {
    fn new(program: &Program, moments: &Moments) -> Self {
        let count = program.values.len();
        let writers = writers(program);
        // When a value is written, last read on the way there, and first and last read on the way
        // back.
        let written: Vec<usize> = writers
            .iter()
            .map(|writer| writer.map_or(Moments::INPUT, |step| moments.forward(step)))
            .collect();
        let mut last_there = written.clone();
        let mut back: Vec<Option<[usize; 2]>> = vec![None; count];
        let mut gradients = vec![0..0; count];
        let mut before = vec![0..0; program.steps.len()];
        last_there[program.logits] = moments.logits();
        gradients[program.logits] = moments.loss()..moments.loss() + 1;
        for (index, step) in program.steps.iter().enumerate().rev() {
            let (forward, backward) = (moments.forward(index), moments.backward(index));
            gradients[step.to()].end = backward + 1;
            for value in step.reads() {
                last_there[value] = last_there[value].max(forward);
            }
            for value in step.sends_to() {
                let Range { start, end } = gradients[value];
                let begun = if start == end { backward } else { start };
                gradients[value] = begun..backward + 1;
            }
            for value in read_by_backward(program, step) {
                let [_, last] = back[value].get_or_insert([backward; 2]);
                *last = backward;
            }
            if has_norm(step) {
                before[index] = forward..backward + 1;
            }
        }
        let mut values = vec![0..0; count];
        let mut again = vec![0..0; count];
        // From the last value on: one that is made again needs others.
        for value in (0..count).rev() {
            let there = written[value]..last_there[value] + 1;
            let Some([first, last]) = back[value] else {
                values[value] = there;
                continue;
            };
            let turn = moments.backward(moments.steps - 1) - moments.forward(moments.steps - 1);
            let step = writers[value].map(|step| &program.steps[step]);
            if first - last_there[value] <= turn || !is_cheap(step) {
                values[value] = there.start..last + 1;
                continue;
            }
            (values[value], again[value]) = (there, first..last + 1);
            for needed in made_from(step) {
                let needed = back[needed].get_or_insert([first, first]);
                needed[0] = needed[0].min(first);
                needed[1] = needed[1].max(first);
            }
        }
        Self {
            writers,
            values,
            again,
            gradients,
            before,
        }
    }
}

fn writers(program: &Program) -> Vec<Option<usize>> {
    let mut writers = vec![None; program.values.len()];
    for (index, step) in program.steps.iter().enumerate() {
        writers[step.to()] = Some(index);
    }
    writers
}

fn has_norm(step: &Step) -> bool {
    matches!(step, Step::Conv(ConvStep { norm: Some(_), .. }))
}

/// Values that the gradients of `step` are made from.
fn read_by_backward(program: &Program, step: &Step) -> Vec<ValueId> {
    match step {
        Step::Conv(conv) => {
            let own = has_norm(step).then_some(conv.to);
            step.reads().into_iter().chain(own).collect()
        }
        Step::MaxPool { from, .. } => vec![*from],
        Step::Activate { from, to, .. } => vec![*from, *to],
        // Only to cut gradients off.
        Step::Add { terms, .. } => {
            let cut = terms.iter().filter(|&&term| program.values[term].bare_relu);
            cut.copied().collect()
        }
    }
}

/// Whether to make again what `step` writes (none = the input) is cheap beside the convolutions
/// that read it: the input from the planar one, the first convolution, which reads few channels,
/// and a batch norm behind a dense convolution. Where convolutions are cheap, as in the mobile
/// encoders, one more pass over memory is not.
fn is_cheap(step: Option<&Step>) -> bool {
    match step {
        None => true,
        Some(Step::Conv(conv)) => {
            conv.is_dense_3x3() && (conv.norm.is_some() || conv.reads_image_alone())
        }
        Some(Step::MaxPool { .. } | Step::Add { .. } | Step::Activate { .. }) => false,
    }
}

/// Values that making again what `step` writes reads; a batch norm reads what is kept for it.
fn made_from(step: Option<&Step>) -> Vec<ValueId> {
    step.filter(|step| !has_norm(step))
        .map(Step::reads)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encoder, Graph, UnetSpec};

    fn full_width(encoder: Encoder, [images, side]: [usize; 2]) -> (Program, Vec<Blocked>) {
        let graph = Graph::unet(&UnetSpec::new(encoder, 1.0, 3)).unwrap();
        let program = Program::new(&graph).unwrap();
        let shapes = program.shapes([images, side, side]);
        (program, shapes)
    }

    #[test]
    fn a_step_of_four_large_crops_fits_where_half_precision_activations_would() {
        let (program, shapes) = full_width(Encoder::Vgg16, [4, 640]);
        let memory = StepMemory::new(&program, &shapes);
        let gib = memory.size as f64 * 4.0 / f64::from(1 << 30);
        // Every value and what every norm reads, all held at once, are 2.8 GiB, and gradients come
        // to them.
        let whole: usize = shapes.iter().map(Blocked::len).sum();
        assert!(whole as f64 * 4.0 / f64::from(1 << 30) > 2.4);
        assert!(gib < 2.4, "{gib}");
        let lives = Lives::new(
            &program,
            &Moments {
                steps: program.steps.len(),
            },
        );
        let held = |moment: usize| {
            let of = |lives: &[Range<usize>], lens: Vec<usize>| -> usize {
                let held = lives
                    .iter()
                    .zip(lens)
                    .filter(|(life, _)| life.contains(&moment));
                held.map(|(_, len)| len).sum()
            };
            let lens = || shapes.iter().map(Blocked::len).collect::<Vec<_>>();
            let before = program
                .steps
                .iter()
                .map(|step| shapes[step.to()].len())
                .collect();
            of(&lives.values, lens())
                + of(&lives.again, lens())
                + of(&lives.gradients, lens())
                + of(&lives.before, before)
        };
        let least = (0..2 * program.steps.len() + 3).map(held).max().unwrap();
        assert!(
            memory.size as f64 <= 1.05 * least as f64,
            "{} for {least}",
            memory.size
        );
    }

    #[test]
    fn what_is_made_again_is_there_when_it_is_read() {
        for encoder in Encoder::ALL {
            let (program, shapes) = full_width(encoder, [1, 64]);
            let memory = StepMemory::new(&program, &shapes);
            let moments = Moments {
                steps: program.steps.len(),
            };
            let lives = Lives::new(&program, &moments);
            let mut made = 0;
            for (index, step) in program.steps.iter().enumerate().rev() {
                let now = moments.backward(index);
                for &value in &memory.again[index] {
                    made += 1;
                    let writer = memory.writers[value].map(|step| &program.steps[step]);
                    for needed in made_from(writer) {
                        let there = [&lives.values[needed], &lives.again[needed]];
                        assert!(
                            there.iter().any(|life| life.contains(&now)),
                            "{encoder:?} {value}"
                        );
                    }
                }
                for value in read_by_backward(&program, step) {
                    let there = match lives.again[value].is_empty() {
                        true => &lives.values[value],
                        false => &lives.again[value],
                    };
                    assert!(
                        there.contains(&now),
                        "{encoder:?}, step {index}, value {value}"
                    );
                }
            }
            assert!(made > 0, "{encoder:?}");
        }
    }
}
