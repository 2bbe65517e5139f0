//! Contracts: new datasets, and new versions of their contracts and schemas.

use kenh_domain::admit::{Rules, RulesError};
use kenh_domain::codes::CodesReader;
use kenh_domain::contract::{Contract, SchemaVersion};
use kenh_domain::control::ControlEvent;
use kenh_domain::envelope;
use kenh_domain::error::chain;
use kenh_domain::filter::Filter;
use kenh_domain::names::Dataset;
use kenh_domain::schema::Schema;
use kenh_domain::wire::SchemaId;

use super::{Action, Kind, Planner, Resolved, words};
use crate::compatibility;
use crate::declared::contract::parts;
use crate::declared::{DeclaredContract, Item};
use crate::registry::subjects;

impl Planner<'_> {
    /// Plans every declared contract.
    pub(super) fn contracts(&mut self) {
        let declared = self.declared;
        for contract in self.control.contracts.values() {
            if let Some(resolved) = Resolved::of(contract) {
                self.contracts.insert(contract.dataset.clone(), resolved);
            }
        }
        for item in &declared.contracts {
            self.contract(item);
        }
        for item in &declared.contracts {
            self.lists_fit(item);
        }
    }

    /// The datasets that a contract uses as code lists can be read so; and those that use this one as theirs still can.
    fn lists_fit(&mut self, item: &Item<DeclaredContract>) {
        let own = &item.value.contract.dataset;
        let mut problems = Vec::new();
        let declared = |dataset: &Dataset| self.declared.contracts.iter().any(|i| i.value.contract.dataset == *dataset);
        for Resolved { contract, .. } in self.contracts.values() {
            for (name, list) in contract.lists_on_the_bus() {
                let of = if contract.dataset == *own { "kenh.codeLists" } else { "" };
                // One that is declared as well says it itself.
                if contract.dataset != *own && (list.dataset != *own || declared(&contract.dataset)) {
                    continue;
                }
                let message = match self.contracts.get(&list.dataset) {
                    None => format!("code list {name}: there is no dataset {}", list.dataset),
                    Some(known) => match CodesReader::compile(list, &known.contract) {
                        Ok(_) => continue,
                        Err(error) => format!("code list {name} of {}: {}", contract.dataset, chain(&error)),
                    },
                };
                problems.push(item.problem(of, message, "see \"Code lists\" in docs/dictionary.md"));
            }
        }
        self.problems.append(&mut problems);
    }

    fn contract(&mut self, item: &Item<DeclaredContract>) {
        let before = self.problems.len();
        let dataset = &item.value.contract.dataset;
        let known = self.control.contracts.get(dataset).cloned();
        self.people_exist(item);
        self.rows_compile(item);
        self.versions_fit(item);
        if let Some(known) = &known {
            self.released_stays(item, known);
        }
        if self.problems.len() > before {
            return;
        }
        let (contract, schemas) = self.resolve(item, known.as_deref());
        if !self.enforceable(item, &contract) {
            return;
        }
        match known.as_deref() {
            Some(known) if *known == contract => {
                self.say(Action::Unchanged, Kind::Contract, dataset, Vec::new());
                return;
            }
            Some(known) => {
                self.version_rises(item, known);
                self.changed.insert(dataset.clone());
                self.say(Action::Change, Kind::Contract, dataset, words::contract(known, &contract));
            }
            None => {
                let providers: Vec<_> = contract.providers.iter().map(|p| p.agency.to_string()).collect();
                let words = vec![format!(
                    "{} of {}, record key {}, {}, written by {}{}",
                    words::count(schemas.last().map_or(0, |(_, s)| s.fields().len()), "field"),
                    contract.owner,
                    contract.key.join(" + "),
                    words::count(contract.partitions as usize, "partition"),
                    providers.join(", "),
                    if contract.synthetic { ", SYNTHETIC" } else { "" },
                )];
                self.say(Action::Create, Kind::Contract, dataset, words);
            }
        }
        self.events.push(ControlEvent::Contract(Box::new(contract.clone())));
        self.contracts.insert(dataset.clone(), Resolved { contract, schemas });
    }

    fn people_exist(&mut self, item: &Item<DeclaredContract>) {
        let contract = &item.value.contract;
        let hint = "declare it in broker-config/agencies/";
        if !self.agencies.contains_key(&contract.owner) {
            self.problems.push(item.problem("team", format!("there is no agency {}", contract.owner), hint));
        }
        // Where the contract names no provider its owner is one; that problem is told once.
        for provider in contract.providers.iter().filter(|p| p.agency != contract.owner) {
            if !self.agencies.contains_key(&provider.agency) {
                let message = format!("there is no agency {}", provider.agency);
                self.problems.push(item.problem("kenh.providers", message, hint));
            }
        }
    }

    /// The rows that a provider may write compile against every version.
    fn rows_compile(&mut self, item: &Item<DeclaredContract>) {
        let schemas: Vec<(SchemaId, Schema)> =
            item.value.versions.iter().map(|v| (SchemaId(v.version), v.schema.clone())).collect();
        for provider in &item.value.contract.providers {
            let Some(rows) = &provider.rows else { continue };
            if let Err(error) = Filter::compile_versions(rows, &schemas) {
                let message =
                    format!("the rows of {}: at character {}: {}", provider.agency, error.offset, error.message);
                self.problems.push(item.problem("kenh.providers", message, error.hint.unwrap_or_default()));
            }
        }
    }

    /// Every rule of the contract means something for its field: admission compiles the same way, and must not fail then.
    fn enforceable(&mut self, item: &Item<DeclaredContract>, contract: &Contract) -> bool {
        let Err(error) = Rules::compile(contract) else { return true };
        let (mark, message, hint) = match &error {
            RulesError::Rule { path, reason, .. } => (format!("schema.{path}"), format!("{path}: {reason}"), ""),
            RulesError::Path { path, hint, .. } => (format!("schema.{path}"), error.to_string(), hint.as_str()),
            RulesError::Key { path, .. } => (format!("schema.{path}"), error.to_string(), ""),
            RulesError::Schema { .. } | RulesError::Rows { .. } => (String::new(), chain(&error), ""),
        };
        self.problems.push(item.problem(&mark, message, hint));
        false
    }

    /// Each version can read what was written in all before it.
    fn versions_fit(&mut self, item: &Item<DeclaredContract>) {
        let versions = &item.value.versions;
        for (i, newer) in versions.iter().enumerate() {
            for older in &versions[..i] {
                for reason in compatibility::reasons(&older.schema, &newer.schema) {
                    let message = format!("v{}.avsc does not fit v{}.avsc: {reason}", newer.version, older.version);
                    let hint = "a new version reads everything written in the older ones";
                    self.problems.push(item.problem(&format!("schema.{}", reason.field), message, hint));
                }
            }
        }
    }

    /// Invariant 5: a released version is never edited nor taken back; and a record keeps its key and partition.
    fn released_stays(&mut self, item: &Item<DeclaredContract>, known: &Contract) {
        let DeclaredContract { contract, versions } = &item.value;
        for released in &known.schemas {
            match versions.iter().find(|v| v.version == released.version) {
                None => {
                    let message = format!("v{}.avsc is released and missing here", released.version);
                    self.problems.push(item.problem("", message, "restore the file"));
                }
                Some(v) if v.text != released.schema => {
                    let message = format!("v{}.avsc is released and was edited", released.version);
                    let hint = format!("restore it, and put the change into v{}.avsc", known.schemas.len() + 1);
                    self.problems.push(item.problem("", message, hint));
                }
                Some(_) => {}
            }
        }
        if contract.key != known.key {
            let message =
                format!("the record key is {} and cannot become {}", known.key.join(" + "), contract.key.join(" + "));
            self.problems.push(item.problem("", message, "a record keeps its key; make a new dataset"));
        }
        if contract.partitions != known.partitions {
            let message = format!(
                "the dataset has {} and cannot have {}",
                words::count(known.partitions as usize, "partition"),
                contract.partitions
            );
            self.problems.push(item.problem(
                "kenh.partitions",
                message,
                "a record keeps its partition; make a new dataset",
            ));
        }
    }

    /// Invariant 5 again: a contract in force is not edited under its version.
    fn version_rises(&mut self, item: &Item<DeclaredContract>, known: &Contract) {
        let new = &item.value.contract.version;
        if parts(new) <= parts(&known.version) {
            let message = format!("the contract has changed and its version is {new}; {} is in force", known.version);
            self.problems.push(item.problem("version", message, "raise the version"));
        }
    }

    /// The contract with the ids of its schemas; new ones get theirs, and an event each.
    fn resolve(
        &mut self,
        item: &Item<DeclaredContract>,
        known: Option<&Contract>,
    ) -> (Contract, Vec<(SchemaId, Schema)>) {
        let DeclaredContract { contract, versions } = &item.value;
        let mut contract = contract.clone();
        let mut schemas = Vec::new();
        for declared in versions {
            let released = known.and_then(|k| k.schemas.iter().find(|s| s.version == declared.version));
            let version = match released {
                Some(released) => released.clone(),
                None => match envelope::schema(&declared.text) {
                    Ok(envelope) => {
                        let subject = subjects::of_dataset(&contract.dataset);
                        let id = self.schema(subject, declared.version, &declared.text);
                        let first = contract.providers.first().map_or(&contract.owner, |p| &p.agency);
                        let subject = subjects::of_input(&contract.dataset, first);
                        let envelope_id = self.schema(subject, declared.version, &envelope);
                        SchemaVersion { version: declared.version, id, schema: declared.text.clone(), envelope_id }
                    }
                    Err(error) => {
                        self.problems.push(item.problem(
                            "",
                            format!("no envelope fits around the schema: {error}"),
                            "",
                        ));
                        continue;
                    }
                },
            };
            schemas.push((version.id, declared.schema.clone()));
            contract.schemas.push(version);
        }
        (contract, schemas)
    }
}
