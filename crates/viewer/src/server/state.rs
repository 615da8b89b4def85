//! What is open: lists, tiles, labels and corrections, for every request.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use stainfree_image::{Image, Plane, Region, Stamp, read_labels};

use super::Options;
use super::token::Token;
use crate::ViewError;
use crate::again::Again;
use crate::edit::Store;
use crate::objects::{self, Object};
use crate::opened::{LayerKind, Opened, Shown};
use crate::outline;
use crate::tiles::{
    Cache, Images, LABELS_WHOLE_PX, LabelPixels, PlaneAddress, TILE, TileAt, levels,
};
use crate::work::{Entries, confidences};

/// Tiles of a large image along either side that stand for it.
const SAMPLED: usize = 4;
/// Side of the small pictures of the gallery, pixels at most.
const THUMB: usize = 128;

/// Everything that requests share.
pub(super) struct State {
    opened: RwLock<Arc<Opened>>,
    pub(super) token: Token,
    pub(super) read_only: bool,
    pub(super) who: String,
    pub(super) store: Option<Store>,
    pub(super) again: Option<Again>,
    images: Images,
    labels: Cache<Stamp, Image<u32>>,
    /// Taken by whoever makes coarse levels of a plane: several at once would read all of it each.
    turns: Mutex<BTreeMap<PlaneAddress, Arc<Mutex<()>>>>,
    /// The threads that everything is read and computed on: parallel loops stay on them.
    pool: rayon::ThreadPool,
}

/// Smallest and largest value that automatic contrast spans, and the whole range.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(super) struct Range {
    pub(super) low: f32,
    pub(super) high: f32,
    pub(super) min: f32,
    pub(super) max: f32,
    /// Values that the type can hold end here; for floats the largest value.
    pub(super) full: f32,
}

impl State {
    pub(super) fn new(opened: Opened, options: &Options, token: Token) -> Result<Self, ViewError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(options.threads)
            .build()
            .map_err(|error| ViewError::Server(format!("the system gives no threads: {error}")))?;
        let store = opened.study.clone().map(|study| {
            let writes = !options.read_only;
            Store::new(study, &options.who, opened.model.clone(), writes)
        });
        let again = opened.study.clone().map(|study| {
            let program = options.program.clone().filter(|_| !options.read_only);
            Again::new(study, program, options.threads, &options.who)
        });
        Ok(Self {
            store,
            again,
            token,
            read_only: options.read_only,
            who: options.who.clone(),
            // Labels of one field are read again and again, images page by page.
            images: Images::new(options.cache_bytes / 4 * 3),
            labels: Cache::new(options.cache_bytes / 4),
            opened: RwLock::new(Arc::new(opened)),
            turns: Mutex::default(),
            pool,
        })
    }

    /// What is open now.
    pub(super) fn opened(&self) -> Arc<Opened> {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&opened)
    }

    /// Opens it anew: there are predictions and tables that were not there before.
    pub(super) fn reload(&self) -> Result<(), ViewError> {
        let fresh = Arc::new(self.opened().again()?);
        *self.opened.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// As [`on_pool`](Self::on_pool), for work that begins with this tile of a plane, or without
    /// one with its coarsest: whoever else makes coarse levels of the same plane is waited for.
    /// Not to be called from a thread of the pool, which others' work would then wait on.
    pub(super) fn in_turn<T: Send>(
        &self,
        plane: PlaneAddress,
        at: Option<TileAt>,
        work: impl FnOnce() -> T + Send,
    ) -> T {
        let coarsest = || {
            let opened = self.opened();
            let level = levels(opened.field(plane.field).ok()?.size) - 1;
            Some(TileAt { level, y: 0, x: 0 })
        };
        let at = at.or_else(coarsest);
        if at.is_none_or(|at| self.images.is_at_hand(plane, at)) {
            return self.on_pool(work);
        }
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(plane).or_default())
        };
        let _ours = turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.on_pool(work)
    }

    /// Runs `work` on the threads of the server.
    pub(super) fn on_pool<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pool.install(work)
    }

    /// A tile of an image.
    pub(super) fn image(&self, plane: PlaneAddress, at: TileAt) -> Result<Arc<Plane>, ViewError> {
        let opened = self.opened();
        self.images.tile(opened.field(plane.field)?, plane, at)
    }

    /// What automatic contrast spans: 0.1 % of the pixels of the smallest level lie below it and
    /// 0.1 % above. Of large images, whose smallest level is made of all of them, some tiles that
    /// lie spread over it stand for it.
    pub(super) fn range(&self, plane: PlaneAddress) -> Result<Range, ViewError> {
        let opened = self.opened();
        let shown = opened.field(plane.field)?;
        if shown.size.0 * shown.size.1 <= LABELS_WHOLE_PX {
            let tile = self.smallest(plane)?;
            return Ok(range_of(tile.to_f32().into_data(), tile.full_range()));
        }
        let spread = |full: usize| {
            let tiles = full.div_ceil(TILE);
            (0..SAMPLED).map(move |i| (2 * i + 1) * tiles / (2 * SAMPLED))
        };
        let (mut values, mut full) = (Vec::new(), None);
        for y in spread(shown.size.0) {
            for x in spread(shown.size.1) {
                let tile = self.image(plane, TileAt { level: 0, y, x })?;
                full = tile.full_range();
                values.extend(tile.to_f32().data().iter().step_by(SAMPLED));
            }
        }
        Ok(range_of(values, full))
    }

    /// The level of an image that is one tile.
    fn smallest(&self, plane: PlaneAddress) -> Result<Arc<Plane>, ViewError> {
        let opened = self.opened();
        let level = levels(opened.field(plane.field)?.size) - 1;
        self.image(plane, TileAt { level, y: 0, x: 0 })
    }

    /// The outline of the object at a pixel.
    pub(super) fn outline(
        &self,
        plane: PlaneAddress,
        (y, x): (usize, usize),
        reach: usize,
    ) -> Result<Vec<outline::Run>, ViewError> {
        let opened = self.opened();
        let shown = opened.field(plane.field)?;
        if y >= shown.size.0 || x >= shown.size.1 {
            let (height, width) = shown.size;
            return Err(ViewError::Absent(format!(
                "field `{}` has {height} x {width} pixels",
                shown.name
            )));
        }
        let window = outline::window((y, x), reach, shown.size);
        let part = self.images.region(shown, plane, window)?;
        let mut runs = outline::outline(&part, (y - window.y, x - window.x), reach)?;
        for run in &mut runs {
            let (top, left) = (window.y as u32, window.x as u32);
            *run = [run[0] + top, run[1] + left, run[2] + left];
        }
        Ok(runs)
    }

    /// A small picture of an image with its own contrast, at most [`THUMB`] pixels a side.
    pub(super) fn thumb(&self, plane: PlaneAddress) -> Result<Image<u8>, ViewError> {
        let tile = self.smallest(plane)?;
        let image = tile.to_f32();
        let Range { low, high, .. } = range_of(image.data().to_vec(), None);
        let (height, width) = image.size();
        let step = height.max(width).div_ceil(THUMB).max(1);
        let scale = 255.0 / (high - low).max(f32::MIN_POSITIVE);
        Ok(Image::from_fn(
            height.div_ceil(step),
            width.div_ceil(step),
            |y, x| {
                let (mut sum, mut count) = (0.0, 0.0);
                for row in y * step..((y + 1) * step).min(height) {
                    for &value in &image.row(row)[x * step..((x + 1) * step).min(width)] {
                        if value.is_finite() {
                            sum += value;
                            count += 1.0;
                        }
                    }
                }
                // Nothing but numbers that are none is black.
                let mean = if count > 0.0 { sum / count } else { low };
                ((mean - low) * scale).clamp(0.0, 255.0) as u8
            },
        ))
    }

    /// The labels of a layer, with their version.
    pub(super) fn labels(
        &self,
        number: usize,
        layer: usize,
    ) -> Result<(LabelPixels, u64), ViewError> {
        let opened = self.opened();
        let shown = opened.field(number)?;
        let absent = || {
            ViewError::Absent(format!(
                "field `{}` has no layer number {layer}",
                shown.name
            ))
        };
        if let Some(&LayerKind::Difference(first, second)) =
            opened.layers.get(layer).map(|layer| &layer.kind)
        {
            shown.labels[layer].as_ref().ok_or_else(absent)?;
            let ((first, version), (second, _)) =
                (self.labels(number, first)?, self.labels(number, second)?);
            let pixels = LabelPixels::Difference(Box::new(first), Box::new(second));
            return Ok((pixels, version));
        }
        if opened.corrections() == Some(layer)
            && let Some(store) = &self.store
        {
            shown.labels[layer].as_ref().ok_or_else(absent)?;
            let (labels, version) = store.labels(number, shown)?;
            return Ok((self.sized(shown, LabelPixels::Whole(labels))?, version));
        }
        let path = shown.labels.get(layer).and_then(Option::as_ref);
        let path = path.ok_or_else(absent)?;
        let labels = self.file(shown, path)?;
        Ok((self.sized(shown, labels)?, 0))
    }

    fn file(&self, shown: &Shown, path: &PathBuf) -> Result<LabelPixels, ViewError> {
        if shown.size.0 * shown.size.1 > LABELS_WHOLE_PX {
            return Ok(LabelPixels::File(path.clone(), shown.size));
        }
        let stamp = Stamp::of_file(path).map_err(|error| ViewError::file(path, error))?;
        if let Some(labels) = self.labels.get(&stamp) {
            return Ok(LabelPixels::Whole(labels));
        }
        let labels = read_labels(path)?;
        let bytes = 4 * labels.data().len();
        Ok(LabelPixels::Whole(self.labels.put(stamp, labels, bytes)))
    }

    /// Refuses labels of another size than their image.
    fn sized(&self, shown: &Shown, labels: LabelPixels) -> Result<LabelPixels, ViewError> {
        if labels.size() == shown.size {
            return Ok(labels);
        }
        let ((h, w), (height, width)) = (labels.size(), shown.size);
        Err(ViewError::Misuse(format!(
            "labels of field `{}` are {h} x {w} pixels and its image {height} x {width}",
            shown.name
        )))
    }

    /// The pixels of the object at a pixel of a layer, as rows `[y, first x, x after the last]`.
    pub(super) fn shape(
        &self,
        number: usize,
        layer: usize,
        at: (usize, usize),
    ) -> Result<Vec<outline::Run>, ViewError> {
        let (labels, _) = self.labels(number, layer)?;
        objects::shape(&labels, at)
    }

    /// The objects of a layer.
    pub(super) fn objects(
        &self,
        number: usize,
        layer: usize,
        other: Option<usize>,
    ) -> Result<(Vec<Object>, u64), ViewError> {
        let (labels, version) = self.labels(number, layer)?;
        let theirs = other.map(|other| self.labels(number, other)).transpose()?;
        let theirs = theirs.map(|(labels, _)| labels);
        let mut found = objects::list(&labels, theirs.as_ref())?;
        let opened = self.opened();
        let sure = |layer: Option<usize>| {
            let table = opened.field(number)?.sure.get(layer.unwrap_or(usize::MAX));
            let table = table.and_then(Option::as_ref);
            table.map_or(Ok(BTreeMap::new()), |table| confidences(table))
        };
        objects::add_confidence(&mut found, &sure(Some(layer))?, &sure(other)?);
        Ok((found, version))
    }

    /// The entries of a work list, with what of them was judged.
    pub(super) fn work(&self, list: usize, with_tests: bool) -> Result<Entries, ViewError> {
        let opened = self.opened();
        let mut found = opened.work(list, with_tests)?;
        let Some(store) = &self.store else {
            return Ok(found);
        };
        let mut by_field: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (i, entry) in found.entries.iter().enumerate() {
            by_field.entry(entry.field).or_default().push(i);
        }
        for (field, entries) in by_field {
            let places: Vec<_> = entries.iter().map(|&i| found.entries[i].at).collect();
            let judged = store.judged(field, opened.field(field)?, &places)?;
            for (i, done) in entries.into_iter().zip(judged) {
                found.entries[i].done = done;
            }
        }
        Ok(found)
    }

    /// The values of all channels and the numbers of all layers at a pixel; `None` where there is
    /// none.
    #[allow(clippy::type_complexity)]
    pub(super) fn pixel(
        &self,
        number: usize,
        z: usize,
        y: usize,
        x: usize,
    ) -> Result<(Vec<Option<f32>>, Vec<Option<u32>>), ViewError> {
        let opened = self.opened();
        let shown = opened.field(number)?;
        let (height, width) = shown.size;
        if y >= height || x >= width {
            return Err(ViewError::Absent(format!(
                "field `{}` has {height} x {width} pixels",
                shown.name
            )));
        }
        let tile = TILE;
        let at = TileAt {
            level: 0,
            y: y / tile,
            x: x / tile,
        };
        let (dy, dx) = (y % tile, x % tile);
        let channels = 0..opened.channels.len();
        let values = channels.map(|channel| {
            let depth = shown.image.as_ref()?.planes.get(channel)?.len();
            let plane = PlaneAddress {
                field: number,
                channel,
                z: z.min(depth.checked_sub(1)?),
            };
            let value = match &*self.image(plane, at).ok()? {
                Plane::U8(image) => f32::from(image.get(dy, dx)),
                Plane::U16(image) => f32::from(image.get(dy, dx)),
                Plane::F32(image) => image.get(dy, dx),
            };
            Some(value)
        });
        let region = Region {
            y,
            x,
            height: 1,
            width: 1,
        };
        let layers = 0..opened.layers.len();
        let numbers = layers.map(|layer| {
            let (labels, _) = self.labels(number, layer).ok()?;
            labels.window(region).ok().map(|pixel| pixel.get(0, 0))
        });
        Ok((values.collect(), numbers.collect()))
    }
}

/// The spans of values; `full` is what their type can hold.
fn range_of(mut values: Vec<f32>, full: Option<f32>) -> Range {
    values.retain(|value| value.is_finite());
    values.sort_unstable_by(f32::total_cmp);
    let last = values.len().saturating_sub(1);
    let value = |i: usize| values.get(i).copied().unwrap_or(0.0);
    let skipped = last / 1000;
    Range {
        low: value(skipped),
        high: value(last - skipped),
        min: value(0),
        max: value(last),
        full: full.unwrap_or(value(last)),
    }
}
