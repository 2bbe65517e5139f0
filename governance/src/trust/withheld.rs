//! What a plan lacks on a bus with a root: signatures that its events need, and approvals that do not stand.
//!
//! A plan is made as if all of it stood, so that everything missing is told at once; it is applied only when nothing is.

use kenh_domain::control::{ControlError, ControlEvent, ControlRecord, ControlSet, FORMAT, Trust};
use kenh_domain::log::Position;
use kenh_domain::trust::TrustError;

use super::{Request, RequestError};

/// An event that would be ignored, and what it lacks.
#[derive(Debug, Clone, PartialEq)]
pub struct Withheld {
    /// The event.
    pub event: ControlEvent,
    /// What it lacks.
    pub why: TrustError,
}

impl Withheld {
    /// What the event is about, for people.
    #[must_use]
    pub fn what(&self) -> String {
        match &self.event {
            ControlEvent::Genesis { .. } => "the genesis".into(),
            ControlEvent::Agency(agency) => format!("agency {}", agency.name),
            ControlEvent::Schema(schema) => format!("schema {}", schema.id),
            ControlEvent::Contract(contract) => format!("contract {}", contract.dataset),
            ControlEvent::Grant(activation) => format!("grant {}", activation.grant.id),
            ControlEvent::Renewal { grant, .. } => format!("renewal {}", grant.id),
            ControlEvent::End { view_no, .. } => format!("end of view {}", view_no.0),
            ControlEvent::Epoch { dataset, provider, .. } => format!("epoch of {provider} in {dataset}"),
            ControlEvent::Law(article) => format!("article {}", article.id),
            ControlEvent::Roster(roster) => format!("roster {}", roster.number),
            ControlEvent::Root { .. } => "the root's key".into(),
            ControlEvent::Spare { .. } => "the spare root key".into(),
            ControlEvent::Rotation { person, .. } => format!("the key of {person}"),
            ControlEvent::Proposal(proposal) => format!("proposal {}", proposal.id),
            ControlEvent::Vote(vote) => format!("the vote of {}", vote.person),
            ControlEvent::Relaxation(relaxation) => format!("relaxation {}", relaxation.id),
            ControlEvent::Restoration { relaxation, .. } => format!("end of relaxation {relaxation}"),
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match (&self.event, &self.why) {
            (ControlEvent::Contract(_), _) => "put it to the vote: kenh schema propose",
            (ControlEvent::Grant(_) | ControlEvent::Renewal { .. }, _) => "put it to the vote: kenh review grant",
            (ControlEvent::Relaxation(_), _) => "put it to the vote: kenh rule relax",
            (_, TrustError::Unsigned { .. }) => "write it for those who sign it: kenh apply … --to-sign FOLDER",
            _ => "",
        }
    }

    /// The request for those whose signatures it needs; none where it is approvals that are missing, which come by votes.
    ///
    /// # Errors
    /// [`RequestError`]: the event cannot be written as JSON.
    pub fn request(&self, set: &ControlSet) -> Result<Option<Request>, RequestError> {
        match self.why {
            TrustError::Unsigned { .. } => Request::new(set, &self.event, None).map(Some),
            _ => Ok(None),
        }
    }
}

/// What of `events` would be ignored at `at_ms` (milliseconds since 1970, UTC) for want of signatures or approvals, if
/// they came after `set` and nobody signed them. Nothing on an unsigned bus. Events that contradict what stands end the
/// list: no signature would help them.
#[must_use]
pub fn withheld(set: &ControlSet, events: &[ControlEvent], at_ms: i64) -> Vec<Withheld> {
    let mut after = set.clone();
    let mut out = Vec::new();
    for event in events {
        let record = ControlRecord { format: FORMAT, at_ms, event: event.clone(), signatures: Vec::new() };
        let Ok(bytes) = serde_json::to_vec(&record) else { break };
        match assume(&mut after, &bytes) {
            Ok(None) => {}
            Ok(Some(why)) => out.push(Withheld { event: event.clone(), why }),
            Err(_) => break,
        }
    }
    out
}

/// Folds a record in as if everything that it needs stood; answers what it lacks. For plans: what comes of it is never
/// written as it is.
///
/// # Errors
/// [`ControlError`]: it would be ignored whoever signed it.
pub fn assume(set: &mut ControlSet, bytes: &[u8]) -> Result<Option<TrustError>, ControlError> {
    let position = Position(set.position.0 + 1);
    match set.apply(position, bytes) {
        Ok(()) => Ok(None),
        Err(ControlError::Untrusted { source, .. }) => {
            let trust = set.trust.replace(Trust::Unsigned);
            let done = set.apply(position, bytes);
            set.trust = trust;
            done.map(|()| Some(source))
        }
        Err(error) => Err(error),
    }
}
