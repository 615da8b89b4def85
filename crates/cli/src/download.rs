//! One published file from the network: streamed beside its place, checked, then renamed.
//!
//! Here: the transfer and what can go wrong with it. Not here: which files there are and where they
//! belong (`commands/weights`). A second thread reads from the network, so that Ctrl-C and a server
//! that falls silent are noticed while it waits.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use stainfree_network::weights::{Digest, WeightsError};
use stainfree_project::{Job, ProjectError};

/// Bytes handed from the network to the disk at a time.
const CHUNK: usize = 256 << 10;
/// How often the wait for the network looks for Ctrl-C.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Published sizes are rounded in places; a file larger by more than this share is another one.
const SIZE_TOLERANCE: f64 = 1e-3;
/// Progress is counted in these.
const MEGABYTE: u64 = 1_000_000;

/// What is to be had, and how it is recognised.
pub(crate) struct Download<'a> {
    /// Where it is published.
    pub(crate) url: &'a str,
    /// Its size in bytes, about.
    pub(crate) bytes: u64,
    /// Its checksum.
    pub(crate) digest: Digest,
    /// Where it shall lie; the folder is made if it is missing.
    pub(crate) target: &'a Path,
    /// How long the server may send nothing.
    pub(crate) patience: Duration,
}

/// A client that uses `proxy`.
pub(crate) fn client(proxy: Option<ureq::Proxy>) -> ureq::Agent {
    ureq::Agent::config_builder()
        .proxy(proxy)
        .user_agent(concat!("stainfree/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

/// Gets the file; it appears under its name whole and checked, or not at all.
///
/// # Errors
/// One sentence with the address and the way out: not reachable, another status than 200, larger or
/// shorter than announced, another checksum, a disk that takes no more; or
/// [`ProjectError::Cancelled`].
pub(crate) fn download(wanted: &Download, client: ureq::Agent, job: &Job) -> Result<()> {
    let target = wanted.target;
    let folder = target.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| ProjectError::write(folder, &error))?;
    let wrote = |error: &io::Error| ProjectError::write(target, error);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".stainfree-").suffix(".part");
    // As an ordinary new file: everyone's rights less the umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut part = builder.tempfile_in(folder).map_err(|e| wrote(&e))?;

    receive(wanted, request(wanted.url, client), part.as_file_mut(), job)?;
    part.as_file().sync_all().map_err(|e| wrote(&e))?;
    match wanted.digest.check(part.path()) {
        Ok(()) => {}
        Err(WeightsError::Checksum {
            kind,
            expected,
            found,
            ..
        }) => {
            return Err(wanted.failure(&format!(
                "sent a damaged or another file: its {kind} is {found}, published is {expected}"
            )));
        }
        Err(error) => return Err(error.into()),
    }
    part.persist(target).map_err(|e| wrote(&e.error))?;
    let total = megabytes(wanted.bytes);
    job.progress.step(total, total, &wanted.progress());
    Ok(())
}

impl Download<'_> {
    /// The sentence `URL what`, with the way out.
    fn failure(&self, what: &str) -> anyhow::Error {
        let folder = self.target.parent().unwrap_or(Path::new("."));
        anyhow!(
            "`{}` {what}; nothing was kept: run the command again, or get the file by hand, put it \
             into `{}` and run `stainfree weights check FILE`",
            self.url,
            folder.display()
        )
    }

    fn progress(&self) -> String {
        let name = self.target.file_name().unwrap_or_default();
        format!("MB of {}", name.display())
    }
}

fn megabytes(bytes: u64) -> usize {
    bytes.div_ceil(MEGABYTE) as usize
}

/// What the reading thread has to say; an `Err` ends the sentence that begins with the address.
type News = Result<Message, String>;

enum Message {
    /// The server agreed, and perhaps said how many bytes will come.
    Begin(Option<u64>),
    Bytes(Vec<u8>),
    End,
}

/// Asks for `url` in a thread of its own. The thread ends with the file, or once nobody listens.
fn request(url: &str, client: ureq::Agent) -> Receiver<News> {
    let (sender, receiver) = sync_channel(4);
    let url = url.to_owned();
    std::thread::spawn(move || {
        if let Err(sentence) = read(&url, &client, &sender) {
            // Nobody listens after Ctrl-C.
            let _ = sender.send(Err(sentence));
        }
    });
    receiver
}

fn read(url: &str, client: &ureq::Agent, to: &SyncSender<News>) -> Result<(), String> {
    // No step down to an open line once the address is an encrypted one.
    let request = client
        .get(url)
        .config()
        .https_only(url.starts_with("https://"))
        .build();
    let response = request.call().map_err(|error| unreachable(error, client))?;
    let body = response.into_body();
    let announced = body.content_length();
    let mut reader = body.into_reader();
    let mut received = 0;
    let mut message = Message::Begin(announced);
    while to.send(Ok(message)).is_ok() {
        let mut chunk = vec![0; CHUNK];
        let count = reader
            .read(&mut chunk)
            .map_err(|error| broke_off(received, announced, &error.to_string()))?;
        message = match count {
            0 if announced.is_some_and(|announced| received < announced) => {
                return Err(broke_off(received, announced, "end of the connection"));
            }
            0 => {
                let _ = to.send(Ok(Message::End));
                return Ok(());
            }
            _ => {
                chunk.truncate(count);
                received += count as u64;
                Message::Bytes(chunk)
            }
        };
    }
    Ok(())
}

fn broke_off(received: u64, announced: Option<u64>, why: &str) -> String {
    let of = announced.map_or(String::new(), |bytes| format!(" of {bytes}"));
    format!("broke off after {received}{of} bytes ({why})")
}

fn unreachable(error: ureq::Error, client: &ureq::Agent) -> String {
    let through = client.config().proxy().map_or(String::new(), |proxy| {
        format!(
            " through the proxy {}:{} of the environment",
            proxy.host(),
            proxy.port()
        )
    });
    match error {
        ureq::Error::StatusCode(404) => "is not there any more (status 404)".to_owned(),
        ureq::Error::StatusCode(code) => format!("was refused by the server (status {code})"),
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            format!("cannot be reached{through} (connection refused)")
        }
        ureq::Error::Io(error) => format!("cannot be reached{through} ({error})"),
        error => format!("cannot be reached{through} ({error})"),
    }
}

/// Writes what arrives to `disk` until the end.
fn receive(wanted: &Download, news: Receiver<News>, disk: &mut File, job: &Job) -> Result<()> {
    let limit = wanted.bytes + (wanted.bytes as f64 * SIZE_TOLERANCE) as u64;
    let too_long = |bytes: u64| {
        wanted.failure(&format!(
            "sends another file: {bytes} bytes or more, published are {}",
            wanted.bytes
        ))
    };
    let total = megabytes(wanted.bytes);
    let mut received = 0u64;
    let mut shown = None;
    let mut heard = Instant::now();
    loop {
        if job.cancel.is_stopped() {
            return Err(anyhow::Error::from(ProjectError::Cancelled).context(
                "stopped as asked; nothing of the file was kept, the same command gets it \
                    from the start",
            ));
        }
        let message = match news.recv_timeout(LOOK_EVERY) {
            Ok(Ok(message)) => message,
            Ok(Err(sentence)) => return Err(wanted.failure(&sentence)),
            Err(RecvTimeoutError::Timeout) if heard.elapsed() < wanted.patience => continue,
            Err(RecvTimeoutError::Timeout) => {
                let seconds = wanted.patience.as_secs_f64();
                return Err(wanted.failure(&format!(
                    "fell silent for {seconds} s after {received} bytes"
                )));
            }
            Err(RecvTimeoutError::Disconnected) => return Err(wanted.failure("broke off")),
        };
        heard = Instant::now();
        match message {
            Message::Begin(Some(announced)) if announced > limit => {
                return Err(too_long(announced));
            }
            Message::Begin(_) => {}
            Message::Bytes(bytes) => {
                received += bytes.len() as u64;
                if received > limit {
                    return Err(too_long(received));
                }
                disk.write_all(&bytes)
                    .map_err(|error| ProjectError::write(wanted.target, &error))?;
            }
            Message::End => return Ok(()),
        }
        // The last step is the checked file under its name, so it is not taken here.
        let done = ((received / MEGABYTE) as usize).min(total.saturating_sub(1));
        if shown != Some(done) {
            shown = Some(done);
            job.progress.step(done, total, &wanted.progress());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_network::Machine;
    use stainfree_project::{Cancel, Progress, Silent};
    use std::net::TcpListener;

    /// Not a multiple of anything, and larger than one chunk.
    const BYTES: u64 = 300_001;

    fn content() -> Vec<u8> {
        (0..BYTES).map(|i| (i * i % 251) as u8).collect()
    }

    /// md5 of [`content`], by Python's hashlib.
    const MD5: &str = "d61b99f13cd95722f72e4515614c2f06";

    /// Answers one request with `response`, then holds the connection for `hold`; gives the
    /// address.
    fn serve(response: Vec<u8>, hold: Duration) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked);
            // The client may leave early.
            let _ = stream.write_all(&response);
            std::thread::sleep(hold);
        });
        format!("http://{address}/file.h5")
    }

    fn response(head: &str, body: &[u8]) -> Vec<u8> {
        [
            format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes(),
            body,
        ]
        .concat()
    }

    fn whole() -> Vec<u8> {
        response(&format!("200 OK\r\nContent-Length: {BYTES}"), &content())
    }

    /// Downloads into a new folder; gives the result, what the folder holds then, and the folder.
    fn run(url: &str, digest: Digest, job: &Job) -> (Result<()>, Vec<String>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("weights/file.h5");
        let wanted = Download {
            url,
            bytes: BYTES,
            digest,
            target: &target,
            patience: Duration::from_secs(2),
        };
        let result = download(&wanted, client(None), job);
        let found = std::fs::read_dir(folder.path().join("weights")).unwrap();
        let names = found
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        (result, names, folder)
    }

    /// Expects that it fails with a sentence `URL what; ..` that gives the way out, and leaves
    /// nothing.
    #[track_caller]
    fn fails(url: &str, digest: Digest, what: &str) {
        let cancel = Cancel::new();
        let (result, names, folder) =
            run(url, digest, &Job::new(&Silent, &cancel, &Machine::new(1)));
        let place = folder.path().join("weights");
        assert_eq!(
            result.unwrap_err().to_string(),
            format!(
                "`{url}` {what}; nothing was kept: run the command again, or get the file by hand, \
                 put it into `{}` and run `stainfree weights check FILE`",
                place.display()
            )
        );
        assert!(names.is_empty(), "{names:?}");
    }

    const NOW: Duration = Duration::ZERO;

    /// Remembers the steps.
    #[derive(Default)]
    struct Steps(std::sync::Mutex<Vec<(usize, usize)>>);

    impl Progress for Steps {
        fn step(&self, done: usize, total: usize, _message: &str) {
            self.0.lock().unwrap().push((done, total));
        }
        fn note(&self, _message: &str) {}
    }

    #[test]
    fn a_good_file_lies_under_its_name_with_its_bytes() {
        let (steps, cancel) = (Steps::default(), Cancel::new());
        let url = serve(whole(), NOW);
        let (result, names, folder) = run(
            &url,
            Digest::Md5(MD5),
            &Job::new(&steps, &cancel, &Machine::new(1)),
        );
        result.unwrap();
        assert_eq!(names, ["file.h5"]);
        assert!(std::fs::read(folder.path().join("weights/file.h5")).unwrap() == content());
        assert_eq!(*steps.0.lock().unwrap(), [(0, 1), (1, 1)]);
    }

    #[test]
    fn a_length_that_is_not_announced_will_do() {
        let cancel = Cancel::new();
        let url = serve(response("200 OK", &content()), NOW);
        let (result, names, _folder) = run(
            &url,
            Digest::Md5(MD5),
            &Job::new(&Silent, &cancel, &Machine::new(1)),
        );
        result.unwrap();
        assert_eq!(names, ["file.h5"]);
    }

    #[test]
    fn another_checksum_is_another_file() {
        let what = format!("sent a damaged or another file: its md5 is {MD5}, published is 0123");
        fails(&serve(whole(), NOW), Digest::Md5("0123"), &what);
    }

    #[test]
    fn more_than_published_is_refused_announced_or_not() {
        // 300 bytes are the tolerance.
        let long = [content(), vec![0; 301]].concat();
        let announced = response(&format!("200 OK\r\nContent-Length: {}", long.len()), &[]);
        let what = "sends another file: 300302 bytes or more, published are 300001";
        fails(&serve(announced, NOW), Digest::Md5(MD5), what);
        fails(
            &serve(response("200 OK", &long), NOW),
            Digest::Md5(MD5),
            what,
        );
    }

    #[test]
    fn a_broken_connection_is_said_with_how_far_it_came() {
        let cut = whole();
        let cut = cut[..cut.len() - 1000].to_vec();
        let what = "broke off after 299001 of 300001 bytes (Peer disconnected)";
        fails(&serve(cut, NOW), Digest::Md5(MD5), what);
    }

    #[test]
    fn a_server_that_says_no_is_named_with_its_status() {
        fails(
            &serve(response("404 Not Found", b"gone"), NOW),
            Digest::Md5(MD5),
            "is not there any more (status 404)",
        );
        fails(
            &serve(response("503 Busy", b"later"), NOW),
            Digest::Md5(MD5),
            "was refused by the server (status 503)",
        );
    }

    #[test]
    fn nobody_at_the_other_end_is_said() {
        // A port that was free a moment ago: the listener is gone.
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let url = format!("http://{address}/file.h5");
        fails(
            &url,
            Digest::Md5(MD5),
            "cannot be reached (connection refused)",
        );
    }

    #[test]
    fn a_silent_server_is_given_up() {
        let half = whole()[..1000].to_vec();
        let body = half.len() - whole().windows(4).position(|w| w == b"\r\n\r\n").unwrap() - 4;
        let url = serve(half, Duration::from_secs(20));
        let what = format!("fell silent for 2 s after {body} bytes");
        fails(&url, Digest::Md5(MD5), &what);
    }

    #[test]
    fn ctrl_c_stops_it_and_leaves_nothing() {
        /// Asks for a stop as soon as bytes arrive.
        struct Stop(Cancel);
        impl Progress for Stop {
            fn step(&self, _done: usize, _total: usize, _message: &str) {
                self.0.stop();
            }
            fn note(&self, _message: &str) {}
        }
        let cancel = Cancel::new();
        let stop = Stop(cancel.clone());
        let url = serve(whole()[..1000].to_vec(), Duration::from_secs(20));
        let (result, names, _folder) = run(
            &url,
            Digest::Md5(MD5),
            &Job::new(&stop, &cancel, &Machine::new(1)),
        );
        let error = result.unwrap_err();
        assert!(
            matches!(error.downcast_ref(), Some(ProjectError::Cancelled)),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .starts_with("stopped as asked; nothing of the file was kept")
        );
        assert!(names.is_empty(), "{names:?}");
    }

    /// `/dev/full` takes nothing, like a full disk.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_one_sentence_that_names_the_file() {
        let (url, cancel) = (serve(whole(), NOW), Cancel::new());
        let wanted = Download {
            url: &url,
            bytes: BYTES,
            digest: Digest::Md5(MD5),
            target: Path::new("weights/file.h5"),
            patience: Duration::from_secs(2),
        };
        let mut full = File::options().write(true).open("/dev/full").unwrap();
        let news = request(&url, client(None));
        let error = receive(
            &wanted,
            news,
            &mut full,
            &Job::new(&Silent, &cancel, &Machine::new(1)),
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "`weights/file.h5` could not be written: the disk is full; free some space and run the \
             command again"
        );
    }
}
