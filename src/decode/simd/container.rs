//! An object or array whose end is looked for, a block of bytes at a time.

/// Bytes that are looked at together.
pub(super) const BLOCK: usize = 64;

/// One bit for each byte of a block, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Masks {
    pub(super) quotes: u64,
    pub(super) backslashes: u64,
    /// `{` and `[`.
    pub(super) opens: u64,
    /// `}` and `]`.
    pub(super) closes: u64,
    /// Below a space: line ends and tabs, and what JSON does not allow.
    pub(super) controls: u64,
}

/// Blocks of a value that have a place in its outline: the first 4 KiB.
const OUTLINED: usize = 64;

/// The state of a scan at the beginning of a value's first blocks. It is kept when the value's end has been found, so that a look at
/// a part of the value can begin near by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// The first one is that of a value that begins.
    blocks: [Container; OUTLINED],
    /// Blocks with a known state.
    length: usize,
    has_backslash: bool,
}

impl Default for Outline {
    fn default() -> Outline {
        Outline { blocks: [Container::default(); OUTLINED], length: 0, has_backslash: false }
    }
}

impl Outline {
    /// The last state that is known at or before this position of the value, and its own position.
    pub fn before(&self, position: usize) -> (Container, usize) {
        let number = (position / BLOCK).min(self.length.saturating_sub(1));
        (self.blocks[number], number * BLOCK)
    }

    /// True if there is no backslash before this position of the value; false also if that is not known.
    pub fn has_no_backslash(&self, before: usize) -> bool {
        !self.has_backslash && before <= self.length * BLOCK
    }
}

/// An object or array that has begun and not ended. Brackets are counted, not paired: a value with a wrong closing
/// bracket is not JSON, and ends where the count says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Container {
    depth: u64,
    /// The next byte is inside a string.
    in_string: bool,
    /// The next byte is escaped.
    escaped: bool,
    /// It has a byte below a space.
    has_control: bool,
}

impl Container {
    /// The next byte is directly inside the outermost brackets.
    pub fn is_at_members(&self) -> bool {
        self.depth == 1 && !self.in_string && !self.escaped
    }

    /// The next byte is inside a string.
    pub fn in_string(&self) -> bool {
        self.in_string
    }

    /// A line end, or another byte below a space, has been passed. There is none in what most programs write.
    pub fn has_control(&self) -> bool {
        self.has_control
    }

    #[inline(always)]
    pub(super) fn scan(
        &mut self,
        data: &[u8],
        outline: Option<&mut Outline>,
        masks: impl Fn(&[u8; BLOCK]) -> Masks,
        prefix_xor: impl Fn(u64) -> u64,
    ) -> Option<usize> {
        // A copy can stay in registers.
        let mut here = *self;
        let (blocks, tail) = data.as_chunks::<BLOCK>();
        let mut first = 0;
        if let Some(outline) = outline {
            first = blocks.len().min(OUTLINED);
            let (mut end, mut passed, mut backslashes) = (None, 0, 0);
            for (block, state) in blocks[..first].iter().zip(&mut outline.blocks) {
                *state = here;
                let masks = masks(block);
                backslashes |= masks.backslashes;
                end = here.block(masks, BLOCK, &prefix_xor).map(|end| passed * BLOCK + end);
                passed += 1;
                if end.is_some() {
                    break;
                }
            }
            (outline.length, outline.has_backslash) = (passed, backslashes != 0);
            if end.is_some() {
                *self = here;
                return end;
            }
        }
        for (number, block) in blocks.iter().enumerate().skip(first) {
            if let Some(end) = here.block(masks(block), BLOCK, &prefix_xor) {
                *self = here;
                return Some(number * BLOCK + end);
            }
        }
        let mut end = None;
        if !tail.is_empty() {
            // White space is neutral, inside and outside strings.
            let mut padded = [b' '; BLOCK];
            padded[..tail.len()].copy_from_slice(tail);
            end = here.block(masks(&padded), tail.len(), &prefix_xor);
        }
        *self = here;
        end.map(|end| blocks.len() * BLOCK + end)
    }

    /// Scans the first `length` bytes of a block. Returns the position after the last bracket, if it is there.
    #[inline(always)]
    fn block(&mut self, masks: Masks, length: usize, prefix_xor: impl Fn(u64) -> u64) -> Option<usize> {
        let escaped = self.escapes(masks.backslashes, length);
        let carried = 0u64.wrapping_sub(self.in_string.into());
        // From each opening quote up to, but not including, its closing one.
        let strings = prefix_xor(masks.quotes & !escaped) ^ carried;
        self.in_string = strings >> 63 == 1;
        let (opens, closes) = (masks.opens & !strings, masks.closes & !strings);
        let closing = u64::from(closes.count_ones());
        if self.depth > closing {
            self.depth = self.depth + u64::from(opens.count_ones()) - closing;
            self.has_control |= masks.controls != 0;
            return None;
        }
        let end;
        (self.depth, end) = brackets(self.depth, opens, closes);
        // The bits up to that of the last bracket, which is no control character itself.
        let within = end.map_or(u64::MAX, |end| u64::MAX >> (BLOCK - end));
        self.has_control |= masks.controls & within != 0;
        end
    }

    /// The bytes after a backslash that is not itself escaped.
    #[inline(always)]
    fn escapes(&mut self, backslashes: u64, length: usize) -> u64 {
        let carried = u64::from(self.escaped);
        if backslashes == 0 {
            self.escaped = false;
            return carried;
        }
        const EVEN: u64 = 0x5555_5555_5555_5555;
        let backslashes = backslashes & !carried;
        let behind = backslashes << 1 | carried;
        // Runs of backslashes that begin at an odd position: adding carries through the run to the byte after it, and
        // its parity says whether that byte is escaped.
        let odd_starts = backslashes & !EVEN & !behind;
        let (sum, overflow) = odd_starts.overflowing_add(backslashes);
        let escaped = (EVEN ^ (sum << 1)) & behind;
        self.escaped = if length == BLOCK { overflow } else { escaped >> length & 1 == 1 };
        escaped
    }
}

/// Scans a block in which the value may end, bracket by bracket. Returns the depth after it, or the position after the
/// last bracket.
#[inline(never)]
fn brackets(mut depth: u64, opens: u64, closes: u64) -> (u64, Option<usize>) {
    let mut left = opens | closes;
    while left != 0 {
        let at = left.trailing_zeros();
        left &= left - 1;
        if opens >> at & 1 == 1 {
            depth += 1;
            continue;
        }
        depth = depth.saturating_sub(1);
        if depth == 0 {
            return (depth, Some(at as usize + 1));
        }
    }
    (depth, None)
}
