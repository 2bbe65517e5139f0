//! Running roles: router, control and copies, each on a thread of its own, stopped together.
//!
//! The data plane does not wait on HTTP or on timers: each role has its own loop over the log, and this file only starts
//! them, remembers what they say of themselves, and joins them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kenh_consumers::store::ViewStore;
use kenh_consumers::store::fjall::FjallStore;
use kenh_consumers::store::postgres::{Options, PostgresStore};
use kenh_consumers::store::sled::SledStore;
use kenh_consumers::subscriber::{self, Subscriber};
use kenh_domain::control::ControlSet;
use kenh_domain::error::chain;
use kenh_domain::log::{Log, TopicPartition};
use kenh_domain::names::{Agency, Group, Principal};
use kenh_domain::topic::Topic;
use kenh_governance::Control;
use kenh_router::Router;

use super::{Node, topics, unsigned};
use crate::commands::Failure;
use crate::config::{self, Store};
use crate::time::now_ms;

/// How often the control role looks at the log.
const CONTROL_EVERY: Duration = Duration::from_millis(100);
/// How often a process without the control role looks at the control log.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// How long the control role waits after a turn that failed.
const CONTROL_BACKOFF: Duration = Duration::from_secs(2);
/// How often the log is compacted and cut to its retention.
const MAINTAIN_EVERY: Duration = Duration::from_secs(10 * 60);

/// The one group of this node: all partitions of all datasets.
const GROUP: &str = "main";

/// A copy that this node keeps.
pub struct Copy {
    /// What it is kept in.
    pub store: Arc<dyn ViewStore>,
    /// What its subscriber says of itself.
    stats: Arc<Mutex<subscriber::Stats>>,
}

impl Copy {
    /// What its subscriber says of itself, as of its last turn.
    #[must_use]
    pub fn stats(&self) -> subscriber::Stats {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// All copies of this node, by agency.
pub type Copies = BTreeMap<Agency, Copy>;

/// The control set in force, as this process last saw it.
#[derive(Clone, Default)]
pub struct InForce {
    set: Arc<RwLock<Arc<ControlSet>>>,
    /// Why the control log was not followed, or not acted on, at the last try.
    waiting: Arc<Mutex<Option<String>>>,
}

impl InForce {
    /// The set as it is now.
    #[must_use]
    pub fn get(&self) -> Arc<ControlSet> {
        self.set.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why the control role, or who follows the control log in its place, cannot go on; none: it did at its last turn.
    #[must_use]
    pub fn waiting(&self) -> Option<String> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, set: Arc<ControlSet>) {
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = set;
    }

    fn tell(&self, waiting: Option<String>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
    }
}

/// Opens the store of an agency's copies, for their subscriber; `dir` is where those lie that are files.
///
/// # Errors
/// When it is in use, damaged, or (PostgreSQL) cannot be reached.
pub fn open_store(dir: &Path, agency: &Agency, store: &Store) -> Result<Arc<dyn ViewStore>, Failure> {
    Ok(match store {
        Store::Sled => Arc::new(SledStore::open(&dir.join("sled"))?),
        Store::Fjall => Arc::new(FjallStore::open(&dir.join("fjall"))?),
        Store::Postgres(to) => Arc::new(PostgresStore::open(Options::on(&to.server, agency))?),
    })
}

/// As which of its systems an agency's views are read: the one named, or its first.
///
/// # Errors
/// When there is no such agency or system.
pub fn system_of(set: &ControlSet, agency: &Agency, named: Option<&Principal>) -> Result<Principal, Failure> {
    let known = set.agencies.get(agency).ok_or_else(|| {
        let names: Vec<_> = set.agencies.keys().map(Agency::as_str).collect();
        let there = if names.is_empty() { "none is declared yet: kenh apply".into() } else { names.join(", ") };
        Failure::because(format!("there is no agency {agency} (there are: {there})"))
    })?;
    let of = |system: &Principal| known.systems.contains(system).then(|| system.clone());
    named.map_or_else(|| known.systems.first().cloned(), of).ok_or_else(|| {
        let systems: Vec<_> = known.systems.iter().map(Principal::as_str).collect();
        Failure::because(format!("agency {agency} has these systems: {}", systems.join(", ")))
    })
}

type Thread = (&'static str, JoinHandle<Result<(), Failure>>);

/// Which roles a process runs. On the embedded log one process runs all of them; on Kafka they may be apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleSet {
    /// Admit and route.
    pub router: bool,
    /// Keep topics, access lists and cards as decided.
    pub control: bool,
    /// Keep the copies that the configuration names.
    pub copies: bool,
}

impl RoleSet {
    /// All of them: `kenh up`.
    pub const ALL: Self = Self { router: true, control: true, copies: true };
    /// What a bus needs to answer a provider: `kenh produce` on a directory that nobody runs.
    pub const BUS: Self = Self { copies: false, ..Self::ALL };
    /// `kenh route`
    pub const ROUTE: Self = Self { router: true, control: false, copies: false };
    /// `kenh control`
    pub const CONTROL: Self = Self { router: false, control: true, copies: false };
    /// `kenh serve`
    pub const SERVE: Self = Self { router: false, control: false, copies: true };

    /// What telemetry calls a process that runs these.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self { router: true, control: true, .. } => "up",
            Self { router: true, .. } => "route",
            Self { control: true, .. } => "control",
            Self { .. } => "serve",
        }
    }
}

/// The roles of a node while they run.
pub struct Roles {
    stop: Arc<AtomicBool>,
    threads: Vec<Thread>,
    /// What the router counts; none where it runs elsewhere.
    pub router: Option<Arc<kenh_router::Stats>>,
    /// The control set as last seen by the control role.
    pub control: InForce,
    /// The copies.
    pub copies: Arc<Copies>,
}

impl Roles {
    /// Starts roles on a node. Without the control role, the control log is followed all the same.
    ///
    /// # Errors
    /// When a role cannot start, the bus may not be where it is, or a topic has other partitions than decided; none runs then.
    pub fn start(node: &Node, which: RoleSet, copies: &[config::Copy]) -> Result<Self, Failure> {
        kenh_governance::bootstrap(&*node.log)?;
        let set = kenh_governance::load(&*node.log)?;
        unsigned::may_hold(node.bootstrap.as_deref(), set.trust.as_ref())?;
        topics::check(&*node.log, &set, now_ms())?;
        let mut subscribers = Vec::new();
        for copy in copies.iter().filter(|_| which.copies) {
            let system = system_of(&set, &copy.agency, copy.system.as_ref())?;
            let store = open_store(&node.copies_dir(&copy.agency), &copy.agency, &copy.store)?;
            let config =
                subscriber::Config::new(node.log.clone(), copy.agency.clone(), system, store.clone(), Arc::new(now_ms));
            subscribers.push((copy.agency.clone(), store, Subscriber::open(config)?));
        }
        let router = if which.router { Some(open_router(node)?) } else { None };

        let mut roles = Self {
            stop: Arc::default(),
            threads: Vec::new(),
            router: router.as_ref().map(Router::stats),
            control: InForce::default(),
            copies: Arc::default(),
        };
        roles.control.set(Arc::new(set));
        if let Some(mut router) = router {
            roles.spawn("router", move |stop| Ok(router.run(stop)?))?;
        }
        let (in_force, log) = (roles.control.clone(), node.log.clone());
        if which.control {
            let control = Control::new(node.log.clone(), node.master.clone());
            roles.spawn("control", move |stop| run_control(control, &*log, &in_force, stop))?;
        } else {
            roles.spawn("follower", move |stop| follow_control(&*log, &in_force, stop))?;
        }
        let mut kept = Copies::new();
        for (agency, store, mut subscriber) in subscribers {
            kept.insert(agency, Copy { store, stats: subscriber.stats() });
            roles.spawn("subscriber", move |stop| {
                subscriber.run(stop);
                Ok(())
            })?;
        }
        roles.copies = Arc::new(kept);
        Ok(roles)
    }

    fn spawn(
        &mut self,
        name: &'static str,
        work: impl FnOnce(&AtomicBool) -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let stop = self.stop.clone();
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
            let ended = work(&stop);
            // One role that fails ends the node: the others would only look alive.
            if ended.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            ended
        })?;
        self.threads.push((name, thread));
        Ok(())
    }

    /// Whether a role has failed, or all are asked to stop.
    #[must_use]
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Asks all roles to stop and waits for them: what they hold is durable then.
    ///
    /// # Errors
    /// The first failure of a role.
    pub fn stop(mut self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let mut first = Ok(());
        for (name, thread) in std::mem::take(&mut self.threads) {
            let ended = thread.join().unwrap_or_else(|_| Err(Failure::because(format!("the {name} role panicked"))));
            if first.is_ok() {
                first = ended;
            }
        }
        first
    }
}

impl Drop for Roles {
    fn drop(&mut self) {
        // Where starting broke off in the middle: what runs already must not go on by itself.
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn open_router(node: &Node) -> Result<Router, Failure> {
    let group = Group::new(GROUP)?;
    let clock: kenh_router::Clock = Arc::new(now_ms);
    let mut config = kenh_router::Config::new(node.log.clone(), group, node.master.clone(), clock);
    config.state_dir = Some(node.state_dir());
    Ok(Router::open(config)?)
}

/// Keeps the control set of a process without the control role up to date.
fn follow_control(log: &dyn Log, in_force: &InForce, stop: &AtomicBool) -> Result<(), Failure> {
    let of = TopicPartition::new(Topic::Control, 0);
    let mut seen = None;
    while !stop.load(Ordering::Relaxed) {
        let read = log.bounds(&Principal::control(), &of).map_err(Failure::from).and_then(|bounds| {
            if seen != Some(bounds.end) {
                in_force.set(Arc::new(kenh_governance::load(log)?));
                seen = Some(bounds.end);
            }
            Ok(())
        });
        let waiting = match read {
            Err(Failure::Failed(error)) => Some(chain(&*error)),
            _ => None,
        };
        if let Some(error) = &waiting {
            tracing::warn!(error, "control log not read; trying again");
        }
        in_force.tell(waiting);
        nap(FOLLOW_EVERY, stop);
    }
    Ok(())
}

fn run_control(mut control: Control, log: &dyn Log, in_force: &InForce, stop: &AtomicBool) -> Result<(), Failure> {
    let mut maintained = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let wait = match control.turn(now_ms()) {
            Ok(turn) => {
                in_force.set(control.set().clone());
                in_force.tell(None);
                if turn.is_idle() { CONTROL_EVERY } else { Duration::ZERO }
            }
            Err(error) => {
                // One topic that cannot be made does not hide what was decided since.
                if control.set().position > in_force.get().position {
                    in_force.set(control.set().clone());
                }
                let error = chain(&error);
                tracing::warn!(error, "control role: trying again");
                in_force.tell(Some(error));
                CONTROL_BACKOFF
            }
        };
        if maintained.elapsed() > MAINTAIN_EVERY {
            maintained = Instant::now();
            if let Err(error) = log.maintain(now_ms()) {
                tracing::warn!(error = chain(&error), "log not compacted; trying again later");
            }
        }
        nap(wait, stop);
    }
    Ok(())
}

/// Waits, but not beyond a stop.
fn nap(mut left: Duration, stop: &AtomicBool) {
    while !left.is_zero() && !stop.load(Ordering::Relaxed) {
        let step = left.min(CONTROL_EVERY);
        std::thread::sleep(step);
        left -= step;
    }
}
