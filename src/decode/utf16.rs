//! UTF-16 with a byte order mark -> UTF-8.

/// The byte order of a code unit, from the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

/// Converts a text chunk by chunk. Half a surrogate pair becomes U+FFFD.
pub(super) struct Utf16 {
    order: Order,
    /// The first byte of a code unit whose second one has not arrived.
    odd: Option<u8>,
    /// The first half of a surrogate pair.
    high: Option<u16>,
    text: Vec<u8>,
}

impl Utf16 {
    /// `order` is that of the mark, which is not part of the text.
    pub fn new(order: Order) -> Self {
        Utf16 { order, odd: None, high: None, text: Vec::new() }
    }

    /// Converts the next bytes to UTF-8.
    pub fn convert(&mut self, mut data: &[u8]) -> &[u8] {
        self.text.clear();
        if let (Some(first), Some((&second, rest))) = (self.odd, data.split_first()) {
            self.odd = None;
            data = rest;
            self.unit([first, second]);
        }
        let (units, rest) = data.as_chunks::<2>();
        units.iter().for_each(|unit| self.unit(*unit));
        self.odd = rest.first().copied().or(self.odd);
        &self.text
    }

    /// Ends the text and returns its rest.
    pub fn finish(&mut self) -> &[u8] {
        self.text.clear();
        if self.high.take().is_some() || self.odd.take().is_some() {
            self.push(char::REPLACEMENT_CHARACTER);
        }
        &self.text
    }

    fn unit(&mut self, bytes: [u8; 2]) {
        let unit = match self.order {
            Order::Little => u16::from_le_bytes(bytes),
            Order::Big => u16::from_be_bytes(bytes),
        };
        if is_high(unit) {
            if self.high.replace(unit).is_some() {
                self.push(char::REPLACEMENT_CHARACTER);
            }
            return;
        }
        let units = self.high.take().into_iter().chain([unit]);
        for decoded in char::decode_utf16(units) {
            self.push(decoded.unwrap_or(char::REPLACEMENT_CHARACTER));
        }
    }

    fn push(&mut self, character: char) {
        self.text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

fn is_high(unit: u16) -> bool {
    (0xd800..0xdc00).contains(&unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn converted(units: &[u16], order: Order, size: usize) -> String {
        let bytes = |unit: &u16| if order == Order::Little { unit.to_le_bytes() } else { unit.to_be_bytes() };
        let data: Vec<u8> = units.iter().flat_map(bytes).collect();
        let mut utf16 = Utf16::new(order);
        let mut text = Vec::new();
        data.chunks(size).for_each(|chunk| text.extend_from_slice(utf16.convert(chunk)));
        text.extend_from_slice(utf16.finish());
        String::from_utf8(text).unwrap()
    }

    proptest! {
        #[test]
        fn is_what_the_standard_library_makes_of_it(
            units in prop::collection::vec(prop_oneof![any::<u16>(), 0xd7f0u16..0xe010, 0u16..128], 0..60),
            little in any::<bool>(), size in 1usize..9,
        ) {
            let order = if little { Order::Little } else { Order::Big };
            prop_assert_eq!(converted(&units, order, size), String::from_utf16_lossy(&units));
        }
    }
}
