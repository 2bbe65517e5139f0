//! Reading a partition to an end that was seen before.

use std::time::{Duration, Instant};

use kenh_domain::log::Position;

/// How long a log that says it has more may give nothing before it is taken at its word that it has not: positions
/// are sparse, so the end may lie behind the last record (the seam's documentation). A log on this machine is exact
/// about its end and never makes us wait.
pub(crate) const SILENCE: Duration = Duration::from_secs(2);

/// Calls `poll` with a time to wait until the position that it gives back has reached `end`, or nothing came for
/// [`SILENCE`].
///
/// # Errors
/// Those of `poll`.
pub fn to_end<E>(
    mut at: Position,
    end: Position,
    mut poll: impl FnMut(Duration) -> Result<(bool, Position), E>,
) -> Result<(), E> {
    let mut quiet_since = Instant::now();
    while at < end {
        let (came, position) = poll(SILENCE / 10)?;
        at = position;
        if came {
            quiet_since = Instant::now();
        } else if quiet_since.elapsed() >= SILENCE {
            break;
        }
    }
    Ok(())
}
