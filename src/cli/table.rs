//! A plain table for standard output: columns without lines, as wide as their content.

use comfy_table::{ContentArrangement, Table, presets};

/// Creates an empty table.
pub fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table
}
