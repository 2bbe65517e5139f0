//! A bus whose genesis names a root: what an operator appends to `kenh.control` himself is ignored and reported.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use bytes::Bytes;
use kenh_domain::control::{AgencyDocument, ControlEvent, Trust};
use kenh_domain::log::{NewRecord, TopicPartition};
use kenh_domain::topic::Topic;
use kenh_router::control::Follower;
use kenh_testkit::MemoryLog;

use crate::bus::{Bus, NOON, agency, contract, granted, row, sent};

/// RFC 8032, 7.1, test 1.
const ROOT: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

#[test]
fn a_raw_grant_is_ignored_and_no_view_starts() {
    let bus = Bus {
        log: MemoryLog::new(),
        clock: Arc::new(AtomicI64::new(NOON)),
        partitions: 1,
        dir: tempfile::tempdir().unwrap(),
        max_batch: 5_000,
        image_every: u64::MAX,
    };
    bus.topic(Topic::Control, 1);
    bus.topic(Topic::Heads, 1);
    bus.control(ControlEvent::Genesis { trust: Trust::Root(ROOT.parse().unwrap()) });
    for name in ["G01", "H29"] {
        bus.topic(Topic::Notice(agency(name)), 1);
        let (code, title) = (name.to_owned(), name.to_owned());
        bus.control(ControlEvent::Agency(AgencyDocument { name: agency(name), code, title, systems: vec![] }));
    }
    bus.contract(contract(1, &["G01"], 1));
    let view = granted(1, "H29", &["So", "Ten"]);
    bus.grant(&view);
    let to = TopicPartition::new(Topic::Control, 0);
    let value = Some(Bytes::from_static(b"{\"format\":1,\"forged\":true}"));
    bus.write(vec![NewRecord { to, timestamp_ms: 0, key: Bytes::new(), value }]);
    bus.submit(&[sent("a", 1, Some(row("an", "79")))]);
    let mut router = bus.router();
    bus.settle(&mut router);
    assert!(bus.records(&view.topic()).is_empty(), "a view was written to without a grant");

    let follower = Follower::open(&*bus.log).unwrap();
    // Two agencies, the contract, the grant, and what is no event; the schema's text is nobody's decision.
    assert_eq!(follower.ignored(), 5);
    let set = follower.newest();
    assert!(set.is_signed() && set.views.is_empty() && set.contracts.is_empty() && set.agencies.is_empty());
}
