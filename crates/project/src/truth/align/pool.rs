//! Which fields' truth lies alike.

use stainfree_image::Field;

use crate::{GroupRule, ProjectError};

/// The word for whole plates.
const PLATE: &str = "plate";

/// Which fields are looked at together.
#[derive(Clone, Debug, Default)]
pub enum Pool {
    /// Those of a plate, or all where there are no plates.
    #[default]
    Plate,
    /// Those of a group of this rule within a plate, and the rule as it is written.
    Rule(GroupRule, String),
}

impl Pool {
    /// Reads `plate`, or a rule as in [`GroupRule::parse`].
    ///
    /// # Errors
    /// As there.
    pub fn parse(text: &str) -> Result<Self, ProjectError> {
        match text {
            PLATE => Ok(Self::Plate),
            rule => {
                let canonical = GroupRule::canonical(rule);
                Ok(Self::Rule(GroupRule::parse(&canonical)?, canonical))
            }
        }
    }

    /// What a study's groups ask for: plates where those are wells or fields, which are mounted
    /// together; else the groups themselves.
    ///
    /// # Errors
    /// As [`GroupRule::parse`].
    pub fn of_split(rule: &str) -> Result<Self, ProjectError> {
        match rule {
            "well" | "field" => Ok(Self::Plate),
            rule => Self::parse(rule),
        }
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        match self {
            Self::Plate => PLATE,
            Self::Rule(_, text) => text,
        }
    }

    /// Plate and group of a field.
    ///
    /// # Errors
    /// The field has no group.
    pub fn of(&self, field: &Field) -> Result<(String, String), ProjectError> {
        let plate = field.position.plate.clone().unwrap_or_default();
        let group = match self {
            Self::Plate => String::new(),
            Self::Rule(rule, _) => rule.group(field)?,
        };
        Ok((plate, group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plates_are_mounted_whole_and_other_groups_are_what_they_are() {
        let text = |rule: &str| Pool::of_split(rule).unwrap().text().to_owned();
        assert_eq!(text("well"), "plate");
        assert_eq!(text("field"), "plate");
        assert_eq!(text("key:experiment"), "key:experiment");
        assert_eq!(text("^([^_]+)_"), "re:^([^_]+)_");
        // Asked for by name, a well is one.
        assert_eq!(Pool::parse("well").unwrap().text(), "well");
        // What was written is read back.
        for rule in ["plate", "well", "key:experiment", "re:^a"] {
            assert_eq!(Pool::parse(rule).unwrap().text(), rule);
        }
        assert!(Pool::parse("").is_err());
    }
}
