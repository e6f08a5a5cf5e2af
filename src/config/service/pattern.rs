//! A pattern, as a service writes it.

use crate::config::kind::Kind;
use crate::config::node::Node;
use crate::decode::Pattern;

/// Reads a regular expression, which is searched for anywhere.
pub fn pattern(node: &Node<'_>) -> Option<Pattern> {
    let text = node.text()?;
    Pattern::new(&text)
        .map_err(|cause| {
            let message = format!("{text:?} is not a regular expression: {cause}");
            node.error(
                Kind::Invalid,
                message,
                "patterns have Python's syntax, and are searched for anywhere",
            );
        })
        .ok()
}
