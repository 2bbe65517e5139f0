//! Is the Kafka cluster set to what the bus needs for years? What is compared, and why: [`kenh_broker::kafka::cluster`].

use kenh_broker::kafka::cluster::{Profile, check_cluster};
use kenh_broker::kafka::{KafkaLog, Options};

use super::{Report, Verdict};
use crate::config::Kafka;
use kenh_domain::error::chain;

const SETTINGS: &str = "cluster settings";

/// Adds a line for each thing that is not as it should be, or one that says that all is well. What breaks a promise now is
/// red; what may break one some day is pointed out.
pub fn check(to: &Kafka, profile: Profile, report: &mut Report) {
    let options =
        Options { bootstrap: to.bootstrap.clone(), settings: to.settings.clone(), replication: to.replication };
    // A connection of its own: the log of a node is any log, and only this one has settings to ask for.
    let log = match KafkaLog::connect(options) {
        Ok(log) => log,
        Err(error) => return report.add(SETTINGS, Verdict::Red, chain(&error), "mend what it names"),
    };
    match check_cluster(&log, profile) {
        Err(error) => report.add(
            SETTINGS,
            Verdict::Red,
            chain(&error),
            "give the user of `kafka.settings` DESCRIBE_CONFIGS on the cluster; nothing is known until then",
        ),
        Ok(findings) if findings.is_empty() => report.green(SETTINGS, "as broker-config/kafka has them"),
        Ok(findings) => {
            for finding in findings {
                let verdict = if finding.broken { Verdict::Red } else { Verdict::Yellow };
                let found = format!("{}: {}, wanted {}", finding.name, finding.found, finding.wanted);
                report.add(SETTINGS, verdict, found, finding.what_to_do);
            }
        }
    }
}
