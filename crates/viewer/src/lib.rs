//! A local viewer in the browser: fields, tiles of images and labels, and corrections.
//!
//! [`Opened::open`] lists what a study, a result or a folder of images holds; [`Server`] shows it
//! on 127.0.0.1 to whoever has its token. `tiles` cuts images and labels, `objects` lists what
//! labels hold, `edit` owns the corrected labels of a study. The page itself is TypeScript in
//! `page/`, whose built files are part of the program.
//!
//! Not here: arguments and messages (`cli`), what a study is (`project`), reading pixels (`image`).

#![forbid(unsafe_code)]

mod edit;
mod error;
mod objects;
mod opened;
mod server;
mod tiles;

pub use error::ViewError;
pub use opened::{Opened, What};
pub use server::{Options, Server};
