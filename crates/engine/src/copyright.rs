//! Whose a picture is.

/// Most bytes that are kept of the photographer's name, and as many of who has the rights.
pub(crate) const MAX_TEXT_BYTES: usize = 1024;

/// Whose a picture is: what a thumbnail may keep of its source, if the caller wants it. Each at most [`MAX_TEXT_BYTES`] long, in
/// whatever encoding the file has it; empty: the file says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copyright {
    /// Who made it (Exif's Artist, Dublin Core's creator).
    pub artist: Vec<u8>,
    /// Who has the rights in it (Exif's Copyright, Dublin Core's rights).
    pub rights: Vec<u8>,
}

/// A text without the zeros and spaces at its end, and not too long.
pub(crate) fn shortened(text: &[u8]) -> Vec<u8> {
    let mut text = &text[..text.len().min(MAX_TEXT_BYTES)];
    // Not in the middle of a character of UTF-8.
    if let Err(error) = std::str::from_utf8(text)
        && error.error_len().is_none()
    {
        text = &text[..error.valid_up_to()];
    }
    let end = text.iter().rposition(|&byte| byte != 0 && byte != b' ').map_or(0, |last| last + 1);
    text[..end].to_vec()
}
