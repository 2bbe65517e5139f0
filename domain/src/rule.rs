//! Every way in which a submitted change can be rejected: a stable code, a sentence and what to do, in English and in
//! Vietnamese. No message ever holds a value of the record (invariant 7).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::element::Element;

/// A language that officials read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lang {
    /// English.
    En,
    /// Vietnamese.
    Vi,
}

/// The error groups by which data quality is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// Something that must be there is not.
    Missing,
    /// A value outside its domain.
    OutOfDomain,
    /// The same thing twice, with different content.
    Duplicate,
    /// Not written as it must be.
    Format,
    /// A reference to something that does not exist.
    ForeignKey,
    /// Two fields contradict each other.
    CrossField,
    /// Too old, or in the wrong order.
    Stale,
    /// In contradiction to the reference, or sent by one who may not.
    Mismatch,
}

impl Group {
    /// A stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::OutOfDomain => "out-of-domain",
            Self::Duplicate => "duplicate",
            Self::Format => "format",
            Self::ForeignKey => "foreign-key",
            Self::CrossField => "cross-field",
            Self::Stale => "stale",
            Self::Mismatch => "mismatch",
        }
    }
}

macro_rules! rules {
    ($($variant:ident $code:literal $group:ident {
        en: $en:literal, do: $to_do:literal, vi: $vi:literal, lam: $lam:literal
    })*) => {
        /// A rule that a submitted change can break.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum Rule { $(#[doc = $en] $variant,)* }

        impl Rule {
            /// All of them, in the order in which they are looked at.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The group of data quality it counts for.
            #[must_use]
            pub const fn group(self) -> Group {
                match self { $(Self::$variant => Group::$group,)* }
            }

            /// What is wrong, as a sentence.
            #[must_use]
            pub const fn message(self, lang: Lang) -> &'static str {
                match (self, lang) { $((Self::$variant, Lang::En) => $en, (Self::$variant, Lang::Vi) => $vi,)* }
            }

            /// What to do about it.
            #[must_use]
            pub const fn hint(self, lang: Lang) -> &'static str {
                match (self, lang) { $((Self::$variant, Lang::En) => $to_do, (Self::$variant, Lang::Vi) => $lam,)* }
            }
        }
    };
}

rules! {
    TooLarge "too-large" Format {
        en: "the record is larger than the bus carries", do: "send documents as files and point to them from the record",
        vi: "bản ghi lớn hơn mức trục dữ liệu cho phép", lam: "gửi tài liệu dưới dạng tệp và chỉ dẫn tới tệp trong bản ghi" }
    NotUtf8 "not-utf-8" Format {
        en: "the text is not UTF-8", do: "save the file as UTF-8 and send it again",
        vi: "văn bản không phải mã UTF-8", lam: "lưu tệp theo mã UTF-8 rồi gửi lại" }
    Malformed "malformed" Format {
        en: "the record cannot be read", do: "check that it is complete and in the format named",
        vi: "không đọc được bản ghi", lam: "kiểm tra bản ghi có đầy đủ và đúng định dạng đã khai báo" }
    Truncated "truncated" Format {
        en: "the file ends in the middle of a record", do: "send the whole file again; records before this one were taken",
        vi: "tệp kết thúc giữa chừng một bản ghi", lam: "gửi lại toàn bộ tệp; các bản ghi trước đó đã được nhận" }
    WireFormat "wire-format" Format {
        en: "the value is not in the Confluent wire format", do: "send byte 0, the 4-byte schema id and the Avro body",
        vi: "giá trị không theo khuôn dạng truyền Confluent", lam: "gửi byte 0, mã lược đồ 4 byte và thân Avro" }
    UnknownSchema "unknown-schema" Mismatch {
        en: "the schema id is not an envelope of this dataset", do: "take the id from the registry: subject in.<dataset>.<provider>-value",
        vi: "mã lược đồ không phải phong bì của tập dữ liệu này", lam: "lấy mã từ sổ đăng ký lược đồ: in.<dataset>.<provider>-value" }
    Envelope "envelope" Format {
        en: "the envelope is damaged or a field of it is missing", do: "compare it with the envelope schema in the registry",
        vi: "phong bì bị hỏng hoặc thiếu trường", lam: "đối chiếu với lược đồ phong bì trong sổ đăng ký" }
    Avro "avro" Format {
        en: "the record does not follow its schema", do: "write it with the schema that the envelope names",
        vi: "bản ghi không theo lược đồ của nó", lam: "ghi bản ghi theo đúng lược đồ mà phong bì nêu" }
    UnknownField "unknown-field" Format {
        en: "the contract has no such field", do: "correct the name, or propose a new version of the contract",
        vi: "hợp đồng dữ liệu không có trường này", lam: "sửa tên trường, hoặc đề xuất phiên bản hợp đồng mới" }
    WrongType "wrong-type" Format {
        en: "the value has another type than the contract says", do: "send the type that the contract names",
        vi: "giá trị không đúng kiểu mà hợp đồng quy định", lam: "gửi đúng kiểu dữ liệu nêu trong hợp đồng" }
    UnknownEvent "unknown-event" OutOfDomain {
        en: "the event is none of NEW, UPDATE, CANCEL", do: "set SuKien to NEW, UPDATE or CANCEL",
        vi: "sự kiện không phải NEW, UPDATE hay CANCEL", lam: "đặt SuKien là NEW, UPDATE hoặc CANCEL" }
    EventRecord "event-record" CrossField {
        en: "CANCEL carries no record, NEW and UPDATE carry one", do: "send DuLieu with NEW and UPDATE only",
        vi: "CANCEL không kèm bản ghi, NEW và UPDATE phải kèm bản ghi", lam: "chỉ gửi DuLieu cùng NEW và UPDATE" }
    MissingKey "missing-key" Missing {
        en: "a field of the record key is missing or empty", do: "fill in every field of the record key",
        vi: "thiếu hoặc để trống trường khóa của bản ghi", lam: "điền đủ các trường khóa của bản ghi" }
    KeyTooLong "key-too-long" Format {
        en: "the record key is longer than 1024 bytes", do: "shorten the fields of the record key",
        vi: "khóa bản ghi dài quá 1024 byte", lam: "rút ngắn các trường khóa" }
    KeyMismatch "key-mismatch" CrossField {
        en: "the key of the message is not the record key of the record in it", do: "build the key from the key fields as the contract says",
        vi: "khóa của thông điệp không khớp khóa của bản ghi bên trong", lam: "tạo khóa từ các trường khóa theo hợp đồng" }
    WrongPartition "wrong-partition" Mismatch {
        en: "the change lies in another partition than its record key says", do: "partition with murmur2 of the record key, as Kafka's Java client does",
        vi: "thay đổi nằm sai phân vùng so với khóa bản ghi", lam: "chia phân vùng theo murmur2 của khóa bản ghi như trình khách Java của Kafka" }
    NotProvider "not-provider" Mismatch {
        en: "this agency does not provide this dataset", do: "ask the owner of the dataset to name it in the contract",
        vi: "cơ quan này không phải nguồn cung cấp của tập dữ liệu", lam: "đề nghị cơ quan chủ quản ghi tên trong hợp đồng" }
    NotItsRows "not-its-rows" Mismatch {
        en: "the contract does not let this agency write such a row", do: "send only the rows that the contract gives to it",
        vi: "hợp đồng không cho phép cơ quan này ghi dòng dữ liệu như vậy", lam: "chỉ gửi các dòng được giao trong hợp đồng" }
    Required "required" Missing {
        en: "a required field is missing, null or empty", do: "fill it in",
        vi: "trường bắt buộc bị thiếu, rỗng hoặc null", lam: "điền giá trị cho trường" }
    NotNfc "not-nfc" Format {
        en: "the text is not in Unicode normalisation form NFC", do: "normalise text to NFC before sending",
        vi: "văn bản không ở dạng chuẩn hóa Unicode NFC (dựng sẵn)", lam: "chuẩn hóa văn bản về NFC (dựng sẵn) trước khi gửi" }
    Element "element" Format {
        en: "the value does not have the form of its data element", do: "look up the element in the contract and correct the value",
        vi: "giá trị không đúng dạng của thành phần dữ liệu", lam: "tra thành phần dữ liệu trong hợp đồng và sửa giá trị" }
    CheckDigit "check-digit" OutOfDomain {
        en: "the check digit is wrong", do: "compare the number with its document; a digit is mistyped",
        vi: "sai chữ số kiểm tra", lam: "đối chiếu số với giấy tờ gốc; có chữ số gõ sai" }
    Pattern "pattern" Format {
        en: "the value does not match the pattern of the contract", do: "correct its form",
        vi: "giá trị không khớp mẫu trong hợp đồng", lam: "sửa lại dạng của giá trị" }
    Values "values" OutOfDomain {
        en: "the value is none of those that the contract allows", do: "take one of the values listed in the contract",
        vi: "giá trị không thuộc danh mục hợp đồng cho phép", lam: "chọn một giá trị nêu trong hợp đồng" }
    Minimum "minimum" OutOfDomain {
        en: "the value is below the least that is allowed", do: "correct the value",
        vi: "giá trị nhỏ hơn mức tối thiểu", lam: "sửa giá trị" }
    Maximum "maximum" OutOfDomain {
        en: "the value is above the greatest that is allowed", do: "correct the value",
        vi: "giá trị lớn hơn mức tối đa", lam: "sửa giá trị" }
    MaxLength "max-length" Format {
        en: "the text is longer than the contract allows", do: "shorten it",
        vi: "văn bản dài hơn mức hợp đồng cho phép", lam: "rút ngắn văn bản" }
    CodeList "code-list" ForeignKey {
        en: "the code is not in its code list", do: "check the code and its start date against the list",
        vi: "mã không có trong danh mục", lam: "đối chiếu mã và ngày bắt đầu hiệu lực với danh mục" }
    IdSex "id-sex" CrossField {
        en: "sex and personal ID contradict each other", do: "compare both with the document",
        vi: "giới tính không khớp số định danh", lam: "đối chiếu cả hai với giấy tờ gốc" }
    IdBirthYear "id-birth-year" CrossField {
        en: "year of birth and personal ID contradict each other", do: "compare both with the document",
        vi: "năm sinh không khớp số định danh", lam: "đối chiếu cả hai với giấy tờ gốc" }
    DayOfMonth "day-of-month" CrossField {
        en: "the month does not have that day", do: "compare day, month and year with the document; leave out what is not known",
        vi: "tháng không có ngày đó", lam: "đối chiếu ngày, tháng, năm với giấy tờ gốc; bỏ trống phần chưa biết" }
    VersionLow "version-low" OutOfDomain {
        en: "the version is below 1", do: "count versions of a record from 1",
        vi: "phiên bản nhỏ hơn 1", lam: "đánh số phiên bản của bản ghi từ 1" }
    UpdatedInFuture "updated-in-future" OutOfDomain {
        en: "the time of update lies in the future", do: "set the clock of the source; times without a zone are in Việt Nam's",
        vi: "thời gian cập nhật ở tương lai", lam: "chỉnh đồng hồ của hệ thống nguồn; thời gian không ghi múi giờ là giờ Việt Nam" }
    EffectiveInFuture "effective-in-future" OutOfDomain {
        en: "the effective date lies in the future and this dataset takes effect at once", do: "send the change on its effective date",
        vi: "ngày hiệu lực ở tương lai trong khi tập dữ liệu có hiệu lực ngay", lam: "gửi thay đổi vào ngày có hiệu lực" }
    NotOwner "not-owner" Mismatch {
        en: "the record belongs to another provider", do: "ask its provider to change it, or to hand it over",
        vi: "bản ghi thuộc nguồn cung cấp khác", lam: "đề nghị nguồn cung cấp đó sửa hoặc chuyển giao bản ghi" }
    VersionConflict "version-conflict" Duplicate {
        en: "this version was sent before with other content", do: "raise the version with every change of content",
        vi: "phiên bản này đã được gửi với nội dung khác", lam: "tăng phiên bản mỗi khi nội dung thay đổi" }
    VersionJump "version-jump" Stale {
        en: "the version rises by more than the contract allows in one step", do: "send the versions in between, or check the source's counter",
        vi: "phiên bản tăng quá mức hợp đồng cho phép trong một bước", lam: "gửi các phiên bản còn thiếu hoặc kiểm tra bộ đếm của nguồn" }
}

/// A code that is no rule's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the code of a rule")]
pub struct UnknownRule(pub String);

impl std::str::FromStr for Rule {
    type Err = UnknownRule;
    fn from_str(code: &str) -> Result<Self, UnknownRule> {
        Self::ALL.iter().copied().find(|r| r.code() == code).ok_or_else(|| UnknownRule(code.into()))
    }
}

impl TryFrom<String> for Rule {
    type Error = UnknownRule;
    fn try_from(code: String) -> Result<Self, UnknownRule> {
        code.parse()
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.code().into()
    }
}

/// What a rule protects that no [relaxation](crate::relaxation) touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protects {
    /// What the bytes are: views are cut out of them by the schema.
    Schema,
    /// Which record it is, and so in which partition it stands.
    Key,
    /// Who may write which rows.
    Writer,
    /// Which rows a recipient receives: filters and look-ups compare texts as they are, and find none where there is none.
    Rows,
    /// The order of versions and times.
    Order,
}

impl Protects {
    /// In words, to go on from "it protects …" and "quy tắc này bảo vệ …".
    #[must_use]
    pub const fn words(self, lang: Lang) -> &'static str {
        match (self, lang) {
            (Self::Schema, Lang::En) => "the schema that views are made by",
            (Self::Schema, Lang::Vi) => "lược đồ dùng để lập mọi khung nhìn",
            (Self::Key, Lang::En) => "the record key",
            (Self::Key, Lang::Vi) => "khóa bản ghi",
            (Self::Writer, Lang::En) => "who may write which rows",
            (Self::Writer, Lang::Vi) => "quyền ghi dòng dữ liệu của từng cơ quan",
            (Self::Rows, Lang::En) => "which rows a recipient receives",
            (Self::Rows, Lang::Vi) => "phạm vi dòng mà cơ quan nhận được nhận",
            (Self::Order, Lang::En) => "the order of versions and times",
            (Self::Order, Lang::Vi) => "thứ tự phiên bản và thời gian",
        }
    }
}

impl Rule {
    /// Why it is never relaxed; none: it may be. What may be relaxed are checks of a value by its data element, the
    /// contract's bounds and lists, and the ID beside it.
    #[must_use]
    pub const fn protects(self) -> Option<Protects> {
        match self {
            Self::TooLarge
            | Self::NotUtf8
            | Self::Malformed
            | Self::Truncated
            | Self::WireFormat
            | Self::UnknownSchema
            | Self::Envelope
            | Self::Avro
            | Self::UnknownField
            | Self::WrongType
            | Self::UnknownEvent
            | Self::EventRecord => Some(Protects::Schema),
            Self::MissingKey | Self::KeyTooLong | Self::KeyMismatch | Self::WrongPartition => Some(Protects::Key),
            Self::NotProvider | Self::NotItsRows | Self::NotOwner => Some(Protects::Writer),
            Self::Required | Self::NotNfc => Some(Protects::Rows),
            Self::VersionLow
            | Self::UpdatedInFuture
            | Self::EffectiveInFuture
            | Self::VersionConflict
            | Self::VersionJump => Some(Protects::Order),
            Self::Element
            | Self::CheckDigit
            | Self::Pattern
            | Self::Values
            | Self::Minimum
            | Self::Maximum
            | Self::MaxLength
            | Self::CodeList
            | Self::IdSex
            | Self::IdBirthYear
            | Self::DayOfMonth => None,
        }
    }
}

/// A rule that one record broke, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Which rule.
    pub rule: Rule,
    /// The field, as a dotted path; empty when it is about the whole record.
    pub field: String,
    /// More about it; never a value of the record.
    pub detail: String,
    /// The data element whose form the field should have.
    pub element: Option<Element>,
}

impl Rejection {
    /// A rejection of the whole record.
    #[must_use]
    pub const fn record(rule: Rule) -> Self {
        Self { rule, field: String::new(), detail: String::new(), element: None }
    }

    /// A rejection for one field.
    #[must_use]
    pub fn field(rule: Rule, field: impl Into<String>) -> Self {
        Self { rule, field: field.into(), detail: String::new(), element: None }
    }

    /// The same, with more about it.
    #[must_use]
    pub fn with(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// The same, of a value that should be one of this element: the sentence then says the element's form.
    #[must_use]
    pub const fn of(mut self, element: Element) -> Self {
        self.element = Some(element);
        self
    }

    /// The sentence, with field, detail, and name and form of the element.
    #[must_use]
    pub fn message(&self, lang: Lang) -> String {
        let sentence = self.rule.message(lang);
        let field = match (self.field.is_empty(), lang) {
            (true, _) => String::new(),
            (false, Lang::En) => format!("field {}: ", self.field),
            (false, Lang::Vi) => format!("trường {}: ", self.field),
        };
        let detail = if self.detail.is_empty() { String::new() } else { format!(" ({})", self.detail) };
        let form = self.element.map_or_else(String::new, |e| format!(" ({}: {})", e.name(), e.form(lang)));
        format!("{field}{sentence}{detail}{form}")
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule.code(), self.message(Lang::En))
    }
}

/// The table of all rules as Markdown, as `docs/rules.md` shows it.
#[must_use]
pub fn table() -> String {
    let mut out = String::from(
        "| code | group | English | tiếng Việt | what to do / cần làm | may be relaxed / được nới lỏng |\n|---|---|---|---|---|---|\n",
    );
    for rule in Rule::ALL {
        let relaxed = rule.protects().map_or_else(
            || "yes / có".to_owned(),
            |what| format!("no: {} / không: {}", what.words(Lang::En), what.words(Lang::Vi)),
        );
        out.push_str(&format!(
            "| `{}` | {} | {} | {} | {} / {} | {relaxed} |\n",
            rule.code(),
            rule.group().code(),
            rule.message(Lang::En),
            rule.message(Lang::Vi),
            rule.hint(Lang::En),
            rule.hint(Lang::Vi),
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_its_own_code_and_both_languages() {
        let mut codes: Vec<_> = Rule::ALL.iter().map(|r| r.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Rule::ALL.len());
        for rule in Rule::ALL {
            assert_eq!(rule.code().parse(), Ok(*rule));
            assert_ne!(rule.message(Lang::En), rule.message(Lang::Vi), "{}", rule.code());
            assert_ne!(rule.hint(Lang::En), rule.hint(Lang::Vi), "{}", rule.code());
        }
    }

    #[test]
    fn the_table_in_the_docs_is_this_one() {
        let docs = include_str!("../../docs/rules.md");
        assert!(docs.contains(&table()), "docs/rules.md differs; it should hold:\n{}", table());
    }
}
