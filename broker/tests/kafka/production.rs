//! What a bus in production may not be: each fault planted on three real brokers, which are green without it.

use futures_executor::block_on;
use kenh_broker::kafka::acl::{self, Kind, Line, Pattern, Right};
use kenh_broker::kafka::cluster::{Finding, Profile, check_cluster};
use kenh_broker::kafka::{KafkaLog, Options, settings};
use kenh_domain::log::{Log as _, Retention, TopicSpec};
use kenh_testkit::kafka::Cluster;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use crate::connect;

fn names(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|f| f.name.as_str()).collect()
}

#[test]
fn each_planted_fault_is_red_and_three_brokers_of_ours_are_green() {
    let cluster = Cluster::start_tls(3);
    let options = Options {
        bootstrap: cluster.bootstrap().into(),
        settings: cluster.identity("kenh-control", 1),
        replication: 3,
    };
    let log = KafkaLog::connect(options.clone()).unwrap();
    for topic in ["in.good.G1", "data.good", "view.H1.good.main.1", "confirm.H1", "kenh.control"] {
        let topic = topic.parse().unwrap();
        log.create_topic(&TopicSpec { topic, partitions: 1, retention: Retention::Days(30) }).unwrap();
    }
    let check = || check_cluster(&log, Profile::Production).unwrap();
    assert_eq!(check(), []);

    // Topics made past Kênh.
    let admin: AdminClient<DefaultClientContext> = settings::producer(&options, "by-hand").create().unwrap();
    let plant = |name: &str, replicas: i32, setting: (&str, &str)| {
        let topic = NewTopic::new(name, 1, TopicReplication::Fixed(replicas)).set(setting.0, setting.1);
        block_on(admin.create_topics([&topic], &AdminOptions::new())).unwrap().remove(0).unwrap();
    };
    plant("data.few", 1, ("cleanup.policy", "delete"));
    plant("data.hasty", 3, ("min.insync.replicas", "1"));
    plant("data.unclean", 3, ("unclean.leader.election.enable", "true"));
    plant("in.backdated.G1", 3, ("message.timestamp.type", "CreateTime"));
    let line = Line {
        kind: Kind::Topic,
        name: "view.".into(),
        pattern: Pattern::Prefixed,
        principal: "User:*".into(),
        host: "*".into(),
        right: Right::Read,
        allow: true,
    };
    acl::create(&admin, &[line]).unwrap();
    let wanted = [
        "data.few: replicas",
        "data.hasty: min.insync.replicas",
        "data.unclean: unclean.leader.election.enable",
        "in.backdated.G1: message.timestamp.type",
        "access lists",
    ];
    let begun = std::time::Instant::now();
    // Each broker learns of them by itself.
    while names(&check()) != wanted {
        assert!(begun.elapsed() < kenh_testkit::PATIENCE, "{:#?}", check());
    }
    assert!(check().iter().all(|f| f.broken));
    log.mend().unwrap();
    assert_eq!(names(&check()), wanted[..4]);
}

/// The trial's cluster is no place for data of agencies: one node, in clear, open.
#[test]
fn a_trial_is_not_taken_for_production() {
    let found = check_cluster(&connect(), Profile::Production).unwrap();
    let found = names(&found);
    for wanted in ["kafka.replication", "min.insync.replicas", "authorizer.class.name", "listeners", "our certificate"]
    {
        assert!(found.contains(&wanted), "{wanted} is not in {found:?}");
    }
}
