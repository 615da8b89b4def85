//! `new`: a study with every choice visible.

use std::path::{Path, PathBuf};

use anyhow::Result;
use stainfree_project::study::config::Scheme;
use stainfree_project::{NewOptions, new};

use crate::Context;
use crate::failure::{Outcome, UsageError};
use crate::next;
use crate::opening::Opening;
use crate::output::Json;

/// Make a study: a folder with a stainfree.toml that holds every choice
///
/// The truth comes from stains (--nucleus, --cytoplasm), from masks (--masks), or from nucleus
/// instances (--labels); files are matched to fields by name, with or without what programs add to
/// it (`a_labels`, `a_cp_masks`, `Labels of a`). What is not said is guessed, said aloud, and
/// written into stainfree.toml, where it can be changed.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree new plate/ --out study
  stainfree new plate/ --out study --brightfield TL --nucleus Hoechst --cytoplasm Mito
  stainfree new images/ --out study --labels labels/ --group key:experiment

Writes DIR/stainfree.toml; the images stay where they are. `new DIR --images PATH` is the same as
`new PATH --out DIR`.")]
pub(crate) struct New {
    /// Plate, folder or file with the images; with --images, the folder of the new study
    path: PathBuf,

    /// Folder of the new study; must not hold anything yet
    #[arg(short, long, value_name = "DIR", required_unless_present = "images")]
    out: Option<PathBuf>,

    /// Plate, folder or file with the images, where the study stands in first place
    #[arg(long, value_name = "PATH", conflicts_with = "out")]
    images: Option<PathBuf>,

    /// Brightfield channel, or three channels that are its planes
    #[arg(long, value_name = "NAME[,NAME,NAME]", value_delimiter = ',')]
    brightfield: Vec<String>,

    /// z planes of the brightfield, from 1: one or three [default: all where there are three, else
    /// the middle one]
    #[arg(long, value_name = "Z[,Z,Z]", value_delimiter = ',')]
    planes: Vec<usize>,

    /// Channel of the nuclear stain
    #[arg(long, value_name = "NAME", conflicts_with_all = ["masks", "labels"])]
    nucleus: Option<String>,

    /// Channel of the cytoplasmic stain
    #[arg(long, value_name = "NAME", conflicts_with_all = ["cell_masks", "cell_labels"])]
    cytoplasm: Option<String>,

    /// Folder of class masks (0, 1, 2 ..; 255 ignored) or of 0/255 nucleus masks
    #[arg(long, value_name = "DIR", conflicts_with = "labels")]
    masks: Option<PathBuf>,

    /// Folder of nucleus instances
    #[arg(long, value_name = "DIR")]
    labels: Option<PathBuf>,

    /// Folder of whole-cell instances; the nucleus is painted on top
    #[arg(long, value_name = "DIR", conflicts_with = "cell_masks")]
    cell_labels: Option<PathBuf>,

    /// Folder of whole-cell masks; the nucleus is painted on top
    #[arg(long, value_name = "DIR")]
    cell_masks: Option<PathBuf>,

    /// A: background, nucleus, cytoplasm; B: background, nucleus, boundary, split
    #[arg(long, value_name = "A|B", value_parser = ["A", "B"], ignore_case = true)]
    scheme: Option<String>,

    /// Fields kept together by the split: `well`, `field`, `key:NAME` (a key of the fields'
    /// metadata) or `re:PATTERN` (a regular expression whose first capture in the field's name is
    /// the group) [default: well, else field]
    #[arg(long, value_name = "RULE")]
    group: Option<String>,

    /// Shares of training, validation and test [default: 0.8,0.1,0.1]
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    split: Vec<f64>,

    /// Groups that are the test set
    #[arg(long, value_name = "GROUP[,GROUP..]", value_delimiter = ',')]
    test_groups: Vec<String>,

    #[command(flatten)]
    opening: Opening,

    /// Seed of split and training
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    #[command(flatten)]
    json: Json,
}

impl New {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&["study", "config"])?;
        let (dir, images) = self.places();
        let fractions = match self.split[..] {
            [] => None,
            [train, validation, test] => Some([train, validation, test]),
            _ => {
                return Err(UsageError(format!(
                    "`--split` takes three shares such as `0.8,0.1,0.1`, not {}",
                    self.split.len()
                ))
                .into());
            }
        };
        let options = NewOptions {
            images: images.to_owned(),
            brightfield: self.brightfield.clone(),
            planes: self.planes.clone(),
            nucleus: self.nucleus.clone(),
            cytoplasm: self.cytoplasm.clone(),
            masks: self.masks.clone(),
            labels: self.labels.clone(),
            cell_masks: self.cell_masks.clone(),
            cell_labels: self.cell_labels.clone(),
            scheme: self.scheme.as_deref().map(|name| {
                if name.eq_ignore_ascii_case("b") {
                    Scheme::B
                } else {
                    Scheme::A
                }
            }),
            group: super::group_rule(self.group.as_ref(), context),
            fractions,
            test_groups: self.test_groups.clone(),
            opening: self.opening.options(),
            seed: self.seed,
        };
        let created = new::create(dir, &options, context.job().cancel)?;
        for message in &created.messages {
            context.job().progress.note(message);
        }
        let config = created.study.config_path();
        self.json.write_result(&serde_json::json!({
            "study": dir,
            "config": config,
            "messages": created.messages,
        }))?;
        self.json
            .print(&format!("made `{}`; look it over", config.display()))?;
        context.next(
            &format!("stainfree prepare {}", next::word(dir)),
            "truth for every field, and pictures of it",
        );
        Ok(Outcome::Done)
    }

    /// The study's folder and the images, whichever way round they were given.
    fn places(&self) -> (&Path, &Path) {
        match (&self.images, &self.out) {
            (Some(images), _) => (&self.path, images),
            (None, Some(dir)) => (dir, &self.path),
            // The parser lets nothing else through.
            (None, None) => (&self.path, &self.path),
        }
    }
}
