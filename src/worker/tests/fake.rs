//! A backend in memory, on paused time: SQS and S3 as far as the loop can see them, and an engine.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use crate::aws::{Answer, CallError, Kind, MAX_BATCH_BYTES};
use crate::request::{self, Source};
use crate::thumbnail::{self, Format, Options, Placeholder, Spec, Thumbnail};
use crate::worker::attributes::Attribute;
use crate::worker::backend::{self, Backend, DeadLetter, Delivery, Depth, Found, Opened, Provenance, Upload};
use crate::worker::retry::{Cause, JobError};
use crate::worker_report::WorkerReport;

pub const VISIBILITY: Duration = Duration::from_secs(60);
/// How long a delete or a dead-letter call takes.
const CALL: Duration = Duration::from_millis(10);
/// A connection that is not read for this long is closed.
const IDLE: Duration = Duration::from_secs(20);

/// What the fake does wrong, each a number of times from the start on.
#[derive(Debug, Default)]
pub struct Faults {
    /// Receives that hang for 30 s.
    pub hung_receives: u32,
    pub refused_receives: u32,
    /// Delete and dead-letter calls that fail with a transient error.
    pub failed_settlements: u32,
    /// Heartbeats whose receipt handle is refused as invalid.
    pub expired_receipts: u32,
    /// Heartbeats that are not answered at all.
    pub failed_heartbeats: u32,
    /// Checks whether a photograph has changed that are not answered.
    pub failed_looks: u32,
    pub failed_depths: u32,
    /// Reports that are refused.
    pub failed_reports: u32,
    /// Whether S3 throttles every photograph.
    pub s3_is_down: bool,
    /// How long it takes until a heartbeat is done.
    pub slow_heartbeats: Duration,
}

/// What happens at random, each with a probability; seeded, so that a run is the same every time.
#[derive(Debug)]
pub struct Chaos(pub fastrand::Rng);

impl Chaos {
    /// A call fails before it takes effect.
    const BEFORE: f64 = 0.05;
    /// A call takes effect, and its answer is lost.
    const AFTER: f64 = 0.03;
    /// A receive hangs.
    const HANG: f64 = 0.01;
    /// A deleted message is delivered once more.
    const AGAIN: f64 = 0.05;
}

#[derive(Debug, Default)]
pub struct State {
    visible: VecDeque<Message>,
    in_flight: HashMap<String, (Message, Instant)>,
    receipts: u64,
    pub faults: Faults,
    pub chaos: Option<Chaos>,
    pub dlq: Vec<DeadLetter>,
    pub reports: Vec<WorkerReport>,
    /// How many messages each receive asked for.
    pub asked: Vec<usize>,
    /// The redrive policy's; none: no limit.
    pub max_receives: Option<u32>,
    /// Messages that the redrive policy moved to the dead-letter queue.
    pub moved: Vec<String>,
    pub stored: BTreeMap<String, Provenance>,
    pub manifests: BTreeMap<String, Bytes>,
    /// How long each upload takes, from the next one on; then 10 ms.
    pub uploads: VecDeque<Duration>,
    /// ETags of photographs that have been replaced; else it is the key.
    pub etags: HashMap<String, String>,
    /// How often a photograph was looked at after its thumbnails were stored.
    pub looks: u32,
    /// How often the depth was asked for.
    pub depths: u32,
    /// Keys fetched, in order, an unchanged one with a `=` before it.
    pub fetched: Vec<String>,
    /// The largest number of fetches under way at once.
    pub most_at_once: usize,
    at_once: usize,
    bodies: Vec<Weak<str>>,
    /// The largest number of bytes that handed out bodies took at once, for as long as a worker held them.
    pub most_body_bytes: usize,
}

#[derive(Clone, Debug)]
struct Message {
    body: String,
    attributes: Vec<Attribute>,
    receives: u32,
}

#[derive(Debug, Default)]
pub struct Fake(Mutex<State>);

impl Fake {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn send(&self, body: impl Into<String>) {
        self.send_with(body, Vec::new());
    }

    pub fn send_with(&self, body: impl Into<String>, attributes: Vec<Attribute>) {
        self.state().visible.push_back(Message { body: body.into(), attributes, receives: 0 });
    }

    /// A message that has been received this often, by workers that did not settle it.
    pub fn send_received(&self, body: impl Into<String>, receives: u32) {
        self.state().visible.push_back(Message { body: body.into(), attributes: Vec::new(), receives });
    }

    /// A request for one thumbnail of a photograph.
    pub fn send_key(&self, key: &str) {
        self.send(format!(r#"{{"bucket":"photos","key":"{key}","width":4,"height":3}}"#));
    }

    fn before(&self) -> Result<(), CallError> {
        if self.state().strikes(Chaos::BEFORE) { Err(failed(Kind::Throttled, "slow down")) } else { Ok(()) }
    }

    fn after(&self) -> Result<(), CallError> {
        if self.state().strikes(Chaos::AFTER) { Err(failed(Kind::Unavailable, "connection reset")) } else { Ok(()) }
    }

    /// The receive counts of the messages that are visible now.
    pub fn visible(&self) -> Vec<u32> {
        let mut state = self.state();
        state.expire();
        state.visible.iter().map(|message| message.receives).collect()
    }
}

impl State {
    fn strikes(&mut self, probability: f64) -> bool {
        self.chaos.as_mut().is_some_and(|chaos| chaos.0.f64() < probability)
    }

    fn etag_of(&mut self, key: &str) -> String {
        if key.starts_with("restless") {
            return format!("{key}-{}", self.fetched.len());
        }
        self.etags.get(key).cloned().unwrap_or_else(|| key.to_owned())
    }

    fn expire(&mut self) {
        let now = Instant::now();
        let mut expired: Vec<String> =
            self.in_flight.iter().filter(|(_, (_, until))| *until <= now).map(|(receipt, _)| receipt.clone()).collect();
        expired.sort();
        for receipt in expired {
            let (message, _) = self.in_flight.remove(&receipt).unwrap();
            self.visible.push_back(message);
        }
    }

    /// The next message that has been received less often than the redrive policy allows.
    fn next_visible(&mut self) -> Option<Message> {
        loop {
            let message = self.visible.pop_front()?;
            if self.max_receives.is_none_or(|max| message.receives < max) {
                return Some(message);
            }
            self.moved.push(message.body);
        }
    }

    /// Counts the bodies that workers have in memory.
    fn note(&mut self, body: &Arc<str>) {
        self.bodies.retain(|body| body.strong_count() > 0);
        self.bodies.push(Arc::downgrade(body));
        let bytes = self.bodies.iter().filter_map(Weak::upgrade).map(|body| body.len()).sum();
        self.most_body_bytes = self.most_body_bytes.max(bytes);
    }

    fn change_visibility(&mut self, changes: Vec<(String, u32)>) -> Result<Vec<Answer>, CallError> {
        if happens(&mut self.faults.failed_heartbeats) {
            return Err(failed(Kind::Unavailable, "connection reset"));
        }
        let answers = changes.into_iter().map(|(receipt, visibility_s)| {
            let lost = happens(&mut self.faults.expired_receipts);
            match self.in_flight.get_mut(&receipt).filter(|_| !lost) {
                Some((_, until)) => {
                    *until = Instant::now() + Duration::from_secs(visibility_s.into());
                    Answer::Done
                }
                None => Answer::Refused("ReceiptHandleIsInvalid".into()),
            }
        });
        Ok(answers.collect())
    }

    fn hand_out(&mut self, most: usize) -> Vec<Delivery> {
        self.expire();
        (0..most)
            .map_while(|_| {
                let mut message = self.next_visible()?;
                message.receives += 1;
                self.receipts += 1;
                let (body, receives) = (Arc::<str>::from(message.body.as_str()), message.receives);
                self.note(&body);
                let receipt = self.receipts.to_string();
                let attributes = message.attributes.clone();
                self.in_flight.insert(receipt.clone(), (message, Instant::now() + VISIBILITY));
                Some(Delivery { body, attributes, receipt, receives })
            })
            .collect()
    }
}

/// Whether a fault happens once more.
fn happens(fault: &mut u32) -> bool {
    let happens = *fault > 0;
    *fault = fault.saturating_sub(1);
    happens
}

fn failed(kind: Kind, message: &str) -> CallError {
    CallError { action: "sqs:Any", kind, code: None, message: message.into() }
}

/// A photograph that arrives in one piece, after a while, if the connection is still open.
#[derive(Debug)]
pub struct FakeBody {
    bytes: Option<Bytes>,
    takes: Duration,
    /// When the server closes the connection if reading has not begun.
    closes: Option<Instant>,
}

impl backend::Body for FakeBody {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        if self.closes.take().is_some_and(|closes| Instant::now() > closes) {
            return Err("connection closed".to_owned());
        }
        sleep(std::mem::take(&mut self.takes)).await;
        Ok(self.bytes.take())
    }
}

impl Backend for Fake {
    type Body = FakeBody;

    async fn receive(&self, most: usize, wait: Duration) -> Result<Vec<Delivery>, CallError> {
        self.state().asked.push(most);
        let hangs = happens(&mut self.state().faults.hung_receives) || self.state().strikes(Chaos::HANG);
        if hangs {
            sleep(Duration::from_secs(30)).await;
            return Err(failed(Kind::Unavailable, "no answer in time"));
        }
        self.before()?;
        if happens(&mut self.state().faults.refused_receives) {
            return Err(failed(Kind::NotFound, "no such queue"));
        }
        let found = async {
            loop {
                let found = self.state().hand_out(most);
                if !found.is_empty() {
                    return found;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        let found = timeout(wait, found).await.unwrap_or_default();
        self.after().map(|()| found)
    }

    async fn change_visibility(&self, changes: Vec<(String, u32)>) -> Result<Vec<Answer>, CallError> {
        self.before()?;
        let is_heartbeat = changes.iter().all(|(_, visibility_s)| *visibility_s == VISIBILITY.as_secs() as u32);
        let slow = if is_heartbeat { self.state().faults.slow_heartbeats } else { Duration::ZERO };
        sleep(slow).await;
        let answers = self.state().change_visibility(changes)?;
        self.after().map(|()| answers)
    }

    async fn delete(&self, receipts: Vec<String>) -> Result<Vec<Answer>, CallError> {
        sleep(CALL).await;
        self.before()?;
        let mut state = self.state();
        if happens(&mut state.faults.failed_settlements) {
            return Ok(vec![Answer::Again("busy".into()); receipts.len()]);
        }
        let answers = receipts
            .iter()
            .map(|receipt| match state.in_flight.remove(receipt) {
                Some((message, _)) => {
                    if state.strikes(Chaos::AGAIN) {
                        state.visible.push_back(message);
                    }
                    Answer::Done
                }
                None => Answer::Refused("ReceiptHandleIsInvalid".into()),
            })
            .collect();
        drop(state);
        self.after().map(|()| answers)
    }

    async fn send_to_dlq(&self, dead_letters: Vec<DeadLetter>) -> Result<Vec<Answer>, CallError> {
        sleep(CALL).await;
        self.before()?;
        if happens(&mut self.state().faults.failed_settlements) {
            return Err(failed(Kind::Throttled, "slow down"));
        }
        let attributes = |dead_letter: &DeadLetter| {
            let own: usize = dead_letter.attributes.iter().map(Attribute::bytes).sum();
            own + dead_letter.error.len() + dead_letter.stage.len()
        };
        let bytes: usize =
            dead_letters.iter().map(|dead_letter| dead_letter.body.len() + attributes(dead_letter)).sum();
        if bytes > MAX_BATCH_BYTES {
            return Err(failed(Kind::Refused, "the batch is too long"));
        }
        let answers = vec![Answer::Done; dead_letters.len()];
        // A copy of each body: the queue's memory is not the worker's.
        let copies =
            dead_letters.into_iter().map(|dead_letter| DeadLetter { body: (*dead_letter.body).into(), ..dead_letter });
        self.state().dlq.extend(copies);
        self.after().map(|()| answers)
    }

    async fn put_report(&self, report: &WorkerReport) -> Result<(), CallError> {
        sleep(CALL).await;
        let mut state = self.state();
        if happens(&mut state.faults.failed_reports) {
            return Err(failed(Kind::Denied, "not authorized"));
        }
        state.reports.push(report.clone());
        Ok(())
    }

    async fn depth(&self) -> Result<Depth, CallError> {
        self.before()?;
        let mut state = self.state();
        state.depths += 1;
        if happens(&mut state.faults.failed_depths) {
            return Err(failed(Kind::Denied, "not authorized"));
        }
        state.expire();
        Ok(Depth { visible: state.visible.len() as u64, in_flight: state.in_flight.len() as u64, delayed: 0 })
    }

    /// The key, or a URL's last part, decides: `slow-N…` takes N seconds to be found and `trickle-N…` to be read, of
    /// whatever length, `long-N…` too, but announces 21 MiB; `missing…` is not there, `denied…` may not be
    /// read, `text…`, `empty…`, `header…` and `huge…` are no photographs; `ours…` is a thumbnail; `restless…` is another
    /// one each time.
    async fn open(&self, source: &Source, unless: Option<&str>) -> Result<Found<FakeBody>, JobError> {
        let name = source.origin().key;
        let key = name.rsplit('/').next().unwrap().to_owned();
        let etag = self.state().etag_of(&key);
        if unless == Some(&etag) {
            self.state().fetched.push(format!("={key}"));
            return Ok(Found::Unchanged);
        }
        {
            let mut state = self.state();
            state.fetched.push(key.clone());
            state.at_once += 1;
            state.most_at_once = state.most_at_once.max(state.at_once);
        }
        let seconds = |word: &str| Some(key.strip_prefix(word)?.split('-').next()?.parse().expect("seconds"));
        sleep(Duration::from_secs(seconds("slow-").unwrap_or(0)) + Duration::from_millis(20)).await;
        self.state().at_once -= 1;
        self.before().map_err(|error| JobError::s3(error.message))?;
        if self.state().faults.s3_is_down {
            return Err(JobError::s3("SlowDown"));
        }
        match &key {
            key if key.starts_with("missing") => {
                return Err(JobError { cause: Cause::NoKey, ..JobError::transient("no such key") });
            }
            key if key.starts_with("denied") => return Err(JobError::permanent("this worker may not read it")),
            _ => {}
        }
        let bytes = match &key {
            key if key.starts_with("text") => Bytes::from_static(b"this is no picture"),
            key if key.starts_with("empty") => Bytes::new(),
            key if key.starts_with("header") => Bytes::from_static(&[0xff, 0xd8, 0xff, 0xe0]),
            key if key.starts_with("huge") => huge_jpeg(),
            key => Bytes::from([tiny_jpeg(), key.as_bytes()].concat()),
        };
        let (trickle, long) = (seconds("trickle-"), seconds("long-"));
        let length = match (trickle, long) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(21 << 20),
            (None, None) => Some(bytes.len() as u64),
        };
        let takes = Duration::from_secs(trickle.or(long).unwrap_or(0));
        let body = FakeBody { bytes: Some(bytes), takes, closes: Some(Instant::now() + IDLE) };
        Ok(Found::Photo(Opened { length, ours: key.starts_with("ours"), etag: Some(etag), body }))
    }

    async fn etag(&self, _: &str, key: &str) -> Result<Option<String>, JobError> {
        sleep(Duration::from_millis(1)).await;
        self.before().map_err(|error| JobError::transient(error.message))?;
        let mut state = self.state();
        if happens(&mut state.faults.failed_looks) {
            return Err(JobError::transient("connection reset"));
        }
        state.looks += 1;
        if key.starts_with("gone") {
            return Ok(None);
        }
        Ok(Some(state.etag_of(key)))
    }

    async fn is_gone(&self, _: &str, key: &str) -> Result<bool, JobError> {
        sleep(Duration::from_millis(1)).await;
        self.before().map_err(|error| JobError::transient(error.message))?;
        let mut state = self.state();
        state.looks += 1;
        // "back-…" is uploaded again between two looks.
        let looks = state.looks;
        Ok(key.starts_with("gone") || key.starts_with("back") && looks == 1)
    }

    async fn remove(&self, key: &str) -> Result<bool, JobError> {
        sleep(Duration::from_millis(1)).await;
        let mut state = self.state();
        let manifest = state.manifests.remove(key).is_some();
        Ok(state.stored.remove(key).is_some() || manifest)
    }

    async fn provenance(&self, key: &str) -> Result<Option<Provenance>, JobError> {
        Ok(self.state().stored.get(key).cloned())
    }

    async fn store(&self, upload: Upload) -> Result<(), JobError> {
        let takes = self.state().uploads.pop_front();
        sleep(takes.unwrap_or(Duration::from_millis(10))).await;
        self.state().stored.insert(upload.key, upload.provenance);
        self.after().map_err(|error| JobError::s3(error.message))
    }

    async fn manifest(&self, key: &str) -> Result<Option<(Bytes, String)>, JobError> {
        sleep(Duration::from_millis(10)).await;
        // A manifest's ETag is the hash of its content, as S3's is.
        Ok(self.state().manifests.get(key).map(|body| (body.clone(), request::version_of(body))))
    }

    async fn store_manifest(&self, key: &str, body: Bytes, replaces: Option<&str>) -> Result<bool, JobError> {
        sleep(Duration::from_millis(10)).await;
        let mut state = self.state();
        let there = state.manifests.get(key).map(|body| request::version_of(body));
        if there.as_deref() != replaces {
            return Ok(false);
        }
        state.manifests.insert(key.to_owned(), body);
        Ok(true)
    }
}

/// An engine that goes by what follows the picture: `bad…` is an error, `panic…` a panic.
pub fn engine(source: &[u8], specs: &[Spec], _: &Options) -> Result<Vec<Thumbnail>, thumbnail::Error> {
    let key = &source[tiny_jpeg().len()..];
    assert!(!key.starts_with(b"panic"), "as it was asked to");
    if key.starts_with(b"bad") {
        return Err(thumbnail::Error::Truncated);
    }
    let thumbnail = |spec: &Spec| Thumbnail {
        width: spec.size.width.unwrap_or(1),
        height: spec.size.height.unwrap_or(1),
        format: Format::Jpeg,
        bytes: vec![0; 100],
        placeholder: Placeholder::default(),
    };
    Ok(specs.iter().map(thumbnail).collect())
}

/// A header that is good enough to be probed.
fn tiny_jpeg() -> &'static [u8] {
    static JPEG: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    JPEG.get_or_init(|| {
        let mut jpeg = Vec::new();
        let encoder = jpeg_encoder::Encoder::new(&mut jpeg, 90);
        encoder.encode(&[128; 8 * 8], 8, 8, jpeg_encoder::ColorType::Luma).unwrap();
        jpeg
    })
}

/// A photograph whose header claims more pixels than fit into any memory.
fn huge_jpeg() -> Bytes {
    let mut jpeg = tiny_jpeg().to_vec();
    let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).expect("a baseline frame header");
    // After the marker, the segment's length and the precision: height and width (ITU-T T.81, B.2.2).
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xea; 4]);
    jpeg.into()
}
