//! HTTP/1.1 over one connection with no client between: for loads that keep a rate or cut requests off.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// A server that says nothing for so long has failed.
const READ_MAX: Duration = Duration::from_secs(30);
/// The largest answer read.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// The largest line of a head.
const LINE_BYTES_MAX: usize = 8 << 10;
/// Lines of a head at most.
const LINES_MAX: usize = 100;
const HEAD_END: &[u8] = b"\r\n\r\n";

/// One connection.
pub(crate) struct Connection(BufReader<TcpStream>);

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) retry_after: bool,
    /// The server closes after this answer.
    pub(crate) closes: bool,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    /// Connect to a base URL such as `http://127.0.0.1:8080`.
    pub(crate) fn open(url: &str) -> Result<Self> {
        let address = url.strip_prefix("http://").unwrap_or(url);
        let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_MAX))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.0.get_mut().write_all(bytes)?)
    }

    pub(crate) fn receive(&mut self) -> Result<Reply> {
        read_reply(&mut self.0)
    }
}

impl Reply {
    /// The reply that these bytes are, once all of it is there.
    ///
    /// # Errors
    ///
    /// A head that is none.
    pub(crate) fn whole(bytes: &[u8]) -> Result<Option<Self>> {
        let mut rest = bytes;
        let ended = bytes.windows(HEAD_END.len()).any(|part| part == HEAD_END);
        if !ended {
            ensure!(bytes.len() <= LINES_MAX * LINE_BYTES_MAX, "a head without an end");
            return Ok(None);
        }
        let head = Head::read(&mut rest)?;
        Ok(rest.get(..head.length).map(|body| head.with(body.to_vec())))
    }
}

/// A request as it goes over the wire.
pub(crate) fn post(path: &str, headers: &[(&'static str, String)], body: &[u8]) -> Vec<u8> {
    let mut head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// What comes before the body.
struct Head {
    status: u16,
    length: usize,
    retry_after: bool,
    closes: bool,
}

impl Head {
    fn read(from: &mut impl std::io::BufRead) -> Result<Self> {
        let mut next_line = || -> Result<String> {
            let mut line = String::new();
            from.by_ref().take(LINE_BYTES_MAX as u64).read_line(&mut line)?;
            ensure!(line.ends_with('\n'), "the answer ends within its head");
            Ok(line.trim_end().to_owned())
        };
        let first = next_line()?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.with_context(|| format!("no status line: {first}"))?;
        let (mut length, mut retry_after, mut closes) = (None, false, false);
        for _ in 0..LINES_MAX {
            let line = next_line()?;
            let Some((name, value)) = line.split_once(':') else {
                ensure!(line.is_empty(), "no header: {line}");
                let length = length.context("an answer of no known length")?;
                ensure!(length <= ANSWER_BYTES_MAX, "an answer of {length} bytes");
                return Ok(Self {
                    status,
                    length,
                    retry_after,
                    closes,
                });
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = Some(value.trim().parse::<usize>()?),
                "retry-after" => retry_after = true,
                "connection" => closes = value.trim().eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        anyhow::bail!("the head has more than {LINES_MAX} lines")
    }

    fn with(self, body: Vec<u8>) -> Reply {
        Reply {
            status: self.status,
            retry_after: self.retry_after,
            closes: self.closes,
            body,
        }
    }
}

fn read_reply(from: &mut impl std::io::BufRead) -> Result<Reply> {
    let head = Head::read(from)?;
    let mut body = vec![0; head.length];
    from.read_exact(&mut body)?;
    Ok(head.with(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Reply> {
        read_reply(&mut text.as_bytes())
    }

    #[test]
    fn replies() {
        let busy = read(
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\ncontent-length: 2\r\nConnection: close\r\n\r\n{}rest",
        );
        let expected = Reply {
            status: 503,
            retry_after: true,
            closes: true,
            body: b"{}".to_vec(),
        };
        assert_eq!(busy.unwrap(), expected);
        assert!(
            !read("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .unwrap()
                .closes
        );
    }

    #[test]
    fn a_reply_is_whole_once_its_last_byte_is_there() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
        for end in 0..bytes.len() {
            assert_eq!(Reply::whole(&bytes[..end]).unwrap(), None, "{end}");
        }
        assert_eq!(Reply::whole(bytes).unwrap().unwrap().body, b"body");
        assert!(Reply::whole(b"nonsense\r\n\r\n").is_err());
    }

    #[test]
    fn what_is_no_reply() {
        for text in [
            "",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1234",
            "HTTP/1.1 200 OK\r\nContent-Length: 5",
            "HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn requests() {
        let bytes = post("/x", &[("Content-Type", String::from("text/csv"))], b"a,b");
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.starts_with("POST /x HTTP/1.1\r\n") && text.contains("\r\nContent-Length: 3\r\n"),
            "{text}"
        );
        assert!(text.ends_with("Content-Type: text/csv\r\n\r\na,b"), "{text}");
    }
}
