//! Shared by the targets of single formats.

use thumb_engine::{Fit, Formats, Limits, Options, Size, Spec, Truncated, probe, thumbnails, working_memory};

/// Small, so that an input takes milliseconds; the fuzzer's own memory limit checks the rest.
const LIMITS: Limits = Limits { max_source_bytes: 1 << 20, max_source_pixels: 1 << 16, formats: Formats::ALL };

/// No bytes make the engine panic or hang, and every thumbnail is a picture of the size that is said of it.
pub fn any_bytes(source: &[u8]) {
    let Ok(info) = probe(source, &LIMITS) else { return };
    let spec = |width, height, fit| Spec { fit, ..Spec::new(Size::new(width, height)) };
    let specs = [spec(20, 15, Fit::Cover), spec(3, 40, Fit::Fill), spec(300, 300, Fit::Contain)];
    assert!(working_memory(&info, &specs) < 64 << 20);
    for truncated in [Truncated::Strict, Truncated::BestEffort] {
        for specs in [&specs[..1], &specs[1..]] {
            let options = Options { limits: LIMITS, truncated, ..Options::default() };
            for thumbnail in thumbnails(source, specs, &options).unwrap_or_default() {
                let info = probe(&thumbnail.bytes, &Limits::default()).expect("a thumbnail is a picture");
                assert_eq!((info.width, info.height), (thumbnail.width, thumbnail.height));
            }
        }
    }
}
