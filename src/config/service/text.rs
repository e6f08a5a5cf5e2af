//! A text that must not be empty.

use crate::config::kind::Kind;
use crate::config::node::Node;

pub(super) fn text(node: &Node<'_>) -> Option<String> {
    let text = node.text()?;
    if text.is_empty() {
        node.error(Kind::Invalid, "is empty", "");
        return None;
    }
    Some(text)
}
