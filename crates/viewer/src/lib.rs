//! A local viewer in the browser: fields, tiles of images and labels, and corrections.
//!
//! [`Opened::open`] lists what a study, a result or a folder of images holds; [`Server`] shows it
//! on 127.0.0.1 to whoever has its token. `tiles` cuts images and labels, `objects` lists what
//! labels hold, `work` what is to be looked at of all fields, `outline` finds the edge
//! around a place, `edit` owns the corrected labels of a
//! study, `again` trains a model with them. The page itself is TypeScript in
//! `page/`, whose built files are part of the program.
//!
//! Not here: arguments and messages (`cli`), what a study is (`project`), reading pixels (`image`).

#![forbid(unsafe_code)]

mod again;
mod edit;
mod error;
mod objects;
mod opened;
mod outline;
mod server;
mod tiles;
mod work;

pub use error::ViewError;
pub use opened::{Opened, What};
pub use server::{Options, Server};
