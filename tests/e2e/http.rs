//! A plain HTTP/1.1 client: one connection for each request, so that nothing is ever sent again by
//! itself and a test decides every byte.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// The longest that an answer is waited for. A halt waits a few seconds for its cancels.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A connection to send a request over: plain, or TLS for a venue.
pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// The code of an error's envelope; empty when it is none.
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The header of that name, written in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(found, _)| found == name);
        named.next().map(|(_, value)| value.as_str())
    }

    /// The body, when the status is the expected one.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json()
    }

    /// The status and the code of an error.
    #[track_caller]
    pub fn expect_error(&self, status: u16, code: &str) -> Value {
        assert_eq!(
            (self.status, self.code().as_str()),
            (status, code),
            "{self:?}"
        );
        self.json()["error"].clone()
    }
}

/// Sends one request over a connection of its own.
///
/// # Errors
///
/// When nobody listens, the connection breaks, or no whole answer comes in [`ANSWER_MAX`].
pub fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> io::Result<Reply> {
    let mut stream = connect(address)?;
    exchange(
        &mut stream,
        &address.to_string(),
        method,
        target,
        headers,
        body,
    )
}

/// Opens a connection whose reads and writes are bounded.
///
/// # Errors
///
/// When nobody listens.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends one request over `stream` and reads the answer to the end of the connection.
///
/// # Errors
///
/// When the connection breaks before the answer is whole, or the answer is not HTTP.
pub fn exchange(
    stream: &mut dyn Stream,
    host: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> io::Result<Reply> {
    let mut request =
        format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = body {
        request.push_str(&format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
    } else {
        request.push_str("\r\n");
    }
    stream.write_all(request.as_bytes())?;
    read_reply(stream)
}

/// Reads one answer, to the end of the connection.
///
/// # Errors
///
/// When the connection ends before the answer is whole, or it is not HTTP.
pub fn read_reply(stream: &mut dyn Stream) -> io::Result<Reply> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        // A TLS peer that closes without saying so; whether the answer is whole is checked below.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        Err(error) => return Err(error),
    }
    parse(&bytes).ok_or_else(|| {
        let seen = String::from_utf8_lossy(&bytes).into_owned();
        io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("no whole answer: {seen:?}"),
        )
    })
}

/// Reads an answer from all the bytes of a connection; `None` when they end early.
pub fn parse(bytes: &[u8]) -> Option<Reply> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let body = &bytes[end + 4..];
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let header = |name: &str| {
        headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, v)| v.as_str())
    };
    let body = if header("transfer-encoding") == Some("chunked") {
        unchunk(body)?
    } else {
        match header("content-length").and_then(|text| text.parse::<usize>().ok()) {
            Some(length) if length != body.len() => return None,
            _ => body.to_vec(),
        }
    };
    Some(Reply {
        status,
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
        rest = rest.get(line + 2..)?;
        if length == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(rest.get(..length)?);
        rest = rest.get(length + 2..)?;
    }
}

#[test]
fn an_answer_that_ends_early_is_none() {
    let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(parse(whole).unwrap().body, "{}");
    assert!(parse(&whole[..whole.len() - 1]).is_none());
    assert!(parse(&whole[..20]).is_none());
}

#[test]
fn a_chunked_answer_is_put_together() {
    let head = "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n";
    let reply = parse(format!("{head}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").as_bytes()).unwrap();
    assert_eq!((reply.status, reply.body.as_str()), (201, "abcde"));
    assert!(parse(format!("{head}3\r\nabc\r\n").as_bytes()).is_none());
}
