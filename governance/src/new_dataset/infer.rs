//! What type a column has, judged by all of its cells.
//!
//! A type must fit every cell that is not empty. Where several would, the order is boolean, whole number, number, date;
//! otherwise it is text. `1.500` is a number with a fraction, unless some cell of the column shows that points stand
//! between thousands (`1.500.000`, `1.500,5`). `có` and `không`, `yes` and `no` are booleans where both occur. Whole numbers that look like codes are text, because a number loses a leading zero for good and
//! a text loses nothing: one cell with a leading zero, or digits of one width that is [`CODE_DIGITS`] or more in every row.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use kenh_domain::date;
use unicode_normalization::is_nfc;

/// Digits from which a column of one width is taken for codes (tax codes have 10, personal IDs 12).
pub const CODE_DIGITS: usize = 8;

/// A type that a column may have, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Text, though all digits.
    Code,
    /// A whole number of 64 bits.
    Whole,
    /// A whole number with points between thousands.
    PointedWhole,
    /// A number with a decimal point.
    Number,
    /// A number with a decimal comma, and points between thousands.
    CommaNumber,
    /// One of two words, as they are written in the file.
    Boolean {
        /// What means true.
        yes: Vec<String>,
        /// What means false.
        no: Vec<String>,
    },
    /// A date as `YYYY-MM-DD`.
    Date,
    /// A date as `dd/mm/yyyy`, also with one digit for day and month.
    VietnameseDate,
}

impl fmt::Display for Kind {
    /// A word for people: `text`, `code`, `whole number`, `number`, `boolean`, `date`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Code => "code",
            Self::Whole | Self::PointedWhole => "whole number",
            Self::Number | Self::CommaNumber => "number",
            Self::Boolean { .. } => "boolean",
            Self::Date | Self::VietnameseDate => "date",
        })
    }
}

/// Words that mean true and false, in pairs.
const BOOLEANS: [(&str, &str); 3] = [("true", "false"), ("có", "không"), ("yes", "no")];

/// Most spellings of a boolean: `true`, `True` and `TRUE`, and no nonsense.
const MAX_SPELLINGS: usize = 8;

/// What is known of a column so far.
#[derive(Debug)]
pub struct Column {
    filled: u64,
    empty: u64,
    not_nfc: u64,
    /// Which of [`BOOLEANS`] every cell so far belongs to, and the spellings met.
    boolean: Option<usize>,
    yes: BTreeSet<String>,
    no: BTreeSet<String>,
    no_boolean: bool,
    whole: bool,
    /// Whether every cell is a number in the form with a decimal comma, and whether some cell can be no other.
    comma: bool,
    has_comma: bool,
    many_points: bool,
    number: bool,
    iso: bool,
    vietnamese: bool,
    leading_zero: bool,
    /// The width of every cell so far, if they share one.
    width: Option<usize>,
    one_width: bool,
    /// Hashes of the cells, while none stood twice.
    seen: Option<HashSet<u64>>,
}

/// A hash of a cell or of the cells of a key. Equal hashes of unequal cells only make a column look repeated.
pub fn hash<'a>(cells: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    cells.into_iter().for_each(|cell| cell.hash(&mut hasher));
    hasher.finish()
}

impl Column {
    /// Of which nothing is known.
    pub fn new() -> Self {
        Self {
            filled: 0,
            empty: 0,
            not_nfc: 0,
            boolean: None,
            yes: BTreeSet::new(),
            no: BTreeSet::new(),
            no_boolean: false,
            whole: true,
            comma: true,
            has_comma: false,
            many_points: false,
            number: true,
            iso: true,
            vietnamese: true,
            leading_zero: false,
            width: None,
            one_width: true,
            seen: Some(HashSet::new()),
        }
    }

    /// Takes in a cell, without spaces around it.
    pub fn take(&mut self, cell: &str) {
        if cell.is_empty() {
            self.empty += 1;
            self.seen = None;
            return;
        }
        self.filled += 1;
        self.not_nfc += u64::from(!is_nfc(cell));
        self.take_boolean(cell);
        self.comma &= is_comma_number(cell);
        self.has_comma |= cell.contains(',');
        self.many_points |= cell.bytes().filter(|b| *b == b'.').count() > 1;
        self.number &= is_number(cell);
        self.whole &= is_whole(cell);
        self.iso &= date::parse(cell).is_some();
        self.vietnamese &= vietnamese_date(cell).is_some();
        let mut digits = cell.strip_prefix('-').unwrap_or(cell).bytes();
        self.leading_zero |= digits.next() == Some(b'0') && digits.next().is_some_and(|b| b.is_ascii_digit());
        self.one_width &= *self.width.get_or_insert(cell.len()) == cell.len();
        if self.seen.as_mut().is_some_and(|seen| !seen.insert(hash([cell]))) {
            self.seen = None;
        }
    }

    fn take_boolean(&mut self, cell: &str) {
        // A longer text is none of the words; lowering it would cost more than it tells.
        if self.no_boolean || cell.len() > 16 {
            self.no_boolean = true;
            return;
        }
        let word = cell.to_lowercase();
        let found = (0..).zip(BOOLEANS).find_map(|(pair, (yes, no))| {
            if word == yes { Some((pair, true)) } else { (word == no).then_some((pair, false)) }
        });
        let Some((pair, truth)) = found else {
            self.no_boolean = true;
            return;
        };
        self.no_boolean |= *self.boolean.get_or_insert(pair) != pair;
        let spellings = if truth { &mut self.yes } else { &mut self.no };
        spellings.insert(cell.to_owned());
        self.no_boolean |= spellings.len() > MAX_SPELLINGS;
    }

    fn is_boolean(&self) -> bool {
        // `Không` alone is a remark as likely as an answer; `true` alone is not.
        let certain = self.boolean == Some(0) || (!self.yes.is_empty() && !self.no.is_empty());
        self.boolean.is_some() && !self.no_boolean && certain
    }

    /// Stops looking for repeated cells.
    pub fn give_up_uniqueness(&mut self) {
        self.seen = None;
    }

    /// Whether every row has a value and none stands twice.
    pub fn is_unique(&self) -> bool {
        self.filled > 0 && self.empty == 0 && self.seen.is_some()
    }

    /// Whether no row has a value.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Whether some row has no value, or there is no row.
    pub fn has_empty(&self) -> bool {
        self.empty > 0 || self.filled == 0
    }

    /// Cells that are not in Unicode form NFC.
    pub fn not_nfc(&self) -> u64 {
        self.not_nfc
    }

    /// Its type.
    pub fn kind(&self) -> Kind {
        let codes = self.leading_zero || (self.one_width && self.width.is_some_and(|w| w >= CODE_DIGITS));
        let spellings = |of: &BTreeSet<String>| of.iter().cloned().collect();
        match self {
            _ if self.filled == 0 => Kind::Text,
            _ if self.is_boolean() => Kind::Boolean { yes: spellings(&self.yes), no: spellings(&self.no) },
            Self { whole: true, .. } | Self { number: true, leading_zero: true, .. } if codes => Kind::Code,
            Self { whole: true, .. } => Kind::Whole,
            Self { number: true, .. } => Kind::Number,
            Self { comma: true, leading_zero: false, has_comma: true, .. } => Kind::CommaNumber,
            Self { comma: true, leading_zero: false, many_points: true, .. } => Kind::PointedWhole,
            Self { iso: true, .. } => Kind::Date,
            Self { vietnamese: true, .. } => Kind::VietnameseDate,
            _ => Kind::Text,
        }
    }
}

/// A whole number as people write one, of at most 64 bits.
fn is_whole(cell: &str) -> bool {
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && cell.parse::<i64>().is_ok()
}

/// Digits with at most one decimal point between them.
fn is_number(cell: &str) -> bool {
    let number = cell.strip_prefix('-').unwrap_or(cell);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    // More digits than a double holds would not come back as they were.
    number.bytes().filter(u8::is_ascii_digit).count() <= 15
        && match number.split_once('.') {
            Some((whole, fraction)) => digits(whole) && digits(fraction),
            None => digits(number),
        }
}

/// Digits with a decimal comma or without, and with points between all thousands or without.
fn is_comma_number(cell: &str) -> bool {
    let number = cell.strip_prefix('-').unwrap_or(cell);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = number.split_once(',').unwrap_or((number, "0"));
    let groups: Vec<&str> = whole.split('.').collect();
    let grouped = groups.len() == 1
        || (groups.iter().skip(1).all(|g| g.len() == 3) && groups.first().is_some_and(|g| (1..=3).contains(&g.len())));
    number.bytes().filter(u8::is_ascii_digit).count() <= 15
        && digits(fraction)
        && groups.into_iter().all(digits)
        && grouped
}

/// Days since 1970 of a `dd/mm/yyyy` that is on the calendar.
fn vietnamese_date(cell: &str) -> Option<i32> {
    let parts: Vec<&str> = cell.split('/').collect();
    let [day, month, year] = parts.as_slice() else { return None };
    let fits = |part: &str, least: usize, most: usize| {
        (least..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
    };
    if !fits(day, 1, 2) || !fits(month, 1, 2) || !fits(year, 4, 4) {
        return None;
    }
    date::parse(&format!("{year}-{month:0>2}-{day:0>2}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(cells: &[&str]) -> Kind {
        let mut column = Column::new();
        cells.iter().for_each(|c| column.take(c));
        column.kind()
    }

    fn boolean(yes: &[&str], no: &[&str]) -> Kind {
        let own = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect();
        Kind::Boolean { yes: own(yes), no: own(no) }
    }

    #[test]
    fn a_type_fits_every_cell() {
        for (cells, want) in [
            (&["1", "-20", "", "300"][..], Kind::Whole),
            (&["0", "7"], Kind::Whole),
            (&["01", "79"], Kind::Code),
            (&["-07", "79"], Kind::Code),
            (&["20250701", "20250702"], Kind::Code),
            (&["12345678", "123456789"], Kind::Whole),
            (&["99999999999999999999", "1"], Kind::Text),
            (&["1.5", "2"], Kind::Number),
            (&["1.500", "2.250"], Kind::Number),
            (&["0.5", "-0.25"], Kind::Number),
            (&["01.5", "2"], Kind::Code),
            (&["1.500", "1.500.000", "7"], Kind::PointedWhole),
            (&["1.5", "1.500.000"], Kind::Text),
            (&["3,14", "2"], Kind::CommaNumber),
            (&["0,5", "-1.500,25"], Kind::CommaNumber),
            (&["1,500,000"], Kind::Text),
            (&["03,14"], Kind::Text),
            (&["3,14", "2.5"], Kind::Text),
            (&["1e3"], Kind::Text),
            (&["NaN"], Kind::Text),
            (&["1."], Kind::Text),
            (&[",5"], Kind::Text),
            (&["0.12345678901234567"], Kind::Text),
            (&["true", "FALSE", "true", ""], boolean(&["true"], &["FALSE"])),
            (&["true"], boolean(&["true"], &[])),
            (&["Có", "Không", "có"], boolean(&["Có", "có"], &["Không"])),
            (&["Không"], Kind::Text),
            (&["yes", "không"], Kind::Text),
            (&["true", "1"], Kind::Text),
            (&["2025-07-01", "2024-02-29"], Kind::Date),
            (&["2025-07-01", "2025-02-29"], Kind::Text),
            (&["01/07/2025", "1/7/2025", "29/2/2024"], Kind::VietnameseDate),
            (&["12/31/2025"], Kind::Text),
            (&["01/07/25"], Kind::Text),
            (&["2025-07-01", "01/07/2025"], Kind::Text),
            (&["", ""], Kind::Text),
            (&[], Kind::Text),
            (&["một"], Kind::Text),
        ] {
            assert_eq!(kind(cells), want, "{cells:?}");
        }
    }

    #[test]
    fn a_column_is_unique_when_every_row_has_its_own_value() {
        for (cells, unique) in [(&["a", "b"][..], true), (&["a", "b", "a"], false), (&["a", ""], false), (&[], false)] {
            let mut column = Column::new();
            cells.iter().for_each(|c| column.take(c));
            assert_eq!(column.is_unique(), unique, "{cells:?}");
        }
    }
}
