//! Can copies be kept in the PostgreSQL that the configuration names?

use kenh_consumers::store::postgres::check as look;
use kenh_domain::error::chain;
use kenh_domain::names::Agency;

use super::{Report, Verdict};
use crate::config::{Config, Postgres, Store};

const ANSWERS: &str = "PostgreSQL answers";
const FIT: &str = "PostgreSQL is fit for copies";
const FSYNC: &str = "PostgreSQL's fsync";
const RIGHTS: &str = "PostgreSQL gives the rights for copies";

/// Adds a line for each of the four; only the first where nobody answers.
pub fn check(to: &Postgres, config: &Config, report: &mut Report) {
    let copies = config.copies.iter().filter(|copy| matches!(copy.store, Store::Postgres(_)));
    let agencies: Vec<Agency> = copies.map(|copy| copy.agency.clone()).collect();
    let found = match look(&to.server, &agencies) {
        Ok(found) => found,
        Err(error) => {
            let to_do = "start it, or mend postgres in kenh.yaml: docs/postgres.md";
            return report.add(ANSWERS, Verdict::Red, chain(&error), to_do);
        }
    };
    let how = if found.encrypted { "over TLS" } else { "on this machine" };
    report.green(ANSWERS, format!("PostgreSQL {}, {how}", found.version));
    match found.unfit {
        None => report.green(FIT, "version and encoding are"),
        Some(why) => report.add(FIT, Verdict::Red, format!("PostgreSQL {}", found.version), why),
    }
    match found.fsync {
        true => report.green(FSYNC, "on"),
        false => report.add(FSYNC, Verdict::Red, "off: a power cut can lose copies or damage them", "set fsync = on"),
    }
    match found.lacks {
        None => report.green(RIGHTS, "to make its schemas, or to use those that are there"),
        Some(grant) => {
            let found = "its user may not make or use the schemas of the copies";
            report.add(RIGHTS, Verdict::Red, found, format!("as the owner of the database: {grant}"));
        }
    }
}
