//! Applying and reconciling on a log in memory: what stands at the end, in which order it came about, and that a stop
//! between any two steps changes neither.

use std::slice;

use kenh_domain::control::{ControlRecord, FORMAT, Trust};
use kenh_domain::frame::Sequence;
use kenh_domain::log::{Operation, Position};
use kenh_domain::notice::{ContractCard, Positions, ViewCard, positions_key};
use kenh_domain::relaxation::{Relaxation, RelaxedRule};
use kenh_domain::rule::Rule;
use kenh_domain::topic::Edition;
use kenh_testkit::{FlushFault, MemoryLog};

use super::steps::Steps;
use super::*;
use crate::apply::{Applied, ApplyError, apply};
use crate::plan::{Plan, plan};
use crate::testing::Declaration;
use crate::{end, load};

const NOW: i64 = 1_000;
const YEAR_MS: i64 = 366 * 86_400_000;

/// A declaration and the log that it is applied to.
struct Bus {
    files: Declaration,
    log: Arc<MemoryLog>,
}

fn topic(name: &str) -> Topic {
    name.parse().unwrap()
}

fn control(log: &Arc<impl Log + 'static>) -> Control {
    Control::new(log.clone(), Secret::new([7; 32]))
}

fn planned(files: &Declaration, log: &dyn Log, now: i64) -> Plan {
    let set = load(log).unwrap();
    plan(&files.read(), &set, &log.topics().unwrap(), now).unwrap_or_else(|p| panic!("{p:#?}"))
}

fn applied(files: &Declaration, log: &dyn Log, now: i64) -> Result<Applied, ApplyError> {
    apply(log, &planned(files, log, now), now)
}

/// Turns until there is nothing to do; how many that took.
fn settled(control: &mut Control, now: i64) -> usize {
    (1..10).find(|_| control.turn(now).unwrap().is_idle()).expect("it comes to rest")
}

impl Bus {
    fn new() -> Self {
        let bus = Self { files: Declaration::new(), log: MemoryLog::new() };
        bus.apply();
        bus
    }

    fn apply(&self) -> Applied {
        applied(&self.files, &*self.log, NOW).unwrap()
    }

    fn write(&self, to: Topic, key: String, value: Vec<u8>) {
        let to = TopicPartition::new(to, 0);
        let record = NewRecord { to, timestamp_ms: 0, key: Bytes::from(key), value: Some(Bytes::from(value)) };
        let mut writer = self.log.writer(&Principal::router());
        writer.write(vec![record]).unwrap();
        writer.flush().unwrap();
    }

    /// The router says that a data partition has a marker.
    fn marker(&self, partition: u32, control: Position, clock_ms: i64) {
        let (dataset, partition) = ("thu".parse().unwrap(), Partition(partition));
        let head = Head { format: 1, dataset, partition, sequence: Sequence(1), control, clock_ms };
        self.write(Topic::Heads, format!("thu/{partition}"), serde_json::to_vec(&head).unwrap());
    }

    /// The router says that a partition of B's view is filled.
    fn filled(&self, edition: u32, partition: u32) {
        let positions = Positions {
            format: 1,
            dataset: "thu".parse().unwrap(),
            view: kenh_domain::names::View::main(),
            edition: Edition(edition),
            partition: Partition(partition),
            sequence: Sequence(1),
            end: Position(1),
            clock_ms: NOW,
            filled: true,
        };
        let key = positions_key(&positions.dataset, &positions.view, positions.edition, positions.partition);
        self.write(topic("notice.B"), key, serde_json::to_vec(&positions).unwrap());
    }

    /// The end of the control log: a marker at it has acted on everything decided.
    fn decided(&self) -> Position {
        load(&*self.log).unwrap().position
    }

    /// Every card that B was ever sent: edition and state.
    fn cards(&self) -> Vec<(u32, CardState)> {
        let cards = self.log.records(&topic("notice.B")).into_iter().filter(|r| r.key.starts_with(b"card/"));
        let card = |record: kenh_domain::log::Record| {
            let card: ViewCard = serde_json::from_slice(&record.value.unwrap()).unwrap();
            (card.edition.0, card.state)
        };
        cards.map(card).collect()
    }

    /// What a provider was told of `thu`, in order; none where its card was taken away.
    fn contract_cards(&self, agency: &str) -> Vec<Option<ContractCard>> {
        let told = self.log.records(&topic(&format!("notice.{agency}"))).into_iter();
        let cards = told.filter(|r| r.key == "contract/thu");
        cards.map(|r| r.value.map(|value| ContractCard::read(&value).unwrap())).collect()
    }

    /// Who may do what with a topic; none if there is no such topic.
    fn access(&self, name: &str) -> Option<String> {
        let of = |a: kenh_domain::log::Access| {
            let what = if a.operation == Operation::Read { "reads" } else { "writes" };
            format!("{} {what}", a.principal)
        };
        let access = self.log.access(&topic(name)).ok()?;
        Some(access.into_iter().map(of).collect::<Vec<_>>().join(", "))
    }

    fn two_partitions(&self) {
        self.files.edit(
            "thu/contract.yaml",
            "schema:",
            "customProperties: [{property: kenh.partitions, value: 2}]\nschema:",
        );
    }
}

#[test]
fn a_new_log_gets_its_unsigned_genesis_first() {
    let bus = Bus::new();
    let records = bus.log.records(&Topic::Control);
    let first: ControlRecord = serde_json::from_slice(records[0].value.as_ref().unwrap()).unwrap();
    assert_eq!(first.event, ControlEvent::Genesis { trust: Trust::Unsigned });
    assert!(first.signatures.is_empty());
    let set = load(&*bus.log).unwrap();
    assert_eq!(set.trust, Some(Trust::Unsigned));
    let genesis =
        |r: &&kenh_domain::log::Record| String::from_utf8_lossy(r.value.as_ref().unwrap()).contains("genesis");
    assert_eq!(records.iter().filter(genesis).count(), 1);
}

#[test]
fn topics_and_their_lists_stand_before_the_events_that_put_them_to_use() {
    let bus = Bus { files: Declaration::new(), log: MemoryLog::new() };
    let steps = Steps::of(&bus.log);
    applied(&bus.files, &*steps, NOW).unwrap();
    let made = steps.made();
    let at = |what: &str| made.iter().position(|m| m == what).unwrap_or_else(|| panic!("no {what:?} in {made:#?}"));
    let events = at("write kenh.control");
    for name in ["data.thu", "in.thu.A", "view.B.thu.main.1", "notice.B"] {
        assert!(at(&format!("make {name}")) < events, "{name}");
    }
    assert!(at("access view.B.thu.main.1 1") < events);
    assert_eq!(made.iter().filter(|m| m.starts_with("write")).count(), 1, "events go in one flush");
}

#[test]
fn a_second_apply_finds_nothing_to_do() {
    let bus = Bus::new();
    let (topics, position) = (bus.log.topics().unwrap(), bus.decided());
    for now in [NOW, NOW + 1, YEAR_MS * 3] {
        let plan = planned(&bus.files, &*bus.log, now);
        assert!(plan.is_empty());
        let steps = Steps::of(&bus.log);
        let applied = apply(&*steps, &plan, NOW).unwrap();
        assert_eq!(applied, Applied { events: 0, topics: 0, position });
    }
    assert_eq!(bus.log.topics().unwrap(), topics);
    assert_eq!(bus.decided(), position);
}

#[test]
fn a_plan_made_before_something_else_was_decided_is_not_applied() {
    let bus = Bus::new();
    bus.files.edit("g.yaml", "[Ma, Tinh]", "[Ma, Tinh, Tuoi]");
    let plan = planned(&bus.files, &*bus.log, NOW);
    end(&*bus.log, ViewNo(1), EndReason::Revoked, NOW).unwrap();
    let refused = apply(&*bus.log, &plan, NOW);
    assert!(matches!(refused, Err(ApplyError::Moved { planned, is }) if planned < is), "{refused:?}");
    assert_eq!(bus.access("view.B.thu.main.2"), None);
}

#[test]
fn topics_are_read_and_written_by_those_whom_the_control_set_names_and_by_nobody_else() {
    let bus = Bus::new();
    let access = |name: &str| bus.access(name).unwrap_or_else(|| panic!("there is no {name}"));
    assert_eq!(access("in.thu.A"), "a-portal writes, a-two writes");
    assert_eq!(access("view.B.thu.main.1"), "b-portal reads", "b-two is not named in the grant");
    assert_eq!(access("receipt.A"), "a-portal reads, a-two reads");
    assert_eq!(access("dead-letter.thu.A"), "a-portal reads, a-two reads");
    assert_eq!(access("notice.B"), "b-portal reads, b-two reads");
    assert_eq!(access("confirm.B"), "b-portal writes, b-two writes");
    for own in ["data.thu", "kenh.control", "kenh.heads", "kenh.ledger"] {
        assert_eq!(access(own), "", "{own}");
    }
    assert_eq!(bus.log.topics().unwrap().len(), 12);

    // Another system, without another shape: the list follows, and the one struck off is gone from it.
    bus.files.edit("g.yaml", "[b-portal]", "[b-two]");
    bus.apply();
    assert_eq!(access("view.B.thu.main.1"), "b-two reads");
    bus.log.set_access(&topic("view.B.thu.main.1"), &[]).unwrap();
    bus.log.delete_topic(&topic("confirm.B")).unwrap();
    let turn = control(&bus.log).turn(NOW).unwrap();
    assert_eq!(turn.topics, 2, "what somebody else changed or deleted is put right");
    assert_eq!(access("view.B.thu.main.1"), "b-two reads");
    assert_eq!(access("confirm.B"), "b-portal writes, b-two writes");
}

#[test]
fn an_agency_hears_of_its_view_once() {
    let bus = Bus::new();
    let mut first = control(&bus.log);
    assert_eq!(first.turn(NOW).unwrap().cards, 2, "and the provider of its contract");
    assert!(first.turn(NOW).unwrap().is_idle());
    assert!(control(&bus.log).turn(NOW).unwrap().cards == 0, "started again, it does not repeat itself");
    let record = bus.log.records(&topic("notice.B")).remove(0);
    assert_eq!(record.key, "card/thu/main/1");
    let card: ViewCard = serde_json::from_slice(&record.value.unwrap()).unwrap();
    assert_eq!(card.topic(), topic("view.B.thu.main.1"));
    assert_eq!((card.key_fields.as_slice(), card.pseudonym), (&["Ma".to_owned()][..], false));
    assert_eq!((card.partitions, &card.incarnation), (1, &bus.log.incarnation()));
    assert!(card.schema.contains("kenh.view") && card.comments.is_empty());
    assert_eq!(card.digest_secret.len(), 64);
    let told = bus.log.records(&topic("notice.A"));
    assert!(told.iter().all(|r| r.key == "contract/thu"), "the provider has no view");

    // A card of a release that is gone is written anew.
    bus.write(topic("notice.B"), "card/thu/main/1".into(), b"{}".to_vec());
    assert_eq!(control(&bus.log).turn(NOW).unwrap().cards, 1);
}

#[test]
fn a_provider_has_the_contract_by_which_it_provides_and_no_other() {
    let bus = Bus::new();
    let mut control = control(&bus.log);
    settled(&mut control, NOW);
    let contract = |bus: &Bus| load(&*bus.log).unwrap().contracts[&"thu".parse().unwrap()].clone();
    let card = |bus: &Bus, agency: &str| ContractCard::of(&contract(bus), &agency.parse().unwrap());
    assert_eq!(bus.contract_cards("A"), [card(&bus, "A")]);
    assert_eq!(bus.contract_cards("B"), []);

    // Another provider, for other rows: each hears of its own.
    let providers = |rows: &str| format!("customProperties: [{{property: kenh.providers, value: [A{rows}]}}]\nschema:");
    let both = providers(", {agency: B, rows: \"Tinh == '01'\"}");
    bus.files.edit("thu/contract.yaml", "version: 1.0.0", "version: 1.1.0");
    bus.files.edit("thu/contract.yaml", "schema:", &both);
    bus.apply();
    settled(&mut control, NOW);
    assert_eq!(bus.contract_cards("A").last(), Some(&card(&bus, "A")));
    assert_eq!(bus.contract_cards("B"), [card(&bus, "B")]);
    let seen = bus.log.records(&topic("notice.A")).into_iter().filter_map(|r| r.value);
    assert!(seen.into_iter().all(|value| !String::from_utf8_lossy(&value).contains("'01'")), "rows of B");

    // It leaves: its card is taken away, once.
    bus.files.edit("thu/contract.yaml", "version: 1.1.0", "version: 1.2.0");
    bus.files.edit("thu/contract.yaml", &both, &providers(""));
    bus.apply();
    settled(&mut control, NOW);
    assert_eq!(bus.contract_cards("B").last(), Some(&None));
    assert_eq!(bus.contract_cards("A").last(), Some(&card(&bus, "A")));
    let told = |bus: &Bus| (bus.contract_cards("A").len(), bus.contract_cards("B").len());
    let before = told(&bus);
    settled(&mut super::Control::new(bus.log.clone(), Secret::new([7; 32])), NOW);
    assert_eq!(told(&bus), before, "started again, it does not repeat itself");

    // What somebody else wrote there is put right, by whoever is running too.
    bus.write(topic("notice.A"), "contract/thu".into(), b"{}".to_vec());
    bus.write(topic("notice.B"), "contract/thu".into(), b"{}".to_vec());
    assert_eq!(control.turn(NOW).unwrap().cards, 2);
    assert!(bus.log.records(&topic("notice.B")).last().unwrap().value.is_none());
    settled(&mut control, NOW);
}

#[test]
fn a_provider_hears_which_rule_is_relaxed_and_when_it_rejects_again_but_not_why() {
    let bus = Bus::new();
    let mut control = control(&bus.log);
    let mut relaxed = |now: i64| {
        settled(&mut control, now);
        bus.contract_cards("A").pop().flatten().unwrap().relaxed
    };
    assert_eq!(relaxed(NOW), []);
    let relax = |id: &str, ends_ms: i64| {
        let (id, dataset) = (id.parse().unwrap(), "thu".parse().unwrap());
        let reason = "chuyện nội bộ".into();
        let relaxation = Relaxation { id, dataset, rule: Rule::MaxLength, field: None, reason, ends_ms };
        append(&*bus.log, vec![ControlEvent::Relaxation(Box::new(relaxation))], NOW).unwrap();
    };
    relax("mot", NOW + 10);
    let told = RelaxedRule { rule: Rule::MaxLength, field: None, ends_ms: NOW + 10 };
    // The clock of who tells it may be behind that of who decided.
    assert_eq!(relaxed(NOW - 5), slice::from_ref(&told));
    // It ends by itself: nobody needs to be told, and whoever is told something new does not hear of it.
    assert_eq!(relaxed(NOW + 10), [told]);
    relax("hai", NOW + 20);
    let told = RelaxedRule { rule: Rule::MaxLength, field: None, ends_ms: NOW + 20 };
    assert_eq!(relaxed(NOW + 10), [told]);
    let restored =
        ControlEvent::Restoration { relaxation: "hai".parse().unwrap(), because: "chuyện nội bộ".into() };
    append(&*bus.log, vec![restored], NOW + 10).unwrap();
    assert_eq!(relaxed(NOW + 10), []);
    let seen = bus.log.records(&topic("notice.A")).into_iter().filter_map(|r| r.value);
    assert!(seen.into_iter().all(|value| !String::from_utf8_lossy(&value).contains("nội bộ")), "a reason");
}

#[test]
fn a_revoked_view_goes_in_order_and_only_when_the_router_has_acted() {
    let bus = Bus { files: Declaration::new(), log: MemoryLog::new() };
    bus.two_partitions();
    bus.apply();
    let steps = Steps::of(&bus.log);
    let mut control = control(&steps);
    control.turn(NOW).unwrap();
    let before = bus.decided();
    end(&*bus.log, ViewNo(1), EndReason::Revoked, NOW).unwrap();
    let after = bus.decided();
    let view = "view.B.thu.main.1";
    let waits = |control: &mut Control, why: &str| {
        assert_eq!(control.turn(NOW).unwrap().removed, [], "{why}");
        assert_eq!(bus.access(view).as_deref(), Some("b-portal reads"), "{why}");
        assert_eq!(bus.cards(), [(1, CardState::Active)], "{why}");
    };
    waits(&mut control, "no marker");
    bus.marker(0, before, NOW);
    bus.marker(1, before, NOW);
    waits(&mut control, "markers from before the decision");
    bus.marker(0, after, NOW);
    waits(&mut control, "one partition of two");
    bus.marker(1, after, NOW);
    let already = steps.made().len();
    assert_eq!(control.turn(NOW).unwrap().removed, [ViewNo(1)]);
    assert_eq!(
        steps.made()[already..],
        [format!("access {view} 0"), format!("delete {view}"), "write notice.B".to_owned()],
        "access, topic, card"
    );
    assert_eq!(bus.access(view), None);
    assert_eq!(bus.cards(), [(1, CardState::Active), (1, CardState::Ended)]);
    assert!(control.turn(NOW).unwrap().is_idle());
    assert!(matches!(end(&*bus.log, ViewNo(1), EndReason::Revoked, NOW), Err(AppendError::Ended(ViewNo(1)))));
    assert!(matches!(end(&*bus.log, ViewNo(9), EndReason::Revoked, NOW), Err(AppendError::NoView(ViewNo(9)))));
}

#[test]
fn a_topic_with_other_partitions_keeps_nothing_else_from_being_done() {
    let bus = Bus::new();
    let mut control = control(&bus.log);
    settled(&mut control, NOW);
    // Somebody past the bus, with three topics and a list.
    let change = |name: &str, partitions| {
        let spec = bus.log.topics().unwrap().into_iter().find(|spec| spec.topic == topic(name)).unwrap();
        bus.log.delete_topic(&spec.topic).unwrap();
        if partitions > 0 {
            bus.log.create_topic(&kenh_domain::log::TopicSpec { partitions, ..spec }).unwrap();
        }
    };
    let (list, kept) = (bus.access("in.thu.A").unwrap(), bus.access("dead-letter.thu.A").unwrap());
    change("data.thu", 7);
    change("in.thu.A", 7);
    change("receipt.A", 0);
    let stranger = kenh_domain::log::Access { principal: "stranger".parse().unwrap(), operation: Operation::Read };
    bus.log.set_access(&topic("dead-letter.thu.A"), &[stranger]).unwrap();

    end(&*bus.log, ViewNo(1), EndReason::Revoked, NOW).unwrap();
    bus.marker(0, bus.decided(), NOW);
    let told = control.turn(NOW);
    let Err(TurnError::Admin(AdminError::Partitions { topic: bad, is: 7, wanted: 1 })) = told else {
        panic!("{told:?}")
    };
    assert_eq!(bad, topic("data.thu"), "the first one is told");
    assert_eq!(bus.access("view.B.thu.main.1"), None, "the view has gone");
    assert_eq!(bus.cards(), [(1, CardState::Active), (1, CardState::Ended)], "its agency was told");
    assert!(bus.access("receipt.A").is_some(), "what was missing is there");
    assert_eq!(bus.access("dead-letter.thu.A").unwrap(), kept, "who had no right has none");
    assert_eq!(bus.access("in.thu.A").unwrap(), list, "a topic with other partitions has its list");
    assert!(control.turn(NOW).is_err(), "it is told until it is mended");
    change("data.thu", 1);
    change("in.thu.A", 1);
    settled(&mut control, NOW);
}

#[test]
fn a_log_that_does_not_answer_is_not_asked_for_every_topic() {
    let bus = Bus::new();
    let mut control = control(&bus.log);
    settled(&mut control, NOW);
    bus.log.delete_topic(&topic("in.thu.A")).unwrap();
    bus.log.delete_topic(&topic("receipt.A")).unwrap();
    let silent = Silent { log: bus.log.clone(), asked: 0.into() };
    let set = load(&*bus.log).unwrap();
    assert!(matches!(crate::apply::settle(&silent, &set, NOW), Err(AdminError::Storage(_))));
    assert_eq!(silent.asked.into_inner(), 1, "each would take its whole time");
}

/// A log that goes away once its topics were listed.
struct Silent {
    log: Arc<MemoryLog>,
    asked: std::sync::atomic::AtomicUsize,
}

impl Log for Silent {
    fn create_topic(&self, _: &kenh_domain::log::TopicSpec) -> Result<(), AdminError> {
        self.asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Err(AdminError::Storage("away".into()))
    }
    fn partition_counts(&self) -> Result<BTreeMap<Topic, u32>, AdminError> {
        Err(AdminError::Storage("away".into()))
    }

    kenh_testkit::hand_on!(log: incarnation, delete_topic, topics, set_access, access, claim, writer, reader, bounds,
        shows_uncommitted, maintain);
}

#[test]
fn a_view_whose_time_has_run_out_goes_when_the_markers_clock_has_passed_it() {
    let bus = Bus::new();
    let mut control = control(&bus.log);
    settled(&mut control, NOW);
    let ends = control.set().views[&ViewNo(1)].activation.ends_ms;
    bus.marker(0, bus.decided(), ends - 1);
    assert_eq!(control.turn(ends - 1).unwrap().removed, []);
    assert_eq!(control.turn(ends).unwrap().removed, [], "the router may still write to it");
    assert_eq!(bus.access("view.B.thu.main.1").as_deref(), Some("b-portal reads"));
    bus.marker(0, bus.decided(), ends);
    assert_eq!(control.turn(ends).unwrap().removed, [ViewNo(1)]);
    assert_eq!(bus.cards(), [(1, CardState::Active), (1, CardState::Ended)]);
}

#[test]
fn a_wider_edition_takes_over_when_every_partition_of_it_is_filled() {
    let bus = Bus { files: Declaration::new(), log: MemoryLog::new() };
    bus.two_partitions();
    bus.apply();
    let mut control = control(&bus.log);
    settled(&mut control, NOW);
    bus.files.edit("g.yaml", "[Ma, Tinh]", "[Ma, Tinh, Tuoi]");
    bus.apply();
    let waits = |control: &mut Control, why: &str| {
        assert_eq!(control.turn(NOW).unwrap().superseded, [], "{why}");
        assert_eq!(control.set().in_force(&"thu".parse().unwrap(), NOW).count(), 2, "{why}");
    };
    waits(&mut control, "nothing is filled");
    bus.filled(1, 0);
    bus.filled(1, 1);
    waits(&mut control, "the older one is");
    bus.filled(2, 0);
    waits(&mut control, "one partition is not");
    bus.filled(2, 1);
    assert_eq!(control.turn(NOW).unwrap().superseded, [ViewNo(1)]);
    let ended = control.set().views[&ViewNo(1)].ended;
    assert!(matches!(ended, Some((_, EndReason::Superseded))), "{ended:?}");
    assert_eq!(bus.cards(), [(1, CardState::Active), (2, CardState::Active)], "it is purged when its topic has gone");
    for partition in 0..2 {
        bus.marker(partition, bus.decided(), NOW);
    }
    settled(&mut control, NOW);
    assert_eq!(bus.access("view.B.thu.main.1"), None);
    assert_eq!(bus.access("view.B.thu.main.2").as_deref(), Some("b-portal reads"));
    assert_eq!(bus.cards().last(), Some(&(1, CardState::Ended)));
    assert!(planned(&bus.files, &*bus.log, NOW).is_empty());
}

#[test]
fn a_failing_log_is_told_and_the_next_turn_goes_on() {
    let bus = Bus::new();
    let mut control = control(&bus.log);
    bus.log.faults().next_reads(1);
    assert!(matches!(control.turn(NOW), Err(TurnError::Load(LoadError::Read(_)))));
    bus.log.faults().next_flushes(1, FlushFault::Full);
    assert!(matches!(control.turn(NOW), Err(TurnError::Write(WriteError::Full(_)))));
    assert!(bus.cards().is_empty());
    bus.log.faults().next_flushes(1, FlushFault::FailedWritten);
    assert!(matches!(control.turn(NOW), Err(TurnError::Write(_))));
    settled(&mut control, NOW);
    assert_eq!(bus.cards(), [(1, CardState::Active)], "written, though the answer was lost: not again");
}

#[test]
fn an_event_of_a_newer_release_stops_and_one_that_is_none_is_passed_over() {
    let bus = Bus::new();
    let write = |value: Vec<u8>| {
        let value = Some(Bytes::from(value));
        let record = NewRecord { to: control_log::partition(), timestamp_ms: 0, key: Bytes::new(), value };
        let mut writer = bus.log.writer(&Principal::control());
        writer.write(vec![record]).unwrap();
        writer.flush().unwrap();
    };
    let before = load(&*bus.log).unwrap();
    write(b"nonsense".to_vec());
    let after = load(&*bus.log).unwrap();
    assert_eq!((&before.views, &before.contracts), (&after.views, &after.contracts));
    assert!(after.position > before.position && after.digest != before.digest, "it is part of what was decided");
    let event = ControlEvent::End { view_no: ViewNo(1), reason: EndReason::Revoked, because: String::new() };
    let newer = ControlRecord { format: FORMAT + 1, at_ms: 0, event, signatures: vec![] };
    write(serde_json::to_vec(&newer).unwrap());
    let refused = load(&*bus.log);
    assert!(matches!(&refused, Err(LoadError::Newer(e)) if e.to_string().contains("use a newer kenh")), "{refused:?}");
    assert!(matches!(control(&bus.log).turn(NOW), Err(TurnError::Load(LoadError::Newer(_)))));
}

/// What stands: topics with their access lists, everything in force, the last card of each edition, and the provider's.
type Standing = (Vec<(String, Option<String>)>, Vec<ControlEvent>, BTreeMap<u32, CardState>, Option<ContractCard>);

fn standing(bus: &Bus) -> Standing {
    let topics = bus.log.topics().unwrap().into_iter().map(|t| t.topic.to_string());
    let events = bus.log.records(&Topic::Control).into_iter().map(|r| {
        let record: ControlRecord = serde_json::from_slice(&r.value.unwrap()).unwrap();
        record.event
    });
    let card = bus.contract_cards("A").pop().flatten();
    (topics.map(|t| (t.clone(), bus.access(&t))).collect(), events.collect(), bus.cards().into_iter().collect(), card)
}

/// A whole life, each part of which may be stopped and done again: joining, a wider grant, the first edition's end.
fn life(bus: &Bus, mut attempt: impl FnMut(&dyn Fn(&Arc<Steps>) -> bool)) {
    let turns = |steps: &Arc<Steps>| {
        let mut control = control(steps);
        for _ in 0..9 {
            match control.turn(NOW) {
                Err(_) => return false,
                Ok(turn) if turn.is_idle() => return true,
                Ok(_) => {}
            }
        }
        panic!("it does not come to rest")
    };
    let applies = |steps: &Arc<Steps>| applied(&bus.files, &**steps, NOW).is_ok();
    attempt(&applies);
    attempt(&turns);
    bus.files.edit("g.yaml", "[Ma, Tinh]", "[Ma, Tinh, Tuoi]");
    attempt(&applies);
    attempt(&turns);
    bus.filled(2, 0);
    attempt(&turns);
    bus.marker(0, bus.decided(), NOW);
    attempt(&turns);
}

#[test]
fn a_stop_between_any_two_steps_changes_nothing_in_the_end() {
    let whole = Bus { files: Declaration::new(), log: MemoryLog::new() };
    let mut steps_made = 0;
    life(&whole, |part| {
        let steps = Steps::of(&whole.log);
        assert!(part(&steps));
        steps_made += steps.made().len();
    });
    let want = standing(&whole);
    assert_eq!(want.2, BTreeMap::from([(1, CardState::Ended), (2, CardState::Active)]));
    assert!(want.3.is_some());
    assert!(steps_made > 25, "{steps_made} steps are no life");

    for answer_lost in [false, true] {
        for stop in 0..steps_made {
            let bus = Bus { files: Declaration::new(), log: MemoryLog::new() };
            let mut left = stop + usize::from(answer_lost);
            let mut stopped = false;
            life(&bus, |part| {
                let steps = if stopped { Steps::of(&bus.log) } else { Steps::stopping(&bus.log, left, answer_lost) };
                if !part(&steps) {
                    stopped = true;
                    assert!(part(&Steps::of(&bus.log)), "after the stop it goes on");
                }
                left = left.saturating_sub(steps.made().len());
            });
            assert!(stopped, "stop {stop} was never reached");
            assert_eq!(standing(&bus), want, "stopped at step {stop}, answer lost: {answer_lost}");
        }
    }
}

/// A flush is not a transaction: a crash may leave the first of the events that were to be written together.
#[test]
fn a_control_log_with_the_first_part_of_a_plan_is_completed() {
    let whole = Bus::new();
    let want = load(&*whole.log).unwrap();
    let plan = planned(&whole.files, &*MemoryLog::new(), NOW);
    for written in 0..=plan.events.len() {
        let bus = Bus { files: Declaration::new(), log: MemoryLog::new() };
        bootstrap(&*bus.log).unwrap();
        append(&*bus.log, plan.events[..written].to_vec(), NOW).unwrap();
        assert_eq!(bus.apply().events, plan.events.len() - written);
        assert_eq!(load(&*bus.log).unwrap(), want, "{written} events were there");
        assert_eq!(bus.log.topics().unwrap(), whole.log.topics().unwrap());
    }
}

#[test]
fn where_decisions_are_signed_nobody_ends_a_view_alone() {
    let log = MemoryLog::new();
    let root = crate::trust::PrivateKey::from_seed(None, &[7; 32]).public();
    crate::trust::request::found(&*log, root, NOW).unwrap();
    assert!(matches!(end(&*log, ViewNo(1), EndReason::Revoked, NOW), Err(AppendError::Signed)));
}
