//! The machine that steps are computed on, as models and checkpoints name it.

use serde::{Deserialize, Serialize};

/// Where steps were computed. Another machine computes the same with other last bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Instruction set of the kernels.
    pub instructions: String,
    /// System and processor family, whose mathematical functions differ.
    pub platform: String,
    /// Version of the program.
    pub program: String,
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            instructions,
            platform,
            program,
        } = self;
        write!(f, "{instructions} on {platform}, {program}")
    }
}

impl Machine {
    /// This machine and program, with the instructions in use.
    pub fn this(instructions: &str) -> Self {
        Self {
            instructions: instructions.into(),
            platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
            program: format!("stainfree {}", env!("CARGO_PKG_VERSION")),
        }
    }
}
