//! Content codings (RFC 9110): bodies that come compressed, and answers that a client wants so.
//!
//! `gzip`, `deflate` (the zlib format) and `zstd`, one at a time. What a small body becomes is bounded
//! twice: by the route's own limit, as if it had come plainly, and by a ratio. Work on large ones
//! happens off the request threads, on its tenant's account.

use std::io::{Read, Write};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use caisson_registry::TenantId;
use flate2::Compression;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};

use super::error::ApiError;
use super::{Context, sized};

/// How many times its size a body may become. Numbers as text compress tenfold, a table of few
/// distinct rows fiftyfold; a thousandfold is the most that gzip can do, and nothing but zeros.
const RATIO_MAX: u64 = 100;
/// What any body may become, whatever the ratio: a small request of zeros is a request too.
const RATIO_FREE_BYTES: u64 = 1 << 20;
/// Memory that a zstd frame may ask for, as its binary logarithm: 8 MiB, which RFC 9659 lets a server
/// expect of HTTP.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Bytes of the slowest codec of rows that cost as much as one of these: a body grows, and its compression
/// searches.
const WORK: usize = 8;
/// Answers below this fit into one packet as they are.
const COMPRESS_BYTES_MIN: usize = 1024;
/// Fast levels: tensors hardly compress, and text does so at any. Level 1 of zlib-rs is faster still and
/// leaves a list of small integers as long as it is.
const ZLIB_LEVEL: u32 = 3;
const ZSTD_LEVEL: i32 = 1;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
    Zstd,
}

impl Coding {
    /// The ones that are taken and given, the best for the same wish first.
    const ALL: [Self; 3] = [Self::Zstd, Self::Gzip, Self::Deflate];

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        }
    }

    fn of(name: &str) -> Option<Self> {
        let name = name.trim();
        // RFC 9110 asks for the old name too.
        if name.eq_ignore_ascii_case("x-gzip") {
            return Some(Self::Gzip);
        }
        Self::ALL
            .into_iter()
            .find(|coding| name.eq_ignore_ascii_case(coding.name()))
    }
}

/// The body as it was before its `Content-Encoding`, of at most `limit` bytes.
///
/// # Errors
///
/// 415 for another coding or several; 400 for what isn't in that coding, or is cut off; 413 past the
/// limit or the ratio.
pub(crate) async fn decode(
    headers: &HeaderMap,
    body: Bytes,
    limit: u64,
    context: &Context,
    tenant: &TenantId,
) -> Result<Bytes, ApiError> {
    let Some(coding) = content_coding(headers)? else {
        return Ok(body);
    };
    let work = body.len().saturating_mul(WORK);
    let decoded = sized(context, tenant, work, move || decompress(coding, &body, limit)).await?;
    Ok(Bytes::from(decoded))
}

fn content_coding(headers: &HeaderMap) -> Result<Option<Coding>, ApiError> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let (Some(value), more) = (values.next(), values.next().is_some()) else {
        return Ok(None);
    };
    let name = value.to_str().unwrap_or("?").trim();
    if name.is_empty() || name.eq_ignore_ascii_case("identity") {
        return Ok(None);
    }
    match Coding::of(name) {
        Some(coding) if !more => Ok(Some(coding)),
        _ => Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content-encoding",
            format!(
                "the content encoding `{}` is not taken; one of gzip, deflate and zstd is",
                caisson_registry::shown(name)
            ),
        )),
    }
}

fn decompress(coding: Coding, body: &[u8], limit: u64) -> Result<Vec<u8>, ApiError> {
    let ratio_limit = (body.len() as u64)
        .saturating_mul(RATIO_MAX)
        .max(RATIO_FREE_BYTES);
    let most = limit.min(ratio_limit);
    let mut out = Vec::new();
    let read = match coding {
        Coding::Gzip => read_up_to(MultiGzDecoder::new(body), most, &mut out),
        Coding::Deflate => {
            let mut decoder = ZlibDecoder::new(body);
            read_up_to(&mut decoder, most, &mut out).and_then(|()| {
                if out.len() as u64 <= most && decoder.total_in() < body.len() as u64 {
                    return Err(std::io::Error::other("bytes lie behind its end"));
                }
                Ok(())
            })
        }
        Coding::Zstd => zstd::Decoder::with_buffer(body).and_then(|mut decoder| {
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            read_up_to(decoder, most, &mut out)
        }),
    };
    read.map_err(|error| {
        ApiError::bad_request(
            "body-encoding",
            format!("the body is no whole {}: {error}", coding.name()),
        )
    })?;
    if out.len() as u64 <= most {
        return Ok(out);
    }
    Err(ApiError::too_large(if most == limit {
        format!("decompressed, the body is larger than the {limit} bytes that this route takes")
    } else {
        format!("decompressed, the body is more than {RATIO_MAX} times its size; send it as it is")
    }))
}

/// Read to the end, or one byte more than `most`.
fn read_up_to(from: impl Read, most: u64, out: &mut Vec<u8>) -> std::io::Result<()> {
    from.take(most.saturating_add(1)).read_to_end(out).map(drop)
}

/// Compress an answer if the client wants that and it is worth it: the body, and its
/// `Content-Encoding`.
pub(crate) async fn encode(
    headers: &HeaderMap,
    body: Vec<u8>,
    context: &Context,
    tenant: &TenantId,
) -> Result<(Vec<u8>, Option<HeaderValue>), ApiError> {
    let Some(coding) = wanted(headers).filter(|_| body.len() >= COMPRESS_BYTES_MIN) else {
        return Ok((body, None));
    };
    let work = body.len().saturating_mul(WORK);
    sized(context, tenant, work, move || {
        match compress(coding, &body).map_err(ApiError::internal)? {
            shorter if shorter.len() < body.len() => {
                Ok((shorter, Some(HeaderValue::from_static(coding.name()))))
            }
            _ => Ok((body, None)),
        }
    })
    .await
}

/// The coding that `Accept-Encoding` likes best, if it likes none better than plain.
fn wanted(headers: &HeaderMap) -> Option<Coding> {
    let mut best: Option<(f32, Coding)> = None;
    let mut plain = 0.0;
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    for item in values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
    {
        let (name, rest) = item.split_once(';').unwrap_or((item, ""));
        let quality = match rest.trim().strip_prefix("q=") {
            Some(text) => text.trim().parse().unwrap_or(0.0),
            None => 1.0,
        };
        if name.trim().eq_ignore_ascii_case("identity") {
            plain = quality;
        }
        let Some(coding) = Coding::of(name).filter(|_| quality > 0.0) else {
            continue;
        };
        let rank = |coding| Coding::ALL.iter().position(|&c| c == coding);
        let better = best.is_none_or(|(q, c)| quality > q || quality == q && rank(coding) < rank(c));
        if better {
            best = Some((quality, coding));
        }
    }
    best.filter(|&(quality, _)| quality >= plain)
        .map(|(_, coding)| coding)
}

fn compress(coding: Coding, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let out = Vec::with_capacity(body.len() / 2);
    match coding {
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(out, Compression::new(ZLIB_LEVEL));
            encoder.write_all(body)?;
            encoder.finish()
        }
        Coding::Deflate => {
            let mut encoder = ZlibEncoder::new(out, Compression::new(ZLIB_LEVEL));
            encoder.write_all(body)?;
            encoder.finish()
        }
        Coding::Zstd => zstd::encode_all(body, ZSTD_LEVEL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn what_is_compressed_comes_back() {
        let text: Vec<u8> = (0..20_000u32).flat_map(|n| n.to_string().into_bytes()).collect();
        for coding in Coding::ALL {
            let packed = compress(coding, &text).unwrap();
            assert!(packed.len() < text.len());
            assert_eq!(decompress(coding, &packed, 1 << 20).unwrap(), text);
            for broken in [&packed[..packed.len() / 2], &packed[..packed.len() - 1], b"{}"] {
                let error = decompress(coding, broken, 1 << 20).unwrap_err();
                assert_eq!(error.code(), "body-encoding", "{coding:?}");
            }
            let behind = [packed.as_slice(), b"more"].concat();
            assert_eq!(
                decompress(coding, &behind, 1 << 20).unwrap_err().code(),
                "body-encoding"
            );
            assert_eq!(
                decompress(coding, &packed, 1000).unwrap_err().code(),
                "too-large",
                "{coding:?}"
            );
        }
    }

    #[test]
    fn a_small_body_does_not_become_a_large_one() {
        let zeros = vec![0; 60 << 20];
        for coding in Coding::ALL {
            let packed = compress(coding, &zeros).unwrap();
            let error = decompress(coding, &packed, 64 << 20).unwrap_err();
            assert_eq!(error.code(), "too-large", "{coding:?}");
            let small = compress(coding, &zeros[..1 << 20]).unwrap();
            assert_eq!(decompress(coding, &small, 64 << 20).unwrap().len(), 1 << 20);
        }
    }

    #[test]
    fn a_zstd_window_is_bounded() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&[7; 1 << 16]).unwrap();
        let packed = encoder.finish().unwrap();
        let error = decompress(Coding::Zstd, &packed, 64 << 20).unwrap_err();
        assert_eq!(error.code(), "body-encoding");
    }

    #[test]
    fn the_coding_that_is_liked_best() {
        for (text, expected) in [
            ("gzip", Some(Coding::Gzip)),
            ("gzip, deflate, br", Some(Coding::Gzip)),
            ("deflate", Some(Coding::Deflate)),
            ("gzip, zstd", Some(Coding::Zstd)),
            ("zstd;q=0.2, GZIP;q=0.5", Some(Coding::Gzip)),
            ("gzip;q=0", None),
            ("gzip;q=0.5, identity", None),
            ("br", None),
            ("", None),
            ("gzip;q=what", None),
        ] {
            let headers = headers(header::ACCEPT_ENCODING, text);
            assert_eq!(wanted(&headers), expected, "{text}");
        }
        assert_eq!(wanted(&HeaderMap::new()), None);
    }

    #[test]
    fn other_codings_are_refused_by_name() {
        for text in ["br", "gzip, gzip", "compress"] {
            let error = content_coding(&headers(header::CONTENT_ENCODING, text)).unwrap_err();
            assert_eq!(error.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{text}");
        }
        for text in ["identity", ""] {
            assert!(
                content_coding(&headers(header::CONTENT_ENCODING, text))
                    .unwrap()
                    .is_none()
            );
        }
        assert_eq!(
            content_coding(&headers(header::CONTENT_ENCODING, "x-gzip")).unwrap(),
            Some(Coding::Gzip)
        );
    }
}
