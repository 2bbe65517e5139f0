//! Making a plan so: topics and access lists first, then the control events in one flush.
//!
//! Topics exist before the marker that puts them to use; a crash in between leaves topics without use, which the next
//! run finds and takes. What narrows access on topics that were there before comes after the events.

use std::collections::BTreeMap;

use kenh_domain::control::ControlSet;
use kenh_domain::log::{AdminError, Log, Position};
use kenh_domain::topic::Topic;

use crate::control_log::{AppendError, append, bootstrap, load};
use crate::layout::{self, Place};
use crate::plan::Plan;
use crate::trust::{Withheld, withheld};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Control events written.
    pub events: usize,
    /// Topics made.
    pub topics: usize,
    /// The position of the last control event in force now.
    pub position: Position,
}

/// Why a plan was not made so, or not wholly. It is safe to plan again and repeat.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Something else was decided since the plan was made.
    #[error("the control log stands at {is}, and the plan was made for {planned}: plan again")]
    Moved {
        /// Where it stood.
        planned: Position,
        /// Where it stands.
        is: Position,
    },
    /// Signatures or approvals are missing. Nothing was changed.
    #[error("{} of its events lack signatures or approvals, and would be ignored", .0.len())]
    Withheld(Vec<Withheld>),
    /// Topics, access lists or events failed.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl From<AdminError> for ApplyError {
    fn from(error: AdminError) -> Self {
        Self::Append(error.into())
    }
}

/// Makes a plan so. With an empty plan it changes nothing.
///
/// # Errors
/// [`ApplyError`].
pub fn apply(log: &dyn Log, plan: &Plan, now_ms: i64) -> Result<Applied, ApplyError> {
    bootstrap(log)?;
    let before = load(log).map_err(AppendError::from)?;
    if before.position != plan.base {
        return Err(ApplyError::Moved { planned: plan.base, is: before.position });
    }
    let missing = withheld(&before, &plan.events, now_ms);
    if !missing.is_empty() {
        return Err(ApplyError::Withheld(missing));
    }
    let places = layout::places(&plan.after, now_ms);
    let topics = make(log, &places)?;
    if !plan.events.is_empty() {
        append(log, plan.events.clone(), now_ms)?;
    }
    let after = load(log).map_err(AppendError::from)?;
    settle(log, &after, now_ms)?;
    Ok(Applied { events: plan.events.len(), topics, position: after.position })
}

/// Makes the topics that are missing, each with its access list. Answers how many that were.
fn make(log: &dyn Log, places: &BTreeMap<Topic, Place>) -> Result<usize, AdminError> {
    let mut changes = Changes::on(log);
    changes.make(places)?;
    changes.end()
}

/// Brings topics and access lists in line with a control set. Answers how many were made or changed.
///
/// The topics of views that have ended keep their access list: it goes once the router has stopped writing, see
/// [`Control`](crate::Control). Every other topic that the control set does not know any more is closed, not deleted.
///
/// # Errors
/// The first change that failed. Where the log as a whole did not fail, all others are made.
pub(crate) fn settle(log: &dyn Log, set: &ControlSet, now_ms: i64) -> Result<usize, AdminError> {
    let places = layout::places(set, now_ms);
    let mut changes = Changes::on(log);
    changes.make(&places)?;
    let drifted = log.drifted()?;
    for spec in log.topics()? {
        let wanted = match (places.get(&spec.topic), &spec.topic) {
            (Some(place), _) => {
                if place.spec != spec || drifted.contains_key(&spec.topic) {
                    changes.took(log.create_topic(&place.spec))?;
                }
                place.access.as_slice()
            }
            (None, Topic::View(..)) => continue,
            (None, _) => &[],
        };
        // A topic that cannot be as it is to be is closed to whoever has no right to it all the same.
        match log.access(&spec.topic) {
            Ok(is) if is == wanted => {}
            Ok(_) => changes.took(log.set_access(&spec.topic, wanted))?,
            Err(error) => changes.took(Err(error))?,
        }
    }
    changes.end()
}

/// Changes of topics, one by one. One that fails keeps no other from being made: a topic that somebody gave other
/// partitions must not keep a revocation from being carried out.
struct Changes<'a> {
    log: &'a dyn Log,
    made: usize,
    /// The first that failed.
    failed: Option<AdminError>,
}

impl<'a> Changes<'a> {
    fn on(log: &'a dyn Log) -> Self {
        Self { log, made: 0, failed: None }
    }

    fn make(&mut self, places: &BTreeMap<Topic, Place>) -> Result<(), AdminError> {
        let existing = self.log.topics()?;
        for place in places.values() {
            let topic = &place.spec.topic;
            if existing.iter().all(|spec| spec.topic != *topic) {
                let made = self.log.create_topic(&place.spec);
                self.took(made.and_then(|()| self.log.set_access(topic, &place.access)))?;
            }
        }
        Ok(())
    }

    /// Counts a change, or remembers that it failed.
    ///
    /// # Errors
    /// The failure, when the log does not answer any more: each of the other changes would wait for it in vain.
    fn took(&mut self, change: Result<(), AdminError>) -> Result<(), AdminError> {
        match change {
            Ok(()) => self.made += 1,
            Err(error @ AdminError::Storage(_)) if self.log.partition_counts().is_err() => return Err(error),
            Err(error) => {
                self.failed.get_or_insert(error);
            }
        }
        Ok(())
    }

    fn end(self) -> Result<usize, AdminError> {
        self.failed.map_or(Ok(self.made), Err)
    }
}
