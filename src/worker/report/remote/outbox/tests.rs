//! A destination that fails, hangs or is slow, on paused time.

use tokio::time::Instant;

use super::*;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Word(String);

impl Item for Word {
    fn bytes(&self) -> usize {
        self.0.len()
    }

    fn dropped(count: u64) -> Self {
        Self(format!("{count} dropped"))
    }
}

#[derive(Clone, Copy)]
enum Does {
    Take,
    Fail(Kind),
    Hang,
    /// All but the first, once.
    TakeSome,
}

/// Batches, and when each was sent.
type Log = Vec<(Duration, Vec<Word>)>;

#[derive(Clone)]
struct Fake {
    /// The last one goes on for ever.
    does: Arc<Mutex<Vec<Does>>>,
    sent: Arc<Mutex<Log>>,
    began: Instant,
}

impl Destination for Fake {
    type Item = Word;
    const EVERY: Duration = Duration::from_secs(5);
    const MAX_BATCH_BYTES: usize = 100;
    const MAX_BATCH_ITEMS: usize = 4;
    const NAME: &'static str = "sending";

    async fn send(&mut self, mut batch: Vec<Word>) -> Sent<Word> {
        let does = {
            let mut does = self.does.lock().unwrap();
            if does.len() > 1 { does.remove(0) } else { does[0] }
        };
        let refused = |kind| CallError::judged("sending", kind, "no");
        match does {
            Does::Take => {}
            Does::Fail(kind) => return Sent::failed(batch, refused(kind)),
            Does::Hang => std::future::pending().await,
            Does::TakeSome => {
                let left = vec![batch.remove(0)];
                self.sent.lock().unwrap().push((self.began.elapsed(), batch));
                return Sent { left, error: Some(refused(Kind::Throttled)) };
            }
        }
        self.sent.lock().unwrap().push((self.began.elapsed(), batch));
        Sent::all()
    }
}

struct Setup {
    outbox: Outbox<Word>,
    sending: Sending,
    fake: Fake,
    complaints: Arc<Mutex<Vec<String>>>,
}

fn setup(does: &[Does]) -> Setup {
    let fake = Fake { does: Arc::new(Mutex::new(does.to_vec())), sent: Arc::default(), began: Instant::now() };
    let complaints: Arc<Mutex<Vec<String>>> = Arc::default();
    let (destination, told) = (fake.clone(), Arc::clone(&complaints));
    let (outbox, sending) = Outbox::start(async { destination }, move |why| told.lock().unwrap().push(why));
    Setup { outbox, sending, fake, complaints }
}

impl Setup {
    fn push(&self, text: &str) {
        self.outbox.push(Word(text.into()));
    }

    /// When each batch was sent, in seconds, and its words.
    fn sent(&self) -> Vec<(u64, String)> {
        let words = |batch: &[Word]| batch.iter().map(|word| word.0.clone()).collect::<Vec<_>>().join(" ");
        self.fake.sent.lock().unwrap().iter().map(|(at, batch)| (at.as_secs(), words(batch))).collect()
    }
}

fn batches(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected.iter().map(|(at, words)| (*at, (*words).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn batches_go_out_every_few_seconds_or_when_they_are_full() {
    let setup = setup(&[Does::Take]);
    setup.push("a");
    setup.push("b");
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(setup.sent(), batches(&[(5, "a b")]));
    for word in ["1", "2", "3", "4", "5"] {
        setup.push(word);
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(setup.sent()[1..], batches(&[(10, "1 2 3 4"), (10, "5")]));
    // Half of a batch's bytes do not wait.
    setup.push(&"x".repeat(60));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(setup.sent().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_sent_again_in_order_and_said_once() {
    let unavailable = Does::Fail(Kind::Unavailable);
    let setup = setup(&[unavailable, unavailable, unavailable, Does::TakeSome, Does::Take]);
    setup.push("a");
    setup.push("b");
    tokio::time::sleep(Duration::from_secs(60)).await;
    setup.push("c");
    tokio::time::sleep(Duration::from_secs(10)).await;
    // After 1, 2 and 4 seconds; what was left of a batch after another 8.
    let sent = setup.sent();
    assert_eq!(sent[..2], batches(&[(12, "b"), (20, "a")]));
    assert_eq!(sent[2].1, "c");
    assert_eq!(*setup.complaints.lock().unwrap(), ["sending: no"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_does_not_hold_up_the_rest() {
    let setup = setup(&[Does::Fail(Kind::Refused), Does::Take]);
    setup.push("bad");
    tokio::time::sleep(Duration::from_secs(8)).await;
    setup.push("good");
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(setup.sent()[0].1, "1 dropped good");
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_hangs_stops_nobody_and_what_does_not_fit_is_counted() {
    let setup = setup(&[Does::Hang, Does::Take]);
    let word = "w".repeat(1 << 10);
    let before = Instant::now();
    for _ in 0..10_000 {
        setup.push(&word);
    }
    assert_eq!(before.elapsed(), Duration::ZERO, "no push waits");
    assert!(setup.outbox.lock().bytes <= MAX_QUEUED_BYTES);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    setup.push("last");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let sent = setup.sent();
    let words = |of: &str| sent.iter().filter(|(_, text)| text.starts_with(of)).count() as u64;
    let dropped =
        sent.iter().find_map(|(_, text)| text.split_once(" dropped").map(|(count, _)| count.parse::<u64>().unwrap()));
    assert_eq!(words("www") + dropped.unwrap(), 10_000, "each is sent or counted");
    assert!(sent.last().unwrap().1.ends_with("last"));
}

#[tokio::test(start_paused = true)]
async fn the_end_sends_what_is_left_and_waits_for_no_more_than_it_may() {
    let taking = setup(&[Does::Take]);
    taking.push("a");
    let Setup { sending, fake, .. } = taking;
    let before = Instant::now();
    sending.finish().await;
    assert_eq!((fake.sent.lock().unwrap().len(), before.elapsed()), (1, Duration::ZERO));

    // A back-off of minutes does not keep the last lines.
    let failing = setup(&[
        Does::Fail(Kind::Unavailable),
        Does::Fail(Kind::Unavailable),
        Does::Fail(Kind::Unavailable),
        Does::Take,
    ]);
    failing.push("a");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let Setup { sending, fake, .. } = failing;
    sending.finish().await;
    assert_eq!(fake.sent.lock().unwrap().len(), 1);

    for does in [Does::Hang, Does::Fail(Kind::Denied)] {
        let never = setup(&[does]);
        never.push("a");
        let before = Instant::now();
        never.sending.finish().await;
        assert_eq!(before.elapsed(), LAST_BATCHES);
    }
}
