//! What somebody can reach, and what of it he may see: everything as bytes, each piece with its place.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt::Debug;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kenh_testkit::PATIENCE;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Headers as _;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

/// In every canary; what follows says where it was put.
pub const CANARY: &str = "CHIMYEN";
/// A canary that is a value and a number, and one that is a default: no other number here has these digits.
pub const NUMBER: i64 = 73_491_862;
pub const DEFAULT_NUMBER: i64 = 73_491_863;

/// How long a client asks on that is refused the coordinator of a group: it is not told, and takes it for a broker that is
/// not ready.
const REFUSED_AFTER: Duration = Duration::from_secs(5);

/// Something that somebody reached.
pub struct Piece {
    pub place: String,
    pub bytes: Vec<u8>,
    /// Canaries that whoever reached it may see.
    pub may: &'static [&'static str],
}

impl Piece {
    /// Of which nobody may see a canary.
    pub fn new(place: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { place: place.into(), bytes: bytes.into(), may: &[] }
    }

    pub fn may(self, may: &'static [&'static str]) -> Self {
        Self { may, ..self }
    }

    fn say(&mut self, what: impl Debug) {
        self.bytes.extend_from_slice(format!("{what:?}\n").as_bytes());
    }

    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.bytes.push(b'\n');
    }
}

/// Every canary in some bytes, by what follows [`CANARY`]; as it is, in base64 or hexadecimal, and as Avro
/// writes a number.
pub fn canaries(bytes: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let places = |of: &[u8]| -> Vec<usize> {
        bytes.windows(of.len()).enumerate().filter(|(_, window)| *window == of).map(|(at, _)| at).collect()
    };
    for at in places(CANARY.as_bytes()) {
        let rest = bytes[at + CANARY.len()..].iter().copied();
        let name: Vec<u8> = rest.take_while(|b| b.is_ascii_lowercase() || b"-_".contains(b)).collect();
        found.insert(String::from_utf8(name).unwrap().trim_matches(['-', '_']).to_owned());
    }
    // Whatever stands before it shifts the digits of base64 by none, one or two bytes; those at the ends are shared.
    for shift in 0..3 {
        let digits = STANDARD.encode([&vec![0; shift], CANARY.as_bytes()].concat());
        let digits = &digits.as_bytes()[(shift * 8).div_ceil(6)..(shift + CANARY.len()) * 8 / 6];
        if !places(digits).is_empty() {
            found.insert("in-base64".into());
        }
    }
    // A dump of bytes has them in groups.
    let digits: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let together: Vec<u8> = bytes.iter().copied().filter(|b| *b != b' ').collect();
    if together.windows(digits.len()).any(|window| window == digits.as_bytes()) {
        found.insert("in-hexadecimal".into());
    }
    let mut number = |name: &str, n: i64| {
        if !places(n.to_string().as_bytes()).is_empty() || !places(&avro(n)).is_empty() {
            found.insert(name.to_owned());
        }
    };
    number("number", NUMBER);
    number("default-number", DEFAULT_NUMBER);
    found
}

/// A number of 28 bits as Avro writes it: zigzag, seven bits a byte, the lowest first.
pub fn avro(n: i64) -> [u8; 4] {
    let bits = |i: u32| u8::try_from((n << 1) >> (7 * i) & 127).unwrap();
    [bits(0) | 128, bits(1) | 128, bits(2) | 128, bits(3)]
}

/// Where a canary is that may not be there: `place: canary`.
pub fn leaks(pieces: &[Piece]) -> Vec<String> {
    let of = |piece: &Piece| {
        let mut found = canaries(&piece.bytes);
        found.retain(|canary| !piece.may.contains(&canary.as_str()));
        found.into_iter().map(|canary| format!("{}: {canary}", piece.place)).collect::<Vec<_>>()
    };
    pieces.iter().flat_map(of).collect()
}

/// All that a client of the cluster can get with these settings, by asking for everything: names, every topic from its
/// first record, committed or not, groups and what they have committed, settings.
pub fn kafka(client: &ClientConfig, topics: &[String], groups: &[&str]) -> Vec<Piece> {
    let who = client.get("group.id").unwrap();
    let mut client = client.clone();
    client.set("isolation.level", "read_uncommitted").set("enable.partition.eof", "true");
    client.set("enable.auto.commit", "false");
    let consumer: BaseConsumer = client.create().unwrap();
    let mut names = Piece::new(format!("{who}: names of topics"), "");
    let all = consumer.fetch_metadata(None, PATIENCE).unwrap();
    all.topics().iter().for_each(|topic| names.add(topic.name().as_bytes()));
    let mut pieces = vec![names];
    for topic in topics {
        let mut piece = Piece::new(format!("{who}: {topic}"), "");
        match consumer.fetch_metadata(Some(topic), PATIENCE) {
            Err(error) => piece.say(error),
            Ok(found) => match found.topics() {
                [topic] if topic.error().is_none() && !topic.partitions().is_empty() => {
                    read(&consumer, topic.name(), topic.partitions().len(), &mut piece);
                }
                others => others.iter().for_each(|topic| piece.say(topic.error())),
            },
        }
        pieces.push(piece);
    }
    let mut listed = Piece::new(format!("{who}: groups"), "");
    for name in [None].into_iter().chain(groups.iter().copied().map(Some)) {
        match consumer.fetch_group_list(name, PATIENCE) {
            Err(error) => listed.say(error),
            Ok(list) => {
                for group in list.groups() {
                    listed.say((group.name(), group.state(), group.protocol(), group.protocol_type()));
                    for member in group.members() {
                        listed.say((member.id(), member.client_id(), member.client_host()));
                        listed.add(member.metadata().unwrap_or_default());
                        listed.add(member.assignment().unwrap_or_default());
                    }
                }
            }
        }
    }
    pieces.push(listed);
    std::thread::scope(|scope| {
        let asked: Vec<_> = groups.iter().map(|group| scope.spawn(|| committed(&client, group, topics))).collect();
        pieces.extend(asked.into_iter().map(|asked| asked.join().unwrap()));
    });
    let admin: AdminClient<DefaultClientContext> = client.create().unwrap();
    let asked: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let mut settings = Piece::new(format!("{who}: settings"), "");
    for asked in [asked, vec![ResourceSpecifier::Broker(1)]] {
        let told = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        match told.block_on(admin.describe_configs(&asked, &options)) {
            Err(error) => settings.say(error),
            Ok(found) => found.iter().for_each(|found| match found {
                Err(code) => settings.say(code),
                Ok(found) => found.entries.iter().for_each(|e| settings.say((&e.name, &e.value))),
            }),
        }
    }
    pieces.push(settings);
    pieces
}

/// What a group has committed, as somebody gets it who asks as a member of it.
fn committed(client: &ClientConfig, group: &str, topics: &[String]) -> Piece {
    let mut piece = Piece::new(format!("{}: what group {group} has committed", client.get("group.id").unwrap()), "");
    let member: BaseConsumer = client.clone().set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    topics.iter().for_each(|topic| _ = list.add_partition(topic, 0));
    match member.committed_offsets(list, REFUSED_AFTER) {
        Err(error) => piece.say(error),
        Ok(list) => list.elements().iter().for_each(|e| piece.say((e.topic(), e.offset(), e.metadata(), e.error()))),
    }
    piece
}

/// Reads every partition of a topic to its end, or to the refusal.
fn read(consumer: &BaseConsumer, topic: &str, partitions: usize, into: &mut Piece) {
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, i32::try_from(partition).unwrap(), Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let (begun, mut ended) = (Instant::now(), 0);
    while ended < partitions {
        assert!(begun.elapsed() < PATIENCE, "{topic} has no end");
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => {
                into.say(error);
                ended += 1;
            }
            Some(Ok(message)) => {
                into.add(message.key().unwrap_or_default());
                into.add(message.payload().unwrap_or_default());
                for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
                    into.add(header.key.as_bytes());
                    into.add(header.value.unwrap_or_default());
                }
            }
        }
    }
    consumer.unassign().unwrap();
}

/// What a command came to: how it ended, its answer, and everything else that it shows of itself.
pub struct Ran {
    pub code: Option<i32>,
    pub answer: String,
    pub pieces: Vec<Piece>,
}

/// Runs a command with something on its standard input.
pub fn run(mut command: Command, input: &str) -> Ran {
    let name: Vec<_> = command.get_args().take(2).map(|a| a.to_string_lossy().into_owned()).collect();
    let name = name.join(" ");
    // As it is started, since it may have ended before anybody looks: nothing of ours changes its own arguments.
    let started = |parts: Vec<&OsStr>| parts.into_iter().flat_map(|part| [part.as_bytes(), b"\n"].concat()).collect();
    let environment = command.get_envs().flat_map(|(name, value)| [Some(name), value]).flatten().collect();
    let mut pieces = shown(&name, started(command.get_args().collect()), started(environment));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that does not ask for it may have ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let out = child.wait_with_output().unwrap();
    pieces.push(Piece::new(format!("what kenh {name} writes to stderr"), out.stderr));
    Ran { code: out.status.code(), answer: String::from_utf8(out.stdout).unwrap(), pieces }
}

/// What everybody on the machine, and its own user, can see of a process that runs.
pub fn process(name: &str, pid: u32) -> Vec<Piece> {
    let of = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
    shown(name, of("cmdline"), of("environ"))
}

fn shown(name: &str, arguments: Vec<u8>, environment: Vec<u8>) -> Vec<Piece> {
    assert!(!arguments.is_empty(), "kenh {name} shows no arguments");
    vec![
        Piece::new(format!("arguments of kenh {name}"), arguments),
        Piece::new(format!("environment of kenh {name}"), environment),
    ]
}

/// A receiver of telemetry that takes everything and keeps it as it came: the encoding holds texts as they are.
pub struct Sink {
    pub url: String,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Sink {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::<Mutex<Vec<u8>>>::default();
        let all = received.clone();
        std::thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                let all = all.clone();
                std::thread::spawn(move || take(caller, &all));
            }
        });
        Self { url, received }
    }

    pub fn received(&self) -> Piece {
        Piece::new("telemetry", self.received.lock().unwrap().clone())
    }
}

/// Takes requests of one caller until he goes.
fn take(mut caller: TcpStream, all: &Mutex<Vec<u8>>) -> Option<()> {
    let mut seen = Vec::new();
    loop {
        let head = loop {
            if let Some(at) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            more(&mut caller, &mut seen)?;
        };
        let fields = String::from_utf8_lossy(&seen[..head]).to_lowercase();
        let length = fields.lines().find_map(|line| line.strip_prefix("content-length:"));
        let end = head + length.unwrap().trim().parse::<usize>().unwrap();
        while seen.len() < end {
            more(&mut caller, &mut seen)?;
        }
        all.lock().unwrap().extend(seen.drain(..end));
        caller.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}

fn more(caller: &mut TcpStream, seen: &mut Vec<u8>) -> Option<()> {
    let mut some = [0; 4096];
    let n = caller.read(&mut some).ok().filter(|n| *n > 0)?;
    seen.extend_from_slice(&some[..n]);
    Some(())
}
