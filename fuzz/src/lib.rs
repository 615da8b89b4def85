//! What all targets share: an input is laid as the files of a reader into a folder in memory,
//! opened and read.

#[path = "../../crates/image/tests/common/hostile.rs"]
mod hostile;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The folder of this process, in memory where the system has such a place.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let base = match memory.is_dir() {
            true => memory.to_path_buf(),
            false => std::env::temp_dir(),
        };
        let folder = tempfile::Builder::new().prefix("stainfree-fuzz-").tempdir_in(base);
        // Kept: a process that is killed could not remove it either.
        folder.expect("a folder").keep()
    })
}

/// Gives `data` to `reader`.
pub fn read(reader: &str, data: &[u8]) {
    let folder = folder().join(reader);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("made");
    let _ = hostile::read(reader, &folder, data);
}
