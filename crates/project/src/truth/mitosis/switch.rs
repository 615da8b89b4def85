//! Switching the class of mitotic nuclei on in a study's choices.

use crate::ProjectError;
use crate::study::Study;
use crate::study::config::{FILE_NAME, parse, read_text, toml_value};

/// The study with the class switched on, and its `stainfree.toml` then, with every other line as it
/// is; `None` where it is on. Nothing is written.
///
/// # Errors
/// The file cannot be read, or the study's sources do not allow the class.
pub(crate) fn enabled(study: &Study) -> Result<Option<(Study, String)>, ProjectError> {
    let config = study.config();
    if config.truth.mitosis.find {
        return Ok(None);
    }
    let path = study.root().join(FILE_NAME);
    let text = read_text(&path).map_err(|error| ProjectError::read(&path, &error))?;
    let mut wanted = config.truth.clone();
    wanted.mitosis.find = true;
    let classes = toml_value(&wanted.usual_classes());
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for line in &mut lines {
        if line.starts_with("classes = ") {
            *line = format!("classes = {classes}");
        }
    }
    let section = lines
        .iter()
        .position(|line| line.trim() == "[truth.mitosis]");
    let key = section.and_then(|s| {
        let rest = lines[s + 1..]
            .iter()
            .take_while(|line| !line.starts_with('['));
        rest.enumerate()
            .find(|(_, line)| line.starts_with("find = "))
            .map(|(i, _)| s + 1 + i)
    });
    match (section, key) {
        (_, Some(key)) => lines[key] = "find = true".to_owned(),
        (Some(section), None) => lines.insert(section + 1, "find = true".to_owned()),
        (None, None) => lines.extend([
            "".to_owned(),
            "[truth.mitosis]".to_owned(),
            "find = true".to_owned(),
        ]),
    }
    let changed = lines.join("\n") + "\n";
    let wanted = study.with_config(parse(&changed, &path)?);
    Ok(Some((wanted, changed)))
}
