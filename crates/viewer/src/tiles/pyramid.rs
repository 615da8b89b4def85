//! Tiles of images: read by region, made smaller by averaging.

use std::sync::Arc;

use rayon::prelude::*;
use stainfree_image::{Image, Plane, Region};

use super::{Cache, TILE, TileAt, bytes_of};
use crate::ViewError;
use crate::opened::Shown;

/// Planes of at most so many pixels are read whole and cut: strips of a compressed file would be
/// unpacked once for every tile that they touch.
const WHOLE_PX: usize = 1 << 24;

/// Levels from here on are kept when they are made on the way to a coarser one. The finer ones
/// would push all others out: a coarse tile of a large image is made of thousands of them. With it
/// the levels kept of an image of 40,000 x 40,000 pixels are a twelfth of its bytes.
const KEPT_LEVEL: u32 = 2;

/// Which plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PlaneAddress {
    pub(crate) field: usize,
    pub(crate) channel: usize,
    pub(crate) z: usize,
}

/// Tiles of the images, as they are asked for.
#[derive(Debug)]
pub(crate) struct Images {
    cache: Cache<(PlaneAddress, TileAt), Plane>,
}

impl Images {
    /// Keeps at most `cap` bytes of tiles.
    pub(crate) fn new(cap: usize) -> Self {
        Self {
            cache: Cache::new(cap),
        }
    }

    /// A tile of a plane of the field `shown`.
    ///
    /// # Errors
    /// There is no such plane or tile, or the image cannot be read.
    pub(crate) fn tile(
        &self,
        shown: &Shown,
        plane: PlaneAddress,
        at: TileAt,
    ) -> Result<Arc<Plane>, ViewError> {
        self.made(shown, plane, at, true)
    }

    /// Whether a tile is there already, or takes no more than those of the next finer levels.
    pub(crate) fn is_at_hand(&self, plane: PlaneAddress, at: TileAt) -> bool {
        at.level < KEPT_LEVEL + 1 || self.cache.get(&(plane, at)).is_some()
    }

    /// A tile, kept where that is wanted.
    fn made(
        &self,
        shown: &Shown,
        plane: PlaneAddress,
        at: TileAt,
        keep: bool,
    ) -> Result<Arc<Plane>, ViewError> {
        let window = at.window(shown.size)?;
        if let Some(tile) = self.cache.get(&(plane, at)) {
            return Ok(tile);
        }
        if at.level == 0 {
            return self.full(shown, plane, at, window, keep);
        }
        // Side by side: what takes the time is unpacking what lies below.
        let places = [(0, 0), (0, 1), (1, 0), (1, 1)];
        let parts = places.into_par_iter().map(|(dy, dx)| {
            let child = TileAt {
                level: at.level - 1,
                y: 2 * at.y + dy,
                x: 2 * at.x + dx,
            };
            // At the rim there may be none.
            if child.window(shown.size).is_err() {
                return Ok(None);
            }
            let tile = self.made(shown, plane, child, child.level >= KEPT_LEVEL)?;
            Ok(Some(((dy, dx), halved(&tile))))
        });
        let parts: Vec<_> = parts.collect::<Result<_, ViewError>>()?;
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        let (_, _, height, width) = window;
        let tile = joined(&parts, height, width)?;
        Ok(self.kept(plane, at, tile, keep))
    }

    fn kept(&self, plane: PlaneAddress, at: TileAt, tile: Plane, keep: bool) -> Arc<Plane> {
        let bytes = bytes_of(&tile);
        match keep {
            true => self.cache.put((plane, at), tile, bytes),
            false => Arc::new(tile),
        }
    }

    /// A part of a plane in its full resolution.
    ///
    /// # Errors
    /// As [`tile`](Self::tile), and a part beyond the image.
    pub(crate) fn region(
        &self,
        shown: &Shown,
        plane: PlaneAddress,
        region: Region,
    ) -> Result<Image<f32>, ViewError> {
        let mut part = Image::filled(region.height, region.width, 0.0);
        let (bottom, right) = (region.y + region.height, region.x + region.width);
        for ty in region.y / TILE..bottom.div_ceil(TILE) {
            for tx in region.x / TILE..right.div_ceil(TILE) {
                let at = TileAt {
                    level: 0,
                    y: ty,
                    x: tx,
                };
                let tile = self.tile(shown, plane, at)?.to_f32();
                let (top, left) = (ty * TILE, tx * TILE);
                for y in region.y.max(top)..bottom.min(top + tile.height()) {
                    let (from, to) = (region.x.max(left), right.min(left + tile.width()));
                    let row = &tile.row(y - top)[from - left..to - left];
                    part.row_mut(y - region.y)[from - region.x..to - region.x].copy_from_slice(row);
                }
            }
        }
        Ok(part)
    }

    fn full(
        &self,
        shown: &Shown,
        plane: PlaneAddress,
        at: TileAt,
        (y, x, height, width): (usize, usize, usize, usize),
        keep: bool,
    ) -> Result<Arc<Plane>, ViewError> {
        let image = shown.image.as_ref().ok_or_else(|| {
            ViewError::Absent(format!("no image of field `{}` is at hand", shown.name))
        })?;
        let region = Region {
            y,
            x,
            height,
            width,
        };
        if shown.size.0 * shown.size.1 > WHOLE_PX {
            let tile = image.plane(plane.channel, plane.z)?.read_region(region)?;
            return Ok(self.kept(plane, at, tile, keep));
        }
        let whole = image.read(plane.channel, plane.z)?;
        let mut wanted = None;
        for ty in 0..shown.size.0.div_ceil(TILE) {
            for tx in 0..shown.size.1.div_ceil(TILE) {
                let one = TileAt {
                    level: 0,
                    y: ty,
                    x: tx,
                };
                let (y, x, height, width) = one.window(shown.size)?;
                let tile = cropped(&whole, y, x, height, width);
                let bytes = bytes_of(&tile);
                let kept = self.cache.put((plane, one), tile, bytes);
                if one == at {
                    wanted = Some(kept);
                }
            }
        }
        wanted.ok_or_else(|| ViewError::Absent("there is no such tile".to_owned()))
    }
}

fn cropped(plane: &Plane, y: usize, x: usize, height: usize, width: usize) -> Plane {
    match plane {
        Plane::U8(image) => Plane::U8(image.crop(y, x, height, width)),
        Plane::U16(image) => Plane::U16(image.crop(y, x, height, width)),
        Plane::F32(image) => Plane::F32(image.crop(y, x, height, width)),
    }
}

/// Half the size, rounded up: the mean of 2 x 2, or of those of them that there are; halves of
/// whole numbers go up. A mean with a number that is none is none.
fn halved(plane: &Plane) -> Plane {
    match plane {
        Plane::U8(image) => Plane::U8(half(image, |sum: u32, n| ((sum + n / 2) / n) as u8)),
        Plane::U16(image) => Plane::U16(half(image, |sum: u32, n| ((sum + n / 2) / n) as u16)),
        Plane::F32(image) => Plane::F32(half(image, |sum: f32, n| sum / n as f32)),
    }
}

fn half<T, S>(image: &Image<T>, mean: impl Fn(S, u32) -> T) -> Image<T>
where
    T: Copy,
    S: From<T> + std::ops::Add<Output = S>,
{
    let (height, width) = image.size();
    Image::from_fn(height.div_ceil(2), width.div_ceil(2), |y, x| {
        let (y, x) = (2 * y, 2 * x);
        let mut sum = S::from(image.get(y, x));
        let mut count = 1;
        for (y, x) in [(y, x + 1), (y + 1, x), (y + 1, x + 1)] {
            if y < height && x < width {
                sum = sum + S::from(image.get(y, x));
                count += 1;
            }
        }
        mean(sum, count)
    })
}

/// A tile of the halves of its four, by their places in it.
fn joined(
    parts: &[((usize, usize), Plane)],
    height: usize,
    width: usize,
) -> Result<Plane, ViewError> {
    macro_rules! join {
        ($variant:ident, $zero:expr) => {{
            let mut tile = Image::filled(height, width, $zero);
            for ((dy, dx), part) in parts {
                let Plane::$variant(part) = part else {
                    return Err(ViewError::Absent(
                        "the planes of this image changed while it was read".to_owned(),
                    ));
                };
                let (y, x) = (dy * TILE / 2, dx * TILE / 2);
                for row in 0..part.height().min(height - y) {
                    let columns = part.width().min(width - x);
                    let to = &mut tile.row_mut(y + row)[x..x + columns];
                    to.copy_from_slice(&part.row(row)[..columns]);
                }
            }
            Plane::$variant(tile)
        }};
    }
    Ok(match parts.first() {
        Some((_, Plane::U8(_))) => join!(U8, 0),
        Some((_, Plane::U16(_))) => join!(U16, 0),
        Some((_, Plane::F32(_))) => join!(F32, 0.0),
        None => return Err(ViewError::Absent("there is no such tile".to_owned())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_means_of_those_that_there_are() {
        let image = Plane::U8(Image::new(3, 3, vec![0, 1, 9, 2, 4, 255, 7, 8, 3]));
        let expected = Image::new(2, 2, vec![2, 132, 8, 3]);
        assert_eq!(halved(&image), Plane::U8(expected));
        let image = Plane::U16(Image::new(2, 2, vec![65_535; 4]));
        assert_eq!(
            halved(&image),
            Plane::U16(Image::new(1, 1, vec![65_535u16]))
        );
        let image = Plane::F32(Image::new(1, 3, vec![0.5, 1.0, f32::NAN]));
        let Plane::F32(half) = halved(&image) else {
            panic!("another type");
        };
        assert_eq!(half.get(0, 0), 0.75);
        assert!(half.get(0, 1).is_nan());
    }

    /// The levels of a gradient that is a file, against means of the whole image.
    #[test]
    fn every_level_is_the_mean_of_what_it_covers() {
        let folder = tempfile::tempdir().unwrap();
        let (height, width) = (1100, 1300);
        let image = Image::from_fn(height, width, |y, x| (8 * y + 4 * x) as u16);
        let path = folder.path().join("a.tif");
        stainfree_image::write::plane_u16(&path, &image, &Default::default()).unwrap();
        let opened = crate::Opened::open(folder.path(), None, &Default::default()).unwrap();
        let shown = opened.field(0).unwrap();
        let images = Images::new(1 << 24);
        let plane = PlaneAddress {
            field: 0,
            channel: 0,
            z: 0,
        };
        let mut whole = Plane::U16(image);
        for level in 0..super::super::levels(shown.size) {
            let mut seen = 0;
            for y in 0..4 {
                for x in 0..4 {
                    let at = TileAt { level, y, x };
                    let Ok((y, x, height, width)) = at.window(shown.size) else {
                        continue;
                    };
                    let tile = images.tile(shown, plane, at).unwrap();
                    assert_eq!(*tile, cropped(&whole, y, x, height, width), "{at:?}");
                    seen += height * width;
                }
            }
            assert_eq!(seen, whole.size().0 * whole.size().1, "level {level}");
            whole = halved(&whole);
        }
    }
}
