//! `weights`: pretrained encoders, where they are and where they are to be had.

use std::path::{Path, PathBuf};

use anyhow::Result;
use stainfree_network::weights::{SOURCES, Source, VIRTUAL_PLATES, load_encoder, search_folders};
use stainfree_network::{Encoder, Graph, Parameters, UnetSpec};
use stainfree_project::training::start::data_folder;

use crate::Context;
use crate::failure::{Outcome, UsageError};
use crate::output::{self, Json};

/// Show known encoder weights, get a file of them, or check one
///
/// A network may start from an encoder trained on ImageNet. MobileNetV2's weights are part of the
/// program; the other files are large: this command says where they are to be had, gets them, and
/// says where they are looked for.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  stainfree weights
  stainfree weights fetch vgg16-keras
  stainfree weights check vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5

Weights are looked for in the folders of the environment variable STAINFREE_WEIGHTS, then in the
user's data folder, which is also where fetch puts them; train uses what it finds there
(--weights auto)."
)]
pub(crate) struct Weights {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    json: Json,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Get a file of weights into the user's data folder, or check it if it is already there
    ///
    /// The file appears under its name only when its checksum is the published one. Proxies are
    /// taken from the environment (HTTPS_PROXY, ALL_PROXY, NO_PROXY). This is the only command that
    /// uses the network; a program built without the feature `download` says where to get the file
    /// instead.
    Fetch {
        /// Name in the list
        name: String,
    },
    /// Check that a file holds complete, known encoder weights
    Check {
        /// The file: .safetensors, .pth or .h5
        file: PathBuf,
        /// The encoder it is for
        #[arg(
            long,
            value_name = "NAME",
            value_parser = super::encoders(),
            default_value = "vgg16",
        )]
        encoder: String,
        /// The source it is said to come from, a name of the list
        #[arg(long, value_name = "NAME")]
        source: Option<String>,
    },
}

impl Weights {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        match &self.action {
            None => self.list(),
            Some(Action::Fetch { name }) => fetch(name, context),
            Some(Action::Check {
                file,
                encoder,
                source,
            }) => check(file, encoder, source.as_deref()),
        }
    }

    fn list(&self) -> Result<Outcome> {
        self.json.check(&["name", "encoder", "licence"])?;
        let folders = search_folders(data_folder().as_deref());
        let place =
            |source: &Source| found(source, &folders).map(|path| path.display().to_string());
        let mut list: Vec<serde_json::Value> = SOURCES
            .iter()
            .map(|source| {
                serde_json::json!({
                    "name": source.name, "encoder": source.encoder, "summary": source.summary,
                    "file": source.file,
                    "url": source.url, "bytes": source.bytes, "licence": source.licence,
                    "found": place(source), "built_in": source.is_built_in(),
                })
            })
            .collect();
        list.push(serde_json::json!({
            "name": VIRTUAL_PLATES, "encoder": "mobilenet-v2", "summary": PLATES_SUMMARY,
            "file": null, "url": null,
            "bytes": null, "licence": "Apache-2.0", "found": null, "built_in": true,
        }));
        self.json.write(&list)?;
        for source in SOURCES {
            self.json.print(&format!(
                "{}  ({}, {:.0} MB)\n  {}\n  {}\n  {}\n",
                source.name,
                source.encoder,
                source.bytes as f64 / 1e6,
                source.summary,
                place(source).map_or_else(|| elsewhere(source), |path| format!("found: {path}")),
                source.licence
            ))?;
        }
        self.json.print(&format!(
            "{VIRTUAL_PLATES}  (mobilenet-v2)\n  {PLATES_SUMMARY}\n  part of the program\n  \
                 Apache-2.0\n"
        ))?;
        let listed: Vec<String> = folders
            .iter()
            .map(|folder| format!("`{}`", folder.display()))
            .collect();
        self.json
            .print(&format!("looked in: {}", listed.join(", ")))?;
        Ok(Outcome::Done)
    }
}

/// Gets a file unless it is there already; a file that is there is checked.
fn fetch(name: &str, context: &Context) -> Result<Outcome> {
    let source = Source::named(name).ok_or_else(|| {
        UsageError(format!(
            "no weights are called `{name}` (known: {})",
            Source::names()
        ))
    })?;
    let folders = search_folders(data_folder().as_deref());
    if let Some(path) = found(source, &folders) {
        source.verify(&path).map_err(|error| {
            anyhow::anyhow!("{error}; delete the file and run the command again")
        })?;
        output::print(&format!("`{}` is there and complete", path.display()))?;
        return Ok(Outcome::Done);
    }
    let Some(folder) = folders.last() else {
        anyhow::bail!(
            "the system names no home folder; set STAINFREE_WEIGHTS to the folder for weights and \
             run the command again"
        );
    };
    let Some(url) = source.url else {
        anyhow::bail!(
            "`{}` is {}; put it into `{}`",
            source.file,
            whence(source),
            folder.display()
        );
    };
    get(source, url, folder, context)
}

/// What is said of a source without a file here.
fn elsewhere(source: &Source) -> String {
    if source.is_built_in() {
        "part of the program, in half precision".to_owned()
    } else {
        format!("not found here; {}", whence(source))
    }
}

/// Where a source's file is to be had.
fn whence(source: &Source) -> &'static str {
    source
        .url
        .unwrap_or("converted and published nowhere as it is: it is passed on by hand")
}

/// What the carried model is.
const PLATES_SUMMARY: &str =
    "a whole network that began with mobilenet-v2-onnx-zoo and has seen virtual plates only";

/// Where a source's file lies already. A search folder may also be the file itself.
fn found(source: &Source, folders: &[PathBuf]) -> Option<PathBuf> {
    let is_file = |folder: &PathBuf| folder.file_name().is_some_and(|name| name == source.file);
    let places = folders.iter().map(|folder| {
        if is_file(folder) {
            folder.clone()
        } else {
            folder.join(source.file)
        }
    });
    places.into_iter().find(|path| path.is_file())
}

#[cfg(feature = "download")]
fn get(source: &Source, url: &str, folder: &Path, context: &Context) -> Result<Outcome> {
    use crate::download::{Download, client, download};
    let target = folder.join(source.file);
    let wanted = Download {
        url,
        bytes: source.bytes,
        digest: source.digest,
        target: &target,
        patience: std::time::Duration::from_secs(60),
    };
    download(&wanted, client(ureq::Proxy::try_from_env()), &context.job())?;
    context.console.finish();
    output::print(&format!(
        "`{}` is complete; {}",
        target.display(),
        source.licence
    ))?;
    Ok(Outcome::Done)
}

/// This build has no network code, so it says exactly what to do instead.
#[cfg(not(feature = "download"))]
fn get(_source: &Source, url: &str, folder: &Path, _context: &Context) -> Result<Outcome> {
    anyhow::bail!(
        "this build does not download; get {} and put it into `{}`, then `stainfree weights check \
         FILE`",
        url,
        folder.display()
    )
}

fn check(file: &Path, encoder: &str, source: Option<&str>) -> Result<Outcome> {
    let encoder = Encoder::parse(encoder)
        .ok_or_else(|| UsageError(format!("no encoder is called `{encoder}`")))?;
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
