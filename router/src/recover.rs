//! Recovery and replay: a data partition read from its log, with the outputs off or into a sink.
//!
//! This is the loop's own code path with nothing to commit: records and markers are applied by the same [`Engine`], and
//! a marker that brings views into force fills them by the same [`Lane`].

use std::path::Path;
use std::time::Duration;

use kenh_domain::frame::{self, Data, FrameError, Sequence};
use kenh_domain::limits::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS};
use kenh_domain::log::{Log, Position, ReadError, TopicPartition};
use kenh_domain::names::{Dataset, Principal};
use kenh_domain::route::Effects;
use kenh_domain::secret::Secret;
use kenh_domain::topic::{Partition, Topic};

use crate::control::{FollowError, Follower};
use crate::engine::{Engine, EngineError};
use crate::image::{Identity, Image, ImageError};
use crate::lane::Lane;
use crate::metadata::LaneCursor;

/// Why a data partition could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The log failed, or a topic is missing.
    #[error("reading a data partition")]
    Read(#[from] ReadError),
    /// A record in it is not a data record of ours.
    #[error("{of} at position {position}")]
    Frame {
        /// Which partition.
        of: TopicPartition,
        /// Where.
        position: Position,
        /// What is wrong.
        #[source]
        source: FrameError,
    },
    /// A record in it does not follow from those before it.
    #[error("{of}")]
    Engine {
        /// Which partition.
        of: TopicPartition,
        /// What is wrong.
        #[source]
        source: Box<EngineError>,
    },
    /// The control log does not fit its markers.
    #[error("control")]
    Control(#[from] FollowError),
    /// A state image by a newer release.
    #[error("state image")]
    Image(#[source] ImageError),
    /// The log ended before a marker that it held.
    #[error("{of} ended before its marker {marker}")]
    Cut {
        /// Which partition.
        of: TopicPartition,
        /// The marker that was there.
        marker: Sequence,
    },
}

/// What a replay gives to its sink: after each record of the data log, what it wrote to views, and the clock that those
/// view records bear.
pub type Sink<'a> = dyn FnMut(&Effects, i64) + 'a;

/// A data partition as read back.
pub struct Recovered {
    /// As of the end of its log.
    pub engine: Engine,
    /// The end: where the next record will lie.
    pub next: Position,
    /// The lane that was open, with what it has done so far applied.
    pub lane: Option<Lane>,
    /// An image that was there and could not be used.
    pub bad_image: Option<ImageError>,
}

/// Reads a data partition back: from its image in `images` if that is good, else from the start.
///
/// # Errors
/// [`RecoverError`].
pub fn recover(
    log: &dyn Log,
    follower: &mut Follower,
    (dataset, partition): (&Dataset, Partition),
    master: &Secret,
    images: Option<&Path>,
    lane: Option<&LaneCursor>,
) -> Result<Recovered, RecoverError> {
    let of = TopicPartition { topic: Topic::Data(dataset.clone()), partition };
    let bounds = log.bounds(&Principal::router(), &of)?;
    let lane = lane.filter(|l| &l.dataset == dataset && l.partition == partition);
    let mut start = None;
    let mut bad_image = None;
    if let Some(dir) = images {
        let identity = identity(log, master, dataset, partition);
        match Image::read(dir, &identity) {
            Ok(Some(image)) => match from_image(follower, image, master, bounds.start, bounds.end) {
                Ok(good) => start = Some(good),
                Err(what) => bad_image = Some(ImageError::Foreign { path: identity.path(dir), what }),
            },
            Ok(None) => {}
            Err(newer @ ImageError::Newer { .. }) => return Err(RecoverError::Image(newer)),
            Err(bad) => bad_image = Some(bad),
        }
    }
    let (engine, from) =
        start.unwrap_or_else(|| (Engine::new(dataset.clone(), partition, master.clone()), bounds.start));
    let mut replay = Replay { log, follower, of, engine, next: from, lane: None, effects: Effects::default() };
    replay.run(bounds.end, lane, &mut |_, _| {})?;
    Ok(Recovered { engine: replay.engine, next: replay.next.max(bounds.end), lane: replay.lane, bad_image })
}

/// Of which log, secret and partition an image must be.
pub(crate) fn identity(log: &dyn Log, master: &Secret, dataset: &Dataset, partition: Partition) -> Identity {
    Identity::new(log.incarnation(), &master.derive("state"), dataset.clone(), partition)
}

/// The engine of an image, if image, log and control log fit together.
fn from_image(
    follower: &mut Follower,
    image: Image,
    master: &Secret,
    start: Position,
    end: Position,
) -> Result<(Engine, Position), &'static str> {
    let (next, views) = (image.next, image.views.clone());
    if next < start || next > end {
        return Err("extent of the log");
    }
    let control = match &image.marker {
        Some(marker) => follower.at(marker).map_err(|_| "control log")?,
        None => follower.newest().clone(),
    };
    let engine = Engine::from_image(image, control, master.clone()).map_err(|_| "decision engine")?;
    if !engine.plan().map(|p| p.views().collect::<Vec<_>>()).unwrap_or_default().eq(&views) {
        return Err("set of views");
    }
    Ok((engine, next))
}

/// Replays a whole data partition up to its end and gives everything that it writes to views to `sink`, in order.
///
/// # Errors
/// [`RecoverError`].
pub fn replay(
    log: &dyn Log,
    (dataset, partition): (&Dataset, Partition),
    master: &Secret,
    sink: &mut Sink<'_>,
) -> Result<Engine, RecoverError> {
    let of = TopicPartition { topic: Topic::Data(dataset.clone()), partition };
    let bounds = log.bounds(&Principal::router(), &of)?;
    let mut follower = Follower::open(log)?;
    let engine = Engine::new(dataset.clone(), partition, master.clone());
    let mut replay = Replay {
        log,
        follower: &mut follower,
        of,
        engine,
        next: bounds.start,
        lane: None,
        effects: Effects::default(),
    };
    replay.run(bounds.end, None, sink)?;
    Ok(replay.engine)
}

struct Replay<'a> {
    log: &'a dyn Log,
    follower: &'a mut Follower,
    of: TopicPartition,
    engine: Engine,
    next: Position,
    lane: Option<Lane>,
    effects: Effects,
}

impl Replay<'_> {
    fn run(&mut self, end: Position, lane: Option<&LaneCursor>, sink: &mut Sink<'_>) -> Result<(), RecoverError> {
        let mut reader = self.log.reader(&Principal::router(), &[(self.of.clone(), self.next)])?;
        crate::read::to_end(self.next, end, |wait: Duration| {
            let records = reader.poll(MAX_BATCH_RECORDS, MAX_BATCH_BYTES, wait)?;
            let came = !records.is_empty();
            for record in records {
                self.next = Position(record.position.0 + 1);
                self.record(&record.key, record.value.as_deref().unwrap_or_default(), record.position, lane, sink)?;
            }
            self.engine.commit();
            let read = reader.positions().first().copied().unwrap_or(self.next);
            Ok::<_, RecoverError>((came, read.max(self.next)))
        })
    }

    fn record(
        &mut self,
        key: &[u8],
        value: &[u8],
        position: Position,
        lane: Option<&LaneCursor>,
        sink: &mut Sink<'_>,
    ) -> Result<(), RecoverError> {
        let damaged = |source| RecoverError::Frame { of: self.of.clone(), position, source };
        let (sequence, data) = frame::decode(value).map_err(damaged)?;
        let odd = |source| RecoverError::Engine { of: self.of.clone(), source: Box::new(source) };
        match data {
            Data::Change(change) => {
                self.effects.clear();
                self.engine.change(sequence, key, &change, None, &mut self.effects).map_err(odd)?;
                sink(&self.effects, self.engine.clock_ms());
            }
            Data::Marker(marker) => {
                let control = self.follower.at(&marker)?;
                let views = self.engine.mark(sequence, marker, control).map_err(odd)?;
                if views.is_empty() || !self.engine.knows_any() {
                    return Ok(());
                }
                let until = lane.filter(|l| l.marker == sequence).map(|l| l.cursor);
                self.fill(sequence, views, until, sink)?;
            }
        }
        Ok(())
    }

    /// Fills to the end of the lane, or to where it was when its group stopped; then the lane stays open.
    fn fill(
        &mut self,
        marker: Sequence,
        views: Vec<kenh_domain::control::ViewNo>,
        until: Option<Position>,
        sink: &mut Sink<'_>,
    ) -> Result<(), RecoverError> {
        let start = self.log.bounds(&Principal::router(), &self.of)?.start;
        let mut lane = Lane::open(self.log, self.of.clone(), marker, views, start)?;
        loop {
            self.effects.clear();
            let done = lane.go_on(&mut self.engine, &mut self.effects, 1, usize::MAX, until)?;
            sink(&self.effects, self.engine.clock_ms());
            if done {
                return Ok(());
            }
            if until.is_some_and(|until| lane.cursor >= until) {
                self.lane = Some(lane);
                return Ok(());
            }
        }
    }
}
