//! `kenh contract|schema …`: what is in force, read from the control log.

use std::sync::Arc;

use kenh_domain::control::ControlSet;
use kenh_domain::log::Log;
use kenh_domain::wire::SchemaId;

use super::Failure;
use crate::cli::{ContractCommand, Output, SchemaCommand};
use crate::config::Config;
use crate::node::Node;
use crate::output;

/// The control set, and the log it was read from: none where there is no node yet, and none is made by looking.
pub fn load(config: &Config) -> Result<(Option<Arc<dyn Log>>, ControlSet), Failure> {
    let Some(reach) = Node::existing(config)? else { return Ok((None, ControlSet::default())) };
    let log = reach.log();
    let set = kenh_governance::load(&*log)?;
    Ok((Some(log), set))
}

/// `kenh contract list|show`
pub fn contract(command: &ContractCommand, config: &Config, output: Output) -> Result<(), Failure> {
    let (_, set) = load(config)?;
    match command {
        ContractCommand::List => {
            let rows = set.contracts.values().map(|c| {
                let providers: Vec<_> = c.providers.iter().map(|p| p.agency.to_string()).collect();
                let mark = if c.synthetic { " (synthetic)" } else { "" };
                (c, providers, format!("{}{mark}", c.dataset))
            });
            if output == Output::Json {
                output::json(&rows.map(|(c, ..)| (**c).clone()).collect::<Vec<_>>());
                return Ok(());
            }
            let columns =
                ["dataset", "version", "owner", "providers", "record key", "partitions#", "schemas#", "personal"];
            output::table(
                &columns,
                rows.map(|(c, providers, name)| {
                    vec![
                        name,
                        c.version.clone(),
                        c.owner.to_string(),
                        providers.join(", "),
                        c.key.join(", "),
                        c.partitions.to_string(),
                        c.schemas.len().to_string(),
                        if c.personal() { "yes" } else { "no" }.into(),
                    ]
                }),
            );
        }
        ContractCommand::Show { dataset } => {
            let contract = set.contracts.get(dataset).ok_or_else(|| {
                Failure::because(format!(
                    "there is no contract for {dataset}; `kenh contract list` shows those there are"
                ))
            })?;
            if output == Output::Json {
                output::json(contract);
                return Ok(());
            }
            output::line(format_args!("{} version {}: {}", contract.dataset, contract.version, contract.description));
            for (what, says) in kenh_governance::review::facts(contract) {
                output::line(format_args!("  {}: {}", what.en, says.en));
            }
            output::table(
                &["field", "personal data", "element", "required", "meaning"],
                contract.fields.iter().map(|(path, rules)| {
                    vec![
                        path.clone(),
                        format!("{:?}{}", rules.pii, if rules.secret { ", SECRET" } else { "" }).to_lowercase(),
                        rules.element.clone().unwrap_or_default(),
                        if rules.required { "yes" } else { "" }.into(),
                        rules.description.clone().unwrap_or_default(),
                    ]
                }),
            );
        }
    }
    Ok(())
}

/// `kenh schema list|show`
pub fn schema(command: &SchemaCommand, config: &Config, output: Output) -> Result<(), Failure> {
    let (_, set) = load(config)?;
    match command {
        SchemaCommand::List if output == Output::Json => {
            output::json(&set.schemas.values().map(|s| (**s).clone()).collect::<Vec<_>>());
        }
        SchemaCommand::List => output::table(
            &["id#", "subject", "version#"],
            set.schemas.values().map(|s| vec![s.id.to_string(), s.subject.clone(), s.version.to_string()]),
        ),
        // A command of its own: see `schema`.
        SchemaCommand::Propose(_) => {}
        SchemaCommand::Show { id } => {
            let found = set.schemas.get(&SchemaId(*id)).ok_or_else(|| {
                Failure::because(format!("there is no schema {id}; `kenh schema list` shows those there are"))
            })?;
            let value: serde_json::Value = serde_json::from_str(&found.schema)?;
            output::json(&value);
        }
    }
    Ok(())
}
