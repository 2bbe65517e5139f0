//! `kenh enroll …`: how a system of an agency, or a role, comes by its certificate (docs/boundary.md). Only `admit` needs
//! the bus, a cluster or the directory of a node; the rest is done on whatever machine the files lie on.
//!
//! A private key is written once, for its owner alone, and never over another file. The CA's register is written and synced
//! before a certificate is, so that no serial is given twice.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use kenh_domain::identity::{Identity, Serial};
use kenh_domain::names::Principal;
use kenh_governance::enroll::{Authority, Issued, Register, Request, SignError, host, request};
use serde_json::json;

use super::Failure;
use crate::cli::{EnrollCommand, EnrollSign, Output};
use crate::config::Config;
use crate::node::Node;
use crate::output;
use crate::time::now_ms;

/// A file that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{file} cannot be {doing}")]
struct FileError {
    file: PathBuf,
    doing: &'static str,
    source: std::io::Error,
}

fn read(file: &Path) -> Result<String, FileError> {
    fs::read_to_string(file).map_err(|source| FileError { file: file.into(), doing: "read", source })
}

/// Writes a file that must not be there yet.
fn write_new(file: &Path, mode: u32, text: &str) -> Result<(), FileError> {
    let wrong = |source| FileError { file: file.into(), doing: "written (an existing one is never replaced)", source };
    let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(file).map_err(wrong)?;
    out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).map_err(wrong)
}

/// `kenh enroll …`
pub fn run(command: &EnrollCommand, config: Option<&Path>, output: Output) -> Result<(), Failure> {
    match command {
        EnrollCommand::Ca { out, name } => ca(out, name, output),
        EnrollCommand::Request { system, out } => ask(system, out, output),
        EnrollCommand::Sign(asked) => sign(asked, output),
        EnrollCommand::Admit { system, serials } => admit(system, serials, config, output),
    }
}

fn ca(out: &Path, name: &str, output: Output) -> Result<(), Failure> {
    let (key, certificate) = Authority::make(name, now_ms())?;
    let wrong = |source| FileError { file: out.into(), doing: "made", source };
    fs::create_dir_all(out).map_err(wrong)?;
    write_new(&out.join("ca.key"), 0o600, &key)?;
    write_new(&out.join("ca.pem"), 0o644, &certificate)?;
    write_new(&out.join("issued.jsonl"), 0o600, "")?;
    match output {
        Output::Json => output::json(&json!({ "certificate": out.join("ca.pem") })),
        Output::Table => output::line(out.join("ca.pem").display()),
    }
    output::note(
        "whoever has ca.key makes certificates for every system: keep it off the network, and a copy of it all",
    );
    Ok(())
}

fn ask(system: &Principal, out: &Path, output: Output) -> Result<(), Failure> {
    let made = request(system)?;
    let (key, file) = (out.join(format!("{system}.key")), out.join(format!("{system}.csr")));
    write_new(&key, 0o600, &made.key_pem)?;
    write_new(&file, 0o644, &made.request_pem)?;
    match output {
        Output::Json => output::json(&json!({
            "system": system, "request": file, "key": key, "fingerprint": made.fingerprint.to_string(),
        })),
        Output::Table => output::line(made.fingerprint),
    }
    output::note(format_args!(
        "send {} to the operator, and read him these digits over the telephone; the key stays here",
        file.display()
    ));
    Ok(())
}

fn sign(asked: &EnrollSign, output: Output) -> Result<(), Failure> {
    let hosts = asked.hosts.iter().map(|name| host(name)).collect::<Result<Vec<_>, _>>();
    let hosts = hosts.map_err(|e| Failure::Usage(e.to_string()))?;
    let authority = Authority::open(&read(&asked.ca.join("ca.key"))?, &read(&asked.ca.join("ca.pem"))?)?;
    let request = Request::read(&read(&asked.request)?)?;
    let register = asked.ca.join("issued.jsonl");
    let serial = Register::read(&read(&register)?)?.next(request.system())?;
    let (system, now) = (request.system().clone(), now_ms());
    let signed = authority.sign(request, &asked.fingerprint, serial, &hosts, now, asked.days);
    let certificate = match signed {
        Err(error @ (SignError::Fingerprint | SignError::Days(_))) => {
            output::note(format_args!("kenh: {error}"));
            return Err(Failure::Rejected);
        }
        signed => signed?,
    };
    let fingerprint = asked.fingerprint.to_string();
    let issued = Issued { format: 1, system: system.clone(), serial, fingerprint, at_ms: now, days: asked.days };
    let wrong = |source| FileError { file: register.clone(), doing: "written", source };
    let mut out = fs::OpenOptions::new().append(true).open(&register).map_err(wrong)?;
    out.write_all(issued.line().as_bytes()).and_then(|()| out.sync_all()).map_err(wrong)?;
    let file = asked.out.join(format!("{system}.{serial}.pem"));
    write_new(&file, 0o644, &certificate)?;
    let identity = Identity { system, serial };
    match output {
        Output::Json => output::json(&json!({
            "system": identity.system, "serial": serial, "subject": identity.to_string(), "certificate": file,
            "days": asked.days,
        })),
        Output::Table => output::line(format_args!("{identity}  {}", file.display())),
    }
    output::note(format_args!(
        "send it back with ca.pem; `kenh enroll admit {} {serial}` puts it in force",
        identity.system
    ));
    Ok(())
}

fn admit(system: &Principal, serials: &[u32], config: Option<&Path>, output: Output) -> Result<(), Failure> {
    let serials = serials.iter().map(|n| Serial::new(*n)).collect::<Result<_, _>>();
    let serials = serials.map_err(|e| Failure::Usage(e.to_string()))?;
    let config = Config::load(config, |name| std::env::var(name).ok())
        .map_err(|e| Failure::Usage(kenh_domain::error::chain(&e)))?;
    let log = Node::log(&config)?;
    log.set_serials(system, &serials)?;
    let in_force: Vec<_> = log.serials(system)?.into_iter().map(Serial::get).collect();
    match output {
        Output::Json => output::json(&json!({ "system": system, "inForce": in_force })),
        Output::Table => output::line(format_args!("{system}: in force {in_force:?}")),
    }
    Ok(())
}
