//! Data elements: identifiers and codes that many datasets share, each with one validator, what it is in English and
//! Vietnamese, and made-up values of it. `docs/dictionary.md` is this table, for people.
//!
//! Sources: the identifier rules in force in Việt Nam (personal ID: Luật Căn cước; tax code: the check digit of the tax
//! administration; administrative units: the General Statistics Office's codes; citizen message: QCVN 109:2017/BTTTT).

use crate::rule::{Lang, Rule};

/// The 63 provinces of the time before 1 July 2025 (the General Statistics Office's list by QĐ 124/2004/QĐ-TTg as amended),
/// whose codes stand in personal IDs and health-insurance cards for ever. The 34 since then kept codes of these.
const OLD_PROVINCES: [u8; 63] = [
    1, 2, 4, 6, 8, 10, 11, 12, 14, 15, 17, 19, 20, 22, 24, 25, 26, 27, 30, 31, 33, 34, 35, 36, 37, 38, 40, 42, 44, 45,
    46, 48, 49, 51, 52, 54, 56, 58, 60, 62, 64, 66, 67, 68, 70, 72, 74, 75, 77, 79, 80, 82, 83, 84, 86, 87, 89, 91, 92,
    93, 94, 95, 96,
];

macro_rules! elements {
    ($($variant:ident $name:literal [$($sample:literal),*] { en: $en:literal, vi: $vi:literal })*) => {
        /// A data element.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Element { $(#[doc = $en] $variant,)* }

        impl Element {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name by which a contract calls it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What its values are, as a phrase without a full stop: what to tell whoever sent another.
            #[must_use]
            pub const fn form(self, lang: Lang) -> &'static str {
                match (self, lang) { $((Self::$variant, Lang::En) => $en, (Self::$variant, Lang::Vi) => $vi,)* }
            }

            /// Made-up values of it, valid and nobody's; at least one. The first of each element fit together in one
            /// record (sex and year of birth are those of the personal ID).
            #[must_use]
            pub const fn samples(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($sample),*],)* }
            }
        }
    };
}

elements! {
    PersonalId "personal-id" ["079085000001", "001204000002"] {
        en: "personal ID, 12 digits: province of birth registration (`0` and an old province code), century and sex, year, number",
        vi: "số định danh cá nhân, 12 chữ số: nơi đăng ký khai sinh (`0` và mã tỉnh cũ), thế kỷ và giới tính, năm sinh, số thứ tự" }
    OldIdCard "old-id-card" ["000000001"] {
        en: "number of the old ID card, 9 digits",
        vi: "số chứng minh nhân dân cũ, 9 chữ số" }
    TaxCode "tax-code" ["0100109106"] {
        en: "tax code, 10 digits with a check digit, or 13 as 10, a hyphen and 001 to 999",
        vi: "mã số thuế, 10 chữ số có chữ số kiểm tra, hoặc 13 chữ số: 10 số, dấu gạch nối và 001 đến 999" }
    UnitCode "unit-code" ["79"] {
        en: "code of an administrative unit: 2, 3 or 5 digits with leading zeros",
        vi: "mã đơn vị hành chính: 2, 3 hoặc 5 chữ số, giữ số 0 ở đầu" }
    ProvinceCode "province-code" ["79"] {
        en: "code of a province, 2 digits: one of the 63 before 1 July 2025, of which the 34 since then kept theirs",
        vi: "mã tỉnh, thành phố, 2 chữ số: một trong 63 mã trước ngày 01/7/2025; 34 tỉnh, thành phố hiện nay giữ mã trong số đó" }
    CommuneCode "commune-code" ["26740"] {
        en: "code of a commune, 5 digits",
        vi: "mã đơn vị cấp xã, 5 chữ số" }
    AgencyCode "agency-code" ["H29.5.1"] {
        en: "code of an agency: `G` or `H` and 2 digits, then up to three parts of 1 to 3 digits",
        vi: "mã cơ quan: `G` hoặc `H` và 2 chữ số, sau đó tối đa ba phần gồm 1 đến 3 chữ số" }
    SocialInsuranceNo "social-insurance-no" ["0000000001"] {
        en: "social insurance number, 10 digits",
        vi: "mã số bảo hiểm xã hội, 10 chữ số" }
    HealthInsuranceCard "health-insurance-card" ["DN4790000000001"] {
        en: "number of a health-insurance card, 15 characters: 2 letters, a digit, an old province code, 10 digits",
        vi: "số thẻ bảo hiểm y tế, 15 ký tự: 2 chữ cái, 1 chữ số, mã tỉnh cũ, 10 chữ số" }
    HealthFacility "health-facility" ["79024"] {
        en: "code of a health facility, 5 characters: an old province code, a digit or capital letter, 2 digits",
        vi: "mã cơ sở khám chữa bệnh, 5 ký tự: mã tỉnh cũ, một chữ số hoặc chữ in hoa, 2 chữ số" }
    Phone "phone" ["0900000001"] {
        en: "mobile number: 0, one of 3 5 7 8 9, 8 digits",
        vi: "số điện thoại di động: 0, một trong các số 3 5 7 8 9, 8 chữ số" }
    PersonName "person-name" ["Nguyễn Văn Mẫu", "Trần Thị Thử"] {
        en: "a person's name: letters, spaces, hyphens, apostrophes and full stops",
        vi: "họ và tên: chữ cái, dấu cách, gạch nối, dấu nháy và dấu chấm" }
    EthnicGroup "ethnic-group" ["01"] {
        en: "code of an ethnic group, 01 to 54",
        vi: "mã dân tộc, 01 đến 54" }
    Sex "sex" ["1"] {
        en: "sex: 0 unknown, 1 male, 2 female",
        vi: "giới tính: 0 chưa biết, 1 nam, 2 nữ" }
    Dossier "dossier" ["H29.5-251123-0001"] {
        en: "number of a dossier, `<agency code>-YYMMDD-NNNN`",
        vi: "mã hồ sơ, `<mã cơ quan>-YYMMDD-NNNN`" }
    BirthYear "birth-year" ["1985"] {
        en: "year of birth, 1800 to 2199; checked against the personal ID of the same record, and with `month` and `day` beside it",
        vi: "năm sinh, 1800 đến 2199; đối chiếu với số định danh cá nhân của cùng bản ghi, và với `month`, `day` đi kèm" }
    PartialDate "partial-date" ["1985-04-30", "1985-04", "1985"] {
        en: "a date of which the day, or month and day, may be unknown: `YYYY-MM-DD`, `YYYY-MM` or `YYYY`",
        vi: "ngày có thể chưa biết ngày, hoặc cả tháng và ngày: `YYYY-MM-DD`, `YYYY-MM` hoặc `YYYY`" }
    CountryCode "country-code" ["VN"] {
        en: "code of a country, 2 capital letters (ISO 3166-1 alpha-2)",
        vi: "mã quốc gia, 2 chữ in hoa (ISO 3166-1 alpha-2)" }
}

impl std::str::FromStr for Element {
    type Err = ();
    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|e| e.name() == name).ok_or(())
    }
}

impl Element {
    /// Checks a value in its text form (numbers as decimal digits).
    ///
    /// # Errors
    /// The [`Rule`] that is broken.
    pub fn check(self, text: &str) -> Result<(), Rule> {
        let good = match self {
            Self::PersonalId => personal_id(text),
            Self::OldIdCard => digits(text, 9),
            Self::TaxCode => return tax_code(text),
            Self::UnitCode => [2, 3, 5].iter().any(|n| digits(text, *n)),
            Self::ProvinceCode => old_province(text),
            Self::CommuneCode => digits(text, 5),
            Self::AgencyCode => agency_code(text),
            Self::SocialInsuranceNo => digits(text, 10),
            Self::HealthInsuranceCard => health_card(text),
            Self::HealthFacility => health_facility(text),
            Self::Phone => digits(text, 10) && text.starts_with('0') && b"35789".contains(&text.as_bytes()[1]),
            Self::PersonName => person_name(text),
            Self::EthnicGroup => digits(text, 2) && (1..=54).contains(&number(text)),
            Self::Sex => matches!(text, "0" | "1" | "2"),
            Self::Dossier => dossier(text),
            Self::BirthYear => year(text),
            Self::PartialDate => partial_date(text),
            Self::CountryCode => text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase()),
        };
        if good { Ok(()) } else { Err(Rule::Element) }
    }

    /// The rules that a value of it can break because of what it is: of its form, and beside other fields of its record.
    #[must_use]
    pub const fn rules(self) -> &'static [Rule] {
        match self {
            Self::PersonalId => &[Rule::Element, Rule::IdSex, Rule::IdBirthYear],
            Self::TaxCode => &[Rule::Element, Rule::CheckDigit],
            Self::Sex => &[Rule::Element, Rule::IdSex],
            Self::BirthYear => &[Rule::Element, Rule::IdBirthYear, Rule::DayOfMonth],
            _ => &[Rule::Element],
        }
    }
}

/// The table of all elements as Markdown, as `docs/dictionary.md` shows it.
#[must_use]
pub fn table() -> String {
    let mut out = String::from(
        "| element | English | tiếng Việt | samples / ví dụ | rules (error group) / quy tắc (nhóm lỗi) |\n",
    );
    out.push_str("|---|---|---|---|---|\n");
    for element in Element::ALL {
        let samples: Vec<_> = element.samples().iter().map(|s| format!("`{s}`")).collect();
        let rules = element.rules().iter().map(|r| format!("`{}` ({})", r.code(), r.group().code()));
        out.push_str(&format!(
            "| `{}` | {} | {} | {} | {} |\n",
            element.name(),
            element.form(Lang::En),
            element.form(Lang::Vi),
            samples.join(", "),
            rules.collect::<Vec<_>>().join(", "),
        ));
    }
    out
}

fn year(text: &str) -> bool {
    digits(text, 4) && (1800..=2199).contains(&number(text))
}

/// The first parts of a day that exists: of a month alone, its first.
fn partial_date(text: &str) -> bool {
    let Some(first) = text.get(..4) else { return false };
    let whole = match text.len() {
        4 => format!("{text}-01-01"),
        7 => format!("{text}-01"),
        10 => text.to_owned(),
        _ => return false,
    };
    year(first) && crate::date::parse(&whole).is_some()
}

fn digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|b| b.is_ascii_digit())
}

/// The value of a few digits; 0 where there are none.
fn number(text: &str) -> u32 {
    text.parse().unwrap_or(0)
}

fn old_province(text: &str) -> bool {
    digits(text, 2) && OLD_PROVINCES.iter().any(|p| u32::from(*p) == number(text))
}

fn personal_id(text: &str) -> bool {
    digits(text, 12)
        && text.starts_with('0')
        && old_province(&text[1..3])
        && (b'0'..=b'5').contains(&text.as_bytes()[3])
}

/// Sex and year of birth that a valid personal ID states: (1 male or 2 female, year). Centuries: 0 and 1 the 20th
/// (1900–1999), 2 and 3 the 21st, 4 and 5 the 22nd; even male, odd female.
#[must_use]
pub fn personal_id_states(id: &str) -> Option<(u8, i32)> {
    if !personal_id(id) {
        return None;
    }
    let mark = id.as_bytes()[3] - b'0';
    let year: i32 = id[4..6].parse().ok()?;
    Some((1 + mark % 2, 1900 + 100 * i32::from(mark / 2) + year))
}

/// Weights of the first nine digits; the tenth is 10 less their sum modulo 11, and a result of 10 is no tax code.
fn tax_code(text: &str) -> Result<(), Rule> {
    const WEIGHTS: [u32; 9] = [31, 29, 23, 19, 17, 13, 7, 5, 3];
    let (head, branch) = match text.split_once('-') {
        Some((head, branch)) => (head, Some(branch)),
        None => (text, None),
    };
    if !digits(head, 10) || branch.is_some_and(|b| !digits(b, 3) || b == "000") {
        return Err(Rule::Element);
    }
    let sum: u32 = head.bytes().zip(WEIGHTS).map(|(b, w)| u32::from(b - b'0') * w).sum();
    let check = 10 - sum % 11;
    if check != 10 && u32::from(head.as_bytes()[9] - b'0') == check { Ok(()) } else { Err(Rule::CheckDigit) }
}

fn agency_code(text: &str) -> bool {
    let mut parts = text.split('.');
    let head = parts.next().unwrap_or("");
    let rest: Vec<_> = parts.collect();
    head.len() == 3
        && head.starts_with(['G', 'H'])
        && digits(&head[1..], 2)
        && rest.len() <= 3
        && rest.iter().all(|p| (1..=3).contains(&p.len()) && digits(p, p.len()))
}

fn health_card(text: &str) -> bool {
    text.len() == 15
        && text.is_ascii()
        && text[..2].bytes().all(|b| b.is_ascii_uppercase())
        && digits(&text[2..3], 1)
        && old_province(&text[3..5])
        && digits(&text[5..], 10)
}

fn health_facility(text: &str) -> bool {
    text.len() == 5
        && text.is_ascii()
        && old_province(&text[..2])
        && text.as_bytes()[2].is_ascii_alphanumeric()
        && !text.as_bytes()[2].is_ascii_lowercase()
        && digits(&text[3..], 2)
}

fn person_name(text: &str) -> bool {
    let trimmed = text.trim() == text && !text.contains("  ");
    !text.is_empty() && trimmed && text.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '\'' | '’' | '.'))
}

fn dossier(text: &str) -> bool {
    let mut parts = text.rsplitn(3, '-');
    let (Some(number), Some(day), Some(agency)) = (parts.next(), parts.next(), parts.next()) else { return false };
    agency_code(agency) && digits(number, 4) && digits(day, 6) && crate::date::parse(&dated(day)).is_some()
}

fn dated(day: &str) -> String {
    format!("20{}-{}-{}", &day[..2], &day[2..4], &day[4..6])
}

#[cfg(test)]
mod tests;
