//! Running the program until it is killed, or where little may be written.

use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use stainfree_image::random::Stream;

use crate::common::Run;
use crate::tree;

/// Pause between two looks at a running program.
const LOOK: Duration = Duration::from_micros(200);

/// Numbers that look random.
pub(crate) struct Random(Stream);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Stream::new(seed))
    }

    fn next(&mut self) -> u64 {
        self.0.bits()
    }

    /// 0 to `end` - 1.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// 0 to 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// When a program is killed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// After this time.
    After(Duration),
    /// Right after its files were seen to change this often: between two writes.
    Changes(usize),
}

/// How a program ended that was to be killed.
pub(crate) enum Ended {
    Killed,
    /// It was faster.
    Itself(Run),
}

/// The program with `args` in `work`, as the other tests run it; every step of a training is kept.
pub(crate) fn command(work: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stainfree"));
    command
        .args(args)
        .args(["--threads", "2"])
        .current_dir(work)
        .env_remove("STAINFREE_WEIGHTS")
        .env("XDG_DATA_HOME", work.parent().unwrap_or(work))
        .env("NO_COLOR", "1")
        .env("STAINFREE_CHECKPOINT_EVERY", "1");
    command
}

/// `outer` with the whole of `inner` as its last arguments.
pub(crate) fn wrap(mut outer: Command, inner: &Command) -> Command {
    outer.arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    if let Some(folder) = inner.get_current_dir() {
        outer.current_dir(folder);
    }
    outer
}

/// Runs a command to its end.
pub(crate) fn finish(mut command: Command) -> Run {
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs the program to its end.
pub(crate) fn run(work: &Path, args: &[&str]) -> Run {
    finish(command(work, args))
}

fn start(work: &Path, args: &[&str]) -> Child {
    command(work, args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

fn ended(child: Child) -> Run {
    let output = child.wait_with_output().expect("it ended");
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs the program to its end; how long it took, and how often its files were seen to change.
pub(crate) fn run_counted(work: &Path, args: &[&str]) -> (Run, Duration, usize) {
    let mut changes = Changes::new(work);
    let begun = Instant::now();
    let mut child = start(work, args);
    while child.try_wait().expect("it can be waited for").is_none() {
        changes.look();
        std::thread::sleep(LOOK);
    }
    let took = begun.elapsed();
    (ended(child), took, changes.count)
}

/// Runs the program and kills it.
pub(crate) fn run_until(work: &Path, args: &[&str], moment: Moment) -> Ended {
    let mut changes = Changes::new(work);
    let begun = Instant::now();
    let mut child = start(work, args);
    loop {
        if child.try_wait().expect("it can be waited for").is_some() {
            return Ended::Itself(ended(child));
        }
        let due = match moment {
            Moment::After(time) => begun.elapsed() >= time,
            Moment::Changes(count) => {
                changes.look();
                changes.count >= count
            }
        };
        if due {
            break;
        }
        std::thread::sleep(LOOK);
    }
    child.kill().expect("it can be killed");
    let output = child.wait_with_output().expect("it ended");
    match output.status.signal() {
        Some(_) => Ended::Killed,
        None => Ended::Itself(Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }),
    }
}

/// Counts how often the files of a folder are seen to differ.
struct Changes<'a> {
    folder: &'a Path,
    last: u64,
    count: usize,
}

impl<'a> Changes<'a> {
    fn new(folder: &'a Path) -> Self {
        Self {
            folder,
            last: state(folder),
            count: 0,
        }
    }

    fn look(&mut self) {
        let now = state(self.folder);
        self.count += usize::from(now != self.last);
        self.last = now;
    }
}

/// Names, sizes and times.
fn state(folder: &Path) -> u64 {
    let mut hash = DefaultHasher::new();
    for path in tree::files(folder) {
        path.hash(&mut hash);
        if let Ok(facts) = path.metadata() {
            (facts.ino(), facts.len(), facts.mtime(), facts.mtime_nsec()).hash(&mut hash);
        }
    }
    hash.finish()
}

/// A way to mount something that nobody else sees.
pub(crate) struct Namespace(&'static [&'static str]);

/// The first way that is allowed here.
pub(crate) fn namespace() -> Option<Namespace> {
    let ways: [&'static [&'static str]; 2] = [&["-m"], &["-r", "-m"]];
    let mounts = |way: &&'static [&'static str]| {
        let mut unshare = Command::new("unshare");
        unshare
            .args(*way)
            .args(["sh", "-c", "mount -t tmpfs tmpfs /tmp"]);
        unshare.output().is_ok_and(|output| output.status.success())
    };
    ways.into_iter().find(mounts).map(Namespace)
}

impl Namespace {
    /// A shell that runs `script` there; what is added to its arguments is `$@`.
    pub(crate) fn command(&self, script: &str) -> Command {
        let mut unshare = Command::new("unshare");
        unshare.args(self.0).args(["sh", "-c", script, "sh"]);
        unshare
    }
}

/// The run whose `code`, `stdout` and `stderr` a script has left in `folder`.
pub(crate) fn written_run(folder: &Path) -> Run {
    let text = |name: &str| {
        let name: &OsStr = name.as_ref();
        std::fs::read_to_string(folder.join(name)).unwrap_or_default()
    };
    Run {
        code: text("code").trim().parse().unwrap_or(-1),
        stdout: text("stdout"),
        stderr: text("stderr"),
    }
}
