//! `kenh`: the binary. It reads the command line and the configuration, puts the crates together, and prints.
//!
//! | module | what |
//! |---|---|
//! | [`cli`] | the command line, as typed |
//! | [`config`] | `kenh.yaml` and `KENH_…`, as resolved |
//! | [`commands`] | one file a command |
//! | [`node`] | a node's directory, its running roles, and how other commands reach them |
//! | [`http`] | health, metrics, look-ups, the registry, the log for other commands |
//! | [`status`], [`metrics`], [`telemetry`] | what a node says of itself |
//! | [`output`], [`time`] | printing, and the clock |

mod cli;
mod commands;
mod config;
mod http;
mod metrics;
mod node;
mod output;
mod status;
mod telemetry;
mod time;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use cli::{Cli, Command, New, ReviewCommand, RosterCommand};
use commands::Failure;
use config::Config;
use node::run::RoleSet;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    logs(&cli);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(failure.report()),
    }
}

/// Crates that below `info` log keys and values of records: sled every batch, the client of PostgreSQL the parameters of
/// its statements, the HTTP client every byte that it sends and receives, the node's token too. Whatever `KENH_LOG` asks
/// for, that is not written (invariant 7).
const TELL_ROWS: [&str; 7] = ["sled", "fjall", "lsm_tree", "tokio_postgres", "postgres", "ureq", "ureq_proto"];

/// Log lines go to stderr: as JSON where a program reads (`KENH_LOG_FORMAT=json`), else for people. `KENH_LOG` says
/// which (`info`, `kenh_router=debug`, …); commands other than `up` are quiet but for warnings.
fn logs(cli: &Cli) {
    let long_running = matches!(cli.command, Command::Up | Command::Route | Command::Control | Command::Serve);
    let default = if long_running { "info" } else { "warn" };
    let wanted = std::env::var("KENH_LOG").unwrap_or_else(|_| format!("{default},fjall=warn,lsm_tree=warn,sled=warn"));
    let (filter, wrong) = match tracing_subscriber::EnvFilter::try_new(&wanted) {
        Ok(filter) => (filter, None),
        Err(error) => (tracing_subscriber::EnvFilter::new(default), Some(error)),
    };
    let unsafe_to_log = |of: &tracing::Metadata<'_>| {
        let from = of.target().split("::").next().unwrap_or_default();
        *of.level() > tracing::Level::INFO && TELL_ROWS.contains(&from)
    };
    let registry = tracing_subscriber::registry().with(filter).with(filter_fn(move |of| !unsafe_to_log(of)));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    if std::env::var("KENH_LOG_FORMAT").is_ok_and(|f| f == "json") {
        registry.with(lines.json()).init();
    } else {
        registry.with(lines).init();
    }
    if let Some(error) = wrong {
        tracing::warn!(%error, "KENH_LOG is not understood and was left aside");
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let output = cli.output;
    // These need no node, and no configuration that could be wrong.
    match &cli.command {
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "kenh", &mut std::io::stdout());
            return Ok(());
        }
        Command::New(New::Dataset(new)) => return commands::new_dataset::run(new, output),
        Command::Enroll(enroll) => return commands::enroll::run(enroll, cli.config.as_deref(), output),
        Command::Key(key) => return commands::key::run(key, output),
        Command::Sign(sign) | Command::Review(ReviewCommand::Sign(sign)) => return commands::key::sign(sign, output),
        Command::Roster(sign @ RosterCommand::Sign { .. }) => return commands::roster::sign(sign, output),
        _ => {}
    }
    let mut config = Config::load(cli.config.as_deref(), |name| std::env::var(name).ok())
        .map_err(|e| Failure::Usage(kenh_domain::error::chain(&e)))?;
    match cli.command {
        Command::Demo(demo) => commands::demo::run(&demo, &mut config, output),
        Command::Up => commands::up::run(RoleSet::ALL, &config),
        Command::Route => commands::up::apart(RoleSet::ROUTE, &config),
        Command::Control => commands::up::apart(RoleSet::CONTROL, &config),
        Command::Serve => commands::up::apart(RoleSet::SERVE, &config),
        Command::Status => commands::status::run(&config, output),
        Command::Apply(apply) => commands::apply::run(&apply, &config, output),
        Command::Check(check) => commands::produce::check(&check, &config, output),
        Command::Produce(produce) => commands::produce::run(&produce, &config, output),
        Command::Subscribe(subscribe) => commands::subscribe::run(&subscribe, &config, output),
        Command::View(view) => commands::view::run(&view, &config, output),
        Command::Contract(contract) => commands::show::contract(&contract, &config, output),
        Command::Schema(cli::SchemaCommand::Propose(asked)) => commands::schema::run(&asked, &config, output),
        Command::Schema(schema) => commands::show::schema(&schema, &config, output),
        Command::Review(review) => commands::review::run(&review, &config, output),
        Command::Rule(rule) => commands::rule::run(&rule, &config, output),
        Command::Grant(grant) => commands::grant::run(&grant, &config, output),
        Command::Law(law) => commands::law::run(&law, &config, output),
        Command::Agency(agency) => commands::law::agency(&agency, &config, output),
        Command::Catalog(catalog) => commands::catalog::run(&catalog, &config, output),
        Command::DeadLetter(letter) => commands::dead_letter::run(&letter, &config, output),
        Command::Roster(roster) => commands::roster::run(&roster, &config, output),
        Command::Submit(submit) => commands::roster::submit(&submit, &config, output),
        Command::Doctor(doctor) => commands::doctor::run(&doctor, &config, output),
        Command::Completions { .. } | Command::New(_) | Command::Enroll(_) | Command::Key(_) | Command::Sign(_) => {
            Ok(())
        }
    }
}
