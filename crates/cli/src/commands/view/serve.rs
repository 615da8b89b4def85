//! `view`: the address, the browser, and the server until Ctrl-C.

use std::process::{Command, Stdio};

use anyhow::Result;
use stainfree_project::study::human::corrected::bring_over;
use stainfree_project::{ProjectError, Study};
use stainfree_viewer::{Opened, Options, Server, ViewError, What};

use super::View;
use crate::Context;
use crate::commands::who;
use crate::failure::{Outcome, UsageError};
use crate::output;

/// Shows what `args` name until Ctrl-C.
///
/// # Errors
/// It cannot be opened, or the port is taken.
pub(super) fn view(args: &View, context: &Context) -> Result<Outcome> {
    if Study::is_at(&args.path)
        && !args.read_only
        && let Some(line) = bring_over(&Study::open(&args.path)?)?
    {
        context.job().progress.note(&line);
    }
    let opened =
        Opened::open(&args.path, args.images.as_deref(), &args.names.options()).map_err(told)?;
    for note in opened.notes() {
        context.job().progress.note(note);
    }
    let (what, fields) = (opened.what(), opened.fields());
    let server = Server::bind(
        opened,
        &Options {
            port: args.port,
            read_only: args.read_only,
            who: who(args.by.as_ref()),
            threads: context.machine.threads(),
            cache_bytes: args.cache << 20,
            program: std::env::current_exe().ok(),
        },
    )?;
    let url = server.url();
    let s = if fields == 1 { "" } else { "s" };
    output::print(&format!("{} of {fields} field{s}: {url}", title(what)))?;
    let remote = std::env::var_os("SSH_CONNECTION").is_some();
    if remote {
        let port = server.port();
        let host = hostname();
        context.job().progress.note(&format!(
            "on your own machine: ssh -C -N -L {port}:127.0.0.1:{port} {host}    # then open \
             the address there"
        ));
    } else if !args.no_open && !open_browser(&url) {
        context
            .job()
            .progress
            .note("no browser could be started; open the address in one");
    }
    context.job().progress.note("Ctrl-C ends it");
    let training = server.training();
    server.run(|| context.cancel.is_stopped())?;
    if let Some(name) = training() {
        context.job().progress.note(&format!(
            "`{name}` is still being trained, and goes on; `stainfree view` shows it, and its page \
             stops it"
        ));
    }
    Ok(Outcome::Done)
}

fn title(what: What) -> &'static str {
    match what {
        What::Study => "study",
        What::Result => "result",
        What::Images => "images",
    }
}

/// Errors of other crates as themselves, so that they end the program as everywhere; a misuse is
/// one of the arguments.
fn told(error: ViewError) -> anyhow::Error {
    match error {
        ViewError::Image(error) => error.into(),
        ViewError::Project(error) => ProjectError::into(error),
        ViewError::Misuse(sentence) => UsageError(sentence).into(),
        other => other.into(),
    }
}

/// What this machine is called, for a command to be typed elsewhere.
fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "HOST".to_owned(),
        name => name.to_owned(),
    }
}

/// Starts the user's browser; whether a program for that was found.
fn open_browser(url: &str) -> bool {
    let (program, before): (&str, &[&str]) = if cfg!(target_os = "macos") {
        ("open", &[])
    } else if cfg!(windows) {
        ("rundll32", &["url.dll,FileProtocolHandler"])
    } else {
        ("xdg-open", &[])
    };
    let mut command = Command::new(program);
    command.args(before).arg(url);
    for stream in [Command::stdin, Command::stdout, Command::stderr] {
        stream(&mut command, Stdio::null());
    }
    match command.spawn() {
        Ok(mut child) => {
            // It ends at once; nobody waits for it, but it is to leave no process behind.
            std::thread::spawn(move || child.wait());
            true
        }
        Err(_) => false,
    }
}
