//! The boundary on a real cluster: mutual TLS, and access lists that the cluster itself enforces against clients that know
//! nothing of Kênh.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kenh_broker::kafka::acl::{self, Kind, Line, Pattern, Right};
use kenh_broker::kafka::{ConnectError, KafkaLog, Options, settings};
use kenh_domain::identity::Serial;
use kenh_domain::log::{
    Access, AdminError, Batch, Log as _, NewRecord, Operation, Position, ReadError, Retention, TopicSpec, WriteError,
};
use kenh_domain::names::{Group, Principal};
use kenh_domain::topic::Topic;
use kenh_testkit::PATIENCE;
use kenh_testkit::kafka::Cluster;
use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::{at, read_to, record};

fn options(name: &str, serial: u32) -> Options {
    let cluster = Cluster::shared_tls();
    Options { bootstrap: cluster.bootstrap().into(), settings: cluster.identity(name, serial), replication: 1 }
}

/// A process with a certificate of its own.
fn connect(name: &str, serial: u32) -> KafkaLog {
    KafkaLog::connect(options(name, serial)).unwrap()
}

fn control() -> KafkaLog {
    connect("kenh-control", 1)
}

fn system(name: &str) -> Principal {
    name.parse().unwrap()
}

fn serials(of: &[u32]) -> BTreeSet<Serial> {
    of.iter().map(|n| Serial::new(*n).unwrap()).collect()
}

fn make(log: &KafkaLog, name: &str) -> Topic {
    let topic: Topic = name.parse().unwrap();
    log.create_topic(&TopicSpec { topic: topic.clone(), partitions: 1, retention: Retention::Forever }).unwrap();
    topic
}

fn allow(log: &KafkaLog, topic: &Topic, who: &str, operation: Operation) {
    log.set_access(topic, &[Access { principal: who.parse().unwrap(), operation }]).unwrap();
}

fn write(log: &KafkaLog, who: &Principal, records: Vec<NewRecord>) -> Result<(), WriteError> {
    let mut writer = log.writer(who);
    writer.write(records)?;
    writer.flush().map(|_| ())
}

/// A client that knows nothing of Kênh, with a certificate.
fn foreign(name: &str, serial: u32) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", Cluster::shared_tls().bootstrap());
    for (key, value) in Cluster::shared_tls().identity(name, serial) {
        config.set(key, value);
    }
    config
}

/// The codes of what a foreign consumer in a group gets for a topic, until the first record or the first error.
fn foreign_read(config: &mut ClientConfig, group: &str, topic: &Topic) -> Result<Vec<u8>, Code> {
    let consumer: BaseConsumer = config.set("group.id", group).set("auto.offset.reset", "earliest").create().unwrap();
    consumer.subscribe(&[&topic.to_string()]).unwrap();
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE, "neither a record nor an error came");
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(message)) => return Ok(rdkafka::Message::payload(&message).unwrap_or_default().to_vec()),
            Some(Err(error)) => return Err(error.rdkafka_error_code().unwrap()),
        }
    }
}

/// The code that a foreign producer's record comes back with.
fn foreign_write(config: &ClientConfig, topic: &Topic) -> Code {
    let producer: BaseProducer = config.clone().set("message.timeout.ms", "20000").create().unwrap();
    let name = topic.to_string();
    let begun = Instant::now();
    // The first record asks for the topic, the next one meets the answer.
    loop {
        assert!(begun.elapsed() < PATIENCE, "the record was not refused");
        if let Err((error, _)) = producer.send(BaseRecord::<str, str>::to(&name).payload("x")) {
            return error.rdkafka_error_code().unwrap();
        }
        producer.poll(Duration::from_millis(50));
    }
}

/// A system reads its view and writes its confirmations, through Kênh and past it, and nothing else.
#[test]
fn a_system_gets_what_its_lists_say_and_nothing_else() {
    let control = control();
    let view = make(&control, "view.H1.seen.main.1");
    let other = make(&control, "view.G1.seen.main.1");
    let confirm = make(&control, "confirm.H1");
    allow(&control, &view, "h1-portal", Operation::Read);
    allow(&control, &other, "g1-portal", Operation::Read);
    allow(&control, &confirm, "h1-portal", Operation::Write);
    control.set_serials(&system("h1-portal"), &serials(&[1])).unwrap();
    write(&control, &Principal::router(), vec![record(&view, 0, "row"), record(&other, 0, "secret")]).unwrap();

    let agency = connect("h1-portal", 1);
    let me = system("h1-portal");
    let end = agency.bounds(&me, &at(&view, 0)).unwrap().end;
    let mut reader = agency.reader(&me, &[(at(&view, 0), Position(0))]).unwrap();
    assert_eq!(read_to(&mut *reader, end), ["row"]);
    write(&agency, &me, vec![record(&confirm, 0, "held")]).unwrap();

    // Another's, a missing one and the bus's own look the same, whoever it says it is.
    for topic in [&other, &"view.G1.none.main.1".parse().unwrap(), &Topic::Control] {
        for who in [&me, &system("g1-portal"), &Principal::router()] {
            let refused = agency.bounds(who, &at(topic, 0));
            assert!(matches!(refused, Err(ReadError::Denied { .. })), "{who} {topic}: {refused:?}");
        }
    }
    for topic in [&view, &other] {
        let refused = write(&agency, &me, vec![record(topic, 0, "mine")]);
        assert!(matches!(refused, Err(WriteError::Denied { .. })), "{topic}: {refused:?}");
    }
    // It has no lists, and changes none.
    assert!(matches!(agency.access(&view), Err(AdminError::Missing(_))));
    let widened = agency.set_access(&view, &[Access { principal: me.clone(), operation: Operation::Write }]);
    assert!(widened.is_err());
    assert!(agency.set_serials(&me, &serials(&[1, 2])).is_err());

    // Past Kênh.
    let raw = foreign("h1-portal", 1);
    let asker: BaseConsumer = raw.create().unwrap();
    let all = asker.fetch_metadata(None, PATIENCE).unwrap();
    let seen: BTreeSet<_> = all.topics().iter().map(|t| t.name().to_owned()).collect();
    assert_eq!(seen, [view.to_string(), confirm.to_string()].into());
    assert_eq!(foreign_read(&mut raw.clone(), "h1-portal", &view), Ok(b"row".to_vec()));
    assert_eq!(foreign_read(&mut raw.clone(), "h1-portal.reports", &view), Ok(b"row".to_vec()));
    for group in ["h1-portal2", "h1", "kenh.main", "kenh-router"] {
        assert_eq!(foreign_read(&mut raw.clone(), group, &view), Err(Code::GroupAuthorizationFailed), "{group}");
    }
    assert_eq!(foreign_read(&mut raw.clone(), "h1-portal", &other), Err(Code::TopicAuthorizationFailed));
    for topic in [&view, &other, &Topic::Control, &"in.seen.H1".parse().unwrap()] {
        assert_eq!(foreign_write(&raw, topic), Code::TopicAuthorizationFailed, "{topic}");
    }
    let producer: BaseProducer = raw.clone().set("transactional.id", "kenh.main").create().unwrap();
    let refused = producer.init_transactions(PATIENCE).unwrap_err().rdkafka_error_code();
    assert_eq!(refused, Some(Code::TransactionalIdAuthorizationFailed));
    let admin: AdminClient<DefaultClientContext> = raw.create().unwrap();
    assert_eq!(acl::list(&admin, None).unwrap(), []);
    assert!(acl::create(&admin, &[planted()]).is_err());
    assert!(agency.drift().is_err() && agency.mend().is_err());
}

/// A line that nobody of the bus would make: everything, to everybody.
fn planted() -> Line {
    Line {
        kind: Kind::Topic,
        name: "*".into(),
        pattern: Pattern::Literal,
        principal: "User:*".into(),
        host: "*".into(),
        right: Right::All,
        allow: true,
    }
}

/// A certificate is in force or it is not; an old one goes when the control role says so, also in an open session.
#[test]
fn a_certificate_that_was_replaced_is_denied() {
    let control = control();
    let view = make(&control, "view.H2.turned.main.1");
    let me = system("h2-portal");
    allow(&control, &view, "h2-portal", Operation::Read);
    let (old, new) = (connect("h2-portal", 1), connect("h2-portal", 2));
    let may = |log: &KafkaLog| log.bounds(&me, &at(&view, 0)).is_ok();
    assert!(!may(&old) && !may(&new), "none is in force yet");
    control.set_serials(&me, &serials(&[1, 2])).unwrap();
    assert!(may(&old) && may(&new));
    let mut open = old.reader(&me, &[(at(&view, 0), Position(0))]).unwrap();
    assert!(open.poll(1, 1, Duration::ZERO).unwrap().is_empty());
    control.set_serials(&me, &serials(&[2])).unwrap();
    assert!(!may(&old) && may(&new));
    assert_eq!(control.serials(&me).unwrap(), serials(&[2]));
    let begun = Instant::now();
    while open.poll(1, 1, Duration::from_millis(50)).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "an open session reads on");
    }
}

/// What was changed by hand is shown, and taken back.
#[test]
fn drift_is_shown_and_mended() {
    let cluster = Cluster::start_tls(1);
    let as_control = Options {
        bootstrap: cluster.bootstrap().into(),
        settings: cluster.identity("kenh-control", 1),
        replication: 1,
    };
    let control = KafkaLog::connect(as_control.clone()).unwrap();
    let view = make(&control, "view.H3.drift.main.1");
    allow(&control, &view, "h3-portal", Operation::Read);
    control.set_serials(&system("h3-portal"), &serials(&[1])).unwrap();
    control.set_serials(&Principal::router(), &serials(&[1])).unwrap();
    assert!(control.drift().unwrap().is_none());

    let admin: AdminClient<DefaultClientContext> = settings::producer(&as_control, "by-hand").create().unwrap();
    let of_view = acl::list(&admin, Some((Kind::Topic, &view.to_string()))).unwrap();
    let gone = of_view.iter().find(|l| l.principal == "User:CN=h3-portal,OU=1").unwrap().clone();
    let denial = Line { allow: false, right: Right::Read, name: view.to_string(), ..planted() };
    let cluster_wide = Line { kind: Kind::Cluster, name: "kafka-cluster".into(), right: Right::Alter, ..planted() };
    let from_one = Line { host: "127.0.0.1".into(), name: "view.".into(), pattern: Pattern::Prefixed, ..planted() };
    let mut by_hand = vec![planted(), denial, cluster_wide, from_one];
    acl::create(&admin, &by_hand).unwrap();
    acl::delete(&admin, std::slice::from_ref(&gone)).unwrap();
    by_hand.sort();
    let begun = Instant::now();
    while control.drift().unwrap().unexpected != by_hand || control.drift().unwrap().missing != [gone.clone()] {
        assert!(begun.elapsed() < PATIENCE, "{:?}", control.drift());
    }
    control.maintain(0).unwrap();
    assert!(control.drift().unwrap().is_none());
    assert_eq!(acl::list(&admin, Some((Kind::Topic, &view.to_string()))).unwrap(), of_view);

    // A list that ends takes its lines along; so does a topic.
    control.set_access(&view, &[]).unwrap();
    let left = acl::list(&admin, Some((Kind::Topic, &view.to_string()))).unwrap();
    assert!(left.iter().all(|line| line.principal == "User:CN=kenh-router,OU=1"), "{left:?}");
    control.delete_topic(&view).unwrap();
    assert_eq!(acl::list(&admin, Some((Kind::Topic, &view.to_string()))).unwrap(), []);
    assert!(control.drift().unwrap().is_none());
}

/// The router claims, reads its inputs and commits with a certificate of its own, and can do no more than that.
#[test]
fn the_router_has_the_rights_it_needs_and_no_others() {
    let control = control();
    let input = make(&control, "in.routed.G4");
    let data = make(&control, "data.routed");
    let view = make(&control, "view.H4.routed.main.1");
    let confirm = make(&control, "confirm.H4");
    for own in ["kenh.control", "kenh.heads", "receipt.G4", "dead-letter.routed.G4", "notice.H4"] {
        make(&control, own);
    }
    control.set_serials(&Principal::router(), &serials(&[1])).unwrap();
    write(&control, &Principal::control(), vec![record(&input, 0, "change")]).unwrap();

    let router = connect("kenh-router", 1);
    let me = Principal::router();
    let end = router.bounds(&me, &at(&input, 0)).unwrap().end;
    let mut reader = router.reader(&me, &[(at(&input, 0), Position(0))]).unwrap();
    assert_eq!(read_to(&mut *reader, end), ["change"]);
    let group = Group::new("routed").unwrap();
    let mut claim = router.claim(&me, &group).unwrap();
    let topics = [&data, &view, &"receipt.G4".parse().unwrap(), &"notice.H4".parse().unwrap(), &Topic::Heads];
    let batch = Batch {
        records: topics.iter().map(|topic| record(topic, 0, "routed")).collect(),
        consumed: vec![(at(&input, 0), end)],
        metadata: "m".into(),
    };
    claim.commit(batch).unwrap();
    drop(claim);
    let again = router.claim(&me, &group).unwrap();
    assert_eq!((again.committed().metadata.as_str(), again.committed().consumed[&at(&input, 0)]), ("m", end));
    // What it wrote it reads again when it recovers; a view it never does.
    for topic in [&data, &Topic::Heads, &Topic::Control] {
        router.reader(&me, &[(at(topic, 0), router.bounds(&me, &at(topic, 0)).unwrap().end)]).unwrap();
    }
    let raw = foreign("kenh-router", 1);
    for topic in [&view, &confirm] {
        assert_eq!(
            foreign_read(&mut raw.clone(), "kenh-router", topic),
            Err(Code::TopicAuthorizationFailed),
            "{topic}"
        );
    }
    for topic in [&input, &Topic::Control, &confirm] {
        assert_eq!(foreign_write(&raw, topic), Code::TopicAuthorizationFailed, "{topic}");
    }
    let spec = TopicSpec { topic: "data.more".parse().unwrap(), partitions: 1, retention: Retention::Forever };
    assert!(router.create_topic(&spec).is_err());
    // What every role does when it begins: it sees to topics that are there, also to one that it has no right to.
    let there = TopicSpec { topic: confirm.clone(), ..spec };
    router.create_topic(&there).unwrap();
    router.set_access(&confirm, &[]).unwrap();
    assert!(router.set_access(&confirm, &[Access { principal: me.clone(), operation: Operation::Read }]).is_err());
    assert!(router.delete_topic(&data).is_err());
    let admin: AdminClient<DefaultClientContext> = raw.create().unwrap();
    assert!(acl::create(&admin, &[planted()]).is_err());
}

/// A certificate that is none of the bus's: of another CA, or of this one with another kind of name.
#[test]
fn whoever_is_not_of_the_bus_does_not_get_in() {
    let (ours, other) = (Cluster::shared_tls(), Cluster::start_tls(1));
    let mut stranger = ours.identity("h5-portal", 1);
    for (key, value) in other.identity("h5-portal", 1) {
        // His certificate, and the right CA for the server's.
        if key != "ssl.ca.location" {
            stranger.insert(key, value);
        }
    }
    let with = |settings| Options { bootstrap: ours.bootstrap().into(), settings, replication: 1 };
    let refused = KafkaLog::connect(with(stranger.clone())).err().unwrap();
    assert!(matches!(refused, ConnectError::Refused { .. } | ConnectError::Unreachable { .. }), "{refused:?}");
    // And a server of another CA.
    let mut misled = ours.identity("h5-portal", 1);
    misled.insert("ssl.ca.location".into(), other.identity("h5-portal", 1)["ssl.ca.location"].clone());
    let refused = KafkaLog::connect(with(misled)).err().unwrap();
    assert!(matches!(refused, ConnectError::Refused { .. } | ConnectError::Unreachable { .. }), "{refused:?}");
    // In clear.
    let refused = KafkaLog::connect(with([].into())).err().unwrap();
    assert!(matches!(refused, ConnectError::Refused { .. } | ConnectError::Unreachable { .. }), "{refused:?}");
    // Our CA, but no name of the bus: said before anything is sent, and refused by the cluster where it is sent.
    let nameless = ours.identity("H5 portal", 1);
    let refused = KafkaLog::connect(with(nameless.clone())).err().unwrap();
    assert!(matches!(refused, ConnectError::Certificate { .. }), "{refused:?}");
    let mut raw = ClientConfig::new();
    raw.set("bootstrap.servers", ours.bootstrap());
    for (key, value) in nameless {
        raw.set(key, value);
    }
    let asker: BaseConsumer = raw.create().unwrap();
    assert!(asker.fetch_metadata(None, Duration::from_secs(5)).is_err());
    let missing = [("security.protocol", "ssl"), ("ssl.certificate.location", "/nowhere/a.pem")];
    let missing = missing.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    assert!(matches!(KafkaLog::connect(with(missing)), Err(ConnectError::Certificate { .. })));
}
