//! Does the registry that readers use beside ours say what the bus writes? What is compared, and why: [`elsewhere`].

use kenh_broker::registry::{RegistryClient, RegistryError};
use kenh_domain::control::ControlSet;

use super::{Report, Verdict};
use crate::commands::elsewhere;
use crate::config::Registry;
use kenh_domain::error::chain;

const ANSWERS: &str = "the other registry answers";
const IDS: &str = "schema ids mean the same there";
const LATEST: &str = "subjects end in the same schema there";

/// Adds one line for each of the three.
pub fn check(to: &Registry, set: &ControlSet, report: &mut Report) {
    if let Err(error) = compare(to, set, report) {
        let to_do = "start it, or mend registry, registry_token and registry_authorities in kenh.yaml";
        report.add(ANSWERS, Verdict::Red, chain(&error), to_do);
    }
}

fn compare(to: &Registry, set: &ControlSet, report: &mut Report) -> Result<(), RegistryError> {
    let client = RegistryClient::new(&to.url, to.token.as_deref(), to.authorities.as_deref())?;
    let compared = elsewhere::compare(&client, set)?;
    report.green(ANSWERS, format!("asked for {} schemas and {} subjects", compared.ids, compared.subjects));
    let taken = compared.taken.iter().map(|id| format!("schema {id} is another one there"));
    let missing = compared.missing.iter().map(|id| format!("schema {id}: not there"));
    let wrong: Vec<String> = taken.chain(missing).collect();
    let behind = compared.behind.iter().map(|(name, (theirs, ours))| match theirs {
        Some(theirs) => format!("{name} ends in schema {theirs} there and {ours} here"),
        None => format!("{name}: not there"),
    });
    let behind: Vec<String> = behind.collect();
    let to_do = "kenh apply registers what is missing under the bus's ids: docs/clients.md";
    report.none_of(IDS, Verdict::Red, &wrong, &format!("{} schemas", compared.ids), to_do);
    report.none_of(LATEST, Verdict::Yellow, &behind, &format!("{} subjects", compared.subjects), to_do);
    Ok(())
}
