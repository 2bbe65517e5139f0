//! Reading declared state: the folders of contracts, agencies and grants, as people write them.
//!
//! What a file is, its `kind` says: `DataContract` (ODCS 3.1), `Agency`, `Law`, `GrantTemplate`, `Grant`. Mapping files of producers
//! (`mapping.yaml`) lie beside contracts and are read by those who use them. Everything that is wrong is told at once;
//! nothing is guessed, and a key that nobody knows is refused, since a misspelt `filter` would otherwise share everything.

mod agency;
pub mod contract;
mod grant;
mod law;
mod problem;
mod properties;
mod template;
pub mod terms;
pub mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kenh_domain::control::AgencyDocument;
use kenh_domain::law::Article;

pub use contract::{DeclaredContract, DeclaredSchema};
pub use grant::DeclaredGrant;
pub use problem::{At, Problem};
pub use template::Template;

#[cfg(test)]
mod tests;

use yaml::{Document, Kind};

/// Largest YAML or schema file: thirty times the largest contract known today.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Everything that was declared.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// Agencies, by file.
    pub agencies: Vec<Item<AgencyDocument>>,
    /// Contracts, by file.
    pub contracts: Vec<Item<DeclaredContract>>,
    /// Articles of law, by file.
    pub laws: Vec<Item<Article>>,
    /// Templates of grants, by file.
    pub templates: Vec<Item<Template>>,
    /// Grants, by file.
    pub grants: Vec<Item<DeclaredGrant>>,
}

impl Declared {
    /// The template of that name, if it is declared.
    #[must_use]
    pub fn template(&self, name: &str) -> Option<&Template> {
        self.templates.iter().map(|item| &item.value).find(|template| template.name == name)
    }
}

/// One declared thing and where its parts stand.
#[derive(Debug, Clone)]
pub struct Item<T> {
    /// What is declared.
    pub value: T,
    /// Its file.
    pub file: PathBuf,
    marks: Marks,
    source: String,
}

impl<T> Item<T> {
    /// A problem with the part called `key` (`filter`, `fields.2`), or with the whole if that is not marked.
    pub fn problem(&self, key: &str, message: impl Into<String>, hint: impl Into<String>) -> Problem {
        Problem::at(&self.file, self.marks.get(key), message, hint)
    }

    /// A problem at a byte offset into the text under `key`.
    pub fn problem_within(
        &self,
        key: &str,
        offset: usize,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Problem {
        let mut at = self.marks.get(key);
        let line = usize::try_from(at.line).ok().and_then(|n| self.source.lines().nth(n.checked_sub(1)?));
        let start = usize::try_from(at.column).unwrap_or(1).saturating_sub(1);
        let rest: String = line.unwrap_or_default().chars().skip(start).collect();
        match rest.chars().next() {
            // A block text starts on another line; its first one is where people look.
            Some('|' | '>') => {}
            quote => {
                let quoted = usize::from(matches!(quote, Some('"' | '\'')));
                let before = rest.char_indices().filter(|(i, _)| *i < offset + quoted).count();
                at.column += before as u64;
            }
        }
        Problem::at(&self.file, at, message, hint)
    }
}

/// Where the parts of a document stand, by their dotted path.
#[derive(Debug, Clone)]
pub struct Marks {
    whole: At,
    parts: BTreeMap<String, At>,
}

impl Marks {
    const fn new(whole: At) -> Self {
        Self { whole, parts: BTreeMap::new() }
    }

    fn set(&mut self, key: &str, at: At) {
        self.parts.insert(key.to_owned(), at);
    }

    fn get(&self, key: &str) -> At {
        self.parts.get(key).copied().unwrap_or(self.whole)
    }
}

/// Reads files, and folders with everything below them.
///
/// # Errors
/// Every [`Problem`] there is, in the order of files and lines.
pub fn read(paths: &[PathBuf]) -> Result<Declared, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut files = BTreeSet::new();
    for path in paths {
        collect(path, &mut files, &mut problems);
    }
    let mut declared = Declared::default();
    for file in &files {
        read_file(file, &mut declared, &mut problems);
    }
    twice(&declared.agencies, |a| a.name.to_string(), "agency", "name", &mut problems);
    twice(&declared.contracts, |c| c.contract.dataset.to_string(), "dataset", "id", &mut problems);
    twice(&declared.laws, |a| a.id.to_string(), "article", "id", &mut problems);
    twice(&declared.templates, |t| t.name.clone(), "template", "name", &mut problems);
    twice(&declared.grants, |g| g.grant.id.to_string(), "grant", "id", &mut problems);
    if files.is_empty() && problems.is_empty() {
        let asked = paths.first().map_or(Path::new("."), PathBuf::as_path);
        problems.push(Problem::of_file(asked, "there is nothing declared here", "name a folder with YAML files"));
    }
    if problems.is_empty() {
        return Ok(declared);
    }
    problems.sort();
    problems.dedup();
    Err(problems)
}

/// Every YAML file at or below a path. Files whose name starts with a dot, and mappings, are none of ours.
fn collect(path: &Path, files: &mut BTreeSet<PathBuf>, problems: &mut Vec<Problem>) {
    if path.is_file() {
        files.insert(path.to_owned());
        return;
    }
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => {
            problems.push(Problem::of_file(path, format!("cannot be read: {error}"), ""));
            return;
        }
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry.path(),
            Err(error) => {
                problems.push(Problem::of_file(path, format!("cannot be read: {error}"), ""));
                continue;
            }
        };
        let name = entry.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        if name.starts_with('.') {
            continue;
        }
        let yaml = name.ends_with(".yaml") || name.ends_with(".yml");
        let mapping = name == "mapping.yaml" || name.ends_with(".mapping.yaml");
        if entry.is_dir() || (yaml && !mapping) {
            collect(&entry, files, problems);
        }
    }
}

fn read_file(file: &Path, declared: &mut Declared, problems: &mut Vec<Problem>) {
    let Some(source) = text(file, problems) else { return };
    let Some((mut doc, node)) = Document::parse(file, &source, problems) else { return };
    let Some(mut fields) = doc.fields(&node, "a declared document") else { return };
    let kind = fields.need(&mut doc, "kind");
    let kind_at = kind.map_or(node.at, |k| k.at);
    let kind = match kind.map(|k| &k.kind) {
        Some(Kind::Text(kind)) => kind.as_str(),
        _ => "",
    };
    let file = file.to_owned();
    fields.call(match kind {
        "Agency" => "an agency",
        "Grant" => "a grant",
        "Law" => "an article",
        "GrantTemplate" => "a template",
        "DataContract" => "a contract",
        _ => "a declared document",
    });
    match kind {
        "Agency" => {
            if let Some((value, marks)) = agency::read(&mut doc, fields) {
                declared.agencies.push(Item { value, file, marks, source });
            }
        }
        "Grant" => {
            if let Some((value, marks)) = grant::read(&mut doc, fields) {
                declared.grants.push(Item { value, file, marks, source });
            }
        }
        "Law" => {
            if let Some((value, marks)) = law::read(&mut doc, fields) {
                declared.laws.push(Item { value, file, marks, source });
            }
        }
        "GrantTemplate" => {
            if let Some((value, marks)) = template::read(&mut doc, fields) {
                declared.templates.push(Item { value, file, marks, source });
            }
        }
        "DataContract" => {
            if let Some((value, marks)) = contract::read(&mut doc, fields) {
                declared.contracts.push(Item { value, file, marks, source });
            }
        }
        "" => {}
        other => doc.problem(
            kind_at,
            format!("kind {other:?} is not known"),
            "write Agency, DataContract, Law, GrantTemplate or Grant",
        ),
    }
}

/// The text of a file of bounded size.
fn text(file: &Path, problems: &mut Vec<Problem>) -> Option<String> {
    let read = std::fs::metadata(file)
        .and_then(|m| if m.len() > MAX_FILE_BYTES { Ok(None) } else { std::fs::read(file).map(Some) });
    let bytes = match read {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            let message = format!("the file is larger than {MAX_FILE_BYTES} bytes");
            problems.push(Problem::of_file(file, message, "long lists belong into code-lists/"));
            return None;
        }
        Err(error) => {
            problems.push(Problem::of_file(file, format!("cannot be read: {error}"), ""));
            return None;
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|b| **b == b'\n').count() as u64 + 1;
            let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
            let column = String::from_utf8_lossy(before.get(start..).unwrap_or_default()).chars().count() as u64 + 1;
            problems.push(Problem::at(file, At { line, column }, "the file is not UTF-8", "save it as UTF-8"));
            None
        }
    }
}

/// Two documents of one name would decide by the order of files.
fn twice<T>(items: &[Item<T>], name: impl Fn(&T) -> String, what: &str, key: &str, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<String, &Path> = BTreeMap::new();
    for item in items {
        let name = name(&item.value);
        if let Some(first) = seen.insert(name.clone(), &item.file) {
            let message = format!("{what} {name} is declared here and in {}", first.display());
            problems.push(item.problem(key, message, "keep one of the two"));
        }
    }
}
