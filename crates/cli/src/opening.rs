//! `--pixel-um` and `--pattern`: what the user knows of images that their files do not say.

use stainfree_image::OpenOptions;

/// The options of commands that read images.
#[derive(clap::Args)]
pub(crate) struct Opening {
    /// Pixel size in um, where the images state none or a wrong one
    #[arg(long, value_name = "UM")]
    pixel_um: Option<f64>,

    #[command(flatten)]
    names: Names,
}

/// The option of commands that look at images only.
#[derive(clap::Args)]
pub(crate) struct Names {
    /// How to read the names of TIFF and PNG files, where they are not recognised as you mean them:
    /// a regular expression with the groups `name` or `well`, `site`, `channel`, `z`, `time`
    /// (docs/files.md)
    #[arg(long, value_name = "REGEX")]
    pattern: Option<String>,
}

impl Opening {
    /// For [`stainfree_image::open`].
    pub(crate) fn options(&self) -> OpenOptions {
        OpenOptions {
            pixel_um: self.pixel_um,
            ..self.names.options()
        }
    }
}

impl Names {
    /// For [`stainfree_image::open`].
    pub(crate) fn options(&self) -> OpenOptions {
        OpenOptions {
            pattern: self.pattern.clone(),
            ..OpenOptions::default()
        }
    }
}
