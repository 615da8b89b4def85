//! A folder of results: what it is made from, and who does which field of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use stainfree_image::{Dataset, Field, OpenOptions};

use crate::study::keep_images_only;
use crate::study::lease::{Lease, Thing};
use crate::{Cancel, Job, ProjectError};

/// Opens several inputs: folders and plates one by one, single files together.
///
/// Inputs that cannot be opened are returned as sentences.
pub(crate) fn open_inputs(
    inputs: &[PathBuf],
    options: &OpenOptions,
) -> (Vec<Dataset>, Vec<String>) {
    let (mut sets, mut failed) = (Vec::new(), Vec::new());
    for input in inputs {
        match stainfree_image::open(input, options) {
            Ok(mut set) => {
                keep_images_only(&mut set);
                sets.push(set);
            }
            Err(error) => failed.push(error.to_string()),
        }
    }
    (sets, failed)
}

/// Held for moments: by whoever looks who does which field of a result, or changes its table.
pub(crate) fn my_turn(out: &Path, command: &str, cancel: &Cancel) -> Result<Lease, ProjectError> {
    Thing {
        folder: out,
        name: "turn",
        command,
    }
    .wait(cancel)
}

/// Takes fields of a result, of which others may do other fields. To be called on one's turn.
pub(crate) fn share_fields(
    out: &Path,
    command: &str,
    names: Vec<String>,
    job: &Job,
) -> Result<Lease, ProjectError> {
    let way_out = "wait until it ends, or choose another folder with `--out`";
    fields_of(out, command).share_fields(names, way_out, job.cancel)
}

/// The fields of a result that are being done.
pub(crate) fn fields_of<'a>(out: &'a Path, command: &'a str) -> Thing<'a> {
    Thing {
        folder: out,
        name: "fields",
        command,
    }
}

/// Refuses two fields that would be written under one name.
pub(crate) fn unique_names<'a>(
    mut fields: impl Iterator<Item = &'a Field>,
    sets: &[Dataset],
) -> Result<(), ProjectError> {
    let mut seen = BTreeSet::new();
    let Some(Field { name, .. }) = fields.find(|field| !seen.insert(&field.name)) else {
        return Ok(());
    };
    let has = |set: &&Dataset| set.fields.iter().any(|field| field.name == *name);
    let roots: Vec<&Path> = sets
        .iter()
        .filter(has)
        .map(|set| set.root.as_path())
        .collect();
    Err(ProjectError::Usage(same_name(name, &roots)))
}

/// The sentence about a field that several inputs, or one twice, have.
fn same_name(name: &str, roots: &[&Path]) -> String {
    let mut different: Vec<String> = Vec::new();
    for root in roots {
        let root = format!("`{}`", root.display());
        if !different.contains(&root) {
            different.push(root);
        }
    }
    match &different[..] {
        [] | [_] => format!(
            "field `{name}` of {} is among the inputs more than once; name it once",
            different.concat()
        ),
        [first, second] => format!(
            "{first} and {second} both have a field called `{name}`; run the command for each, \
             with a folder of its own as `--out`"
        ),
        [first, second, ..] => format!(
            "{first}, {second} and {} more have a field called `{name}`; run the command for \
             each, with a folder of its own as `--out`",
            different.len() - 2
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_that_share_the_name_of_a_field_are_named() {
        let said = |roots: &[&str]| {
            let roots: Vec<&Path> = roots.iter().map(Path::new).collect();
            same_name("a", &roots)
        };
        assert_eq!(
            said(&["one", "one"]),
            "field `a` of `one` is among the inputs more than once; name it once"
        );
        assert_eq!(
            said(&["one", "two"]),
            "`one` and `two` both have a field called `a`; run the command for each, with a \
             folder of its own as `--out`"
        );
        assert!(
            said(&["one", "two", "one", "three"])
                .starts_with("`one`, `two` and 1 more have a field called `a`; ")
        );
    }
}
