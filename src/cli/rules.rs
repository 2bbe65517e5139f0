//! `kenh rule`, as typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kenh_domain::names::{Dataset, Person, ProposalId, RelaxationId};
use kenh_domain::rule::Rule;

use super::words;

/// `kenh rule …`
#[derive(Debug, Subcommand)]
pub enum RuleCommand {
    /// All relaxations, past ones too
    List,
    /// Let a rule warn for some hours where it would reject; where decisions are signed, two persons approve it
    Relax(RelaxRule),
    /// Put an approved relaxation into force
    Release {
        /// The proposal
        id: ProposalId,
    },
    /// Let a relaxed rule reject again, before its time
    Restore {
        /// The relaxation
        id: RelaxationId,
        /// Why, in words; kept in the control log; - reads it from standard input
        #[arg(long, value_name = "TEXT", value_parser = words, default_value = "", hide_default_value = true)]
        reason: String,
        /// On a bus whose decisions are signed: where the request to sign is written [default: ID.end.json]
        #[arg(long, value_name = "FILE")]
        request: Option<PathBuf>,
    },
}

/// `kenh rule relax`
#[derive(Debug, Args)]
pub struct RelaxRule {
    /// Of which dataset
    pub dataset: Dataset,
    /// The code of the rule, as dead letters name it
    pub rule: Rule,
    /// For this field alone, by its dotted path [default: every field that is not of the record key]
    #[arg(long, value_name = "PATH")]
    pub field: Option<String>,
    /// For how long from now, 72h at most
    #[arg(long = "for", value_name = "HOURS", value_parser = hours)]
    pub hours: i64,
    /// Why, in words: Vietnamese, or Vietnamese / English; kept in the control log; - reads it from standard input
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: String,
    /// Where decisions are signed: who proposes it; they do not approve it
    #[arg(long, value_name = "PERSON")]
    pub author: Option<Person>,
    /// Its name, never used again [default: made of dataset, rule and the time]
    #[arg(long, value_name = "NAME")]
    pub id: Option<RelaxationId>,
    /// Where decisions are signed: folder for the review [default: reviews/NAME]
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
}

/// `24h`: whole hours. That 72 are the most is for the review to say, with everything else that blocks.
fn hours(text: &str) -> Result<i64, String> {
    let hours = text.strip_suffix('h').and_then(|n| n.parse::<u16>().ok()).filter(|n| *n > 0);
    hours.map(i64::from).ok_or_else(|| "say whole hours, such as 24h".into())
}
