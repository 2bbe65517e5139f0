//! `kenh dead-letter list|show`: which submitted changes a rule rejected, and what to do about each.
//!
//! A letter names rule, field and place, never what the record held; the record itself lies in the provider's own input
//! topic. Putting rejected changes through again is done by submitting the corrected records.

use kenh_domain::log::Log;
use kenh_domain::names::{Agency, Dataset, Principal};
use kenh_domain::receipt::DeadLetter;
use kenh_domain::rule::{Lang, Rule};
use kenh_domain::topic::Topic;
use serde_json::json;

use super::Failure;
use crate::cli::{DeadLetterCommand, Output};
use crate::config::Config;
use crate::node::{Node, read};
use crate::output;
use crate::time::moment;

struct Found {
    provider: Agency,
    at_ms: i64,
    letter: DeadLetter,
}

impl Found {
    fn name(&self) -> String {
        format!("{}/{}/{}", self.provider, self.letter.partition, self.letter.position)
    }
}

/// Every letter of a dataset that is still kept, oldest first.
fn read(log: &dyn Log, dataset: &Dataset) -> Result<Vec<Found>, Failure> {
    let router = Principal::router();
    let mut found = Vec::new();
    for spec in log.topics()? {
        let Topic::DeadLetter(of, provider) = &spec.topic else { continue };
        if of != dataset {
            continue;
        }
        let mut damaged = None;
        read::all(log, &router, (&spec.topic, spec.partitions), |record| {
            match serde_json::from_slice(record.value.as_deref().unwrap_or_default()) {
                Ok(letter) => found.push(Found { provider: provider.clone(), at_ms: record.timestamp_ms, letter }),
                Err(error) => damaged = Some(error),
            }
        })?;
        if let Some(error) = damaged {
            return Err(error.into());
        }
    }
    found.sort_by_key(|f| (f.at_ms, f.letter.position));
    Ok(found)
}

/// `kenh dead-letter …`
pub fn run(command: &DeadLetterCommand, config: &Config, output: Output) -> Result<(), Failure> {
    // Where there is no node yet there is no letter, and none is made by looking.
    let log = Node::existing(config)?.map(|reach| reach.log());
    let read = |dataset: &Dataset| log.as_ref().map_or_else(|| Ok(Vec::new()), |log| read(&**log, dataset));
    match command {
        DeadLetterCommand::List { dataset, limit } => {
            let found = read(dataset)?;
            let newest = &found[found.len().saturating_sub(*limit)..];
            if output == Output::Json {
                let rows: Vec<_> =
                    newest.iter().map(|f| json!({"letter": f.name(), "atMs": f.at_ms, "detail": f.letter})).collect();
                output::json(&rows);
                return Ok(());
            }
            output::table(
                &["letter", "at", "submission", "number#", "rule", "field", "message"],
                newest.iter().map(|f| {
                    let l = &f.letter;
                    vec![
                        f.name(),
                        moment(f.at_ms),
                        l.submission.clone(),
                        l.number.to_string(),
                        l.rule.clone(),
                        l.field.clone(),
                        l.message.clone(),
                    ]
                }),
            );
            if newest.len() < found.len() {
                output::note(format_args!("{} older letters are not shown: --limit", found.len() - newest.len()));
            }
        }
        DeadLetterCommand::Show { dataset, letter } => {
            let found = read(dataset)?.into_iter().find(|f| &f.name() == letter).ok_or_else(|| {
                Failure::because(format!(
                    "there is no dead letter {letter}; `kenh dead-letter list {dataset}` shows them"
                ))
            })?;
            if output == Output::Json {
                output::json(&found.letter);
                return Ok(());
            }
            let l = &found.letter;
            output::line(format_args!("submission  {} record {}", l.submission, l.number));
            output::line(format_args!(
                "place       partition {} position {} of in.{dataset}.{}",
                l.partition, l.position, found.provider
            ));
            output::line(format_args!("rule        {} {}", l.rule, l.field));
            output::line(format_args!("            {}", l.message));
            output::line(format_args!("            {}", l.message_vi));
            if let Ok(rule) = l.rule.parse::<Rule>() {
                output::line(format_args!("what to do  {}", rule.hint(Lang::En)));
                output::line(format_args!("cần làm     {}", rule.hint(Lang::Vi)));
            }
        }
    }
    Ok(())
}
