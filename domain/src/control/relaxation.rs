//! The fold of relaxations: which rule may warn, for how long, and when it rejects again.

use std::sync::Arc;

use super::ControlSet;
use crate::limits::{MAX_REASON_BYTES, MAX_RELAXATION_MS};
use crate::log::Position;
use crate::names::{Dataset, RelaxationId};
use crate::relaxation::{Relaxation, RelaxationEntry, Relaxed, RelaxedRule};
use crate::rule::Lang;

impl ControlSet {
    /// The rules of `dataset` that warn at `clock_ms` (milliseconds since 1970, UTC; a marker's).
    #[must_use]
    pub fn relaxed(&self, dataset: &Dataset, clock_ms: i64) -> Relaxed {
        let of_it = self.relaxations.values().filter(|entry| &entry.relaxation.dataset == dataset);
        let in_force = of_it.filter(|entry| entry.in_force(clock_ms)).map(|entry| &*entry.relaxation);
        in_force.map(|relaxation| (relaxation.rule, relaxation.field.clone())).collect()
    }

    /// What providers of `dataset` are told at `now_ms` (milliseconds since 1970, UTC): relaxations that are not over. That
    /// one has begun is taken as said, whatever the clock of whoever tells it shows.
    pub fn relaxed_rules(&self, dataset: &Dataset, now_ms: i64) -> impl Iterator<Item = RelaxedRule> {
        let of_it = self.relaxations.values().filter(move |entry| &entry.relaxation.dataset == dataset);
        of_it.filter(move |entry| entry.ended.is_none() && now_ms < entry.relaxation.ends_ms).map(|entry| {
            let Relaxation { rule, field, ends_ms, .. } = &*entry.relaxation;
            RelaxedRule { rule: *rule, field: field.clone(), ends_ms: *ends_ms }
        })
    }

    /// Whether a relaxation may begin at `at_ms` (milliseconds since 1970, UTC), approvals aside. The review asks the same
    /// before it is put to the vote.
    ///
    /// # Errors
    /// Why not.
    pub fn may_relax(&self, relaxation: &Relaxation, at_ms: i64) -> Result<(), String> {
        let Relaxation { id, dataset, rule, field, reason, ends_ms } = relaxation;
        if self.relaxations.contains_key(id) {
            return Err(format!("relaxation {id} was made before"));
        }
        if let Some(what) = rule.protects() {
            return Err(format!("rule {} protects {}, and is never relaxed", rule.code(), what.words(Lang::En)));
        }
        let contract = self.contracts.get(dataset);
        let contract = contract.ok_or_else(|| format!("relaxation {id}: there is no contract for {dataset}"))?;
        if let Some(field) = field {
            if contract.key.contains(field) {
                return Err(format!("field {field} of {dataset} is of the record key, whose rules are never relaxed"));
            }
            if !contract.fields.contains_key(field) {
                return Err(format!("relaxation {id}: the contract of {dataset} has no rule for a field {field}"));
            }
        }
        if reason.trim().is_empty() {
            return Err(format!("relaxation {id} gives no reason"));
        }
        if reason.len() > MAX_REASON_BYTES {
            return Err(format!("the reason of relaxation {id} has more than {MAX_REASON_BYTES} bytes"));
        }
        if *ends_ms <= at_ms {
            return Err(format!("relaxation {id} is over before it begins"));
        }
        if ends_ms.saturating_sub(at_ms) > MAX_RELAXATION_MS {
            return Err(format!("relaxation {id} would hold for more than 72 hours"));
        }
        Ok(())
    }

    pub(super) fn fold_relaxation(&mut self, relaxation: Relaxation, at_ms: i64) -> Result<(), String> {
        self.may_relax(&relaxation, at_ms)?;
        let id = relaxation.id.clone();
        let entry = RelaxationEntry { relaxation: Arc::new(relaxation), starts_ms: at_ms, ended: None };
        self.relaxations.insert(id, entry);
        Ok(())
    }

    pub(super) fn fold_restoration(&mut self, at: Position, id: &RelaxationId, because: String) -> Result<(), String> {
        if because.len() > MAX_REASON_BYTES {
            return Err(format!("the reason why relaxation {id} ends is longer than {MAX_REASON_BYTES} bytes"));
        }
        let entry = self.relaxations.get_mut(id).ok_or_else(|| format!("there is no relaxation {id}"))?;
        // The first end stays.
        entry.ended.get_or_insert((at, because));
        Ok(())
    }
}
