//! A field from its planes to its files and its row of `predictions.csv`.

use std::sync::Arc;

use stainfree_image::{Field, Image, Plane, Product, Store};
use stainfree_inference::{
    Confidence, Nuclei, NucleusDecoder, PROBABILITIES, Pixels, Temperatures,
};
use stainfree_network::model::ModelInfo;

use crate::prediction::by_region::{Asked, predict_by_region};
use crate::prediction::familiar::{Compared, Familiarity, Looks};
use crate::prediction::forms::{LabelsOf, put_forms};
use crate::prediction::opened::{OpenedModel, nuclei_of};
use crate::prediction::options::PredictOptions;
use crate::prediction::recognised::{Task, words};
use crate::prediction::sure::Sure;
use crate::prediction::written::{Made, Wanted, cells_of, note, remove_outputs, write_field};
use crate::prediction::zarr;
use crate::study::predictions::{Cells, FIRST, IGNORED_SHARE, share_of};
use crate::study::provenance::Content;
use crate::{Job, ProjectError, pictures};

/// What the network leaves to be finished.
pub(super) struct Computed {
    pixels: Pixels,
    /// What the image is recognised by.
    content: Content,
    /// What it is compared with the training by.
    looks: Looks,
    /// The plane under an overlay, if one is asked for.
    shown: Option<Plane>,
    /// All planes, where they are written with their labels.
    stored: Option<Vec<Plane>>,
}

/// A field that is done.
pub(super) struct Finished {
    content: Content,
    /// Pixels of every class.
    counts: Vec<usize>,
    pub(super) blank_share: f64,
    pub(super) nuclei: usize,
    sure: Option<Sure>,
    /// How it compares with the training, where that is known.
    pub(super) compared: Option<Compared>,
}

/// Where fields are computed, finished and written: what all fields of a run have in common.
pub(super) struct Desk<'a> {
    options: &'a PredictOptions,
    wanted: Wanted,
    /// Hash of the model.
    hash: String,
    /// Names of its classes.
    classes: Vec<String>,
    decoder: NucleusDecoder,
    confidence: Option<Arc<Confidence>>,
    /// What makes of probabilities those that hold.
    temperatures: Option<Arc<Temperatures>>,
    /// The options that change a prediction.
    words: String,
    info: ModelInfo,
    known: Option<&'a Familiarity>,
}

impl<'a> Desk<'a> {
    pub(super) fn new(
        model: &OpenedModel,
        options: &'a PredictOptions,
        wanted: Wanted,
        known: Option<&'a Familiarity>,
        job: &Job,
    ) -> Self {
        let predictor = &model.predictor;
        Self {
            options,
            wanted,
            hash: predictor.hash().to_owned(),
            classes: predictor.info().classes.clone(),
            decoder: predictor.decoder().clone(),
            confidence: predictor.confidence().cloned(),
            temperatures: predictor.temperatures().cloned(),
            words: words(model, options, job),
            info: predictor.info().clone(),
            known,
        }
    }

    /// Runs the network over the planes of a field, as they were read.
    pub(super) fn compute(
        &self,
        model: &mut OpenedModel,
        field: &Field,
        planes: Result<Vec<Plane>, ProjectError>,
        job: &Job,
    ) -> Result<Computed, ProjectError> {
        let mut planes = planes?;
        let content = Content::of_planes(&planes);
        let mut pixels = model.predict(field, &planes, job)?;
        let workers = model.predictor.workers();
        let looks = workers.run(|| Looks::of(&planes, field.pixel_um, &self.info, &pixels));
        if !self.options.probabilities {
            // They are the largest thing in memory, and the next field is on its way.
            let sure = self.confidence.is_some();
            self.decoder.keep_only_needed(&mut pixels, sure);
        }
        let middle = planes.len() / 2;
        let stored = self.options.zarr.then(|| planes.clone());
        let shown = self.options.overlay.then(|| planes.swap_remove(middle));
        Ok(Computed {
            pixels,
            content,
            looks,
            shown,
            stored,
        })
    }

    /// Makes nuclei and cells of what was computed, and writes all that is wanted.
    pub(super) fn finish(
        &self,
        task: &Task,
        mut found: Computed,
    ) -> Result<Finished, ProjectError> {
        let (field, pixels, out) = (task.field, &found.pixels, &self.options.out);
        let nuclei = nuclei_of(field, pixels, &self.decoder)?;
        remove_outputs(out, &field.name, &self.wanted.stale())?;
        zarr::remove(out, field)?;
        let made = Made {
            model: &self.hash,
            content: &found.content,
        };
        let um = self.decoder.pixel_um;
        let cells = cells_of(field, &pixels.classes, &self.classes, &nuclei, um);
        write_field(out, field, &pixels.classes, &nuclei, cells.as_ref(), &made)?;
        let sure = self.put_sure(field, pixels, &nuclei, &made)?;
        let by_label = sure.as_ref().map(Sure::by_label);
        let labels = LabelsOf {
            name: &field.name,
            nuclei: &nuclei.labels,
            cells: cells.as_ref(),
            sure: by_label.as_ref(),
        };
        let of_form = |what: &str| note(field, what, &made);
        put_forms(&Store::at(out), self.wanted.forms, labels, of_form)?;
        if let Some(planes) = found.stored {
            let shown = zarr::Shown {
                field,
                brightfield: &task.brightfield,
                pixels: zarr::Source::Memory {
                    planes: &planes,
                    classes: &pixels.classes,
                    nuclei: &nuclei.labels,
                    cells: cells.as_ref(),
                },
                names: &self.classes,
                note: note(field, "results", &made),
            };
            zarr::put(out, &shown)?;
        }
        if let Some(plane) = found.shown {
            let picture = pictures::overlay(&plane.to_f32(), &pixels.classes, &self.classes)?;
            Store::at(out).put_picture(&field.name, &picture)?;
        }
        let counts = counts_of(&pixels.classes, self.classes.len());
        let blank_share = pixels.blank_share;
        // Everything else is made of what the network says.
        self.put_pixels(field, &mut found.pixels, &made)?;
        let looks = found.looks;
        let looks = looks.with_nuclei(&nuclei, field.pixel_um, &self.info);
        Ok(Finished {
            compared: self.known.map(|known| known.compare(looks)),
            counts,
            blank_share,
            nuclei: nuclei.count,
            sure,
            content: found.content,
        })
    }

    /// Says how sure every nucleus is, and writes it, where the model knows.
    fn put_sure(
        &self,
        field: &Field,
        pixels: &Pixels,
        nuclei: &Nuclei,
        made: &Made,
    ) -> Result<Option<Sure>, ProjectError> {
        let Some(confidence) = &self.confidence else {
            return Ok(None);
        };
        let sure = Sure::of(field, pixels, &nuclei.labels, &self.decoder, confidence);
        let note = note(field, "confidence of nuclei", made);
        let map = self.wanted.confidence_map;
        let map = map.then_some((&nuclei.labels, &note));
        sure.put(&Store::at(&self.options.out), &field.name, map)?;
        Ok(Some(sure))
    }

    /// Writes what the network says of every pixel, where that is wanted; probabilities as they
    /// hold, where the model knows.
    fn put_pixels(
        &self,
        field: &Field,
        pixels: &mut Pixels,
        made: &Made,
    ) -> Result<(), ProjectError> {
        let (store, name) = (Store::at(&self.options.out), &field.name);
        if self.wanted.probabilities {
            let mut outputs = pixels.outputs.iter_mut();
            let of_classes = outputs.find(|output| output.name == PROBABILITIES);
            if let Some((output, found)) = of_classes.zip(self.temperatures.as_ref()) {
                found.apply(&mut output.planes);
            }
            let note = note(field, &self.wanted.probabilities_called(), made);
            store.put_planes(Product::Probabilities, name, pixels.probabilities(), &note)?;
        }
        if self.wanted.outputs {
            let (names, planes) = pixels.further();
            let what = format!("outputs ({})", names.join(", "));
            let note = note(field, &what, made);
            store.put_planes(Product::Outputs, name, &planes, &note)?;
        }
        Ok(())
    }

    /// A field that does not fit into memory, from its image to its files.
    pub(super) fn by_region(
        &self,
        model: &mut OpenedModel,
        task: &Task,
        job: &Job,
    ) -> Result<Finished, ProjectError> {
        let asked = Asked {
            field: task.field,
            brightfield: &task.brightfield,
            out: &self.options.out,
            wanted: self.wanted,
            hash: &self.hash,
        };
        let found = predict_by_region(model, &asked, self.known.is_some(), job)?;
        let compared = self.known.zip(found.looks);
        Ok(Finished {
            content: found.content,
            counts: found.counts,
            blank_share: found.blank_share,
            nuclei: found.nuclei,
            sure: found.sure,
            compared: compared.map(|(known, looks)| known.compare(looks)),
        })
    }

    /// The cells of `predictions.csv` of a field that is done.
    pub(super) fn row_done(&self, task: &Task, found: &Finished, seconds: f64) -> Cells {
        let pixels = found.counts.iter().sum::<usize>().max(1) as f64;
        let shares = self.classes.iter().zip(&found.counts);
        let shares =
            shares.map(|(class, &n)| (share_of(class), format!("{:.6}", n as f64 / pixels)));
        let mut cells = self.row(task, "done", String::new());
        cells.extend(shares);
        let of_field = [
            (IGNORED_SHARE, format!("{:.6}", found.blank_share)),
            ("nuclei", found.nuclei.to_string()),
            ("height", task.field.height.to_string()),
            ("width", task.field.width.to_string()),
            ("seconds", format!("{seconds:.2}")),
            ("content", found.content.image.join(" ")),
        ];
        let sure = found.sure.iter().flat_map(Sure::cells);
        let compared = found.compared.iter().flat_map(Compared::cells);
        let more = of_field.into_iter().chain(sure).chain(compared);
        cells.extend(more.map(|(column, cell)| (column.to_owned(), cell)));
        cells
    }

    /// The cells of one that failed.
    pub(super) fn row_failed(&self, task: &Task, message: &str) -> Cells {
        self.row(task, "failed", message.to_owned())
    }

    /// What every row says.
    fn row(&self, task: &Task, status: &str, message: String) -> Cells {
        let [name, of_status, of_message] = FIRST;
        let cells = [
            (name, task.field.name.clone()),
            (of_status, status.to_owned()),
            (of_message, message),
            ("model", self.hash.clone()),
            ("program", env!("CARGO_PKG_VERSION").to_owned()),
            ("options", self.words.clone()),
            ("input", task.input.path.clone()),
            ("key", task.input.key.clone()),
        ];
        cells.map(|(column, cell)| (column.to_owned(), cell)).into()
    }
}

/// Pixels of every class; what shows nothing is of none.
fn counts_of(classes: &Image<u8>, count: usize) -> Vec<usize> {
    let mut counts = vec![0; count];
    for &class in classes.data() {
        if let Some(count) = counts.get_mut(usize::from(class)) {
            *count += 1;
        }
    }
    counts
}
