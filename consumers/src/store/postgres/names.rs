//! What things are called in PostgreSQL: identifiers of at most 63 bytes, always quoted, so that national names keep their
//! letters.

use kenh_domain::names::Agency;
use sha2::{Digest as _, Sha256};

use super::super::{CopyId, Generation};

/// Longest identifier of PostgreSQL (`NAMEDATALEN` less one); it cuts longer ones without saying so.
const MAX_BYTES: usize = 63;
/// Hexadecimal digits of the hash that stands for what was cut.
const HASH_DIGITS: usize = 8;

/// The record key, its bytes.
pub(super) const KEY: &str = "_kenh_key";
/// The value as received.
pub(super) const VALUE: &str = "_kenh_value";
/// Fields of the row that SQL cannot hold.
pub(super) const UNSHOWN: &str = "_kenh_unshown";

/// What an agency can ask about its tables.
pub(super) const COPIES: &str = "kenh_copies";

/// Columns that every table has by itself (PostgreSQL, "System Columns") and ours.
const TAKEN: [&str; 9] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid", KEY, VALUE, UNSHOWN];

/// An identifier, quoted.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a literal, for the statements that take no parameters. Characters that PostgreSQL has no text of are left out.
pub(super) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\0', "").replace('\\', "\\\\").replace('\'', "''"))
}

/// `name` where it fits, and else its front and a hash of the whole.
fn fit(name: &str, force: bool) -> String {
    if name.len() <= MAX_BYTES && !force {
        return name.to_owned();
    }
    let mut front = MAX_BYTES - HASH_DIGITS - 1;
    while !name.is_char_boundary(front.min(name.len())) {
        front -= 1;
    }
    let hash: String =
        Sha256::digest(name.as_bytes()).iter().take(HASH_DIGITS / 2).map(|b| format!("{b:02x}")).collect();
    format!("{}_{hash}", name.get(..front).unwrap_or(name))
}

/// The column of a field: its name, with a hash where it is too long or taken.
pub(super) fn column(field: &str) -> String {
    fit(field, TAKEN.contains(&field))
}

/// The table of a copy: the dataset, and the view unless it is `main`, with `_` for hyphens, so that whoever writes SQL
/// quotes less. Where that would be ambiguous a hash tells them apart.
pub(super) fn table(copy: &CopyId) -> String {
    let (dataset, view) = (copy.dataset.as_str(), copy.view.as_str());
    let whole = if view == "main" { dataset.to_owned() } else { format!("{dataset}__{view}") };
    let ambiguous = dataset.contains("--") || dataset.ends_with('-') || view.contains("--");
    fit(&whole, ambiguous || whole == COPIES.replace('_', "-")).replace('-', "_")
}

/// The table of a generation that is not shown; no dataset's table begins with `_`.
pub(super) fn hidden(generation: Generation) -> String {
    format!("_g{generation}")
}

/// The schema in which an agency finds its tables, unless it chose another.
pub(super) fn schema_of(agency: &Agency) -> String {
    fit(&format!("kenh_{}", agency.as_str().to_lowercase()).replace('-', "_"), false)
}

/// The schema beside it that is nobody's but ours.
pub(super) fn internal(schema: &str) -> String {
    let name = format!("{schema}_internal");
    fit(&name, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kenh_domain::names::{Dataset, View};

    fn named(dataset: &str, view: &str) -> String {
        table(&CopyId { dataset: Dataset::new(dataset).unwrap(), view: View::new(view).unwrap() })
    }

    #[test]
    fn a_table_is_called_as_its_dataset_and_no_two_alike() {
        assert_eq!(named("don-vi-hanh-chinh", "main"), "don_vi_hanh_chinh");
        assert_eq!(named("dan-cu", "phu"), "dan_cu__phu");
        assert_ne!(named("a--b", "main"), named("a", "b"));
        assert_ne!(named("a-", "b"), named("a---b", "main"));
        let long = "d".repeat(48);
        let tables = [named(&long, &"v".repeat(48)), named(&long, &"v".repeat(47))];
        assert!(tables.iter().all(|table| table.len() == MAX_BYTES) && tables[0] != tables[1], "{tables:?}");
    }

    #[test]
    fn a_column_keeps_its_name_unless_it_cannot() {
        assert_eq!(column("SoDinhDanh"), "SoDinhDanh");
        assert!(column("ctid").starts_with("ctid_") && column("_kenh_key") != KEY);
        let long = "Ten".repeat(40);
        assert!(column(&long).len() == MAX_BYTES && column(&long) != column(&format!("{long}2")));
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's \\ \0x"), "E'it''s \\\\ x'");
    }
}
