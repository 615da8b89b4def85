//! Images that are larger than memory, predicted part by part.
//!
//! Planes are read by region. What has to be known of the whole image (pixels that show nothing,
//! what the normalisation goes by) is found in passes over its rows; then parts of it go through
//! the network, row of parts by row of parts, and nuclei are made as soon as all of them that a row
//! has are known. Where the parts are those in which the image would be cut in memory, the result
//! is the same, number by number.

mod bands;
mod budget;
mod raw;
mod scratch;
mod sure;

use std::ops::Range;
use std::path::Path;

use stainfree_image::{Image, ImageError, PlaneRef};
use stainfree_network::input::{InputError, InputSpec, Row, RowNormaliser};
use stainfree_network::resample::Resampling;
use stainfree_network::tiles::{Cuts, Window, cuts_of, needed_for_part, predict_part};
use stainfree_network::{TileOptions, output};
use stainfree_objects::{NucleiRows, ObjectsError, RowsDone, RowsField};

use self::bands::{Band, BandRows, Part, Parts, SeenRows};
use self::budget::{Budget, PUSHED, Sizes};
use self::raw::{BLOCK, Raw, Rows};
use self::scratch::Scratch;
use self::sure::SureRows;
use crate::InferenceError;
use crate::confidence::SureNucleus;
use crate::decisions::{DISTANCES, reads_distances};
use crate::prediction::{Pixels, PredictedOutput, largest, leave_open};
use crate::predictor::Predictor;
use crate::remark::Remark;

/// An image that is read by region.
pub struct RegionImage<'a> {
    /// As many brightfield planes as the model reads, or three where it reads one.
    pub planes: &'a [PlaneRef],
    /// Height and width of each.
    pub size: (usize, usize),
    /// Where it is known.
    pub pixel_um: Option<f64>,
    /// A folder with room for a nameless file while it is predicted: what the network says of a
    /// row of parts waits there. 768 rows of 40,000 px take up to 1 GB.
    pub scratch: &'a Path,
}

/// Who takes what is predicted, rows from the top.
pub trait RegionSink<E> {
    /// Asked now and then, so that long work may be stopped.
    ///
    /// # Errors
    /// Ends the prediction.
    fn go_on(&mut self) -> Result<(), E>;

    /// Rows of classes and nuclei.
    ///
    /// # Errors
    /// Ends the prediction.
    fn rows(&mut self, done: &RowsDone) -> Result<(), E>;

    /// Whether [`outputs`](Self::outputs) is to be called.
    fn wants_outputs(&self) -> bool {
        false
    }

    /// Rows of all outputs, from the row `first` on.
    ///
    /// # Errors
    /// Ends the prediction.
    fn outputs(&mut self, _first: usize, _outputs: &[PredictedOutput]) -> Result<(), E> {
        Ok(())
    }
}

/// What is known of an image that was predicted part by part.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionsDone {
    /// Number of nuclei.
    pub count: usize,
    /// Share of the pixels that show nothing.
    pub blank_share: f64,
    /// How many parts went through the network.
    pub parts: usize,
    /// How sure the nuclei are, by label, where the model knows.
    pub sure: Option<Vec<SureNucleus>>,
    /// What the user should know.
    pub remarks: Vec<Remark>,
}

/// Pixels above which reading a plane as a whole is no small thing.
const LARGE: u64 = 1 << 24;

impl Predictor {
    /// Whether an image is to be predicted by region: it does not fit into the cap on memory as a
    /// whole, and does part by part or is too large to be tried as a whole.
    pub fn needs_regions(
        &self,
        planes: usize,
        size: (usize, usize),
        pixel_um: Option<f64>,
    ) -> bool {
        let Ok(sizes) = self.sizes(planes, size, pixel_um, false) else {
            return false;
        };
        let pixels = (size.0 * size.1) as u64;
        if pixels > stainfree_image::MAX_PLANE_PIXELS {
            return true;
        }
        // Of a large image that fits neither way nothing is read, and the lesser need is told.
        !self.fits(&sizes) && (pixels > LARGE || self.budget(&sizes).is_ok())
    }

    fn sizes(
        &self,
        planes: usize,
        image: (usize, usize),
        pixel_um: Option<f64>,
        outputs: bool,
    ) -> Result<Sizes, InferenceError> {
        let other = self.other_size(pixel_um, [image.0, image.1])?;
        Ok(Sizes {
            image,
            model: other.map_or(image, |[height, width]| (height, width)),
            planes: self.planes_read(planes),
            maps: self.decoder.maps_read(),
            features: self.feature_maps_read()[0],
            carried: self.feature_maps_read()[1],
            outputs,
            // As if there were: the survey takes a while, and this is to be known before.
            has_blank: true,
        })
    }

    /// Maps that confidences are told from, and how many of them nuclei are not made of.
    fn feature_maps_read(&self) -> [usize; 2] {
        if self.confidence().is_none() {
            return [0, 0];
        }
        let named = |name: &&str| self.outputs().iter().any(|output| output.name == *name);
        let distances = DISTANCES.iter().filter(|name| named(name)).count();
        let rule = &self.decoder.rule;
        let carried = match reads_distances(rule) {
            true => 0,
            false => distances,
        };
        [
            1 + distances,
            carried + usize::from(rule.threshold.is_none()),
        ]
    }

    /// A model of one plane reads the middle one of a stack.
    fn planes_read(&self, planes: usize) -> usize {
        match (self.info.input.planes, planes) {
            (1, 3) => 1,
            _ => planes,
        }
    }

    /// Predicts an image part by part; what [`Predictor::predict`] gives of it, but for the remarks
    /// of [`RegionsDone`].
    ///
    /// # Errors
    /// As [`Predictor::predict`], those of reading, and those of `sink`.
    pub fn predict_regions<E: From<InferenceError> + Send>(
        &mut self,
        image: &RegionImage,
        sink: &mut (dyn RegionSink<E> + Send),
    ) -> Result<RegionsDone, E> {
        let sizes = self.sizes(
            image.planes.len(),
            image.size,
            image.pixel_um,
            sink.wants_outputs(),
        )?;
        let budget = self.budget(&sizes)?;
        let workers = self.workers().clone();
        workers.run(|| self.regions_here(image, sizes, budget, sink))
    }

    fn regions_here<E: From<InferenceError>>(
        &mut self,
        image: &RegionImage,
        sizes: Sizes,
        budget: Budget,
        sink: &mut (dyn RegionSink<E> + Send),
    ) -> Result<RegionsDone, E> {
        self.check_regions(image)?;
        let planes = match sizes.planes < image.planes.len() {
            true => &image.planes[1..2],
            false => image.planes,
        };
        let (height, width) = image.size;
        let other = (sizes.model != sizes.image).then_some([sizes.model.0, sizes.model.1]);
        let mut raw = Raw::new(planes, image.size);
        let full_range = raw.full_range().map_err(InferenceError::from)?;
        let mut go_on = || sink.go_on();
        let rows = Rows::survey(raw, other, &mut || go_on().map_err(Passed::Sink));
        let mut rows = rows.map_err(Passed::into_error)?;
        let normalisers = self.normalisers(&mut rows, planes.len(), full_range, &mut go_on)?;
        let options = TileOptions {
            memory: Some(budget.network),
            ..self.options.clone()
        };
        let model = [sizes.model.0, sizes.model.1];
        let cuts = cuts_of(&options, model, budget.core, budget.margin);
        let step = rows.step();
        let back = other.map(|[rows, columns]| Resampling::new([rows, columns], [height, width]));
        let parts = Parts::of(&cuts, back.as_ref(), [height, width], model);
        let needed = parts.rows.iter().map(|rows| {
            let [needed, _] = needed_by(rows, model, back.as_ref(), &options, &cuts);
            needed.len()
        });
        // With the last row all rows come at once that were held for the normalisation.
        let late = RowNormaliser::held_rows(&self.info.input.normalisation, true);
        let needed = needed.max().unwrap_or(0) + late;
        let waiting = Scratch::new(image.scratch)?;
        let mut seen = SeenRows::new(rows, &normalisers, waiting, needed);
        let mut scratch = Scratch::new(image.scratch)?;
        let mut decoding: Option<(NucleiRows, Option<SureRows>)> = None;
        let (mut open_pixels, mut count, mut cut) = (0, 0, 0);
        for rows in &parts.rows {
            sink.go_on()?;
            let how = How {
                cuts: &cuts,
                options: &options,
                back: back.as_ref(),
                keep_outputs: sink.wants_outputs(),
            };
            let band = Band::new(&mut scratch, rows.len(), width);
            let mut band = self.band(&mut seen, rows, &parts.columns, band, &how)?;
            open_pixels += band.open;
            let (nuclei, sure) = match &mut decoding {
                Some(decoding) => decoding,
                none => none.insert(self.decoding(image, &band, &budget)?),
            };
            for top in (0..band.height()).step_by(PUSHED) {
                let bottom = (top + PUSHED).min(band.height());
                let BandRows {
                    classes,
                    maps,
                    outputs,
                } = band.rows(top..bottom)?;
                if sink.wants_outputs() {
                    sink.outputs(rows.start + top, &outputs)?;
                }
                let done = nuclei.push(&classes, &maps);
                let Some(done) = done.map_err(InferenceError::from)? else {
                    continue;
                };
                if let Some(sure) = sure {
                    sure.push(&done);
                }
                sink.rows(&done)?;
            }
            (count, cut) = (nuclei.count(), nuclei.cut());
        }
        if open_pixels == height * width {
            return Err(InferenceError::NothingSeen.into());
        }
        self.remark_on_regions(&cuts, &budget, image.size, step, cut);
        Ok(RegionsDone {
            count,
            blank_share: open_pixels as f64 / (height * width) as f64,
            parts: parts.rows.len() * parts.columns.len(),
            sure: decoding.and_then(|(_, sure)| sure).map(SureRows::finish),
            remarks: self.remarks.take(),
        })
    }

    fn check_regions(&self, image: &RegionImage) -> Result<(), InferenceError> {
        if let Some(value) = image.pixel_um.filter(|um| !(um.is_finite() && *um > 0.0)) {
            return Err(ObjectsError::PixelSize { value }.into());
        }
        let found = self.planes_read(image.planes.len());
        let expected = self.info.input.planes;
        if found != expected || !matches!(found, 1 | InputSpec::CHANNELS) {
            return Err(InputError::Planes { expected, found }.into());
        }
        match image.size {
            (0, _) | (_, 0) => Err(InputError::Empty.into()),
            _ => Ok(()),
        }
    }

    fn normalisers<E: From<InferenceError>>(
        &self,
        rows: &mut Rows,
        planes: usize,
        full_range: f32,
        go_on: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Vec<RowNormaliser>, E> {
        let (size, has_blank) = (rows.size, rows.has_blank());
        let of = |plane: usize| {
            let mut pass = |f: &mut dyn FnMut(Row)| -> Result<(), Passed<E>> {
                for top in (0..size.0).step_by(BLOCK / 4) {
                    go_on().map_err(Passed::Sink)?;
                    let these = top..(top + BLOCK / 4).min(size.0);
                    let (values, blank) = rows.plane(plane, these)?;
                    for y in 0..values.height() {
                        f(Row {
                            values: values.row(y),
                            blank: blank.as_ref().map(|blank| blank.row(y)),
                        });
                    }
                }
                Ok(())
            };
            let normalisation = &self.info.input.normalisation;
            RowNormaliser::survey(normalisation, size, full_range, has_blank, &mut pass)
        };
        let found: Result<Vec<_>, Passed<E>> = (0..planes).map(of).collect();
        found.map_err(Passed::into_error)
    }

    /// What makes nuclei of bands like this one, and says how sure they are, where that is known.
    fn decoding(
        &self,
        image: &RegionImage,
        band: &Band,
        budget: &Budget,
    ) -> Result<(NucleiRows, Option<SureRows>), InferenceError> {
        let (maps, plan) = (band.maps(), band.plan());
        let field = RowsField {
            size: image.size,
            pixel_um: self.decoder.unit(image.pixel_um),
            rule: self.decoder.rule.clone(),
            lines: self.decoder.has_lines(),
            also_nuclei: self.decoder.mitotic(),
            maps,
            carried: plan.carried(),
            most: budget.held,
        };
        let sure = self.confidence().map(|confidence| {
            let um = self
                .decoder
                .feature_um(image.pixel_um, confidence.in_pixels);
            SureRows::new(confidence.clone(), plan, image.size, um, budget.sure)
        });
        Ok((NucleiRows::new(field)?, sure.flatten()))
    }

    /// Fills the band of a row of parts with these columns.
    fn band<'a>(
        &mut self,
        seen: &mut SeenRows,
        rows: &Range<usize>,
        all_columns: &[Range<usize>],
        mut band: Band<'a>,
        how: &How,
    ) -> Result<Band<'a>, InferenceError> {
        let How {
            cuts,
            options,
            back,
            ..
        } = *how;
        let [_, open_of_image] = seen.rows.blank_of_image(rows.clone())?;
        let model_size = [seen.rows.size.0, seen.rows.size.1];
        let [needed, kept_rows] = needed_by(rows, model_size, back, options, cuts);
        let open = seen.rows.open(kept_rows.clone())?;
        seen.read_to(needed)?;
        for columns in all_columns {
            let kept_columns = match back {
                None => columns.clone(),
                Some(back) => back.needed(&[0..1, columns.clone()])[1].clone(),
            };
            let kept = [kept_rows.clone(), kept_columns];
            let crop = |open: &Image<bool>, left: usize, columns: &Range<usize>| {
                open.crop(0, left, open.height(), columns.len())
            };
            let open = open
                .as_ref()
                .map(|open| crop(open, kept[1].start, &kept[1]));
            let made = self.part(seen, &kept, how, open.as_ref())?;
            let part = [rows.clone(), columns.clone()];
            let mut outputs = self.outputs_of_part(made, &kept, back, &part);
            let mut classes = largest(&outputs[0].planes);
            if let Some(open) = &open_of_image {
                let open = crop(open, columns.start, columns);
                band.open += open.data().iter().filter(|open| **open).count();
                leave_open(&mut classes, &mut outputs, &open);
            }
            let pixels = Pixels {
                classes,
                outputs,
                blank_share: 0.0,
                remarks: Vec::new(),
            };
            let features = match self.confidence() {
                Some(_) => self.decoder.feature_maps(&pixels),
                None => Default::default(),
            };
            let outputs: &[PredictedOutput] = match how.keep_outputs {
                true => &pixels.outputs,
                false => &[],
            };
            let part = Part {
                classes: &pixels.classes,
                maps: self.decoder.maps(&pixels),
                features,
                outputs,
            };
            band.put(columns.clone(), &part)?;
        }
        Ok(band)
    }

    /// The network's numbers of a part, at the model's pixel size.
    fn part(
        &mut self,
        seen: &mut SeenRows,
        kept: &[Range<usize>; 2],
        how: &How,
        open: Option<&Image<bool>>,
    ) -> Result<Vec<f32>, InferenceError> {
        let How { cuts, options, .. } = *how;
        let size = [seen.rows.size.0, seen.rows.size.1];
        let at = needed_for_part(options, size, kept, cuts.margin);
        let planes = seen.window(&at)?;
        let views: Vec<&[f32]> = planes.iter().map(Vec::as_slice).collect();
        let mut input = vec![0.0; InputSpec::CHANNELS * at[0].len() * at[1].len()];
        self.info.input.write_channels(&views, &mut input);
        let window = Window {
            planes: &input,
            at,
            size,
        };
        let open = open.map(Image::data);
        let mut made = predict_part(&mut self.engine, &window, kept, cuts.margin, options, open)?;
        if let Some(open) = open {
            // No numbers would spread where planes are resampled.
            for plane in made.chunks_mut(open.len()) {
                let none = plane
                    .iter_mut()
                    .zip(open)
                    .filter(|(v, open)| **open && !v.is_finite());
                none.for_each(|(v, _)| *v = 0.0);
            }
        }
        Ok(made)
    }

    fn outputs_of_part(
        &self,
        made: Vec<f32>,
        kept: &[Range<usize>; 2],
        back: Option<&Resampling>,
        part: &[Range<usize>; 2],
    ) -> Vec<PredictedOutput> {
        let (height, width) = (kept[0].len(), kept[1].len());
        let channels = output::channels(&self.options.outputs);
        let mut all = crate::prediction::planes_of(made, channels, height, width);
        let corner = [kept[0].start, kept[1].start];
        let mut outputs = Vec::new();
        for output in &self.options.outputs {
            let mut planes: Vec<_> = all.drain(..output.channels).collect();
            if let Some(back) = back {
                planes = back.output_part(output, &planes, corner, part);
            }
            outputs.push(PredictedOutput::new(output, &self.info.classes, planes));
        }
        outputs
    }

    fn remark_on_regions(
        &mut self,
        cuts: &Cuts,
        budget: &Budget,
        (height, width): (usize, usize),
        step: usize,
        cut: usize,
    ) {
        let mut how = String::new();
        if self.options.sees_whole_image && cuts.rows.len().max(cuts.columns.len()) > 1 {
            how += ", and this network weighs channels by their means over a part";
        } else if cuts.margin > 0 && cuts.margin < cuts.full {
            how += &format!(
                ", with a margin of {} instead of {} pixels, so classes near the seams may differ",
                cuts.margin, cuts.full
            );
        }
        if step > 1 {
            how +=
                &format!("; regions of one value were looked for in every {step}th row and column");
        }
        if cut > 0 {
            how += &format!(
                "; {cut} nuclei or clumps of them higher than {} pixels are cut there",
                budget.held / 2
            );
        }
        let remark = Remark::on_regions([height, width], self.cap, &how);
        self.remarks.add(remark);
    }
}

/// Rows, at the model's pixel size, that the network has to see for these rows of the image, and
/// those of them that are kept of what it says.
fn needed_by(
    rows: &Range<usize>,
    size: [usize; 2],
    back: Option<&Resampling>,
    options: &TileOptions,
    cuts: &Cuts,
) -> [Range<usize>; 2] {
    let kept = match back {
        None => rows.clone(),
        Some(back) => back.needed(&[rows.clone(), 0..1])[0].clone(),
    };
    let everything = [kept.clone(), 0..size[1]];
    let [needed, _] = needed_for_part(options, size, &everything, cuts.margin);
    [needed, kept]
}

/// Errors of a pass, which may be those of who takes its rows.
enum Passed<E> {
    Own(InferenceError),
    Sink(E),
}

impl<E: From<InferenceError>> Passed<E> {
    fn into_error(self) -> E {
        match self {
            Self::Own(error) => error.into(),
            Self::Sink(error) => error,
        }
    }
}

impl<E> From<ImageError> for Passed<E> {
    fn from(error: ImageError) -> Self {
        Self::Own(error.into())
    }
}

impl<E> From<InputError> for Passed<E> {
    fn from(error: InputError) -> Self {
        Self::Own(error.into())
    }
}

/// How parts are computed.
#[derive(Clone, Copy)]
struct How<'a> {
    cuts: &'a Cuts,
    options: &'a TileOptions,
    /// From the model's pixel size to the image's, where they differ.
    back: Option<&'a Resampling>,
    keep_outputs: bool,
}
