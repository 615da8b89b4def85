//! What a report shows, as plain values the caller fills in.
//!
//! Every text is escaped by the page template; every picture is embedded. All parts are optional: a
//! section without content does not appear.

use stainfree_image::Image;
use stainfree_scores::verdict::Verdict;

use crate::drawing::Drawing;
use crate::plate_map::PlateMap;

/// All of one report.
#[derive(Clone, Debug, Default)]
pub struct ReportData {
    /// Title of the page, usually the study's name.
    pub title: String,
    /// One line below it: what was done, with which model, when.
    pub subtitle: String,
    /// Whether its numbers can be used.
    pub judgement: Option<Judgement>,
    /// The result in plain sentences.
    pub summary: Vec<String>,
    /// The numbers a reader wants first.
    pub headlines: Vec<Headline>,
    /// How far the result can be trusted, in sentences: unit, groups, intervals, limits.
    pub trust: Vec<String>,
    /// Facts about images, split and training.
    pub facts: Vec<Fact>,
    /// Figures: rows of pictures such as brightfield, stain, truth, prediction.
    pub figures: Vec<Figure>,
    /// Names and colours of what the figures show.
    pub legend: Vec<Swatch>,
    /// Plates with a number for each well.
    pub maps: Vec<PlateMap>,
    /// Tables of plates and wells.
    pub plates: Vec<Table>,
    /// The fields that are the least like the training, each beside the one of the training that it
    /// is the most like.
    pub strange: Vec<Figure>,
    /// Training curves and other plots.
    pub charts: Vec<Chart>,
    /// The worst objects of each kind of error, with their own legend.
    pub errors: Vec<Figure>,
    /// Names and colours of the outlines in `errors`.
    pub errors_legend: Vec<Swatch>,
    /// Score tables.
    pub tables: Vec<Table>,
    /// Fields with the lowest scores, worst first.
    pub worst: Vec<FieldCard>,
    /// Fields with the highest scores, best first.
    pub best: Vec<FieldCard>,
    /// Quality of the truth the model learned from.
    pub truth: TruthQuality,
    /// The configuration file, word for word.
    pub config: String,
    /// Program version, model hash, data hash and the like.
    pub provenance: Vec<Fact>,
    /// Anything else a reader must know.
    pub notes: Vec<String>,
}

/// A verdict, and what to do about it.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// Which numbers are meant, in a sentence.
    pub about: String,
    /// What the rules say.
    pub verdict: Verdict,
    /// What to do next.
    pub next: Vec<NextStep>,
}

/// Something to do next.
#[derive(Clone, Debug, Default)]
pub struct NextStep {
    /// What, as a sentence.
    pub words: String,
    /// The command to type for it, where there is one.
    pub command: String,
}

/// A number with its interval and meaning.
#[derive(Clone, Debug, Default)]
pub struct Headline {
    /// What it is, such as `Nucleus F1`.
    pub label: String,
    /// The number as text, such as `0.912`.
    pub value: String,
    /// Below it: the interval or another qualification.
    pub detail: String,
    /// One sentence that says what the number means.
    pub explanation: String,
}

/// A labelled value.
#[derive(Clone, Debug, Default)]
pub struct Fact {
    /// What it is.
    pub label: String,
    /// Its value.
    pub value: String,
}

impl Fact {
    /// A fact from anything that can be shown.
    pub fn new(label: impl Into<String>, value: impl ToString) -> Self {
        Self {
            label: label.into(),
            value: value.to_string(),
        }
    }
}

/// A picture with its caption.
#[derive(Clone, Debug)]
pub struct Picture {
    /// sRGB pixels; shown at most at their own size.
    pub image: Image<[u8; 3]>,
    /// Short caption, also the text for readers who cannot see it.
    pub caption: String,
}

impl Picture {
    /// A picture with its caption.
    pub fn new(image: Image<[u8; 3]>, caption: impl Into<String>) -> Self {
        Self {
            image,
            caption: caption.into(),
        }
    }
}

/// A row of pictures of the same place.
#[derive(Clone, Debug, Default)]
pub struct Figure {
    /// Title, usually the field's name.
    pub title: String,
    /// What is seen.
    pub caption: String,
    /// Side by side; they wrap on narrow windows.
    pub pictures: Vec<Picture>,
}

/// A colour of the legend.
#[derive(Clone, Debug)]
pub struct Swatch {
    /// The colour.
    pub color: [u8; 3],
    /// What it stands for.
    pub label: String,
}

/// A plot.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// Title.
    pub title: String,
    /// What is seen, and how to read it.
    pub caption: String,
    /// The plot, made by [`crate::LineChart`], [`crate::PointChart`] or [`crate::IntervalChart`].
    pub svg: Svg,
}

/// A plot that can be put into a page and written as a file. Only this crate's plots make one, so
/// pages may embed it as it is.
#[derive(Clone, Debug, Default)]
pub struct Svg {
    page: String,
    drawing: Drawing,
}

impl Svg {
    pub(crate) fn of(drawing: Drawing) -> Self {
        Self {
            page: drawing.page_svg(),
            drawing,
        }
    }

    /// The SVG source for pages with this crate's style sheet.
    pub fn as_str(&self) -> &str {
        &self.page
    }

    /// SVG as a file of its own: dark on white, without the page's variables and styles.
    pub fn standalone(&self) -> String {
        self.drawing.file_svg()
    }

    /// The same as a picture, two pixels to a unit of the drawing.
    pub fn picture(&self) -> Image<[u8; 3]> {
        self.drawing.picture()
    }
}

/// A table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Title.
    pub title: String,
    /// What is seen.
    pub caption: String,
    /// Column heads.
    pub columns: Vec<Column>,
    /// Rows of as many cells as there are columns.
    pub rows: Vec<Vec<Cell>>,
    /// Long tables start folded.
    pub folded: bool,
}

/// A column head with its explanation.
#[derive(Clone, Debug, Default)]
pub struct Column {
    /// Short name.
    pub name: String,
    /// What the column's values mean; shown as a tooltip and below the table.
    pub explanation: String,
    /// Numbers are set to the right.
    pub numeric: bool,
}

impl Column {
    /// A column of text.
    pub fn text(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// A column of numbers with its explanation.
    pub fn number(name: impl Into<String>, explanation: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            explanation: explanation.into(),
            numeric: true,
        }
    }
}

/// A table cell.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// What is shown.
    pub text: String,
    /// Tooltip, such as the reason of an undefined value.
    pub note: String,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            note: String::new(),
        }
    }
}

/// One field with its scores and pictures.
#[derive(Clone, Debug, Default)]
pub struct FieldCard {
    /// Name of the field.
    pub name: String,
    /// Its scores.
    pub facts: Vec<Fact>,
    /// Its pictures.
    pub pictures: Vec<Picture>,
    /// What stands out.
    pub note: String,
}

/// Quality of the truth.
#[derive(Clone, Debug, Default)]
pub struct TruthQuality {
    /// Sentences: how the truth was made, how many fields look unusable and why.
    pub lines: Vec<String>,
    /// Verdicts per field or in summary.
    pub tables: Vec<Table>,
    /// Overlays.
    pub figures: Vec<Figure>,
}
