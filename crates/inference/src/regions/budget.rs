//! How the cap on memory is divided where an image is computed part by part.

use stainfree_image::write::ome_tiff_rows_held;
use stainfree_network::TileOptions;
use stainfree_network::input::RowNormaliser;
use stainfree_network::output;
use stainfree_network::tiles::Predict;

use super::raw::BLOCK;
use crate::InferenceError;
use crate::cap::{Cap, beside_network};
use crate::confidence::LEAST_FEATURE_ROWS as LEAST_SURE;
use crate::predictor::Predictor;

/// Rows of the parts that are tried.
const ROWS: [usize; 9] = [768, 512, 384, 256, 192, 128, 96, 64, 32];
/// Columns of the parts that are tried.
const COLUMNS: [usize; 7] = [2048, 1024, 768, 512, 256, 128, 32];
/// Rows that nuclei are made of at once.
pub(super) const PUSHED: usize = 16;
/// Rows that nuclei may be high in any case.
const LEAST_HELD: usize = 320;
/// Rows that nuclei and clumps of them are hardly ever higher than half of.
const AMPLE_HELD: usize = 640;
/// Rows, columns and bytes a pixel of the nuclei that are parted at once.
const PARTED: [usize; 3] = [2 * LEAST_HELD, 1280, 48];

/// What an image is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Of the image.
    pub(super) image: (usize, usize),
    /// At the model's pixel size.
    pub(super) model: (usize, usize),
    pub(super) planes: usize,
    /// Maps that nuclei are made of.
    pub(super) maps: usize,
    /// Maps that confidences are told from, and those of them that nuclei are not made of; none
    /// where the model tells none.
    pub(super) features: usize,
    pub(super) carried: usize,
    /// Whether all outputs are written.
    pub(super) outputs: bool,
    pub(super) has_blank: bool,
}

/// What memory is left for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Rows and columns of a part at the model's pixel size, at most.
    pub(super) core: [usize; 2],
    /// Rows and columns that are computed around it.
    pub(super) margin: usize,
    /// The network's memory.
    pub(super) network: usize,
    /// Rows of classes and maps that may be held.
    pub(super) held: usize,
    /// Rows of labels and maps that may be held for confidences.
    pub(super) sure: usize,
}

impl Sizes {
    /// Bytes of a row that is held for confidences.
    fn sure_row(&self) -> usize {
        match self.features {
            0 => 0,
            maps => self.image.1 * (4 + 4 * maps),
        }
    }

    /// Bytes beside the network with parts of so many rows and columns, and those of a row that is
    /// held.
    fn beside(
        &self,
        predictor: &Predictor,
        [rows, columns]: [usize; 2],
        margin: usize,
    ) -> (usize, usize) {
        let (model, image) = (self.model.1, self.image.1);
        let [rows, columns] = [rows.min(self.model.0), columns.min(model)];
        let around = |side: usize, whole: usize| (side + 2 * margin).min(whole);
        let computed = around(rows, self.model.0) * around(columns, model);
        let normalisation = &predictor.info().input.normalisation;
        let blur = RowNormaliser::held_rows(normalisation, self.has_blank);
        // Those that are ready are in a file.
        let seen = 4 * self.planes * model * (BLOCK / 4 + blur);
        // Blocks as they are stored, some rows of them as numbers, and what is resampled of these.
        let read = self.planes * image * BLOCK * 8 + 12 * image.max(model) * BLOCK / 4;
        let channels = output::channels(predictor.outputs());
        let tile = 24 * computed + 12 * rows * columns * channels;
        let row = image * (1 + 1 + 4 + 4 * (self.maps + self.carried));
        // What nuclei are made of at once, and what it is read into; the row of parts is in a file.
        let told = if self.outputs { 4 * channels } else { 0 };
        let handed = (row + image * told) * 2 * PUSHED;
        let written = image * ome_tiff_rows_held(image) * (5 + told);
        let [high, wide, bytes] = PARTED;
        let parted = bytes * high.min(self.image.0) * wide.min(image);
        let sure = LEAST_SURE * self.sure_row();
        (seen + read + tile + handed + written + parted + sure, row)
    }
}

/// Rows and columns of the parts that are tried, multiples of what the network takes.
fn cores(multiple: usize) -> impl Iterator<Item = [usize; 2]> {
    let up = move |side: usize| side.next_multiple_of(multiple);
    let wide = move |rows: usize| COLUMNS.map(move |columns| [up(rows), up(columns)]);
    ROWS.into_iter().flat_map(wide)
}

/// Pixels that go through the network for each of the image's.
fn work(size: [usize; 2], core: [usize; 2], margin: usize) -> f64 {
    let along = |axis: usize| {
        let core = core[axis].min(size[axis].max(1));
        let around = if core < size[axis] { 2 * margin } else { 0 };
        // The last part is as large as the others, or nearly so.
        (size[axis].div_ceil(core) * (core + around)) as f64 / size[axis].max(1) as f64
    };
    along(0) * along(1)
}

impl Predictor {
    /// Whether the cap on memory leaves room for an image of that size in one piece, whose network
    /// may be cut into tiles.
    pub(super) fn fits(&self, sizes: &Sizes) -> bool {
        let pixels = |(height, width): (usize, usize)| height * width;
        let most = pixels(sizes.image).max(pixels(sizes.model));
        let flips = self.options.flips;
        let channels = output::channels(&self.options.outputs);
        let beside = beside_network(most, sizes.planes, channels, flips);
        let (height, width) = sizes.model;
        let network = self.cap.for_network(beside);
        // Where nothing at all is left, no cut need be looked for, which takes long.
        if network == 1 {
            return false;
        }
        let options = TileOptions {
            memory: Some(network),
            ..self.options.clone()
        };
        let longest = height.max(width);
        let cuts = stainfree_network::tiles::cuts(&self.engine, &options, [height, width], longest);
        most as u64 <= stainfree_image::MAX_PLANE_PIXELS && cuts.is_ok()
    }

    /// How memory is divided for an image of that size that is computed part by part.
    pub(super) fn budget(&self, sizes: &Sizes) -> Result<Budget, InferenceError> {
        let all = self.cap.for_network(beside_network(0, 0, 0, false));
        let options = &self.options;
        let full = options.radius.next_multiple_of(options.multiple);
        let half = (options.radius / 2).next_multiple_of(options.multiple);
        let mut least = usize::MAX;
        for margin in [full, half] {
            let mut best: Option<(f64, Budget)> = None;
            for core in cores(options.multiple) {
                let (beside, row) = sizes.beside(self, core, margin);
                let held = LEAST_HELD.min(sizes.image.0) * row;
                let work = work([sizes.model.0, sizes.model.1], core, margin);
                let is_better = best.as_ref().is_none_or(|(known, _)| work < *known);
                // Of what does not fit anyway, the network's memory need not be known.
                if beside + held > all && beside + held >= least
                    || beside + held <= all && !is_better
                {
                    continue;
                }
                let tiles = [(sizes.model.0, core[0]), (sizes.model.1, core[1])]
                    .map(|(n, core)| n.next_multiple_of(options.multiple).min(core + 2 * margin));
                let network = self.engine.memory_bytes(tiles[0], tiles[1]);
                let needed = beside + network + held;
                least = least.min(needed);
                if needed <= all {
                    let more = (all - needed) / 2 / (row + sizes.sure_row()).max(1);
                    // Higher clumps are cut; some more work is worth it.
                    let is_low = LEAST_HELD + more < sizes.image.0.min(AMPLE_HELD);
                    let cost = if is_low { 1.25 * work } else { work };
                    if best.as_ref().is_some_and(|(known, _)| cost >= *known) {
                        continue;
                    }
                    let budget = Budget {
                        core,
                        margin,
                        network: network + (all - needed) / 2,
                        held: LEAST_HELD + more,
                        sure: LEAST_SURE + more,
                    };
                    best = Some((cost, budget));
                }
            }
            if let Some((_, budget)) = best {
                return Ok(budget);
            }
        }
        Err(InferenceError::Memory {
            cap: self.cap.0,
            needed: Cap::leaving(least + beside_network(0, 0, 0, false)).0,
        })
    }
}
