//! Pictures, plots, tables, and the HTML report.
//!
//! Everything works on arrays and plain values the caller hands in; no project is read and no file
//! is written here. [`ReportData`] describes a report, [`render`] makes the page.
#![forbid(unsafe_code)]

mod axis;
mod chart;
mod close_up;
mod data;
mod drawing;
mod error;
mod font;
mod html;
mod judgement;
mod layout;
mod overlay;
mod palette;
mod plate_map;
mod png;
mod raster;
mod scores_view;
mod stretch;

pub use axis::Scale;
pub use chart::{Band, IntervalChart, IntervalRow, Level, LineChart, PointChart, Series};
pub use close_up::{Outlined, Subject, close_up, outline_legend};
pub use data::{
    Cell, Chart, Column, Fact, FieldCard, Figure, Headline, Judgement, NextStep, Picture,
    ReportData, Svg, Swatch, Table, TruthQuality,
};
pub use drawing::SVG_NOTE;
pub use error::ReportError;
pub use html::render;
pub use layout::{contact_sheet, enlarge, scale_down, sheet, side_by_side};
pub use overlay::{class_picture, error_legend, error_picture, overlay_classes, overlay_labels};
pub use palette::{Rgb, class_color, class_colors, css};
pub use plate_map::{MAP_NOTE, PlateMap};
pub use png::encode_png;
pub use scores_view::{agreement_charts, field_facts, reliability_chart, worst_and_best};
pub use stretch::{brightfield_picture, stain_picture};
