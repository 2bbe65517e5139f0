//! kill -9 of the router (with control), and of the subscribers: child processes on an embedded log or a real Kafka that
//! end at a seeded step, or are killed at whatever they are doing; then others that go on. At the end every copy equals
//! the model, nothing is twice, and a replay gives every view.
//!
//! `KENH_SEEDS` runs so many seeds instead of [`USUAL`] on the embedded log and [`ON_KAFKA`] on Kafka, where a story takes
//! fifty times as long; `KENH_SEED` runs one of them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use kenh_broker::embedded::EmbeddedLog;
use kenh_domain::log::Log;
use kenh_router::Turn as Turned;
use kenh_testkit::kafka::Cluster;

use crate::cluster::{self, Turn};
use crate::fuse::{Fuse, FusedLog, FusedStore};
use crate::ground::{Ground, StoreKind, options};
use crate::roles::{Bus, Sent, sent};
use crate::world::{AGENCIES, ALL, Contract, FEW, Grant, HO_SO, OF_79, OF_79_AND_01, OPEN, World, grant, record};

const CHILD: &str = "KENH_BUS_CHILD";
const WAVES: u64 = 3;
/// Seeds on the embedded log.
const USUAL: u64 = 30;
/// Seeds on Kafka.
const ON_KAFKA: u64 = 3;
/// Recipients whose copies are kept.
const KEPT: [&str; 3] = ["H29", "G12", "G18"];
/// A child that does not come to rest within this many turns of a role never will.
const MAX_TURNS: usize = 50_000;

/// Numbers from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Says the seed of a test that fails.
struct Said(u64);

impl Drop for Said {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("with KENH_SEED={}", self.0);
        }
    }
}

/// Runs a story for every seed; each says how many of its children died.
fn seeds(usual: u64, story: impl Fn(u64) -> u64) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = number("KENH_SEED").map_or(0..number("KENH_SEEDS").unwrap_or(usual), |one| one..one + 1);
    let count = seeds.end - seeds.start;
    let mut died = 0;
    for seed in seeds {
        let _said = Said(seed);
        died += story(seed);
    }
    assert!(died >= count, "{died} deaths in {count} stories: this tests little");
}

/// What a child is to do, and how it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// At rest.
    Rest,
    /// At this step.
    Step(u64),
    /// Killed after it has said this many lines.
    Killed(u64),
}

/// The log that parent and children stand on, in turns.
enum Place {
    /// In the story's directory.
    Embedded,
    /// A cluster, there for both.
    Kafka { cluster: &'static Cluster, log: Arc<dyn Log>, _turn: Turn },
}

impl Place {
    /// A Kafka with nothing on it.
    fn kafka() -> Self {
        let (turn, cluster) = cluster::take();
        Self::Kafka { cluster, log: Arc::new(cluster::connect(cluster.bootstrap())), _turn: turn }
    }

    fn ground(&self, home: &Path, store: StoreKind) -> Ground {
        match self {
            Self::Embedded => embedded(home, store),
            Self::Kafka { log, .. } => Ground::on_kafka(log.clone(), store, Box::new(())),
        }
    }
}

/// Runs a child on the log of a place. Whether it died.
fn child(role: &str, place: &Place, home: &Path, bus: &Bus, store: StoreKind, end: End) -> bool {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "kill::child_process", "--ignored", "--nocapture"]);
    command.env(CHILD, role).env("KENH_BUS_HOME", home).env("KENH_BUS_NOW", bus.now_ms().to_string());
    command.env("KENH_BUS_STORE", if store == StoreKind::Sled { "sled" } else { "fjall" });
    command.env("KENH_BUS_BATCH", bus.batch.to_string());
    if let Place::Kafka { cluster, .. } = place {
        command.env("KENH_BUS_KAFKA", cluster.bootstrap());
    }
    if let End::Step(steps) = end {
        command.env("KENH_BUS_FUSE", steps.to_string());
    }
    // One at a time: between fork and exec a child of another test holds the lock of every log that is open here, ours
    // among them, though it was closed since.
    static SPAWNING: Mutex<()> = Mutex::new(());
    let spawning = SPAWNING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(spawning);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    if let End::Killed(after) = end {
        lines.take(usize::try_from(after).unwrap()).for_each(drop);
        child.kill().unwrap();
    } else {
        lines.for_each(drop);
    }
    let out = child.wait_with_output().unwrap();
    let code = out.status.code();
    // A signal has no code; a panic of the child has one, and is the parent's failure.
    assert!(code.is_none_or(|code| code == 0), "the child failed: {}", String::from_utf8_lossy(&out.stderr));
    assert!(end != End::Rest || code == Some(0), "the child died unasked: {}", String::from_utf8_lossy(&out.stderr));
    code.is_none()
}

/// The log in `home`.
fn embedded(home: &Path, store: StoreKind) -> Ground {
    Ground::on(Arc::new(EmbeddedLog::open(&home.join("log"), options()).unwrap()), store, Box::new(()))
}

#[test]
#[ignore = "is run, and killed, by the tests of this file"]
fn child_process() {
    let Ok(role) = std::env::var(CHILD) else { return };
    let var = |name: &str| std::env::var(name).unwrap();
    let home = Path::new(&var("KENH_BUS_HOME")).to_owned();
    let store = if var("KENH_BUS_STORE") == "sled" { StoreKind::Sled } else { StoreKind::Fjall };
    let fuse = std::env::var("KENH_BUS_FUSE").ok().map(|steps| Fuse::new(steps.parse().unwrap()));
    let mut ground = match std::env::var("KENH_BUS_KAFKA") {
        Ok(bootstrap) => Ground::on_kafka(Arc::new(cluster::connect(&bootstrap)), store, Box::new(())),
        Err(_) => embedded(&home, store),
    };
    let wait = ground.wait;
    if let (Some(fuse), "router") = (&fuse, role.as_str()) {
        let inner: Arc<dyn Log> = ground.log.clone();
        ground.log = Arc::new(FusedLog { inner, fuse: fuse.clone() });
    }
    let mut bus = Bus::over(ground, World::empty());
    bus.clock.store(var("KENH_BUS_NOW").parse().unwrap(), Ordering::SeqCst);
    bus.batch = var("KENH_BUS_BATCH").parse().unwrap();
    bus.image_every = 7;
    bus.home.clone_from(&home);
    let mut out = std::io::stdout();
    let mut say = || {
        writeln!(out, "turn").unwrap();
        out.flush().unwrap();
    };
    if role == "router" {
        for _ in 0..MAX_TURNS {
            let turn = bus.turn_router(wait);
            say();
            let controlled = bus.turn_control();
            if turn == Turned::Idle && !controlled && bus.unrest().is_none() {
                return;
            }
            bus.tick(300);
        }
        panic!("no rest: {:?}", bus.unrest());
    }
    for name in KEPT.into_iter().filter(|name| AGENCIES.contains(name)) {
        bus.keep_in(name, |inner| match &fuse {
            Some(fuse) => Arc::new(FusedStore { inner, fuse: fuse.clone() }),
            None => inner,
        });
    }
    for _ in 0..MAX_TURNS {
        let mut busy = false;
        for name in KEPT {
            busy |= bus.wait_keeper(name, wait);
            say();
        }
        if !busy {
            return;
        }
    }
    panic!("the subscribers are never idle");
}

/// Changes of the keys of two providers, each one version after the other; some are sent twice.
fn wave(bus: &mut Bus, dice: &mut Dice) {
    let mut changes: Vec<Sent> = Vec::new();
    let mut versions = std::collections::HashMap::new();
    for _ in 0..20 + dice.below(20) {
        let n = dice.below(14);
        let (key, provider) = (format!("k{n}"), if n.is_multiple_of(2) { "G01" } else { "G02" });
        let standing = bus.oracles[HO_SO].standing(&key).map_or(0, |(version, _)| version);
        let version = versions.entry(key.clone()).or_insert(standing);
        *version += 1;
        let place = ["79", "01", "48", ""][usize::try_from(dice.below(4)).unwrap()];
        let an = i64::try_from(dice.below(3)).unwrap();
        let after = (dice.below(6) != 0).then(|| record(&key, ["An", "Bình"][usize::from(an == 0)], place, an));
        let change = sent(&key, *version, after).by(provider);
        if dice.below(8) == 0 {
            changes.push(change.clone());
        }
        changes.push(change);
    }
    bus.send(&changes);
}

/// A grant of every kind comes, changes and goes over the waves of a story.
fn decide(bus: &mut Bus, dice: &mut Dice, wave: u64) {
    let city = grant("thanh-pho", "H29", FEW).rows(OF_79);
    let all = grant("tat-ca", "G12", ALL);
    let health = Grant { pseudonym: true, ..grant("y-te", "G18", &[("Tinh", "Tinh"), ("An", "An")]) };
    let more = Grant { view: "hai", ..grant("hai", "G12", OPEN).rows(OF_79_AND_01) };
    let changes: Vec<Grant> = match wave {
        0 => vec![city, all],
        1 if dice.below(2) == 0 => vec![Grant { fields: OPEN, ..city }, health],
        1 => vec![Grant { rows: None, ..city }, more],
        _ if dice.below(2) == 0 => vec![city.rows(OF_79_AND_01), all.ended()],
        _ => vec![Grant { fields: FEW, ..all }, more],
    };
    for change in changes {
        bus.declare(&change);
    }
    bus.apply();
}

/// How a child ends that is to die, by the dice.
fn death(dice: &mut Dice, steps: u64, lines: u64) -> End {
    if dice.below(3) == 0 { End::Killed(1 + dice.below(lines)) } else { End::Step(1 + dice.below(steps)) }
}

/// Everybody's copies, from what is in their stores, against the model; then everything else.
fn finish(bus: &mut Bus) {
    for name in KEPT {
        bus.keep(name);
    }
    bus.settle();
    bus.check();
    // And it still works.
    bus.send(&[sent("cuoi", 1, record("cuoi", "Cuối", "79", 0))]);
    bus.settle();
    bus.check();
}

fn start(place: &Place, home: &Path, store: StoreKind, dice: &mut Dice) -> Bus {
    let contract = Contract { partitions: 2, providers: &["G01", "G02"], ..Contract::default() };
    let mut bus = Bus::sample(place.ground(home, store), &contract);
    bus.batch = usize::try_from(1 + dice.below(9)).unwrap();
    bus.home = home.to_owned();
    bus
}

fn the_router_is_killed(usual: u64, place: fn() -> Place) {
    seeds(usual, |seed| {
        let mut dice = Dice(seed);
        let home = tempfile::tempdir().unwrap();
        let place = place();
        let mut bus = start(&place, home.path(), StoreKind::Fjall, &mut dice);
        let mut died = 0;
        for number in 0..WAVES {
            if dice.below(2) == 0 {
                decide(&mut bus, &mut dice, number);
                wave(&mut bus, &mut dice);
            } else {
                wave(&mut bus, &mut dice);
                decide(&mut bus, &mut dice, number);
            }
            for _ in 0..1 + dice.below(3) {
                bus.stand_on(Ground::memory());
                let end = death(&mut dice, 60, 30);
                died += u64::from(child("router", &place, home.path(), &bus, StoreKind::Fjall, end));
                bus.stand_on(place.ground(home.path(), StoreKind::Fjall));
                bus.tick(60_000);
            }
        }
        bus.stand_on(Ground::memory());
        child("router", &place, home.path(), &bus, StoreKind::Fjall, End::Rest);
        bus.tick(60_000);
        bus.stand_on(place.ground(home.path(), StoreKind::Fjall));
        finish(&mut bus);
        died
    });
}

fn subscribers_are_killed(usual: u64, place: fn() -> Place, store: StoreKind) {
    seeds(usual, |seed| {
        let mut dice = Dice(seed);
        let home = tempfile::tempdir().unwrap();
        let place = place();
        let mut bus = start(&place, home.path(), store, &mut dice);
        let mut died = 0;
        for number in 0..WAVES {
            wave(&mut bus, &mut dice);
            decide(&mut bus, &mut dice, number);
            bus.settle();
            for _ in 0..1 + dice.below(2) {
                bus.stand_on(Ground::memory());
                let end = death(&mut dice, 24, 12);
                died += u64::from(child("subscriber", &place, home.path(), &bus, store, end));
                bus.stand_on(place.ground(home.path(), store));
                bus.tick(60_000);
            }
            wave(&mut bus, &mut dice);
            bus.settle();
        }
        finish(&mut bus);
        died
    });
}

#[test]
fn the_router_is_killed_between_any_two_steps() {
    the_router_is_killed(USUAL, || Place::Embedded);
}

#[test]
fn the_router_is_killed_between_any_two_steps_on_kafka() {
    the_router_is_killed(ON_KAFKA, Place::kafka);
}

#[test]
fn subscribers_into_sled_are_killed_between_any_two_steps() {
    subscribers_are_killed(USUAL, || Place::Embedded, StoreKind::Sled);
}

#[test]
fn subscribers_into_fjall_are_killed_between_any_two_steps() {
    subscribers_are_killed(USUAL, || Place::Embedded, StoreKind::Fjall);
}

#[test]
fn subscribers_are_killed_between_any_two_steps_on_kafka() {
    subscribers_are_killed(ON_KAFKA, Place::kafka, StoreKind::Sled);
}
