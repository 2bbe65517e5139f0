//! Waiting for SIGTERM or Ctrl-C.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// How often a waiting process looks whether its roles still run.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Returns on SIGTERM, on Ctrl-C, or when `done` says so.
///
/// # Errors
/// When signals cannot be had from the system.
pub fn wait(done: impl Fn() -> bool) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut term = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        loop {
            tokio::select! {
                _ = term.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                () = tokio::time::sleep(LOOK_EVERY) => if done() { return Ok(()) },
            }
        }
    })
}
