//! The head of a GIF file: everything before the first frame's indices.

use crate::error::Error;
use crate::limits::Limits;
use crate::pixels::indexed::Palette;

/// The first frame, and where it lies on its canvas.
pub(super) struct Head {
    /// The canvas' size in pixels. Not 0.
    pub width: usize,
    pub height: usize,
    pub frame: Frame,
    pub palette: Palette,
    /// Bits of an index.
    pub index_bits: u32,
    /// Where in the file its data begin.
    pub data: usize,
}

/// Where a frame lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub left: usize,
    pub top: usize,
    /// Not 0.
    pub width: usize,
    pub height: usize,
    pub interlaced: bool,
}

/// Reads a file from its beginning.
struct Reader<'a> {
    source: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let taken = self.source.get(self.at..).and_then(|rest| rest.get(..count)).ok_or(Error::Truncated)?;
        self.at += count;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?[0])
    }

    fn word(&mut self) -> Result<usize, Error> {
        let bytes = self.take(2)?;
        Ok(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
    }

    /// A palette, if a descriptor's flags say that there is one.
    fn palette(&mut self, flags: u8) -> Result<Option<&'a [[u8; 3]]>, Error> {
        if flags & 0x80 == 0 {
            return Ok(None);
        }
        let colours = 2 << (flags & 7);
        Ok(Some(self.take(3 * colours)?.as_chunks().0))
    }

    /// Passes over blocks of data up to the empty one.
    fn skip_blocks(&mut self) -> Result<(), Error> {
        loop {
            let length = self.byte()?;
            if length == 0 {
                return Ok(());
            }
            self.take(usize::from(length))?;
        }
    }
}

/// Reads everything up to the first frame's data.
pub(super) fn read(source: &[u8], limits: &Limits) -> Result<Head, Error> {
    const IMAGE: u8 = 0x2c;
    const EXTENSION: u8 = 0x21;
    const TRAILER: u8 = 0x3b;
    const GRAPHIC_CONTROL: u8 = 0xf9;
    let mut reader = Reader { source, at: 0 };
    let signature = reader.take(6)?;
    let screen = (reader.word()?, reader.word()?);
    let flags = reader.byte()?;
    reader.take(2)?;
    let global = reader.palette(flags)?;
    let mut transparent = None;
    loop {
        match reader.byte()? {
            IMAGE => break,
            EXTENSION => {
                if reader.byte()? == GRAPHIC_CONTROL
                    && let Some(&[4, flags, _, _, index]) = source.get(reader.at..reader.at + 5)
                {
                    transparent = (flags & 1 != 0).then_some(usize::from(index));
                }
                reader.skip_blocks()?;
            }
            TRAILER => return Err(Error::Corrupt("there is no frame".into())),
            // Some programs leave bytes between blocks.
            _ => {}
        }
    }
    let mut frame = Frame {
        left: reader.word()?,
        top: reader.word()?,
        width: reader.word()?,
        height: reader.word()?,
        interlaced: false,
    };
    let flags = reader.byte()?;
    frame.interlaced = flags & 0x40 != 0;
    let palette = reader.palette(flags)?.or(global);
    let index_bits = u32::from(reader.byte()?);
    if !(1..=8).contains(&index_bits) {
        return Err(Error::Corrupt(format!("its indices have {index_bits} bits")));
    }
    let (width, height) = placed(&mut frame, screen, signature == b"GIF87a")?;
    limits.check_pixels(width, height)?;
    limits.check_pixels(frame.width, frame.height)?;
    let covers = frame.left == 0 && frame.top == 0 && frame.width >= width && frame.height >= height;
    let palette = colours(palette, transparent, index_bits, covers);
    Ok(Head { width, height, frame, palette, index_bits, data: reader.at })
}

/// The canvas of the first frame, as browsers have it: the frame's own size if the file is of the version that has no animations, or
/// if the frame is larger; then it lies at the canvas' corner. A frame without a size is as large as the canvas.
fn placed(frame: &mut Frame, screen: (usize, usize), is_first_version: bool) -> Result<(usize, usize), Error> {
    let (mut width, mut height) = screen;
    if frame.width == 0 || frame.height == 0 {
        (frame.width, frame.height) = screen;
    }
    if frame.width == 0 || frame.height == 0 {
        return Err(Error::Corrupt(format!("it declares {} columns and {} rows", frame.width, frame.height)));
    }
    if is_first_version || frame.width > width || frame.height > height {
        (frame.left, frame.top) = (0, 0);
        (width, height) = (frame.width, frame.height);
    }
    Ok((width, height))
}

/// The colours of the indices. One beyond the palette is transparent, as in browsers; without a palette they are shades of grey.
fn colours(palette: Option<&[[u8; 3]]>, transparent: Option<usize>, index_bits: u32, covers: bool) -> Palette {
    let count = palette.map_or(256, <[_]>::len);
    let rgba = std::array::from_fn(|index| {
        if transparent == Some(index) || index >= count {
            return [0; 4];
        }
        let [r, g, b] = palette.map_or([index as u8; 3], |palette| palette[index]);
        [r, g, b, 255]
    });
    let used = 1 << index_bits;
    let alpha = !covers || transparent.is_some_and(|index| index < used) || used > count;
    Palette::new(&rgba, alpha, true)
}
