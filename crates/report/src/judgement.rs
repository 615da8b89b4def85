//! The answer to "can I use these numbers?" as the page shows it: the light, its reasons, what to
//! do next, and every rule with what it found.

use serde::Serialize;
use stainfree_scores::verdict::{Finding, Light, rule};

use crate::data::Judgement;
use crate::scores_view::words::capital;

/// The answer.
#[derive(Serialize)]
pub(crate) struct JudgementView<'a> {
    light: &'static str,
    answer: &'static str,
    means: &'static str,
    about: &'a str,
    /// Light and sentence of what keeps it from being green, the worst first.
    reasons: Vec<(&'static str, String)>,
    /// What to do, and the command for it.
    next: Vec<(&'a str, &'a str)>,
    rules: Vec<RuleView>,
}

/// A rule with what it found.
#[derive(Serialize)]
struct RuleView {
    light: &'static str,
    asks: &'static str,
    says: String,
    looks_at: String,
    words: String,
    because: String,
}

/// What is shown of a judgement.
pub(crate) fn view(judgement: &Judgement) -> JudgementView<'_> {
    let verdict = &judgement.verdict;
    let reason = |finding: &&Finding| (word(finding.light), sentence(&finding.says));
    let next = judgement.next.iter();
    JudgementView {
        light: verdict.light.word(),
        answer: verdict.light.answer(),
        means: match verdict.light {
            Light::Green => "Every rule below is met, for images like those that were looked at.",
            Light::Yellow => "No rule below forbids using them; look at this first.",
            Light::Red => "At least one rule below says that they may mislead. This is why:",
        },
        about: &judgement.about,
        reasons: verdict.reasons().iter().map(reason).collect(),
        next: next.map(|step| (&*step.words, &*step.command)).collect(),
        rules: verdict.findings.iter().filter_map(rule_view).collect(),
    }
}

/// `None` for a rule of another version.
fn rule_view(finding: &Finding) -> Option<RuleView> {
    let rule = rule(&finding.rule)?;
    Some(RuleView {
        light: word(finding.light),
        asks: rule.asks,
        says: sentence(&finding.says),
        looks_at: capital(rule.looks_at),
        words: rule.words(),
        because: sentence(rule.because),
    })
}

fn word(light: Option<Light>) -> &'static str {
    light.map_or("unknown", Light::word)
}

/// What a rule says, as a sentence of its own.
fn sentence(says: &str) -> String {
    capital(says) + "."
}
