//! `import`: a network that was trained elsewhere becomes a model.

use std::path::PathBuf;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use stainfree_network::{Normalisation, Preprocessing};
use stainfree_project::import::{ImportOptions, Imported, ImportedTensor, import};

use crate::failure::{Outcome, UsageError};
use crate::output::{Json, table};
use crate::{Context, next};

/// Make a model of a U-Net that segmentation_models.pytorch has trained
///
/// Takes the `state_dict` of a `Unet` (`torch.save(model.state_dict(), FILE)`, safetensors, or a
/// Lightning checkpoint) with the encoder vgg16, vgg16_bn, mobilenet_v2, efficientnet-b4 or
/// timm-efficientnet-b4, which its names tell. The model gives the same logits. How images became
/// numbers is not in such a file: say it, or predictions are wrong without a word.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree import unet.pth --classes background,nucleus --out model
  stainfree import unet.pth --classes nucleus --scale local:40 --input unit --out study/models/mine

A network with one channel (a sigmoid) names that class alone. What is missing from the file, or is
left over, is an error and named; `--partial` takes what fits, and what is missing starts fresh.")]
pub(crate) struct Import {
    /// File of the `state_dict`: `.pth`, `.pt`, `.ckpt` or `.safetensors`
    weights: PathBuf,

    /// Folder of the model; within a study, `STUDY/models/NAME`
    #[arg(short, long, value_name = "MODEL")]
    out: PathBuf,

    /// Names of the network's channels in their order; `nucleus` and `cytoplasm` are found as cells
    #[arg(
        long,
        value_name = "NAME[,NAME]",
        value_delimiter = ',',
        required = true
    )]
    classes: Vec<String>,

    /// Brightfield planes that it reads: 1, or 3 as red, green and blue
    #[arg(long, value_name = "N", default_value = "1",
        value_parser = PossibleValuesParser::new(["1", "3"]))]
    planes: String,

    /// How counts became numbers from 0 to 1: `full-range` (of 8 or 16 bits),
    /// `percentiles:LOW:HIGH` or `local:PX` (background of that radius taken away)
    #[arg(long, value_name = "HOW", default_value = "full-range", value_parser = scale)]
    scale: Normalisation,

    /// What the network read then: `imagenet` (minus the mean, by the deviation, of ImageNet),
    /// `unit` (0 to 1) or `byte` (0 to 255)
    #[arg(long, value_name = "INPUT", default_value = "imagenet",
        value_parser = PossibleValuesParser::new(["imagenet", "unit", "byte"]))]
    input: String,

    /// Taken away from what `--input` gives, for each of three channels or for all
    #[arg(
        long,
        value_name = "M[,M,M]",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    mean: Vec<f32>,

    /// What it is divided by then
    #[arg(long, value_name = "S[,S,S]", value_delimiter = ',')]
    std: Vec<f32>,

    /// Width of a pixel of the training images in um: images of other sizes are resampled
    #[arg(long, value_name = "UM")]
    pixel_um: Option<f64>,

    /// Take a file in which something is missing, or left over
    #[arg(long)]
    partial: bool,

    /// Replace a model that is there
    #[arg(long)]
    overwrite: bool,

    #[command(flatten)]
    json: Json,
}

/// Reads `--scale`.
fn scale(text: &str) -> Result<Normalisation, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let number = |text: &str| text.parse::<f64>().ok();
    let found = match parts[..] {
        ["full-range"] => Some(Normalisation::Paper),
        ["percentiles", low, high] => number(low)
            .zip(number(high))
            .map(|(low, high)| Normalisation::Percentiles { low, high }),
        ["local", radius] => number(radius).map(|radius_px| Normalisation::Local { radius_px }),
        _ => None,
    };
    let found = found.ok_or("give `full-range`, `percentiles:1:99` or `local:40`")?;
    found.check().map_err(|error| error.to_string())?;
    Ok(found)
}

impl Import {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&["model", "encoder", "tensors"])?;
        if let Some(um) = self.pixel_um.filter(|um| !(um.is_finite() && *um > 0.0)) {
            let sentence = format!("`--pixel-um {um}` must be above 0, such as `0.65`");
            return Err(UsageError(sentence).into());
        }
        let made = import(
            &ImportOptions {
                weights: self.weights.clone(),
                out: self.out.clone(),
                classes: self.classes.clone(),
                planes: if self.planes == "3" { 3 } else { 1 },
                normalisation: self.scale.clone(),
                preprocessing: self.preprocessing()?,
                pixel_um: self.pixel_um,
                partial: self.partial,
                overwrite: self.overwrite,
            },
            &context.job(),
        )?;
        context.console.finish();
        if !made.of("missing").is_empty() {
            context.console.warn(&format!(
                "{} tensors were missing and start fresh: what the model predicts means nothing \
                 before it is trained",
                made.of("missing").len()
            ));
        }
        self.json.write_result(&made)?;
        self.json.print(&listed(&made))?;
        context.next(
            &format!(
                "stainfree predict {} IMAGES --out result",
                next::word(&self.out)
            ),
            "nuclei of your images; look at some before you believe the numbers",
        );
        Ok(Outcome::Done)
    }

    fn preprocessing(&self) -> Result<Preprocessing> {
        let plain = |range| Preprocessing {
            range,
            mean: [0.0; 3],
            std: [1.0; 3],
            ..Preprocessing::torchvision()
        };
        let mut found = match self.input.as_str() {
            "unit" => plain(1.0),
            "byte" => plain(255.0),
            _ => Preprocessing::torchvision(),
        };
        if !self.mean.is_empty() {
            found.mean = three("--mean", &self.mean, |m| m.is_finite())?;
        }
        if !self.std.is_empty() {
            found.std = three("--std", &self.std, |s| s.is_finite() && s > 0.0)?;
        }
        Ok(found)
    }
}

/// A number for each of three channels.
fn three(flag: &str, given: &[f32], is_sound: impl Fn(f32) -> bool) -> Result<[f32; 3]> {
    let numbers = match *given {
        [one] => [one; 3],
        [a, b, c] => [a, b, c],
        _ => {
            let count = given.len();
            let sentence = format!("`{flag}` has {count} numbers; give one, or one a channel");
            return Err(UsageError(sentence).into());
        }
    };
    match numbers.into_iter().find(|&number| !is_sound(number)) {
        None => Ok(numbers),
        Some(number) => {
            let sentence = format!("`{flag} {number}` is no number that can be used there");
            Err(UsageError(sentence).into())
        }
    }
}

/// What became of the tensors: how many, and by name what is not just applied.
fn listed(made: &Imported) -> String {
    /// More are counted.
    const SHOWN: usize = 12;
    let mut text = format!(
        "{}: {} tensors applied, {} missing, {} left over, {} no part of the U-Net\nclasses: {}\n",
        made.encoder,
        made.of("applied").len(),
        made.of("missing").len(),
        made.of("left over").len(),
        made.of("no part of the U-Net").len(),
        made.classes.join(", ")
    );
    let odd = made
        .tensors
        .iter()
        .filter(|tensor| tensor.fate != "applied");
    let odd: Vec<&ImportedTensor> = odd.collect();
    let row = |tensor: &&ImportedTensor| {
        let shape: Vec<String> = tensor.shape.iter().map(ToString::to_string).collect();
        vec![
            tensor.name.clone(),
            tensor.fate.to_owned(),
            shape.join(" x "),
        ]
    };
    let rows: Vec<Vec<String>> = odd.iter().take(SHOWN).map(row).collect();
    if !rows.is_empty() {
        text += &table(&["tensor", "what became of it", "shape"], &rows, 3);
    }
    if odd.len() > SHOWN {
        text += &format!("and {} more (`--json` has all)\n", odd.len() - SHOWN);
    }
    if !made.can_be_trained {
        text +=
            "it predicts; training on from it is not possible, since no encoder here is built so\n";
    }
    text + &format!("written to `{}`", made.model.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_read_with_their_numbers() {
        assert_eq!(scale("full-range"), Ok(Normalisation::Paper));
        let (low, high) = (0.5, 99.5);
        let percentiles = Normalisation::Percentiles { low, high };
        assert_eq!(scale("percentiles:0.5:99.5"), Ok(percentiles));
        let local = Normalisation::Local { radius_px: 40.0 };
        assert_eq!(scale("local:40"), Ok(local));
        for wrong in [
            "",
            "local",
            "local:0",
            "percentiles:9:1",
            "percentiles:1",
            "minmax",
        ] {
            assert!(scale(wrong).is_err(), "{wrong}");
        }
    }
}
