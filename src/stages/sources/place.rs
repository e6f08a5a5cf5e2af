//! Places in a listing, as a checkpoint has them.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A position inside a listing, as the text of a checkpoint.
pub fn place_text(place: &impl Serialize) -> String {
    serde_json::to_string(place).unwrap_or_default()
}

/// Parses the text of [`place_text`]. None if the checkpoint has no such position.
pub fn read_place<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}
