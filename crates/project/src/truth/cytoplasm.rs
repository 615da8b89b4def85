//! The cytoplasm of a field's truth: from a stain, or from masks of whole cells.

use std::path::Path;

use stainfree_image::Image;
use stainfree_objects::{
    StainNumbers, Verdict, bleed_through, cells_from_nuclei, joined, segment_cytoplasm_besides,
};

use super::fixes::Corrected;
use super::given::{Inputs, NoTruth, in_field, read_cells, read_stain};
use super::nuclei::Nuclei;
use super::stain::Stain;
use crate::study::config::{CytoplasmFrom, MissingCells};

/// The cytoplasm of a field, and what is known of it.
#[derive(Default)]
pub(super) struct Cytoplasm {
    pub(super) mask: Option<Image<bool>>,
    /// Whole cells, each with the label of its nucleus.
    pub(super) cells: Option<Image<u32>>,
    /// It was not given, and nothing is said outside of nuclei.
    pub(super) is_unknown: bool,
    /// Pixels of which nothing is said.
    pub(super) ignore: Option<Image<bool>>,
    /// Pixels at which the stain shows nothing.
    pub(super) blank: Option<Image<bool>>,
    pub(super) threshold: Option<f64>,
    pub(super) numbers: Option<StainNumbers>,
    pub(super) bleed_through: Option<f64>,
    pub(super) verdicts: Vec<(&'static str, Verdict)>,
}

impl Cytoplasm {
    /// Finds it where the study says, around `nuclei`.
    ///
    /// # Errors
    /// There is no truth of this field, or something is wrong with it.
    pub(super) fn find(inputs: &Inputs, nuclei: &Nuclei) -> Result<Self, NoTruth> {
        match inputs.truth.cytoplasm_from() {
            CytoplasmFrom::Nothing => Ok(Self::default()),
            CytoplasmFrom::Stain(channel) => Self::of_stain(inputs, channel, nuclei),
            CytoplasmFrom::Cells(folder) => Self::of_cells(inputs, folder),
        }
    }

    fn of_stain(inputs: &Inputs, channel: &str, nuclei: &Nuclei) -> Result<Self, NoTruth> {
        let field = inputs.field;
        let plane = read_stain(field, inputs.source.cytoplasm, channel, inputs.size)?;
        let corrected = Corrected::new(plane.to_f32(), &inputs.fixes.cytoplasm);
        let stain = &corrected.stain;
        let settings = &inputs.truth.cytoplasm_settings;
        let blank = corrected.blank.as_ref();
        let found = segment_cytoplasm_besides(stain, blank, field.pixel_um, settings)
            .map_err(|e| in_field(field, e))?;
        let limits = &settings.quality;
        let (numbers, mut verdicts) = corrected.judge(
            Stain::Cytoplasm,
            &found.mask,
            found.numbers,
            found.quality,
            limits,
        );
        let mut bleed = None;
        if let Some(nuclear) = &nuclei.stain {
            bleed =
                bleed_through(nuclear, stain, &nuclei.labels).map_err(|e| in_field(field, e))?;
            let verdict = bleed.and_then(|number| Verdict::of_bleed_through(number, limits));
            verdicts.extend(verdict.map(|verdict| (Stain::Cytoplasm.name(), verdict)));
        }
        let cells = cells_from_nuclei(&nuclei.labels, &found.mask, &found.flat);
        Ok(Self {
            cells: Some(cells.map_err(|e| in_field(field, e))?),
            ignore: joined(Some(found.ignore), corrected.unknown),
            blank: corrected.blank,
            threshold: Some(f64::from(found.threshold)),
            numbers: Some(numbers),
            bleed_through: bleed,
            verdicts,
            mask: Some(found.mask),
            is_unknown: false,
        })
    }

    fn of_cells(inputs: &Inputs, folder: &Path) -> Result<Self, NoTruth> {
        let file = inputs.files.cells.get(&inputs.field.name);
        match (file, inputs.truth.missing_cells) {
            (Some(file), _) => {
                let mask = read_cells(file, inputs.at, inputs.size)?;
                Ok(Self {
                    ignore: inputs.given.unknown(inputs.size),
                    mask: Some(inputs.given.place(mask)),
                    ..Self::default()
                })
            }
            (None, MissingCells::Skip) => Err(NoTruth::Left(format!(
                "no cell mask in `{}`",
                folder.display()
            ))),
            (None, MissingCells::Ignore) => Ok(Self {
                is_unknown: true,
                ..Self::default()
            }),
        }
    }
}
