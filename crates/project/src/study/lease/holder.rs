//! Who holds a lease, and whether that process still runs.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Who holds a lease, as its file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Holder {
    /// The command that it runs.
    pub(crate) command: String,
    pub(super) process: u32,
    pub(super) host: String,
    /// What tells this run of the machine from any other, and the space that process numbers belong
    /// to; empty where the system does not say.
    pub(super) boot: String,
    pub(super) space: String,
    /// When the process began, in the system's own count.
    pub(super) begun: String,
    /// Which of the leases of its process this is.
    pub(super) ticket: u64,
    /// What of the thing it holds, where several may hold parts of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<String>,
}

impl Holder {
    /// This process.
    pub(super) fn ours(command: &str, parts: Vec<String>) -> Self {
        static TICKETS: AtomicU64 = AtomicU64::new(1);
        let read = |path: &str| {
            std::fs::read_to_string(path)
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        let space = std::fs::read_link("/proc/self/ns/pid");
        let process = std::process::id();
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| read("/etc/hostname"));
        Self {
            command: command.to_owned(),
            process,
            host,
            boot: read("/proc/sys/kernel/random/boot_id"),
            space: space.map_or(String::new(), |path| path.to_string_lossy().into_owned()),
            begun: match state_of(process) {
                State::Runs { begun } => begun,
                State::Gone | State::Unknown => String::new(),
            },
            ticket: TICKETS.fetch_add(1, Ordering::Relaxed),
            parts,
        }
    }

    /// Whether the process still runs; `None` where this machine cannot tell.
    pub(super) fn is_alive(&self) -> Option<bool> {
        let us = Self::ours("", Vec::new());
        let known = !self.boot.is_empty() && !self.space.is_empty() && !self.begun.is_empty();
        if !known || (&self.boot, &self.space) != (&us.boot, &us.space) {
            return None;
        }
        match state_of(self.process) {
            State::Runs { begun } => Some(begun == self.begun),
            State::Gone => Some(false),
            State::Unknown => None,
        }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.process == 0 {
            return f.write_str("another process");
        }
        let Self {
            command,
            process,
            host,
            ..
        } = self;
        write!(f, "`{command}` (process {process} on `{host}`)")
    }
}

/// What the system says of a process number.
pub(super) enum State {
    /// It runs; when it began tells it from an earlier process of the same number.
    Runs {
        begun: String,
    },
    Gone,
    /// The system does not say.
    Unknown,
}

/// Reads `/proc`, where there is one: a process that has ended and waits for its parent is gone.
pub(super) fn state_of(process: u32) -> State {
    let stat = match std::fs::read_to_string(format!("/proc/{process}/stat")) {
        Ok(stat) => stat,
        // Where processes of others are hidden, one that is not seen may run.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return match Path::new("/proc/1").exists() {
                true => State::Gone,
                false => State::Unknown,
            };
        }
        Err(_) => return State::Unknown,
    };
    // The name, in brackets, may hold anything; state is the first field after it, the time at
    // which the process began the twentieth (proc(5): fields 3 and 22).
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    match (fields.first(), fields.get(19)) {
        (Some(&("Z" | "X" | "x")), _) => State::Gone,
        (Some(_), Some(begun)) => State::Runs {
            begun: (*begun).to_owned(),
        },
        _ => State::Unknown,
    }
}
