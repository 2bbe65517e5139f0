//! Any sequence of events against the model: changes of all kinds, grants that come, change and go, raised epochs, crashes
//! of every role, commits with unclear outcome, failing reads, a log without room. Shrunk when it fails.

use std::time::Duration;

use kenh_testkit::CommitFault;
use proptest::prelude::*;

use crate::ground::Ground;
use crate::roles::{Bus, sent};
use crate::world::{
    ALL, Contract, FEW, Fields, Grant, HO_SO, OF_79, OF_79_AND_01, OF_NOWHERE, OPEN, RowsOf, grant, record,
};

const PLACES: [&str; 4] = ["79", "01", "48", ""];
const PROVIDERS: [&str; 2] = ["G01", "G02"];

/// Places for a grant: recipient, view, pseudonym.
const SLOTS: [(&str, &str, bool); 4] =
    [("H29", "main", false), ("H29", "hai", false), ("G12", "main", false), ("G18", "main", true)];
const FIELDS: [Fields; 3] = [FEW, OPEN, ALL];
const ROWS: [Option<RowsOf>; 4] = [None, Some(OF_79), Some(OF_79_AND_01), Some(OF_NOWHERE)];

/// What a version is beside the one that stands.
#[derive(Debug, Clone, Copy)]
enum Step {
    Next,
    Jump,
    Same,
    Older,
}

#[derive(Debug, Clone)]
enum Happens {
    /// A change of one of a provider's own keys.
    Change {
        key: u8,
        step: Step,
        record: Option<(u8, u8)>,
    },
    /// The same change again, as it stands.
    Repeat {
        key: u8,
    },
    /// A change of a key by the other provider.
    Foreign {
        key: u8,
    },
    /// A grant comes, or changes to this.
    Granted {
        slot: usize,
        fields: usize,
        rows: usize,
    },
    Ended {
        slot: usize,
    },
    Epoch {
        provider: usize,
    },
    RouterCrash,
    ControlCrash,
    /// A subscriber goes, or comes back.
    Subscriber {
        slot: usize,
    },
    Commit(CommitFault),
    ReadFails,
    Full,
    Turns(u8),
    Tick(i64),
    Round,
    /// Rest, and a look at every copy.
    Settle,
}

fn happens() -> impl Strategy<Value = Happens> {
    let step = prop_oneof![6 => Just(Step::Next), 1 => Just(Step::Jump), 1 => Just(Step::Same), 1 => Just(Step::Older)];
    let after = prop_oneof![5 => (0..4u8, 0..3u8).prop_map(Some), 1 => Just(None)];
    let fault =
        prop_oneof![Just(CommitFault::UnclearWritten), Just(CommitFault::UnclearLost), Just(CommitFault::Full),];
    prop_oneof![
        16 => (0..8u8, step, after).prop_map(|(key, step, record)| Happens::Change { key, step, record }),
        1 => (0..8u8).prop_map(|key| Happens::Repeat { key }),
        1 => (0..8u8).prop_map(|key| Happens::Foreign { key }),
        5 => (0..SLOTS.len(), 0..FIELDS.len(), 0..ROWS.len())
            .prop_map(|(slot, fields, rows)| Happens::Granted { slot, fields, rows }),
        1 => (0..SLOTS.len()).prop_map(|slot| Happens::Ended { slot }),
        1 => (0..2usize).prop_map(|provider| Happens::Epoch { provider }),
        2 => Just(Happens::RouterCrash),
        1 => Just(Happens::ControlCrash),
        2 => (0..SLOTS.len()).prop_map(|slot| Happens::Subscriber { slot }),
        4 => fault.prop_map(Happens::Commit),
        1 => Just(Happens::ReadFails),
        1 => Just(Happens::Full),
        6 => (1..6u8).prop_map(Happens::Turns),
        2 => (1..3_000i64).prop_map(Happens::Tick),
        2 => Just(Happens::Round),
        2 => Just(Happens::Settle),
    ]
}

struct Story {
    bus: Bus,
    /// The grant that stands in each slot.
    standing: [Option<Grant>; SLOTS.len()],
    ids: usize,
}

impl Story {
    fn new(batch: usize, image_every: u64, partitions: u32) -> Self {
        let contract = Contract { partitions, providers: &PROVIDERS, max_step: Some(3), ..Contract::default() };
        let mut bus = Bus::sample(Ground::memory(), &contract);
        bus.batch = batch;
        bus.image_every = image_every;
        Self { bus, standing: Default::default(), ids: 0 }
    }

    fn happen(&mut self, what: &Happens) {
        let bus = &mut self.bus;
        match what {
            Happens::Change { key, step, record: after } => {
                let (key, provider) = (format!("k{key}"), PROVIDERS[usize::from(key % 2)]);
                let stands = bus.oracles[HO_SO].standing(&key).map_or(0, |(version, _)| version);
                let version = match step {
                    Step::Next => stands + 1,
                    Step::Jump => stands + 4,
                    Step::Same => stands,
                    Step::Older => stands.saturating_sub(1),
                };
                let of = |(place, an): &(u8, u8)| record(&key, "An", PLACES[usize::from(*place)], i64::from(*an));
                bus.send(&[sent(&key, version.max(1), after.as_ref().map(of)).by(provider)]);
            }
            Happens::Repeat { key } => {
                let (key, provider) = (format!("k{key}"), PROVIDERS[usize::from(key % 2)]);
                if let Some((version, stands)) = bus.oracles[HO_SO].standing(&key) {
                    let change = sent(&key, version, stands.cloned()).by(provider);
                    bus.send(&[change]);
                }
            }
            Happens::Foreign { key } => {
                // Whose a record is must be decided first: between two inputs there is no order.
                bus.settle();
                let (name, provider) = (format!("k{key}"), PROVIDERS[usize::from(1 - key % 2)]);
                if bus.oracles[HO_SO].standing(&name).is_some() {
                    bus.send(&[sent(&name, 1_000, record(&name, "Của tôi", "79", 0)).by(provider)]);
                }
            }
            Happens::Granted { slot, fields, rows } => {
                let (recipient, view, pseudonym) = SLOTS[*slot];
                let id = self.standing[*slot].as_ref().map(|g| g.id).unwrap_or_else(|| {
                    self.ids += 1;
                    Box::leak(format!("g-{}", self.ids).into_boxed_str())
                });
                let new = Grant { view, pseudonym, rows: ROWS[*rows], ..grant(id, recipient, FIELDS[*fields]) };
                // A filter names granted fields; the fields of every choice hold `Tinh`.
                bus.grant(&new);
                self.standing[*slot] = Some(new);
            }
            Happens::Ended { slot } => {
                if let Some(grant) = self.standing[*slot].take() {
                    bus.grant(&grant.ended());
                }
            }
            Happens::Epoch { provider } => {
                bus.settle();
                let provider = PROVIDERS[*provider];
                let epoch = bus.oracles[HO_SO].epochs.get(provider).copied().unwrap_or(0);
                bus.raise_epoch(provider, epoch + 1);
                // In force before anything else is sent: see `scenarios::restarts`.
                bus.settle();
            }
            Happens::RouterCrash => bus.crash_router(),
            Happens::ControlCrash => bus.crash_control(),
            Happens::Subscriber { slot } => {
                let name = SLOTS[*slot].0;
                if bus.kept().contains(&name) {
                    bus.leave(name);
                } else {
                    bus.keep(name);
                }
            }
            Happens::Commit(fault) => bus.ground.memory.as_ref().unwrap().faults().next_commits(1, *fault),
            Happens::ReadFails => {
                // Used up at once, by whichever role polls first.
                bus.router();
                bus.ground.memory.as_ref().unwrap().faults().next_reads(1);
                bus.round(Duration::ZERO);
            }
            Happens::Full => {
                let log = bus.ground.memory.clone().unwrap();
                log.faults().full(true);
                bus.round(Duration::ZERO);
                log.faults().full(false);
            }
            Happens::Turns(n) => (0..*n).for_each(|_| drop(bus.turn_router(Duration::ZERO))),
            Happens::Tick(ms) => bus.tick(*ms),
            Happens::Round => drop(bus.round(Duration::ZERO)),
            Happens::Settle => {
                bus.settle();
                bus.check_copies();
            }
        }
    }

    fn end(mut self) {
        for (name, ..) in SLOTS {
            self.bus.keep(name);
        }
        self.bus.settle();
        self.bus.check();
    }
}

/// 64, or what `KENH_CASES` says.
fn cases() -> u32 {
    std::env::var("KENH_CASES").map_or(64, |text| text.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_events_ends_as_the_model_says(
        batch in 1..7usize,
        image_every in 2..20u64,
        partitions in 1..3u32,
        story in prop::collection::vec(happens(), 1..60),
    ) {
        let mut bus = Story::new(batch, image_every, partitions);
        for what in &story {
            bus.happen(what);
        }
        bus.end();
    }
}
