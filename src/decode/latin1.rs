//! Latin-1 text -> UTF-8.

/// Converts chunk by chunk: in Latin-1 every byte is the character of its number.
#[derive(Default)]
pub(super) struct Latin1 {
    converted: Vec<u8>,
}

impl Latin1 {
    /// The chunk in UTF-8; plain ASCII is not copied.
    pub fn convert<'t>(&'t mut self, chunk: &'t [u8]) -> &'t [u8] {
        if chunk.is_ascii() {
            return chunk;
        }
        self.converted.clear();
        chunk.iter().for_each(|&byte| push_char(&mut self.converted, byte));
        &self.converted
    }
}

/// The character with this number.
pub(super) fn push_char(text: &mut Vec<u8>, number: u8) {
    text.extend_from_slice(char::from(number).encode_utf8(&mut [0; 2]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_a_character() {
        let all: Vec<u8> = (0..=255).collect();
        let text: String = all.iter().map(|&byte| char::from(byte)).collect();
        assert_eq!(Latin1::default().convert(&all), text.as_bytes());
        assert_eq!(Latin1::default().convert(b"caf\xe9"), "café".as_bytes());
    }
}
