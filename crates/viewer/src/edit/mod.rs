//! Corrections of a study's nuclei: small operations on label images that the server owns.
//!
//! Every operation is first added to `human/edits/NAME.jsonl` (who, when, beside which model, what)
//! and synced, then the label image `human/corrected/NAME.tif` is replaced, which `prepare` takes.
//! The log is what counts: from the labels that it began with (`human/edits/NAME-N.tif`) and its
//! lines the image is made again, so that a killed server loses nothing that was answered, and two
//! servers on one folder see each other's edits.
//!
//! `shapes` draws lines and discs, `operation` changes labels, `log` keeps lines, `session` is one
//! field, `store` all of them with the study's other decisions.

mod log;
mod operation;
mod session;
mod shapes;
mod store;

pub(crate) use self::store::{Request, Store};
