use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc;

use super::*;
use crate::worker::backend::Body as _;

/// A server that gives one answer per connection, and passes on the heads of the requests.
fn serve(answers: impl Fn(SocketAddr) -> Vec<String>) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answers = answers(address);
    let (heads, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut client, _) = listener.accept().unwrap();
            let lines = BufReader::new(&client).lines().map(Result::unwrap);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            // The test may not look at it.
            let _ = heads.send(head.join("\n"));
            client.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, asked)
}

/// It says that the connection ends with it: a client that keeps it would send its next request to a socket that the
/// server is closing.
fn answer(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

async fn open(url: &str) -> Result<Opened<Body>, JobError> {
    match Web::new(UrlSources::Any).unwrap().open(&url.parse().unwrap(), None).await? {
        Found::Photo(photo) => Ok(photo),
        Found::Unchanged => panic!("no ETag was given"),
    }
}

#[tokio::test]
async fn the_time_limit_for_reading_starts_with_reading() {
    let (address, _) = serve(|_| vec![answer("200 OK", "a photograph")]);
    let mut photo = open(&format!("http://{address}/a.jpg")).await.unwrap();
    assert_eq!(photo.length, Some(12));
    // It waits for memory.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(600)).await;
    tokio::time::resume();
    assert_eq!(photo.body.next().await.unwrap().unwrap(), "a photograph");
    assert_eq!(photo.body.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_secret_in_a_url_is_not_sent_to_other_servers() {
    let (address, asked) = serve(|address| {
        let moved = format!("302 Found\r\nLocation: http://{address}/there.jpg");
        vec![answer(&moved, ""), answer("200 OK", "a photograph")]
    });
    open(&format!("http://{address}/here.jpg?token=SECRET")).await.unwrap();
    let (first, second) = (asked.recv().unwrap(), asked.recv().unwrap());
    assert!(first.starts_with("GET /here.jpg?token=SECRET ") && second.starts_with("GET /there.jpg "));
    assert!(!second.contains("SECRET"), "{second}");

    // No response, and a redirect loop.
    for answers in [
        vec![String::new()],
        vec!["302 Found\r\nLocation: /?token=SECRET"; 9].into_iter().map(|head| answer(head, "")).collect(),
    ] {
        let (address, _) = serve(|_| answers.clone());
        let job_error = open(&format!("http://{address}/?token=SECRET")).await.map(|_| ()).unwrap_err();
        assert!(!job_error.why.contains("SECRET"), "{job_error:?}");
    }
}

#[tokio::test]
async fn an_etag_that_is_too_long_for_s3_is_dropped() {
    for (length, kept) in [(MAX_ETAG_BYTES, true), (3_000, false)] {
        let etag = "e".repeat(length);
        let (address, _) = serve(|_| vec![answer(&format!("200 OK\r\nETag: \"{etag}\""), "a photograph")]);
        let photo = open(&format!("http://{address}/a.jpg")).await.unwrap();
        assert_eq!(photo.etag, kept.then_some(etag));
    }
}

#[test]
fn only_the_public_internet_is_public() {
    for address in [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.31.255.255",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:db8::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ] {
        assert!(!is_public(address.parse().unwrap()), "{address}");
    }
    for address in ["8.8.8.8", "100.63.0.1", "172.32.0.1", "192.0.1.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
        assert!(is_public(address.parse().unwrap()), "{address}");
    }
}

#[test]
fn an_address_in_a_url_is_checked_however_it_is_written() {
    for url in ["http://127.0.0.1/", "http://2130706433/", "http://0x7f.1/", "http://[::1]/", "http://0/"] {
        assert!(check(&url.parse().unwrap(), true).is_err(), "{url}");
        assert!(check(&url.parse().unwrap(), false).is_ok(), "{url}");
    }
    assert!(check(&"https://example.com/".parse().unwrap(), true).is_ok());
}

#[test]
fn a_failing_server_is_retried_and_a_refusal_is_not() {
    for (status, transient) in [(404, false), (403, false), (429, true), (500, true), (503, true), (301, false)] {
        assert_eq!(refused(StatusCode::from_u16(status).unwrap()).transient, transient, "{status}");
    }
}
