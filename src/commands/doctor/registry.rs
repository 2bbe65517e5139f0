//! Does the registry that readers use beside ours say what the bus writes?
//!
//! A record names its schema by the id that the bus gave it. Whoever looks that id up elsewhere must find the same schema,
//! or decodes nonsense without noticing. So every released schema is asked for there by its id, and every subject for its
//! latest. Nothing is registered: that registry's keeper imports what is missing (`docs/clients.md`).

use std::collections::{BTreeMap, BTreeSet};

use kenh_broker::registry::{RegistryClient, RegistryError};
use kenh_domain::control::ControlSet;
use kenh_domain::schema::Schema;
use kenh_domain::wire::SchemaId;
use kenh_governance::compatibility::alike;
use kenh_governance::registry::subjects::{self, Subject};

use super::{Report, Verdict};
use crate::commands::chain;
use crate::config::Registry;

const ANSWERS: &str = "the other registry answers";
const IDS: &str = "schema ids mean the same there";
const LATEST: &str = "subjects end in the same schema there";

/// Adds one line for each of the three.
pub fn check(to: &Registry, set: &ControlSet, report: &mut Report) {
    if let Err(error) = compare(to, set, report) {
        let to_do = "start it, or mend registry and registry_token in kenh.yaml";
        report.add(ANSWERS, Verdict::Red, chain(&error), to_do);
    }
}

fn compare(to: &Registry, set: &ControlSet, report: &mut Report) -> Result<(), RegistryError> {
    let client = RegistryClient::new(&to.url, to.token.as_deref())?;
    let subjects: BTreeMap<String, Subject> = subjects::all(set).into_iter().filter(|(_, s)| !s.ended).collect();
    let ids: BTreeSet<SchemaId> = subjects.values().flat_map(|s| s.versions.iter().map(|(_, id)| *id)).collect();
    let mut wrong = Vec::new();
    for id in &ids {
        wrong.extend(wrong_id(&client, set, *id)?);
    }
    let mut behind = Vec::new();
    for (name, subject) in &subjects {
        let Some((_, ours)) = subject.versions.last() else { continue };
        behind.extend(match client.latest(name) {
            Ok(theirs) if theirs.id == *ours => None,
            Ok(theirs) => Some(format!("{name} ends in schema {} there and {ours} here", theirs.id)),
            Err(error) => Some(format!("{name}: {}", missing(error)?)),
        });
    }
    report.green(ANSWERS, format!("asked for {} schemas and {} subjects", ids.len(), subjects.len()));
    let to_do = "import the bus's schemas there under the bus's ids: docs/clients.md";
    report.none_of(IDS, Verdict::Red, &wrong, &format!("{} schemas", ids.len()), to_do);
    report.none_of(LATEST, Verdict::Yellow, &behind, &format!("{} subjects", subjects.len()), to_do);
    Ok(())
}

/// What is wrong with an id there; none: it names the same schema.
fn wrong_id(client: &RegistryClient, set: &ControlSet, id: SchemaId) -> Result<Option<String>, RegistryError> {
    let theirs = match client.schema(id) {
        Ok(text) => text,
        Err(error) => return Ok(Some(format!("schema {id}: {}", missing(error)?))),
    };
    let ours = set.schemas.get(&id).and_then(|document| Schema::parse(&document.schema).ok());
    let same = matches!((&ours, Schema::parse(&theirs)), (Some(ours), Ok(theirs)) if alike(ours, &theirs));
    Ok((!same).then(|| format!("schema {id} is another one there")))
}

/// What the registry lacks, as words; any other error means that it could not be asked.
fn missing(error: RegistryError) -> Result<&'static str, RegistryError> {
    match error {
        RegistryError::Missing { .. } => Ok("not there"),
        RegistryError::NotAvro { .. } => Ok("no Avro schema there"),
        other => Err(other),
    }
}
