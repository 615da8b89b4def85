//! Nuclei of a predicted field that is larger than memory: rows in, rows of labels out.
//!
//! The result is that of [`super::nuclei_from_prediction`] on the whole field, number by number.
//! Everything the rule does is local to what hangs together, so the rows that are held are those of
//! components that may still go on below, of holes of which nobody knows yet how large they become,
//! and as many more as filters see. Labels are numbered when rows are handed on, which is the
//! raster order of first pixels.
//!
//! Only [`Splitting::Evidence`] weighs all borders of a field together; here it weighs those of the
//! nuclei that are parted at once. And what hangs together over more rows than may be held is cut
//! at the last of them ([`NucleiRows::cut`]).

use super::{NucleusRule, PredictedField, least_area, nuclei_of_pixels, pixels};
use crate::bits::Bits;
use crate::error::ObjectsError;
use crate::labels::Connectivity;
use crate::runs::{Components, Frame, without_small};
use crate::scheme::NUCLEUS;
use crate::splitting::{Distances, Splitting};
use stainfree_image::Image;
use std::collections::HashMap;

/// Columns of what is parted at once.
const CHUNK: usize = 1024;

/// What is known of a field beforehand.
#[derive(Clone, Debug)]
pub struct RowsField {
    /// Height and width.
    pub size: (usize, usize),
    /// The size of a pixel in um, where it is known.
    pub pixel_um: Option<f64>,
    /// How nuclei are made.
    pub rule: NucleusRule,
    /// Whether the classes are those of scheme B.
    pub lines: bool,
    /// Classes that are nuclei's besides the first: mitotic ones.
    pub also_nuclei: Option<u8>,
    /// What maps there are, in this order: the probability of a nucleus, the distance to the
    /// border, that to the neighbour, the flow down and to the right.
    pub maps: [bool; 5],
    /// How many further maps are only handed on with the rows that they are of.
    pub carried: usize,
    /// The most rows that may be held.
    pub most: usize,
}

/// Rows of a field that are done.
#[derive(Clone, Debug, PartialEq)]
pub struct RowsDone {
    /// The first of them.
    pub first: usize,
    /// As they were given.
    pub classes: Image<u8>,
    /// 0 is background.
    pub labels: Image<u32>,
    /// As they were given, those that are carried last.
    pub maps: Vec<Image<f32>>,
}

/// Makes nuclei row by row.
pub struct NucleiRows {
    field: RowsField,
    /// Rows that are held around what is parted.
    context: usize,
    /// The first row that is held, and the next that is handed on.
    first: usize,
    emitted: usize,
    classes: Held<u8>,
    maps: Vec<Held<f32>>,
    /// Pixels of nuclei that have no label yet; of fewer rows than there are classes, where the
    /// probability is smoothed.
    mask: Held<bool>,
    /// Labels that count by themselves until rows are handed on.
    labels: Held<u32>,
    next: u32,
    numbers: HashMap<u32, u32>,
    count: u32,
    cut: usize,
}

/// Rows one after the other.
struct Held<T> {
    width: usize,
    data: Vec<T>,
}

impl<T: Copy> Held<T> {
    fn new(width: usize) -> Self {
        Self {
            width,
            data: Vec::new(),
        }
    }

    fn height(&self) -> usize {
        self.data.len() / self.width.max(1)
    }

    fn row(&self, y: usize) -> &[T] {
        &self.data[y * self.width..][..self.width]
    }

    fn row_mut(&mut self, y: usize) -> &mut [T] {
        &mut self.data[y * self.width..][..self.width]
    }

    fn drop_first(&mut self, rows: usize) {
        self.data.drain(..rows * self.width);
    }

    fn rows(&self, from: usize, to: usize) -> Image<T> {
        let data = self.data[from * self.width..to * self.width].to_vec();
        Image::new(to - from, self.width, data)
    }

    fn crop(&self, frame: Frame) -> Image<T> {
        let (height, width) = frame.size();
        let rows = frame.rows().flat_map(|y| &self.row(y)[frame.columns()]);
        Image::new(height, width, rows.copied().collect())
    }
}

/// Where a component lies, and whether all of it is known.
#[derive(Clone, Copy)]
struct Reach {
    top: usize,
    is_whole: bool,
}

impl NucleiRows {
    /// Nothing yet.
    ///
    /// # Errors
    /// As [`super::nuclei_from_prediction`] for the rule and the pixel size.
    pub fn new(field: RowsField) -> Result<Self, ObjectsError> {
        // Of a field without pixels, for what it refuses.
        let nothing = Image::new(0, 0, Vec::new());
        let no_map = Image::new(0, 0, Vec::new());
        let maps: Vec<&Image<f32>> = field
            .maps
            .iter()
            .filter(|&&map| map)
            .map(|_| &no_map)
            .collect();
        super::nuclei_from_prediction(
            &of_maps(&field, &nothing, &maps),
            field.pixel_um,
            &field.rule,
        )?;
        let width = field.size.1;
        Ok(Self {
            context: context(&field),
            first: 0,
            emitted: 0,
            classes: Held::new(width),
            maps: (0..maps.len() + field.carried)
                .map(|_| Held::new(width))
                .collect(),
            mask: Held::new(width),
            labels: Held::new(width),
            next: 1,
            numbers: HashMap::new(),
            count: 0,
            cut: 0,
            field,
        })
    }

    /// Number of nuclei in the rows that were handed on.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Number of things that were cut since they are higher than the rows that may be held.
    pub fn cut(&self) -> usize {
        self.cut
    }

    /// Takes the next rows, and gives those that are done now; with the last row, all that remain.
    ///
    /// # Errors
    /// As [`crate::split`].
    ///
    /// # Panics
    /// If there are not the maps that were announced, or sizes differ.
    pub fn push(
        &mut self,
        classes: &Image<u8>,
        maps: &[Image<f32>],
    ) -> Result<Option<RowsDone>, ObjectsError> {
        assert_eq!(maps.len(), self.maps.len(), "the maps that were announced");
        let width = self.field.size.1;
        assert!(
            classes.width() == width && maps.iter().all(|map| map.size() == classes.size()),
            "rows of another width"
        );
        self.classes.data.extend_from_slice(classes.data());
        for (held, map) in self.maps.iter_mut().zip(maps) {
            held.data.extend_from_slice(map.data());
        }
        self.extend_mask()?;
        self.labels.data.resize(self.mask.data.len(), 0);
        let goes_on = self.label_whole()?;
        Ok(self.hand_on(goes_on))
    }

    /// Finds the pixels of nuclei in rows of which enough is known.
    fn extend_mask(&mut self) -> Result<(), ObjectsError> {
        let (there, known) = (self.classes.height(), self.mask.height());
        let is_last = self.first + there == self.field.size.0;
        let radius = smoothing_radius(&self.field);
        let ends = match is_last {
            true => there,
            false => there.saturating_sub(radius),
        };
        if ends <= known {
            return Ok(());
        }
        // With what the filter sees; at the rows that are cut off it mirrors what is not used.
        let (from, to) = (known.saturating_sub(radius), (ends + radius).min(there));
        let classes = self.scene_classes(from, to);
        let maps: Vec<Image<f32>> = self.read().map(|map| map.rows(from, to)).collect();
        let maps: Vec<&Image<f32>> = maps.iter().collect();
        let field = of_maps(&self.field, &classes, &maps);
        let found = pixels(&field, self.field.pixel_um, &self.field.rule)?;
        let found =
            &found.data()[(known - from) * self.mask.width..(ends - from) * self.mask.width];
        self.mask.data.extend_from_slice(found);
        Ok(())
    }

    /// The maps that nuclei are made of.
    fn read(&self) -> impl Iterator<Item = &Held<f32>> {
        self.maps[..self.maps.len() - self.field.carried].iter()
    }

    fn scene_classes(&self, from: usize, to: usize) -> Image<u8> {
        let also = self.field.also_nuclei;
        let as_nucleus = |&class: &u8| if Some(class) == also { NUCLEUS } else { class };
        self.classes.rows(from, to).map(as_nucleus)
    }

    /// Labels all of which everything is known; gives the first row of what is not, from the first
    /// that is held.
    fn label_whole(&mut self) -> Result<usize, ObjectsError> {
        let (height, width) = (self.mask.height(), self.mask.width);
        let todo = Bits::from_rows(height, width, |y, row| {
            row.copy_from_slice(self.mask.row(y))
        });
        let found = Components::new(&todo, Connectivity::Eight);
        let holes = Components::new(&todo.inverse(), Connectivity::Four);
        let mut reaches = self.reaches(&found);
        let fillable = self.tie(&found, &holes, &mut reaches);
        let mut goes_on = height;
        for reach in reaches.iter().skip(1).filter(|reach| !reach.is_whole) {
            goes_on = goes_on.min(reach.top);
        }
        if height - goes_on > self.field.most {
            // What is as high as this is no nucleus; half of the rows remain for what is.
            for reach in reaches.iter_mut().skip(1) {
                let is_cut = !reach.is_whole && height - reach.top > self.field.most / 2;
                self.cut += usize::from(is_cut);
                reach.is_whole |= is_cut;
            }
            let open = reaches.iter().skip(1).filter(|reach| !reach.is_whole);
            goes_on = open.map(|reach| reach.top).min().unwrap_or(height);
        }
        let mut whole = Bits::empty(height, width);
        for (y, run, label) in found.iter() {
            if reaches[label as usize].is_whole {
                whole.set(y, run);
                self.mask.row_mut(y)[run.columns()].fill(false);
            }
        }
        for (y, run, label) in holes.iter() {
            let around = fillable[label as usize];
            if around.is_some_and(|around| reaches[around as usize].is_whole) {
                whole.set(y, run);
            }
        }
        let least = least_area(self.field.pixel_um, &self.field.rule);
        self.label_parts(without_small(whole, least, Connectivity::Four))?;
        Ok(goes_on)
    }

    /// Top of every component, and whether it ends above the last rows; index 0 is not used.
    fn reaches(&self, found: &Components) -> Vec<Reach> {
        let height = self.mask.height();
        let is_last = self.first + height == self.field.size.0;
        let nothing = Reach {
            top: usize::MAX,
            is_whole: true,
        };
        let mut reaches = vec![nothing; found.count() + 1];
        for (y, _, label) in found.iter() {
            let reach = &mut reaches[label as usize];
            reach.top = reach.top.min(y);
            reach.is_whole &= is_last || y + 1 + self.context <= height;
        }
        reaches
    }

    /// Ties what lies around one hole together, which fills as one: none of it is whole before all
    /// is, and before the hole is known. Gives for every hole that is to be filled one of the
    /// components around it.
    fn tie(
        &self,
        found: &Components,
        holes: &Components,
        reaches: &mut [Reach],
    ) -> Vec<Option<u32>> {
        let (height, width) = self.mask.size_of();
        let rule = &self.field.rule;
        let most = self
            .field
            .pixel_um
            .map_or(usize::MAX, |um| (rule.max_hole_um2 / (um * um)) as usize);
        let is_last = self.first + height == self.field.size.0;
        let areas = holes.areas();
        let (mut at_rim, mut is_open) = (vec![false; areas.len()], vec![false; areas.len()]);
        for (y, run, label) in holes.iter() {
            let last = y + 1 == height;
            let side = run.from == 0 || run.to as usize == width;
            at_rim[label as usize] |= side || y == 0 || last && is_last;
            is_open[label as usize] |= last && !is_last;
        }
        let counts = |hole: u32| !at_rim[hole as usize] && areas[hole as usize] <= most;
        let mut around: Vec<Option<u32>> = vec![None; areas.len()];
        let mut parent: Vec<u32> = (0..reaches.len() as u32).collect();
        for y in 0..height {
            let mut sides = found.in_row(y).peekable();
            let mut left: Option<u32> = None;
            for (run, hole) in holes.in_row(y) {
                while let Some((_, label)) = sides.next_if(|(side, _)| side.to <= run.from) {
                    left = Some(label);
                }
                let right = sides.peek().map(|&(_, label)| label);
                if !counts(hole) {
                    continue;
                }
                // A hole that is not at the rim has something on either side.
                for label in [left, right].into_iter().flatten() {
                    let one = *around[hole as usize].get_or_insert(label);
                    join(&mut parent, one, label);
                }
            }
        }
        for (hole, label) in around.iter().enumerate() {
            if let Some(label) = label.filter(|_| is_open[hole]) {
                reaches[label as usize].is_whole = false;
            }
        }
        let mut is_whole = vec![true; reaches.len()];
        for (label, reach) in reaches.iter().enumerate() {
            is_whole[find(&mut parent, label as u32) as usize] &= reach.is_whole;
        }
        for (label, reach) in reaches.iter_mut().enumerate() {
            reach.is_whole = is_whole[find(&mut parent, label as u32) as usize];
        }
        let open = |(hole, label): (usize, Option<u32>)| label.filter(|_| !is_open[hole]);
        around.into_iter().enumerate().map(open).collect()
    }

    /// Parts what is whole, a few columns at a time.
    fn label_parts(&mut self, whole: Bits) -> Result<(), ObjectsError> {
        let (height, width) = whole.size();
        let groups = Components::new(&whole, Connectivity::Four).groups();
        let mut parts: Vec<(usize, Frame)> =
            (0..groups.len()).map(|i| (i, groups.frame(i))).collect();
        parts.sort_by_key(|(i, frame)| (frame.left / CHUNK, *i));
        for some in parts.chunk_by(|a, b| a.1.left / CHUNK == b.1.left / CHUNK) {
            let frames = some.iter().map(|(_, frame)| *frame);
            let around = frames.reduce(|a, b| Frame {
                top: a.top.min(b.top),
                left: a.left.min(b.left),
                bottom: a.bottom.max(b.bottom),
                right: a.right.max(b.right),
            });
            let Some(around) = around else { continue };
            let frame = around.widened(self.context, (height, width));
            let mut mask = Image::filled(frame.size().0, frame.size().1, false);
            for &(y, run) in some.iter().flat_map(|(i, _)| groups.runs(*i)) {
                let row = mask.row_mut(y as usize - frame.top);
                row[run.relative_to(frame.left).columns()].fill(true);
            }
            let classes = self.scene_classes(frame.top, frame.bottom);
            let classes = classes.crop(0, frame.left, frame.size().0, frame.size().1);
            let maps: Vec<Image<f32>> = self.read().map(|map| map.crop(frame)).collect();
            let maps: Vec<&Image<f32>> = maps.iter().collect();
            let field = of_maps(&self.field, &classes, &maps);
            let found = nuclei_of_pixels(&mask, &field, self.field.pixel_um, &self.field.rule)?;
            for y in frame.rows() {
                let from = found.image.row(y - frame.top);
                let to = &mut self.labels.row_mut(y)[frame.columns()];
                for (to, &label) in to.iter_mut().zip(from).filter(|(_, label)| **label > 0) {
                    *to = self.next - 1 + label;
                }
            }
            self.next += found.count as u32;
        }
        Ok(())
    }

    /// Numbers the rows above `goes_on` and gives them away.
    fn hand_on(&mut self, goes_on: usize) -> Option<RowsDone> {
        let from = self.emitted - self.first;
        if goes_on <= from {
            return None;
        }
        let mut labels = self.labels.rows(from, goes_on);
        for run in labels.data_mut().chunk_by_mut(|a, b| a == b) {
            if run[0] == 0 {
                continue;
            }
            let number = *self.numbers.entry(run[0]).or_insert_with(|| {
                self.count += 1;
                self.count
            });
            run.fill(number);
        }
        let done = RowsDone {
            first: self.emitted,
            classes: self.classes.rows(from, goes_on),
            labels,
            maps: self
                .maps
                .iter()
                .map(|map| map.rows(from, goes_on))
                .collect(),
        };
        self.emitted = self.first + goes_on;
        let mut remaining: HashMap<u32, u32> = HashMap::new();
        for run in self.labels.data[goes_on * self.labels.width..].chunk_by(|a, b| a == b) {
            if let Some(&number) = self.numbers.get(&run[0]) {
                remaining.insert(run[0], number);
            }
        }
        self.numbers = remaining;
        let drop = goes_on.saturating_sub(self.context);
        self.classes.drop_first(drop);
        self.maps.iter_mut().for_each(|map| map.drop_first(drop));
        self.mask.drop_first(drop);
        self.labels.drop_first(drop);
        self.first += drop;
        Some(done)
    }
}

impl Held<bool> {
    fn size_of(&self) -> (usize, usize) {
        (self.height(), self.width)
    }
}

fn find(parent: &mut [u32], mut i: u32) -> u32 {
    while parent[i as usize] != i {
        let up = parent[parent[i as usize] as usize];
        parent[i as usize] = up;
        i = up;
    }
    i
}

fn join(parent: &mut [u32], a: u32, b: u32) {
    let (a, b) = (find(parent, a), find(parent, b));
    parent[a.max(b) as usize] = a.min(b);
}

/// What is known of these rows.
fn of_maps<'a>(
    field: &RowsField,
    classes: &'a Image<u8>,
    maps: &[&'a Image<f32>],
) -> PredictedField<'a> {
    let place = |map: usize| field.maps[..map].iter().filter(|&&there| there).count();
    let at = |map: usize| field.maps[map].then(|| maps[place(map)]);
    PredictedField {
        classes,
        lines: field.lines,
        probability: at(0),
        distances: at(1).map(|border| Distances {
            border,
            neighbour: at(2),
        }),
        flow: at(3).zip(at(4)).map(|(down, right)| [down, right]),
    }
}

/// How many rows the filter of the probability sees to either side.
fn smoothing_radius(field: &RowsField) -> usize {
    let rule = &field.rule;
    match rule.threshold.filter(|_| !field.lines) {
        Some(_) => reach_of(rule.smoothing_um / field.pixel_um.unwrap_or(1.0)),
        None => 0,
    }
}

/// Pixels that a Gaussian sees to either side, and what stands around it.
fn reach_of(sigma: f64) -> usize {
    if sigma > 0.0 {
        (4.0 * sigma).ceil() as usize + 1
    } else {
        0
    }
}

/// How many rows beside a part its splitting looks at.
fn context(field: &RowsField) -> usize {
    let um = field.pixel_um.unwrap_or_else(|| {
        let rule = &field.rule;
        (rule.min_area_um2 / rule.min_area_px.max(1) as f64).sqrt()
    });
    let smoothing = match field.rule.splitting {
        Splitting::Evidence(method) => method.smoothing_um,
        Splitting::Distance(method) => method.smoothing_um,
        Splitting::Intensity(method) => method.smoothing_um,
        Splitting::Learned(method) => method.smoothing_um,
        _ => 0.0,
    };
    let um = if um > 0.0 { um } else { 1.0 };
    reach_of(smoothing / um).max(smoothing_radius(field)) + 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predicted::nuclei_from_prediction;
    use crate::splitting::{Distance, Flow, Learned};

    /// Numbers scattered by multiples of large primes.
    fn hash(y: usize, x: usize) -> usize {
        (y * 7919 + x * 104_729 + y * x * 31) * 2_654_435_761 % 1009
    }

    /// Discs, some of which touch, rings with islands, specks, and a frame around much of it.
    fn classes(height: usize, width: usize) -> Image<u8> {
        Image::from_fn(height, width, |y, x| {
            let (v, u) = (y / 24, x / 24);
            let (dy, dx) = ((y % 24) as f64 - 12.0, (x % 24) as f64 - 12.0);
            let r = dy.hypot(dx);
            let disc = match hash(v, u) % 5 {
                0 => r < 8.0,
                1 => r < 13.5,
                2 => (7.0..10.0).contains(&r) || r < 2.0,
                3 => (3.0..11.0).contains(&r),
                _ => false,
            };
            let frame = (30..34).contains(&y) && (20..120).contains(&x)
                || (20..23).contains(&x) && (30..90).contains(&y)
                || (117..120).contains(&x) && (30..100).contains(&y);
            if disc || frame || hash(y, x).is_multiple_of(97) {
                [NUCLEUS, 3][hash(v, u) % 2]
            } else {
                [0, 2, 255][hash(y / 9, x / 7) % 3]
            }
        })
    }

    fn maps(classes: &Image<u8>) -> Vec<Image<f32>> {
        let (height, width) = classes.size();
        let is_nucleus = |y: usize, x: usize| matches!(classes.get(y, x), NUCLEUS | 3);
        (0..5)
            .map(|map| {
                Image::from_fn(height, width, |y, x| {
                    let noise = (hash(y + map, x) % 100) as f32 / 250.0;
                    let (dy, dx) = ((y % 24) as f32 - 12.0, (x % 24) as f32 - 12.0);
                    match map {
                        0 => 0.5 * f32::from(u8::from(is_nucleus(y, x))) + noise,
                        1 => (1.0 - dy.hypot(dx) / 12.0).max(0.0) + noise,
                        2 => noise,
                        3 => -dy / 12.0,
                        _ => -dx / 12.0,
                    }
                })
            })
            .collect()
    }

    fn rules() -> Vec<(NucleusRule, Option<f64>)> {
        let plain = NucleusRule::default();
        let with = |splitting| NucleusRule {
            splitting,
            ..plain.clone()
        };
        vec![
            (plain.clone(), Some(0.5)),
            (plain.clone(), None),
            (
                NucleusRule {
                    threshold: Some(0.55),
                    smoothing_um: 0.9,
                    max_hole_um2: 20.0,
                    ..plain.clone()
                },
                Some(0.5),
            ),
            (
                with(Splitting::Distance(Distance {
                    smoothing_um: 0.0,
                    depth_um: 0.1,
                })),
                Some(0.4),
            ),
            (
                NucleusRule {
                    least_distance: 0.9,
                    max_hole_um2: 5.0,
                    ..with(Splitting::Learned(Learned::default()))
                },
                Some(0.6),
            ),
            (with(Splitting::Flow(Flow::default())), None),
            (with(Splitting::None), Some(0.5)),
        ]
    }

    #[test]
    fn rows_give_the_labels_of_the_whole_field_number_by_number() {
        let classes = classes(170, 140);
        let maps = maps(&classes);
        let as_nuclei = classes.map(|&class| if class == 3 { NUCLEUS } else { class });
        for (rule, pixel_um) in rules() {
            let field = RowsField {
                size: classes.size(),
                pixel_um,
                rule: rule.clone(),
                lines: false,
                also_nuclei: Some(3),
                maps: [true; 5],
                carried: 1,
                most: 1000,
            };
            let carried = Image::from_fn(170, 140, |y, x| (y * 140 + x) as f32);
            let all: Vec<&Image<f32>> = maps.iter().collect();
            let expected =
                nuclei_from_prediction(&of_maps(&field, &as_nuclei, &all), pixel_um, &rule)
                    .unwrap();
            assert!(expected.count > 5, "{} nuclei", expected.count);
            for step in [1, 7, 40, 170] {
                let mut rows = NucleiRows::new(field.clone()).unwrap();
                let (mut labels, mut at) = (Vec::new(), 0);
                for y in (0..170).step_by(step) {
                    let height = step.min(170 - y);
                    let part = |map: &Image<f32>| map.crop(y, 0, height, 140);
                    let maps = maps.iter().chain([&carried]);
                    let maps: Vec<Image<f32>> = maps.map(part).collect();
                    let done = rows.push(&classes.crop(y, 0, height, 140), &maps).unwrap();
                    let Some(done) = done else { continue };
                    assert_eq!(done.first, at);
                    at += done.labels.height();
                    assert_eq!(
                        done.classes,
                        classes.crop(done.first, 0, at - done.first, 140)
                    );
                    labels.extend_from_slice(done.labels.data());
                    let carried = carried.crop(done.first, 0, at - done.first, 140);
                    assert_eq!(done.maps[5], carried);
                }
                let found = Image::new(170, 140, labels);
                assert!(found == expected.image, "{rule:?} in steps of {step}");
                assert_eq!((rows.count(), rows.cut()), (expected.count, 0));
            }
        }
    }

    #[test]
    fn what_is_higher_than_the_rows_that_may_be_held_is_cut() {
        let field = RowsField {
            size: (300, 40),
            pixel_um: Some(0.5),
            rule: NucleusRule {
                splitting: Splitting::None,
                ..NucleusRule::default()
            },
            lines: false,
            also_nuclei: None,
            maps: [false; 5],
            carried: 0,
            most: 60,
        };
        let mut rows = NucleiRows::new(field).unwrap();
        let mut handed = 0;
        for y in (0..300).step_by(20) {
            let column = |_: usize, x: usize| u8::from((5..20).contains(&x));
            let done = rows.push(&Image::from_fn(20, 40, column), &[]).unwrap();
            handed += done.map_or(0, |done| done.labels.height());
            assert!(y + 20 - handed <= 100, "rows gather");
        }
        assert_eq!(handed, 300);
        assert!(
            rows.cut() > 1 && rows.count() == rows.cut() + 1,
            "{}",
            rows.count()
        );
    }
}
