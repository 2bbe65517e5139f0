//! The registry that readers use beside ours (`registry:` in kenh.yaml): what it lacks, and registering that there.
//!
//! A record names its schema by the id that the bus gave it. Whoever looks that id up elsewhere must find the same schema,
//! or decodes nonsense without noticing. So `kenh apply` registers every released schema there **under the bus's id**, in
//! the subjects that our own registry lists, which a Confluent registry allows in import mode; `kenh doctor` compares. A
//! registry that gives ids of its own is told apart by its first answer, and left at that.
//!
//! Ids come from the control log alone, and no role asks the other registry for anything: when it is gone, the bus goes on.

use std::collections::{BTreeMap, BTreeSet};

use kenh_broker::registry::{RegistryClient, RegistryError};
use kenh_domain::control::ControlSet;
use kenh_domain::schema::Schema;
use kenh_domain::wire::SchemaId;
use kenh_governance::compatibility::alike;
use kenh_governance::registry::subjects::{self, Subject};

use crate::config::Registry;

/// What the other registry has of ours.
pub struct Compared {
    /// How many ids were asked for.
    pub ids: usize,
    /// How many subjects were asked for.
    pub subjects: usize,
    /// Ids that it does not have.
    pub missing: BTreeSet<SchemaId>,
    /// Ids that name another schema there, or none in Avro.
    pub taken: BTreeSet<SchemaId>,
    /// Subjects that end there in another schema than here: its latest id there, if there is one, and ours.
    pub behind: BTreeMap<String, (Option<SchemaId>, SchemaId)>,
}

/// Why not everything of ours is there.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// It could not be asked, or it refused.
    #[error("the other registry lacks released schemas; all else is done, so run kenh apply again")]
    Registry(#[from] RegistryError),
    /// Ids of ours are in use there.
    #[error(
        "the other registry has another schema {0}: records of this bus cannot be read through it, and nothing was \
         registered. Use a registry of its own for the bus, or the built-in one"
    )]
    Taken(SchemaId),
    /// Its keeper has to allow it.
    #[error(
        "the other registry takes no ids in subject {subject}. Its keeper can let it: PUT /mode/{subject} with \
         {{\"mode\":\"IMPORT\"}}, or PUT /mode for all; then run kenh apply again"
    )]
    NotImporting {
        /// The subject.
        subject: String,
    },
    /// It took the schema, under an id of its own.
    #[error(
        "the other registry took schema {ours} in subject {subject} as schema {theirs}: it gives ids itself. Nothing more \
         was registered. Take that version away there and import the bus's schemas by its own means, or let readers use \
         the built-in registry"
    )]
    OwnIds {
        /// The subject.
        subject: String,
        /// The id that records carry.
        ours: SchemaId,
        /// The id that it gave.
        theirs: SchemaId,
    },
}

fn live(set: &ControlSet) -> BTreeMap<String, Subject> {
    subjects::all(set).into_iter().filter(|(_, subject)| !subject.ended).collect()
}

/// Asks for every schema of ours by its id, and for the latest of every subject.
pub fn compare(client: &RegistryClient, set: &ControlSet) -> Result<Compared, RegistryError> {
    let subjects = live(set);
    let ids: BTreeSet<SchemaId> = subjects.values().flat_map(|s| s.versions.iter().map(|(_, id)| *id)).collect();
    let (mut missing, mut taken, mut behind) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
    for id in &ids {
        match client.schema(*id) {
            Ok(theirs) if same(set, *id, &theirs) => {}
            Ok(_) | Err(RegistryError::NotAvro { .. }) => drop(taken.insert(*id)),
            Err(RegistryError::Missing { .. }) => drop(missing.insert(*id)),
            Err(error) => return Err(error),
        }
    }
    for (name, subject) in &subjects {
        let Some((_, ours)) = subject.versions.last() else { continue };
        match client.latest(name) {
            Ok(theirs) if theirs.id == *ours => {}
            Ok(theirs) => drop(behind.insert(name.clone(), (Some(theirs.id), *ours))),
            Err(RegistryError::Missing { .. } | RegistryError::NotAvro { .. }) => {
                behind.insert(name.clone(), (None, *ours));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Compared { ids: ids.len(), subjects: subjects.len(), missing, taken, behind })
}

fn same(set: &ControlSet, id: SchemaId, theirs: &str) -> bool {
    let ours = set.schemas.get(&id).and_then(|document| Schema::parse(&document.schema).ok());
    matches!((&ours, Schema::parse(theirs)), (Some(ours), Ok(theirs)) if alike(ours, &theirs))
}

/// Registers there what it lacks, under our ids, and says how many versions of subjects that were. Nothing is registered
/// while one of our ids names another schema there. Said again, it goes on where it was.
pub fn register(to: &Registry, set: &ControlSet) -> Result<usize, RegisterError> {
    let client = RegistryClient::new(&to.url, to.token.as_deref(), to.authorities.as_deref())?;
    let compared = compare(&client, set)?;
    if let Some(id) = compared.taken.first() {
        return Err(RegisterError::Taken(*id));
    }
    let subjects = live(set);
    // By id: one that counts for itself may then happen to agree, and the first that does not is the last.
    let mut wanted: Vec<(SchemaId, u32, &String)> = Vec::new();
    for (name, subject) in &subjects {
        if compared.behind.contains_key(name) || subject.versions.iter().any(|(_, id)| compared.missing.contains(id)) {
            wanted.extend(subject.versions.iter().map(|(version, id)| (*id, *version, name)));
        }
    }
    wanted.sort_unstable();
    for (id, version, subject) in &wanted {
        let Some(document) = set.schemas.get(id) else { continue };
        let theirs = client.register(subject, *version, *id, &document.schema).map_err(|error| match error {
            RegistryError::NotImporting { .. } => RegisterError::NotImporting { subject: (*subject).clone() },
            other => other.into(),
        })?;
        if theirs != *id {
            return Err(RegisterError::OwnIds { subject: (*subject).clone(), ours: *id, theirs });
        }
    }
    Ok(wanted.len())
}
