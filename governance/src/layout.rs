//! Which topics there are to be, and who may read and write them: a function of the control set.
//!
//! | topic | partitions | kept | read | write |
//! |---|---|---|---|---|
//! | `in.<dataset>.<provider>` | the contract's | 30 days | roles | systems of the provider |
//! | `data.<dataset>` | the contract's | for ever | roles | roles |
//! | `view.…` | the contract's | compacted | systems that the grant names | roles |
//! | `dead-letter.<dataset>.<provider>` | the contract's | 30 days | systems of the provider | roles |
//! | `receipt.<provider>` | 1 | 30 days | systems of the provider | roles |
//! | `notice.<agency>` | 1 | compacted | systems of the agency | roles |
//! | `confirm.<agency>` | 1 | for ever | roles | systems of the agency |
//! | `kenh.*` | 1 | for ever | roles | roles |

use std::collections::BTreeMap;

use kenh_domain::control::{ControlSet, ViewEntry};
use kenh_domain::limits::{INTAKE_DAYS, NOTICE_DAYS, TOMBSTONE_DAYS};
use kenh_domain::log::{Access, Operation, Retention, TopicSpec};
use kenh_domain::names::{Agency, Principal};
use kenh_domain::topic::Topic;

/// A topic as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its partitions and retention.
    pub spec: TopicSpec,
    /// Its access list, sorted.
    pub access: Vec<Access>,
}

/// The topics of the bus itself, there before anything is decided.
#[must_use]
pub fn own() -> Vec<Place> {
    let place = |topic| place(topic, 1, Retention::Forever, Vec::new());
    [Topic::Control, Topic::Heads, Topic::Ledger].into_iter().map(place).collect()
}

/// Every topic that is to be there at `now_ms`. A view that has ended, or whose time has run out, is not in it: its topic
/// goes when the router has stopped writing to it, see [`Control`](crate::Control).
#[must_use]
pub fn places(set: &ControlSet, now_ms: i64) -> BTreeMap<Topic, Place> {
    let mut out = own();
    for agency in set.agencies.keys() {
        let notices = Retention::Compacted { tombstone_days: NOTICE_DAYS };
        out.push(place(Topic::Notice(agency.clone()), 1, notices, systems(set, agency, Operation::Read)));
        let confirm = systems(set, agency, Operation::Write);
        out.push(place(Topic::Confirm(agency.clone()), 1, Retention::Forever, confirm));
    }
    for contract in set.contracts.values() {
        let (dataset, n) = (&contract.dataset, contract.partitions);
        out.push(place(Topic::Data(dataset.clone()), n, Retention::Forever, Vec::new()));
        for provider in &contract.providers {
            let agency = &provider.agency;
            let kept = Retention::Days(INTAKE_DAYS);
            let reads = systems(set, agency, Operation::Read);
            let writes = systems(set, agency, Operation::Write);
            out.push(place(Topic::In(dataset.clone(), agency.clone()), n, kept, writes));
            out.push(place(Topic::DeadLetter(dataset.clone(), agency.clone()), n, kept, reads.clone()));
            out.push(place(Topic::Receipt(agency.clone()), 1, kept, reads));
        }
    }
    for view in set.views.values().filter(|v| stands(v, now_ms)) {
        let Some(contract) = set.contracts.get(&view.activation.grant.dataset) else { continue };
        let kept = Retention::Compacted { tombstone_days: TOMBSTONE_DAYS };
        let reads = access(&view.activation.grant.systems, Operation::Read);
        out.push(place(view.activation.topic(), contract.partitions, kept, reads));
    }
    out.into_iter().map(|p| (p.spec.topic.clone(), p)).collect()
}

/// Whether an edition is or will be in force: it has not ended by an event nor by its time.
#[must_use]
pub fn stands(view: &ViewEntry, now_ms: i64) -> bool {
    view.ended.is_none() && now_ms < view.activation.ends_ms
}

fn place(topic: Topic, partitions: u32, retention: Retention, access: Vec<Access>) -> Place {
    Place { spec: TopicSpec { topic, partitions, retention }, access }
}

fn systems(set: &ControlSet, agency: &Agency, operation: Operation) -> Vec<Access> {
    set.agencies.get(agency).map(|a| access(&a.systems, operation)).unwrap_or_default()
}

fn access(systems: &[Principal], operation: Operation) -> Vec<Access> {
    let mut out: Vec<Access> =
        systems.iter().map(|principal| Access { principal: principal.clone(), operation }).collect();
    out.sort();
    out.dedup();
    out
}
