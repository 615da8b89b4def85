//! What computes: threads, instructions and limits, found once where a program starts and
//! handed down from there.
//!
//! Here: what is known of the machine, and its name in models and checkpoints. Not here: what it is
//! used for. Kernels are given its threads and instructions; nothing below it asks the system.

use serde::{Deserialize, Serialize};
use stainfree_kernels::{Isa, Precision, Workers};

/// The machine as one call may use it. Clones share the threads; [`Machine::with_precision`] and
/// its sisters give the same machine with another choice.
#[derive(Clone)]
pub struct Machine {
    workers: Workers,
    isa: Isa,
    memory: Option<usize>,
}

impl Machine {
    /// This machine with `threads` threads (at least one), in f32 and without a cap on memory.
    ///
    /// The instruction set is the best there is, or the one that `STAINFREE_ISA` names. What it
    /// names that is not there is refused by [`Machine::with_precision`], so that commands without
    /// a network do not stop at it.
    pub fn new(threads: usize) -> Self {
        Self {
            workers: Workers::new(threads),
            isa: Isa::choose(Precision::F32).unwrap_or_else(|_| Isa::available()[0]),
            memory: None,
        }
    }

    /// The same with matrix products of `precision`.
    ///
    /// # Errors
    /// A sentence if this processor has no instructions for it, or `STAINFREE_ISA` names some that
    /// it does not have.
    pub fn with_precision(&self, precision: Precision) -> Result<Self, String> {
        Ok(self.with_isa(Isa::choose(precision)?))
    }

    /// The same with the instructions `isa`, and so with its precision.
    pub fn with_isa(&self, isa: Isa) -> Self {
        Self {
            isa,
            ..self.clone()
        }
    }

    /// The same with a cap on memory in bytes; `None` leaves it to each call, which has one of its
    /// own.
    pub fn with_memory(&self, memory: Option<usize>) -> Self {
        Self {
            memory,
            ..self.clone()
        }
    }

    /// The threads that compute.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Their number. No result depends on it.
    pub fn threads(&self) -> usize {
        self.workers.threads()
    }

    /// The instruction set, and the precision of its matrix products.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The cap on memory in bytes, where one was asked for.
    pub fn memory(&self) -> Option<usize> {
        self.memory
    }

    /// What decides the last bits of results, as models and checkpoints name it.
    pub fn identity(&self) -> MachineIdentity {
        MachineIdentity {
            instructions: self.isa.name().into(),
            platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
            program: format!("stainfree {}", env!("CARGO_PKG_VERSION")),
        }
    }
}

/// Where steps were computed. Another machine computes the same with other last bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineIdentity {
    /// Instruction set of the kernels.
    pub instructions: String,
    /// System and processor family, whose mathematical functions differ.
    pub platform: String,
    /// Version of the program.
    pub program: String,
}

impl std::fmt::Display for MachineIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            instructions,
            platform,
            program,
        } = self;
        write!(f, "{instructions} on {platform}, {program}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_choice_changes_itself_alone() {
        let machine = Machine::new(2);
        assert_eq!((machine.threads(), machine.memory()), (2, None));
        assert_eq!(Machine::new(0).threads(), 1);
        let capped = machine.with_memory(Some(7));
        assert_eq!((capped.threads(), capped.memory()), (2, Some(7)));
        assert_eq!(capped.isa(), machine.isa());
        let portable = *Isa::available().last().unwrap();
        let plain = capped.with_isa(portable);
        assert_eq!(plain.identity().instructions, "portable");
        assert_eq!((plain.threads(), plain.memory()), (2, Some(7)));
    }
}
