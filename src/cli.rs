//! The command line, as typed.

mod grants;
mod rules;

use std::io::{self, Read as _};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use kenh_domain::limits::MAX_REASON_BYTES;
use kenh_domain::names::{Agency, Dataset, Person, Principal, ProposalId, View};
use kenh_domain::trust::PublicKey;
use kenh_governance::enroll::Fingerprint;
use kenh_governance::trust::BusId;

use crate::config::StoreKind;

pub use grants::{AgencyCommand, Catalog, GrantCommand, LawCommand, RequestGrant, Stop};
pub use rules::{RelaxRule, RuleCommand};

/// Kênh: an event-streaming data-sharing bus for government agencies.
///
/// Not there yet: sealing and erasure, the ledger and replay exports, sources that Kênh polls.
#[derive(Debug, Parser)]
#[command(name = "kenh", version, max_term_width = 110)]
pub struct Cli {
    /// Configuration file [default: kenh.yaml where it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How results are printed; JSON goes to stdout and is stable, messages go to stderr
    #[arg(long, global = true, value_enum, default_value_t)]
    pub output: Output,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// What `kenh` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Reform day of 1 July 2025 on real data, through every role, in this process
    Demo(Demo),
    /// Run all roles until SIGTERM or Ctrl-C: router, control, copies, HTTP
    Up,
    /// Run the router alone, on a Kafka cluster
    Route,
    /// Run the control role alone, on a Kafka cluster; there is one
    Control,
    /// Run copies and HTTP alone, on a Kafka cluster
    Serve,
    /// Roles, lag, copies and freshness
    Status,
    /// Start something new
    #[command(subcommand)]
    New(New),
    /// Show what declared state would change, then make it so; running it again changes nothing
    Apply(Apply),
    /// Validate records offline; nothing is sent
    Check(Check),
    /// Submit records as a provider
    Produce(Produce),
    /// Keep an agency's copies up to date until Ctrl-C, or until they are complete with --once
    Subscribe(Subscribe),
    /// Look into an agency's copies
    #[command(subcommand)]
    View(ViewCommand),
    /// Contracts in force
    #[command(subcommand)]
    Contract(ContractCommand),
    /// Schemas with their ids
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// What is put to the vote: contracts, grants and relaxations of rules
    #[command(subcommand)]
    Review(ReviewCommand),
    /// Rules that warn for some hours where they would reject
    #[command(subcommand)]
    Rule(RuleCommand),
    /// Grants
    #[command(subcommand)]
    Grant(GrantCommand),
    /// Articles of law that grants stand on
    #[command(subcommand)]
    Law(LawCommand),
    /// Agencies that take each other's place
    #[command(subcommand)]
    Agency(AgencyCommand),
    /// Which datasets there are, what is in them, and how to ask
    Catalog(Catalog),
    /// Keys of persons
    #[command(subcommand)]
    Key(KeyCommand),
    /// Who may decide, signed by the root
    #[command(subcommand)]
    Roster(RosterCommand),
    /// Sign an event that somebody else has prepared; needs no node and no configuration
    Sign(Sign),
    /// Hand in events that others have signed
    Submit(Submit),
    /// Changes that a rule rejected
    #[command(subcommand)]
    DeadLetter(DeadLetterCommand),
    /// Certificates of systems and roles
    #[command(subcommand)]
    Enroll(EnrollCommand),
    /// Check this node's configuration and health, one line a check
    Doctor(Doctor),
    /// Print a completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

/// `kenh doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// What a Kafka cluster is held to
    #[arg(long, value_enum, default_value_t)]
    pub profile: Profile,
}

/// What a cluster is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Profile {
    /// A laptop, a test, a trial
    #[default]
    Trial,
    /// Data of agencies: three replicas, a closed boundary; whatever is found is red
    Production,
}

impl From<Profile> for kenh_broker::kafka::cluster::Profile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Trial => Self::Trial,
            Profile::Production => Self::Production,
        }
    }
}

/// `kenh enroll …`
#[derive(Debug, Subcommand)]
pub enum EnrollCommand {
    /// Make the bus's CA: its key, its certificate, and the register of what it signs
    Ca {
        /// The folder, which must hold none
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// What it is called in its certificate
        #[arg(long, default_value = "kenh CA")]
        name: String,
    },
    /// Make a key and a request on the system's own machine; prints the fingerprint to be read to the operator
    Request {
        /// The system, such as h29-portal, or a role, such as kenh-router
        system: Principal,
        /// Where key and request are written
        #[arg(long, value_name = "FOLDER", default_value = ".")]
        out: PathBuf,
    },
    /// Sign a request whose fingerprint was confirmed
    Sign(EnrollSign),
    /// Put certificates of a system in force, and no others; none closes the bus to it
    Admit {
        /// The system or role
        system: Principal,
        /// Serials that are in force from now on
        serials: Vec<u32>,
    },
}

/// `kenh enroll sign`
#[derive(Debug, Args)]
pub struct EnrollSign {
    /// The request
    #[arg(value_name = "FILE.csr")]
    pub request: PathBuf,
    /// The folder of the CA
    #[arg(long, value_name = "FOLDER")]
    pub ca: PathBuf,
    /// The fingerprint as whoever made the request read it to you: not copied from the file
    #[arg(long, value_name = "DIGITS")]
    pub fingerprint: Fingerprint,
    /// Days that the certificate lives, 90 at most
    #[arg(long, default_value_t = 90)]
    pub days: u16,
    /// A name or address that it listens as; again for each (brokers and HTTP listeners only)
    #[arg(long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Where the certificate is written
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub out: PathBuf,
}

/// `kenh demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// Stop when everything has arrived, instead of staying up and serving
    #[arg(long)]
    pub once: bool,
    /// Delete the demo's data directory first
    #[arg(long)]
    pub reset: bool,
    /// How many synthetic people live in the demo
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    pub citizens: u64,
    /// Seed of the synthetic people
    #[arg(long, default_value_t = 2025, value_name = "N")]
    pub seed: u64,
    /// What the copies are kept in
    #[arg(long, value_enum, default_value_t)]
    pub store: StoreKind,
    /// What the log is: the directory, or the Kafka cluster that kafka.bootstrap names (scripts/demo starts one)
    #[arg(long, value_enum, default_value_t)]
    pub log: LogKind,
}

/// What a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogKind {
    /// A directory.
    #[default]
    Embedded,
    /// A Kafka cluster.
    Kafka,
}

/// `kenh new …`
#[derive(Debug, Subcommand)]
pub enum New {
    /// A first contract, schema, mapping and grant from one's own data
    Dataset(NewDataset),
}

/// `kenh new dataset`
#[derive(Debug, Args)]
pub struct NewDataset {
    /// A CSV file with a header line
    #[arg(long, value_name = "FILE.csv")]
    pub from: PathBuf,
    /// Name of the dataset [default: the file's name]
    #[arg(long)]
    pub name: Option<Dataset>,
    /// The agency that provides it
    #[arg(long, default_value = "my-agency")]
    pub provider: Agency,
    /// The agency that receives it
    #[arg(long, default_value = "my-reader")]
    pub recipient: Agency,
    /// The columns of the record key, separated by commas [default: the first column that is unique]
    #[arg(long, value_delimiter = ',')]
    pub key: Vec<String>,
    /// The folder that gets schemas/ and broker-config/
    #[arg(long, default_value = ".")]
    pub into: PathBuf,
}

/// `kenh apply`
#[derive(Debug, Args)]
pub struct Apply {
    /// Files and folders of declared state, such as: schemas broker-config
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Only show what would change
    #[arg(long)]
    pub plan: bool,
    /// Where decisions are signed: write what lacks only signatures to this folder, for `kenh sign` and `kenh submit`
    #[arg(long, value_name = "FOLDER")]
    pub to_sign: Option<PathBuf>,
}

/// Where records come from and what they look like.
#[derive(Debug, Args)]
pub struct Source {
    /// The dataset
    pub dataset: Dataset,
    /// File to read, or - for standard input
    #[arg(long, value_name = "FILE|-")]
    pub from: PathBuf,
    /// What is in it [default: by the file's ending]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Mapping of CSV columns to fields [default: mapping.yaml beside the contract in schemas/, where it exists]
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// The providing agency [default: the one whose certificate is shown, else the contract's only one]
    #[arg(long = "as", value_name = "AGENCY")]
    pub provider: Option<Agency>,
    /// Write what was rejected to this file (.jsonl or .csv)
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Formats that can be submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A JSON object a line: a bare record or an envelope
    Jsonl,
    /// Comma-separated values with a mapping
    Csv,
    /// Avro object container file
    Avro,
    /// National envelope as one JSON document, single or batch
    Envelope,
}

/// `kenh check`
#[derive(Debug, Args)]
pub struct Check {
    /// Where from
    #[command(flatten)]
    pub source: Source,
}

/// `kenh produce`
#[derive(Debug, Args)]
pub struct Produce {
    /// Where from
    #[command(flatten)]
    pub source: Source,
    /// Name of the submission, for receipts and reports [default: a new random one]
    #[arg(long)]
    pub submission: Option<String>,
    /// Version of bare records that carry none
    #[arg(long, default_value_t = 1)]
    pub record_version: u64,
    /// Seconds to wait for receipts
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub timeout: u64,
}

/// `kenh subscribe`
#[derive(Debug, Args)]
pub struct Subscribe {
    /// Whose copies
    pub agency: Agency,
    /// What they are kept in
    #[arg(long, value_enum, default_value_t)]
    pub store: StoreKind,
    /// As which of its systems [default: the one whose certificate is shown, else the first]
    #[arg(long = "as", value_name = "SYSTEM")]
    pub system: Option<Principal>,
    /// Stop when the copies hold everything that is available now
    #[arg(long)]
    pub once: bool,
}

/// Which view of which agency.
#[derive(Debug, Args)]
pub struct Which {
    /// Whose copy
    pub agency: Agency,
    /// Of which dataset
    pub dataset: Dataset,
    /// Which view of it
    #[arg(long, default_value = "main")]
    pub view: View,
    /// What the copy is kept in [default: what kenh.yaml names for the agency, else where there is one]
    #[arg(long, value_enum)]
    pub store: Option<StoreKind>,
}

/// `kenh view …`
#[derive(Debug, Subcommand)]
pub enum ViewCommand {
    /// One record; its key is read from standard input, one a line, so that it shows in no process list
    Get {
        /// Which view
        #[command(flatten)]
        which: Which,
    },
    /// Records in the order of their keys
    List {
        /// Which view
        #[command(flatten)]
        which: Which,
        /// At most so many
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Which page of so many, from 1 (a cursor would show a record key in the process list)
        #[arg(long, default_value_t = 1)]
        page: usize,
    },
    /// The whole view into a file
    Export {
        /// Which view
        #[command(flatten)]
        which: Which,
        /// Where to; - for standard output
        #[arg(long, default_value = "-", value_name = "FILE|-")]
        to: PathBuf,
        /// How [default: by the file's ending, else jsonl]
        #[arg(long, value_enum)]
        format: Option<ExportFormat>,
    },
    /// Records that a row filter holds for; it is read from standard input
    Search {
        /// Which view
        #[command(flatten)]
        which: Which,
        /// At most so many
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// The digest of the view, to compare with others
    Digest {
        /// Which view
        #[command(flatten)]
        which: Which,
    },
}

/// Formats of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A JSON object a line
    Jsonl,
    /// Comma-separated values
    Csv,
    /// Avro object container file
    Avro,
}

/// `kenh contract …`
#[derive(Debug, Subcommand)]
pub enum ContractCommand {
    /// All contracts
    List,
    /// One contract with its fields
    Show {
        /// Of which dataset
        dataset: Dataset,
    },
}

/// `kenh schema …`
#[derive(Debug, Subcommand)]
pub enum SchemaCommand {
    /// All schemas
    List,
    /// The text of one
    Show {
        /// Its id
        id: u32,
    },
    /// Check a changed contract against everything in force, write its review, and put it to the vote
    Propose(ProposeSchema),
}

/// `kenh schema propose`
#[derive(Debug, Args)]
pub struct ProposeSchema {
    /// The dataset
    pub dataset: Dataset,
    /// The folder of the contract [default: schemas/DATASET]
    #[arg(long, value_name = "FOLDER")]
    pub from: Option<PathBuf>,
    /// How it is put to the vote
    #[command(flatten)]
    pub ballot: BallotArgs,
}

/// How something is put to the vote.
#[derive(Debug, Args)]
pub struct BallotArgs {
    /// Who proposes it; they do not approve it
    #[arg(long, value_name = "PERSON")]
    pub author: Person,
    /// Name of the proposal [default: made of what is proposed]
    #[arg(long, value_name = "NAME")]
    pub id: Option<ProposalId>,
    /// Days for which votes count
    #[arg(long, default_value_t = 14, value_name = "N")]
    pub days: u16,
    /// Folder for the review [default: reviews/NAME]
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
}

/// `kenh review …`
#[derive(Debug, Subcommand)]
pub enum ReviewCommand {
    /// Everything that was put to the vote, and what it still lacks
    List,
    /// The page of a review, if it is the one that was put to the vote
    Show {
        /// The proposal
        id: ProposalId,
        /// Folder of the review [default: reviews/NAME]
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
        /// In which form
        #[arg(long, value_enum, default_value_t)]
        format: PageFormat,
        /// In which language
        #[arg(long, value_enum, default_value_t)]
        lang: Language,
    },
    /// Check a declared grant against everything in force, write its review, and put it to the vote
    Grant(ProposeGrant),
    /// Sign a proposal or a vote; the same as kenh sign, and needs no node and no configuration either
    Sign(Sign),
    /// Approve a proposal, as owner or data-protection officer
    Approve(Cast),
    /// Refuse a proposal, with a reason
    Refuse(Cast),
    /// Take a grant up, as its recipient
    TakeUp(Cast),
    /// Say whether a subscriber who is hit is for it; this is kept, and decides nothing
    Advise {
        /// The vote
        #[command(flatten)]
        cast: Cast,
        /// Against it
        #[arg(long)]
        against: bool,
    },
}

/// `kenh review grant`
#[derive(Debug, Args)]
pub struct ProposeGrant {
    /// The grant's file
    #[arg(long, value_name = "FILE.yaml")]
    pub from: PathBuf,
    /// The file of the template that it names, or a folder with it; its bounds stand on the page
    #[arg(long, value_name = "PATH")]
    pub template: Option<PathBuf>,
    /// About how many records the dataset has, for the page
    #[arg(long, value_name = "N")]
    pub records: Option<u64>,
    /// About how many of them the grant gives, for the page
    #[arg(long, value_name = "N")]
    pub view_records: Option<u64>,
    /// How it is put to the vote
    #[command(flatten)]
    pub ballot: BallotArgs,
}

/// A vote.
#[derive(Debug, Args)]
pub struct Cast {
    /// The proposal
    pub id: ProposalId,
    /// Whose vote it is
    #[arg(long = "as", value_name = "PERSON")]
    pub person: Person,
    /// Why; a refusal has a reason; - reads it from standard input
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: Option<String>,
    /// The article of law that a refusal rests on, as grants cite it; that of a grant has one
    #[arg(long, value_name = "TEXT")]
    pub article: Option<String>,
    /// Folder of the review [default: reviews/NAME]
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
}

/// Forms of a review's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PageFormat {
    /// Markdown
    #[default]
    Md,
    /// HTML
    Html,
}

/// Languages of a review's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Language {
    /// Vietnamese
    #[default]
    Vi,
    /// English
    En,
}

/// `kenh key …`
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key, sealed under a passphrase, and print its public half for the roster
    New {
        /// Whose
        #[command(flatten)]
        whose: Whose,
        /// The file to make; a file that is there is never written over
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Where the passphrase is, as file:PATH or env:NAME [default: asked at the terminal]
        #[arg(long, value_name = "REF")]
        passphrase: Option<String>,
    },
    /// Whose a key is, and its public half
    Show {
        /// A key file
        key: PathBuf,
    },
    /// Name the key that may replace the root's, should that be lost: an event signed with both, for `kenh submit`
    Spare {
        /// The root's key file
        #[arg(long, value_name = "FILE")]
        root: PathBuf,
        /// The file of the spare key, made with `kenh key new --root`
        #[arg(long, value_name = "FILE")]
        spare: PathBuf,
        /// The file of the spare key so far, where there is one
        #[arg(long, value_name = "FILE")]
        before: Option<PathBuf>,
        /// The bus, as `kenh roster show` prints it
        #[arg(long)]
        bus: BusId,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Where the passphrase of all of them is, as file:PATH or env:NAME [default: asked at the terminal]
        #[arg(long, value_name = "REF")]
        passphrase: Option<String>,
        /// Days within which it is handed in
        #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u8).range(1..=90))]
        days: u8,
    },
    /// Change one's key (or the root's) for another: an event signed with both, for `kenh submit`
    ///
    /// A root that is lost is replaced likewise, from the spare key.
    Rotate {
        /// The file of the key that ends; of the spare, which goes on, where the root is lost
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The file of the one that takes its place
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// The bus, as `kenh roster show` prints it
        #[arg(long)]
        bus: BusId,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Where the passphrase of both is, as file:PATH or env:NAME [default: asked at the terminal]
        #[arg(long, value_name = "REF")]
        passphrase: Option<String>,
        /// Days within which it is handed in
        #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u8).range(1..=90))]
        days: u8,
    },
}

/// Whose a new key is.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Whose {
    /// A person, as the roster will name them
    #[arg(long)]
    pub person: Option<Person>,
    /// The root, which signs rosters and is kept offline
    #[arg(long)]
    pub root: bool,
}

/// `kenh roster …`
#[derive(Debug, Subcommand)]
pub enum RosterCommand {
    /// Begin a new bus whose decisions must be signed, for ever
    Found {
        /// The root's public key, as `kenh key new --root` prints it
        #[arg(long, value_name = "KEY")]
        root: PublicKey,
    },
    /// Who may decide now, and what this bus is called in signatures
    Show,
    /// Sign a roster with the root's key; needs no node and no configuration
    Sign {
        /// The roster as YAML
        file: PathBuf,
        /// The root's key file
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The bus, as `kenh roster found` printed it
        #[arg(long)]
        bus: BusId,
        /// The file to write, for `kenh submit`
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Days within which it is handed in
        #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u8).range(1..=90))]
        days: u8,
        /// Where the passphrase is, as file:PATH or env:NAME [default: asked at the terminal]
        #[arg(long, value_name = "REF")]
        passphrase: Option<String>,
    },
}

/// `kenh sign`
#[derive(Debug, Args)]
pub struct Sign {
    /// The event to sign; it gets one more signature
    pub file: PathBuf,
    /// One's key file
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Days within which it is handed in
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u8).range(1..=90))]
    pub days: u8,
    /// Where the passphrase is, as file:PATH or env:NAME [default: asked at the terminal]
    #[arg(long, value_name = "REF")]
    pub passphrase: Option<String>,
}

/// `kenh submit`
#[derive(Debug, Args)]
pub struct Submit {
    /// Signed events, in the order in which they count
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
}

/// `kenh dead-letter …`
#[derive(Debug, Subcommand)]
pub enum DeadLetterCommand {
    /// Rejected changes, newest last
    List {
        /// Of which dataset
        dataset: Dataset,
        /// At most so many, the newest
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// One rejected change with what to do about it
    Show {
        /// Of which dataset
        dataset: Dataset,
        /// Where it lies, as the list prints it: provider/partition/position
        letter: String,
    },
}

/// What somebody says in words; `-`: standard input, since arguments stand in the list of processes for every user of the
/// machine. No more than is ever accepted is read.
fn words(text: &str) -> Result<String, String> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let most = u64::try_from(MAX_REASON_BYTES).unwrap_or(u64::MAX);
    let mut said = String::new();
    let read = io::stdin().lock().take(most + 1).read_to_string(&mut said);
    read.map_err(|e| format!("standard input: {e}"))?;
    let said = said.trim();
    if said.is_empty() {
        return Err("standard input is empty".into());
    }
    if said.len() > MAX_REASON_BYTES {
        return Err(format!("standard input has more than {MAX_REASON_BYTES} bytes"));
    }
    Ok(said.to_owned())
}
