//! The groups of SQS's fair queues. Standard queues take a message group, too: where one group has many messages, those of the
//! others pass it (SQS developer guide, "Amazon SQS fair queues"). Pure.

use sha2::{Digest, Sha256};

use crate::request::Source;
use crate::text::hex;

/// The longest group (API SendMessage, `MessageGroupId`).
const MAX_BYTES: usize = 128;

/// The group of a photograph: its bucket and the first folder of its key, or its host.
pub fn of(source: &Source) -> String {
    let text = match source {
        Source::Object { bucket, key } => match key.split_once('/') {
            Some((folder, _)) => format!("{bucket}/{folder}/"),
            None => format!("{bucket}/"),
        },
        Source::Url(url) => url.host_str().unwrap_or_default().to_owned(),
    };
    // Letters, digits and punctuation of ASCII are allowed, and nothing else.
    if text.len() <= MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return text;
    }
    let place = text.split('/').next().unwrap_or_default();
    format!("{}/{}", place.get(..64).unwrap_or(place), hex(&Sha256::digest(&text)[..8]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_a_bucket_and_a_folder() {
        let of = |key: &str| of(&Source::object("photos", key).unwrap());
        assert_eq!(of("2026/trip/owl.jpg"), "photos/2026/");
        assert_eq!(of("2026/other.jpg"), "photos/2026/");
        assert_eq!(of("owl.jpg"), "photos/");
        let odd = of("a b\u{e9}/owl.jpg");
        assert!(odd.starts_with("photos/") && odd.len() == 7 + 16, "{odd}");
        assert_ne!(odd, of("a c/owl.jpg"));
        assert!(of(&format!("{}/owl.jpg", "x".repeat(500))).len() <= MAX_BYTES);
        assert_eq!(super::of(&Source::url("https://example.org/a?b").unwrap()), "example.org");
    }
}
