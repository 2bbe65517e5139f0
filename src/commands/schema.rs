//! `kenh schema propose DATASET`: a changed contract, checked and put to the vote.
//!
//! It examines the contract folder against everything in force, writes the review for people, and appends the proposal;
//! on a bus whose decisions are signed it writes the proposal as a request for its author to sign. Whatever blocks is
//! listed, and nothing is proposed then (exit code 3).

use std::fs::File;
use std::path::{Path, PathBuf};

use kenh_domain::admit::Rules;
use kenh_domain::contract::Contract;
use kenh_domain::names::ProposalId;
use kenh_domain::trust::Document;
use kenh_governance::review::{self, Example};

use super::review::{Ballot, deadline, propose};
use super::{Failure, apply};
use crate::cli::{BallotArgs, Output, ProposeSchema};
use crate::config::Config;
use crate::time::now_ms;

/// Most examples of a kind that are run: they are read by people, and more are a test suite.
const MAX_EXAMPLES: usize = 200;

/// `kenh schema propose`
pub fn run(asked: &ProposeSchema, config: &Config, output: Output) -> Result<(), Failure> {
    let folder = asked.from.clone().unwrap_or_else(|| Path::new("schemas").join(asked.dataset.as_str()));
    let declared =
        kenh_governance::read(std::slice::from_ref(&folder)).map_err(|problems| apply::refused(&problems, output))?;
    let of = |item: &&kenh_governance::declared::Item<kenh_governance::declared::DeclaredContract>| {
        item.value.contract.dataset == asked.dataset
    };
    let Some(item) = declared.contracts.iter().find(of) else {
        let there = folder.display();
        return Err(Failure::Usage(format!("{there} declares no contract of {}; say --from FOLDER", asked.dataset)));
    };
    let (log, set) = super::show::load(config)?;
    let contract = review::draft(&set, &item.value);
    let now = now_ms();
    let examples = examples(&contract, &folder)?;
    let reviewed = review::examine(&set, &contract, &examples, now);
    let id = match &asked.ballot.id {
        Some(id) => id.clone(),
        None => name(&contract)?,
    };
    let BallotArgs { author, dir, .. } = &asked.ballot;
    let (document, deadline_ms) = (Document::of_contract(&contract), deadline(&asked.ballot, now)?);
    propose(Ballot { id, document, review: reviewed, author, dir, deadline_ms }, &set, log.as_deref(), output, now)
}

/// `dan-cu-1-1-0`: the dataset and the contract's version.
fn name(contract: &Contract) -> Result<ProposalId, Failure> {
    let name = format!("{}-{}", contract.dataset, contract.version.replace('.', "-"));
    name.parse().map_err(|e| Failure::Usage(format!("{name} is no name of a proposal ({e}); say --id NAME")))
}

/// The examples beside the contract, as `kenh check` would read them: the first record of each file.
fn examples(contract: &Contract, folder: &Path) -> Result<Vec<Example>, Failure> {
    // What cannot be enforced is found by the review; no example can be read against it.
    let Ok(rules) = Rules::compile(contract) else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    for (kind, valid) in [("valid", true), ("invalid", false)] {
        for file in files(&folder.join("examples").join(kind)) {
            let name = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            let cannot = |e: &dyn std::fmt::Display| Failure::because(format!("{}: {e}", file.display()));
            let input = File::open(&file).map_err(|e| cannot(&e))?;
            let format = kenh_producers::Format::Envelope;
            let body = match kenh_producers::open(format, Box::new(input), &rules, None).map_err(|e| cannot(&e))?.next()
            {
                Ok(Some(item)) => item.change.map(|change| change.record.unwrap_or_default()),
                Ok(None) => return Err(cannot(&"it holds no record")),
                Err(error) => return Err(cannot(&error)),
            };
            out.push(Example { name, valid, body });
        }
    }
    Ok(out)
}

/// The JSON files of a folder, in order; none where there is no such folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    out.sort();
    out.truncate(MAX_EXAMPLES);
    out
}
