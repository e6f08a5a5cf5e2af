//! Places in a listing, as a checkpoint has them.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A place inside a listing, as the text of a checkpoint.
pub fn place_text(place: &impl Serialize) -> String {
    serde_json::to_string(place).unwrap_or_default()
}

/// Reads what [`place_text`] wrote. None: the checkpoint has no such place.
pub fn read_place<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}
