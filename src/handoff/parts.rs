//! Splits a batch back into frames.
//!
//! A frame that begins with a digit is octet-counted, any other one ends at its line feed: the same rule by which a
//! receiver distinguishes them.

/// The frames, one after another. An incomplete frame comes last, unchanged.
pub fn parts(mut frames: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = length(frames)?;
        let (frame, rest) = frames.split_at(length);
        frames = rest;
        Some(frame)
    })
}

/// The offset at which the second half of the frames begins, and the number of frames before it. None if there are
/// fewer than two.
pub fn middle(frames: &[u8]) -> Option<(usize, u32)> {
    let half = parts(frames).count() / 2;
    let before = u32::try_from(half).ok().filter(|half| *half > 0)?;
    Some((parts(frames).take(half).map(<[u8]>::len).sum(), before))
}

/// None if there is nothing.
fn length(frames: &[u8]) -> Option<usize> {
    let whole = match frames.first()? {
        b'0'..=b'9' => counted(frames),
        _ => memchr::memchr(b'\n', frames).map(|at| at + 1),
    };
    Some(whole.filter(|length| *length <= frames.len()).unwrap_or(frames.len()))
}

fn counted(frames: &[u8]) -> Option<usize> {
    let digits = memchr::memchr(b' ', frames)?;
    let length: usize = std::str::from_utf8(&frames[..digits]).ok()?.parse().ok()?;
    length.checked_add(digits + 1)
}
