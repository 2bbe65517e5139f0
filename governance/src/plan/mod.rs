//! What declared state would change: a pure function of what is declared, what is in force, and the topics there are.
//!
//! Absence ends nothing: what is in force and not declared goes on. A second run over the same declaration finds nothing
//! to do, however much later: durations count from a grant's activation, a last day that is over is one that was kept, and
//! nothing is renewed because time has passed.
//!
//! # A changed grant
//! | what changed | what happens |
//! |---|---|
//! | purpose, legal basis, systems, duration or last day, and the shape is the same | *renewal*: same topic, nothing is filled again |
//! | more fields, or the filter is gone; all else as it was (*wider*) | a second edition is filled beside the first, which ends when the second is filled |
//! | anything else (*narrower*) | the edition ends first; then a new one starts |
//! | `state: ended` | it ends |
//!
//! A grant that is suspended stands still: its document changes nothing until it is resumed or ended (see
//! [`life`](crate::life)).
//!
//! The id of a grant that has ended is never used again. Another grant may take over a view's name when the one that
//! holds it is declared `state: ended` in the same run; with the same shape that, too, is a renewal.

mod agencies;
mod contracts;
mod grants;
mod laws;
#[cfg(test)]
mod tests;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kenh_domain::contract::Contract;
use kenh_domain::control::{AgencyDocument, ControlEvent, ControlRecord, ControlSet, FORMAT, SchemaDocument, Trust};
use kenh_domain::envelope;
use kenh_domain::law::Article;
use kenh_domain::log::{Position, TopicSpec};
use kenh_domain::names::{Agency, ArticleId, Dataset};
use kenh_domain::schema::Schema;
use kenh_domain::topic::Topic;
use kenh_domain::wire::SchemaId;
use serde::Serialize;

use crate::declared::{Declared, Problem};
use crate::layout;
use crate::registry::subjects;
use crate::trust::withheld::assume;

/// What happens to a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is new.
    Create,
    /// It goes on, otherwise.
    Change,
    /// It ends.
    End,
    /// It stays as it is.
    Unchanged,
}

/// What kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The bus itself: its genesis.
    Bus,
    /// An agency.
    Agency,
    /// A dataset's contract.
    Contract,
    /// An article of law.
    Law,
    /// A grant.
    Grant,
    /// A topic that is not at the log as it is decided.
    Topic,
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What happens.
    pub action: Action,
    /// To what kind of thing.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What changes, in words.
    pub words: Vec<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (action, kind) = (format!("{:?}", self.action).to_lowercase(), format!("{:?}", self.kind).to_lowercase());
        write!(f, "{action:<9} {kind:<8} {}", self.name)?;
        if self.words.is_empty() { Ok(()) } else { write!(f, ": {}", self.words.join("; ")) }
    }
}

/// What would change, and the control events that make it so.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// One line for everything declared, and for what changes with it.
    pub changes: Vec<Change>,
    /// The control events, in order.
    pub events: Vec<ControlEvent>,
    /// The end of the control log that it was made for: it holds for no other.
    pub base: Position,
    /// When it was made: activations start then. Milliseconds since 1970 (UTC).
    pub now_ms: i64,
    /// Everything in force once it is applied; positions in it are not those of the log.
    pub after: ControlSet,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.iter().all(|c| c.action == Action::Unchanged)
    }

    /// A plan of events that were decided otherwise than by declared state, to be [applied](crate::apply::apply) in the same
    /// order: topics first. It has no lines for people.
    ///
    /// # Errors
    /// The reason why an event would be ignored.
    pub fn of_events(control: &ControlSet, events: Vec<ControlEvent>, now_ms: i64) -> Result<Self, String> {
        let declared = Declared::default();
        let mut planner = Planner::new(&declared, control, now_ms);
        planner.events = events;
        let after = planner.after();
        let Planner { events, mut problems, .. } = planner;
        after
            .map(|after| Self { changes: Vec::new(), events, base: control.position, now_ms, after })
            .ok_or_else(|| problems.pop().map(|p| p.message).unwrap_or_default())
    }

    /// Adds what [`apply`](crate::apply::apply) will mend of topics that somebody set otherwise past the bus
    /// ([`Log::drifted`](kenh_domain::log::Log::drifted)).
    pub fn mend(&mut self, drifted: BTreeMap<Topic, Vec<String>>) {
        let places = layout::places(&self.after, self.now_ms);
        for (topic, words) in drifted.into_iter().filter(|(topic, _)| places.contains_key(topic)) {
            self.changes.push(Change { action: Action::Change, kind: Kind::Topic, name: topic.to_string(), words });
        }
    }

    /// How many changes are of this action.
    #[must_use]
    pub fn count(&self, action: Action) -> usize {
        self.changes.iter().filter(|c| c.action == action).count()
    }
}

/// Says what `declared` would change at `now_ms` (milliseconds since 1970, UTC).
///
/// # Errors
/// Every [`Problem`]: nothing of the declaration may be applied then.
pub fn plan(
    declared: &Declared,
    control: &ControlSet,
    existing: &[TopicSpec],
    now_ms: i64,
) -> Result<Plan, Vec<Problem>> {
    let mut planner = Planner::new(declared, control, now_ms);
    planner.genesis();
    planner.agencies();
    planner.contracts();
    planner.laws();
    planner.grants();
    planner.others_still_hold();
    let after = if planner.problems.is_empty() { planner.after() } else { None };
    if let Some(after) = &after {
        planner.drifted_topics(after, existing);
    }
    match after {
        Some(after) if planner.problems.is_empty() => {
            Ok(Plan { changes: planner.changes, events: planner.events, base: control.position, now_ms, after })
        }
        _ => {
            planner.problems.sort();
            planner.problems.dedup();
            Err(planner.problems)
        }
    }
}

/// A plan being made.
struct Planner<'a> {
    declared: &'a Declared,
    control: &'a ControlSet,
    now_ms: i64,
    problems: Vec<Problem>,
    changes: Vec<Change>,
    events: Vec<ControlEvent>,
    /// Agencies as they will be.
    agencies: BTreeMap<Agency, AgencyDocument>,
    /// Articles of law as they will be.
    articles: BTreeMap<ArticleId, Article>,
    /// Contracts as they will be, with their schemas parsed.
    contracts: BTreeMap<Dataset, Resolved>,
    /// Datasets whose contract changes in a way that grants must be compiled against again.
    changed: BTreeSet<Dataset>,
    /// Schema ids by text, known and new: one text, one id.
    ids: BTreeMap<String, SchemaId>,
    next_schema: u32,
    next_view: u32,
}

/// A contract with its schemas parsed, oldest first.
struct Resolved {
    contract: Contract,
    schemas: Vec<(SchemaId, Schema)>,
}

impl Resolved {
    fn of(contract: &Contract) -> Option<Self> {
        let parse = |s: &kenh_domain::contract::SchemaVersion| Some((s.id, Schema::parse(&s.schema).ok()?));
        Some(Self { contract: contract.clone(), schemas: contract.schemas.iter().map(parse).collect::<Option<_>>()? })
    }
}

impl<'a> Planner<'a> {
    fn new(declared: &'a Declared, control: &'a ControlSet, now_ms: i64) -> Self {
        let highest = |n: Option<u32>| n.unwrap_or_default() + 1;
        Self {
            declared,
            control,
            now_ms,
            problems: Vec::new(),
            changes: Vec::new(),
            events: Vec::new(),
            agencies: control.agencies.clone(),
            articles: control.articles.clone(),
            contracts: BTreeMap::new(),
            changed: BTreeSet::new(),
            ids: control.schemas.values().map(|s| (s.schema.clone(), s.id)).collect(),
            next_schema: highest(control.schemas.keys().last().map(|id| id.0)),
            next_view: highest(control.views.keys().last().map(|no| no.0)),
        }
    }

    fn say(&mut self, action: Action, kind: Kind, name: impl fmt::Display, words: Vec<String>) {
        self.changes.push(Change { action, kind, name: name.to_string(), words });
    }

    /// A new bus begins with its genesis and the one schema that belongs to no contract. A crash may have left the
    /// genesis alone: the schema is then still the first one.
    fn genesis(&mut self) {
        if self.control.trust.is_none() {
            self.events.push(ControlEvent::Genesis { trust: Trust::Unsigned });
            let words = vec!["its control events are unsigned, for ever: for one machine or loopback only".into()];
            self.say(Action::Create, Kind::Bus, "genesis", words);
        } else if self.control.schemas.is_empty() {
            self.say(Action::Change, Kind::Bus, "genesis", vec!["the schema of submissions follows".into()]);
        }
        self.schema(subjects::SUBMISSION_END.into(), 1, envelope::SUBMISSION_END_SCHEMA);
    }

    /// The id of a schema: the known one of the same text, or the next with an event that gives it.
    fn schema(&mut self, subject: String, version: u32, text: &str) -> SchemaId {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let id = SchemaId(self.next_schema);
        self.next_schema += 1;
        self.ids.insert(text.to_owned(), id);
        let schema = text.to_owned();
        self.events.push(ControlEvent::Schema(SchemaDocument { id, subject, version, schema }));
        id
    }

    /// Folds the events in, as every role will. An event that would be ignored is a mistake of ours, told as a problem
    /// rather than written.
    fn after(&mut self) -> Option<ControlSet> {
        let mut after = self.control.clone();
        for event in &self.events {
            let record = ControlRecord { format: FORMAT, at_ms: self.now_ms, event: event.clone(), signatures: vec![] };
            let bytes = match serde_json::to_vec(&record) {
                Ok(bytes) if bytes.len() <= kenh_domain::limits::MAX_CONTROL_BYTES => Ok(bytes),
                Ok(bytes) => Err(format!("{} bytes are more than one control event may have", bytes.len())),
                Err(error) => Err(error.to_string()),
            };
            // What lacks signatures is told when it is to be applied, all of it at once.
            let folded = bytes.and_then(|bytes| assume(&mut after, &bytes).map_err(|e| e.to_string()));
            if let Err(why) = folded {
                let message = format!("the plan cannot be applied: {why}");
                self.problems.push(Problem::of_file(std::path::Path::new("."), message, ""));
                return None;
            }
        }
        Some(after)
    }

    /// Topics that were decided and are not there (a crash between deciding and making), have other partitions, or are
    /// kept for another time than decided (somebody changed them past the bus).
    fn drifted_topics(&mut self, after: &ControlSet, existing: &[TopicSpec]) {
        let before = layout::places(self.control, self.now_ms);
        for (topic, place) in layout::places(after, self.now_ms) {
            let is = existing.iter().find(|spec| spec.topic == topic);
            match is {
                Some(is) if is.partitions != place.spec.partitions => {
                    let message = format!(
                        "topic {topic} has {} partitions and would need {}; a partition count never changes in place",
                        is.partitions, place.spec.partitions
                    );
                    self.problems.push(Problem::of_file(std::path::Path::new("."), message, "make a new dataset"));
                }
                None if self.control.trust.is_some() && before.contains_key(&topic) => {
                    self.say(Action::Create, Kind::Topic, topic, vec!["it is missing at the log".into()]);
                }
                Some(is) if is.retention != place.spec.retention => {
                    let words = format!("kept {} at the log, not {}", is.retention, place.spec.retention);
                    self.say(Action::Change, Kind::Topic, topic, vec![words]);
                }
                _ => {}
            }
        }
    }
}
