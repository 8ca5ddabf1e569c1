//! Huffman codes made for a picture, from how often it has each symbol (T.81, K.2).

use crate::jpeg::huffman::{HuffmanSpec, MAX_CODE_BITS};

/// How often each symbol occurs.
pub(super) type Counts = [u32; 256];

/// Codes for the symbols that occur, of which there must be one.
pub(super) fn codes_for(counts: &Counts) -> HuffmanSpec {
    // No code may be all ones. The first of those that occur least has one of the longest codes, and codes are given in the
    // order of their lengths: so a symbol that is not there gets the one of all ones.
    let mut leaves = vec![(1_u64, None)];
    let occurring = (0..=255).zip(counts).filter(|&(_, &count)| count > 0);
    leaves.extend(occurring.map(|(symbol, &count)| (u64::from(count), Some(symbol))));
    leaves.sort_by_key(|&(count, _)| count);
    let mut weights: Vec<u64> = leaves.iter().map(|&(count, _)| count).collect();
    let mut lengths = depths(&weights);
    while lengths[0] > MAX_CODE_BITS {
        // Weights that differ less give codes that differ less in length.
        weights.iter_mut().for_each(|weight| *weight = weight.div_ceil(2));
        lengths = depths(&weights);
    }
    let mut spec = HuffmanSpec { counts: [0; MAX_CODE_BITS], symbols: Vec::with_capacity(leaves.len()) };
    for (&(_, symbol), length) in leaves.iter().zip(lengths).rev() {
        if let Some(symbol) = symbol {
            spec.counts[length - 1] += 1;
            spec.symbols.push(symbol);
        }
    }
    spec
}

/// The depths in Huffman's tree of two or more leaves, whose weights ascend; the depths descend.
fn depths(leaves: &[u64]) -> Vec<usize> {
    let count = leaves.len();
    // The leaves, and then the nodes in the order in which they are made, in which their weights ascend, too.
    let mut weights = leaves.to_vec();
    let mut parents = vec![0; 2 * count - 1];
    let (mut leaf, mut node) = (0, count);
    for made in count..2 * count - 1 {
        weights.push(0);
        for _ in 0..2 {
            let lightest = if leaf < count && (node == made || weights[leaf] <= weights[node]) {
                leaf += 1;
                leaf - 1
            } else {
                node += 1;
                node - 1
            };
            weights[made] += weights[lightest];
            parents[lightest] = made;
        }
    }
    let mut depths = vec![0; 2 * count - 1];
    for place in (0..2 * count - 2).rev() {
        depths[place] = depths[parents[place]] + 1;
    }
    depths.truncate(count);
    depths
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts by symbol, as a picture might have them and as none has.
    fn all_counts() -> Vec<(&'static str, Counts)> {
        let made = |count: &dyn Fn(usize) -> u32| std::array::from_fn(count);
        let mut fibonacci = [1_u32; 256];
        for i in 2..46 {
            fibonacci[i] = fibonacci[i - 1] + fibonacci[i - 2];
        }
        fibonacci[46..].fill(0);
        vec![
            ("one symbol", made(&|symbol| u32::from(symbol == 7))),
            ("two symbols", made(&|symbol| u32::from(symbol < 2) * 1000)),
            ("all, as often", made(&|_| 5)),
            ("all, as often as can be", made(&|_| u32::MAX)),
            ("those of AC", made(&|symbol| 100_000 / (1 + (symbol as u32 & 15).pow(4) * (1 + (symbol as u32 >> 4))))),
            ("the deepest tree", fibonacci),
            ("the deepest tree, turned round", made(&|symbol| fibonacci[255 - symbol])),
        ]
    }

    #[test]
    fn every_symbol_has_a_code_and_none_is_all_ones() {
        for (what, counts) in all_counts() {
            let spec = codes_for(&counts);
            let mut coded: Vec<u8> = spec.codes().map(|(.., symbol)| symbol).collect();
            coded.sort_unstable();
            let occurring: Vec<u8> = (0..=255).filter(|&symbol| counts[usize::from(symbol)] > 0).collect();
            assert_eq!(coded, occurring, "{what}");
            let mut space = 0;
            for (bits, length, _) in spec.codes() {
                assert!((1..=16).contains(&length), "{what}: a code of {length} bits");
                assert!(bits < (1 << length) - 1, "{what}: {bits:b} of {length} bits");
                space += 1 << (16 - length);
            }
            assert!(space < 1 << 16, "{what}");
            let table = [&spec.counts[..], &spec.symbols].concat();
            assert!(HuffmanSpec::read(&table).is_ok_and(|(read, rest)| read == spec && rest.is_empty()), "{what}");
        }
    }

    #[test]
    fn the_lengths_are_huffmans() {
        // 1 is the code that nothing has; 1 + 1, 2 + 2, 4 + 3, 7 + 7.
        let mut counts = [0; 256];
        for (symbol, count) in [(9, 7), (8, 3), (7, 2), (6, 1)] {
            counts[symbol] = count;
        }
        let lengths: Vec<_> = codes_for(&counts).codes().map(|(_, length, symbol)| (symbol, length)).collect();
        assert_eq!(lengths, [(9, 1), (8, 2), (7, 3), (6, 4)]);
    }

    #[test]
    fn what_occurs_more_often_has_no_longer_code() {
        for (what, counts) in all_counts() {
            let occurrences: Vec<_> = codes_for(&counts).symbols.iter().map(|&s| counts[usize::from(s)]).collect();
            assert!(occurrences.is_sorted_by(|a, b| a >= b), "{what}");
        }
    }
}
