//! What tests of the binary from outside share: waiting for a state, and starting a program that knows nothing of us.

use std::process::Command;
use std::time::{Duration, Instant};

/// Looks at a state until it is there.
///
/// # Panics
/// When it is not there after `patience`.
pub fn until<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < patience, "waited {patience:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Takes what configures Kênh or its telemetry out of the environment that a program would get from us.
pub fn without_our_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if ["KENH_", "OTEL_"].iter().any(|ours| name.to_string_lossy().starts_with(ours)) {
            command.env_remove(name);
        }
    }
}
