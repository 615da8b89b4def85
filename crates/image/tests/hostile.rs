//! Inputs that once broke a reader, or came close, and small sound ones of each: none may do more
//! than fail. `fuzz/` finds them; `testdata/hostile/READER/` keeps them.

mod common;

use std::path::Path;

use common::hostile::{READERS, read};

#[test]
fn what_was_found_by_fuzzing_stays_mended() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/hostile");
    for reader in READERS {
        let listing = std::fs::read_dir(folder.join(reader));
        let listing = listing.unwrap_or_else(|error| panic!("testdata/hostile/{reader}: {error}"));
        let mut inputs: Vec<_> = listing.map(|entry| entry.expect("listed").path()).collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "no input for `{reader}`");
        for input in inputs {
            println!("{reader} {}", input.display());
            let place = tempfile::tempdir().expect("a folder");
            read(reader, place.path(), &std::fs::read(&input).expect("read"));
        }
    }
}
