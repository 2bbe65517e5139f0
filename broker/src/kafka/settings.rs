//! What every client of ours tells librdkafka, and why. Where a setting is not named here, librdkafka's default holds.

use kenh_domain::identity::Identity;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::{ConnectError, Options};
use crate::certificate::{Certificate, CertificateError};

/// The transaction timeout: how long a dead owner may hold readers up, and how long a living one has for one commit.
pub const TRANSACTION_TIMEOUT_MS: u32 = 10_000;

/// How long a record may wait for its acknowledgement outside a transaction.
pub const DELIVERY_TIMEOUT_MS: u32 = 30_000;

/// How long the broker holds a fetch that finds nothing. It answers at once when something comes; until this is over it
/// does not notice that a reader has lost its right, nor answer anything else on the connection.
pub const FETCH_WAIT_MS: u32 = 100;

fn common(options: &Options, client: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set_log_level(RDKafkaLogLevel::Warning)
        .set("bootstrap.servers", &options.bootstrap)
        .set("client.id", client)
        // A topic is made by a decision, never by asking for it.
        .set("allow.auto.create.topics", "false")
        // A broker that is back is tried at once; the default waits up to 10 s.
        .set("reconnect.backoff.max.ms", "1000")
        // Without Nagle a small request is not held back for the next one.
        .set("socket.nagle.disable", "true");
    config
}

/// What the promises of the seam stand on: not free to be set otherwise.
const FIXED: [&str; 17] = [
    "acks",
    "allow.auto.create.topics",
    "auto.offset.reset",
    "bootstrap.servers",
    "client.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "isolation.level",
    "message.max.bytes",
    "metadata.broker.list",
    "partitioner",
    "request.required.acks",
    "transaction.timeout.ms",
    "transactional.id",
];

/// Whether the client has these settings and takes their values.
///
/// # Errors
/// [`ConnectError::Setting`], which never shows a value.
pub fn check(options: &Options) -> Result<(), ConnectError> {
    let wrong = |key: &str, problem| Err(ConnectError::Setting { key: key.to_owned(), problem });
    for (key, value) in &options.settings {
        if FIXED.contains(&key.as_str()) {
            return wrong(key, "is fixed by Kênh");
        }
        match ClientConfig::new().set(key, value).create_native_config() {
            Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
                return wrong(key, "is not a setting of the Kafka client");
            }
            Err(_) => return wrong(key, "has a value that the Kafka client does not take"),
            Ok(_) => {}
        }
    }
    Ok(())
}

fn own(mut config: ClientConfig, options: &Options) -> ClientConfig {
    for (key, value) in &options.settings {
        config.set(key, value);
    }
    config
}

/// The same for a client that is in no group: it would complain of a group's name.
fn own_without_group(mut config: ClientConfig, options: &Options) -> ClientConfig {
    for (key, value) in options.settings.iter().filter(|(key, _)| key.as_str() != GROUP) {
        config.set(key, value);
    }
    config
}

/// Which group a reader says it is in. Not free to be set, but for ourselves: a client that shows a certificate uses the
/// one group name that a system may use in any case, its own.
pub(super) const GROUP: &str = "group.id";

/// Who a client with these settings is to the cluster: what its certificate says. None where it shows none.
///
/// # Errors
/// [`ConnectError::Certificate`].
pub fn identity(options: &Options) -> Result<Option<Identity>, ConnectError> {
    let tls = options.settings.get("security.protocol").is_some_and(|p| p.eq_ignore_ascii_case("ssl"));
    let Some(file) = options.settings.get("ssl.certificate.location").filter(|_| tls) else { return Ok(None) };
    let wrong = |problem: String| ConnectError::Certificate { file: file.clone(), problem };
    let text = std::fs::read(file).map_err(|error| wrong(format!("cannot be read ({error})")))?;
    let none = || wrong("holds no certificate".to_owned());
    // The first is the client's own; those of its issuers may follow.
    let (_, pem) = x509_parser::pem::parse_x509_pem(&text).map_err(|_| none())?;
    match Certificate::read(&pem.contents) {
        Ok(certificate) => Ok(Some(certificate.identity)),
        Err(CertificateError::Unreadable) => Err(none()),
        Err(CertificateError::Subject(error)) => Err(wrong(format!("is of nobody: {error}"))),
    }
}

/// A client that reads what is committed. It belongs to no group (librdkafka wants a name all the same): partitions are
/// assigned, positions are its owner's business.
pub fn consumer(options: &Options, client: &str) -> ClientConfig {
    let mut config = common(options, client);
    config
        .set("group.id", "kenh-reader")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        // A position that is gone is an error that its owner must hear of.
        .set("auto.offset.reset", "error")
        // Tells where a partition ends, markers of transactions included.
        .set("enable.partition.eof", "true")
        // With data that compresses well the queue fills, and the default then sleeps for a whole second.
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.wait.max.ms", FETCH_WAIT_MS.to_string())
        .set("fetch.error.backoff.ms", "100")
        // A fetched record waits in memory: 64 MiB a reader at most.
        .set("queued.max.messages.kbytes", "65536")
        .set("fetch.message.max.bytes", "9437184")
        .set("check.crcs", "true");
    own(config, options)
}

/// A client that writes outside transactions.
pub fn producer(options: &Options, client: &str) -> ClientConfig {
    let mut config = common(options, client);
    producing(&mut config);
    config.set("linger.ms", "5").set("message.timeout.ms", DELIVERY_TIMEOUT_MS.to_string());
    own_without_group(config, options)
}

/// A client that commits for a group.
pub fn claim(options: &Options, transactional_id: &str) -> ClientConfig {
    let mut config = common(options, transactional_id);
    producing(&mut config);
    config
        .set("transactional.id", transactional_id)
        .set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS.to_string())
        // At most the transaction's: what is not delivered by then is aborted anyway.
        .set("message.timeout.ms", TRANSACTION_TIMEOUT_MS.to_string())
        // A commit waits for its records: they are sent as soon as the batch is handed over.
        .set("linger.ms", "0")
        // AddOffsetsToTxn meets its own AddPartitionsToTxn; the default of 100 ms would be most of a commit.
        .set("retry.backoff.ms", "2");
    own_without_group(config, options)
}

fn producing(config: &mut ClientConfig) {
    config
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("batch.size", "262144")
        // Partitions are always explicit; this holds whoever leaves one out to Kafka's own rule.
        .set("partitioner", "murmur2_random")
        .set("message.max.bytes", "9437184")
        .set("queue.buffering.max.messages", "500000")
        .set("queue.buffering.max.kbytes", "262144");
}
