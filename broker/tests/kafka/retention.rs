//! A reader that the cluster's retention has overtaken.

use std::time::Duration;

use futures_executor::block_on;
use kenh_domain::log::{Log as _, Position, ReadError};
use kenh_domain::names::Principal;
use kenh_testkit::kafka::Cluster;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::{at, connect, make, record, text};

/// It is told what there is, as often as it asks, and is never led on silently.
#[test]
fn a_reader_behind_the_start_is_gone() {
    let log = connect();
    let topic = make(&log, "behind", 1);
    let (router, of) = (Principal::router(), at(&topic, 0));
    let mut writer = log.writer(&router);
    writer.write((0..10).map(|n| record(&topic, 0, &n.to_string())).collect()).unwrap();
    writer.flush().unwrap();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", Cluster::shared().bootstrap()).create().unwrap();
    let mut first = TopicPartitionList::new();
    first.add_partition_offset(&topic.to_string(), 0, Offset::Offset(4)).unwrap();
    // Opened before, so that the client finds out by itself.
    let mut reader = log.reader(&router, &[(of.clone(), Position(0))]).unwrap();
    block_on(admin.delete_records(&first, &AdminOptions::new())).unwrap();
    let bounds = log.bounds(&router, &of).unwrap();
    assert_eq!(bounds.start, Position(4));
    let gone = log.reader(&router, &[(of.clone(), Position(3))]).err();
    assert!(matches!(gone, Some(ReadError::Gone { position: Position(3), .. })), "{gone:?}");
    // It may have been given the first records before they went; then it is told nothing, and goes on.
    match reader.poll(1, 1 << 20, kenh_testkit::PATIENCE) {
        Ok(found) => assert_eq!(found.iter().map(text).collect::<Vec<_>>(), ["0"]),
        Err(ReadError::Gone { of: told, position: Position(0), bounds: is }) => {
            assert_eq!((told, is), (of.clone(), bounds));
            let again = reader.poll(1, 1 << 20, Duration::ZERO);
            assert!(matches!(again, Err(ReadError::Gone { .. })), "{again:?}");
        }
        Err(other) => panic!("{other:?}"),
    }
    let mut rest = log.reader(&router, &[(of, bounds.start)]).unwrap();
    assert_eq!(text(&rest.poll(1, 1 << 20, kenh_testkit::PATIENCE).unwrap()[0]), "4");
}
