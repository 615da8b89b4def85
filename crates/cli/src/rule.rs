//! `--rule`: how nuclei are made of what a network says.

use std::path::Path;

use anyhow::Result;
use stainfree_inference::{RuleChoice, read_rule};

use crate::failure::UsageError;

/// `model`, `default`, or a file with a rule.
#[derive(clap::Args)]
pub(crate) struct Rule {
    /// How nuclei are made: `model` (what was chosen for it), `default`, or a TOML file with the
    /// table `rule`, such as another model's nuclei.toml
    #[arg(long = "rule", value_name = "NAME|FILE", default_value = "model")]
    rule: String,
}

impl Rule {
    /// Refuses a rule where nuclei are not made but read.
    ///
    /// # Errors
    /// One was asked for.
    pub(crate) fn only_for_models(&self) -> Result<()> {
        if self.rule == "model" {
            return Ok(());
        }
        Err(UsageError(
            "`--rule` is for scoring a study's model; the nuclei of a folder are as they are, so \
             leave it out"
                .to_owned(),
        )
        .into())
    }

    /// What was asked for.
    ///
    /// # Errors
    /// The file cannot be read or is no rule.
    pub(crate) fn choice(&self) -> Result<RuleChoice> {
        match self.rule.as_str() {
            "model" => return Ok(RuleChoice::OfModel),
            "default" => return Ok(RuleChoice::Default),
            _ => {}
        }
        let rule = read_rule(Path::new(&self.rule)).map_err(|what| {
            UsageError(format!(
                "`--rule {}` is neither `model` nor `default` nor a file with a rule: {what}",
                self.rule
            ))
        })?;
        Ok(RuleChoice::Given(Box::new(rule)))
    }
}
