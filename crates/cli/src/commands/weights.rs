//! `weights`: pretrained encoders, where they are and where they are to be had.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_network::weights::{SOURCES, Source, find, load_encoder, search_folders};
use stainfree_network::{Encoder, Graph, Parameters, UnetSpec};
use stainfree_project::train::data_folder;

use crate::Context;
use crate::failure::{Outcome, UsageError};
use crate::output;

/// Show known encoder weights, or check a file of them
///
/// A network may start from an encoder trained on ImageNet. The files are large and not part of the
/// program: this command says where they are to be had and where they are looked for.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree weights
  stainfree weights fetch vgg16-keras
  stainfree weights check vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5

Weights are looked for in the folders of the environment variable STAINFREE_WEIGHTS, then in the
user's data folder; train uses what it finds there (--weights auto).")]
pub(crate) struct Weights {
    #[command(subcommand)]
    action: Option<Action>,

    /// Write the list as JSON to FILE; `-` is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Say how to get a file of weights, and check it if it is already there
    Fetch {
        /// Name in the list
        name: String,
    },
    /// Check that a file holds complete, known encoder weights
    Check {
        /// The file: .safetensors, .pth or .h5
        file: PathBuf,
        /// The encoder it is for
        #[arg(long, value_name = "NAME", default_value = "vgg16")]
        encoder: String,
        /// The source it is said to come from, a name of the list
        #[arg(long, value_name = "NAME")]
        source: Option<String>,
    },
}

impl Weights {
    pub(crate) fn run(&self, _context: &Context) -> Result<Outcome> {
        match &self.action {
            None => self.list(),
            Some(Action::Fetch { name }) => fetch(name),
            Some(Action::Check { file, encoder, source }) => check(file, encoder, source.as_deref()),
        }
    }

    fn list(&self) -> Result<Outcome> {
        let folders = search_folders(data_folder().as_deref());
        let place = |source: &Source| {
            folders.iter().map(|folder| folder.join(source.file)).find(|path| path.is_file()).map(|path| path.display().to_string())
        };
        if let Some(target) = &self.json {
            let list: Vec<serde_json::Value> = SOURCES
                .iter()
                .map(|source| {
                    serde_json::json!({
                        "name": source.name, "encoder": source.encoder, "summary": source.summary, "file": source.file,
                        "url": source.url, "bytes": source.bytes, "licence": source.licence, "found": place(source),
                    })
                })
                .collect();
            output::write_json(target, &list)?;
        }
        if !output::is_stdout(self.json.as_deref()) {
            for source in SOURCES {
                output::print(&format!(
                    "{}  ({}, {:.0} MB)\n  {}\n  {}\n  {}\n",
                    source.name,
                    source.encoder,
                    source.bytes as f64 / 1e6,
                    source.summary,
                    place(source).map_or(format!("not found here; {}", source.url), |path| format!("found: {path}")),
                    source.licence
                ))?;
            }
            let listed: Vec<String> = folders.iter().map(|folder| format!("`{}`", folder.display())).collect();
            output::print(&format!("looked in: {}", listed.join(", ")))?;
        }
        Ok(Outcome::Done)
    }
}

/// This build has no network code, so it says exactly what to do instead.
fn fetch(name: &str) -> Result<Outcome> {
    let source = Source::named(name).ok_or_else(|| UsageError(format!("no weights are called `{name}` (known: {})", Source::names())))?;
    let folders = search_folders(data_folder().as_deref());
    if let Some((path, found)) = find(source.encoder, &folders)
        && found.name == source.name
    {
        source.verify(&path)?;
        output::print(&format!("`{}` is there and complete", path.display()))?;
        return Ok(Outcome::Done);
    }
    let target = folders.last().map_or("a folder named in STAINFREE_WEIGHTS".to_owned(), |folder| folder.display().to_string());
    anyhow::bail!(
        "this build does not download; get {} and put it into `{target}`, then `stainfree weights check FILE`",
        source.url
    )
}

fn check(file: &std::path::Path, encoder: &str, source: Option<&str>) -> Result<Outcome> {
    let encoder = Encoder::parse(encoder).ok_or_else(|| UsageError(format!("no encoder is called `{encoder}`")))?;
    let graph = Graph::unet(&UnetSpec::new(encoder, 1.0, 2))?;
    let mut parameters = Parameters::initialise(&graph, 0);
    let imported = load_encoder(&graph, &mut parameters, file, source)?;
    output::print(&format!(
        "`{}` holds complete {} weights ({}): {} tensors, {} values; {}",
        file.display(),
        encoder.name(),
        imported.source.name,
        imported.tensors,
        imported.values,
        imported.source.licence
    ))?;
    Ok(Outcome::Done)
}
