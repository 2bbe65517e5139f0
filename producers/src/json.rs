//! JSON as a provider wrote it: a tree borrowed from its text.
//!
//! Stricter and more literal than a general reader (RFC 8259 is the grammar): a field that stands twice is an error and
//! not the last one's win, numbers stay text so that a decimal keeps its digits and nothing is rounded unseen, and depth
//! is bounded before it costs any stack. Errors name the field, never what stands in it.

use std::borrow::Cow;
use std::collections::HashSet;

use kenh_domain::limits::MAX_JSON_DEPTH;
use kenh_domain::rule::{Rejection, Rule};

/// A JSON value.
#[derive(Clone, PartialEq, Eq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number, as it is written.
    Number(Cow<'a, str>),
    /// A string.
    Text(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object, in the order of the text; no name stands twice.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

// Row values never reach a log (invariant 7).
impl std::fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind())
    }
}

impl<'a> Json<'a> {
    /// What to call it in a message.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// The text of a string.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The members of an object.
    #[must_use]
    pub fn object(&self) -> Option<&[(Cow<'a, str>, Json<'a>)]> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }
}

/// Reads one JSON value that takes all of `text` but for white space around it.
///
/// # Errors
/// `not-utf-8`, `truncated` (the text ends inside the value) or `malformed`, with the dotted field where it happened and
/// the byte, counted from 1.
pub fn parse(text: &[u8]) -> Result<Json<'_>, Rejection> {
    let mut parser = Parser { text, at: 0, path: String::new() };
    let value = parser.document();
    value.map_err(|fault| {
        let detail = match fault {
            Fault::Utf8 | Fault::Truncated => format!("at byte {}", parser.at + 1),
            Fault::Malformed(what) => format!("{what}, at byte {}", parser.at + 1),
        };
        let rule = match fault {
            Fault::Utf8 => Rule::NotUtf8,
            Fault::Truncated => Rule::Truncated,
            Fault::Malformed(_) => Rule::Malformed,
        };
        Rejection::field(rule, parser.path).with(detail)
    })
}

/// Whether `text` is a number by the grammar of JSON, so that a tree made of other text can hold it.
#[must_use]
pub fn is_number(text: &str) -> bool {
    let mut parser = Parser { text: text.as_bytes(), at: 0, path: String::new() };
    parser.number().is_ok() && parser.at == text.len()
}

enum Fault {
    Utf8,
    Truncated,
    Malformed(&'static str),
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    /// Only filled on the way out of a fault.
    path: String,
}

impl<'a> Parser<'a> {
    fn document(&mut self) -> Result<Json<'a>, Fault> {
        self.space();
        let value = self.value(0)?;
        self.space();
        if self.at < self.text.len() {
            return Err(Fault::Malformed("there is something behind the record"));
        }
        Ok(value)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, Fault> {
        match self.peek() {
            None => Err(Fault::Truncated),
            Some(b'{') => self.deeper(depth).and_then(|depth| self.object(depth)),
            Some(b'[') => self.deeper(depth).and_then(|depth| self.array(depth)),
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number().map(|n| Json::Number(Cow::Borrowed(n))),
            Some(b't') => self.word(b"true", Json::Bool(true)),
            Some(b'f') => self.word(b"false", Json::Bool(false)),
            Some(b'n') => self.word(b"null", Json::Null),
            Some(_) => Err(Fault::Malformed("no JSON value starts so")),
        }
    }

    fn deeper(&mut self, depth: usize) -> Result<usize, Fault> {
        if depth >= MAX_JSON_DEPTH {
            return Err(Fault::Malformed("nested too deeply"));
        }
        self.at += 1;
        Ok(depth + 1)
    }

    fn word(&mut self, word: &[u8], value: Json<'a>) -> Result<Json<'a>, Fault> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if rest.starts_with(word) {
            self.at += word.len();
            Ok(value)
        } else if word.starts_with(rest) {
            Err(Fault::Truncated)
        } else {
            Err(Fault::Malformed("no JSON value starts so"))
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, Fault> {
        let mut members: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
        // Comparing all with all is the fastest for the few fields of a record, and a trap for a hostile one.
        let mut names: HashSet<Cow<'a, str>> = HashSet::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(members));
        }
        loop {
            self.space();
            match self.peek() {
                None => return Err(Fault::Truncated),
                Some(b'"') => {}
                Some(_) => return Err(Fault::Malformed("a field name in quotes is missing")),
            }
            let name = self.string()?;
            let twice = if members.len() < 16 {
                members.iter().any(|(n, _)| *n == name)
            } else {
                if names.is_empty() {
                    names.extend(members.iter().map(|(n, _)| n.clone()));
                }
                !names.insert(name.clone())
            };
            if twice {
                self.blame(&name);
                return Err(Fault::Malformed("the field stands twice"));
            }
            self.space();
            match self.peek() {
                Some(b':') => self.at += 1,
                None => return Err(Fault::Truncated),
                Some(_) => return Err(Fault::Malformed("a colon is missing")),
            }
            self.space();
            let value = self.value(depth);
            if value.is_err() {
                self.blame(&name);
            }
            members.push((name, value?));
            if !self.more(b'}')? {
                return Ok(Json::Object(members));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json<'a>, Fault> {
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(items));
        }
        loop {
            self.space();
            items.push(self.value(depth)?);
            if !self.more(b']')? {
                return Ok(Json::Array(items));
            }
        }
    }

    /// After an item: a comma, or the end.
    fn more(&mut self, end: u8) -> Result<bool, Fault> {
        self.space();
        let byte = self.peek().ok_or(Fault::Truncated)?;
        if byte != b',' && byte != end {
            return Err(Fault::Malformed("a comma or the closing bracket is missing"));
        }
        self.at += 1;
        Ok(byte == b',')
    }

    /// A field name may be anything, also a secret typed into the wrong place: it is cut.
    fn blame(&mut self, name: &str) {
        let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        self.path = if self.path.is_empty() { name } else { format!("{name}.{}", self.path) };
    }

    fn number(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        // Only ASCII was passed.
        std::str::from_utf8(self.text.get(start..self.at).unwrap_or_default()).map_err(|_| Fault::Utf8)
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        match self.at > start {
            true => Ok(()),
            false if self.peek().is_none() => Err(Fault::Truncated),
            false => Err(Fault::Malformed("a number lacks digits")),
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.at += 1;
        let mut made: Option<String> = None;
        loop {
            let start = self.at;
            let rest = self.text.get(start..).unwrap_or_default();
            let length = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f)).ok_or(Fault::Truncated)?;
            let piece = std::str::from_utf8(&rest[..length]).map_err(|e| {
                self.at += e.valid_up_to();
                Fault::Utf8
            })?;
            self.at += length;
            match rest.get(length) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(match made {
                        None => Cow::Borrowed(piece),
                        Some(made) => Cow::Owned(made + piece),
                    });
                }
                Some(b'\\') => {
                    let made = made.get_or_insert_default();
                    made.push_str(piece);
                    self.at += 1;
                    let c = self.escape()?;
                    made.push(c);
                }
                _ => return Err(Fault::Malformed("a control character in a text must be escaped")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let byte = self.peek().ok_or(Fault::Truncated)?;
        self.at += 1;
        Ok(match byte {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                let code = if (0xd800..0xdc00).contains(&first) {
                    if self.text.get(self.at..self.at + 2) != Some(b"\\u") {
                        return Err(Fault::Malformed("half of a surrogate pair"));
                    }
                    self.at += 2;
                    let second = self.hex()?;
                    if !(0xdc00..0xe000).contains(&second) {
                        return Err(Fault::Malformed("half of a surrogate pair"));
                    }
                    0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                } else {
                    first
                };
                char::from_u32(code).ok_or(Fault::Malformed("half of a surrogate pair"))?
            }
            _ => return Err(Fault::Malformed("no such escape")),
        })
    }

    fn hex(&mut self) -> Result<u32, Fault> {
        let mut code = 0;
        for _ in 0..4 {
            let byte = self.peek().ok_or(Fault::Truncated)?;
            let digit = char::from(byte).to_digit(16).ok_or(Fault::Malformed("no such escape"))?;
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// Ours as the reference has it.
    fn same(ours: &Json<'_>, theirs: &Value) -> bool {
        match (ours, theirs) {
            (Json::Null, Value::Null) => true,
            (Json::Bool(a), Value::Bool(b)) => a == b,
            // The reference rounds quickly, not exactly.
            (Json::Number(a), Value::Number(b)) => match (a.parse::<f64>(), b.as_f64()) {
                (Ok(a), Some(b)) => (a - b).abs() <= a.abs() * 1e-14,
                _ => false,
            },
            (Json::Text(a), Value::String(b)) => a == b,
            (Json::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
            (Json::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(name, a)| b.get(&**name).is_some_and(|b| same(a, b)))
            }
            _ => false,
        }
    }

    fn refused(text: &[u8]) -> (Rule, String) {
        parse(text).map_err(|r| (r.rule, r.field)).expect_err("it was taken")
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        assert_eq!(refused(br#"{"a":{"b":1,"b":2}}"#), (Rule::Malformed, "a.b".into()));
        assert_eq!(refused(b"{\"a\":{\"b\":\"\xff\"}}"), (Rule::NotUtf8, "a.b".into()));
        assert_eq!(refused(br#"{"a":{"b":"x"#), (Rule::Truncated, "a.b".into()));
        assert_eq!(refused(br#"{"a":tru"#), (Rule::Truncated, "a".into()));
        assert_eq!(refused(br#"{"a":nil}"#), (Rule::Malformed, "a".into()));
        assert_eq!(refused(br#"{"a":01}"#), (Rule::Malformed, String::new()));
        assert_eq!(refused(br#"{"a":1.}"#), (Rule::Malformed, "a".into()));
        assert_eq!(refused(br#"{"a":1} x"#), (Rule::Malformed, String::new()));
        assert_eq!(refused(br#"{"a":"\ud800"}"#), (Rule::Malformed, "a".into()));
        assert_eq!(refused(b"{\"a\":\"\t\"}"), (Rule::Malformed, "a".into()));
        assert_eq!(refused(b"\xef\xbb\xbf{}"), (Rule::Malformed, String::new()));
        assert_eq!(refused(b""), (Rule::Truncated, String::new()));
    }

    #[test]
    fn a_field_that_stands_twice_is_found_among_many() {
        let many: Vec<_> = (0..40).map(|i| format!("\"f{i}\":0")).collect();
        assert!(parse(format!("{{{}}}", many.join(",")).as_bytes()).is_ok());
        for again in [3, 30] {
            let text = format!("{{{},\"f{again}\":0}}", many.join(","));
            assert_eq!(refused(text.as_bytes()), (Rule::Malformed, format!("f{again}")));
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
        assert!(parse(&deep(MAX_JSON_DEPTH)).is_ok());
        assert_eq!(refused(&deep(MAX_JSON_DEPTH + 1)).0, Rule::Malformed);
        assert_eq!(refused(&vec![b'['; 1 << 20]).0, Rule::Malformed);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// On any text made of JSON's own pieces the reference and we agree on what is JSON and what it says; we refuse
        /// more only where a field stands twice, and less where a number leaves what the reference can hold.
        #[test]
        fn agrees_with_serde_json(pieces in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"a\"", "\"b\"", "\"\\u00e9\\n\"", "\"\\ud83d\\ude00\"", "1", "-0.5e3", "0",
            "true", "null", " ", "\n", "\"", "\\", "-", "é",
        ]), 0..14)) {
            let text = pieces.concat();
            let theirs = serde_json::from_str::<Value>(&text);
            match parse(text.as_bytes()) {
                // A number stays a text with us until its field says what it is to be; one beyond a double is refused there.
                Ok(ours) => prop_assert!(
                    theirs.as_ref().map_or_else(|e| e.to_string().starts_with("number out of range"), |t| same(&ours, t)),
                    "{}",
                    text
                ),
                Err(r) => prop_assert!(theirs.is_err() || r.detail.contains("twice"), "{}: {}", text, r),
            }
        }

        #[test]
        fn never_panics(text in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&text);
        }
    }
}
