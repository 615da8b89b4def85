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

/// Sides of the parts that are tried, the first that fits is taken: larger ones lose less to their
/// margins, and more gain little.
const SIDES: [usize; 7] = [768, 512, 384, 256, 128, 64, 32];
/// Rows that nuclei may be high in any case.
const LEAST_HELD: usize = 320;
/// Rows, columns and bytes a pixel of the nuclei that are parted at once.
const PARTED: [usize; 3] = [1024, 1280, 48];

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
    /// Side of a part at the model's pixel size, at most.
    pub(super) side: usize,
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

    /// Bytes beside the network with parts of this side, and those of a row that is held.
    fn beside(&self, predictor: &Predictor, side: usize, margin: usize) -> (usize, usize) {
        let (model, image) = (self.model.1, self.image.1);
        let normalisation = &predictor.info().input.normalisation;
        let blur = RowNormaliser::held_rows(normalisation, self.has_blank);
        let seen = 4 * self.planes * model * (side + 2 * margin + BLOCK / 4 + blur);
        // Blocks as they are stored, some rows of them as numbers, and what is resampled of these.
        let read = self.planes * image * BLOCK * 8 + 12 * image.max(model) * BLOCK / 4;
        let channels = output::channels(predictor.outputs());
        let tile = 4 * (side + 2 * margin).pow(2) * 6 + 4 * side * side * 3 * channels;
        let row = image * (1 + 1 + 4 + 4 * (self.maps + self.carried));
        let handed = 2 * row * side;
        let written =
            image * ome_tiff_rows_held(image) * (5 + if self.outputs { 4 * channels } else { 0 });
        let [rows, columns, bytes] = PARTED;
        let parted = bytes * rows.min(self.image.0) * columns.min(image);
        let sure = LEAST_SURE * self.sure_row();
        (seen + read + tile + handed + written + parted + sure, row)
    }
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
            for side in SIDES {
                let side = side.next_multiple_of(options.multiple);
                let (beside, row) = sizes.beside(self, side, margin);
                let tile = side + 2 * margin;
                let tiles = [sizes.model.0, sizes.model.1]
                    .map(|n| n.next_multiple_of(options.multiple).min(tile));
                let network = self.engine.memory_bytes(tiles[0], tiles[1]);
                let held = LEAST_HELD.min(sizes.image.0) * row;
                let needed = beside + network + held;
                least = least.min(needed);
                if needed <= all {
                    let more = (all - needed) / 2 / (row + sizes.sure_row()).max(1);
                    return Ok(Budget {
                        side,
                        // Some cuts have narrower tiles that take a little more.
                        network: network + (all - needed) / 2,
                        held: LEAST_HELD + more,
                        sure: LEAST_SURE + more,
                    });
                }
            }
        }
        Err(InferenceError::Memory {
            cap: self.cap.0,
            needed: Cap::leaving(least + beside_network(0, 0, 0, false)).0,
        })
    }
}
