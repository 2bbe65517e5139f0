//! The broker goes while records flow through the whole bus, killed with SIGKILL or because its disk is full, and is
//! started again: router and subscribers wait with backoff, say so, and go on; every change is admitted once and every
//! copy equals the model.
//!
//! One provider has sent much at once, so that the router is at work when the broker goes (one that has nothing to do does
//! not notice). Another goes on sending: a submission that fails is made again, as `kenh produce` is run again. What was
//! written before then counts as repeated, so that receipts are held to the model by what was admitted only.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use kenh_consumers::subscriber::Stats;
use kenh_router::{Reason, Router};
use kenh_testkit::disk::SmallDisk;
use kenh_testkit::kafka::Cluster;

use crate::cluster;
use crate::ground::{Ground, StoreKind};
use crate::roles::{Bus, Sent, sent, try_submit};
use crate::world::{ALL, Contract, HO_SO, OF_79, OPEN, grant, record};

/// How long anything may take that is waited for: the node to be back, and each client to notice.
const PATIENCE: Duration = Duration::from_secs(90);
/// Changes that lie before the router when the broker goes, and how many it has decided by then.
const MUCH: u64 = 600;
const DECIDED: u64 = 20;
/// Changes of the other provider that flow before it goes, and again after it is back.
const FLOWING: u64 = 10;
/// The size of the disk that is filled.
const DISK_MIB: u32 = 96;

fn change(provider: &'static str, n: u64) -> Sent {
    let key = format!("{provider}-{}", n % 8);
    let place = if n.is_multiple_of(3) { "01" } else { "79" };
    sent(&key, 1 + n / 8, record(&key, "An", place, i64::try_from(n).unwrap())).by(provider)
}

/// Waits for a state, unless the other side of the test is gone.
fn until(what: &str, stop: &AtomicBool, mut there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < PATIENCE && !stop.load(Ordering::Relaxed), "waited {:?} for {what}", begun.elapsed());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sets what it holds when it goes, however that is.
struct Ends<'a>(&'a AtomicBool);

/// How a broker goes and comes back.
trait Fault: Sync {
    fn cluster(&self) -> &Cluster;
    /// When this returns, its process has ended.
    fn goes(&self);
    /// When this returns, it takes records again.
    fn comes_back(&self);
}

struct Killed(Cluster);

impl Fault for Killed {
    fn cluster(&self) -> &Cluster {
        &self.0
    }

    fn goes(&self) {
        self.0.kill(1);
    }

    fn comes_back(&self) {
        self.0.restart(1);
    }
}

/// Its only disk is full: Apache Kafka gives the log directory up, and ends when it has no other. Whoever looks after it
/// makes room and starts it again.
struct DiskFull {
    // Before the disk that it lies on.
    cluster: Cluster,
    disk: SmallDisk,
}

impl Fault for DiskFull {
    fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn goes(&self) {
        self.disk.fill(0);
        self.cluster.await_end(1);
    }

    fn comes_back(&self) {
        self.disk.empty();
        self.cluster.restart(1);
    }
}

/// Lets nobody wait for a broker after a failure.
struct Back<'a>(&'a dyn Fault);

impl Drop for Back<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.comes_back();
        }
    }
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_broker_that_was_killed_is_waited_for_and_nothing_is_lost() {
    a_broker_that_goes_is_waited_for(&Killed(Cluster::start(1)));
}

#[test]
fn a_broker_whose_disk_is_full_is_waited_for_and_nothing_is_lost() {
    let disk = SmallDisk::new(DISK_MIB);
    a_broker_that_goes_is_waited_for(&DiskFull { cluster: Cluster::start_on(&disk), disk });
}

fn a_broker_that_goes_is_waited_for(fault: &dyn Fault) {
    let cluster = fault.cluster();
    let log = Arc::new(cluster::connect(cluster.bootstrap()));
    let contract = Contract { partitions: 2, providers: &["G01", "G02"], ..Contract::default() };
    let mut bus = Bus::sample(Ground::on_kafka(log.clone(), StoreKind::Sled, Box::new(())), &contract);
    bus.grant(&grant("thanh-pho", "H29", OPEN).rows(OF_79));
    bus.grant(&grant("tat-ca", "G12", ALL));
    bus.settle();
    bus.crash_router();
    bus.batch = 2;
    let mut router = Router::open(bus.router_config()).unwrap();
    let stats = router.stats();
    let mut keeper = bus.lend("H29");
    let held = keeper.stats();
    let document = bus.contract(HO_SO);
    let clock = bus.clock.clone();
    let stop = AtomicBool::new(false);
    let last = std::thread::scope(|scope| {
        let (_ends, _back) = (Ends(&stop), Back(fault));
        let (tell, told) = mpsc::channel();
        let (stop, log, document, clock) = (&stop, &log, &document, &clock);
        let routing = scope.spawn(|| {
            let _ends = Ends(stop);
            router.run(stop)
        });
        scope.spawn(|| {
            let _ends = Ends(stop);
            keeper.run(stop);
        });
        let providing = scope.spawn(move || {
            let _ends = Ends(stop);
            let begun = Instant::now();
            let mut next = 0;
            while !stop.load(Ordering::Relaxed) {
                let now_ms = clock.fetch_add(10, Ordering::SeqCst);
                match try_submit(&**log, document, &[change("G02", next)], &format!("one-{next}"), now_ms) {
                    Ok(()) => {
                        next += 1;
                        tell.send(next).unwrap_or(());
                    }
                    Err(error) => assert!(begun.elapsed() < 3 * PATIENCE, "{error:?}"),
                }
            }
            next
        });
        let flow = |what: &str| {
            while told.try_recv().is_ok() {}
            for _ in 0..FLOWING {
                told.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{what}: {e}"));
            }
        };
        let admitted = || stats.snapshot().counts.admitted;
        flow("changes before the broker goes");
        let much: Vec<Sent> = (0..MUCH).map(|n| change("G01", n)).collect();
        let from = admitted();
        try_submit(&**log, document, &much, "much", clock.load(Ordering::SeqCst)).unwrap();
        until("the router to be at work", stop, || admitted() > from + DECIDED);
        fault.goes();
        let by_then = admitted();
        assert!(by_then < from + MUCH, "the router was done before the broker went: this tests little");
        let gone = |why: &Option<Reason>| matches!(why, Some(Reason::Recovering(_) | Reason::Unanswered(_)));
        until("the router to say that it waits", stop, || gone(&stats.snapshot().waiting));
        // A subscriber that starts meanwhile says so at once, and is no worse for it.
        bus.leave("G12");
        bus.keep("G12");
        bus.wait_keeper("G12", Duration::ZERO);
        let said = waiting(&bus.stats("G12"));
        assert!(said.is_some_and(|why| why.contains("notice")), "G12 does not say what it waits for");
        fault.comes_back();
        flow("changes after it is back");
        until("the router to go on", stop, || stats.snapshot().waiting.is_none() && admitted() > by_then);
        until("the subscriber to go on", stop, || waiting(&held).is_none());
        stop.store(true, Ordering::Relaxed);
        routing.join().unwrap().unwrap();
        providing.join().unwrap()
    });
    drop((router, keeper));
    // What is left is decided at once, not two by two.
    bus.batch = 5_000;
    for change in (0..MUCH).map(|n| change("G01", n)).chain((0..last).map(|n| change("G02", n))) {
        bus.note(HO_SO, &change);
    }
    bus.keep("H29");
    bus.settle();
    bus.check_copies();
    bus.check_data();
    bus.check_replay();
    for (provider, sent) in [("G01", MUCH), ("G02", last)] {
        let counts = bus.receipts(provider, HO_SO);
        assert_eq!((counts.admitted, counts.stale, counts.rejected), (sent, 0, 0), "{provider}: {counts:?}");
    }
}

fn waiting(stats: &Arc<Mutex<Stats>>) -> Option<String> {
    stats.lock().unwrap().waiting.clone()
}
