//! What is shown: the fields of a study, of a result or of a folder of images, with their channels,
//! layers of labels and table.
//!
//! Everything that a request may name is a number in the lists made here; no path comes from a
//! request.

mod columns;
mod result;
mod study;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stainfree_image::table::number;
use stainfree_image::{Dataset, Field, OpenOptions, marker, open};
use stainfree_project::Study;
use stainfree_project::study::channels::{guess_nucleus, recognise_brightfield};

pub(crate) use self::columns::Columns;
use crate::ViewError;
use crate::work::{Entries, Fields, WorkList};

/// What was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A study: its images, truth, predictions and corrections.
    Study,
    /// A result of `predict` or `segment`.
    Result,
    /// Images alone.
    Images,
}

impl What {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            What::Study => "study",
            What::Result => "result",
            What::Images => "images",
        }
    }
}

/// What a channel shows, by which it is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Brightfield,
    Nucleus,
    Cytoplasm,
    Other,
}

impl Role {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Role::Brightfield => "brightfield",
            Role::Nucleus => "nucleus",
            Role::Cytoplasm => "cytoplasm",
            Role::Other => "other",
        }
    }
}

/// A channel of the images.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    pub(crate) name: String,
    pub(crate) role: Role,
}

/// What the numbers of a layer mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayerKind {
    /// Objects, numbered.
    Objects,
    /// Classes of pixels.
    Classes,
    /// Nuclei of the study's truth as they are corrected here.
    Corrections,
    /// Where the layers of these numbers differ: 1 in the first alone, 2 in the second, 3 in both.
    Difference(usize, usize),
}

impl LayerKind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            LayerKind::Objects => "objects",
            LayerKind::Classes => "classes",
            LayerKind::Corrections => "corrections",
            LayerKind::Difference(..) => "difference",
        }
    }
}

/// A layer of labels over the images.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) name: String,
    pub(crate) kind: LayerKind,
}

/// A field, and where its pixels and labels lie.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) name: String,
    /// Its images; `None` where only labels are at hand.
    pub(crate) image: Option<Field>,
    /// Rows and columns in pixels.
    pub(crate) size: (usize, usize),
    pub(crate) pixel_um: Option<f64>,
    /// By layer: the file of its labels; of a difference that of its second layer.
    pub(crate) labels: Vec<Option<PathBuf>>,
    /// By layer: the table of how sure its objects are.
    pub(crate) sure: Vec<Option<PathBuf>>,
    /// By column of the table.
    pub(crate) cells: Vec<String>,
}

/// Everything that is shown.
#[derive(Debug)]
pub struct Opened {
    pub(crate) what: What,
    pub(crate) path: PathBuf,
    /// What is known of the images that their files do not say.
    pub(crate) opening: OpenOptions,
    pub(crate) channels: Vec<Channel>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) columns: Vec<String>,
    pub(crate) fields: Vec<Shown>,
    /// What is to be looked at of all fields.
    pub(crate) lists: Vec<WorkList>,
    /// The study that corrections belong to.
    pub(crate) study: Option<Study>,
    /// Name of the model whose predictions corrections are made beside.
    pub(crate) model: Option<String>,
    /// Sentences that a user should read.
    pub(crate) notes: Vec<String>,
}

impl Opened {
    /// Opens a study, a result (with the images that it is of, if given) or images; `opening` says
    /// of images what their files do not, and a study says it itself.
    ///
    /// # Errors
    /// There is nothing to show, or it cannot be read.
    pub fn open(
        path: &Path,
        images: Option<&Path>,
        opening: &OpenOptions,
    ) -> Result<Self, ViewError> {
        if Study::is_at(path) {
            if images.is_some() || opening.pattern.is_some() {
                return Err(ViewError::Misuse(format!(
                    "`{}` is a study, which knows its images; leave out `--images` and `--pattern`",
                    path.display()
                )));
            }
            return study::open(path);
        }
        match marker::written_by_us(path) {
            Some(kind) if !kind.holds_images() => result::open(path, images, opening, &kind),
            _ if images.is_some() => Err(ViewError::Misuse(format!(
                "`{}` is no result of `predict` or `segment`, and `--images` says what a result \
                 is of; leave it out",
                path.display()
            ))),
            _ => Self::of_images(path, opening),
        }
    }

    fn of_images(path: &Path, opening: &OpenOptions) -> Result<Self, ViewError> {
        let dataset = open(path, opening)?;
        let mut opened = Self::empty(What::Images, path);
        opened.opening = opening.clone();
        opened.channels = channels(&dataset, None, None);
        opened.notes = dataset.problems;
        let fields = dataset.fields.into_iter();
        opened.fields = fields.map(|field| Shown::of(field, 0)).collect();
        opened.checked()
    }

    fn empty(what: What, path: &Path) -> Self {
        Self {
            what,
            path: path.to_owned(),
            opening: OpenOptions::default(),
            channels: Vec::new(),
            layers: Vec::new(),
            columns: Vec::new(),
            fields: Vec::new(),
            lists: Vec::new(),
            study: None,
            model: None,
            notes: Vec::new(),
        }
    }

    /// The same as it lies on the disk now.
    ///
    /// # Errors
    /// It cannot be read, or is of other fields than before.
    pub(crate) fn again(&self) -> Result<Self, ViewError> {
        let fresh = Self::open(&self.path, None, &self.opening)?;
        let names = |opened: &Self| -> Vec<String> {
            opened.fields.iter().map(|f| f.name.clone()).collect()
        };
        // Everything that a page asks for is a number in the list that it was sent.
        match names(&fresh) == names(self) {
            true => Ok(fresh),
            false => Err(ViewError::Conflict(format!(
                "`{}` has other images than when it was opened; start the viewer again",
                self.path.display()
            ))),
        }
    }

    /// Reads a work list.
    ///
    /// # Errors
    /// There is none of this number, or a table cannot be read.
    pub(crate) fn work(&self, list: usize, with_tests: bool) -> Result<Entries, ViewError> {
        let list = self.lists.get(list).ok_or_else(|| {
            ViewError::Absent(format!(
                "there is no work list number {list} (there are {}, counted from 0)",
                self.lists.len()
            ))
        })?;
        let by_name: BTreeMap<&str, usize> = self
            .fields
            .iter()
            .enumerate()
            .map(|(i, field)| (field.name.as_str(), i))
            .collect();
        let split = self.columns.iter().position(|title| title == "split");
        let cell = |field: usize, column: usize| {
            let cells = self.fields.get(field).map(|field| &field.cells);
            cells
                .and_then(|cells| cells.get(column))
                .map_or("", String::as_str)
        };
        let fields = Fields {
            number: &|name| by_name.get(name).copied(),
            is_test: &|field| split.is_some_and(|column| cell(field, column) == "test"),
            sure: &|layer| {
                let tables = self
                    .fields
                    .iter()
                    .map(|field| field.sure.get(layer)?.clone());
                let there = tables
                    .enumerate()
                    .filter_map(|(i, table)| Some((i, table?)));
                there.collect()
            },
            numbers: &|column| {
                let values = (0..self.fields.len()).map(|i| (i, number(cell(i, column))));
                values.filter_map(|(i, value)| Some((i, value?))).collect()
            },
        };
        list.entries(&fields, with_tests)
    }

    fn checked(self) -> Result<Self, ViewError> {
        if self.fields.is_empty() {
            return Err(ViewError::Absent(format!(
                "`{}` holds no field that could be shown",
                self.path.display()
            )));
        }
        Ok(self)
    }

    /// What was opened.
    pub fn what(&self) -> What {
        self.what
    }

    /// How many fields there are.
    pub fn fields(&self) -> usize {
        self.fields.len()
    }

    /// Sentences that a user should read.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The layer that is corrected.
    pub(crate) fn corrections(&self) -> Option<usize> {
        let of = |layer: &Layer| layer.kind == LayerKind::Corrections;
        self.layers.iter().position(of)
    }

    /// The field of this number.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn field(&self, number: usize) -> Result<&Shown, ViewError> {
        self.fields.get(number).ok_or_else(|| {
            ViewError::Absent(format!(
                "there is no field number {number} (there are {}, counted from 0)",
                self.fields.len()
            ))
        })
    }
}

impl Shown {
    fn of(field: Field, layers: usize) -> Self {
        Self {
            name: field.name.clone(),
            size: (field.height, field.width),
            pixel_um: field.pixel_um,
            labels: vec![None; layers],
            sure: vec![None; layers],
            cells: Vec::new(),
            image: Some(field),
        }
    }
}

/// The channels of images: stains by their numbers, brightfield by names and what files say. Where
/// no stain of nuclei is given, by its name, so that it is drawn as one.
fn channels(dataset: &Dataset, nucleus: Option<usize>, cytoplasm: Option<usize>) -> Vec<Channel> {
    let brightfield = recognise_brightfield(dataset).map_or(Vec::new(), |found| found.channels);
    let named = guess_nucleus(&dataset.channels);
    let nucleus = nucleus.or(named.filter(|_| dataset.channels.len() > 1));
    let names = dataset.channels.iter().enumerate();
    names
        .map(|(number, name)| Channel {
            name: name.clone(),
            role: match number {
                _ if Some(number) == cytoplasm => Role::Cytoplasm,
                _ if Some(number) == nucleus => Role::Nucleus,
                _ if brightfield.contains(name) => Role::Brightfield,
                _ => Role::Other,
            },
        })
        .collect()
}
