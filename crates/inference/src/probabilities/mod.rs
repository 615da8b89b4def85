//! Probabilities of pixels that mean what they say: a temperature for each class.
//!
//! A network that is trained to its end is surer than it is right. The logarithms of its
//! probabilities are divided by a temperature and made to add up to 1 again, for every pixel that
//! of its own most likely class, so that the order of a pixel's classes stays as it was: class
//! masks, nuclei, and the rule that was chosen for them know nothing of it. What a temperature
//! cannot do is move a probability over that of another class: where both classes are equally
//! probable they stay so.
//!
//! `fit` finds the temperatures on fields with truth. Here: what is kept of it in a model's folder,
//! `probabilities.toml`, tied to the model by its hash, and what it does to probabilities.
//!
//! Source: Guo et al. (2017), "On calibration of modern neural networks", ICML. By predicted class:
//! Frenkel & Goldberger (2021), "Network calibration by class-based temperature scaling", EUSIPCO.

mod fit;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stainfree_image::{Image, write_atomic};

use crate::InferenceError;
pub use fit::{FieldPixels, NoTemperatures, PixelsChecked, PixelsLeftOut};

/// Name of the file.
pub const FILE_NAME: &str = "probabilities.toml";

/// The least probability: its logarithm is taken.
const LEAST: f32 = 1e-12;

/// What `probabilities.toml` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Temperatures {
    /// Program and version that fitted it.
    pub program: String,
    /// What the model is recognised by ([`stainfree_network::Model::hash`]).
    pub model: String,
    /// What it was fitted on, and how well it does there on what was left out.
    pub checked: PixelsChecked,
    /// Of pixels whose most likely class this is; above 1 where the network is too sure. All are 1
    /// where probabilities hold as they are, and alike where classes need no temperature of their
    /// own.
    pub classes: Vec<Temperature>,
}

/// The temperature of a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Temperature {
    /// The class.
    pub class: String,
    /// What the logarithms of its pixels' probabilities are divided by.
    pub temperature: f64,
}

impl Temperatures {
    /// What was fitted for the model `hash` in `folder`; `None` where nothing was, or what is there
    /// is for another.
    ///
    /// # Errors
    /// [`InferenceError::Probabilities`] if the file cannot be read or is damaged.
    pub fn read(folder: &Path, hash: &str) -> Result<Option<Self>, InferenceError> {
        let path = folder.join(FILE_NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(broken(&path, error.to_string())),
        };
        let found: Self =
            toml::from_str(&text).map_err(|error| broken(&path, error.message().to_owned()))?;
        if found.model != hash {
            return Ok(None);
        }
        let usable = |of: &Temperature| of.temperature.is_finite() && of.temperature > 0.0;
        match found.classes.iter().find(|of| !usable(of)) {
            None => Ok(Some(found)),
            Some(of) => Err(broken(
                &path,
                format!("the temperature of `{}` is out of range", of.class),
            )),
        }
    }

    /// Writes the file whole or not at all; one that is there is replaced.
    ///
    /// # Errors
    /// [`InferenceError::Probabilities`] if it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, InferenceError> {
        let path = folder.join(FILE_NAME);
        let text = toml::to_string(self).map_err(|error| broken(&path, error.to_string()))?;
        let written = write_atomic(&path, text.as_bytes());
        written.map_err(|error| broken(&path, error.to_string()))?;
        Ok(path)
    }

    /// Removes what is in `folder`, of whichever model.
    ///
    /// # Errors
    /// [`InferenceError::Probabilities`] if it cannot be removed.
    pub fn forget(folder: &Path) -> Result<(), InferenceError> {
        let path = folder.join(FILE_NAME);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(broken(&path, error.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// A number that it is recognised by.
    pub fn number(&self) -> u32 {
        let text = toml::to_string(self).unwrap_or_default();
        let digits = stainfree_network::model::sha256(text.as_bytes());
        // The first digits of a hash are a number.
        u32::from_str_radix(&digits[..8], 16).unwrap_or_default()
    }

    /// That number in eight hexadecimal digits.
    pub fn word(&self) -> String {
        format!("{:08x}", self.number())
    }

    /// Makes of a network's probabilities, one plane a class, those that hold. Where nothing was
    /// seen they stay as they are.
    ///
    /// # Panics
    /// If there are more planes than classes, or their sizes differ.
    pub fn apply(&self, planes: &mut [Image<f32>]) {
        let powers: Vec<f64> = self.classes.iter().map(|of| 1.0 / of.temperature).collect();
        if powers.iter().all(|power| *power == 1.0) {
            return;
        }
        let pixels = planes.first().map_or(0, |plane| plane.data().len());
        let mut at = vec![0.0; planes.len()];
        for i in 0..pixels {
            for (p, plane) in at.iter_mut().zip(planes.iter()) {
                *p = plane.data()[i];
            }
            let top = top_of(&at);
            raise(&mut at, powers[top]);
            // Numbers that differed in their last digits may have become one.
            if top_of(&at) != top {
                at[top] = f32::from_bits(at[top].to_bits() + 1);
            }
            for (p, plane) in at.iter().zip(planes.iter_mut()) {
                plane.data_mut()[i] = *p;
            }
        }
    }

    /// What a user is told of it.
    pub fn sentence(&self) -> String {
        let PixelsChecked {
            groups,
            fields,
            left_out,
            ece,
            by_class,
            ..
        } = &self.checked;
        let units = match left_out {
            PixelsLeftOut::Group => format!("{groups} groups of validation fields"),
            PixelsLeftOut::Field => format!("{} validation fields of one group", fields.len()),
        };
        let first = self.classes.first().map_or(1.0, |of| of.temperature);
        let how = if self.classes.iter().all(|of| of.temperature == 1.0) {
            return format!(
                "probabilities of pixels stay as the network gives them: on {units}, each left out \
                 in turn, no temperature was better (calibration error {:.3})",
                ece[0]
            );
        } else if *by_class {
            let of = |of: &Temperature| format!("{} {:.2}", of.class, of.temperature);
            let all: Vec<String> = self.classes.iter().map(of).collect();
            format!("temperatures by class ({})", all.join(", "))
        } else {
            format!("one temperature ({first:.2})")
        };
        format!(
            "probabilities of pixels are written with {how}: on {units}, each left out in turn, \
             that brings their calibration error from {:.3} to {:.3}; classes and nuclei stay as \
             they are",
            ece[0], ece[1]
        )
    }
}

/// The class of the largest probability, ties to the lower class.
fn top_of(probabilities: &[f32]) -> usize {
    let mut top = 0;
    for (class, p) in probabilities.iter().enumerate().skip(1) {
        if *p > probabilities[top] {
            top = class;
        }
    }
    top
}

/// Raises probabilities to a power and makes them add up to 1.
fn raise(probabilities: &mut [f32], power: f64) {
    let top = probabilities.iter().copied().fold(LEAST, f32::max);
    let mut sum = 0.0;
    let raised = |p: f32| (f64::from(p.max(0.0) / top)).powf(power);
    for p in probabilities.iter() {
        sum += raised(*p);
    }
    for p in probabilities.iter_mut() {
        *p = (raised(*p) / sum) as f32;
    }
}

fn broken(path: &Path, what: String) -> InferenceError {
    InferenceError::Probabilities {
        path: path.to_owned(),
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prediction::largest;

    fn temperatures(of: &[f64]) -> Temperatures {
        let classes = ["background", "nucleus", "cytoplasm"].iter().zip(of);
        Temperatures {
            program: "stainfree".to_owned(),
            model: "m".to_owned(),
            checked: PixelsChecked::default(),
            classes: classes
                .map(|(class, &temperature)| Temperature {
                    class: (*class).to_owned(),
                    temperature,
                })
                .collect(),
        }
    }

    fn planes(pixels: &[[f32; 3]]) -> Vec<Image<f32>> {
        let plane = |class: usize| pixels.iter().map(|p| p[class]).collect();
        (0..3)
            .map(|class| Image::new(1, pixels.len(), plane(class)))
            .collect()
    }

    #[test]
    fn a_temperature_is_the_softmax_of_divided_logits() {
        let logits = [1.5f64, -0.5, 0.25];
        let softmax = |of: &[f64]| -> Vec<f64> {
            let sum: f64 = of.iter().map(|z| z.exp()).sum();
            of.iter().map(|z| z.exp() / sum).collect()
        };
        let p = softmax(&logits);
        let mut made = planes(&[[p[0] as f32, p[1] as f32, p[2] as f32]]);
        temperatures(&[2.0, 9.0, 9.0]).apply(&mut made);
        let expected = softmax(&logits.map(|z| z / 2.0));
        for (plane, expected) in made.iter().zip(expected) {
            assert!((f64::from(plane.data()[0]) - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn every_pixel_goes_by_its_own_class_and_keeps_it() {
        let pixels = [
            [0.7, 0.2, 0.1],
            [0.2, 0.7, 0.1],
            [0.1, 0.2, 0.7],
            [0.4, 0.4, 0.2],
            // Where nothing was seen.
            [1.0, 0.0, 0.0],
            // By the last digit.
            [0.29999998, 0.3, 0.40000004],
            [0.49999997, 0.50000003, 0.0],
        ];
        let mut made = planes(&pixels);
        let before = largest(&made);
        temperatures(&[2.0, 0.5, 1.0]).apply(&mut made);
        assert_eq!(largest(&made), before);
        let mut flat = made.clone();
        temperatures(&[9.0, 9.0, 9.0]).apply(&mut flat);
        assert_eq!(largest(&flat), before);
        let at = |i: usize| [0, 1, 2].map(|class: usize| made[class].data()[i]);
        assert!(at(0)[0] < 0.7 && at(1)[1] > 0.7, "less sure, and surer");
        assert!(
            at(2)
                .iter()
                .zip(pixels[2])
                .all(|(a, b)| (a - b).abs() < 1e-6)
        );
        assert_eq!(at(3)[0], at(3)[1]);
        assert_eq!(at(4), pixels[4]);
        for i in 0..pixels.len() {
            assert!((at(i).iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn what_is_written_is_read_for_its_model_only() {
        let folder = tempfile::tempdir().unwrap();
        let read = |model: &str| Temperatures::read(folder.path(), model);
        assert_eq!(read("m").unwrap(), None);
        let written = temperatures(&[1.5, 2.0, 1.0]);
        written.write(folder.path()).unwrap();
        assert_eq!(read("m").unwrap(), Some(written.clone()));
        assert_eq!(read("other").unwrap(), None);
        assert_ne!(written.word(), temperatures(&[1.5, 2.0, 1.5]).word());
        temperatures(&[1.5, 0.0, 1.0]).write(folder.path()).unwrap();
        let error = read("m").unwrap_err().to_string();
        assert!(
            error.contains("`nucleus`") && error.contains("stainfree tune"),
            "{error}"
        );
        Temperatures::forget(folder.path()).unwrap();
        assert_eq!(read("m").unwrap(), None);
        Temperatures::forget(folder.path()).unwrap();
    }
}
