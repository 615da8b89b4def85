//! The program as it serves a study, and plain requests to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Place;

/// The program, serving a study.
pub(crate) struct Viewer {
    pub(crate) child: Child,
    host: String,
    token: String,
}

impl Viewer {
    pub(crate) fn start(place: &Place, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_stainfree"))
            .args(["view", "study", "--no-open", "--as", "Ada", "-q"])
            .args(more)
            .current_dir(place.path(""))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let (_, address) = line.trim().split_once("http://").expect(&line);
        let (host, token) = address.split_once("/#").expect(&line);
        Self {
            child,
            host: host.to_owned(),
            token: token.to_owned(),
        }
    }

    /// Status and body of an answer; `None` where none came whole.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect(&self.host).ok()?;
        let (host, token) = (&self.host, &self.token);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Stainfree-Token: {token}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).ok()?;
        let (head, body) = said.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, serde_json::from_str(body).ok()?))
    }

    /// What is answered to a question that must be.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, said) = self.ask("GET", path, "").expect("an answer");
        assert_eq!(status, 200, "{path}: {said}");
        said
    }

    /// Asks for something of a training; status and answer.
    pub(crate) fn again(&self, request: &Value) -> (u16, Value) {
        self.ask("POST", "/api/again", &request.to_string())
            .expect("an answer")
    }

    /// Waits until the trainings stand so; what was said of them then.
    #[track_caller]
    pub(crate) fn until(&self, is_so: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let said = self.get("/api/again");
            if is_so(&said) {
                return said;
            }
            // Far longer than anything takes on a machine that does nothing else.
            assert!(
                begun.elapsed() < Duration::from_secs(180),
                "never so: {said}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Paints a new nucleus of one pixel; the version after it, if that was answered.
    pub(crate) fn paint(&self, version: u64, at: (usize, usize)) -> Option<u64> {
        let edit = serde_json::json!({"do": "paint", "label": null, "radius": 0.5,
                                      "line": [[at.0, at.1]]});
        let id = format!("{}-{}", at.0, at.1);
        let body = serde_json::json!({"id": id, "version": version, "edit": edit});
        let (status, said) = self.ask("POST", "/api/edits/0", &body.to_string())?;
        assert_eq!(status, 200, "{said}");
        said["version"].as_u64()
    }

    pub(crate) fn version(&self) -> u64 {
        let (status, said) = self.ask("GET", "/api/edits/0/0", "").unwrap();
        assert_eq!(status, 200, "{said}");
        said["version"].as_u64().unwrap()
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
