//! What a command knows of the bus: the control log; or, where the process shows the certificate of an agency's system,
//! which may not read that, what the agency was told in its notices.

use std::collections::BTreeMap;
use std::sync::Arc;

use kenh_broker::kafka::Guest;
use kenh_domain::control::ControlSet;
use kenh_domain::error::chain;
use kenh_domain::log::Log;
use kenh_domain::names::{Agency, Dataset, Principal};
use kenh_domain::notice::ContractCard;
use kenh_domain::relaxation::{Relaxed, RelaxedRule};
use kenh_domain::topic::Topic;

use super::run::system_of;
use super::{Reach, read};
use crate::commands::Failure;
use crate::output;

/// See the module's documentation.
#[derive(Default)]
pub struct Known {
    /// Everything that was decided; of a guest empty, but for what [`Known::with_contracts`] adds.
    pub set: ControlSet,
    /// Who we are, where the certificate says so.
    pub guest: Option<Guest>,
    /// What a guest was told of relaxations.
    told: BTreeMap<Dataset, Vec<RelaxedRule>>,
}

impl Known {
    /// Who we are; and the control log, where we may read it.
    ///
    /// # Errors
    /// When the log cannot be read, or it is not known for whom the certificate acts.
    pub fn of(reach: &Reach) -> Result<Self, Failure> {
        let guest = reach.guest()?;
        let set = if guest.is_some() { ControlSet::default() } else { kenh_governance::load(&*reach.log())? };
        Ok(Self { set, guest, told: BTreeMap::new() })
    }

    /// The rules of `dataset` that warn at `now_ms` (milliseconds since 1970, UTC).
    pub fn relaxed(&self, dataset: &Dataset, now_ms: i64) -> Relaxed {
        if self.guest.is_none() {
            return self.set.relaxed(dataset, now_ms);
        }
        let told = self.told.get(dataset).into_iter().flatten().filter(|told| now_ms < told.ends_ms);
        told.map(|told| (told.rule, told.field.clone())).collect()
    }

    /// Adds, for a guest, the contracts of what its agency provides and the rules that are relaxed, by its contract cards. A card of a newer release is
    /// left out, and that is said.
    ///
    /// # Errors
    /// When the notices cannot be read.
    pub fn with_contracts(mut self, log: &dyn Log) -> Result<Self, Failure> {
        let Some(guest) = &self.guest else { return Ok(self) };
        let topic = Topic::Notice(guest.agency.clone());
        // The latest of each key counts.
        let mut cards = BTreeMap::new();
        read::all(log, &guest.identity.system, (&topic, 1), |record| {
            if record.key.starts_with(b"contract/") {
                cards.insert(record.key, (record.position, record.value));
            }
        })?;
        for (position, value) in cards.into_values() {
            match value.as_deref().map(ContractCard::read) {
                None => {}
                Some(Ok(ContractCard { contract, relaxed, .. })) => {
                    self.told.insert(contract.dataset.clone(), relaxed);
                    self.set.contracts.insert(contract.dataset.clone(), Arc::new(contract));
                }
                Some(Err(error)) => {
                    output::note(format_args!("kenh: {topic} at position {}: {}", position.0, chain(&error)));
                }
            }
        }
        Ok(self)
    }

    /// As which of its systems we act for an agency: the one that the certificate names, else `named`, else its first.
    ///
    /// # Errors
    /// When there is no such agency or system, or the certificate is another's.
    pub fn system(&self, agency: &Agency, named: Option<&Principal>) -> Result<Principal, Failure> {
        let Some(Guest { identity, agency: own }) = &self.guest else { return system_of(&self.set, agency, named) };
        if agency == own && named.is_none_or(|named| named == &identity.system) {
            return Ok(identity.system.clone());
        }
        let asked = named.map_or_else(|| agency.to_string(), |named| format!("{agency} ({named})"));
        output::note(format_args!(
            "kenh: the certificate {identity} acts for {own}, not for {asked}: name {asked}'s own certificate in \
             kafka.settings (ssl.certificate.location)\n\
             kênh: chứng thư {identity} dùng cho {own}, không dùng cho {asked}: hãy khai báo chứng thư của {asked} trong \
             kafka.settings (ssl.certificate.location)"
        ));
        Err(Failure::Rejected)
    }
}
