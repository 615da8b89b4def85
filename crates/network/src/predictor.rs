//! Prediction on the CPU: batch norms folded into the filters, rows made in the order of `bands`.

use crate::bands::{Band, Maker, Schedule};
use crate::graph::Graph;
use crate::parameters::Parameters;
use crate::plan::{ConvStep, Plan, Step};
use crate::tiles::{Predict, Tile};
use stainfree_kernels::blocked::{Rows, RowsMut, blocks};
use stainfree_kernels::elementwise::Planes;
use stainfree_kernels::winograd::{Conv, Epilogue, FilterBank, Part};
use stainfree_kernels::{Blocked, Buffer, Isa, LANES, Workers, elementwise, max_pool};
use std::ops::Range;

/// Runs one network on single images of any size that is a multiple of [`Graph::multiple`].
pub struct CpuPredictor {
    isa: Isa,
    workers: Workers,
    plan: Plan,
    /// Per step: transformed filters and bias of a convolution.
    layers: Vec<Option<Layer>>,
    /// Rows of every value of the plan that are held; the memory is kept from one image to the next.
    values: Vec<Buffer>,
    multiple: usize,
    classes: usize,
    input_channels: usize,
}

struct Layer {
    filters: Buffer,
    bias: Vec<f32>,
}

impl CpuPredictor {
    /// Prepares `parameters` for prediction with `threads` threads.
    pub fn new(graph: &Graph, parameters: &Parameters, threads: usize, isa: Isa) -> Self {
        let (plan, workers) = (Plan::new(graph), Workers::new(threads));
        let layers = plan
            .steps
            .iter()
            .map(|step| match step {
                Step::Conv(step) => Some(Layer::new(isa, &workers, &plan, step, parameters)),
                Step::MaxPool { .. } => None,
            })
            .collect();
        let (multiple, classes) = (graph.multiple(), graph.classes());
        Self {
            isa,
            workers,
            plan,
            layers,
            values: vec![],
            multiple,
            classes,
            input_channels: graph.input_channels(),
        }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Heights and widths must be a multiple of this.
    pub fn multiple(&self) -> usize {
        self.multiple
    }

    /// Logits `[class][y][x]` of `input`, `[channel][y][x]`.
    ///
    /// # Panics
    /// If the size is not a multiple of [`Self::multiple`], or `input` has another length.
    pub fn logits(&mut self, input: &[f32], height: usize, width: usize) -> Vec<f32> {
        let schedule = self.schedule(height, width);
        self.logits_in(&schedule, input, height, width)
    }

    fn schedule(&self, height: usize, width: usize) -> Schedule {
        let fits = height.is_multiple_of(self.multiple) && width.is_multiple_of(self.multiple);
        assert!(
            fits && height * width > 0,
            "sizes must be a multiple of {}",
            self.multiple
        );
        Schedule::new(&self.plan, height, width)
    }

    fn logits_in(
        &mut self,
        schedule: &Schedule,
        input: &[f32],
        height: usize,
        width: usize,
    ) -> Vec<f32> {
        let pixels = height * width;
        assert_eq!(
            input.len(),
            self.input_channels * pixels,
            "input has another size"
        );
        let line = |channel: usize, y: usize, to: &mut [f32]| {
            to.copy_from_slice(&input[channel * pixels + y * width..][..width]);
        };
        let mut logits = vec![0.0; self.classes * pixels];
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

    /// Runs all bands: `line` writes row `y` of an input channel, `emit` gets rows of logits as they come.
    fn each_band(
        &mut self,
        schedule: &Schedule,
        [height, width]: [usize; 2],
        line: &(dyn Fn(usize, usize, &mut [f32]) + Sync),
        emit: &mut (dyn FnMut(&Blocked, Rows, Range<usize>) + Send),
    ) {
        let shapes = self.shapes(height, width);
        self.reserve(&shapes, schedule);
        let mut values = std::mem::take(&mut self.values);
        let kept = &schedule.kept;
        self.workers.run(|| {
            for Band { maker, rows } in &schedule.bands {
                match *maker {
                    Maker::Input => {
                        let to = write(&mut values[0], kept[0]);
                        shapes[0].pack_rows(&self.workers, line, to, rows.clone());
                    }
                    Maker::Step(step) => self.step(step, rows, &shapes, kept, &mut values),
                    Maker::Output => {
                        let last = self.plan.logits;
                        emit(&shapes[last], read(&values[last], kept[last]), rows.clone());
                    }
                }
            }
        });
        self.values = values;
    }

    /// Makes room for the rows of every value that are held.
    fn reserve(&mut self, shapes: &[Blocked], schedule: &Schedule) {
        self.values.resize_with(shapes.len(), Buffer::default);
        for ((value, shape), &kept) in self.values.iter_mut().zip(shapes).zip(&schedule.kept) {
            let len = held(shape, kept);
            if value.len() != len {
                // The old memory is given back before the new is taken.
                *value = Buffer::default();
                *value = Buffer::zeros(len);
            }
        }
    }

    /// Makes `rows` of what a step writes.
    fn step(
        &self,
        step: usize,
        rows: &Range<usize>,
        shapes: &[Blocked],
        kept: &[usize],
        values: &mut [Buffer],
    ) {
        let rows = rows.clone();
        let to = self.plan.steps[step].to();
        // Taken out while it is written, so that the others can be read.
        let mut out = std::mem::take(&mut values[to]);
        let target = write(&mut out, kept[to]);
        let value = |id: usize| read(&values[id], kept[id]);
        match (&self.plan.steps[step], &self.layers[step]) {
            (Step::Conv(step), Some(layer)) => {
                let inputs: Vec<Rows> = step.inputs.iter().map(|i| value(i.value)).collect();
                let conv = conv(self.isa, &self.plan, step, &shapes[to]);
                let epilogue = Epilogue {
                    bias: Some(&layer.bias),
                    relu: step.relu,
                };
                let filters = &layer.filters;
                conv.forward_rows(&self.workers, &inputs, filters, epilogue, target, rows);
            }
            (Step::MaxPool { from, .. }, _) => {
                let (shape, x) = (&shapes[*from], value(*from));
                max_pool::forward_rows(self.isa, &self.workers, shape, x, target, rows);
            }
            (Step::Conv(_), None) => unreachable!("every convolution has its filters"),
        }
        values[to] = out;
    }

    fn shapes(&self, height: usize, width: usize) -> Vec<Blocked> {
        let shape = |level: usize, channels| Blocked {
            images: 1,
            channels,
            height: height >> level,
            width: width >> level,
        };
        self.plan
            .values
            .iter()
            .map(|v| shape(v.level, v.channels))
            .collect()
    }
}

impl Predict for CpuPredictor {
    fn predict(&mut self, tile: &Tile, out: &mut [f32]) {
        let [height, width] = tile.size();
        let schedule = self.schedule(height, width);
        let line = |channel: usize, y: usize, to: &mut [f32]| tile.row(channel, y, to);
        let [kept_rows, columns] = tile.kept();
        let workers = self.workers.clone();
        self.each_band(
            &schedule,
            [height, width],
            &line,
            &mut |shape, logits, rows| {
                let rows = rows.start.max(kept_rows.start)..rows.end.min(kept_rows.end);
                if rows.is_empty() {
                    return;
                }
                let [height, width] = tile.image_size();
                let to = Planes {
                    data: out,
                    height,
                    width,
                    corner: tile.corner(),
                };
                elementwise::softmax(&workers, shape, logits, rows, columns.clone(), to);
            },
        );
    }

    /// Rows that are held, and filters.
    fn memory_bytes(&self, height: usize, width: usize) -> usize {
        let kept = Schedule::new(&self.plan, height, width).kept;
        let shapes = self.shapes(height, width);
        let rows: usize = shapes.iter().zip(kept).map(|(s, k)| held(s, k)).sum();
        let filters: usize = self.layers.iter().flatten().map(|l| l.filters.len()).sum();
        size_of::<f32>() * (rows + filters)
    }
}

/// Values in `kept` rows of an array.
fn held(shape: &Blocked, kept: usize) -> usize {
    let rows = Blocked {
        height: kept,
        ..*shape
    };
    rows.len()
}

fn read(data: &[f32], kept: usize) -> Rows<'_> {
    Rows { data, kept }
}

fn write(data: &mut [f32], kept: usize) -> RowsMut<'_> {
    RowsMut { data, kept }
}

fn parts(plan: &Plan, step: &ConvStep) -> Vec<Part> {
    let part = |i: &crate::plan::Input| Part {
        channels: plan.values[i.value].channels,
        upsampled: i.upsampled,
    };
    step.inputs.iter().map(part).collect()
}

fn conv(isa: Isa, plan: &Plan, step: &ConvStep, out: &Blocked) -> Conv {
    Conv::new(
        isa,
        out.images,
        out.height,
        out.width,
        &parts(plan, step),
        out.channels,
    )
}

impl Layer {
    fn new(
        isa: Isa,
        workers: &Workers,
        plan: &Plan,
        step: &ConvStep,
        parameters: &Parameters,
    ) -> Self {
        let outputs = plan.values[step.to].channels;
        let mut weights = parameters.values(&step.weight).to_vec();
        let mut bias = vec![0.0; blocks(outputs) * LANES];
        if let Some(name) = &step.bias {
            bias[..outputs].copy_from_slice(parameters.values(name));
        }
        if let Some(norm) = &step.norm {
            let get = |name: &str| parameters.values(&format!("{}.{name}", norm.prefix));
            let (gamma, beta) = (get("weight"), get("bias"));
            let (mean, variance) = (get("running_mean"), get("running_var"));
            let filter = weights.len() / outputs;
            for k in 0..outputs {
                let scale = f64::from(gamma[k]) / (f64::from(variance[k]) + norm.epsilon).sqrt();
                bias[k] = (f64::from(beta[k]) - scale * f64::from(mean[k])) as f32;
                for w in &mut weights[k * filter..(k + 1) * filter] {
                    *w = (f64::from(*w) * scale) as f32;
                }
            }
        }
        let channels: Vec<usize> = parts(plan, step).iter().map(|p| p.channels).collect();
        let bank = FilterBank::new(isa, &channels, outputs);
        let mut blocked = Buffer::zeros(bank.blocked_len());
        bank.block(&weights, &mut blocked);
        let mut filters = Buffer::default();
        bank.transform(workers, &blocked, &mut filters);
        Self { filters, bias }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encoder, UnetSpec};

    #[test]
    fn bands_give_what_the_whole_image_gives() {
        let graph = Graph::unet(&UnetSpec::new(Encoder::Vgg16, 0.25, 3)).unwrap();
        let parameters = Parameters::initialise(&graph, 3);
        let (height, width) = (416, 96);
        let input: Vec<f32> = (0..3 * height * width)
            .map(|i| ((i * 7919) % 2003) as f32 / 1000.0 - 1.0)
            .collect();
        let norm =
            |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        for isa in Isa::available() {
            let mut predictor = CpuPredictor::new(&graph, &parameters, 2, isa);
            let whole = Schedule::with_tiles(&predictor.plan, height, width, |_| usize::MAX / 8);
            let expected = predictor.logits_in(&whole, &input, height, width);
            for tiles in [1, 30, 100] {
                let bands = Schedule::with_tiles(&predictor.plan, height, width, |_| tiles);
                assert!(
                    bands.kept.iter().sum::<usize>() < whole.kept.iter().sum::<usize>() * 3 / 4,
                    "nothing is given up"
                );
                let found = predictor.logits_in(&bands, &input, height, width);
                let error = norm(&mut found.iter().zip(&expected).map(|(a, b)| a - b));
                // Two sums of f32 in different order, 23 layers deep; a wrong row would be of the order of 1.
                let relative = error / norm(&mut expected.iter().copied());
                assert!(
                    relative < 1e-5,
                    "{}, {tiles} tiles: {relative:e}",
                    isa.name()
                );
            }
        }
    }
}
