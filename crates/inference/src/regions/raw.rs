//! Rows of an image that is larger than memory, on their way to the network: read, blank pixels
//! found, brought to the model's pixel size.

use std::collections::VecDeque;
use std::ops::Range;

use stainfree_image::{Image, ImageError, Plane, PlaneRef, Region};
use stainfree_network::input::ranked;
use stainfree_network::resample::Resampling;
use stainfree_objects::{
    BlankRows, BlankSurvey, MOST_BLANK_PIXELS, SpeckLimits, blank_regions, joined,
};

/// Rows that are read at once: tiles of files are mostly as high, or half as high.
pub(super) const BLOCK: usize = 256;

/// Planes of one image, of which some rows are in memory.
pub(super) struct Raw<'a> {
    planes: &'a [PlaneRef],
    size: (usize, usize),
    /// First row and pixels of blocks, by plane.
    blocks: Vec<VecDeque<(usize, Plane)>>,
}

impl<'a> Raw<'a> {
    pub(super) fn new(planes: &'a [PlaneRef], size: (usize, usize)) -> Self {
        Self {
            planes,
            size,
            blocks: planes.iter().map(|_| VecDeque::new()).collect(),
        }
    }

    /// Rows of a plane as numbers. Rows before them are given up, and read again where they are
    /// asked for.
    fn rows(&mut self, plane: usize, rows: Range<usize>) -> Result<Image<f32>, ImageError> {
        let (height, width) = self.size;
        let blocks = &mut self.blocks[plane];
        if blocks.front().is_none_or(|(first, _)| *first > rows.start) {
            blocks.clear();
        }
        while blocks
            .front()
            .is_some_and(|(first, _)| first + BLOCK <= rows.start)
        {
            blocks.pop_front();
        }
        let mut next = match blocks.back() {
            Some((first, block)) => first + block.size().0,
            None => rows.start / BLOCK * BLOCK,
        };
        while next < rows.end {
            let region = Region {
                y: next,
                x: 0,
                height: BLOCK.min(height - next),
                width,
            };
            blocks.push_back((next, self.planes[plane].read_region(region)?));
            next += region.height;
        }
        let mut data = Vec::with_capacity(rows.len() * width);
        for (first, block) in blocks.iter() {
            let there = rows.start.max(*first)..rows.end.min(first + block.size().0);
            if there.is_empty() {
                continue;
            }
            let (from, to) = ((there.start - first) * width, (there.end - first) * width);
            match block {
                Plane::U8(block) => {
                    data.extend(block.data()[from..to].iter().map(|&v| f32::from(v)))
                }
                Plane::U16(block) => {
                    data.extend(block.data()[from..to].iter().map(|&v| f32::from(v)))
                }
                Plane::F32(block) => data.extend_from_slice(&block.data()[from..to]),
            }
        }
        Ok(Image::new(rows.len(), width, data))
    }

    /// The largest count of the image's format.
    pub(super) fn full_range(&mut self) -> Result<f32, ImageError> {
        self.rows(0, 0..1)?;
        let block = self.blocks[0].front();
        Ok(block.map_or(1.0, |(_, block)| crate::planes::full_range(block)))
    }
}

/// The rows that the network reads, at the model's pixel size.
pub(super) struct Rows<'a> {
    raw: Raw<'a>,
    blank: Vec<BlankRows>,
    /// Where the model reads another size.
    resampling: Option<Resampling>,
    /// Height and width at the model's pixel size.
    pub(super) size: (usize, usize),
    /// What blank pixels are filled with before they are resampled, by plane.
    fill: Vec<f32>,
}

impl<'a> Rows<'a> {
    /// Looks over all planes for pixels that show nothing; `go_on` is asked now and then.
    pub(super) fn survey<E: From<ImageError>>(
        mut raw: Raw<'a>,
        other: Option<[usize; 2]>,
        go_on: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Self, E> {
        let (height, width) = raw.size;
        let (mut blank, mut fill) = (Vec::new(), Vec::new());
        for plane in 0..raw.planes.len() {
            let mut survey = BlankSurvey::new(raw.size, MOST_BLANK_PIXELS);
            each_row(&mut raw, plane, go_on, &mut |_, row| survey.push(row))?;
            let found = survey.found();
            let (limits, middle) = specks(&mut raw, plane, &found, go_on)?;
            blank.push(found.with_specks(limits));
            fill.push(middle);
        }
        Ok(Self {
            raw,
            blank,
            size: other.map_or((height, width), |[height, width]| (height, width)),
            resampling: other.map(|to| Resampling::new([height, width], to)),
            fill,
        })
    }

    /// Whether some pixels may show nothing.
    pub(super) fn has_blank(&self) -> bool {
        self.blank.iter().any(BlankRows::any)
    }

    /// Every how many rows and columns were looked at for regions of one value.
    pub(super) fn step(&self) -> usize {
        self.blank.iter().map(BlankRows::step).max().unwrap_or(1)
    }

    /// Rows and columns of the image that these of the model's size are made of.
    pub(super) fn image_rows(&self, rows: Range<usize>) -> Range<usize> {
        match &self.resampling {
            None => rows,
            Some(resampling) => {
                let [rows, _] = resampling.needed(&[rows, 0..self.size.1]);
                rows
            }
        }
    }

    /// Pixels of the image's rows that show nothing, of all planes together, and those of them of
    /// which nothing is said.
    pub(super) fn blank_of_image(
        &mut self,
        rows: Range<usize>,
    ) -> Result<[Option<Image<bool>>; 2], ImageError> {
        if !self.has_blank() {
            return Ok([None, None]);
        }
        let (height, width) = self.raw.size;
        let around = rows.start.saturating_sub(BlankRows::MARGIN)
            ..(rows.end + BlankRows::MARGIN).min(height);
        let mut all = Image::filled(around.len(), width, false);
        for plane in 0..self.blank.len() {
            let values = self.raw.rows(plane, around.clone())?;
            let mut blank = Image::filled(around.len(), width, false);
            self.blank[plane].mark(around.start, &values, &mut blank);
            all = joined(Some(all), Some(blank)).unwrap_or_else(|| Image::filled(0, 0, false));
        }
        let cut = |image: &Image<bool>| image.crop(rows.start - around.start, 0, rows.len(), width);
        let open = blank_regions(&all).map(|open| cut(&open));
        Ok([Some(cut(&all)), open])
    }

    /// Blank pixels (or open ones) of rows of the model's size.
    fn mask(
        &mut self,
        rows: Range<usize>,
        which: usize,
    ) -> Result<Option<Image<bool>>, ImageError> {
        let image_rows = self.image_rows(rows.clone());
        let [blank, open] = self.blank_of_image(image_rows.clone())?;
        let mask = if which == 0 { blank } else { open };
        let (Some(mask), Some(resampling)) = (&mask, &self.resampling) else {
            return Ok(mask);
        };
        let share = mask.map(|&blank| if blank { 1.0 } else { 0.0 });
        let part = [rows, 0..self.size.1];
        let share = resampling.part(&share, [image_rows.start, 0], &part);
        Ok(Some(share.map(|&share| share > 1e-3)))
    }

    /// Pixels of which nothing is said, of rows of the model's size.
    pub(super) fn open(&mut self, rows: Range<usize>) -> Result<Option<Image<bool>>, ImageError> {
        self.mask(rows, 1)
    }

    /// Rows of a plane at the model's size, and which of their pixels are blank.
    pub(super) fn plane(
        &mut self,
        plane: usize,
        rows: Range<usize>,
    ) -> Result<(Image<f32>, Option<Image<bool>>), ImageError> {
        let blank = self.mask(rows.clone(), 0)?;
        let image_rows = self.image_rows(rows.clone());
        let of_image = match self.resampling.is_some() {
            true => self.blank_of_image(image_rows.clone())?[0].take(),
            false => None,
        };
        let mut values = self.raw.rows(plane, image_rows.clone())?;
        if let Some(of_image) = of_image {
            let pairs = values.data_mut().iter_mut().zip(of_image.data());
            pairs
                .filter(|(_, blank)| **blank)
                .for_each(|(v, _)| *v = self.fill[plane]);
        }
        if let Some(resampling) = &self.resampling {
            values = resampling.part(&values, [image_rows.start, 0], &[rows, 0..self.size.1]);
        }
        Ok((values, blank))
    }
}

/// Goes over all rows of a plane.
fn each_row<E: From<ImageError>>(
    raw: &mut Raw,
    plane: usize,
    go_on: &mut dyn FnMut() -> Result<(), E>,
    f: &mut dyn FnMut(usize, &[f32]),
) -> Result<(), E> {
    for top in (0..raw.size.0).step_by(BLOCK) {
        go_on()?;
        let rows = raw.rows(plane, top..(top + BLOCK).min(raw.size.0))?;
        (0..rows.height()).for_each(|y| f(top + y, rows.row(y)));
    }
    Ok(())
}

/// Beyond which values a plane has specks, if it has any, and the middle of its values.
fn specks<E: From<ImageError>>(
    raw: &mut Raw,
    plane: usize,
    blank: &BlankRows,
    go_on: &mut dyn FnMut() -> Result<(), E>,
) -> Result<(Option<SpeckLimits>, f32), E> {
    let mut seen = |f: &mut dyn FnMut(f32)| {
        each_row(raw, plane, go_on, &mut |y, row| {
            blank.each_seen(y, row, &mut *f)
        })
    };
    let ranks = |count: usize| {
        let rank = SpeckLimits::rank(count).unwrap_or(0);
        vec![rank, count - 1 - rank, count / 2]
    };
    let (count, found) = ranked(ranks, &mut seen)?;
    let &[low, high, middle] = &found[..] else {
        return Ok((None, 0.0));
    };
    let limits = SpeckLimits::rank(count).and_then(|_| SpeckLimits::between(low, high));
    let Some(limits) = limits else {
        return Ok((None, middle));
    };
    let mut far = 0;
    seen(&mut |v| far += usize::from(limits.is_far(v)))?;
    let is_speck = SpeckLimits::are_few(far, count);
    Ok((is_speck.then_some(limits), middle))
}
