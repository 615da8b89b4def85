//! What a user should know of how images are computed, each said once.

use std::path::Path;

use crate::cap::Cap;
use crate::confidence::FILE_NAME as CONFIDENCE;
use crate::decisions::FILE_NAME;
use crate::probabilities::FILE_NAME as TEMPERATURES;

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// The cap on memory leaves fewer threads than asked for; the whole sentence.
    Threads(String),
    /// The network is computed elsewhere than on the processor; the whole sentence.
    Device(String),
    /// A rule beside the model is not used; the whole sentence.
    Rule(String),
    /// An image is computed in tiles, which may change classes; what follows the image's name in
    /// the sentence.
    Tiles(String),
}

impl Remark {
    /// The sentence, where `image` is what the image it came with is called (``field `A1` ``).
    pub fn sentence(&self, image: &str) -> String {
        match self {
            Self::Threads(sentence) | Self::Rule(sentence) | Self::Device(sentence) => {
                sentence.clone()
            }
            Self::Tiles(rest) => format!("{image} {rest}"),
        }
    }

    /// `afforded` of `threads` threads compute, each of which takes `scratch` bytes.
    pub(crate) fn on_threads(afforded: usize, threads: usize, scratch: usize, cap: Cap) -> Self {
        Self::Threads(format!(
            "{afforded} of {threads} threads compute, to keep to {cap} of memory; `--memory {}` \
             or more is enough for all",
            Cap::for_threads(threads, scratch)
        ))
    }

    /// What computes, as the device says it.
    pub(crate) fn on_device(sentence: String) -> Self {
        Self::Device(sentence)
    }

    /// The rule in `folder` was chosen for a model that is not there any more.
    pub(crate) fn on_rule_of_another(folder: &Path) -> Self {
        Self::Rule(format!(
            "`{}` was chosen for another model and is not used, so nuclei are made by the default; \
             choose one with `stainfree tune`",
            folder.join(FILE_NAME).display()
        ))
    }

    /// The confidence in `folder` was fitted for another model or another rule.
    pub(crate) fn on_confidence_of_another(folder: &Path) -> Self {
        Self::Rule(format!(
            "`{}` was fitted for another model or another rule and is not used, so nuclei have no \
             confidence; `stainfree tune` fits it anew",
            folder.join(CONFIDENCE).display()
        ))
    }

    /// The temperatures in `folder` were fitted for another model.
    pub(crate) fn on_temperatures_of_another(folder: &Path) -> Self {
        Self::Rule(format!(
            "`{}` was fitted for another model and is not used, so probabilities are as the \
             network gives them; `stainfree tune` fits it anew",
            folder.join(TEMPERATURES).display()
        ))
    }

    /// An image of that size is read and computed part by part, which `how` says more of.
    pub(crate) fn on_regions([height, width]: [usize; 2], cap: Cap, how: &str) -> Self {
        Self::Tiles(format!(
            "of {height} x {width} pixels is read and computed by region to keep to {cap}{how}"
        ))
    }

    /// An image of that size is computed in tiles, which `how` says more of.
    pub(crate) fn on_tiles([height, width]: [usize; 2], cap: Cap, how: &str) -> Self {
        Self::Tiles(format!(
            "of {height} x {width} pixels is computed in tiles to keep to {cap}{how}"
        ))
    }
}

/// Remarks that nobody has taken yet.
#[derive(Default)]
pub(crate) struct Remarks {
    new: Vec<Remark>,
    /// Whether one of them, now or before, was about tiles: they are much the same for all images.
    tiles: bool,
}

impl Remarks {
    /// Adds one.
    pub(crate) fn add(&mut self, remark: Remark) {
        self.new.push(remark);
    }

    /// Adds what `remark` says of tiles, unless something was said of them before.
    pub(crate) fn add_on_tiles(&mut self, remark: impl FnOnce() -> Option<Remark>) {
        let new = if self.tiles { None } else { remark() };
        self.tiles |= new.is_some();
        self.new.extend(new);
    }

    /// All that are new.
    pub(crate) fn take(&mut self) -> Vec<Remark> {
        std::mem::take(&mut self.new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_on_threads_keeps_none_on_tiles_from_being_said() {
        let (threads, tiles) = (
            Remark::Threads("threads".into()),
            Remark::Tiles("tiles".into()),
        );
        let mut remarks = Remarks::default();
        remarks.add(threads.clone());
        remarks.add_on_tiles(|| None);
        remarks.add_on_tiles(|| Some(tiles.clone()));
        assert_eq!(remarks.take(), [threads, tiles.clone()]);
        // Another image says the same of tiles.
        remarks.add_on_tiles(|| Some(tiles));
        assert!(remarks.take().is_empty());
    }

    #[test]
    fn sentences_name_the_image_where_it_matters() {
        let cap = Cap(8 << 20);
        let tiles = Remark::on_tiles([70, 53], cap, ", slowly");
        assert_eq!(
            tiles.sentence("field `A1`"),
            "field `A1` of 70 x 53 pixels is computed in tiles to keep to 8MiB, slowly"
        );
        let threads = Remark::on_threads(1, 4, 1 << 20, cap);
        assert_eq!(
            threads.sentence("field `A1`"),
            "1 of 4 threads compute, to keep to 8MiB of memory; `--memory 32MiB` or more is \
             enough for all"
        );
    }
}
