//! Finds the photographs to enqueue: keys on the command line, lines on stdin, a bucket's listing, URLs. A task finds them
//! one after the other, no faster than they are sent.

use std::collections::HashMap;

use aws_sdk_s3::types::RequestPayer;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::mpsc;

use super::checking::{missing_objects, nothing};
use super::place::{Found, Place};
use crate::aws::{CallError, Clients, Kind, RegionalS3, s3_config};
use crate::config::key_template::MAX_KEY_BYTES;
use crate::error::{Failure, Result};
use crate::request::{self, Source};
use crate::text::without_secrets;

/// The most sources found and not yet sent.
const AHEAD: usize = 1_000;
/// The extensions of photographs under `--prefix`, in any case.
const EXTENSIONS: [&str; 9] = ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "heic", "heif"];
/// The longest line of stdin that is read: a key and its end.
const MAX_LINE_BYTES: u64 = MAX_KEY_BYTES as u64 + 2;

/// What to enqueue.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub places: Vec<Place>,
    /// Whether the objects that are named are looked at before they are queued, if they are few.
    pub check: bool,
}

type Finds = mpsc::Sender<Result<Found>>;

/// The receiver of the sources has been closed: there is nothing left to do.
struct ReceiverClosed;

impl Sources {
    /// How many sources there are, if that is known.
    pub fn count(&self) -> Option<u64> {
        let endless = |place: &Place| matches!(place, Place::Prefix { .. } | Place::Stdin { .. });
        (!self.places.iter().any(endless)).then_some(self.places.len() as u64)
    }

    /// Finds all sources; stops after a failure.
    pub fn find(self, clients: &Clients) -> mpsc::Receiver<Result<Found>> {
        let (finds, receiver) = mpsc::channel(AHEAD);
        let s3 = RegionalS3::new(s3_config(&clients.sdk));
        tokio::spawn(async move {
            let failed = match self.all(&s3, &finds).await {
                Ok(result) => result.err(),
                Err(ReceiverClosed) => None,
            };
            if let Some(failure) = failed {
                // If the receiver is closed, another failure is being reported already.
                let _ = finds.send(Err(failure)).await;
            }
        });
        receiver
    }

    async fn all(self, s3: &RegionalS3, finds: &Finds) -> Result<Result<()>, ReceiverClosed> {
        let missing = if self.check { missing_objects(s3, &self.places).await } else { HashMap::new() };
        for (index, place) in self.places.into_iter().enumerate() {
            match place {
                Place::Object { bucket, key } => {
                    let found = match missing.get(&index) {
                        Some(why) => Found::Bad { name: format!("s3://{bucket}/{key}"), why: why.clone() },
                        None => object(&bucket, key),
                    };
                    find(finds, found).await?;
                }
                Place::Url(url) => {
                    let bad =
                        |why: request::BadRequest| Found::Bad { name: without_secrets(&url), why: why.to_string() };
                    find(finds, Source::url(&url).map_or_else(bad, Found::Source)).await?;
                }
                Place::Prefix { bucket, prefix } => {
                    let found = match list(s3, &bucket, &prefix, finds).await? {
                        Ok(listed) => listed,
                        Err(failure) => return Ok(Err(failure)),
                    };
                    if found.photographs == 0 {
                        find(finds, nothing(s3, &bucket, &prefix, found.others).await).await?;
                    }
                }
                Place::Stdin { bucket } => {
                    let found = match lines(BufReader::new(tokio::io::stdin()), &bucket, finds).await? {
                        Ok(found) => found,
                        Err(failure) => return Ok(Err(failure)),
                    };
                    if found == 0 {
                        find(finds, Found::Nothing { what: "there are no keys on stdin".to_owned(), hint: None })
                            .await?;
                    }
                }
            }
        }
        Ok(Ok(()))
    }
}

async fn find(finds: &Finds, found: Found) -> Result<(), ReceiverClosed> {
    finds.send(Ok(found)).await.map_err(|_| ReceiverClosed)
}

fn object(bucket: &str, key: String) -> Found {
    match Source::object(bucket, key.as_str()) {
        Ok(source) => Found::Source(source),
        Err(why) => Found::Bad { name: key, why: why.to_string() },
    }
}

/// What is under a prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Listed {
    photographs: u64,
    others: u64,
}

/// A bucket's photographs, page by page (API ListObjectsV2), in whatever region it is.
async fn list(s3: &RegionalS3, bucket: &str, prefix: &str, finds: &Finds) -> Result<Result<Listed>, ReceiverClosed> {
    let mut listed = Listed::default();
    let mut token: Option<String> = None;
    loop {
        let page = |s3: aws_sdk_s3::Client| {
            let call = s3.list_objects_v2().bucket(bucket).prefix(prefix).request_payer(RequestPayer::Requester);
            call.set_continuation_token(token.clone()).send()
        };
        let page = match s3.call(bucket, page).await.map_err(|error| CallError::new("s3:ListBucket", error)) {
            Ok(page) => page,
            Err(error) if error.kind == Kind::NotFound => {
                return Ok(Err(Failure::new(format!("bucket \"{bucket}\" does not exist")).caused_by(&error)));
            }
            Err(error) => return Ok(Err(error.failure(format!("cannot list the bucket {bucket}")))),
        };
        for entry in page.contents.unwrap_or_default() {
            let key = entry.key.unwrap_or_default();
            let photograph = is_photograph(&key) && entry.size != Some(0);
            *if photograph { &mut listed.photographs } else { &mut listed.others } += 1;
            find(finds, if photograph { object(bucket, key) } else { Found::Skipped }).await?;
        }
        match page.next_continuation_token {
            None => return Ok(Ok(listed)),
            next if next == token => {
                return Ok(Err(Failure::new(format!("S3 keeps returning the same page of the bucket {bucket}"))));
            }
            next => token = next,
        }
    }
}

/// Whether an object is a photograph, by its name.
pub fn is_photograph(key: &str) -> bool {
    key.rsplit_once('.')
        .is_some_and(|(_, extension)| EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}

/// One key per line; blank lines are skipped. A line that is not a key is reported with its number and skipped. Returns how
/// many lines were not blank.
async fn lines(
    mut input: impl AsyncBufRead + Unpin,
    bucket: &str,
    finds: &Finds,
) -> Result<Result<u64>, ReceiverClosed> {
    let (mut number, mut found) = (0_u64, 0_u64);
    let mut line = Vec::new();
    loop {
        number += 1;
        line.clear();
        match (&mut input).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).await {
            Ok(0) => return Ok(Ok(found)),
            Ok(_) => {}
            Err(error) => return Ok(Err(Failure::new("cannot read keys from stdin").caused_by(&error))),
        }
        let bad = |why: &str| Found::Bad { name: format!("line {number} of stdin"), why: why.to_owned() };
        if line.len() as u64 == MAX_LINE_BYTES && !line.ends_with(b"\n") {
            find(finds, bad(&format!("it is longer than {MAX_KEY_BYTES} bytes, the limit for a key"))).await?;
            found += 1;
            if let Err(error) = skip_line(&mut input).await {
                return Ok(Err(Failure::new("cannot read keys from stdin").caused_by(&error)));
            }
            continue;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        match std::str::from_utf8(text) {
            Ok("") => continue,
            Ok(key) => find(finds, object(bucket, key.to_owned())).await?,
            Err(_) => find(finds, bad("it is not UTF-8, as S3's keys must be")).await?,
        }
        found += 1;
    }
}

/// Skips to the end of a line.
async fn skip_line(input: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<()> {
    loop {
        let piece = input.fill_buf().await?;
        let end = piece.iter().position(|&byte| byte == b'\n');
        let (read, over) = (end.map_or(piece.len(), |end| end + 1), end.is_some() || piece.is_empty());
        input.consume(read);
        if over {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::strict_s3::StrictS3;

    async fn read(text: &[u8]) -> Vec<String> {
        let (finds, mut found) = mpsc::channel(100);
        let counted = lines(text, "photos", &finds).await;
        drop(finds);
        let mut names = Vec::new();
        while let Some(Ok(found)) = found.recv().await {
            names.push(match found {
                Found::Source(source) => source.to_string(),
                Found::Bad { name, why } => format!("{name}: {why}"),
                other => format!("{other:?}"),
            });
        }
        assert!(matches!(counted, Ok(Ok(count)) if count == names.len() as u64));
        names
    }

    #[tokio::test]
    async fn a_bucket_of_another_region_is_listed_page_by_page() {
        let strict = StrictS3::default();
        strict.bucket("far", "eu-west-1");
        for index in 0..5 {
            strict.put("far", &format!("trip/{index}.jpg"), b"x");
        }
        strict.put("far", "other/0.jpg", b"x");
        let (finds, mut found) = mpsc::channel(100);
        let s3 = RegionalS3::new(s3_config(&strict.sdk().await));
        assert!(matches!(list(&s3, "far", "trip/", &finds).await, Ok(Ok(Listed { photographs: 5, others: 0 }))));
        assert!(matches!(list(&s3, "nowhere", "trip/", &finds).await, Ok(Err(_))));
        drop(finds);
        let mut names = Vec::new();
        while let Some(Ok(Found::Source(source))) = found.recv().await {
            names.push(source.to_string());
        }
        let wanted: Vec<String> = (0..5).map(|index| format!("s3://far/trip/{index}.jpg")).collect();
        assert_eq!(names, wanted);
    }

    #[tokio::test]
    async fn every_line_that_is_not_blank_is_a_key() {
        assert_eq!(
            read("a.jpg\r\n\n é b.jpg \nlast".as_bytes()).await,
            ["s3://photos/a.jpg", "s3://photos/ é b.jpg ", "s3://photos/last"]
        );
        assert!(read(b"").await.is_empty());
    }

    #[tokio::test]
    async fn a_line_that_is_not_a_key_is_reported_and_the_next_is_read() {
        let longest = "k".repeat(MAX_KEY_BYTES);
        let text = format!("{longest}\r\n{longest}k\n{}\nb", "k".repeat(100_000));
        assert_eq!(
            read(text.as_bytes()).await,
            [
                format!("s3://photos/{longest}"),
                format!("{longest}k: `key` must have 1 to 1024 bytes, as S3's keys do; it has 1025"),
                "line 3 of stdin: it is longer than 1024 bytes, the limit for a key".into(),
                "s3://photos/b".into(),
            ]
        );
        assert_eq!(read(b"\xff\nb").await, ["line 1 of stdin: it is not UTF-8, as S3's keys must be", "s3://photos/b"]);
    }

    #[test]
    fn a_photograph_is_known_by_its_extension() {
        for key in ["a.jpg", "a/B.JPEG", "x.y.Jpe", "a.PNG", "IMG_1.HEIC"] {
            assert!(is_photograph(key), "{key}");
        }
        for key in ["a/", "jpg", "a.pdf", "a.jpg/", ""] {
            assert!(!is_photograph(key), "{key}");
        }
    }
}
