//! A broker that is too old, as a double: it says which requests it knows, and answers those that a start makes, in the
//! versions that Apache Kafka 2.2 has. What it never heard of it refuses as a real one does.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use kenh_broker::kafka::{ConnectError, KafkaLog, Options};

const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;
const CREATE_TOPICS: i16 = 19;
const INIT_PRODUCER_ID: i16 = 22;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_CONFIG: i16 = 40;

/// Requests that Kafka 2.2 knows, each with its newest version, as far as a start has to do with them.
const OF_2_2: [(i16, i16); 7] =
    [(0, 7), (1, 10), (2, 5), (METADATA, 7), (API_VERSIONS, 2), (CREATE_TOPICS, 3), (INIT_PRODUCER_ID, 1)];
/// Kafka 0.10.0 tells no id of its cluster, and knows no transactions.
const OF_0_10: [(i16, i16); 5] = [(0, 2), (1, 2), (2, 0), (METADATA, 1), (API_VERSIONS, 0)];

/// Answers at the address that it gives, until the test process ends.
fn old_broker(known: &'static [(i16, i16)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || serve(stream, known, port));
        }
    });
    format!("127.0.0.1:{port}")
}

/// Until the client goes, or asks for something that is not known: then the connection ends.
fn serve(mut stream: TcpStream, known: &[(i16, i16)], port: u16) {
    let mut size = [0; 4];
    while stream.read_exact(&mut size).is_ok() {
        let mut request = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
        stream.read_exact(&mut request).unwrap();
        let mut request = Request(&request);
        let (key, version) = (request.short(), request.short());
        let correlation = request.int();
        request.text();
        let newest = known.iter().find(|(k, _)| *k == key).map(|(_, newest)| *newest);
        let mut answer = Answer(correlation.to_be_bytes().to_vec());
        match (key, newest) {
            (API_VERSIONS, Some(newest)) if version > newest => {
                answer.short(UNSUPPORTED_VERSION);
                answer.int(0);
            }
            (_, None) => return,
            (_, Some(newest)) if version > newest => return,
            (API_VERSIONS, _) => answer.api_versions(version, known),
            (METADATA, _) => answer.metadata(version, request.texts(), port),
            (CREATE_TOPICS, _) => answer.no_such_setting(&request.first_text()),
            (INIT_PRODUCER_ID, _) => {
                answer.int(0);
                answer.short(0);
                answer.0.extend(7_i64.to_be_bytes());
                answer.short(0);
            }
            _ => return,
        }
        let size = i32::try_from(answer.0.len()).unwrap().to_be_bytes();
        if stream.write_all(&[&size[..], &answer.0].concat()).is_err() {
            return;
        }
    }
}

struct Request<'a>(&'a [u8]);

impl Request<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (first, rest) = self.0.split_first_chunk().unwrap();
        self.0 = rest;
        *first
    }

    fn short(&mut self) -> i16 {
        i16::from_be_bytes(self.take())
    }

    fn int(&mut self) -> i32 {
        i32::from_be_bytes(self.take())
    }

    fn text(&mut self) -> String {
        let length = usize::try_from(self.short()).unwrap_or(0);
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8(text.to_vec()).unwrap()
    }

    fn texts(&mut self) -> Vec<String> {
        (0..self.int()).map(|_| self.text()).collect()
    }

    fn first_text(&mut self) -> String {
        assert_eq!(self.int(), 1);
        self.text()
    }
}

struct Answer(Vec<u8>);

impl Answer {
    fn short(&mut self, n: i16) {
        self.0.extend(n.to_be_bytes());
    }

    fn int(&mut self, n: i32) {
        self.0.extend(n.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.short(i16::try_from(text.len()).unwrap());
        self.0.extend(text.as_bytes());
    }

    fn api_versions(&mut self, version: i16, known: &[(i16, i16)]) {
        self.short(0);
        self.int(i32::try_from(known.len()).unwrap());
        for (key, newest) in known {
            self.short(*key);
            self.short(0);
            self.short(*newest);
        }
        if version > 0 {
            self.int(0);
        }
    }

    /// One broker, and none of the topics that are asked for.
    fn metadata(&mut self, version: i16, asked: Vec<String>, port: u16) {
        if version >= 3 {
            self.int(0);
        }
        self.int(1);
        self.int(1);
        self.text("127.0.0.1");
        self.int(port.into());
        self.short(-1);
        if version >= 2 {
            self.text("an-old-cluster-of-ours");
        }
        self.int(1);
        self.int(i32::try_from(asked.len()).unwrap());
        for topic in asked {
            self.short(UNKNOWN_TOPIC_OR_PARTITION);
            self.text(&topic);
            self.0.push(0);
            self.int(0);
        }
    }

    fn no_such_setting(&mut self, topic: &str) {
        self.int(0);
        self.int(1);
        self.text(topic);
        self.short(INVALID_CONFIG);
        self.text("Unknown topic config name: max.compaction.lag.ms");
    }
}

fn refused(known: &'static [(i16, i16)], by: &str) {
    let at = old_broker(known);
    let error =
        KafkaLog::connect(Options { bootstrap: at.clone(), replication: 1, ..Options::default() }).err().unwrap();
    assert!(matches!(error, ConnectError::TooOld { .. }), "{error:?}");
    let said = error.to_string();
    for part in [&at, by, "2.3 or newer", "upgrade its brokers"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
}

/// It knows all the requests, but not the setting without which a view would show old rows for ever.
#[test]
fn a_kafka_that_lacks_a_setting_is_refused_with_the_version_that_has_it() {
    refused(&OF_2_2, "does not take the settings of the bus's topics");
}

#[test]
fn a_kafka_that_tells_no_id_is_refused_with_the_version_that_is_needed() {
    refused(&OF_0_10, "tells no id of its cluster");
}
