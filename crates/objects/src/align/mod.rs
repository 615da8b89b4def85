//! Where truth lies against the nuclei that a model finds in the brightfield, to parts of a pixel.
//!
//! Masks and labels hold nothing by which the brightfield could tell how far off they lie; what a
//! model that never met the field takes for nuclei does. The two are correlated at every shift,
//! over all fields of a group that lie alike (a plate, an experiment).
//!
//! 1. `surface`: covariance of prediction and truth at every whole-pixel shift, tile by tile.
//! 2. `coarse`: how well both fit at a quarter of the size, against chance: whether there is
//!    anything to align, whether the truth is turned, or that of another field.
//! 3. [`TruthLaid::find`]: fields that fit are pooled. The peak of the sum, with a paraboloid
//!    through the values around it, is the shift; fields drawn anew give its uncertainty (tiles
//!    within them as well, where fields are few).
//! 4. `together`: of groups too small to tell, what all of them say is weighed with their own.
//!
//! It is an estimate beside a training and no part of one. Not here: which model predicts, which
//! fields are a group, moving the truth.

mod coarse;
mod surface;
mod together;

use stainfree_image::Image;
use stainfree_image::random::Stream;

use self::coarse::{Coarse, largest};
use self::surface::{REACH, SIDE, Surface, surfaces};
use crate::error::{ObjectsError, same_size};
use crate::gaussian::gaussian;
use crate::shift::{LARGEST_SHIFT_PX, paraboloid};

pub use self::coarse::Turn;
pub use self::together::Together;

/// Standard deviation in pixels of the Gaussian that is taken for slow: from 8 to 20 it makes
/// little difference on real fields, without it some groups peak anywhere (docs/truth.md).
const SLOW_PX: f64 = 12.0;
/// What a model itself is off, pixels, whatever the number of fields: so much is added (as
/// independent) to what the drawings say. Without it the circles hold 85 %, not 95 %, of the shifts
/// of simulated plates.
const MODEL_PX: f64 = 0.25;
/// Blocks that a field's tiles are merged into: enough to be drawn from, and little memory.
const BLOCKS: usize = 16;
/// Drawings of the bootstrap: enough for a 95 % point.
const DRAWINGS: usize = 200;
/// The key of the fields and blocks that are drawn.
const DRAWINGS_KEY: u64 = 0x616c_6967_6e21;
/// From so many fields on they are drawn whole.
const MANY_FIELDS: usize = 6;
/// Fewer nuclei than this may fit by chance.
const LEAST_NUCLEI: usize = 12;
/// A fit of so many times chance is one.
const CLEAR: f64 = 6.0;
/// A fit that is better by so many times chance, and by a quarter, is another.
const CLEARLY_BETTER: f64 = 4.0;
const CLEARLY_BETTER_RATIO: f64 = 1.25;
/// Fields of a group up to which every truth is tried on every field; beyond, only those that fit
/// badly.
const ALL_PAIRS: usize = 24;
/// A second peak of this share of the first is another shift that explains as much.
const SECOND_PEAK: f64 = 0.8;
/// A shift of so many times its uncertainty is worth taking back all the same.
const WORTH: f64 = 3.0;
/// A second peak lies at least so far from the first, pixels.
const APART: f64 = 4.0;
/// A field lies elsewhere if it is off by [`APART`] and so many times what fields are off in the
/// middle: those of few nuclei scatter by themselves.
const SCATTERED: f64 = 3.0;
/// From this share of the fields on that lie elsewhere, there is no common shift.
const ELSEWHERE: f64 = 0.15;

/// Which pixels are known; none = all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// Those that the model saw.
    pub seen: Option<&'a Image<bool>>,
    /// Those of which the truth says something.
    pub truth: Option<&'a Image<bool>>,
}

/// What one field says about where its truth lies.
#[derive(Clone, Debug, PartialEq)]
pub struct TruthEvidence {
    blocks: Vec<Surface>,
    coarse: Option<Coarse>,
    nuclei: usize,
}

/// How far truth lies off the brightfield.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TruthShift {
    /// How far it lies below the brightfield, pixels.
    pub dy_px: f64,
    /// How far it lies right of it.
    pub dx_px: f64,
    /// It is known to this distance in 95 of 100 cases, pixels.
    pub radius95_px: f64,
    /// The second peak as a share of the first; 0 where there is none.
    pub second_peak: f64,
}

/// Why nobody can tell how far truth lies off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Doubt {
    /// So few nuclei.
    FewNuclei(usize),
    /// Truth and prediction fit hardly better than by chance: so many times it.
    NoFit(f64),
    /// It would be further than is looked for.
    TooFar,
    /// Another shift explains this share of what the best one does.
    SecondPeak(f64),
    /// The estimate is good to so many pixels only.
    Uncertain(f64),
    /// The fields say different shifts, so many pixels apart in the middle.
    FieldsDiffer(f64),
    /// Most fields have the truth of another one.
    Strangers,
}

/// What is known of a group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lies {
    /// It lies where [`TruthLaid::shift`] says.
    Here,
    /// It lies about there: the uncertainty is more than wanted, and at most a third of the shift,
    /// so that what is left of it is much less.
    Roughly,
    /// Nobody can tell.
    CannotTell(Doubt),
    /// It is turned.
    Turned(Turn),
}

/// What is known of the truth of one field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldFit {
    /// It fits as well as the others; so many times chance.
    Fits(f64),
    /// It fits better turned.
    Turned(Turn),
    /// It is the truth of another field: the one of this number fits.
    Swapped(usize),
    /// It fits, so many pixels from where the others lie.
    Elsewhere(f64),
}

/// Where the truth of a group of fields lies.
#[derive(Clone, Debug, PartialEq)]
pub struct TruthLaid {
    /// What is known.
    pub lies: Lies,
    /// The best estimate, certain or not; none where nothing fits.
    pub shift: Option<TruthShift>,
    /// How many times chance the pooled fields fit.
    pub clear: f64,
    /// Nuclei that were pooled.
    pub nuclei: usize,
    /// Each field, in the order they were given.
    pub fields: Vec<FieldFit>,
}

/// What the truth of a field, `nuclei`, says against the `probability`, 0 to 1, that a pixel is
/// one of a nucleus; both of one field and size.
///
/// Fields of less than some 70 pixels on a side, or without a nucleus, say nothing.
///
/// # Errors
/// [`ObjectsError::SizeMismatch`] if the images differ in size.
pub fn truth_evidence(
    probability: &Image<f32>,
    nuclei: &Image<u32>,
    known: &Known,
) -> Result<TruthEvidence, ObjectsError> {
    let size = probability.size();
    same_size("the prediction", size, "the truth", nuclei.size())?;
    for mask in [known.seen, known.truth].into_iter().flatten() {
        same_size("the prediction", size, "what is known", mask.size())?;
    }
    let coarse = Coarse::new(probability, nuclei, known);
    let mut blocks = Vec::new();
    if coarse.is_some() {
        blocks = merged(surfaces(&detail(probability, known.seen), nuclei, known));
    }
    let mut numbers: Vec<u32> = nuclei.data().iter().copied().filter(|&n| n != 0).collect();
    numbers.sort_unstable();
    numbers.dedup();
    Ok(TruthEvidence {
        blocks,
        coarse,
        nuclei: numbers.len(),
    })
}

/// A prediction without slow parts: how unevenly cells are spread, and cytoplasm that it is not
/// sure of. It is taken from the prediction itself, since a table of shifts ends too soon for it.
fn detail(probability: &Image<f32>, seen: Option<&Image<bool>>) -> Image<f32> {
    let (height, width) = probability.size();
    let is_seen = |i: usize| seen.is_none_or(|seen| seen.data()[i]);
    let values = probability.data().iter().enumerate();
    let known = values
        .filter(|(i, _)| is_seen(*i))
        .map(|(_, &v)| f64::from(v));
    let (sum, count) = known.fold((0.0, 0usize), |(sum, n), v| (sum + v, n + 1));
    let mean = (sum / count.max(1) as f64) as f32;
    // What was not seen must not shine into what was.
    let values = probability.data().iter().enumerate();
    let filled = values.map(|(i, &v)| if is_seen(i) { v } else { mean });
    let filled = Image::new(height, width, filled.collect());
    let slow = gaussian(&filled, SLOW_PX);
    let pairs = filled.data().iter().zip(slow.data());
    Image::new(height, width, pairs.map(|(v, slow)| v - slow).collect())
}

/// The same tiles in at most [`BLOCKS`] blocks; neighbours stay together.
fn merged(tiles: Vec<Surface>) -> Vec<Surface> {
    let count = tiles.len().min(BLOCKS);
    let total = tiles.len();
    let mut blocks: Vec<Surface> = Vec::with_capacity(count);
    for (i, tile) in tiles.into_iter().enumerate() {
        match blocks.get_mut(i * count / total) {
            Some(block) => block.add(&tile, 1.0),
            None => blocks.push(tile),
        }
    }
    blocks
}

impl TruthLaid {
    /// Where the truth of `fields`, which lie alike, lies; a shift counts as certain if 95 % of the
    /// drawings lie within `max_radius_px`.
    pub fn find(fields: &[TruthEvidence], max_radius_px: f64) -> Self {
        let mut fits: Vec<FieldFit> = (0..fields.len()).map(|i| fit(fields, i)).collect();
        let mut pooled = fitting(fields, &fits);
        let mut shift = estimate(&pooled);
        let away = elsewhere(fields, &fits);
        let differ = differ(&away, pooled.len());
        for &(i, apart) in &away {
            fits[i] = FieldFit::Elsewhere(apart);
        }
        // A few are left out of what the others say; of many it is not known who is right.
        if !away.is_empty() && differ.is_none() {
            pooled = fitting(fields, &fits);
            shift = estimate(&pooled);
        }
        let nuclei = pooled.iter().map(|field| field.nuclei).sum();
        let clear = clearness(&pooled, |coarse| coarse.fit());
        let lies = match turned(fields) {
            Some(turn) => Lies::Turned(turn),
            None => match doubt(fields, &pooled, clear, shift, max_radius_px, differ) {
                Some(Doubt::Uncertain(_)) if shift.is_some_and(|shift| shift.is_worth()) => {
                    Lies::Roughly
                }
                Some(doubt) => Lies::CannotTell(doubt),
                None => Lies::Here,
            },
        };
        Self {
            lies,
            shift,
            clear,
            nuclei,
            fields: fits,
        }
    }
}

impl TruthShift {
    /// Whether it is much larger than its uncertainty.
    fn is_worth(&self) -> bool {
        self.dy_px.hypot(self.dx_px) >= WORTH * self.radius95_px
    }
}

/// Whether `other` is a fit that is clearly better than `own`.
fn is_better(other: f64, own: f64) -> bool {
    other >= CLEAR && other >= own + CLEARLY_BETTER && other >= CLEARLY_BETTER_RATIO * own
}

/// How many times chance fields fit together at their best common shift.
fn clearness(fields: &[&TruthEvidence], fit: impl Fn(&Coarse) -> Vec<f64>) -> f64 {
    let mut sum = vec![0.0; coarse::SIDE * coarse::SIDE];
    let mut count = 0;
    for coarse in fields.iter().filter_map(|field| field.coarse.as_ref()) {
        for (a, b) in sum.iter_mut().zip(fit(coarse)) {
            *a += b;
        }
        count += 1;
    }
    match count {
        0 => 0.0,
        _ => largest(&sum) / f64::from(count).sqrt(),
    }
}

/// The turns that fields of this shape may have.
fn turns(fields: &[&TruthEvidence]) -> &'static [Turn] {
    let mut coarse = fields.iter().filter_map(|field| field.coarse.as_ref());
    match coarse.all(Coarse::is_square) {
        true => &Turn::ALL,
        false => &Turn::ALL[..3],
    }
}

/// The turn that fits all fields together clearly better than none.
fn turned(fields: &[TruthEvidence]) -> Option<Turn> {
    let all: Vec<&TruthEvidence> = fields.iter().collect();
    let own = clearness(&all, Coarse::fit);
    let of = |&turn: &Turn| (clearness(&all, |coarse| coarse.best_turned(turn)), turn);
    let (best, turn) = turns(&all)
        .iter()
        .map(of)
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    is_better(best, own).then_some(turn)
}

/// What is known of field `i` alone.
fn fit(fields: &[TruthEvidence], i: usize) -> FieldFit {
    let Some(coarse) = &fields[i].coarse else {
        return FieldFit::Fits(0.0);
    };
    let own = largest(&coarse.fit());
    let turned = turns(&[&fields[i]])
        .iter()
        .map(|&turn| (largest(&coarse.best_turned(turn)), FieldFit::Turned(turn)));
    let others = fields.iter().enumerate();
    let others = others.filter(|(j, _)| *j != i && (fields.len() <= ALL_PAIRS || own < CLEAR));
    let others = others
        .filter_map(|(j, other)| Some((coarse.best_of(other.coarse.as_ref()?), j)))
        .map(|(fit, j)| (fit, FieldFit::Swapped(j)));
    let best = turned.chain(others).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((fit, found)) if is_better(fit, own) => found,
        _ => FieldFit::Fits(own),
    }
}

/// The fields whose truth is their own and says something.
fn fitting<'a>(fields: &'a [TruthEvidence], fits: &[FieldFit]) -> Vec<&'a TruthEvidence> {
    let pairs = fields.iter().zip(fits);
    let fitting = pairs
        .filter(|(field, fit)| matches!(fit, FieldFit::Fits(_)) && !field.blocks.is_empty())
        .map(|(field, _)| field);
    fitting.collect()
}

/// The fields that fit by themselves, clearly and at one place, which is another than the middle
/// of those places; and how far from it. (Pooled, two places that are near each other make one peak
/// in between.)
fn elsewhere(fields: &[TruthEvidence], fits: &[FieldFit]) -> Vec<(usize, f64)> {
    let pairs = fields.iter().zip(fits).enumerate();
    let own = pairs.filter_map(|(i, (field, fit))| {
        if !matches!(fit, FieldFit::Fits(own) if *own >= CLEAR) {
            return None;
        }
        let (place, second) = peak(&sum(&field.blocks, |_| 1.0))?;
        (second <= SECOND_PEAK).then_some((i, place))
    });
    let own: Vec<(usize, (f64, f64))> = own.collect();
    let down = middle(own.iter().map(|(_, place)| place.0));
    let right = middle(own.iter().map(|(_, place)| place.1));
    let Some((dy, dx)) = down.zip(right) else {
        return Vec::new();
    };
    let apart = own.iter().map(|&(i, (y, x))| (i, (y - dy).hypot(x - dx)));
    let apart: Vec<(usize, f64)> = apart.collect();
    let scatter = middle(apart.iter().map(|&(_, apart)| apart)).unwrap_or(0.0);
    let is_away = |&(_, apart): &(usize, f64)| apart > APART + SCATTERED * scatter;
    apart.into_iter().filter(is_away).collect()
}

/// The middle one of some values; the upper of two.
fn middle(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The middle distance of the fields that lie elsewhere, where they are too many of the pooled
/// ones.
fn differ(away: &[(usize, f64)], pooled: usize) -> Option<f64> {
    let apart = middle(away.iter().map(|&(_, apart)| apart));
    apart.filter(|_| away.len() as f64 >= ELSEWHERE * pooled as f64)
}

/// Why the estimate is not to be used; `differ` is how far apart fields lie that differ clearly.
fn doubt(
    all: &[TruthEvidence],
    pooled: &[&TruthEvidence],
    clear: f64,
    shift: Option<TruthShift>,
    max_radius_px: f64,
    differ: Option<f64>,
) -> Option<Doubt> {
    let nuclei: usize = all.iter().map(|field| field.nuclei).sum();
    if nuclei < LEAST_NUCLEI {
        return Some(Doubt::FewNuclei(nuclei));
    }
    // Fields without nuclei, or too small, disagree with nothing.
    let telling = all.iter().filter(|field| !field.blocks.is_empty());
    if 2 * pooled.len() < telling.count() {
        return Some(Doubt::Strangers);
    }
    if clear < CLEAR {
        return Some(Doubt::NoFit(clear));
    }
    let Some(shift) = shift else {
        return Some(Doubt::TooFar);
    };
    if shift.second_peak > SECOND_PEAK {
        return Some(Doubt::SecondPeak(shift.second_peak));
    }
    if let Some(apart) = differ {
        return Some(Doubt::FieldsDiffer(apart));
    }
    if shift.radius95_px <= max_radius_px {
        return None;
    }
    let apart = spread(pooled, (shift.dy_px, shift.dx_px));
    match apart {
        // Fields of few nuclei scatter by themselves; at two places they lie further apart.
        Some(apart) if apart >= APART.max(shift.radius95_px / 2.0) => {
            Some(Doubt::FieldsDiffer(apart))
        }
        _ => Some(Doubt::Uncertain(shift.radius95_px)),
    }
}

/// The middle distance of the fields' own shifts from the common one; none of a single field.
fn spread(fields: &[&TruthEvidence], place: (f64, f64)) -> Option<f64> {
    let own = fields.iter().filter_map(|field| {
        let (at, _) = peak(&sum(&field.blocks, |_| 1.0))?;
        Some((at.0 - place.0).hypot(at.1 - place.1))
    });
    middle(own).filter(|_| fields.len() > 1)
}

fn sum(blocks: &[Surface], weight: impl Fn(usize) -> f64) -> Surface {
    let mut sum = Surface::nothing();
    for (i, block) in blocks.iter().enumerate() {
        match weight(i) {
            0.0 => {}
            weight => sum.add(block, weight),
        }
    }
    sum
}

/// The shift of fields together; none where nothing peaks.
fn estimate(fields: &[&TruthEvidence]) -> Option<TruthShift> {
    let whole: Vec<Surface> = fields.iter().map(|f| sum(&f.blocks, |_| 1.0)).collect();
    let pooled = sum(&whole, |_| 1.0);
    let (place, second_peak) = peak(&pooled)?;
    let mut random = Stream::new(DRAWINGS_KEY);
    let mut distances: Vec<f64> = (0..DRAWINGS)
        .map(|_| {
            let drawn = drawing(fields, &whole, &mut random);
            peak(&drawn).map_or(f64::INFINITY, |((y, x), _)| {
                (y - place.0).hypot(x - place.1)
            })
        })
        .collect();
    distances.sort_unstable_by(f64::total_cmp);
    Some(TruthShift {
        dy_px: place.0,
        dx_px: place.1,
        radius95_px: distances[DRAWINGS * 95 / 100 - 1].hypot(MODEL_PX),
        second_peak,
    })
}

/// As many fields drawn with replacement; where they are few, their blocks too, since two or three
/// fields show less than all of the spread.
fn drawing(fields: &[&TruthEvidence], whole: &[Surface], random: &mut Stream) -> Surface {
    let mut drawn = Surface::nothing();
    for _ in 0..fields.len() {
        let i = random.below(fields.len());
        if fields.len() >= MANY_FIELDS {
            drawn.add(&whole[i], 1.0);
            continue;
        }
        let blocks = &fields[i].blocks;
        for _ in 0..blocks.len() {
            drawn.add(&blocks[random.below(blocks.len())], 1.0);
        }
    }
    drawn
}

/// Where a surface peaks, (dy, dx), and its second peak as a share of the first; none where the
/// best lies beyond the largest shift, or where nothing fits.
fn peak(surface: &Surface) -> Option<((f64, f64), f64)> {
    let score = &surface.0;
    let place = (0..score.len()).max_by(|&a, &b| score[a].total_cmp(&score[b]))?;
    let (y, x) = (place / SIDE, place % SIDE);
    let margin = REACH - LARGEST_SHIFT_PX;
    let inner = margin..SIDE - margin;
    let top = score[place];
    if !inner.contains(&y) || !inner.contains(&x) || !(top > 0.0) {
        return None;
    }
    let (dy, dx) = paraboloid(score, SIDE, y, x);
    let reach = REACH as f64;
    let at = (y as f64 + dy - reach, x as f64 + dx - reach);
    let others = (1..SIDE - 1).flat_map(|y| (1..SIDE - 1).map(move |x| (y, x)));
    let second = others
        .filter(|&(v, u)| (v as f64 - y as f64).hypot(u as f64 - x as f64) >= APART)
        .filter(|&(v, u)| is_top(score, v, u))
        .map(|(v, u)| score[v * SIDE + u])
        .fold(0.0, f64::max);
    Some((at, second / top))
}

/// Whether a value is larger than all around it.
fn is_top(score: &[f64], y: usize, x: usize) -> bool {
    let value = score[y * SIDE + x];
    let around = (y - 1..=y + 1).flat_map(|v| (x - 1..=x + 1).map(move |u| (v, u)));
    around
        .filter(|&(v, u)| (v, u) != (y, x))
        .all(|(v, u)| score[v * SIDE + u] < value)
}

#[cfg(test)]
mod tests;
