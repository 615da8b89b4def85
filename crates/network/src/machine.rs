//! What computes: threads, instructions, caches and limits, found once where a program starts and
//! handed down from there.
//!
//! Here: what is known of the machine, and its name in models and checkpoints. Not here: what it is
//! used for. Kernels are given its threads and instructions; nothing below it asks the system.

use serde::{Deserialize, Serialize};
use stainfree_kernels::{Isa, Precision, Workers};
use std::path::Path;

/// The machine as one call may use it. Clones share the threads; [`Machine::with_precision`] and
/// its sisters give the same machine with another choice.
#[derive(Clone)]
pub struct Machine {
    workers: Workers,
    isa: Isa,
    caches: Caches,
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
            caches: Caches::detect(),
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

    /// The same with other threads, `threads` of them.
    pub fn with_threads(&self, threads: usize) -> Self {
        Self {
            workers: Workers::new(threads),
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

    /// The caches of a core. No result may depend on them: machines of one instruction set compute
    /// the same.
    pub fn caches(&self) -> Caches {
        self.caches
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

/// Bytes of data caches that a core reaches, by level; `None` where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caches {
    /// The first level, the core's own.
    pub first: Option<usize>,
    /// The second level, mostly the core's own.
    pub second: Option<usize>,
    /// The third level, which several cores share.
    pub third: Option<usize>,
}

impl Caches {
    /// Those of the first core, as Linux lists them.
    fn detect() -> Self {
        Self::listed_in(Path::new("/sys/devices/system/cpu/cpu0/cache"))
    }

    /// Those of a folder with one folder `index0`, `index1`, .. a cache, each with files of one
    /// word: `level`, `type` (`Data`, `Instruction`, `Unified`) and `size` (`48K`).
    fn listed_in(folder: &Path) -> Self {
        let mut caches = Self::default();
        for index in 0.. {
            let cache = folder.join(format!("index{index}"));
            let word = |file: &str| std::fs::read_to_string(cache.join(file)).ok();
            let (Some(level), Some(kind), Some(size)) = (word("level"), word("type"), word("size"))
            else {
                return caches;
            };
            let of_level = match level.trim() {
                "1" => &mut caches.first,
                "2" => &mut caches.second,
                "3" => &mut caches.third,
                _ => continue,
            };
            if kind.trim() != "Instruction" {
                *of_level = bytes(size.trim());
            }
        }
        caches
    }
}

/// `48K`, `2048K`, `32M` in bytes.
fn bytes(size: &str) -> Option<usize> {
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &size[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_choice_changes_itself_alone() {
        let machine = Machine::new(2);
        assert_eq!((machine.threads(), machine.memory()), (2, None));
        assert_eq!(Machine::new(0).threads(), 1);
        let capped = machine.with_memory(Some(7)).with_threads(3);
        assert_eq!((capped.threads(), capped.memory()), (3, Some(7)));
        assert_eq!(capped.isa(), machine.isa());
        let portable = *Isa::available().last().unwrap();
        let plain = capped.with_isa(portable);
        assert_eq!(plain.identity().instructions, "portable");
        assert_eq!((plain.threads(), plain.memory()), (3, Some(7)));
    }

    #[test]
    fn caches_are_read_as_linux_lists_them() {
        let folder = tempfile::tempdir().unwrap();
        let caches = [
            ["1", "Data", "48K"],
            ["1", "Instruction", "32K"],
            ["2", "Unified", "2048K"],
            ["3", "Unified", "32M"],
            ["4", "Unified", "1G"],
        ];
        for (index, words) in caches.iter().enumerate() {
            let cache = folder.path().join(format!("index{index}"));
            std::fs::create_dir(&cache).unwrap();
            for (file, word) in ["level", "type", "size"].iter().zip(words) {
                std::fs::write(cache.join(file), format!("{word}\n")).unwrap();
            }
        }
        let expected = Caches {
            first: Some(48 << 10),
            second: Some(2 << 20),
            third: Some(32 << 20),
        };
        assert_eq!(Caches::listed_in(folder.path()), expected);
        let nowhere = Caches::listed_in(&folder.path().join("nowhere"));
        assert_eq!(nowhere, Caches::default());
    }

    #[test]
    fn sizes_that_are_none_are_not_guessed() {
        for size in ["", "K", "48k", "-1K", "99999999999999999999G"] {
            assert_eq!(bytes(size), None, "{size}");
        }
        assert_eq!(bytes("512"), Some(512));
    }
}
