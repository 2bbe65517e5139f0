//! What a node says of itself: one document for `kenh status`, for `/v1/status` and for readiness.

use std::collections::BTreeMap;

use kenh_consumers::subscriber;
use kenh_domain::control::ControlSet;
use kenh_domain::names::Agency;
use kenh_domain::receipt::{Counts, Warnings};
use kenh_domain::relaxation::Relaxation;
use kenh_router::Snapshot;
use serde::{Deserialize, Serialize};

/// How far behind the clock of the bus a copy may be before a node is not ready: its positions are told each second.
const STALE_AFTER_MS: i64 = 60_000;

/// Everything, at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// When it was taken: milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// Why the node is not ready; empty when it is.
    pub not_ready: Vec<String>,
    /// Datasets, grants and agencies in force.
    pub declared: Declared,
    /// The router.
    pub router: RouterStatus,
    /// The agencies whose copies this node keeps.
    pub subscribers: Vec<SubscriberStatus>,
    /// The copies that this node keeps, by agency.
    pub copies: Vec<CopyStatus>,
}

/// What is in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Declared {
    /// Position of the last control event.
    pub control: u64,
    /// Agencies.
    pub agencies: usize,
    /// Datasets.
    pub datasets: usize,
    /// Grants in force now.
    pub grants: usize,
    /// Rules that are relaxed now.
    pub relaxed: Vec<Relaxation>,
    /// Why this process does not follow the control log now, or cannot do what it says, if so: the log is away, or a topic is
    /// not as declared.
    #[serde(default)]
    pub waiting: Option<String>,
}

/// The router.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouterStatus {
    /// Submitted changes by outcome since the process started.
    pub counts: Counts,
    /// Rejections by rule.
    pub rules: BTreeMap<String, u64>,
    /// Admitted changes that broke a relaxed rule, by rule.
    pub warnings: Warnings,
    /// Inputs, each with how far it lies behind.
    pub inputs: Vec<Input>,
    /// Data partitions.
    pub data: Vec<Data>,
    /// The lane that is being filled, as a sentence.
    pub lane: Option<String>,
    /// Sequences that it still has to pass.
    pub lane_left: u64,
    /// Views whose output is stopped, and why.
    pub stopped: Vec<String>,
    /// Views in force that are not written because their grant does not compile, and why.
    pub refused: Vec<String>,
    /// What the loop waits for.
    pub waiting: Option<String>,
    /// When it committed last.
    pub last_commit_ms: Option<i64>,
    /// Commits since the process started.
    pub commits: u64,
    /// How long they took.
    pub commit_times: CommitTimes,
    /// Markers since the process started.
    pub markers: u64,
    /// View records since the process started.
    pub view_records: u64,
}

/// How long commits took since the process started.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitTimes {
    /// Seconds, together.
    pub seconds: f64,
    /// Commits that took no longer than a bound: its milliseconds, and how many. All bounds, rising.
    pub within_ms: Vec<(u64, u64)>,
}

impl CommitTimes {
    fn new(times: &kenh_router::CommitTimes) -> Self {
        let bounds = kenh_router::COMMIT_BUCKETS_MS.into_iter().zip(times.within);
        let mut sum = 0;
        let within_ms = bounds.map(|(bound, count)| {
            sum += count;
            (bound, sum)
        });
        Self { within_ms: within_ms.collect(), seconds: times.total.as_secs_f64() }
    }
}

/// One input partition.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Topic and partition.
    pub of: String,
    /// How far it lies behind, in positions: an upper bound of the records.
    pub lag: u64,
    /// Why it is not read, if it is not.
    pub waiting: Option<String>,
    /// When something of it was last decided and committed, since the process started.
    pub decided_ms: Option<i64>,
    /// The newest time that its source gave an admitted change, since the process started.
    pub updated_ms: Option<i64>,
}

/// One data partition.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Data {
    /// Topic and partition.
    pub of: String,
    /// Sequence of its last record.
    pub sequence: u64,
    /// The control position in force.
    pub control: u64,
    /// The clock of its latest marker.
    pub clock_ms: i64,
    /// Record keys known.
    pub keys: usize,
    /// Bytes that they take in memory.
    pub bytes: usize,
}

/// Who keeps the copies of one agency.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriberStatus {
    /// Whose.
    pub agency: Agency,
    /// Why they are not kept up to date now, if they are not: the store, the log, a right is missing.
    pub waiting: Option<String>,
}

/// One copy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyStatus {
    /// Whose.
    pub agency: Agency,
    /// Of which dataset.
    pub dataset: String,
    /// Which view.
    pub view: String,
    /// Which edition.
    pub edition: u32,
    /// filling, live, ended or refused.
    pub state: String,
    /// Why it is refused.
    pub reason: Option<String>,
    /// Rows that readers see.
    pub rows: u64,
    /// Rows that came.
    pub inserted: u64,
    /// Rows that changed.
    pub updated: u64,
    /// Rows that left.
    pub left: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// The clock of the bus as of which it is complete.
    pub clock_ms: Option<i64>,
    /// Whether it holds everything that the bus has told of.
    pub complete: bool,
}

impl CopyStatus {
    /// From what a subscriber says.
    #[must_use]
    pub fn new(agency: &Agency, copy: &subscriber::CopyStats) -> Self {
        let (state, reason) = match &copy.state {
            subscriber::CopyState::Filling => ("filling", None),
            subscriber::CopyState::Live => ("live", None),
            subscriber::CopyState::Ended => ("ended", None),
            subscriber::CopyState::Refused(why) => ("refused", Some(why.clone())),
        };
        Self {
            agency: agency.clone(),
            dataset: copy.dataset.to_string(),
            view: copy.view.to_string(),
            edition: copy.edition.0,
            state: state.into(),
            reason,
            rows: copy.rows,
            inserted: copy.inserted,
            updated: copy.updated,
            left: copy.left,
            bytes: copy.bytes,
            clock_ms: copy.clock_ms,
            complete: copy.complete,
        }
    }
}

/// The relaxations in force at `now_ms` (milliseconds since 1970, UTC).
#[must_use]
pub fn relaxed(control: &ControlSet, now_ms: i64) -> Vec<Relaxation> {
    let in_force = control.relaxations.values().filter(|entry| entry.in_force(now_ms));
    in_force.map(|entry| (*entry.relaxation).clone()).collect()
}

impl Status {
    /// Puts together what the roles say of themselves. `waiting`: why the control log is not followed.
    #[must_use]
    pub fn new(
        control: &ControlSet,
        waiting: Option<String>,
        router: Option<&Snapshot>,
        copies: &[(Agency, subscriber::Stats)],
        now_ms: i64,
    ) -> Self {
        let name = |view: kenh_domain::control::ViewNo| {
            control.views.get(&view).map_or_else(|| format!("view {}", view.0), |v| v.activation.topic().to_string())
        };
        let mut not_ready = Vec::new();
        let elsewhere = Snapshot::default();
        let here = router.is_some();
        let router = router.unwrap_or(&elsewhere);
        if here && router.claims == 0 {
            not_ready.push("the router has not claimed its group yet".to_owned());
        }
        if let Some(reason) = &waiting {
            not_ready.push(format!("control: {reason}"));
        }
        if let Some(reason) = &router.waiting {
            not_ready.push(format!("router: {reason}"));
        }
        for input in &router.inputs {
            if let Some(reason) = &input.waiting {
                not_ready.push(format!("{}: {reason}", input.of));
            }
        }
        let newest = router.data.iter().map(|d| d.clock_ms).max().unwrap_or(0);
        let (mut rows, mut subscribers) = (Vec::new(), Vec::new());
        for (agency, stats) in copies {
            subscribers.push(SubscriberStatus { agency: agency.clone(), waiting: stats.waiting.clone() });
            if let Some(reason) = &stats.waiting {
                not_ready.push(format!("copies of {agency}: {reason}"));
            }
            for copy in &stats.copies {
                let late = copy.clock_ms.is_some_and(|clock| newest - clock > STALE_AFTER_MS);
                if late && copy.state == subscriber::CopyState::Live {
                    let (dataset, view) = (&copy.dataset, &copy.view);
                    not_ready.push(format!("copies of {agency}: {dataset}/{view} is over a minute behind"));
                }
                rows.push(CopyStatus::new(agency, copy));
            }
        }
        Self {
            at_ms: now_ms,
            not_ready,
            declared: Declared {
                control: control.position.0,
                agencies: control.agencies.len(),
                datasets: control.contracts.len(),
                grants: control.views.values().filter(|v| v.in_force(now_ms)).count(),
                relaxed: relaxed(control, now_ms),
                waiting,
            },
            router: RouterStatus {
                counts: router.counts,
                rules: router.rules.clone(),
                warnings: router.warnings.clone(),
                inputs: router
                    .inputs
                    .iter()
                    .map(|i| Input {
                        of: i.of.to_string(),
                        lag: i.lag(),
                        waiting: i.waiting.as_ref().map(ToString::to_string),
                        decided_ms: i.decided_ms,
                        updated_ms: i.updated_ms,
                    })
                    .collect(),
                data: router
                    .data
                    .iter()
                    .map(|d| Data {
                        of: d.of.to_string(),
                        sequence: d.sequence.0,
                        control: d.control.0,
                        clock_ms: d.clock_ms,
                        keys: d.keys,
                        bytes: d.bytes,
                    })
                    .collect(),
                lane: router.lane.as_ref().map(|lane| {
                    let views: Vec<_> = lane.views.iter().map(|v| name(*v)).collect();
                    format!("{} at {} of {}: {}", lane.of, lane.sequence.0, lane.until.0, views.join(", "))
                }),
                lane_left: router.lane.as_ref().map_or(0, |lane| lane.until.0.saturating_sub(lane.sequence.0)),
                stopped: router.stopped.iter().map(|(view, why)| format!("{}: {why}", name(*view))).collect(),
                refused: router
                    .data
                    .iter()
                    .flat_map(|d| &d.refused)
                    .map(|(view, why)| format!("{}: {why}", name(*view)))
                    .collect(),
                waiting: router.waiting.as_ref().map(ToString::to_string),
                last_commit_ms: router.last_commit_ms,
                commits: router.commits,
                commit_times: CommitTimes::new(&router.commit_times),
                markers: router.markers,
                view_records: router.view_records,
            },
            subscribers,
            copies: rows,
        }
    }
}
