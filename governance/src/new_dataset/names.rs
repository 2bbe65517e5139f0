//! Names for the bus out of names for people.

use std::path::Path;

use kenh_domain::limits::MAX_NAME_BYTES;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Letters without their marks: `Đường` is `Duong`.
fn plain(text: &str) -> String {
    let letter = |c| match c {
        'đ' => 'd',
        'Đ' => 'D',
        other => other,
    };
    text.nfd().filter(|c| !is_combining_mark(*c)).map(letter).collect()
}

/// The words of a text: runs of ASCII letters and digits, once marks are gone.
fn words(text: &str) -> Vec<String> {
    let plain = plain(text);
    plain.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

/// Words joined, each with a capital: `Mã số thuế` is `MaSoThue`. Never starts with a digit; empty if there is no word.
pub fn joined(text: &str) -> String {
    let mut out = String::new();
    for word in words(text) {
        let (first, rest) = word.split_at(1);
        out.push_str(&first.to_ascii_uppercase());
        out.push_str(rest);
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) { format!("Cot{out}") } else { out }
}

/// Field names for headers: valid in Avro, and each once.
pub fn fields(headers: &[String]) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(headers.len());
    for (number, header) in (1..).zip(headers.iter().map(|h| h.trim())) {
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let good = header.bytes().all(is_name) && header.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let base = match joined(header) {
            _ if good => header.to_owned(),
            empty if empty.is_empty() => format!("Cot{number}"),
            name => name,
        };
        let taken = |name: &str| out.iter().any(|o| o.eq_ignore_ascii_case(name));
        let numbered = (2..).map(|n| format!("{base}_{n}"));
        let name = std::iter::once(base.clone()).chain(numbered).find(|name| !taken(name));
        out.push(name.unwrap_or(base));
    }
    out
}

/// A dataset's name out of a file's: `Hộ kinh doanh 2025.csv` is `ho-kinh-doanh-2025`.
pub fn dataset(file: &Path) -> String {
    let stem = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let mut name = words(&stem).join("-").to_ascii_lowercase();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name = if name.is_empty() { "du-lieu".to_owned() } else { format!("du-lieu-{name}") };
    }
    name.truncate(MAX_NAME_BYTES);
    name.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_become_names_and_each_only_once() {
        let headers = [
            "Mã số thuế",
            "Tên  hộ (đầy đủ)",
            "full_name",
            "2025",
            "",
            "Ma so thue",
            "ĐƯỜNG",
            "日本",
            "a.b",
            "FULL_NAME",
        ];
        let names = fields(&headers.map(str::to_owned));
        assert_eq!(
            names,
            [
                "MaSoThue",
                "TenHoDayDu",
                "full_name",
                "Cot2025",
                "Cot5",
                "MaSoThue_2",
                "DUONG",
                "Cot8",
                "AB",
                "FULL_NAME_2"
            ]
        );
    }

    #[test]
    fn a_decomposed_header_gives_the_same_name() {
        assert_eq!(joined("Mã số thuế"), joined(&"Mã số thuế".nfd().collect::<String>()));
    }

    #[test]
    fn a_file_gives_a_dataset_name() {
        for (file, name) in [
            ("Hộ kinh doanh 2025.csv", "ho-kinh-doanh-2025"),
            ("/tmp/x/Đất_đai.v2.csv", "dat-dai-v2"),
            ("2025.csv", "du-lieu-2025"),
            ("日本.csv", "du-lieu"),
        ] {
            assert_eq!(dataset(Path::new(file)), name);
            assert!(kenh_domain::names::Dataset::new(name).is_ok());
        }
        let long = dataset(Path::new(&"ab ".repeat(40)));
        assert!(long.len() <= MAX_NAME_BYTES && kenh_domain::names::Dataset::new(&long).is_ok(), "{long}");
    }
}
