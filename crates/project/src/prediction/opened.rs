//! A model's folder opened for prediction: its predictor, and which channels of a data set it
//! reads.

use std::path::Path;

use stainfree_image::{Dataset, Field, Plane};
use stainfree_inference::{
    InferenceError, Nuclei, NucleusDecoder, Options, Pixels, Predictor, RegionImage, RegionSink,
    RegionsDone, Remark,
};
use stainfree_network::Machine;
use stainfree_network::model::Model;

use crate::study::Brightfield;
use crate::study::beside_model::{self, InputChannels};
use crate::study::channels::{find_channel, recognise_brightfield};
use crate::{Job, ProjectError};

/// A model that predicts fields of data sets.
pub(crate) struct OpenedModel {
    /// Predicts arrays.
    pub(crate) predictor: Predictor,
    channels: Option<InputChannels>,
}

impl OpenedModel {
    /// Opens the model's folder; the machine gives precision and cap on memory.
    pub(crate) fn open(
        folder: &Path,
        machine: &Machine,
        options: &Options,
    ) -> Result<Self, ProjectError> {
        let predictor = Predictor::open(folder, machine, options)?;
        let channels = beside_model::input_channels(folder, &predictor.info().hashes)?;
        Ok(Self {
            predictor,
            channels,
        })
    }

    /// A model that is in memory, of which no folder says which channels it reads.
    pub(crate) fn of(model: Model, machine: &Machine, options: &Options) -> Self {
        Self {
            predictor: Predictor::new(model, machine, options),
            channels: None,
        }
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
            let found = recognise_brightfield(dataset).ok_or_else(|| {
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
            })?;
            found.channels
        };
        let channels = names.iter().map(index).collect::<Result<Vec<_>, _>>()?;
        Ok(Brightfield {
            channels,
            planes: chosen_planes.to_vec(),
        })
    }

    /// Predicts a field from its brightfield planes, and says what the user should know of it.
    pub(crate) fn predict(
        &mut self,
        field: &Field,
        planes: &[Plane],
        job: &Job,
    ) -> Result<Pixels, ProjectError> {
        let mut found = self.predictor.pixels(planes, field.pixel_um);
        let remarks = match &mut found {
            Ok(pixels) => std::mem::take(&mut pixels.remarks),
            Err(_) => self.predictor.take_remarks(),
        };
        tell(&remarks, field, job);
        found.map_err(|error| in_field(field, error))
    }

    /// Whether a field is to be predicted by [`predict_regions`](Self::predict_regions).
    pub(crate) fn needs_regions(&self, field: &Field, brightfield: &Brightfield) -> bool {
        let planes = brightfield
            .planes_of(field)
            .map_or(0, |planes| planes.len());
        let size = (field.height, field.width);
        self.predictor.needs_regions(planes, size, field.pixel_um)
    }

    /// Predicts a field that is read by region, and says what the user should know of it.
    pub(crate) fn predict_regions(
        &mut self,
        field: &Field,
        image: &RegionImage,
        sink: &mut (dyn RegionSink<ProjectError> + Send),
        job: &Job,
    ) -> Result<RegionsDone, ProjectError> {
        let mut found = self.predictor.predict_regions(image, sink);
        let remarks = match &mut found {
            Ok(done) => std::mem::take(&mut done.remarks),
            Err(_) => self.predictor.take_remarks(),
        };
        tell(&remarks, field, job);
        found.map_err(|error| match error {
            ProjectError::Inference(InferenceError::Image(error)) => error.into(),
            ProjectError::Inference(error) => in_field(field, error),
            error => error,
        })
    }
}

fn tell(remarks: &[Remark], field: &Field, job: &Job) {
    for remark in remarks {
        let name = format!("field `{}`", field.name);
        job.progress.note(&remark.sentence(&name));
    }
}

/// The nuclei of a field, made by the model's `decoder`.
pub(crate) fn nuclei_of(
    field: &Field,
    pixels: &Pixels,
    decoder: &NucleusDecoder,
) -> Result<Nuclei, ProjectError> {
    let found = decoder.decode(pixels, field.pixel_um);
    found.map_err(|error| in_field(field, error))
}

fn in_field(field: &Field, error: InferenceError) -> ProjectError {
    let field = field.name.clone();
    match error {
        InferenceError::NothingSeen => ProjectError::NothingSeen { field },
        error => ProjectError::Unpredicted {
            field,
            error: Box::new(error),
        },
    }
}
