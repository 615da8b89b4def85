//! A model ready to predict fields, within a cap on memory.

use std::path::Path;

use stainfree_image::{Dataset, Field, Image, Plane};
use stainfree_network::model::{Model, ModelInfo};
use stainfree_network::resample::{ResampleError, resample, resampled_size};
use stainfree_network::tiles::{
    TileError, TileOptions, cut_margin, needed_for_whole, predict_image,
};
use stainfree_network::{CpuPredictor, Isa, Precision, Workers};
use stainfree_objects::{
    BACKGROUND, CleanUp, IGNORED, NUCLEUS, blank_regions, blank_share, nuclei_from_prediction,
    nuclei_from_scheme_b,
};

use crate::ProjectError;
use crate::evaluation::evaluate;
use crate::study::Brightfield;
use crate::study::beside_model::{self, InputChannels};
use crate::study::channels::{find_channel, guess_brightfield};
use crate::training::train::{full_range, network_input, resample_blank, without_blanks};

/// Cap on memory unless told otherwise: results must not depend on the machine, so it is a number.
pub(crate) const DEFAULT_MEMORY: usize = 4 << 30;
/// What the program takes beside images and network: code, threads, tables.
const BASE: usize = 64 << 20;
/// One part in so many of the cap is for the work of threads, however many there are, since how a
/// field is cut must not depend on them.
const PARTS_ONE_FOR_THREADS: usize = 8;

/// The smallest cap that leaves `bytes` beside the part for threads.
fn cap_for(bytes: usize) -> usize {
    (bytes * PARTS_ONE_FOR_THREADS).div_ceil(PARTS_ONE_FOR_THREADS - 1)
}

/// Threads that the network may have under a cap, of those asked for: each takes `scratch` bytes.
fn affordable(threads: usize, memory: usize, scratch: usize) -> usize {
    (memory / PARTS_ONE_FOR_THREADS / scratch.max(1)).clamp(1, threads.max(1))
}

/// A loaded model: what is known about it, and its predictor, which holds its numbers.
pub(crate) struct Engine {
    pub(crate) info: ModelInfo,
    pub(crate) hash: String,
    /// Keys of its `model.toml` that this version has passed over.
    ignored: Vec<String>,
    channels: Option<InputChannels>,
    predictor: CpuPredictor,
    options: TileOptions,
    memory: usize,
    remarks: Remarks,
}

/// What the user should know about how fields are computed, each said once.
#[derive(Default)]
struct Remarks {
    /// Sentences that nobody has taken yet.
    new: Vec<String>,
    /// Whether one of them, now or before, was about tiles: they are much the same for all fields.
    tiles: bool,
}

impl Remarks {
    fn add(&mut self, sentence: String) {
        self.new.push(sentence);
    }

    /// Adds what `sentence` says of tiles, unless something was said of them before.
    fn add_on_tiles(&mut self, sentence: impl FnOnce() -> Option<String>) {
        let new = if self.tiles { None } else { sentence() };
        self.tiles |= new.is_some();
        self.new.extend(new);
    }

    fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.new)
    }
}

/// What the network says about a field.
pub(crate) struct Pixels {
    /// One plane a class.
    pub(crate) probabilities: Vec<Image<f32>>,
    /// Class of the largest probability; ignored where the image shows nothing.
    pub(crate) classes: Image<u8>,
    /// Share of the pixels that show nothing.
    pub(crate) blank_share: f64,
}

/// Nucleus instances of a predicted field.
pub(crate) struct Nuclei {
    /// 0 is background.
    pub(crate) labels: Image<u32>,
    /// Their number.
    pub(crate) count: usize,
}

/// The classes of scheme B, in their order.
const SCHEME_B: [&str; 4] = ["background", "nucleus", "boundary", "split"];

/// The nuclei among predicted `classes`, cleaned up and parted by shape, or by the predicted lines
/// where `names` are those of scheme B; `model_um` is the pixel size the model was trained at, for
/// fields that do not know theirs.
pub(crate) fn nuclei(
    field: &Field,
    classes: &Image<u8>,
    names: &[String],
    model_um: Option<f64>,
) -> Result<Nuclei, ProjectError> {
    // A mitotic nucleus is a nucleus, whatever its class.
    let mitotic = names
        .iter()
        .position(|name| name == crate::study::config::MITOTIC);
    let is_mitotic = |class: u8| Some(usize::from(class)) == mitotic;
    let classes = classes.map(|&class| if is_mitotic(class) { NUCLEUS } else { class });
    let pixel_um = field.pixel_um.or(model_um);
    let clean_up = CleanUp::default();
    let scheme_b = names.iter().map(String::as_str).take(SCHEME_B.len());
    let found = if scheme_b.eq(SCHEME_B) {
        nuclei_from_scheme_b(&classes, pixel_um, &clean_up)
    } else {
        let mask = classes.map(|&class| class == NUCLEUS);
        nuclei_from_prediction(&mask, pixel_um, &clean_up)
    };
    let found =
        found.map_err(|error| ProjectError::Field(format!("field `{}`: {error}", field.name)))?;
    Ok(Nuclei {
        labels: found.image,
        count: found.count,
    })
}

impl Engine {
    /// Loads the model folder. `memory` caps what a field takes, in bytes; `precision` is that of
    /// the products.
    pub(crate) fn load(
        folder: &Path,
        threads: usize,
        memory: usize,
        flips: bool,
        precision: Precision,
    ) -> Result<Self, ProjectError> {
        let model = Model::load(folder)?;
        let channels = beside_model::input_channels(folder, &model.info.hashes)?;
        let isa = Isa::choose(precision).map_err(ProjectError::Failed)?;
        let mut predictor = CpuPredictor::new(&model.graph, &model.parameters, threads, isa);
        let afforded = affordable(threads, memory, predictor.scratch_bytes());
        let mut remarks = Remarks::default();
        if afforded < threads {
            remarks.add(format!(
                "{afforded} of {threads} threads compute, to keep to {} of memory; `--memory {}` \
                 or more is enough for all",
                mebibytes(memory),
                mebibytes(threads * predictor.scratch_bytes() * PARTS_ONE_FOR_THREADS)
            ));
            predictor = predictor.with_threads(afforded);
        }
        let options = TileOptions {
            flips,
            ..TileOptions::new(&model.graph)
        };
        Ok(Self {
            hash: model.hash(),
            info: model.info,
            ignored: model.ignored,
            channels,
            predictor,
            options,
            memory,
            remarks,
        })
    }

    /// Sentences on the fields predicted so far that the user should read; each is given once.
    pub(crate) fn take_remarks(&mut self) -> Vec<String> {
        self.remarks.take()
    }

    /// Which planes of `dataset` the model reads: as asked, else those of its training, else by
    /// name.
    pub(crate) fn brightfield(
        &self,
        dataset: &Dataset,
        asked: &[String],
        planes: &[usize],
    ) -> Result<Brightfield, ProjectError> {
        let index = |name: &String| {
            find_channel(dataset, name).map_err(|text| {
                ProjectError::Channel(format!("{text}; choose with `--brightfield`"))
            })
        };
        let known = self.channels.as_ref();
        let chosen_planes = if planes.is_empty() {
            known.map_or(&[][..], |channels| &channels.planes)
        } else {
            planes
        };
        let names: Vec<String> = if !asked.is_empty() {
            asked.to_vec()
        } else if let Some(known) = known.filter(|known| {
            known
                .brightfield
                .iter()
                .all(|name| find_channel(dataset, name).is_ok())
        }) {
            known.brightfield.clone()
        } else {
            guess_brightfield(&dataset.channels).ok_or_else(|| {
                let listed: Vec<String> = dataset
                    .channels
                    .iter()
                    .map(|name| format!("`{name}`"))
                    .collect();
                let trained =
                    known.map_or("unknown".to_owned(), |known| known.brightfield.join(", "));
                ProjectError::Channel(format!(
                    "`{}` has no channel like the model's brightfield `{trained}` (channels: {}); \
                     choose with `--brightfield`",
                    dataset.root.display(),
                    listed.join(", ")
                ))
            })?
        };
        let channels = names.iter().map(index).collect::<Result<Vec<_>, _>>()?;
        Ok(Brightfield {
            channels,
            planes: chosen_planes.to_vec(),
        })
    }

    /// What a user should know about the model's folder.
    pub(crate) fn unknown_keys(&self) -> Option<String> {
        let keys: Vec<String> = self.ignored.iter().map(|key| format!("`{key}`")).collect();
        (!keys.is_empty()).then(|| {
            format!(
                "`model.toml`, written by `{}`, has keys that this version does not know ({}): \
                 they say how the model was made and change no prediction",
                self.info.program,
                keys.join(", ")
            )
        })
    }

    /// The threads of the network.
    pub(crate) fn workers(&self) -> &Workers {
        self.predictor.workers()
    }

    /// Predicts a field from its brightfield planes.
    pub(crate) fn predict(
        &mut self,
        field: &Field,
        planes: &[Plane],
    ) -> Result<Pixels, ProjectError> {
        let workers = self.workers().clone();
        workers.run(|| self.predict_here(field, planes))
    }

    fn predict_here(&mut self, field: &Field, planes: &[Plane]) -> Result<Pixels, ProjectError> {
        let fail = |error: &dyn std::fmt::Display| {
            ProjectError::Field(format!("field `{}`: {error}", field.name))
        };
        // A model of one plane reads the middle one of a stack.
        let planes: Vec<&Plane> = match (self.info.input.planes, planes.len()) {
            (1, 3) => vec![&planes[1]],
            _ => planes.iter().collect(),
        };
        let full_range = full_range(planes[0]);
        let raw: Vec<Image<f32>> = planes.iter().map(|plane| plane.to_f32()).collect();
        let (mut raw, blank) = without_blanks(raw);
        if blank
            .as_ref()
            .is_some_and(|blank| !blank.data().contains(&false))
        {
            return Err(ProjectError::NothingSeen {
                field: field.name.clone(),
            });
        }
        let (height, width) = raw[0].size();
        let other = self
            .other_size(field, [height, width])
            .map_err(|error| fail(&error))?;
        let mut blank_there = blank.clone();
        if let Some([height, width]) = other {
            for plane in &mut raw {
                *plane = resample(plane, height, width);
            }
            blank_there = blank_there.map(|blank| resample_blank(&blank, height, width));
        }
        let shown = height * width;
        let mut probabilities = self.probabilities(field, raw, blank_there, full_range, shown)?;
        if other.is_some() {
            for plane in &mut probabilities {
                *plane = resample(plane, height, width);
            }
        }
        let mut classes = evaluate::largest(&probabilities);
        let regions = blank.as_ref().and_then(blank_regions);
        if let Some(regions) = &regions {
            leave_open(&mut classes, &mut probabilities, regions);
        }
        Ok(Pixels {
            probabilities,
            classes,
            blank_share: blank_share(regions.as_ref()),
        })
    }

    /// The size at which the model reads a field of this size, where that is another.
    fn other_size(
        &self,
        field: &Field,
        size: [usize; 2],
    ) -> Result<Option<[usize; 2]>, ResampleError> {
        match (field.pixel_um, self.info.pixel_um) {
            (Some(from), Some(to)) if self.info.recipe.rescale => resampled_size(size, from, to),
            _ => Ok(None),
        }
    }

    /// What tiles change in a field of this size, beside whose network `beside` bytes are taken.
    fn remark_on_tiles(
        &self,
        field: &Field,
        [height, width]: [usize; 2],
        beside: usize,
    ) -> Option<String> {
        let cap = |needed: usize| mebibytes(cap_for(needed + beside));
        let (predictor, options) = (&self.predictor, &self.options);
        let how = if let Some(needed) = needed_for_whole(predictor, options, height, width) {
            format!(
                ", and this network weighs channels by their means over a tile, so classes may \
                 differ from those of the image in one piece; `--memory {}` or more computes it in \
                 one piece",
                cap(needed)
            )
        } else {
            let cut = cut_margin(predictor, options, height, width)?;
            format!(
                ", with a margin of {} instead of {} pixels, so classes near the seams may differ; \
                 `--memory {}` or more gives the full margin",
                cut.margin,
                cut.full,
                cap(cut.needed)
            )
        };
        Some(format!(
            "field `{}` of {height} x {width} pixels is computed in tiles to keep to {}{how}",
            field.name,
            mebibytes(self.memory)
        ))
    }

    /// Probabilities of planes at the model's pixel size; `shown` is the number of pixels of the
    /// field itself.
    fn probabilities(
        &mut self,
        field: &Field,
        raw: Vec<Image<f32>>,
        blank: Option<Image<bool>>,
        full_range: f32,
        shown: usize,
    ) -> Result<Vec<Image<f32>>, ProjectError> {
        let fail = |error: &dyn std::fmt::Display| {
            ProjectError::Field(format!("field `{}`: {error}", field.name))
        };
        let (height, width) = raw[0].size();
        let classes = self.predictor.classes();
        // Raw and normalised planes, the network's input, probabilities twice, classes and labels;
        // the raw planes of the field that is read meanwhile, and masks of the one before.
        let images = 4
            * shown.max(height * width)
            * (3 * raw.len() + 3 + 2 * classes + 5)
            * if self.options.flips { 2 } else { 1 };
        let beside = images + BASE;
        let without_threads = self.memory - self.memory / PARTS_ONE_FOR_THREADS;
        self.options.memory = Some(without_threads.saturating_sub(beside).max(1));
        let mut remarks = std::mem::take(&mut self.remarks);
        remarks.add_on_tiles(|| self.remark_on_tiles(field, [height, width], beside));
        self.remarks = remarks;
        let input = network_input(&self.info.input, &raw, full_range, blank.as_ref())
            .map_err(|error| fail(&error))?;
        drop(raw);
        let all = predict_image(&mut self.predictor, &input, height, width, &self.options)
            .map_err(|error| match error {
                TileError::Memory { needed, .. } => fail(&format!(
                    "{} of memory are too little for its smallest tile; allow `--memory {}` or \
                     more",
                    mebibytes(self.memory),
                    mebibytes(cap_for(needed + beside))
                )),
                error @ TileError::NotFinite { .. } => fail(&error),
            })?;
        drop(input);
        Ok(planes_of(all, classes, height, width))
    }
}

/// Where nothing was seen, nothing is said: the class is ignored, and none but the background is
/// probable.
fn leave_open(classes: &mut Image<u8>, probabilities: &mut [Image<f32>], regions: &Image<bool>) {
    let open = |i: &usize| regions.data()[*i];
    for i in (0..regions.data().len()).filter(open) {
        classes.data_mut()[i] = IGNORED;
        for (class, plane) in probabilities.iter_mut().enumerate() {
            let is_background = class == usize::from(BACKGROUND);
            plane.data_mut()[i] = if is_background { 1.0 } else { 0.0 };
        }
    }
}

/// `[class][y][x]` as one image a class; never more than one of them in memory twice.
fn planes_of(mut all: Vec<f32>, classes: usize, height: usize, width: usize) -> Vec<Image<f32>> {
    let mut planes = Vec::with_capacity(classes);
    for class in (0..classes).rev() {
        let plane = all.split_off(class * height * width);
        all.shrink_to_fit();
        planes.push(Image::new(height, width, plane));
    }
    planes.reverse();
    planes
}

/// As `--memory` takes it, rounded up.
fn mebibytes(bytes: usize) -> String {
    format!("{}MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_on_threads_keeps_none_on_tiles_from_being_said() {
        let mut remarks = Remarks::default();
        remarks.add("threads".into());
        remarks.add_on_tiles(|| None);
        remarks.add_on_tiles(|| Some("tiles".into()));
        assert_eq!(remarks.take(), ["threads", "tiles"]);
        // Another field says the same of tiles.
        remarks.add_on_tiles(|| Some("tiles again".into()));
        assert!(remarks.take().is_empty());
    }
}
