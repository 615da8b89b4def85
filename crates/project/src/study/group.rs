//! Which group a field belongs to: its well or position, itself, a key of its metadata, or a part
//! of its name.

use std::collections::BTreeSet;

use regex::Regex;
use stainfree_image::Field;

use crate::ProjectError;
use crate::study::fields::FieldRow;
use crate::study::names::nearest;

/// How groups are found; fields of one group never lie in different parts of the split.
#[derive(Clone, Debug)]
pub enum GroupRule {
    /// The well (with its plate), or the position where there are no wells: all times of one place.
    Well,
    /// Every field is its own group, as in the paper.
    Field,
    /// The value of this key in the field's metadata (JSON sidecar or column of `fields.csv`).
    Key(String),
    /// The first capture of this expression in the field's name (the whole match without a
    /// capture).
    Name(Regex),
}

impl GroupRule {
    /// Reads `well`, `field`, `key:NAME` or `re:PATTERN`. What is none of them is taken for a
    /// pattern, as earlier versions wrote it; [`GroupRule::is_bare`] tells it.
    ///
    /// # Errors
    /// A text that says nothing, or an expression that cannot be compiled.
    pub fn parse(text: &str) -> Result<Self, ProjectError> {
        let says_nothing = |what: &str| {
            Err(ProjectError::Usage(format!(
                "{what}; use `well`, `field`, `key:NAME` or `re:PATTERN`"
            )))
        };
        match text {
            "" => says_nothing("the group rule is empty"),
            "key:" => says_nothing("the group rule `key:` names no key"),
            // It would put all fields into one group.
            "re:" => says_nothing("the group rule `re:` has no pattern"),
            "well" => Ok(GroupRule::Well),
            "field" => Ok(GroupRule::Field),
            _ => match text.strip_prefix("key:") {
                Some(key) => Ok(GroupRule::Key(key.to_owned())),
                None => Regex::new(text.strip_prefix("re:").unwrap_or(text))
                    .map(GroupRule::Name)
                    .map_err(|error| {
                        let reason = error.to_string();
                        let reason = reason
                            .lines()
                            .last()
                            .unwrap_or_default()
                            .trim_start_matches("error: ")
                            .to_owned();
                        ProjectError::Usage(format!(
                            "group rule `{text}` is no regular expression ({reason}); use `well`, \
                         `field`, `key:NAME` or an expression such as `re:^([^_]+)`"
                        ))
                    }),
            },
        }
    }

    /// Whether `text` is a pattern without `re:` before it.
    pub fn is_bare(text: &str) -> bool {
        !matches!(text, "" | "well" | "field")
            && !text.starts_with("key:")
            && !text.starts_with("re:")
    }

    /// `text` as rules are written today, by which two of them are compared.
    pub fn canonical(text: &str) -> String {
        match Self::is_bare(text) {
            true => format!("re:{text}"),
            false => text.to_owned(),
        }
    }

    /// The group of `field`.
    ///
    /// # Errors
    /// The field has no such key, or its name does not match.
    pub fn group(&self, field: &Field) -> Result<String, ProjectError> {
        match self {
            GroupRule::Field => Ok(field.name.clone()),
            GroupRule::Well => Ok(field.position.well_or_name()),
            GroupRule::Key(key) => field
                .metadata
                .get(key)
                .filter(|value| !value.is_empty())
                .cloned()
                .ok_or_else(|| {
                    let known: Vec<String> = field
                        .metadata
                        .keys()
                        .map(|key| format!("`{key}`"))
                        .collect();
                    let known = if known.is_empty() {
                        "it has none".to_owned()
                    } else {
                        known.join(", ")
                    };
                    let near = nearest(key, field.metadata.keys().map(String::as_str));
                    let hint =
                        near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                    ProjectError::Split(format!(
                        "field `{}` has no key `{key}` in its metadata (keys: {known}){hint}",
                        field.name
                    ))
                }),
            GroupRule::Name(_) => self.group_of_name(&field.name),
        }
    }

    /// What a group of these fields is called: `well` only where all of them have one.
    pub fn unit<'a>(&'a self, rows: impl Iterator<Item = &'a FieldRow> + Clone) -> &'a str {
        match self {
            GroupRule::Field => "field",
            GroupRule::Key(key) => key,
            GroupRule::Name(_) => "group",
            GroupRule::Well => {
                let groups: BTreeSet<&str> = rows.clone().map(|row| row.group.as_str()).collect();
                let (all, wells) = (
                    rows.clone().count(),
                    rows.filter(|row| row.well.is_some()).count(),
                );
                match wells {
                    0 if groups.len() == all => "field",
                    0 => "position",
                    _ if wells == all => "well",
                    _ => "group",
                }
            }
        }
    }

    /// The group of a field of which only the name is known; wells and keys fall back to the name.
    ///
    /// # Errors
    /// The name does not match the expression.
    pub fn group_of_name(&self, name: &str) -> Result<String, ProjectError> {
        let GroupRule::Name(regex) = self else {
            return Ok(name.to_owned());
        };
        let captures = regex.captures(name).ok_or_else(|| {
            ProjectError::Split(format!(
                "the group rule `{regex}` does not match the field name \
                `{name}`; use one that matches every name"
            ))
        })?;
        let part = captures
            .get(1)
            .or_else(|| captures.get(0))
            .map_or("", |found| found.as_str());
        Ok(part.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_called_what_they_are() {
        let row = |group: &str, well: Option<&str>| FieldRow {
            well: well.map(str::to_owned),
            ..FieldRow::left_out(group, group, String::new())
        };
        let unit = |rule: &str, rows: &[FieldRow]| {
            GroupRule::parse(rule).unwrap().unit(rows.iter()).to_owned()
        };
        let wells = [row("B02", Some("B02")), row("B02", Some("B02"))];
        assert_eq!(unit("well", &wells), "well");
        assert_eq!(unit("field", &wells), "field");
        assert_eq!(unit("well", &[row("a", None), row("b", None)]), "field");
        assert_eq!(unit("well", &[row("a", None), row("a", None)]), "position");
        assert_eq!(unit("well", &[row("a", None), wells[0].clone()]), "group");
        assert_eq!(unit("key:experiment", &wells), "experiment");
    }

    #[test]
    fn a_rule_is_read_by_its_form() {
        assert!(matches!(GroupRule::parse("well").unwrap(), GroupRule::Well));
        assert!(matches!(
            GroupRule::parse("key:experiment").unwrap(),
            GroupRule::Key(key) if key == "experiment"
        ));
        assert_eq!(
            GroupRule::parse("^([^_]+)_")
                .unwrap()
                .group_of_name("220524DS30_p0011")
                .unwrap(),
            "220524DS30"
        );
        let named = |rule: &str, name: &str| {
            let rule = GroupRule::parse(rule).unwrap();
            rule.group_of_name(name).unwrap()
        };
        assert_eq!(named("re:^([^_]+)_", "220524DS30_p0011"), "220524DS30");
        // Words that are rules of their own are patterns behind `re:`.
        assert_eq!(named("re:well", "a_well_3"), "well");
        for (rule, bare) in [
            ("well", false),
            ("key:a", false),
            ("re:well", false),
            ("^a", true),
        ] {
            assert_eq!(GroupRule::is_bare(rule), bare, "{rule}");
            let canonical = if bare { "re:^a" } else { rule };
            assert_eq!(GroupRule::canonical(rule), canonical);
        }
        assert_eq!(
            GroupRule::parse("^[A-Z]")
                .unwrap()
                .group_of_name("B02_s1")
                .unwrap(),
            "B"
        );
        assert!(
            GroupRule::parse("(")
                .unwrap_err()
                .to_string()
                .starts_with("group rule `(` is no regular expression")
        );
        assert!(GroupRule::parse("^x").unwrap().group_of_name("y").is_err());
    }
}
