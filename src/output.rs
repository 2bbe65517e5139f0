//! Results to stdout, everything else to stderr; the only file that prints.

use std::fmt::Display;
use std::io::Write;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent};
use serde::Serialize;

/// A line for people, on stderr.
pub fn note(line: impl Display) {
    // A closed stderr is no reason to stop working.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A line of a result, on stdout. A closed pipe (`kenh … | head`) ends the process quietly.
pub fn line(line: impl Display) {
    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// A JSON document on stdout.
pub fn json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => line(text),
        Err(e) => note(format_args!("this result cannot be written as JSON: {e}")),
    }
}

/// A table on stdout. Columns whose name ends in `#` hold numbers and are aligned right; the mark is not shown.
pub fn table(columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    // One line under the heads and none between rows: a table that can be pasted and cut by columns.
    table.set_style(TableComponent::HeaderLines, '─').set_style(TableComponent::MiddleHeaderIntersections, '─');
    table.set_header(columns.iter().map(|c| c.trim_end_matches('#')));
    for row in rows {
        table.add_row(row);
    }
    for (i, name) in columns.iter().enumerate() {
        if name.ends_with('#')
            && let Some(column) = table.column_mut(i)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    line(table.trim_fmt());
}

/// A whole number with its thousands apart, as people read it.
#[must_use]
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_apart() {
        for (n, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (14_149, "14,149"), (1_234_567, "1,234,567")] {
            assert_eq!(super::thousands(n), text);
        }
    }
}
