//! What is open: lists, tiles, labels and corrections, for every request.

use std::path::PathBuf;
use std::sync::Arc;

use stainfree_image::{Image, Plane, Region, Stamp, read_labels};

use super::Options;
use super::token::Token;
use crate::ViewError;
use crate::edit::Store;
use crate::objects::{self, Object};
use crate::opened::{Opened, Shown};
use crate::tiles::{Cache, Images, LABELS_WHOLE_PX, LabelPixels, PlaneAddress, TileAt, levels};

/// Everything that requests share.
pub(super) struct State {
    pub(super) opened: Opened,
    pub(super) token: Token,
    pub(super) read_only: bool,
    pub(super) who: String,
    pub(super) store: Option<Store>,
    images: Images,
    labels: Cache<Stamp, Image<u32>>,
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
        Ok(Self {
            store,
            token,
            read_only: options.read_only,
            who: options.who.clone(),
            // Labels of one field are read again and again, images page by page.
            images: Images::new(options.cache_bytes / 4 * 3),
            labels: Cache::new(options.cache_bytes / 4),
            opened,
            pool,
        })
    }

    /// Runs `work` on the threads of the server.
    pub(super) fn on_pool<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pool.install(work)
    }

    /// A tile of an image.
    pub(super) fn image(&self, plane: PlaneAddress, at: TileAt) -> Result<Arc<Plane>, ViewError> {
        let shown = self.opened.field(plane.field)?;
        self.images.tile(shown, plane, at)
    }

    /// What automatic contrast spans: 0.1 % of the pixels of the smallest level lie below it and
    /// 0.1 % above.
    pub(super) fn range(&self, plane: PlaneAddress) -> Result<Range, ViewError> {
        let shown = self.opened.field(plane.field)?;
        let level = levels(shown.size) - 1;
        let at = TileAt { level, y: 0, x: 0 };
        let tile = self.images.tile(shown, plane, at)?;
        let mut values = tile.to_f32().into_data();
        values.retain(|value| value.is_finite());
        values.sort_unstable_by(f32::total_cmp);
        let last = values.len().saturating_sub(1);
        let value = |i: usize| values.get(i).copied().unwrap_or(0.0);
        let skipped = last / 1000;
        Ok(Range {
            low: value(skipped),
            high: value(last - skipped),
            min: value(0),
            max: value(last),
            full: tile.full_range().unwrap_or(value(last)),
        })
    }

    /// The labels of a layer, with their version.
    pub(super) fn labels(
        &self,
        number: usize,
        layer: usize,
    ) -> Result<(LabelPixels, u64), ViewError> {
        let shown = self.opened.field(number)?;
        let absent = || {
            ViewError::Absent(format!(
                "field `{}` has no layer number {layer}",
                shown.name
            ))
        };
        if self.opened.corrections() == Some(layer)
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

    /// The objects of a layer.
    pub(super) fn objects(
        &self,
        number: usize,
        layer: usize,
        other: Option<usize>,
    ) -> Result<(Vec<Object>, u64), ViewError> {
        let (labels, version) = self.labels(number, layer)?;
        let other = other.map(|other| self.labels(number, other)).transpose()?;
        let other = other.map(|(labels, _)| labels);
        Ok((objects::list(&labels, other.as_ref())?, version))
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
        let shown = self.opened.field(number)?;
        let (height, width) = shown.size;
        if y >= height || x >= width {
            return Err(ViewError::Absent(format!(
                "field `{}` has {height} x {width} pixels",
                shown.name
            )));
        }
        let tile = crate::tiles::TILE;
        let at = TileAt {
            level: 0,
            y: y / tile,
            x: x / tile,
        };
        let (dy, dx) = (y % tile, x % tile);
        let channels = 0..self.opened.channels.len();
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
        let layers = 0..self.opened.layers.len();
        let numbers = layers.map(|layer| {
            let (labels, _) = self.labels(number, layer).ok()?;
            labels.window(region).ok().map(|pixel| pixel.get(0, 0))
        });
        Ok((values.collect(), numbers.collect()))
    }
}
