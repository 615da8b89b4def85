//! Separating touching nuclei of a mask: one file a method, one line each in the registry below.
//!
//! A method sees one connected part of the mask at a time, cut out of the field (`Part`), and says
//! which of its pixels belong together. Parts are worked on in parallel; the result does not depend
//! on the number of threads.

mod boundary;
mod concavity;
mod distance;
mod evidence;
mod flow;
mod hull;
mod intensity;
mod learned;

pub use boundary::Boundary;
pub use concavity::Concavity;
pub use distance::Distance;
pub use evidence::Evidence;
pub use flow::Flow;
pub use intensity::Intensity;
pub use learned::Learned;

use crate::bits::{Bits, Run};
use crate::distance::edt;
use crate::error::{ObjectsError, same_size};
use crate::gaussian::gaussian_within;
use crate::labels::{Connectivity, Labels};
use crate::runs::{ByRow, Components, Frame, Groups};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use stainfree_image::Image;
use std::fmt;
use std::str::FromStr;

/// How touching nuclei are separated; lengths of all methods are in um.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
pub enum Splitting {
    /// Too many pieces, merged again unless shape and intensity speak for two nuclei.
    Evidence(Evidence),
    /// Watershed of the smoothed distance transform.
    Distance(Distance),
    /// Watershed of distance and intensity together.
    Intensity(Intensity),
    /// Straight cuts between concave points of the outline.
    Concavity(Concavity),
    /// The boundary and split classes of a scheme B prediction.
    Boundary(Boundary),
    /// Watershed of the distances that a network predicts.
    Learned(Learned),
    /// Where the directions lead that a network predicts.
    Flow(Flow),
    /// Each connected component is one nucleus.
    None,
}

/// The registry: each method with its usual choices and its name.
fn methods() -> [(Splitting, &'static str); 8] {
    [
        (Splitting::Evidence(Evidence::default()), "evidence"),
        (Splitting::Distance(Distance::default()), "distance"),
        (Splitting::Intensity(Intensity::default()), "intensity"),
        (Splitting::Concavity(Concavity::default()), "concavity"),
        (Splitting::Boundary(Boundary::default()), "boundary"),
        (Splitting::Learned(Learned::default()), "learned"),
        (Splitting::Flow(Flow::default()), "flow"),
        (Splitting::None, "none"),
    ]
}

impl Default for Splitting {
    fn default() -> Self {
        Splitting::Evidence(Evidence::default())
    }
}

impl Splitting {
    /// All methods with their usual choices, in the order in which they are listed to a user.
    pub fn all() -> impl Iterator<Item = Splitting> {
        methods().into_iter().map(|(m, _)| m)
    }

    /// The name in a config file and on the command line.
    pub fn name(&self) -> &'static str {
        methods()
            .iter()
            .find(|(m, _)| std::mem::discriminant(m) == std::mem::discriminant(self))
            .map_or("", |&(_, n)| n)
    }

    /// Checks every choice against its range.
    ///
    /// # Errors
    /// [`ObjectsError::Setting`] naming the first choice out of range.
    pub fn check(&self) -> Result<(), ObjectsError> {
        match self.method() {
            Some(method) => method.check(),
            None => Ok(()),
        }
    }

    /// What of a prediction the method reads, which a stain does not have.
    pub fn reads(&self) -> Option<&'static str> {
        match self {
            Splitting::Boundary(_) => Some("the boundary and split classes"),
            Splitting::Learned(_) => Some("the distances"),
            Splitting::Flow(_) => Some("the flow"),
            _ => None,
        }
    }

    fn method(&self) -> Option<&dyn Method> {
        match self {
            Splitting::Evidence(m) => Some(m),
            Splitting::Distance(m) => Some(m),
            Splitting::Intensity(m) => Some(m),
            Splitting::Concavity(m) => Some(m),
            Splitting::Boundary(m) => Some(m),
            Splitting::Learned(m) => Some(m),
            Splitting::Flow(m) => Some(m),
            Splitting::None => None,
        }
    }
}

impl fmt::Display for Splitting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Splitting {
    type Err = ObjectsError;

    fn from_str(name: &str) -> Result<Self, ObjectsError> {
        methods()
            .iter()
            .find(|(_, n)| *n == name)
            .map(|&(m, _)| m)
            .ok_or_else(|| ObjectsError::UnknownName {
                kind: "splitting",
                name: name.to_owned(),
                choices: methods().map(|(_, n)| n).join(", "),
            })
    }
}

/// What is known about a field whose nuclei are to be separated; all images of one size.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// Pixels of nuclei.
    pub mask: &'a Image<bool>,
    /// The stain above its background, where there is one. Methods that read it do without if need
    /// be.
    pub stain: Option<&'a Image<f32>>,
    /// The classes of a scheme B prediction, where there is one.
    pub classes: Option<&'a Image<u8>>,
    /// What a network says of distances, where it does.
    pub distances: Option<Distances<'a>>,
    /// The direction to the middle of the nucleus, down and to the right, where a network says it;
    /// finite numbers.
    pub flow: Option<[&'a Image<f32>; 2]>,
    /// um per pixel: translates the lengths of the methods.
    pub um_per_pixel: f64,
}

/// What a network says of distances within and between nuclei; finite numbers.
#[derive(Clone, Copy, Debug)]
pub struct Distances<'a> {
    /// Distance to the nucleus' border as a share of its largest.
    pub border: &'a Image<f32>,
    /// How near a second nucleus lies, 1 where two touch.
    pub neighbour: Option<&'a Image<f32>>,
}

impl<'a> Scene<'a> {
    /// A mask alone.
    pub fn of_mask(mask: &'a Image<bool>, um_per_pixel: f64) -> Self {
        Self {
            mask,
            stain: None,
            classes: None,
            distances: None,
            flow: None,
            um_per_pixel,
        }
    }
}

/// Labels of the nuclei of `scene`, touching ones separated by `splitting`.
///
/// Every true pixel of the mask gets a label, every label is one 4-connected piece, and labels are
/// consecutive in raster order of their first pixel.
///
/// # Errors
/// [`ObjectsError::SizeMismatch`] for images of different fields, [`ObjectsError::Setting`] for
/// choices out of range, [`ObjectsError::NotPredicted`] where the method reads of a prediction what
/// `scene` does not have.
pub fn split(scene: &Scene, splitting: &Splitting) -> Result<Labels, ObjectsError> {
    splitting.check()?;
    let size = scene.mask.size();
    if let Some(stain) = scene.stain {
        same_size("the nucleus mask", size, "the stain", stain.size())?;
    }
    if let Some(classes) = scene.classes {
        same_size("the nucleus mask", size, "the class mask", classes.size())?;
    }
    if let Some(distances) = scene.distances {
        for map in std::iter::once(distances.border).chain(distances.neighbour) {
            same_size("the nucleus mask", size, "the distances", map.size())?;
        }
    }
    for plane in scene.flow.iter().flatten() {
        same_size("the nucleus mask", size, "the flow", plane.size())?;
    }
    let there = match splitting {
        Splitting::Boundary(_) => scene.classes.is_some(),
        Splitting::Learned(_) => scene.distances.is_some(),
        Splitting::Flow(_) => scene.flow.is_some(),
        _ => true,
    };
    if !there {
        return Err(not_predicted(splitting));
    }
    let seen = Seen {
        stain: scene.stain,
        classes: scene.classes,
        distances: scene.distances,
        flow: scene.flow,
        um_per_pixel: scene.um_per_pixel,
    };
    let (height, width) = size;
    let empty = Image::filled(height, width, 0);
    Ok(pieces_of(&Bits::from_mask(scene.mask), seen, splitting).painted(empty))
}

/// The error of a method that reads what is not there.
pub(crate) fn not_predicted(splitting: &Splitting) -> ObjectsError {
    ObjectsError::NotPredicted {
        method: splitting.name(),
        what: splitting.reads().unwrap_or_default(),
    }
}

/// What is known beside the mask; see [`Scene`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) stain: Option<&'a Image<f32>>,
    pub(crate) classes: Option<&'a Image<u8>>,
    pub(crate) distances: Option<Distances<'a>>,
    pub(crate) flow: Option<[&'a Image<f32>; 2]>,
    pub(crate) um_per_pixel: f64,
}

/// The pieces of `mask`; sizes and choices have been checked.
pub(crate) fn pieces_of(mask: &Bits, seen: Seen, splitting: &Splitting) -> Pieces {
    let groups = Components::new(mask, Connectivity::Four).groups();
    let Some(method) = splitting.method() else {
        return Pieces {
            cut: vec![None; groups.len()],
            groups,
        };
    };
    let parts = Parts {
        size: mask.size(),
        seen,
        groups,
    };
    let cut = method.split_all(&parts);
    Pieces {
        groups: parts.groups,
        cut,
    }
}

/// A splitting method: pieces of one part of a mask.
trait Method: Sync {
    /// Checks the choices.
    fn check(&self) -> Result<(), ObjectsError>;

    /// Labels of the pieces of `part`, of any numbers, 0 outside the part and nowhere in it; `None`
    /// if the part is one piece.
    fn split_part(&self, part: &Part) -> Option<Image<u32>>;

    /// The pieces of all parts, in their order.
    fn split_all(&self, parts: &Parts) -> Vec<Option<Cut>> {
        let split = |i| parts.cut(i, &self.split_part(&parts.get(i))?);
        (0..parts.len()).into_par_iter().map(split).collect()
    }
}

/// One connected part of the mask with what lies around it.
struct Part<'a> {
    /// The part's own pixels; other parts are background.
    mask: Image<bool>,
    /// Where `mask` lies in the field: as closely around the part as can be.
    frame: Frame,
    /// Size of the field.
    field: (usize, usize),
    seen: Seen<'a>,
}

impl Part<'_> {
    /// A length in pixels.
    fn px(&self, um: f64) -> f64 {
        um / self.seen.um_per_pixel
    }

    /// The smoothed distance from the background, 0 outside the part; `None` where there is no
    /// background.
    fn smooth_distance(&self, sigma: f64) -> Option<Image<f32>> {
        // As far as the Gaussian looks, and a pixel of background for the distance.
        let margin = (4.0 * sigma).ceil() as usize + 1;
        let wide = self.frame.widened(margin, self.field);
        let inner = self.frame.relative_to(wide);
        let (height, width) = wide.size();
        let mut mask = Image::filled(height, width, false);
        for y in 0..self.mask.height() {
            let row = &mut mask.row_mut(inner.top + y)[inner.left..inner.right];
            row.copy_from_slice(self.mask.row(y));
        }
        let depth = edt(&mask);
        if depth.get(inner.top, inner.left).is_infinite() {
            return None;
        }
        let mut depth = gaussian_within(&depth, sigma, inner);
        for (d, &m) in depth.data_mut().iter_mut().zip(self.mask.data()) {
            *d = if m { *d } else { 0.0 };
        }
        Some(depth)
    }

    /// The whole part as one piece.
    fn whole(&self) -> Image<u32> {
        self.mask.map(|&m| u32::from(m))
    }

    /// The stain within the frame, where there is one, after a Gaussian of `sigma` pixels.
    fn smooth_stain(&self, sigma: f64) -> Option<Image<f32>> {
        let stain = self.seen.stain?;
        Some(gaussian_within(stain, sigma, self.frame))
    }

    /// The classes within the frame, where there are any.
    fn classes(&self) -> Option<Image<u8>> {
        let (height, width) = self.frame.size();
        let classes = self.seen.classes?;
        Some(classes.crop(self.frame.top, self.frame.left, height, width))
    }
}

/// Runs of one part in raster order, each with its piece, from 1 in raster order of their first
/// pixel.
type Cut = Vec<(u32, Run, u32)>;

/// The parts of a mask, cut out one at a time.
struct Parts<'a> {
    size: (usize, usize),
    seen: Seen<'a>,
    groups: Groups,
}

impl<'a> Parts<'a> {
    fn len(&self) -> usize {
        self.groups.len()
    }

    fn get(&self, i: usize) -> Part<'a> {
        let frame = self.groups.frame(i);
        let (height, width) = frame.size();
        let mut mask = Image::filled(height, width, false);
        for &(y, run) in self.groups.runs(i) {
            let columns = run.from as usize - frame.left..run.to as usize - frame.left;
            mask.row_mut(y as usize - frame.top)[columns].fill(true);
        }
        Part {
            mask,
            frame,
            field: self.size,
            seen: self.seen,
        }
    }

    /// The pieces of part `i` (labels within its frame), each of them connected; `None` if there is
    /// one.
    fn cut(&self, i: usize, pieces: &Image<u32>) -> Option<Cut> {
        let found = Components::of_values(pieces, Connectivity::Four);
        let frame = self.groups.frame(i);
        let (top, left) = (frame.top as u32, frame.left as u32);
        let placed = |(y, run, piece): (usize, Run, u32)| {
            let (from, to) = (run.from + left, run.to + left);
            (y as u32 + top, Run { from, to }, piece)
        };
        (found.count() > 1).then(|| found.iter().map(placed).collect())
    }
}

/// A mask with every connected part cut into its pieces.
pub(crate) struct Pieces {
    groups: Groups,
    /// For every part its pieces, `None` where it is one.
    cut: Vec<Option<Cut>>,
}

impl Pieces {
    /// All pieces as labels on `empty`, all 0, consecutive in raster order of their first pixel.
    pub(crate) fn painted(self, empty: Image<u32>) -> Labels {
        // Where every piece begins, with its part and its number there.
        let mut first: Vec<(u32, u32, usize, u32)> = Vec::new();
        for (i, cut) in self.cut.iter().enumerate() {
            let Some(cut) = cut else {
                let (y, run) = self.groups.runs(i)[0];
                first.push((y, run.from, i, 1));
                continue;
            };
            let mut next = 1;
            for &(y, run, piece) in cut {
                if piece == next {
                    first.push((y, run.from, i, piece));
                    next += 1;
                }
            }
        }
        first.sort_unstable();
        let mut labels: Vec<Vec<u32>> = vec![Vec::new(); self.cut.len()];
        for (&(_, _, i, _), label) in first.iter().zip(1..) {
            // Pieces of one part come in the order of their numbers.
            labels[i].push(label);
        }
        let runs = self.cut.iter().enumerate().flat_map(|(i, cut)| {
            let whole = cut.is_none().then(|| self.groups.runs(i));
            let whole = whole
                .unwrap_or_default()
                .iter()
                .map(|&(y, run)| (y, run, 1));
            whole.chain(cut.iter().flatten().copied()).map({
                let labels = &labels[i];
                move |(y, run, piece)| (y, run, labels[piece as usize - 1])
            })
        });
        let mut image = empty;
        ByRow::new(image.height(), || runs.clone()).paint(&mut image);
        Labels {
            image,
            count: first.len(),
        }
    }
}

/// The error of a choice that must be finite and not negative.
fn not_negative(choices: &[(&'static str, f64)]) -> Result<(), ObjectsError> {
    for &(setting, value) in choices {
        if !(value >= 0.0 && value.is_finite()) {
            return Err(ObjectsError::Setting {
                setting,
                value,
                range: "0 or more",
            });
        }
    }
    Ok(())
}
