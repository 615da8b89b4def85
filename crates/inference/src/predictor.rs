//! A model ready to predict images, within a cap on memory.

use std::path::Path;
use std::sync::Arc;

use stainfree_image::{Image, Plane};
use stainfree_network::input::InputError;
use stainfree_network::model::{Model, ModelInfo};
use stainfree_network::resample::{ResampleError, resample, resample_output, resampled_size};
use stainfree_network::tiles::{
    TileError, TileOptions, cut_margin, needed_for_whole, predict_beside,
};
use stainfree_network::{Machine, Output, PreparedNetwork, Workers, output};
use stainfree_objects::{NucleusRule, ObjectsError, blank_regions, blank_share};

use crate::InferenceError;
use crate::cap::{Cap, DEFAULT_MEMORY, beside_network};
use crate::confidence::{Confidence, FILE_NAME as CONFIDENCE};
use crate::decisions::{Decisions, FILE_NAME};
use crate::device::{Device, Engine};
use crate::nuclei::{Nuclei, NucleusDecoder};
use crate::planes::{full_range, network_input, resample_blank, without_blanks};
use crate::prediction::{
    PROBABILITIES, Pixels, PredictedOutput, Prediction, largest, leave_open, planes_of,
};
use crate::probabilities::{FILE_NAME as TEMPERATURES, Temperatures};
use crate::remark::{Remark, Remarks};

/// How a model predicts, beside what the machine says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Average over the four flips: four times the work, slightly better.
    pub flips: bool,
    /// How nuclei are made of the network's numbers.
    pub rule: RuleChoice,
    /// What computes the network.
    pub device: Device,
}

/// The rule by which nuclei are made.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum RuleChoice {
    /// What was chosen for the model, else the default.
    #[default]
    OfModel,
    /// The default, whatever was chosen.
    Default,
    /// This one; its lengths are in pixels where the model knows no pixel size.
    Given(Box<NucleusRule>),
}

/// A loaded model: what is known about it, and its network, ready to predict.
pub struct Predictor {
    pub(crate) info: ModelInfo,
    hash: String,
    /// Keys of its `model.toml` that this version has passed over.
    ignored: Vec<String>,
    pub(crate) engine: Engine,
    device: Device,
    pub(crate) options: TileOptions,
    pub(crate) decoder: NucleusDecoder,
    /// What a rule that is not the default is recognised by.
    rule_word: Option<String>,
    /// How sure nuclei by this rule are, where that was fitted.
    confidence: Option<Arc<Confidence>>,
    /// What makes probabilities of pixels hold, where that was fitted.
    temperatures: Option<Arc<Temperatures>>,
    pub(crate) cap: Cap,
    pub(crate) remarks: Remarks,
}

/// A raw image on its way into the network.
struct Raw {
    /// Planes at the model's pixel size.
    planes: Vec<Image<f32>>,
    /// Pixels of them that show nothing.
    blank: Option<Image<bool>>,
    /// Those of them of which nothing will be said.
    open: Option<Image<bool>>,
    /// Largest count of the image's format.
    full_range: f32,
    /// Pixels of the image itself.
    shown: usize,
}

impl Predictor {
    /// Loads the model in `folder`. The machine gives threads, instructions, precision, and the
    /// most memory that an image may take ([`DEFAULT_MEMORY`] where it names none); fewer of its
    /// threads compute where that is too little for all.
    ///
    /// # Errors
    /// [`InferenceError::Model`] if the folder holds no model, or one that cannot be read;
    /// [`InferenceError::Decisions`] if its rule for nuclei cannot be read,
    /// [`InferenceError::Confidence`] if what says how sure they are cannot, and
    /// [`InferenceError::Probabilities`] if what makes probabilities hold cannot;
    /// [`InferenceError::Threads`] where the system gives no threads.
    pub fn open(
        folder: &Path,
        machine: &Machine,
        options: &Options,
    ) -> Result<Self, InferenceError> {
        let model = Model::load(folder)?;
        let start = |workers: &Workers| workers.start().map_err(InferenceError::Threads);
        start(machine.workers())?;
        let mut predictor = match options.device {
            Device::Cpu => Self::new(model, machine, options),
            Device::OnnxRuntime(provider) => {
                let made = Engine::onnx_runtime(&model, machine, provider);
                let (engine, said) = made.map_err(TileError::from)?;
                let mut remarks = Remarks::default();
                remarks.add(Remark::on_device(said));
                Self::on(model, engine, remarks, machine, options)
            }
        };
        if options.rule == RuleChoice::OfModel {
            match Decisions::read(folder, &predictor.hash)? {
                Some(chosen) => predictor.set_rule(chosen.rule, chosen.in_pixels),
                None if folder.join(FILE_NAME).exists() => {
                    let remark = Remark::on_rule_of_another(folder);
                    predictor.remarks.add(remark);
                }
                None => {}
            }
        }
        let word = predictor.decoder.word();
        let sure = Confidence::read(folder, &predictor.hash, &word)?;
        let unused = sure.is_none() && folder.join(CONFIDENCE).exists();
        if unused && options.rule == RuleChoice::OfModel {
            let remark = Remark::on_confidence_of_another(folder);
            predictor.remarks.add(remark);
        }
        predictor.confidence = sure.map(Arc::new);
        let temperatures = Temperatures::read(folder, &predictor.hash)?;
        if temperatures.is_none() && folder.join(TEMPERATURES).exists() {
            let remark = Remark::on_temperatures_of_another(folder);
            predictor.remarks.add(remark);
        }
        predictor.temperatures = temperatures.map(Arc::new);
        start(predictor.workers())?;
        Ok(predictor)
    }

    /// The same with a model that is in memory, for which no rule was chosen, on this processor.
    pub fn new(model: Model, machine: &Machine, options: &Options) -> Self {
        let cap = Cap(machine.memory().unwrap_or(DEFAULT_MEMORY));
        let network = PreparedNetwork::new(machine, &model.graph, &model.parameters);
        let (threads, scratch) = (machine.threads(), network.scratch_bytes());
        let afforded = cap.affordable(threads, scratch);
        let mut remarks = Remarks::default();
        let mut workers = machine.workers().clone();
        if afforded < threads {
            remarks.add(Remark::on_threads(afforded, threads, scratch, cap));
            workers = Workers::new(afforded);
        }
        let engine = Engine::cpu(&workers, &Arc::new(network));
        let options = &Options {
            device: Device::Cpu,
            ..options.clone()
        };
        Self::on(model, engine, remarks, machine, options)
    }

    fn on(
        model: Model,
        engine: Engine,
        remarks: Remarks,
        machine: &Machine,
        options: &Options,
    ) -> Self {
        let mut predictor = Self {
            engine,
            device: options.device,
            options: TileOptions {
                flips: options.flips,
                ..TileOptions::new(&model.graph)
            },
            decoder: NucleusDecoder::of_model(&model, None),
            rule_word: None,
            confidence: None,
            temperatures: None,
            hash: model.hash(),
            info: model.info,
            ignored: model.ignored,
            cap: Cap(machine.memory().unwrap_or(DEFAULT_MEMORY)),
            remarks,
        };
        if let RuleChoice::Given(rule) = &options.rule {
            let in_pixels = predictor.info.pixel_um.is_none();
            predictor.set_rule((**rule).clone(), in_pixels);
        }
        predictor
    }

    /// Another one of the same model, on the same threads and with the same filters, for predicting
    /// several images at once: each computes one at a time, as this one does, bit for bit.
    ///
    /// Each keeps to the cap of the first, and all of them count the filters, which are there once.
    /// Whoever makes siblings for `n` images at once opens the first with a machine that has the
    /// `n`-th part of the memory: what one image may take decides how it is cut, so all parts must
    /// be the same.
    pub fn sibling(&self) -> Self {
        Self {
            info: self.info.clone(),
            hash: self.hash.clone(),
            ignored: self.ignored.clone(),
            engine: self.engine.sibling(),
            device: self.device,
            options: self.options.clone(),
            decoder: self.decoder.clone(),
            rule_word: self.rule_word.clone(),
            confidence: self.confidence.clone(),
            temperatures: self.temperatures.clone(),
            cap: self.cap,
            // What there is to say of threads, the first one says.
            remarks: Remarks::default(),
        }
    }

    /// Makes nuclei by `rule` from now on.
    fn set_rule(&mut self, rule: NucleusRule, in_pixels: bool) {
        self.decoder.rule = rule;
        self.decoder.in_pixels = in_pixels;
        self.rule_word = Some(self.decoder.word());
    }

    /// What the rule for nuclei is recognised by, where it is not the model's default.
    pub fn rule_word(&self) -> Option<&str> {
        self.rule_word.as_deref()
    }

    /// How sure nuclei by the present rule are; none where that was not fitted.
    pub fn confidence(&self) -> Option<&Arc<Confidence>> {
        self.confidence.as_ref()
    }

    /// What makes probabilities of [`Predictor::pixels`] hold; none where that was not fitted.
    /// [`Predictor::predict`] has done it.
    pub fn temperatures(&self) -> Option<&Arc<Temperatures>> {
        self.temperatures.as_ref()
    }

    /// What computes the network.
    pub fn device(&self) -> Device {
        self.device
    }

    /// What the network says, the classes first.
    pub fn outputs(&self) -> &[Output] {
        &self.options.outputs
    }

    /// What makes nuclei of [`Predictor::pixels`].
    pub fn decoder(&self) -> &NucleusDecoder {
        &self.decoder
    }

    /// What `model.toml` says.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// What the model is recognised by ([`Model::hash`]).
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What a user should know about the model's folder.
    pub fn unknown_keys(&self) -> Option<String> {
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

    /// The threads of the network. Parallel loops over its results run on them too, where they
    /// would otherwise take all cores.
    pub fn workers(&self) -> &Workers {
        self.engine.workers()
    }

    /// The most memory that an image may take, bytes.
    pub fn memory(&self) -> usize {
        self.cap.0
    }

    /// Remarks that no prediction has carried, because it failed.
    pub fn take_remarks(&mut self) -> Vec<Remark> {
        self.remarks.take()
    }

    /// Predicts an image from its brightfield planes, as many as the model reads (of three, one
    /// that reads a single plane takes the middle one), all of one size. `pixel_um` is their pixel
    /// size, where it is known.
    ///
    /// # Errors
    /// The planes are not what the model reads, show nothing, or differ too much from it in pixel
    /// size; the cap on memory is too small for even the smallest tile; or the network's result is
    /// no number.
    pub fn predict(
        &mut self,
        planes: &[Plane],
        pixel_um: Option<f64>,
    ) -> Result<Prediction, InferenceError> {
        let pixels = self.pixels(planes, pixel_um)?;
        let workers = self.workers().clone();
        let found = workers.run(|| self.decoder.decode(&pixels, pixel_um))?;
        let sure = self.confidence.as_ref();
        let confidences = sure.map_or(Vec::new(), |sure| {
            let table = self
                .decoder
                .features(&pixels, &found.labels, pixel_um, sure.in_pixels);
            sure.of(&table)
        });
        let Pixels {
            classes,
            mut outputs,
            blank_share,
            remarks,
        } = pixels;
        // Classes, nuclei and confidences are made of what the network says.
        if let Some(temperatures) = &self.temperatures {
            let of_classes = |output: &&mut PredictedOutput| output.name == PROBABILITIES;
            let output = outputs.iter_mut().find(of_classes);
            workers.run(|| output.map(|output| temperatures.apply(&mut output.planes)));
        }
        let Nuclei { labels, count } = found;
        Ok(Prediction {
            classes,
            outputs,
            labels,
            count,
            confidences,
            blank_share,
            remarks,
        })
    }

    /// The network's part of [`Predictor::predict`]: whoever predicts many images makes the nuclei
    /// of one ([`Predictor::decoder`]) while the network is at the next.
    ///
    /// # Errors
    /// As [`Predictor::predict`].
    pub fn pixels(
        &mut self,
        planes: &[Plane],
        pixel_um: Option<f64>,
    ) -> Result<Pixels, InferenceError> {
        let workers = self.workers().clone();
        workers.run(|| self.pixels_here(planes, pixel_um))
    }

    fn pixels_here(
        &mut self,
        planes: &[Plane],
        pixel_um: Option<f64>,
    ) -> Result<Pixels, InferenceError> {
        if let Some(value) = pixel_um.filter(|um| !(um.is_finite() && *um > 0.0)) {
            return Err(ObjectsError::PixelSize { value }.into());
        }
        // A model of one plane reads the middle one of a stack.
        let planes = match (self.info.input.planes, planes.len()) {
            (1, 3) => &planes[1..2],
            _ => planes,
        };
        let [height, width] = self.size_of(planes)?;
        let full_range = full_range(&planes[0]);
        let raw: Vec<Image<f32>> = planes.iter().map(Plane::to_f32).collect();
        let (mut raw, blank) = without_blanks(raw);
        let seen = |blank: &Image<bool>| blank.data().contains(&false);
        if blank.as_ref().is_some_and(|blank| !seen(blank)) {
            return Err(InferenceError::NothingSeen);
        }
        let other = self.other_size(pixel_um, [height, width])?;
        let regions = blank.as_ref().and_then(blank_regions);
        let [mut blank_there, mut open] = [blank, regions.clone()];
        if let Some([height, width]) = other {
            for plane in &mut raw {
                *plane = resample(plane, height, width);
            }
            let resampled = |blank: Image<bool>| resample_blank(&blank, height, width);
            [blank_there, open] = [blank_there, open].map(|blank| blank.map(resampled));
        }
        let mut all = self.all_channels(Raw {
            planes: raw,
            blank: blank_there,
            open,
            full_range,
            shown: height * width,
        })?;
        let mut outputs = Vec::new();
        for output in &self.options.outputs {
            let mut planes: Vec<_> = all.drain(..output.channels).collect();
            if other.is_some() {
                planes = resample_output(output, &planes, height, width);
            }
            outputs.push(PredictedOutput::new(output, &self.info.classes, planes));
        }
        let mut classes = largest(&outputs[0].planes);
        if let Some(regions) = &regions {
            leave_open(&mut classes, &mut outputs, regions);
        }
        Ok(Pixels {
            classes,
            outputs,
            blank_share: blank_share(regions.as_ref()),
            remarks: self.remarks.take(),
        })
    }

    /// Height and width of all planes.
    fn size_of(&self, planes: &[Plane]) -> Result<[usize; 2], InputError> {
        let Some(first) = planes.first().map(Plane::size) else {
            return Err(InputError::Planes {
                expected: self.info.input.planes,
                found: 0,
            });
        };
        if let Some(other) = planes.iter().map(Plane::size).find(|size| *size != first) {
            return Err(InputError::Sizes { first, other });
        }
        match first {
            (0, _) | (_, 0) => Err(InputError::Empty),
            (height, width) => Ok([height, width]),
        }
    }

    /// The size at which the model reads an image of this size, where that is another.
    pub(crate) fn other_size(
        &self,
        pixel_um: Option<f64>,
        size: [usize; 2],
    ) -> Result<Option<[usize; 2]>, ResampleError> {
        match (pixel_um, self.info.pixel_um) {
            (Some(from), Some(to)) if self.info.recipe.rescale => resampled_size(size, from, to),
            _ => Ok(None),
        }
    }

    /// What tiles change in an image of this size, beside whose network `beside` bytes are taken.
    fn remark_on_tiles(&self, size: [usize; 2], beside: usize) -> Option<Remark> {
        let [height, width] = size;
        let cap = |needed: usize| Cap::leaving(needed + beside);
        let (engine, options) = (&self.engine, &self.options);
        let how = if let Some(needed) = needed_for_whole(engine, options, height, width) {
            format!(
                ", and this network weighs channels by their means over a tile, so classes may \
                 differ from those of the image in one piece; `--memory {}` or more computes it in \
                 one piece",
                cap(needed)
            )
        } else {
            let cut = cut_margin(engine, options, height, width)?;
            format!(
                ", with a margin of {} instead of {} pixels, so classes near the seams may differ; \
                 `--memory {}` or more gives the full margin",
                cut.margin,
                cut.full,
                cap(cut.needed)
            )
        };
        Some(Remark::on_tiles(size, self.cap, &how))
    }

    /// One image a channel of all outputs, of planes at the model's pixel size.
    fn all_channels(&mut self, raw: Raw) -> Result<Vec<Image<f32>>, InferenceError> {
        let (height, width) = raw.planes[0].size();
        let flips = self.options.flips;
        let pixels = raw.shown.max(height * width);
        let channels = output::channels(&self.options.outputs);
        let beside = beside_network(pixels, raw.planes.len(), channels, flips);
        self.options.memory = Some(self.cap.for_network(beside));
        let mut remarks = std::mem::take(&mut self.remarks);
        remarks.add_on_tiles(|| self.remark_on_tiles([height, width], beside));
        self.remarks = remarks;
        let blank = raw.blank.as_ref();
        let input = network_input(&self.info.input, &raw.planes, raw.full_range, blank)?;
        let open = raw.open;
        drop(raw.planes);
        let at = open.as_ref().map(Image::data);
        let all = predict_beside(&mut self.engine, &input, height, width, &self.options, at);
        let mut all = all.map_err(|error| match error {
            TileError::Memory { needed, .. } => InferenceError::Memory {
                cap: self.cap.0,
                needed: Cap::leaving(needed + beside).0,
            },
            error @ (TileError::NotFinite { .. } | TileError::Device(_)) => error.into(),
        })?;
        drop(input);
        if let Some(open) = at {
            // No numbers would spread where planes are resampled; here they become none afterwards.
            for plane in all.chunks_mut(height * width) {
                let values = plane.iter_mut().zip(open);
                let none = values.filter(|(value, open)| **open && !value.is_finite());
                none.for_each(|(value, _)| *value = 0.0);
            }
        }
        Ok(planes_of(all, channels, height, width))
    }
}
