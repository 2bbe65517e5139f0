//! An agency of a new dataset: the one that is declared already, or a first document for it.

use std::path::Path;

use kenh_domain::control::AgencyDocument;
use kenh_domain::names::{Agency, Principal};

use super::NewDatasetError;
use crate::declared::read;

/// An agency, and whether it is new.
#[derive(Debug, Clone)]
pub struct Party {
    pub document: AgencyDocument,
    pub new: bool,
}

/// The agency as `broker-config/agencies/<name>.yaml` has it, or as it is to be declared there.
pub fn of(name: &Agency, into: &Path) -> Result<Party, NewDatasetError> {
    let file = into.join("broker-config/agencies").join(format!("{name}.yaml"));
    if file.exists() {
        let declared = read(std::slice::from_ref(&file)).map_err(NewDatasetError::Agency)?;
        let document = declared.agencies.into_iter().map(|item| item.value).find(|a| &a.name == name);
        if let Some(document) = document {
            return Ok(Party { document, new: document_is_ours(&file, name) });
        }
    }
    Ok(Party { document: first(name)?, new: true })
}

/// Whether the file is the one that would be written, so that it is told as unchanged.
fn document_is_ours(file: &Path, name: &Agency) -> bool {
    let ours = first(name).map(|document| super::render::agency(&document));
    matches!((std::fs::read_to_string(file), ours), (Ok(is), Ok(ours)) if is == ours)
}

fn first(name: &Agency) -> Result<AgencyDocument, NewDatasetError> {
    let system = Principal::new(&format!("{}-portal", name.as_str().to_ascii_lowercase()))?;
    let (code, title) = (name.to_string(), name.to_string());
    Ok(AgencyDocument { name: name.clone(), code, title, systems: vec![system] })
}
