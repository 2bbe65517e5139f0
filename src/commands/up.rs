//! `kenh up`, `route`, `control`, `serve`: roles until SIGTERM or Ctrl-C.

use kenh_domain::control::Trust;

use super::Failure;
use crate::config::Config;
use crate::http::Server;
use crate::node::run::{RoleSet, Roles};
use crate::node::{Node, signal};
use crate::output;
use crate::telemetry::Telemetry;

/// Runs roles and serves HTTP.
pub fn run(which: RoleSet, config: &Config) -> Result<(), Failure> {
    let node = Node::open(config)?;
    let mut telemetry = config.otlp.as_deref().map(|to| Telemetry::start(to, which.name())).transpose()?;
    let roles = Roles::start(&node, which, &config.copies)?;
    warn_unsigned(&roles);
    let server = Server::start(&node, &roles, config)?;
    if let (Some(telemetry), Some(to)) = (&mut telemetry, &config.otlp) {
        telemetry.measure(to, which.name(), server.status())?;
    }
    for (key, address) in server.elsewhere() {
        output::note(format_args!("{key}: https://{address}"));
    }
    output::note(format_args!("kenh serves {} on http://{}", node.dir.display(), server.address()));
    let served = serve(roles, server);
    if let Some(telemetry) = telemetry {
        telemetry.stop();
    }
    served
}

/// Runs some of the roles, which only a log that takes more than one process allows.
pub fn apart(which: RoleSet, config: &Config) -> Result<(), Failure> {
    if config.kafka.is_none() {
        return Err(Failure::Usage(
            "on the embedded log all roles run in one process: kenh up. Roles run apart on a Kafka cluster \
             (kafka.bootstrap in kenh.yaml)"
                .into(),
        ));
    }
    run(which, config)
}

/// Serves until a signal comes or a role fails, then stops everything in order.
pub fn serve(roles: Roles, server: Server) -> Result<(), Failure> {
    let waited = signal::wait(|| roles.stopping());
    tracing::info!("stopping");
    server.stop();
    roles.stop()?;
    Ok(waited?)
}

/// Invariant 9: an unsigned node says so at every start.
pub fn warn_unsigned(roles: &Roles) {
    if !matches!(roles.control.get().trust, Some(Trust::Root(_))) {
        output::note(
            "kenh: this bus is unsigned: whoever holds its directory can read everything and grant himself anything.\n\
             kênh: trục này không có chữ ký: ai giữ thư mục dữ liệu đều đọc được tất cả và tự cấp quyền được.",
        );
    }
}
