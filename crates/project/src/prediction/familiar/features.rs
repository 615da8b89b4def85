//! What a field is compared with the training by: the one list of features.
//!
//! A feature is a number of the image, as the network sees it, or of what the network says of it.
//! Most are logarithms to the base of ten, so that a difference is a factor. What a field does not
//! have (a pixel size, three planes, a nucleus) is NaN and not compared.

use stainfree_image::{Image, Plane};
use stainfree_inference::planes::{full_range, resample_blank, without_blanks};
use stainfree_inference::{MITOTIC, Nuclei, Pixels, cytoplasm_class};
use stainfree_network::model::ModelInfo;
use stainfree_network::resample::{resample, resampled_size};
use stainfree_objects::{NUCLEUS, appearance, areas, likeness};

/// A number that fields are compared by.
pub(crate) struct Feature {
    /// Its name in files.
    pub(crate) key: &'static str,
    /// What a field is that has less of it than another.
    pub(crate) low: &'static str,
    /// What a field is that has more of it.
    pub(crate) high: &'static str,
    /// Whether it is a logarithm to the base of ten, and a difference a factor.
    pub(crate) log: bool,
    /// A difference that is none, however alike the fields of a training are: what two plates of
    /// one microscope, done with care, differ by (a judgement, tried in docs/trust.md).
    pub(crate) none: f64,
    /// Whether nuclei are counted or measured for it, which another rule does otherwise.
    pub(crate) by_rule: bool,
}

const fn log(key: &'static str, low: &'static str, high: &'static str, none: f64) -> Feature {
    Feature {
        key,
        low,
        high,
        log: true,
        none,
        by_rule: false,
    }
}

const fn plain(key: &'static str, low: &'static str, high: &'static str, none: f64) -> Feature {
    Feature {
        log: false,
        ..log(key, low, high, none)
    }
}

const fn counted(key: &'static str, low: &'static str, high: &'static str, none: f64) -> Feature {
    Feature {
        by_rule: true,
        ..log(key, low, high, none)
    }
}

/// Number of features.
pub(crate) const COUNT: usize = 28;

/// All of them.
pub(crate) const FEATURES: [Feature; COUNT] = [
    log("light", "darker", "brighter", 0.04),
    log("contrast", "poorer in contrast", "richer in contrast", 0.04),
    log("noise", "less noisy", "noisier", 0.04),
    log("detail_1px", "less sharp", "sharper", 0.06),
    log(
        "detail_2px",
        "less sharp in structures of 2 px",
        "sharper in structures of 2 px",
        0.05,
    ),
    log(
        "detail_4px",
        "poorer in structures of 4 px",
        "richer in structures of 4 px",
        0.04,
    ),
    log(
        "detail_8px",
        "poorer in structures of 8 px",
        "richer in structures of 8 px",
        0.04,
    ),
    log(
        "detail_16px",
        "poorer in structures of 16 px",
        "richer in structures of 16 px",
        0.07,
    ),
    log(
        "detail_32px",
        "poorer in structures of 32 px",
        "richer in structures of 32 px",
        0.1,
    ),
    log(
        "unevenness",
        "more even",
        "less even (light or clumps)",
        0.25,
    ),
    plain(
        "skewness_fine",
        "darker in its fine details",
        "brighter in its fine details",
        0.15,
    ),
    plain(
        "skewness",
        "darker in its details",
        "brighter in its details",
        0.15,
    ),
    plain(
        "skewness_coarse",
        "darker in its large details",
        "brighter in its large details",
        0.15,
    ),
    log(
        "kurtosis_fine",
        "with fewer fine details that stand out",
        "with more fine details that stand out",
        0.05,
    ),
    log(
        "kurtosis",
        "with fewer details that stand out",
        "with more details that stand out",
        0.05,
    ),
    log(
        "kurtosis_coarse",
        "with fewer large details that stand out",
        "with more large details that stand out",
        0.05,
    ),
    log(
        "lines",
        "streaked from left to right",
        "streaked from top to bottom",
        0.03,
    ),
    log(
        "focus_of_planes",
        "sharper in the last plane",
        "sharper in the first plane",
        0.06,
    ),
    plain(
        "likeness_of_planes",
        "with z planes less alike",
        "with z planes more alike",
        0.08,
    ),
    log("blank", "less blank", "more blank", 0.1),
    // Images are brought to the model's size; what that cannot bring back, sharpness shows.
    log("pixel_um", "of smaller pixels", "of larger pixels", 0.1),
    log(
        "nucleus_share",
        "less covered by nuclei",
        "more covered by nuclei",
        0.08,
    ),
    log(
        "cytoplasm_share",
        "less covered by cytoplasm",
        "more covered by cytoplasm",
        0.06,
    ),
    log(
        "doubt",
        "easier for the network",
        "harder for the network (less sure of its classes)",
        0.06,
    ),
    log(
        "nucleus_doubt",
        "surer in its nuclei",
        "less sure in its nuclei",
        0.06,
    ),
    counted("nuclei", "with fewer nuclei", "with more nuclei", 0.08),
    counted(
        "nucleus_area",
        "with smaller nuclei",
        "with larger nuclei",
        0.04,
    ),
    counted(
        "nucleus_spread",
        "with nuclei more alike in size",
        "with nuclei less alike in size",
        0.08,
    ),
];

/// The first feature of what the network says; those before it are of the image.
const FIRST_HEARD: &str = "nucleus_share";

/// Whether a feature is of the image, whatever the network says of it.
pub(super) fn is_of_image(key: &str) -> bool {
    let features = FEATURES.iter().map(|feature| feature.key);
    let mut of_image = features.take_while(|known| *known != FIRST_HEARD);
    of_image.any(|known| known == key)
}

/// Contrast below this share of the light is none.
const LEAST_CONTRAST: f64 = 1e-4;
/// Shares that are next to nothing.
const LEAST_SHARE: f64 = 3e-3;
/// Pixels that the network's answers are looked at on; of larger fields every so-manieth row.
const MOST_PIXELS: usize = 1 << 20;

/// The features of a field, in the order of [`FEATURES`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Looks(pub(crate) [f64; COUNT]);

impl Looks {
    /// All numbers as one cell of a table, `-` for what the field does not have.
    pub(super) fn cell(&self) -> String {
        let number = |value: &f64| match value.is_finite() {
            true => format!("{value:.5}"),
            false => "-".to_owned(),
        };
        let numbers: Vec<String> = self.0.iter().map(number).collect();
        numbers.join(" ")
    }

    /// What such a cell says; `None` where it has another number of features.
    pub(crate) fn of_cell(cell: &str) -> Option<Self> {
        let number = |word: &str| match word {
            "-" => Some(f64::NAN),
            word => word.parse().ok(),
        };
        let numbers: Option<Vec<f64>> = cell.split_whitespace().map(number).collect();
        Some(Self(numbers?.try_into().ok()?))
    }

    /// Of a field's planes as they were read, and of what the network says of them: all but what
    /// is counted in its nuclei.
    pub(crate) fn of(
        planes: &[Plane],
        pixel_um: Option<f64>,
        info: &ModelInfo,
        pixels: &Pixels,
    ) -> Self {
        let mut looks = Self([f64::NAN; COUNT]);
        looks.set("pixel_um", pixel_um.map_or(f64::NAN, f64::log10));
        looks.see(planes, pixel_um, info);
        looks.hear(pixels, &info.classes);
        looks
    }

    fn set(&mut self, key: &str, value: f64) {
        let place = FEATURES.iter().position(|feature| feature.key == key);
        let place = place.expect("a feature of the list");
        self.0[place] = match value.is_finite() {
            true => value,
            false => f64::NAN,
        };
    }

    /// What the image looks like at the model's pixel size.
    fn see(&mut self, planes: &[Plane], pixel_um: Option<f64>, info: &ModelInfo) {
        // A model of one plane reads the middle one of a stack.
        let planes = match (info.input.planes, planes.len()) {
            (1, 3) => &planes[1..2],
            _ => planes,
        };
        let range = f64::from(full_range(&planes[0]));
        let raw: Vec<Image<f32>> = planes.iter().map(Plane::to_f32).collect();
        let (mut raw, mut blank) = without_blanks(raw);
        let (height, width) = raw[0].size();
        let sizes = pixel_um.zip(info.pixel_um).filter(|_| info.recipe.rescale);
        let other = sizes.and_then(|(from, to)| resampled_size([height, width], from, to).ok());
        if let Some([height, width]) = other.flatten() {
            raw = raw
                .iter()
                .map(|plane| resample(plane, height, width))
                .collect();
            blank = blank.map(|blank| resample_blank(&blank, height, width));
        }
        let count = |blank: &Image<bool>| blank.data().iter().filter(|b| **b).count();
        let share = |blank: &Image<bool>| count(blank) as f64 / blank.data().len() as f64;
        self.set(
            "blank",
            (blank.as_ref().map_or(0.0, share) + LEAST_SHARE).log10(),
        );
        let seen = appearance(&raw[raw.len() / 2], blank.as_ref());
        let light = seen.light.abs().max(1e-6 * range);
        let least = (LEAST_CONTRAST * light).powi(2);
        let power = |power: f64| power + least;
        let known = seen.octaves.iter().filter(|power| power.is_finite());
        let whole: f64 = known.map(|&p| power(p)).sum();
        self.set("light", (light / range).log10());
        self.set("contrast", (whole.sqrt() / light).log10());
        self.set("noise", (power(seen.noise.powi(2)).sqrt() / light).log10());
        for (level, octave) in seen.octaves.iter().enumerate() {
            let key = format!("detail_{}px", 1 << level);
            self.set(&key, (power(*octave) / whole).log10());
        }
        let uneven = power(seen.unevenness.powi(2)).sqrt();
        self.set("unevenness", (uneven / light).log10());
        for (i, end) in ["_fine", "", "_coarse"].into_iter().enumerate() {
            self.set(&format!("skewness{end}"), seen.skewness[i].clamp(-5.0, 5.0));
            self.set(&format!("kurtosis{end}"), seen.kurtosis[i].log10());
        }
        self.set("lines", seen.lines.log10());
        if let [first, .., last] = &raw[..] {
            let sharp = |plane| power(appearance(plane, blank.as_ref()).octaves[1]);
            self.set("focus_of_planes", (sharp(first) / sharp(last)).log10());
            self.set("likeness_of_planes", likeness(first, last));
        }
    }

    /// What the network says of its pixels.
    fn hear(&mut self, pixels: &Pixels, classes: &[String]) {
        let planes = pixels.probabilities();
        let Some(first) = planes.first() else {
            return;
        };
        let mitotic = classes.iter().position(|name| name == MITOTIC);
        let cytoplasm = cytoplasm_class(classes).map(usize::from);
        let mut heard = Heard::default();
        let step = first.data().len().div_ceil(MOST_PIXELS).max(1);
        for y in (0..first.height()).step_by(step) {
            let rows: Vec<&[f32]> = planes.iter().map(|plane| plane.row(y)).collect();
            for (x, &class) in pixels.classes.row(y).iter().enumerate() {
                let class = usize::from(class);
                // What shows nothing is of no class.
                if class >= planes.len() {
                    continue;
                }
                heard.pixels += 1.0;
                heard.entropy += rows.iter().map(|row| entropy(row[x])).sum::<f64>();
                if class == usize::from(NUCLEUS) || Some(class) == mitotic {
                    heard.nucleus += 1.0;
                    heard.nucleus_doubt += 1.0 - f64::from(rows[class][x]);
                }
                heard.cytoplasm += f64::from(u8::from(Some(class) == cytoplasm));
            }
        }
        let share = |count: f64| (count / heard.pixels + LEAST_SHARE).log10();
        let most = (planes.len() as f64).ln();
        self.set("nucleus_share", share(heard.nucleus));
        if cytoplasm.is_some() {
            self.set("cytoplasm_share", share(heard.cytoplasm));
        }
        self.set("doubt", share(heard.entropy / most));
        if heard.nucleus > 0.0 {
            let doubt = heard.nucleus_doubt / heard.nucleus;
            self.set("nucleus_doubt", (doubt + LEAST_SHARE).log10());
        }
    }

    /// Adds what is counted in the nuclei of the field.
    pub(crate) fn with_nuclei(
        mut self,
        nuclei: &Nuclei,
        pixel_um: Option<f64>,
        info: &ModelInfo,
    ) -> Self {
        // In pixels where the training had no one size: what it has is in pixels, too.
        let um = info.pixel_um.map_or(1.0, |um| pixel_um.unwrap_or(um));
        let of_pixel = um * um;
        let shown = nuclei.labels.data().len() as f64 * of_pixel;
        let mut sizes: Vec<f64> = areas(&nuclei.labels)
            .into_values()
            .map(|area| area as f64 * of_pixel)
            .collect();
        sizes.sort_by(f64::total_cmp);
        let at = |share: f64| sizes[((sizes.len() - 1) as f64 * share) as usize];
        // Half a nucleus stands for none.
        let count = (sizes.len() as f64).max(0.5);
        self.set("nuclei", (count / shown).log10());
        if !sizes.is_empty() {
            self.set("nucleus_area", at(0.5).log10());
        }
        if sizes.len() >= 8 {
            self.set("nucleus_spread", (at(0.75) / at(0.25)).log10());
        }
        self
    }
}

impl Looks {
    /// The middle of every number over some windows of a field; `None` without any.
    pub(crate) fn middle(windows: &[Self]) -> Option<Self> {
        (!windows.is_empty()).then(|| middle_of(windows.iter().map(|looks| &looks.0)))
    }

    /// The same without what goes by the size of what was looked at.
    pub(crate) fn without_size(mut self) -> Self {
        self.set("unevenness", f64::NAN);
        self
    }
}

/// Sums over pixels.
#[derive(Default)]
struct Heard {
    pixels: f64,
    entropy: f64,
    nucleus: f64,
    nucleus_doubt: f64,
    cytoplasm: f64,
}

fn entropy(p: f32) -> f64 {
    match p > 0.0 {
        true => f64::from(-p * p.ln()),
        false => 0.0,
    }
}

/// The median of every feature over the rows that have it.
pub(super) fn middle_of<'a>(rows: impl Iterator<Item = &'a [f64; COUNT]>) -> Looks {
    let rows: Vec<&[f64; COUNT]> = rows.collect();
    let mut middle = [f64::NAN; COUNT];
    for (i, middle) in middle.iter_mut().enumerate() {
        let values = rows.iter().map(|row| row[i]);
        *middle = median(values.filter(|value| value.is_finite()));
    }
    Looks(middle)
}

/// The middle of values; NaN without any.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_come_back_from_the_cell_that_keeps_them() {
        let mut looks = Looks([0.0; COUNT]);
        (looks.0[0], looks.0[1], looks.0[2]) = (-1.234567, f64::NAN, 12.0);
        let cell = looks.cell();
        assert!(cell.starts_with("-1.23457 - 12.00000 0.00000"), "{cell}");
        let read = Looks::of_cell(&cell).unwrap();
        assert_eq!((read.0[0], read.0[2]), (-1.23457, 12.0));
        assert!(read.0[1].is_nan());
        assert_eq!(Looks::of_cell(""), None);
        assert_eq!(Looks::of_cell(&format!("{cell} 1")), None);
        assert_eq!(Looks::of_cell(&cell.replace("12.0", "a")), None);
    }
}
