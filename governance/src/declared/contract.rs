//! `kind: DataContract`: an ODCS 3.1 contract, the `.avsc` files beside it, and its code lists.
//!
//! Source: Open Data Contract Standard v3.1.0 (Bitol, LF AI & Data). A contract here is valid by its JSON schema; what of
//! it Kênh reads, and the settings that it adds as `customProperties`, the table in `docs/` lists. The structure of a
//! record is in `v1.avsc`, `v2.avsc`, … and nowhere else; the contract describes each of its fields and gives rules.

use std::collections::BTreeMap;
use std::path::Path;

use kenh_domain::contract::{CodeList, CodeListDataset, Contract, Effective, Provider, Terms, VersionSource};
use kenh_domain::limits::{MAX_CONTROL_BYTES, MAX_PARTITIONS, MAX_SCHEMA_DEPTH};
use kenh_domain::names::{Agency, Dataset};
use kenh_domain::schema::{Schema, Type};

use super::problem::{At, Problem};
use super::properties::{self, Property};
use super::yaml::{Document, Fields, Kind, Node, nearest};
use super::{Marks, terms, text};

/// A contract as declared: everything but the ids of its schemas.
#[derive(Debug, Clone)]
pub struct DeclaredContract {
    /// What it says, without its schema versions.
    pub contract: Contract,
    /// Its schema versions, from 1, without gaps.
    pub versions: Vec<DeclaredSchema>,
}

/// One `vN.avsc`.
#[derive(Debug, Clone)]
pub struct DeclaredSchema {
    /// N.
    pub version: u32,
    /// Its JSON, without the spaces and line ends of the file, so that reformatting the file is no change.
    pub text: String,
    /// As parsed.
    pub schema: Schema,
}

/// Keys of a contract that are for people and other tools.
const DESCRIPTIVE: &[&str] =
    &["name", "tenant", "tags", "servers", "dataProduct", "price", "roles", "slaDefaultElement", "contractCreatedTs"];

/// Reads a contract from the keys beside `kind`, and the files beside it.
pub fn read(doc: &mut Document<'_>, mut fields: Fields<'_>) -> Option<(DeclaredContract, Marks)> {
    let mut marks = Marks::new(fields.at);
    if let Some(node) = fields.need(doc, "apiVersion")
        && let Some(version) = doc.text(node, "the apiVersion")
        && !["v3.1.0", "v3.1"].contains(&version.as_str())
    {
        doc.problem(node.at, format!("apiVersion {version:?} is not read"), "write v3.1.0");
    }
    let dataset = fields.need(doc, "id").and_then(|n| {
        marks.set("id", n.at);
        doc.parsed::<Dataset>(n, "the id of a contract, which names its dataset")
    });
    let version = fields.need(doc, "version").and_then(|n| {
        marks.set("version", n.at);
        version(doc, n)
    });
    if let Some(node) = fields.need(doc, "status")
        && let Some(status) = doc.text(node, "the status of a contract")
        && !["active", "deprecated"].contains(&status.as_str())
    {
        let hint = "only a contract with status active (or deprecated) is applied; keep drafts elsewhere";
        doc.problem(node.at, format!("the status of this contract is {status:?}"), hint);
    }
    let mut settings = Settings::default();
    let owner = fields.need(doc, "team").and_then(|n| {
        marks.set("team", n.at);
        let (owner, owners, officers) = terms::team(doc, n);
        settings.terms.owners = owners;
        settings.terms.data_protection = officers;
        owner
    });
    settings.terms.contacts = fields.take("support").map(|n| terms::contacts(doc, n)).unwrap_or_default();
    settings.terms.group = fields.take("domain").and_then(|n| doc.text(n, "the domain of a contract"));
    let articles = fields.take("authoritativeDefinitions").map(|n| terms::articles(doc, n));
    settings.terms.articles = articles.unwrap_or_default();
    if let Some(node) = fields.take("slaProperties") {
        (settings.terms.update_within, settings.terms.retention) = terms::service_levels(doc, node);
    }
    let description = fields.take("description").map(|n| description(doc, n)).unwrap_or_default();
    if let Some(custom) = fields.take("customProperties") {
        properties::settings(doc, custom, "a contract", |doc, name, node| {
            marks.set(name, node.at);
            settings.take(doc, name, node)
        });
    }
    let described = fields.need(doc, "schema").and_then(|n| record(doc, n, &mut marks));
    fields.also(DESCRIPTIVE);
    fields.finish(doc);

    let versions = schemas(doc.file, doc.problems);
    let described = described?;
    if let Some(newest) = versions.last() {
        compare(doc, &described, &newest.schema, &format!("v{}.avsc", newest.version));
    }
    let key = record_key(doc, &described, &versions, &marks);
    let code_lists = code_lists(doc, &described, &settings.code_lists, marks.get("kenh.codeLists"));
    let fields = described.into_iter().filter(|p| !p.in_array()).map(|p| (p.path, p.rules)).collect();
    let contract = Contract {
        dataset: dataset?,
        version: version?,
        owner: owner.clone()?,
        description,
        partitions: settings.partitions.unwrap_or(1),
        key,
        providers: settings.providers.unwrap_or_else(|| owner.into_iter().map(all_rows).collect()),
        version_source: settings.version_source,
        max_version_step: settings.max_version_step,
        effective: settings.effective,
        open: settings.open,
        synthetic: settings.synthetic,
        schemas: Vec::new(),
        fields,
        code_lists,
        terms: settings.terms,
    };
    if contract.open && contract.personal() {
        let message = "the contract says kenh.open, and has personal data";
        doc.problem(marks.get("kenh.open"), message, "an open dataset is free of personal data");
    }
    if contract.open
        && let Some((path, _)) = contract.fields.iter().find(|(_, rules)| rules.secret)
    {
        let message = format!("the contract says kenh.open, and {path} is secret");
        doc.problem(marks.get("kenh.open"), message, "an open dataset has no secret field");
    }
    if let (Some(newest), Some(back)) = (versions.last(), &contract.terms.share_back)
        && let Some(territory) = &back.territory
    {
        match newest.schema.path(territory) {
            Some(path) if *path.ty().inner() == Type::Text => {}
            Some(_) => {
                let message = format!("kenh.shareBack goes by {territory}, which is no text");
                doc.problem(
                    marks.get("kenh.shareBack"),
                    message,
                    "name the field that holds the code of the territory",
                );
            }
            None => {
                let hint = newest.schema.nearest(territory).map(|near| format!("did you mean {near}?"));
                let message = format!("kenh.shareBack goes by {territory}, which is no field");
                doc.problem(marks.get("kenh.shareBack"), message, hint.unwrap_or_default());
            }
        }
    }
    Some((DeclaredContract { contract, versions }, marks))
}

const fn all_rows(agency: Agency) -> Provider {
    Provider { agency, rows: None }
}

/// A version that can be compared: `major.minor.patch`.
fn version(doc: &mut Document<'_>, node: &Node) -> Option<String> {
    let text = doc.text(node, "the version of a contract")?;
    if parts(&text).is_none() {
        doc.problem(node.at, format!("version {text:?} is not major.minor.patch"), "write 1.0.0");
    }
    Some(text)
}

/// The three numbers of a contract's version.
#[must_use]
pub fn parts(version: &str) -> Option<[u32; 3]> {
    let numbers: Vec<u32> = version.split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

fn description(doc: &mut Document<'_>, node: &Node) -> String {
    let Some(mut fields) = doc.fields(node, "the description of a contract") else { return String::new() };
    let purpose = fields.take("purpose").and_then(|n| doc.text(n, "the purpose of a contract"));
    fields.also(&["usage", "limitations", "authoritativeDefinitions", "customProperties"]);
    fields.finish(doc);
    purpose.unwrap_or_default()
}

#[derive(Default)]
struct Settings {
    partitions: Option<u32>,
    providers: Option<Vec<Provider>>,
    version_source: VersionSource,
    max_version_step: Option<u64>,
    effective: Effective,
    open: bool,
    synthetic: bool,
    code_lists: BTreeMap<String, CodeListDataset>,
    terms: Terms,
}

impl Settings {
    fn take(&mut self, doc: &mut Document<'_>, name: &str, node: &Node) -> bool {
        match name {
            "kenh.partitions" => {
                let n = doc.whole(node, name, 1, i64::from(MAX_PARTITIONS));
                self.partitions = n.and_then(|n| u32::try_from(n).ok());
            }
            "kenh.providers" => self.providers = providers(doc, node),
            "kenh.versionSource" => match doc.text(node, name).as_deref() {
                Some("provider") => self.version_source = VersionSource::Provider,
                Some("log-position") => self.version_source = VersionSource::LogPosition,
                Some("assigned") => self.version_source = VersionSource::Assigned,
                Some(other) => {
                    let hint = "write provider, log-position or assigned";
                    doc.problem(node.at, format!("{name} is {other:?}"), hint);
                }
                None => {}
            },
            "kenh.maxVersionStep" => {
                let n = doc.whole(node, name, 1, i64::MAX);
                self.max_version_step = n.and_then(|n| u64::try_from(n).ok());
            }
            "kenh.effective" => match doc.text(node, name).as_deref() {
                Some("at-once") => self.effective = Effective::AtOnce,
                Some("in-key") => self.effective = Effective::InKey,
                Some(other) => doc.problem(node.at, format!("{name} is {other:?}"), "write at-once or in-key"),
                None => {}
            },
            "kenh.open" => self.open = doc.boolean(node, name).unwrap_or_default(),
            "kenh.codeLists" => self.code_lists = list_datasets(doc, node),
            "kenh.shareBack" => self.terms.share_back = terms::share_back(doc, node),
            "kenh.onward" => self.terms.onward = terms::onward(doc, node),
            "kenh.synthetic" => self.synthetic = doc.boolean(node, name).unwrap_or_default(),
            _ => return false,
        }
        true
    }
}

/// Who writes: names, or `agency` and `rows`.
fn providers(doc: &mut Document<'_>, node: &Node) -> Option<Vec<Provider>> {
    let items = doc.list(node, "kenh.providers")?;
    let mut out: Vec<Provider> = Vec::new();
    for item in items {
        let provider = if matches!(item.kind, Kind::Map(_)) {
            let mut fields = doc.fields(item, "a provider")?;
            let agency = fields.need(doc, "agency").and_then(|n| doc.parsed(n, "a provider"));
            let rows = fields.take("rows").map(|n| doc.text(n, "the rows of a provider"));
            fields.finish(doc);
            match rows {
                // Rows that cannot be read must not turn into all rows.
                Some(None) => None,
                Some(rows) => agency.map(|agency| Provider { agency, rows }),
                None => agency.map(all_rows),
            }
        } else {
            doc.parsed(item, "a provider").map(all_rows)
        };
        let Some(provider) = provider else { continue };
        if out.iter().any(|p| p.agency == provider.agency) {
            doc.problem(item.at, format!("provider {} is named twice", provider.agency), "keep one of the two");
        }
        out.push(provider);
    }
    if items.is_empty() {
        doc.problem(node.at, "kenh.providers are an empty list", "name at least one agency that writes");
    }
    Some(out)
}

/// Code lists that are datasets on the bus: name, dataset, and what of its records is read.
fn list_datasets(doc: &mut Document<'_>, node: &Node) -> BTreeMap<String, CodeListDataset> {
    let mut out = BTreeMap::new();
    for item in doc.list(node, "kenh.codeLists").unwrap_or_default() {
        let Some(mut fields) = doc.fields(item, "a code list") else { continue };
        let name = fields.need(doc, "name").and_then(|n| doc.text(n, "the name of a code list"));
        let dataset = fields.need(doc, "dataset").and_then(|n| doc.parsed(n, "the dataset of a code list"));
        let code = fields.need(doc, "code").and_then(|n| doc.text(n, "the code of a code list"));
        let mut text = |key: &'static str, what: &str| match fields.take(key).map(|n| doc.text(n, what)) {
            // What cannot be read must not turn into nothing, which says something else.
            Some(None) => None,
            Some(Some(text)) => Some(Some(text)),
            None => Some(None),
        };
        let from = text("from", "the first day of a code list");
        let to = text("to", "the last day of a code list");
        let rows = text("rows", "the rows of a code list");
        fields.finish(doc);
        let (Some(name), Some(dataset), Some(code)) = (name, dataset, code) else { continue };
        let (Some(from), Some(to), Some(rows)) = (from, to, rows) else { continue };
        if out.insert(name.clone(), CodeListDataset { dataset, code, from, to, rows }).is_some() {
            doc.problem(item.at, format!("code list {name} is described twice"), "keep one of the two");
        }
    }
    out
}

/// The one schema object of the contract: its record.
fn record(doc: &mut Document<'_>, node: &Node, marks: &mut Marks) -> Option<Vec<Property>> {
    let items = doc.list(node, "schema")?;
    let [item] = items else {
        let message = format!("schema has {} objects; a dataset is one kind of record", items.len());
        doc.problem(node.at, message, "make a contract for each");
        return None;
    };
    let mut fields = doc.fields(item, "a schema object")?;
    let _ = fields.need(doc, "name").and_then(|n| doc.text(n, "the name of a schema object"));
    let properties = fields.need(doc, "properties");
    if let Some(quality) = fields.take("quality") {
        doc.problem(quality.at, "rules over whole records are not run by Kênh", "drop them, or describe them in words");
    }
    fields.also(&[
        "id",
        "logicalType",
        "physicalName",
        "physicalType",
        "dataGranularityDescription",
        "description",
        "businessName",
        "authoritativeDefinitions",
        "tags",
        "customProperties",
        "relationships",
    ]);
    fields.finish(doc);
    let mut out = Vec::new();
    properties::read(doc, properties?, "", properties::Class::default(), &mut out);
    for property in &out {
        marks.set(&format!("schema.{}", property.path), property.at);
    }
    Some(out)
}

/// `v1.avsc`, `v2.avsc`, … beside the contract; nothing else with that ending may lie there.
fn schemas(contract: &Path, problems: &mut Vec<Problem>) -> Vec<DeclaredSchema> {
    let folder = contract.parent().unwrap_or_else(|| Path::new("."));
    let mut found = BTreeMap::new();
    let entries = std::fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(stem) = name.strip_suffix(".avsc") else { continue };
        let number =
            stem.strip_prefix('v').and_then(|n| n.parse::<u32>().ok().filter(|p| *p > 0 && p.to_string() == n));
        match number {
            Some(number) => {
                found.insert(number, folder.join(&name));
            }
            None => problems.push(Problem::of_file(
                &folder.join(&name),
                "this schema file is not called by its version",
                "name it v1.avsc, v2.avsc, …",
            )),
        }
    }
    if found.is_empty() {
        problems.push(Problem::of_file(&folder.join("v1.avsc"), "the contract's schema is missing", "write v1.avsc"));
    }
    let mut out = Vec::new();
    for (expected, (number, file)) in (1..).zip(&found) {
        if expected != *number {
            let missing = folder.join(format!("v{expected}.avsc"));
            problems.push(Problem::of_file(&missing, format!("the file is missing, and v{number}.avsc is there"), ""));
            break;
        }
        let Some(text) = text(file, problems) else { continue };
        match schema(&text) {
            Ok((text, schema)) => out.push(DeclaredSchema { version: *number, text, schema }),
            Err(message) => problems.push(Problem::of_file(file, message, "")),
        }
    }
    // With a version missing or unreadable the rest cannot be judged.
    if out.len() == found.len() { out } else { Vec::new() }
}

/// A schema's compact JSON, and the schema.
fn schema(text: &str) -> Result<(String, Schema), String> {
    let json: serde_json::Value = serde_json::from_str(text).map_err(|e| match e.to_string() {
        // serde_json says it in words alone, well before the stack is short.
        deep if deep.starts_with("recursion limit exceeded") => format!(
            "nested too deep at line {} column {}; a schema has at most {MAX_SCHEMA_DEPTH} levels",
            e.line(),
            e.column()
        ),
        other => format!("not JSON: {other}"),
    })?;
    let compact = json.to_string();
    let schema = Schema::parse(&compact).map_err(|e| {
        let cause = std::error::Error::source(&e).map(|c| format!(": {c}")).unwrap_or_default();
        format!("{e}{cause}")
    })?;
    Ok((compact, schema))
}

/// Every property is a field of the newest schema and fits its type; every leaf of the schema is described.
fn compare(doc: &mut Document<'_>, described: &[Property], schema: &Schema, file: &str) {
    let mut structure = BTreeMap::new();
    for field in schema.fields() {
        list(&field.name, &field.ty, &mut structure);
    }
    let paths: Vec<&str> = structure.keys().map(String::as_str).collect();
    for property in described {
        let Some(ty) = structure.get(&property.path) else {
            let hint = nearest(&property.path, &paths).map(|near| format!("did you mean {near}?")).unwrap_or_default();
            doc.problem(property.at, format!("{file} has no field {}", property.path), hint);
            continue;
        };
        if !fits(&property.logical, ty) {
            let message =
                format!("{} is {:?} here and {} in {file}", property.path, property.logical, ty.inner().kind());
            doc.problem(property.at, message, "make the two agree");
        }
    }
    for (path, ty) in &structure {
        let leaf = !matches!(ty.inner(), Type::Record(_)) && !path.ends_with("[]");
        if leaf && !described.iter().any(|p| &p.path == path) {
            let message = format!("field {path} of {file} is not described in the contract");
            doc.problems.push(Problem::of_file(doc.file, message, "add a property for it"));
        }
    }
}

/// Every path of a type, with `[]` for the items of arrays.
fn list(path: &str, ty: &Type, out: &mut BTreeMap<String, Type>) {
    out.insert(path.to_owned(), ty.clone());
    match ty.inner() {
        Type::Record(record) => {
            for field in &record.fields {
                list(&format!("{path}.{}", field.name), &field.ty, out);
            }
        }
        Type::Array(items) => list(&format!("{path}[]"), items, out),
        _ => {}
    }
}

/// Whether ODCS's logical type can be said of an Avro type.
fn fits(logical: &str, ty: &Type) -> bool {
    match ty.inner() {
        Type::Text | Type::Uuid | Type::Enum(_) => logical == "string",
        Type::Int | Type::Long => matches!(logical, "integer" | "number"),
        Type::Float | Type::Double | Type::Decimal(_) => logical == "number",
        Type::Boolean => logical == "boolean",
        Type::Date => logical == "date",
        Type::TimeMillis | Type::TimeMicros => logical == "time",
        Type::TimestampMillis | Type::TimestampMicros | Type::LocalTimestampMillis | Type::LocalTimestampMicros => {
            logical == "timestamp"
        }
        Type::Record(_) | Type::Map(_) => logical == "object",
        Type::Array(_) => logical == "array",
        // ODCS has no word for raw bytes and for unions of several types.
        Type::Null | Type::Bytes | Type::Fixed(_) | Type::Union(_) | Type::Nullable(..) => true,
    }
}

/// The fields of the record key, in order. In every version each is a text, a whole number or a date that is never null,
/// and of the same type, so that a record keeps its key.
fn record_key(
    doc: &mut Document<'_>,
    described: &[Property],
    versions: &[DeclaredSchema],
    marks: &Marks,
) -> Vec<String> {
    let mut key: Vec<&Property> = described.iter().filter(|p| p.key.is_some()).collect();
    key.sort_by_key(|p| p.key);
    if key.is_empty() {
        let hint = "mark the fields that name a record with primaryKey: true";
        doc.problem(marks.get(""), "the contract has no record key", hint);
    }
    for (expected, property) in (1..).zip(&key) {
        if property.key != Some(expected) {
            let message =
                format!("the parts of the record key are not numbered 1, 2, …: {} is not {expected}", property.path);
            doc.problem(property.at, message, "set primaryKeyPosition");
            break;
        }
    }
    for property in &key {
        let mut first: Option<Type> = None;
        for version in versions {
            // A missing field of the newest version is reported by `compare`.
            let Some(path) = version.schema.path(&property.path) else {
                if version.version < versions.last().map_or(0, |v| v.version) {
                    let message =
                        format!("{} is part of the record key and not in v{}.avsc", property.path, version.version);
                    doc.problem(property.at, message, "a record key never changes");
                }
                continue;
            };
            let usable = matches!(path.ty(), Type::Text | Type::Int | Type::Long | Type::Date);
            if !usable || path.under_nullable() {
                let message = format!("{} is part of the record key and cannot be", property.path);
                doc.problem(
                    property.at,
                    message,
                    "a record key is made of texts, whole numbers and dates that are never null",
                );
            }
            if first.as_ref().is_some_and(|ty| ty != path.ty()) {
                let message = format!(
                    "{} is part of the record key and changes its type in v{}.avsc",
                    property.path, version.version
                );
                doc.problem(property.at, message, "a record key never changes");
            }
            first.get_or_insert_with(|| path.ty().clone());
        }
    }
    key.into_iter().map(|p| p.path.clone()).collect()
}

/// Every list that a field uses: the dataset that the contract names for it, or else `code-lists/<name>.csv` with one
/// column, `code`.
fn code_lists(
    doc: &mut Document<'_>,
    described: &[Property],
    datasets: &BTreeMap<String, CodeListDataset>,
    at: At,
) -> BTreeMap<String, CodeList> {
    let mut out = BTreeMap::new();
    let folder = doc.file.parent().unwrap_or_else(|| Path::new(".")).join("code-lists");
    for property in described {
        let Some(used) = &property.rules.code_list else { continue };
        let beside = [("kenh.codeListWith", &used.with), ("kenh.codeListOn", &used.on)];
        for (name, path) in beside.iter().filter_map(|(name, path)| Some((name, path.as_ref()?))) {
            if used.list.is_empty() {
                doc.problem(property.at, format!("{} has {name} and no kenh.codeList", property.path), "");
            } else if !described.iter().any(|p| &p.path == path) {
                let message = format!("{name} of {} names {path}, which is no field", property.path);
                doc.problem(property.at, message, "write its whole dotted path");
            }
        }
        if used.list.is_empty() || out.contains_key(&used.list) {
            continue;
        }
        let file = folder.join(format!("{}.csv", used.list));
        if let Some(list) = datasets.get(&used.list) {
            if file.exists() {
                let message = format!("code list {} is a dataset, and {} is there too", used.list, file.display());
                doc.problem(at, message, "keep one of the two");
            }
            out.insert(used.list.clone(), CodeList::Dataset(list.clone()));
            continue;
        }
        match codes(&file) {
            Ok(codes) => {
                out.insert(used.list.clone(), CodeList::Frozen(codes));
            }
            Err(message) => doc.problems.push(Problem::of_file(
                &file,
                message,
                format!("{} uses it; a list on the bus is named in kenh.codeLists", property.path),
            )),
        }
    }
    for name in datasets.keys().filter(|name| !out.contains_key(*name)) {
        doc.problem(
            at,
            format!("no field uses the code list {name}"),
            "name it in kenh.codeList of a field, or drop it",
        );
    }
    out
}

/// The sorted codes of a file.
fn codes(file: &Path) -> Result<Vec<String>, String> {
    let mut reader = csv::Reader::from_path(file).map_err(|e| format!("the code list cannot be read: {e}"))?;
    let header = reader.headers().map_err(|e| e.to_string())?;
    if header.iter().ne(["code"]) {
        return Err("the first line of a code list is `code`, and that is its only column".into());
    }
    let mut out = Vec::new();
    let mut bytes = 0;
    for record in reader.records() {
        let record = record.map_err(|e| e.to_string())?;
        let code = record.get(0).unwrap_or_default().trim();
        if code.is_empty() {
            return Err(format!("line {} is empty", record.position().map_or(0, csv::Position::line)));
        }
        bytes += code.len() + 3;
        if bytes > MAX_CONTROL_BYTES / 2 {
            return Err(format!("the code list is larger than {} bytes", MAX_CONTROL_BYTES / 2));
        }
        out.push(code.to_owned());
    }
    out.sort_unstable();
    out.dedup();
    Ok(out)
}
