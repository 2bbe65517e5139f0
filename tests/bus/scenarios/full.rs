//! A disk without room: the bus waits, says so, and loses nothing. On the logs of ours: a broker ends itself when its
//! disk is full, which is in `broker_gone`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;
use kenh_router::{Backoff, Reason, Router, Turn};
use kenh_testkit::PATIENCE;

use crate::check::records;
use crate::ground::Ground;
use crate::roles::{Bus, Sent, agency, dataset, sent};
use crate::world::{ALL, Contract, HO_SO, grant, record, system};

on_own_logs!(a_full_log_is_waited_for_and_nothing_is_lost, a_full_log_is_tried_again_with_backoff);

fn wave(from: u64) -> Vec<Sent> {
    let of = |n: u64| {
        sent(&format!("k{}", n % 8), 1 + n / 8, record(&format!("k{}", n % 8), "An", "79", i64::try_from(n).unwrap()))
    };
    (from..from + 24).map(of).collect()
}

fn a_full_log_is_waited_for_and_nothing_is_lost(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract { partitions: 2, ..Contract::default() });
    bus.batch = 5;
    bus.grant(&grant("tat-ca", "G12", ALL));
    bus.send(&wave(0));
    bus.settle();
    bus.send(&wave(24));
    // Half way through, there is no room any more.
    bus.turn_router(bus.ground.wait);
    bus.turn_router(bus.ground.wait);
    let fill = bus.ground.fill.take().unwrap();
    let written = |bus: &Bus| records(bus.log(), &Topic::Data(dataset(HO_SO))).len();
    let before = written(&bus);
    fill(true);
    for _ in 0..5 {
        bus.tick(1_000);
        assert_eq!(bus.turn_router(Duration::ZERO), Turn::Waiting(Reason::Full));
        assert_eq!(bus.router().stats().snapshot().waiting, Some(Reason::Full));
        bus.turn_control();
        bus.turn_keeper("G12");
    }
    assert_eq!(written(&bus), before);
    // Nor do providers lose anything: they are told.
    let record = kenh_domain::log::NewRecord {
        to: kenh_domain::log::TopicPartition::new(Topic::In(dataset(HO_SO), agency("G01")), 0),
        timestamp_ms: bus.now_ms(),
        key: "k".into(),
        value: None,
    };
    let mut writer = bus.log().writer(&Principal::new(&system("G01")).unwrap());
    let refused = writer.write(vec![record]).and_then(|()| writer.flush().map(drop));
    assert!(matches!(refused, Err(kenh_domain::log::WriteError::Full(_))), "{refused:?}");
    drop(writer);
    // What was asked meanwhile is answered by a router that was started in between, too.
    bus.crash_router();
    assert!(matches!(bus.turn_router(Duration::ZERO), Turn::Waiting(Reason::Full)));
    fill(false);
    bus.settle();
    bus.check();
    assert_eq!(bus.router().stats().snapshot().waiting, None);
}

/// As it runs: on its own thread, with backoff.
fn a_full_log_is_tried_again_with_backoff(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract::default());
    bus.grant(&grant("tat-ca", "G12", ALL));
    bus.settle();
    bus.send(&wave(0));
    bus.crash_router();
    let fill = bus.ground.fill.take().unwrap();
    let mut config = bus.router_config();
    config.backoff = Backoff { first: Duration::from_millis(1), most: Duration::from_millis(20) };
    let mut router = Router::open(config).unwrap();
    let stats = router.stats();
    fill(true);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| router.run(&stop));
        let wait = |what: &str, reached: &dyn Fn() -> bool| {
            let deadline = Instant::now() + PATIENCE;
            while !reached() {
                assert!(Instant::now() < deadline && !running.is_finished(), "{what} was waited for");
                std::thread::yield_now();
            }
        };
        wait("a full log", &|| stats.snapshot().waiting == Some(Reason::Full));
        fill(false);
        wait("every change", &|| stats.snapshot().counts.admitted == 24 && stats.snapshot().waiting.is_none());
        stop.store(true, Ordering::Relaxed);
        running.join().unwrap().unwrap();
    });
    drop(router);
    bus.settle();
    bus.check();
}
