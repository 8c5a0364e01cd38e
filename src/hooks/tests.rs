//! What is sent, word for word, and the way to a server on this machine.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::body::{document, orders, post};
use super::*;

fn note() -> Note {
    Note {
        id: "1700000000000-7".to_owned(),
        incident: "supd/box/web/down/3".to_owned(),
        app: Some("web".to_owned()),
        trouble: "down",
        over: false,
        host: "box".to_owned(),
        at: 1_700_000_000_000,
        text: "worker 0: said \"<no> & @here\\\"\nand \u{7}more".to_owned(),
    }
}

fn target(text: &str) -> Target {
    Target::parse(text).expect("a target")
}

#[test]
fn each_kind_gets_its_form() {
    let mut seen = String::new();
    for kind in [
        "webhook https://x.example/T0KEN",
        "slack https://x.example/T0KEN",
        "discord https://x.example/T0KEN",
        "pagerduty KEY",
    ] {
        let target = target(kind);
        let notes = [note(), Note { over: true, ..note() }, Note { app: None, trouble: "test", ..note() }];
        for note in notes {
            let (_, document) = post(&target, &note).expect("a document");
            seen.push_str(&format!("{}: {document}\n", target.kind()));
        }
    }
    insta::assert_snapshot!(seen);
}

#[test]
fn what_curl_is_told() {
    let post = orders(&target("slack https://x.example/T0KEN"), &note(), 20).expect("orders");
    let mail = orders(&target("mail smtp://me:pass@mx.example a@b.example c@d.example"), &note(), 20);
    insta::assert_snapshot!(format!("{post}---\n{}", mail.expect("orders")));
    assert_eq!(orders(&target("exec /bin/true"), &note(), 20), None);
}

#[test]
fn a_secret_is_not_shown() {
    for text in [
        "slack https://x.example/T0KEN",
        "pagerduty T0KEN",
        "exec /bin/x T0KEN",
        "mail smtp://a:T0KEN@h a@b c@d",
    ] {
        assert!(!format!("{:?}", target(text)).contains("T0KEN"), "{text}");
    }
}

/// A server that answers one request and returns what it got.
fn server(answer: &'static str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("an address");
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut got = String::new();
        let mut part = [0; 4096];
        loop {
            let count = stream.read(&mut part).expect("a request");
            got.push_str(&String::from_utf8_lossy(&part[..count]));
            let Some((head, body)) = got.split_once("\r\n\r\n") else { continue };
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                break;
            }
        }
        write!(stream, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").expect("sent");
        got
    });
    (format!("http://{address}"), serving)
}

#[tokio::test]
async fn a_document_arrives_as_it_was_written() {
    let (url, serving) = server("204 No Content");
    assert_eq!(deliver(&target(&format!("webhook {url}/hook?token=T0KEN")), &note()).await, Ok(()));
    let got = serving.join().expect("a request");
    let (head, body) = got.split_once("\r\n\r\n").expect("a body");
    assert!(head.starts_with("POST /hook?token=T0KEN HTTP/1.1"), "{head}");
    assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
    assert!(head.contains("1700000000000-7"), "{head}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(body).expect("JSON"), document(&note()));
}

#[tokio::test]
async fn a_refusal_is_told_without_the_address() {
    let (url, serving) = server("403 Forbidden");
    let why = deliver(&target(&format!("slack {url}/T0KEN")), &note()).await.expect_err("refused");
    serving.join().expect("a request");
    assert!(why.contains("403") && !why.contains("T0KEN"), "{why}");
}

#[tokio::test]
async fn a_program_reads_the_document() {
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join("copy");
    let exec = format!("exec /usr/bin/tee {}", copy.display());
    assert_eq!(deliver(&target(&exec), &note()).await, Ok(()));
    let got = std::fs::read(copy).expect("a copy");
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&got).expect("JSON"), document(&note()));
    let why = deliver(&target("exec /bin/ls /no/such/T0KEN"), &note()).await.expect_err("it fails");
    assert!(why.starts_with("/bin/ls returned 2: ") && !why.contains("T0KEN"), "{why}");
    assert!(
        deliver(&target("exec /no/such/program"), &note())
            .await
            .expect_err("it fails")
            .contains("/no/such/program")
    );
}

/// A mail server of a few words.
#[tokio::test]
async fn a_message_arrives() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("an address");
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stream.try_clone().expect("a copy")));
        let (mut got, mut in_data) = (Vec::new(), false);
        stream.write_all(b"220 box\r\n").expect("sent");
        while let Some(Ok(line)) = lines.next() {
            let answer: &[u8] = match (in_data, line.split(' ').next().unwrap_or_default()) {
                (true, ".") => {
                    in_data = false;
                    b"250 taken\r\n"
                }
                (true, _) => b"",
                (false, "DATA") => {
                    in_data = true;
                    b"354 go on\r\n"
                }
                (false, "QUIT") => b"221 bye\r\n",
                (false, _) => b"250 fine\r\n",
            };
            got.push(line);
            stream.write_all(answer).expect("sent");
        }
        got
    });
    let mail = target(&format!("mail smtp://{address} me@box.example you@box.example they@box.example"));
    assert_eq!(deliver(&mail, &note()).await, Ok(()));
    let got = serving.join().expect("a message");
    for line in [
        "MAIL FROM:<me@box.example>",
        "RCPT TO:<you@box.example>",
        "RCPT TO:<they@box.example>",
        "From: me@box.example",
        "To: you@box.example, they@box.example",
        "Message-ID: <1700000000000-7@supd>",
    ] {
        assert!(got.iter().any(|got| got.starts_with(line)), "{line} is not in {got:#?}");
    }
    assert!(got.iter().any(|line| line.starts_with("Subject: web on box: worker 0: said")), "{got:#?}");
}
