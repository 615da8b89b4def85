//! The next command to type, which every step of the journey ends with.

pub(crate) use stainfree_project::study::shell::word;

use crate::Context;
use crate::failure::Outcome;

impl Context {
    /// Says which command comes next, and what it brings.
    pub(crate) fn next(&self, command: &str, why: &str) {
        self.job()
            .progress
            .note(&format!("next: {command}    # {why}"));
    }

    /// The same where nothing failed: else the last thing said is what did.
    pub(crate) fn next_after(&self, outcome: Outcome, command: &str, why: &str) {
        if outcome == Outcome::Done {
            self.next(command, why);
        }
    }
}

/// ` --model NAME`, where a model is named.
pub(crate) fn model(name: Option<&str>) -> String {
    name.map_or(String::new(), |name| format!(" --model {}", word(name)))
}

#[cfg(all(test, unix))]
mod tests {
    use super::word;

    #[test]
    fn a_shell_takes_any_path_as_one_word() {
        for path in [
            "plate/B02_s1.tif",
            "my plate",
            "it's",
            "a\\b",
            "ü",
            "",
            "$HOME",
            "a;b",
        ] {
            let echo = format!("printf %s {}", word(path));
            let said = std::process::Command::new("sh")
                .args(["-c", &echo])
                .output();
            assert_eq!(String::from_utf8_lossy(&said.unwrap().stdout), path);
        }
        assert_eq!(word("plate/B02_s1.tif"), "plate/B02_s1.tif");
    }
}
