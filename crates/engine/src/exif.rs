//! The only thing read from Exif is the orientation. Everything else (GPS!) is dropped.

/// How a stored picture must be turned to be upright: Exif tag 0x0112, values 1 to 8 (Exif 2.32, 4.6.4 A).
///
/// Each is an optional exchange of rows and columns followed by optional mirrorings, the form in which it is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Orientation {
    /// Rows become columns, before the mirrorings.
    pub transpose: bool,
    /// Left and right are swapped, in the upright picture.
    pub flip_x: bool,
    /// Top and bottom are swapped, in the upright picture.
    pub flip_y: bool,
}

impl Orientation {
    /// `None` for a value that Exif does not define.
    pub fn from_exif(value: u16) -> Option<Self> {
        let (transpose, flip_x, flip_y) = match value {
            1 => (false, false, false),
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => return None,
        };
        Some(Self { transpose, flip_x, flip_y })
    }

    /// The value of Exif's tag, 1 to 8.
    pub fn to_exif(self) -> u16 {
        (1..=8).find(|&value| Self::from_exif(value) == Some(self)).unwrap_or(1)
    }
}

/// The orientation in an APP1 segment's payload, if it is Exif and has one. Damaged Exif is ignored, so
/// that it does not prevent a thumbnail.
pub(crate) fn orientation(app1: &[u8]) -> Option<Orientation> {
    orientation_in_tiff(app1.strip_prefix(b"Exif\0\0")?)
}

/// The orientation in Exif without its name, as containers have it that name their parts.
pub(crate) fn orientation_in_tiff(tiff: &[u8]) -> Option<Orientation> {
    let big_endian = match tiff.get(..4)? {
        b"MM\0*" => true,
        b"II*\0" => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let bytes: [u8; 2] = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let u32_at = |at: usize| {
        let bytes: [u8; 4] = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    const ORIENTATION: u16 = 0x0112;
    const ENTRY_BYTES: usize = 12;
    const TYPE_SHORT: u16 = 3;
    let directory = usize::try_from(u32_at(4)?).ok()?;
    let entries = usize::from(u16_at(directory)?);
    for entry in 0..entries {
        let at = directory.checked_add(2 + entry * ENTRY_BYTES)?;
        if u16_at(at)? == ORIENTATION {
            // A SHORT stands in the value's first two bytes; some programs write a LONG, whose low half it is.
            let value =
                if u16_at(at + 2)? == TYPE_SHORT { u16_at(at + 8)? } else { u32_at(at + 8)?.try_into().ok()? };
            return Orientation::from_exif(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exif(big_endian: bool, value: u16) -> Vec<u8> {
        let mut app1 = b"Exif\0\0".to_vec();
        if big_endian {
            app1.extend(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01");
            app1.extend(value.to_be_bytes());
        } else {
            app1.extend(b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0");
            app1.extend(value.to_le_bytes());
        }
        app1.extend([0; 6]);
        app1
    }

    #[test]
    fn both_byte_orders_and_all_values() {
        for big_endian in [true, false] {
            for value in 1..=8 {
                let found = orientation(&exif(big_endian, value)).unwrap();
                assert_eq!(found.to_exif(), value);
            }
            assert_eq!(orientation(&exif(big_endian, 0)), None);
            assert_eq!(orientation(&exif(big_endian, 9)), None);
        }
    }

    #[test]
    fn damaged_exif_is_no_exif() {
        let whole = exif(true, 6);
        for cut in 0..whole.len() - 6 {
            assert_eq!(orientation(&whole[..cut]), None, "cut at {cut}");
        }
        let mut far = whole;
        far[10..14].fill(0xff);
        assert_eq!(orientation(&far), None);
    }
}
