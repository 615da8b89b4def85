//! A small study, a server on it, and plain requests.

// Every test takes what it needs.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::{Value, json};
use stainfree_image::{Image, read_labels, write};
use stainfree_viewer::{Opened, Options, Server};

/// Rows and columns of the images: several tiles, and no multiple of one.
pub(crate) const SIZE: (usize, usize) = (600, 1100);

/// The brightfield of field `a`.
pub(crate) fn brightfield() -> Image<u16> {
    Image::from_fn(SIZE.0, SIZE.1, |y, x| (37 * y + 11 * x) as u16)
}

/// Its nuclei: squares of 20 pixels, 30 apart, numbered by rows from 1.
pub(crate) fn nuclei() -> Image<u32> {
    Image::from_fn(SIZE.0, SIZE.1, |y, x| {
        let (row, column) = (y / 30, x / 30);
        let inside = y % 30 < 20 && x % 30 < 20 && column < 36;
        if inside {
            (1 + row * 36 + column) as u32
        } else {
            0
        }
    })
}

/// A study of the fields `a` and `b`.
pub(crate) fn study() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("study");
    for inner in ["truth/nuclei", "../images/BF", "../images/DAPI"] {
        std::fs::create_dir_all(root.join(inner)).unwrap();
    }
    let choices = "[images]\npath = \"../images\"\nbrightfield = [\"BF\"]\n[truth]\n\
                   nucleus = \"DAPI\"\nclasses = [\"background\", \"nucleus\"]\n";
    std::fs::write(root.join("stainfree.toml"), choices).unwrap();
    let note = write::Note::default();
    for name in ["a", "b"] {
        for channel in ["BF", "DAPI"] {
            let path = folder.path().join(format!("images/{channel}/{name}.tif"));
            write::plane_u16(&path, &brightfield(), &note).unwrap();
        }
        let path = root.join(format!("truth/nuclei/{name}.tif"));
        write::labels(&path, &nuclei(), &note).unwrap();
    }
    folder
}

/// A server that runs until it is dropped.
pub(crate) struct Running {
    port: u16,
    token: String,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The sentence of a refusal.
    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }
}

impl Running {
    pub(crate) fn on(folder: &Path) -> Self {
        Self::with(folder, false)
    }

    pub(crate) fn with(folder: &Path, read_only: bool) -> Self {
        let opened = Opened::open(&folder.join("study"), None, &Default::default()).unwrap();
        Self::of(opened, read_only)
    }

    pub(crate) fn of(opened: Opened, read_only: bool) -> Self {
        Self::by(opened, read_only, None)
    }

    /// A server that starts trainings by a program.
    pub(crate) fn by(opened: Opened, read_only: bool, program: Option<PathBuf>) -> Self {
        let options = Options {
            port: 0,
            read_only,
            who: "tester".to_owned(),
            threads: 2,
            cache_bytes: 8 << 20,
            program,
        };
        let server = Server::bind(opened, &options).unwrap();
        let (port, token) = (server.port(), server.token().to_owned());
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let run = move || server.run(|| flag.load(Ordering::SeqCst)).unwrap();
        let thread = Some(std::thread::spawn(run));
        Self {
            port,
            token,
            ended,
            thread,
        }
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Sends bytes as they are, after which nothing comes.
    pub(crate) fn raw(&self, request: &[u8]) -> Option<Answer> {
        let mut stream = TcpStream::connect(self.host()).unwrap();
        let _ = stream.write_all(request);
        let _ = stream.shutdown(Shutdown::Write);
        Self::answer(stream)
    }

    fn answer(mut stream: TcpStream) -> Option<Answer> {
        // Longer than any answer takes; whoever waits for one that does not come is to fail.
        let patience = Some(std::time::Duration::from_secs(20));
        stream.set_read_timeout(patience).unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        let end = said.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&said[..end]).to_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let body = said[end + 4..].to_vec();
        Some(Answer { status, head, body })
    }

    /// A request with these headers beside the usual ones.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n\
             {body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.host()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        Self::answer(stream).expect("an answer")
    }

    fn usual(&self) -> String {
        let (host, token) = (self.host(), &self.token);
        format!("Host: {host}\r\nX-Stainfree-Token: {token}\r\n")
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &self.usual(), "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &self.usual(), body)
    }

    /// An edit of field 0 with an identifier of its own.
    pub(crate) fn edit(&self, id: &str, version: u64, edit: Value) -> Answer {
        let body = json!({"id": id, "version": version, "edit": edit}).to_string();
        self.ask("POST", "/api/edits/0", &self.usual(), &body)
    }

    /// The same, which must be taken; gives the version after it.
    pub(crate) fn done(&self, id: &str, version: u64, edit: Value) -> u64 {
        let answer = self.edit(id, version, edit);
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 200, "{said}");
        answer.json()["version"].as_u64().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.unwrap().expect("the server ends without a panic");
        }
    }
}

pub(crate) fn corrected(folder: &Path) -> PathBuf {
    folder.join("study/human/corrected/a.tif")
}

/// The corrected label at a pixel, as the file has it.
pub(crate) fn kept(folder: &Path) -> Image<u32> {
    read_labels(&corrected(folder)).unwrap()
}
