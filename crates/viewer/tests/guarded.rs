//! Who is answered: this machine's own names, the page's own origin, who has the token; and that
//! nothing falls or leaks whatever is asked.

mod common;

use common::{Running, brightfield, study};
use stainfree_image::random::Stream;

#[test]
fn only_the_page_with_its_token_is_answered() {
    let folder = study();
    let server = Running::on(folder.path());
    let (host, token) = (server.host(), server.token().to_owned());
    let port = host.rsplit_once(':').unwrap().1.to_owned();
    let with = |lines: &[(&str, &str)]| -> String {
        let lines = lines
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        lines.collect()
    };
    let token = ("X-Stainfree-Token", token.as_str());
    let wrong = "0123456789abcdef0123456789abcdef";
    let local = format!("localhost:{port}");
    let forwarded = "localhost:9999";
    for (status, headers) in [
        (200, vec![("Host", host.as_str()), token]),
        (200, vec![("Host", local.as_str()), token]),
        (200, vec![("Host", forwarded), token]),
        (
            200,
            vec![
                ("Host", forwarded),
                token,
                ("Origin", "http://localhost:9999"),
            ],
        ),
        (
            200,
            vec![
                ("Host", forwarded),
                token,
                ("Sec-Fetch-Site", "same-origin"),
            ],
        ),
        (401, vec![("Host", host.as_str())]),
        (
            401,
            vec![("Host", host.as_str()), ("X-Stainfree-Token", wrong)],
        ),
        (
            401,
            vec![("Host", host.as_str()), ("X-Stainfree-Token", "")],
        ),
        (
            401,
            vec![
                ("Host", host.as_str()),
                ("X-Stainfree-Token", &token.1[..31]),
            ],
        ),
        (401, vec![("Host", host.as_str()), ("Cookie", token.1)]),
        (403, vec![("Host", "evil.example"), token]),
        (403, vec![("Host", "127.0.0.1.evil.example:80"), token]),
        (403, vec![("Host", "localhost:1:2"), token]),
        (403, vec![("Host", "localhost:"), token]),
        (
            403,
            vec![("Host", host.as_str()), ("Host", "evil.example"), token],
        ),
        (403, vec![token]),
        (
            403,
            vec![
                ("Host", forwarded),
                token,
                ("Origin", "http://localhost:9998"),
            ],
        ),
        (
            403,
            vec![
                ("Host", forwarded),
                token,
                ("Origin", "https://localhost:9999"),
            ],
        ),
        (
            403,
            vec![("Host", host.as_str()), token, ("Origin", "null")],
        ),
        (
            403,
            vec![
                ("Host", host.as_str()),
                token,
                ("Origin", "http://evil.example"),
            ],
        ),
        (
            403,
            vec![
                ("Host", host.as_str()),
                token,
                ("Sec-Fetch-Site", "cross-site"),
            ],
        ),
        (
            403,
            vec![
                ("Host", host.as_str()),
                token,
                ("Sec-Fetch-Site", "same-site"),
            ],
        ),
    ] {
        for path in ["/api/list", "/api/image/0/0/0/0/0/0", "/api/edits/0/0"] {
            let answer = server.ask("GET", path, &with(&headers), "");
            // A request without a host may be refused before it comes to us.
            let same = answer.status == status || (headers == [token] && answer.status == 400);
            assert!(same, "{path} {headers:?}: {answer:?}");
            if status != 200 {
                assert!(answer.body.len() < 200, "{answer:?}");
            }
        }
        let edit = r#"{"id":"x","version":0,"edit":{"do":"accept","label":1}}"#;
        if status != 200 {
            server.ask("POST", "/api/edits/0", &with(&headers), edit);
        }
    }
    // None of the refused edits was made.
    assert!(!folder.path().join("study/human").exists());
}

#[test]
fn every_answer_forbids_what_the_page_does_not_need() {
    let folder = study();
    let server = Running::on(folder.path());
    for path in ["/", "/app.js", "/app.css", "/api/list", "/nothing"] {
        let answer = server.get(path);
        assert_eq!(
            answer.status,
            if path == "/nothing" { 404 } else { 200 },
            "{path}"
        );
        for header in [
            "content-security-policy: default-src 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cross-origin-resource-policy: same-origin",
            "cache-control: no-store",
        ] {
            assert!(answer.head.contains(header), "{path}: {}", answer.head);
        }
        assert!(
            !answer.head.contains("access-control-allow"),
            "{}",
            answer.head
        );
    }
    // Nothing of the page comes from elsewhere.
    for path in ["/", "/app.css"] {
        let text = String::from_utf8(server.get(path).body).unwrap();
        assert!(
            !text.contains("http:") && !text.contains("https:"),
            "{path}"
        );
    }
}

#[test]
fn tiles_are_the_pixels_and_absurd_ones_are_refused() {
    let folder = study();
    let server = Running::on(folder.path());
    let tile = server.get("/api/image/0/0/0/0/1/2");
    assert!(tile.head.contains("x-pixels: u16"), "{}", tile.head);
    assert!(tile.head.contains("x-height: 88") && tile.head.contains("x-width: 76"));
    let expected = brightfield().crop(512, 1024, 88, 76);
    let bytes: Vec<u8> = expected
        .data()
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    assert_eq!(tile.body, bytes);
    let labels = server.get("/api/labels/0/0/0/0/0");
    // 512 x 512 with two pixels around, four bytes each.
    assert_eq!(labels.body.len(), 516 * 516 * 4);
    for (status, path) in [
        (404, "/api/image/9/0/0/0/0/0"),
        (404, "/api/image/0/9/0/0/0/0"),
        (404, "/api/image/0/0/9/0/0/0"),
        (404, "/api/image/0/0/0/9/0/0"),
        (404, "/api/image/0/0/0/0/2/0"),
        (404, "/api/image/0/0/0/0/18446744073709551615/0"),
        (404, "/api/image/0/0/0/4294967295/0/0"),
        (400, "/api/image/0/0/0/4294967296/0/0"),
        (400, "/api/image/-1/0/0/0/0/0"),
        (400, "/api/image/0/0/0/0/0/99999999999999999999999"),
        (400, "/api/image/../0/0/0/0/0"),
        (400, "/api/image/%2e%2e/0/0/0/0/0"),
        (404, "/api/labels/0/7/0/0/0"),
        (404, "/api/objects/0/0/x"),
        (404, "/api/pixel/0/0/600/0"),
        (
            404,
            "/api/pixel/0/0/18446744073709551615/18446744073709551615",
        ),
        (404, "/../study/stainfree.toml"),
        (404, "/%2e%2e/%2e%2e/etc/passwd"),
        (404, "/app.js/../../Cargo.toml"),
        (404, "//etc/passwd"),
        (404, "/api/"),
        (405, "/api/edits/0"),
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
    // A little more than a request may have.
    let huge = "x".repeat(1 << 20);
    let edit = serde_json::json!({"do": "comment", "label": null, "text": huge});
    assert_eq!(server.edit("x", 0, edit).status, 413);
    for (edit, what) in [
        (serde_json::json!({"do": "explode"}), "this is no edit"),
        (
            serde_json::json!({"do": "reject", "label": 1e99}),
            "this is no edit",
        ),
        (
            serde_json::json!({"do": "reject", "label": 1, "more": 1}),
            "this is no edit",
        ),
        (
            serde_json::json!({"do": "reject", "label": 99_999}),
            "there is no object 99999",
        ),
        (
            serde_json::json!({"do": "paint", "label": null, "radius": 1e9, "line": [[0, 0]]}),
            "the radius of a brush",
        ),
        (
            serde_json::json!({"do": "undo"}),
            "there is nothing to take back",
        ),
    ] {
        let answer = server.edit("x", 0, edit);
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.error().contains(what), "{}", answer.error());
    }
}

/// How many requests of chance are made; the environment variable `STAINFREE_REQUESTS` says
/// otherwise.
const REQUESTS: usize = 3000;

/// Requests that are nearly right, and bytes that are none, by chance from a fixed seed.
#[test]
fn nothing_falls_whatever_is_asked() {
    let folder = study();
    let server = Running::on(folder.path());
    let before = std::fs::read(folder.path().join("study/truth/nuclei/a.tif")).unwrap();
    let mut chance = Stream::new(29);
    let mut pick = |n: usize| chance.below(n);
    const WORDS: [&str; 22] = [
        "0",
        "1",
        "2",
        "3",
        "-",
        "..",
        "%00",
        "%2e%2e",
        "4294967295",
        "18446744073709551615",
        "-1",
        "image",
        "labels",
        "objects",
        "pixel",
        "edits",
        "range",
        "list",
        "a.tif",
        "%",
        "é",
        "",
    ];
    const KINDS: [(&str, usize); 9] = [
        ("image", 6),
        ("labels", 5),
        ("objects", 3),
        ("pixel", 4),
        ("edits", 2),
        ("range", 3),
        ("shape", 4),
        ("outline", 6),
        ("work", 2),
    ];
    const EDITS: [&str; 9] = [
        "accept", "reject", "split", "merge", "paint", "erase", "nothing", "undo", "redo",
    ];
    let asked = std::env::var("STAINFREE_REQUESTS").ok();
    let requests = asked.and_then(|text| text.parse().ok());
    for round in 0..requests.unwrap_or(REQUESTS) {
        let answer = match pick(4) {
            0 => {
                let words: Vec<&str> = (0..pick(9)).map(|_| WORDS[pick(WORDS.len())]).collect();
                Some(server.get(&format!("/{}", words.join("/"))))
            }
            1 => {
                let (kind, count) = KINDS[pick(KINDS.len())];
                let words: Vec<&str> = (0..count).map(|_| WORDS[pick(5)]).collect();
                Some(server.get(&format!("/api/{kind}/{}", words.join("/"))))
            }
            2 => {
                let number = |n: usize| n as f64 - 50.0;
                let line: Vec<[f64; 2]> = (0..pick(5))
                    .map(|_| [number(pick(700)), number(pick(1200))])
                    .collect();
                let mut edit = serde_json::json!({"do": EDITS[pick(EDITS.len())]});
                for (key, value) in [
                    ("label", serde_json::json!(pick(800))),
                    ("labels", serde_json::json!([pick(800), pick(800)])),
                    ("line", serde_json::json!(line)),
                    (
                        "at",
                        serde_json::json!([number(pick(700)), number(pick(1200))]),
                    ),
                    ("radius", serde_json::json!(number(pick(90)))),
                ] {
                    if pick(3) > 0 {
                        edit[key] = value;
                    }
                }
                Some(server.edit(&round.to_string(), pick(40) as u64, edit))
            }
            _ => {
                let bytes: Vec<u8> = (0..pick(300)).map(|_| pick(256) as u8).collect();
                server.raw(&[&b"GET /api/list HTTP/1.1\r\n"[..pick(25)], &bytes].concat())
            }
        };
        if let Some(answer) = answer {
            let known = [200, 400, 401, 403, 404, 405, 409, 413, 414, 431, 505];
            assert!(known.contains(&answer.status), "{round}: {answer:?}");
        }
    }
    assert_eq!(server.get("/api/list").status, 200);
    let after = std::fs::read(folder.path().join("study/truth/nuclei/a.tif")).unwrap();
    assert!(before == after);
}
