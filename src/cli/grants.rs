//! `kenh grant|law|agency|catalog`, as typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kenh_domain::law::Day;
use kenh_domain::names::{Agency, ArticleId, Dataset, GrantId, Principal, View};

use super::words;

/// `kenh grant …`
#[derive(Debug, Subcommand)]
pub enum GrantCommand {
    /// All grants, ended ones too
    List {
        /// Emergency grants only, with the day by which each is to be reviewed
        #[arg(long)]
        emergency: bool,
    },
    /// One grant, and where it stands
    Show {
        /// Its id
        id: GrantId,
    },
    /// Which rows and fields a grant gives and why; the record key on standard input, or a whole record
    Explain {
        /// Its id
        id: GrantId,
        /// A record of the dataset as JSON, instead of a key
        #[arg(long, value_name = "FILE")]
        record: Option<PathBuf>,
    },
    /// Write a grant to propose
    Request(Box<RequestGrant>),
    /// End a grant now: nothing more is written, access and topic go, the recipient is told to purge
    Revoke(Stop),
    /// Let a grant give nothing until it is resumed; the recipient is told to purge
    Suspend(Stop),
    /// Let a suspended grant go on, in a next edition that is filled anew
    Resume {
        /// Its id
        id: GrantId,
    },
}

/// `kenh grant revoke|suspend`
#[derive(Debug, Args)]
pub struct Stop {
    /// Its id
    pub id: GrantId,
    /// Why, in words; kept in the control log; - reads it from standard input
    #[arg(long, value_name = "TEXT", value_parser = words, default_value = "", hide_default_value = true)]
    pub reason: String,
    /// On a bus whose decisions are signed: where the request to sign is written [default: ID.end.json]
    #[arg(long, value_name = "FILE")]
    pub request: Option<PathBuf>,
}

/// `kenh grant request`
#[derive(Debug, Args)]
#[command(override_usage = "kenh grant request DATASET --recipient AGENCY --purpose TEXT --basis ARTICLE --field PATH")]
pub struct RequestGrant {
    /// Of which dataset
    pub dataset: Dataset,
    /// Who is to receive
    #[arg(long, value_name = "AGENCY")]
    pub recipient: Agency,
    /// Through which of its systems [default: all]
    #[arg(long = "system", value_name = "SYSTEM")]
    pub systems: Vec<Principal>,
    /// For what; - reads it from standard input
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub purpose: String,
    /// An article of law that it rests on; may be given several times
    #[arg(long = "basis", required = true, value_name = "ARTICLE")]
    pub basis: Vec<String>,
    /// A field, by its dotted path; may be given several times
    #[arg(long = "field", required = true, value_name = "PATH")]
    pub fields: Vec<String>,
    /// A file with the row filter [default: all rows]
    #[arg(long, value_name = "FILE")]
    pub filter: Option<PathBuf>,
    /// Show the record key as a pseudonym
    #[arg(long)]
    pub pseudonym: bool,
    /// For how long
    #[arg(long, default_value = "P12M")]
    pub duration: String,
    /// Until the end of this day instead, YYYY-MM-DD
    #[arg(long, value_name = "DAY", conflicts_with = "duration")]
    pub ends: Option<Day>,
    /// Its id [default: recipient and dataset]
    #[arg(long)]
    pub id: Option<GrantId>,
    /// Under which name
    #[arg(long, default_value = "main")]
    pub view: View,
    /// Where it is written [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
}

/// `kenh law …`
#[derive(Debug, Subcommand)]
pub enum LawCommand {
    /// Articles of law on record
    List,
    /// Set the last day of an article: what stands on it ends with that day
    Repeal {
        /// Its id
        id: ArticleId,
        /// Its last day, YYYY-MM-DD
        #[arg(long, value_name = "DAY")]
        until: Day,
        /// Only show what stands on it
        #[arg(long)]
        plan: bool,
        /// On a bus whose decisions are signed: where the request to sign is written [default: ID.law.json]
        #[arg(long, value_name = "FILE")]
        request: Option<PathBuf>,
    },
}

/// `kenh agency …`
#[derive(Debug, Subcommand)]
pub enum AgencyCommand {
    /// Which grants are to be signed again when one agency takes the place of another; changes nothing
    Supersede {
        /// The agency that goes
        old: Agency,
        /// The agency that comes
        new: Agency,
    },
}

/// `kenh catalog`
#[derive(Debug, Args)]
pub struct Catalog {
    /// One dataset with its fields [default: all datasets]
    pub dataset: Option<Dataset>,
}
