//! Separating touching nuclei of a mask: one file a method, one line each in the registry below.
//!
//! A method sees one connected part of the mask at a time, cut out of the field (`Part`), and says
//! which of its pixels belong together. Parts are worked on in parallel; the result does not depend
//! on the number of threads.

mod boundary;
mod concavity;
mod distance;
mod evidence;
mod hull;
mod intensity;

pub use boundary::Boundary;
pub use concavity::Concavity;
pub use distance::Distance;
pub use evidence::Evidence;
pub use intensity::Intensity;

use crate::components::{Connectivity, Labels, label, label_values};
use crate::error::{ObjectsError, same_size};
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
    /// Each connected component is one nucleus.
    None,
}

/// The registry: each method with its usual choices and its name.
fn methods() -> [(Splitting, &'static str); 6] {
    [
        (Splitting::Evidence(Evidence::default()), "evidence"),
        (Splitting::Distance(Distance::default()), "distance"),
        (Splitting::Intensity(Intensity::default()), "intensity"),
        (Splitting::Concavity(Concavity::default()), "concavity"),
        (Splitting::Boundary(Boundary::default()), "boundary"),
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

    /// Whether the method reads the classes of a scheme B prediction, which a stain does not have.
    pub fn needs_classes(&self) -> bool {
        matches!(self, Splitting::Boundary(_))
    }

    fn method(&self) -> Option<&dyn Method> {
        match self {
            Splitting::Evidence(m) => Some(m),
            Splitting::Distance(m) => Some(m),
            Splitting::Intensity(m) => Some(m),
            Splitting::Concavity(m) => Some(m),
            Splitting::Boundary(m) => Some(m),
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
    /// The stain above its background, where there is one. Methods that read it do without if need be.
    pub stain: Option<&'a Image<f32>>,
    /// The classes of a scheme B prediction, where there is one.
    pub classes: Option<&'a Image<u8>>,
    /// um per pixel: translates the lengths of the methods.
    pub um_per_pixel: f64,
}

impl<'a> Scene<'a> {
    /// A mask alone.
    pub fn of_mask(mask: &'a Image<bool>, um_per_pixel: f64) -> Self {
        Self {
            mask,
            stain: None,
            classes: None,
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
/// choices out of range, [`ObjectsError::NoClasses`] where the method needs classes and has none.
pub fn split(scene: &Scene, splitting: &Splitting) -> Result<Labels, ObjectsError> {
    splitting.check()?;
    let size = scene.mask.size();
    if let Some(stain) = scene.stain {
        same_size("the nucleus mask", size, "the stain", stain.size())?;
    }
    if let Some(classes) = scene.classes {
        same_size("the nucleus mask", size, "the class mask", classes.size())?;
    } else if splitting.needs_classes() {
        return Err(ObjectsError::NoClasses {
            method: splitting.name(),
        });
    }
    let components = label(scene.mask, Connectivity::Four);
    let Some(method) = splitting.method() else {
        return Ok(components);
    };
    let parts = Parts::new(scene, components, method.margin_um());
    let pieces = method.split_all(&parts);
    Ok(parts.joined(pieces))
}

/// A splitting method: pieces of one part of a mask.
trait Method: Sync {
    /// Checks the choices.
    fn check(&self) -> Result<(), ObjectsError>;

    /// How far around a part the method's filters look, in um.
    fn margin_um(&self) -> f64;

    /// Labels of the pieces of `part`, of any numbers; 0 outside the part and nowhere in it.
    fn split_part(&self, part: &Part) -> Image<u32>;

    /// The pieces of all parts, in their order.
    fn split_all(&self, parts: &Parts) -> Vec<Image<u32>> {
        (0..parts.len())
            .into_par_iter()
            .map(|i| self.split_part(&parts.get(i)))
            .collect()
    }
}

/// One connected part of the mask with what lies around it.
struct Part {
    /// The part's own pixels; other parts are background.
    mask: Image<bool>,
    stain: Option<Image<f32>>,
    classes: Option<Image<u8>>,
    um_per_pixel: f64,
}

impl Part {
    /// A length in pixels.
    fn px(&self, um: f64) -> f64 {
        um / self.um_per_pixel
    }

    /// The whole part as one piece.
    fn whole(&self) -> Image<u32> {
        self.mask.map(|&m| u32::from(m))
    }
}

/// The parts of a scene, cut out one at a time.
struct Parts<'a> {
    scene: Scene<'a>,
    components: Labels,
    frames: Vec<Frame>,
}

/// Rows `top..bottom` and columns `left..right`.
#[derive(Clone, Copy)]
struct Frame {
    top: usize,
    left: usize,
    bottom: usize,
    right: usize,
}

impl<'a> Parts<'a> {
    fn new(scene: &Scene<'a>, components: Labels, margin_um: f64) -> Self {
        let (height, width) = components.image.size();
        let margin = (margin_um / scene.um_per_pixel).ceil() as usize + 1;
        let nothing = Frame {
            top: height,
            left: width,
            bottom: 0,
            right: 0,
        };
        let mut frames = vec![nothing; components.count + 1];
        for y in 0..height {
            for (x, &l) in components.image.row(y).iter().enumerate() {
                if l == 0 {
                    continue;
                }
                let f = &mut frames[l as usize];
                f.top = f.top.min(y);
                f.bottom = y + 1;
                f.left = f.left.min(x);
                f.right = f.right.max(x + 1);
            }
        }
        frames.remove(0);
        for f in &mut frames {
            f.top = f.top.saturating_sub(margin);
            f.left = f.left.saturating_sub(margin);
            f.bottom = (f.bottom + margin).min(height);
            f.right = (f.right + margin).min(width);
        }
        Self {
            scene: *scene,
            components,
            frames,
        }
    }

    fn len(&self) -> usize {
        self.frames.len()
    }

    fn get(&self, i: usize) -> Part {
        let frame = self.frames[i];
        Part {
            mask: cut_out(&self.components.image, frame).map(|&l| l as usize == i + 1),
            stain: self.scene.stain.map(|s| cut_out(s, frame)),
            classes: self.scene.classes.map(|c| cut_out(c, frame)),
            um_per_pixel: self.scene.um_per_pixel,
        }
    }

    /// The pieces of all parts as labels of the field.
    fn joined(self, pieces: Vec<Image<u32>>) -> Labels {
        let mut all = self.components.image;
        let mut before = 0;
        for (frame, piece) in self.frames.iter().zip(&pieces) {
            let mut largest = 0;
            for y in 0..piece.height() {
                let to = &mut all.row_mut(frame.top + y)[frame.left..frame.right];
                for (to, &p) in to.iter_mut().zip(piece.row(y)) {
                    if p != 0 {
                        largest = largest.max(p);
                        *to = before + p;
                    }
                }
            }
            before += largest;
        }
        label_values(&all, Connectivity::Four)
    }
}

fn cut_out<T: Copy>(image: &Image<T>, frame: Frame) -> Image<T> {
    let rows = (frame.top..frame.bottom).flat_map(|y| &image.row(y)[frame.left..frame.right]);
    Image::new(
        frame.bottom - frame.top,
        frame.right - frame.left,
        rows.copied().collect(),
    )
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

/// Parts so shallow that no top reaches the depth become one seed each.
pub(crate) fn seed_the_rest(parts: &Labels, seeds: &mut Labels) {
    let mut seeded = vec![false; parts.count + 1];
    for (&p, &s) in parts.image.data().iter().zip(seeds.image.data()) {
        if s != 0 {
            seeded[p as usize] = true;
        }
    }
    seeded[0] = true;
    let mut number = vec![0u32; parts.count + 1];
    for (p, &done) in seeded.iter().enumerate() {
        if !done {
            seeds.count += 1;
            number[p] = seeds.count as u32;
        }
    }
    for (&p, s) in parts.image.data().iter().zip(seeds.image.data_mut()) {
        if number[p as usize] != 0 {
            *s = number[p as usize];
        }
    }
}
