//! YAML with places: a document as a tree in which every node knows its line and column.
//!
//! Declared state is written by people, and they are told everything that is wrong at once. A reader that goes straight
//! into structs stops at the first wrong key; this one reads the tree first and then takes it apart field by field,
//! noting problems as it goes.

use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::problem::{At, Problem};

/// A node of a YAML document.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it stands.
    pub at: At,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values, in order.
    Map(Vec<(Node, Node)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Kind>::deserialize(deserializer)?;
        let at = At { line: spanned.referenced.line(), column: spanned.referenced.column() };
        Ok(Self { at, kind: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Kind;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a YAML value")
            }
            fn visit_unit<E>(self) -> Result<Kind, E> {
                Ok(Kind::Null)
            }
            fn visit_none<E>(self) -> Result<Kind, E> {
                Ok(Kind::Null)
            }
            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
                deserializer.deserialize_any(self)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
                Ok(Kind::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
                Ok(Kind::Int(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
                #[expect(clippy::cast_precision_loss, reason = "no field takes whole numbers beyond i64")]
                Ok(i64::try_from(value).map_or(Kind::Float(value as f64), Kind::Int))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Kind, E> {
                Ok(Kind::Float(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
                Ok(Kind::Text(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Kind::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Kind, A::Error> {
                let mut map = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    map.push(entry);
                }
                Ok(Kind::Map(map))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl Node {
    /// What it is, in words, for a message.
    #[must_use]
    pub const fn what(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "true or false",
            Kind::Int(_) | Kind::Float(_) => "a number",
            Kind::Text(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a set of keys",
        }
    }
}

/// One document being taken apart, and what was found wrong with it so far.
pub struct Document<'a> {
    /// Its file.
    pub file: &'a Path,
    /// What is wrong.
    pub problems: &'a mut Vec<Problem>,
}

impl<'a> Document<'a> {
    /// Reads the tree of a text. A text that is not one YAML document is one problem.
    pub fn parse(file: &'a Path, text: &str, problems: &'a mut Vec<Problem>) -> Option<(Self, Node)> {
        let mut options = serde_saphyr::Options::default();
        // Codes are texts: `01` is a province and not the number 1, `no` is a word and not false.
        options.leading_zero_numbers_as_strings = true;
        options.underscored_numbers_as_strings = true;
        options.strict_booleans = true;
        options.with_snippet = false;
        match serde_saphyr::from_str_with_options::<Node>(text, options) {
            Ok(node) => Some((Self { file, problems }, node)),
            Err(error) => {
                let at = error.location().map(|l| At { line: l.line(), column: l.column() });
                let (message, hint) = told(&error.without_snippet().to_string());
                problems.push(Problem { file: file.to_owned(), at, message, hint: hint.to_owned() });
                None
            }
        }
    }

    /// Notes a problem.
    pub fn problem(&mut self, at: At, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Problem::at(self.file, at, message, hint));
    }

    /// The fields of a node that must be a set of keys.
    pub fn fields<'n>(&mut self, node: &'n Node, what: &str) -> Option<Fields<'n>> {
        let Kind::Map(entries) = &node.kind else {
            self.problem(node.at, format!("{what} is {}, not a set of keys", node.what()), "");
            return None;
        };
        let mut fields = Fields { at: node.at, what: what.to_owned(), entries: Vec::new(), known: Vec::new() };
        for (key, value) in entries {
            match &key.kind {
                Kind::Text(name) => fields.entries.push((name, key.at, value)),
                _ => self.problem(key.at, format!("a key of {what} is {}, not text", key.what()), "put it in quotes"),
            }
        }
        Some(fields)
    }

    /// A text.
    pub fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        match &node.kind {
            Kind::Text(text) => return Some(text.clone()),
            Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) => {
                self.problem(node.at, format!("{what} is {}, not text", node.what()), "put it in quotes");
            }
            _ => self.problem(node.at, format!("{what} is {}, not text", node.what()), ""),
        }
        None
    }

    /// A text made into something that checks it, such as a name.
    pub fn parsed<T: std::str::FromStr<Err: fmt::Display>>(&mut self, node: &Node, what: &str) -> Option<T> {
        let text = self.text(node, what)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(node.at, format!("{what}: {error}"), "");
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        if let Kind::Bool(value) = node.kind {
            return Some(value);
        }
        self.problem(node.at, format!("{what} is {}, not true or false", node.what()), "");
        None
    }

    /// A whole number within bounds.
    pub fn whole(&mut self, node: &Node, what: &str, least: i64, most: i64) -> Option<i64> {
        match node.kind {
            Kind::Int(value) if (least..=most).contains(&value) => return Some(value),
            Kind::Int(value) => self.problem(node.at, format!("{what} is {value}, not {least} to {most}"), ""),
            _ => self.problem(node.at, format!("{what} is {}, not a whole number", node.what()), ""),
        }
        None
    }

    /// A list.
    pub fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        if let Kind::List(items) = &node.kind {
            return Some(items);
        }
        self.problem(
            node.at,
            format!("{what} is {}, not a list", node.what()),
            "write `[a, b]`, or one `- item` a line",
        );
        None
    }

    /// A list of texts that each make something; those that do not are problems and are left out.
    pub fn each<T: std::str::FromStr<Err: fmt::Display>>(&mut self, node: &Node, what: &str) -> Option<Vec<T>> {
        let items = self.list(node, what)?;
        Some(items.iter().filter_map(|item| self.parsed(item, what)).collect())
    }
}

/// What the parser says, for people who write YAML and not programs that read it: its place stands in the problem
/// already, and its advice is about its own options.
fn told(error: &str) -> (String, &'static str) {
    let what = error.split(" at line ").next().unwrap_or(error);
    let (what, hint) = if what.starts_with("duplicate mapping key") {
        (what.split(", set ").next().unwrap_or(what), "write each key once")
    } else if what.starts_with("multiple YAML documents") {
        ("it holds several documents", "write one document a file")
    } else if what.starts_with("budget breached") || what.starts_with("recursion limit") {
        ("it nests too deep, or its aliases repeat too much", "write it out, and in fewer levels")
    } else if what.starts_with("recursive references") {
        ("an alias stands within what it names", "write it out")
    } else {
        (what, "")
    };
    (format!("this is not YAML that can be read: {what}"), hint)
}

/// The keys and values of one node. Every key must be taken or known by the time of [`Fields::finish`].
pub struct Fields<'n> {
    /// Where the set of keys stands.
    pub at: At,
    what: String,
    entries: Vec<(&'n str, At, &'n Node)>,
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// Says what the keys are of, once that is known.
    pub fn call(&mut self, what: &str) {
        what.clone_into(&mut self.what);
    }

    /// The value of a key, if it is there.
    pub fn take(&mut self, key: &'static str) -> Option<&'n Node> {
        self.known.push(key);
        self.entries.iter().find(|(name, ..)| *name == key).map(|(.., value)| *value)
    }

    /// The value of a key that must be there.
    pub fn need(&mut self, doc: &mut Document<'_>, key: &'static str) -> Option<&'n Node> {
        let found = self.take(key);
        if found.is_none() {
            doc.problem(self.at, format!("{} lacks `{key}`", self.what), "");
        }
        found
    }

    /// Keys that may stand there for people and other tools, and are not read by Kênh.
    pub fn also(&mut self, keys: &[&'static str]) {
        self.known.extend_from_slice(keys);
    }

    /// Notes every key that nobody knows.
    pub fn finish(self, doc: &mut Document<'_>) {
        for (name, at, _) in &self.entries {
            if !self.known.contains(name) {
                let near = nearest(name, &self.known);
                let hint = near.map_or_else(
                    || format!("it may have: {}", self.known.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                doc.problem(*at, format!("{} has no key `{name}`", self.what), hint);
            }
        }
    }
}

/// The name that is most likely meant: at most two letters away, or the same but for case.
#[must_use]
pub fn nearest<'k, K: AsRef<str>>(name: &str, known: &'k [K]) -> Option<&'k str> {
    let near = |k: &str| distance(&name.to_lowercase(), &k.to_lowercase());
    let best = known.iter().map(AsRef::as_ref).min_by_key(|k| near(k))?;
    (near(best) <= 2 && near(best) < name.chars().count()).then_some(best)
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Option<Node>, Vec<Problem>) {
        let mut problems = Vec::new();
        let node = Document::parse(Path::new("a.yaml"), text, &mut problems).map(|(_, node)| node);
        (node, problems)
    }

    #[test]
    fn every_node_knows_its_place() {
        let (node, _) = parse("a: 1\nb:\n  - x\n  - c: 'y'\n");
        let Kind::Map(top) = node.unwrap().kind else { panic!("not a map") };
        assert_eq!(top[0].1.at, At { line: 1, column: 4 });
        let Kind::List(list) = &top[1].1.kind else { panic!("not a list") };
        assert_eq!(list[0].at, At { line: 3, column: 5 });
        let Kind::Map(inner) = &list[1].kind else { panic!("not a map") };
        assert_eq!(inner[0].0.at, At { line: 4, column: 5 });
        assert_eq!(inner[0].1.at, At { line: 4, column: 8 });
    }

    #[test]
    fn a_code_with_leading_zeros_and_a_bare_no_are_texts() {
        let (node, _) = parse("[01, no, y, true, 7]");
        let Kind::List(list) = node.unwrap().kind else { panic!("not a list") };
        assert!(matches!(&list[0].kind, Kind::Text(t) if t == "01"));
        assert!(matches!(&list[1].kind, Kind::Text(t) if t == "no"));
        assert!(matches!(&list[2].kind, Kind::Text(t) if t == "y"));
        assert!(matches!(list[3].kind, Kind::Bool(true)));
        assert!(matches!(list[4].kind, Kind::Int(7)));
    }

    #[test]
    fn what_is_not_yaml_is_one_problem_with_its_line() {
        for text in ["a: [1\n", "a: 1\na: 2\n", "a: *nowhere\n"] {
            let (node, problems) = parse(text);
            assert!(node.is_none(), "{text:?} was read");
            assert_eq!(problems.len(), 1);
            assert!(problems[0].at.is_some(), "{}", problems[0]);
        }
    }

    #[test]
    fn all_unknown_keys_are_named_with_the_one_meant() {
        let mut problems = Vec::new();
        let (mut doc, node) = Document::parse(Path::new("a.yaml"), "naem: x\nzzz: 1\n", &mut problems).unwrap();
        let mut fields = doc.fields(&node, "a thing").unwrap();
        assert!(fields.need(&mut doc, "name").is_none());
        fields.finish(&mut doc);
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "a.yaml:1:1: a thing lacks `name`",
                "a.yaml:1:1: a thing has no key `naem` (did you mean `name`?)",
                "a.yaml:2:1: a thing has no key `zzz` (it may have: name)",
            ]
        );
    }
}
