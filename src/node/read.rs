//! Reading a topic from its start to the end that it has now. A log over a network brings nothing at the first look, so
//! that an empty look is no end: the position says when everything is there.

use std::time::Duration;

use kenh_domain::log::{Log, ReadError, Record, TopicPartition};
use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;

/// How long one look waits.
const WAIT: Duration = Duration::from_millis(100);
/// Records and bytes of one look.
const RECORDS: usize = 1000;
const BYTES: usize = 8 << 20;

/// Gives every record of all partitions of a topic to `each`, in the order of each partition.
///
/// # Errors
/// [`ReadError`].
pub fn all(
    log: &dyn Log,
    principal: &Principal,
    (topic, partitions): (&Topic, u32),
    mut each: impl FnMut(Record),
) -> Result<(), ReadError> {
    let (mut from, mut ends) = (Vec::new(), Vec::new());
    for partition in 0..partitions {
        let of = TopicPartition::new(topic.clone(), partition);
        let bounds = log.bounds(principal, &of)?;
        from.push((of, bounds.start));
        ends.push(bounds.end);
    }
    let mut reader = log.reader(principal, &from)?;
    while reader.positions().iter().zip(&ends).any(|(at, end)| at < end) {
        reader.poll(RECORDS, BYTES, WAIT)?.into_iter().for_each(&mut each);
    }
    Ok(())
}
