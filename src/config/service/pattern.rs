//! A pattern, as a service writes it.

use crate::config::kind::Kind;
use crate::config::node::Node;
use crate::decode::Pattern;

/// A regular expression, searched for anywhere.
pub fn pattern(node: &Node<'_>) -> Option<Pattern> {
    let text = node.text()?;
    Pattern::new(&text)
        .map_err(|cause| {
            let message = format!("{text:?} is not a regular expression: {cause}");
            node.error(
                Kind::Invalid,
                message,
                "the pattern is one of Python's, and is searched for anywhere",
            );
        })
        .ok()
}
