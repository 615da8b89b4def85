//! Reading `stainfree.toml`, with errors in the words of whoever wrote it.

use std::path::Path;

use super::Config;
use super::check::check;
use crate::ProjectError;
use crate::study::names::nearest;

/// Reads `text`, the content of the file `path`, and checks it.
///
/// # Errors
/// [`ProjectError::Config`] with the line, and the nearest known key for an unknown one.
pub fn parse(text: &str, path: &Path) -> Result<Config, ProjectError> {
    let config: Config = from_toml(text, path)?;
    check(&config, text, path)?;
    Ok(config)
}

/// The text of a file of choices, however an editor saved it: Windows' "Unicode" is UTF-16, old
/// Macs end lines in CR.
pub(crate) fn read_text(path: &Path) -> std::io::Result<String> {
    let text = stainfree_image::table::text_of(&std::fs::read(path)?);
    Ok(match text.contains('\n') {
        true => text,
        false => text.replace('\r', "\n"),
    })
}

/// Any TOML as `T`, with errors as [`parse`] gives them.
pub(crate) fn from_toml<T: serde::de::DeserializeOwned>(
    text: &str,
    path: &Path,
) -> Result<T, ProjectError> {
    toml::from_str(text).map_err(|error| {
        let line = error
            .span()
            .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        ProjectError::Config {
            path: path.to_owned(),
            line,
            message: explain(error.message()),
        }
    })
}

/// Turns the parser's words into the user's: an unknown key gets its nearest known one.
pub(crate) fn explain(message: &str) -> String {
    let Some((unknown, expected)) = message.split_once(", expected ") else {
        return message.trim_end_matches('.').replace('\n', " ");
    };
    let choices = quoted(expected);
    let wanted = quoted(unknown).into_iter().next().unwrap_or_default();
    let what = if unknown.starts_with("unknown field") {
        "unknown key"
    } else {
        "unknown value"
    };
    if !unknown.starts_with("unknown ") || wanted.is_empty() {
        return message.to_owned();
    }
    let hint = match nearest(wanted, choices.iter().copied()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => String::new(),
    };
    let known: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
    format!("{what} `{wanted}`{hint} (known: {})", known.join(", "))
}

/// The pieces of `text` between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// One value as TOML.
pub(crate) fn toml_value(value: &(impl serde::Serialize + ?Sized)) -> String {
    toml::Value::try_from(value)
        .map(|value| value.to_string())
        .unwrap_or_default()
}
