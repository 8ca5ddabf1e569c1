//! An HTTP proxy in front of the emulator that rejects chosen requests with S3's error, where moto accepts them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// How long one request may take to come, or its answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Listens for as long as the test process lives.
pub struct FaultProxy(SocketAddr);

/// Which requests are rejected, and how.
#[derive(Clone, Copy)]
struct Rule {
    emulator: SocketAddr,
    /// A request line's beginning: "PUT /bucket/".
    what: &'static str,
    code: &'static str,
    message: &'static str,
}

impl FaultProxy {
    pub fn start(emulator: SocketAddr, what: &'static str, code: &'static str, message: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let rule = Rule { emulator, what, code, message };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that goes away needs no answer.
                thread::spawn(move || rule.serve(&client));
            }
        });
        Self(address)
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.0)
    }
}

impl Rule {
    /// One request a connection.
    fn serve(&self, mut client: &TcpStream) -> io::Result<()> {
        client.set_read_timeout(Some(PATIENCE))?;
        let (head, body) = request(client)?;
        if !head.starts_with(self.what) {
            let mut emulator = TcpStream::connect_timeout(&self.emulator, PATIENCE)?;
            emulator.set_read_timeout(Some(PATIENCE))?;
            emulator.write_all(&[head.as_bytes(), b"Connection: close\r\n\r\n", &body].concat())?;
            io::copy(&mut emulator, &mut client)?;
            return client.shutdown(Shutdown::Both);
        }
        let Self { code, message, .. } = self;
        let xml = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        let head = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", xml.len());
        client.write_all((head + &xml).as_bytes())?;
        client.shutdown(Shutdown::Both)
    }
}

/// A request: its head without the empty line, and its body.
fn request(client: &TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut reader = BufReader::new(client);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == "\r\n" {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((head, body))
}
