//! The hash of what something was made from: choices, texts, and stamps or bytes of files.
//!
//! Everything that asks "is it the same?" is told by a [`Fingerprint`]; what goes into one is said
//! where it is taken.

use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};
use stainfree_image::{PlaneRef, Stamp};

use crate::ProjectError;

/// Collects what a result depends on (SHA-256).
#[derive(Clone)]
pub(crate) struct Fingerprint(Sha256);

impl Fingerprint {
    /// `format` changes whenever the same inputs would give another result.
    pub(crate) fn new(format: u32) -> Self {
        let mut hash = Self::empty();
        hash.bytes(format.to_le_bytes());
        hash
    }

    /// Of nothing yet.
    pub(crate) fn empty() -> Self {
        Self(Sha256::new())
    }

    /// Bytes as they are; a length that may vary is for the caller to add.
    pub(crate) fn bytes(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.update(bytes);
    }

    /// A part of the config.
    pub(crate) fn value(&mut self, value: &impl Serialize) {
        // Choices are plain data: turning them into text cannot fail.
        self.0
            .update(serde_json::to_string(value).unwrap_or_default());
    }

    /// A text with its length, so that neighbours cannot run into each other.
    pub(crate) fn text(&mut self, text: &str) {
        self.bytes((text.len() as u64).to_le_bytes());
        self.bytes(text);
    }

    /// Name, size and time of what the stamps are of, in the order of their places, each once;
    /// where they lie is no part of it, since a shared folder has another path on every machine.
    pub(crate) fn stamps(&mut self, mut stamps: Vec<Stamp>) {
        stamps.sort();
        // Planes of one file have its facts; those of a folder may have their own.
        stamps.dedup_by_key(|stamp| (stamp.location.clone(), stamp.bytes, stamp.modified));
        for stamp in stamps {
            let name = stamp.location.file_name().unwrap_or_default();
            self.text(&name.to_string_lossy());
            self.bytes(stamp.bytes.to_le_bytes());
            self.bytes(stamp.nanoseconds().to_le_bytes());
        }
    }

    /// A plane in its own right: its part, and what the stamp of its place says. A folder keeps its
    /// name, since channels may lie in folders of their own; where that lies is no part of it.
    pub(crate) fn plane(&mut self, plane: &PlaneRef) {
        let place = std::path::absolute(plane.location());
        let place = place.unwrap_or_else(|_| plane.location().to_owned());
        let folder = place.parent().and_then(Path::file_name).unwrap_or_default();
        self.text(&folder.to_string_lossy());
        self.bytes((plane.part() as u64).to_le_bytes());
        // What is not there fails when it is read.
        self.stamps(plane.stamp().into_iter().collect());
    }

    /// Hexadecimal digits, two for each of 32 bytes.
    pub(crate) fn finish(self) -> String {
        self.finish_short(32)
    }

    /// The digits of the first bytes.
    pub(crate) fn finish_short(self, bytes: usize) -> String {
        let digest = self.digest();
        let first = digest.iter().take(bytes);
        first.map(|byte| format!("{byte:02x}")).collect()
    }

    /// The hash itself.
    pub(crate) fn digest(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// The stamp of a plane.
///
/// # Errors
/// What holds it is not there.
pub(crate) fn stamp_of(plane: &PlaneRef) -> Result<Stamp, ProjectError> {
    let stamp = plane.stamp();
    stamp.map_err(|error| ProjectError::read(plane.location(), &error))
}

/// The stamp of a file.
///
/// # Errors
/// It is not there.
pub(crate) fn stamp_of_file(path: &Path) -> Result<Stamp, ProjectError> {
    Stamp::of_file(path).map_err(|error| ProjectError::read(path, &error))
}
