//! What of the format a frame uses, so that tests can tell whether they cover it.

use super::header::FrameHeader;
use super::modes::{Luma, ModeContext};

/// Names of modes, the filter, how many partitions, and of rarer things.
pub(in crate::webp) fn features(data: &[u8]) -> Vec<String> {
    let mut header = FrameHeader::read(data).unwrap();
    let (columns, rows) = (header.width.div_ceil(16), header.height.div_ceil(16));
    let mut modes = ModeContext::new(vec![Default::default(); columns]);
    let mut features = vec![format!("{:?} filter", header.filter), format!("{} partitions", header.partitions.len())];
    for _ in 0..rows {
        modes.start_row();
        for x in 0..columns {
            let macroblock = modes.read(x, &header.modes, &mut header.first_partition);
            features.push(format!("chroma {:?}", macroblock.chroma));
            match macroblock.luma {
                Luma::Whole(mode) => features.push(format!("luma {mode:?}")),
                Luma::Subblocks(modes) => features.extend(modes.map(|mode| format!("subblock {mode:?}"))),
            }
            features.extend((macroblock.segment > 0).then(|| "segments".into()));
            features.extend(macroblock.skipped.then(|| "skipped".into()));
        }
    }
    features
}
