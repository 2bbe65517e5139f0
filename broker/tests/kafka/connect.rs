//! What is wrong with a cluster or a setting is said at the start, with what to do.

use std::error::Error as _;

use kenh_broker::kafka::cluster::{Profile, check_cluster};
use kenh_broker::kafka::{ConnectError, KafkaLog, Options};

use crate::connect;

fn error(options: Options) -> ConnectError {
    match KafkaLog::connect(options) {
        Ok(_) => panic!("connected"),
        Err(error) => error,
    }
}

fn with(key: &str, value: &str) -> ConnectError {
    let settings = [(key.to_owned(), value.to_owned())].into();
    error(Options { bootstrap: "127.0.0.1:1".into(), settings, replication: 1 })
}

/// Everything that an error says, causes included.
fn said(error: &ConnectError) -> String {
    let mut all = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        all += &format!(" {inner}");
        cause = inner.source();
    }
    all
}

#[test]
fn no_bootstrap_is_said_so() {
    for bootstrap in ["", "  "] {
        let error = error(Options { bootstrap: bootstrap.into(), ..Options::default() });
        assert!(matches!(error, ConnectError::NoBootstrap), "{error:?}");
    }
}

/// Nobody listens: said with the address and the system's own words, and not only after the whole time is over.
#[test]
fn a_refused_connection_is_said_so() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let bootstrap = format!("127.0.0.1:{port}");
    let error = error(Options { bootstrap: bootstrap.clone(), ..Options::default() });
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains(&bootstrap) && said.contains("refused") && said.contains("kafka.bootstrap"), "{said}");
}

/// Somebody listens who is no Kafka.
#[test]
fn another_server_is_not_taken_for_kafka() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    // Closes every connection at once; ends with the test process.
    std::thread::spawn(move || other.incoming().for_each(drop));
    let error = error(Options { bootstrap: address.to_string(), ..Options::default() });
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
}

#[test]
fn a_wrong_setting_is_named_and_its_value_is_not_shown() {
    for (key, problem) in [
        ("sasl.pasword", "is not a setting"),
        ("security.protocol", "has a value"),
        ("isolation.level", "is fixed"),
        ("acks", "is fixed"),
        // Other names of the client for settings that are fixed.
        ("request.required.acks", "is fixed"),
        ("metadata.broker.list", "is fixed"),
        ("transaction.timeout.ms", "is fixed"),
    ] {
        let error = with(key, "hunter2");
        assert!(matches!(&error, ConnectError::Setting { key: named, .. } if named == key), "{key}: {error:?}");
        let said = said(&error);
        assert!(said.contains(problem) && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn options_show_no_value() {
    let settings = [("sasl.password".to_owned(), "hunter2".to_owned())].into();
    let shown = format!("{:?}", Options { bootstrap: "b:1".into(), settings, replication: 1 });
    assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
}

/// The settings in broker-config/ are what the check wants.
#[test]
fn our_own_settings_leave_nothing_to_find() {
    assert_eq!(check_cluster(&connect(), Profile::Trial).unwrap(), []);
}
