//! A [`ViewStore`] over any ordered key-value store that writes several keys in one atomic durable step: what sled and
//! fjall have in common. Keys and values are laid out as [`super::layout`] says.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use kenh_domain::filter::Atom;
use kenh_domain::log::StorageError;
use kenh_domain::notice::ViewCard;
use kenh_domain::schema::{Schema, Spans};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::index::{self, Indexer};
use super::layout::{self, Head, HeadState, Place};
use super::{Batch, Counters, FORMAT, Generation, GenerationInfo, Progress, Snapshot, StoreError, ViewStore, Visit};

/// Keys deleted in one step while a generation is removed: bounds memory and how long readers wait.
const DELETE_AT_ONCE: usize = 10_000;

/// A change of one key: its new value, or none to delete it.
pub type Put = (Vec<u8>, Option<Bytes>);

/// Bytes that rows leave free on the file system: for what a store writes in the background, for notes, and for removing
/// rows, which must not wait for room.
const RESERVE_BYTES: u64 = 64 << 20;
/// Bytes that everything else leaves free: a store that meets a full disk in the middle of a write has to be opened again,
/// for which it needs room, and cannot be read until then.
const LAST_BYTES: u64 = 8 << 20;

/// Whether changes leave `leave` bytes free on the file system of `dir`.
fn room(dir: &Path, changes: &[Put], leave: u64) -> Result<(), StorageError> {
    let stat = rustix::fs::statvfs(dir)?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let bytes: usize = changes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len)).sum();
    // Once in a journal, once where they stay.
    let needed = (bytes as u64).saturating_mul(2).saturating_add(leave);
    if free >= needed {
        return Ok(());
    }
    let (free, needed) = (free >> 20, needed.div_ceil(1 << 20));
    Err(format!("its file system has {free} MiB free, and {needed} are needed: make room").into())
}

/// What a view says that was made before a write failed and is used afterwards.
pub const CLOSED: &str = "a write failed meanwhile";

/// An ordered key-value store.
pub trait Kv: Send + Sync {
    /// Makes all changes in one atomic durable step. Keys are sorted and occur once.
    ///
    /// # Errors
    /// Whatever failed; all of it happened or none, and the next view shows which.
    fn write(&self, changes: Vec<Put>) -> Result<(), StorageError>;

    /// One state to read from.
    ///
    /// # Errors
    /// When a write failed before, and it cannot be opened again.
    fn view(&self) -> Result<Box<dyn KvView + '_>, StorageError>;
}

/// One state of an ordered key-value store.
pub trait KvView {
    /// The value of a key.
    ///
    /// # Errors
    /// Whatever failed.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError>;

    /// Visits keys from `start` to before `end`, in order, until the visitor breaks.
    ///
    /// # Errors
    /// Whatever failed.
    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError>;
}

/// A store of copies over a key-value store.
pub struct KvStore<K> {
    kv: K,
    /// Where its files lie.
    dir: PathBuf,
    /// Held by whoever writes.
    writer: Mutex<()>,
    /// Heads as last read, by the bytes they were read from: they change rarely and are asked for with every look-up.
    known: Mutex<BTreeMap<Generation, (Bytes, Arc<Known>)>>,
}

/// A head, ready for use.
struct Known {
    head: Head,
    indexer: Indexer,
}

fn failed(doing: &'static str) -> impl FnOnce(StorageError) -> StoreError {
    move |source| StoreError::Storage { doing, source }
}

fn from_json<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|_| StoreError::Damaged { what })
}

fn to_json<T: Serialize>(value: &T) -> Result<Bytes, StoreError> {
    let bytes = serde_json::to_vec(value);
    bytes.map(Bytes::from).map_err(|e| StoreError::Storage { doing: "encode a generation", source: e.into() })
}

impl<K: Kv> KvStore<K> {
    /// Over a key-value store in `dir` that is new or was written by this release or an earlier one. Finishes what a
    /// discarding has left.
    pub(super) fn new(kv: K, dir: &Path) -> Result<Self, StoreError> {
        let store = Self { kv, dir: dir.to_owned(), writer: Mutex::default(), known: Mutex::default() };
        let format = store.view()?.get(layout::FORMAT_KEY).map_err(failed("read its format"))?;
        match format {
            None => {
                let mut empty = true;
                let mut any = |_: &[u8], _: &[u8]| {
                    empty = false;
                    ControlFlow::Break(())
                };
                store.view()?.scan(&[], &[0xff], &mut any).map_err(failed("be read"))?;
                if !empty {
                    return Err(StoreError::Damaged { what: "its format number" });
                }
                let format = Bytes::copy_from_slice(&FORMAT.to_be_bytes());
                store.write("be made", vec![(layout::FORMAT_KEY.to_vec(), Some(format))])?;
            }
            Some(bytes) => {
                let wrong = StoreError::Damaged { what: "its format number" };
                let found = u32::from_be_bytes(bytes.as_ref().try_into().map_err(|_| wrong)?);
                if found > FORMAT {
                    return Err(StoreError::Newer { found });
                }
            }
        }
        for (generation, head) in store.heads()? {
            if head.state == HeadState::Discarded {
                store.remove(generation)?;
            }
        }
        Ok(store)
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        // What is written is written in one step: a holder that panicked has left nothing half done.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self) -> Result<Box<dyn KvView + '_>, StoreError> {
        self.kv.view().map_err(failed("be opened again"))
    }

    /// Makes changes that are small, or remove.
    fn write(&self, doing: &'static str, changes: Vec<Put>) -> Result<(), StoreError> {
        self.write_and_leave(LAST_BYTES, doing, changes)
    }

    fn write_and_leave(&self, free: u64, doing: &'static str, changes: Vec<Put>) -> Result<(), StoreError> {
        room(&self.dir, &changes, free).and_then(|()| self.kv.write(changes)).map_err(failed(doing))
    }

    fn heads(&self) -> Result<Vec<(Generation, Head)>, StoreError> {
        heads(&*self.view()?)
    }

    /// Deletes the contents of a generation, and at the end its head and place.
    fn remove(&self, generation: Generation) -> Result<(), StoreError> {
        for (start, end) in layout::contents(generation) {
            loop {
                let mut keys: Vec<Put> = Vec::new();
                let mut collect = |key: &[u8], _: &[u8]| {
                    keys.push((key.to_vec(), None));
                    if keys.len() < DELETE_AT_ONCE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                };
                self.view()?.scan(&start, &end, &mut collect).map_err(failed("read a generation to remove it"))?;
                if keys.is_empty() {
                    break;
                }
                self.write("remove a generation", keys)?;
            }
        }
        let rest = vec![(layout::head(generation), None), (layout::place(generation), None)];
        self.write("remove a generation", rest)
    }

    /// The head of a generation that is there.
    fn known(&self, view: &dyn KvView, generation: Generation) -> Result<Arc<Known>, StoreError> {
        let stored = view.get(&layout::head(generation)).map_err(failed("read a generation"))?;
        let mut cache = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stored) = stored else {
            cache.remove(&generation);
            return Err(StoreError::Missing(generation));
        };
        if let Some((bytes, known)) = cache.get(&generation)
            && *bytes == stored
        {
            return Ok(known.clone());
        }
        let head: Head = from_json("the head of a generation", &stored)?;
        if head.state == HeadState::Discarded {
            cache.remove(&generation);
            return Err(StoreError::Missing(generation));
        }
        let schema = Schema::parse(&head.card.schema).map_err(|_| StoreError::Damaged { what: "a schema" })?;
        let indexer = Indexer::new(head.card.schema_id, schema, &head.indexes);
        let known = Arc::new(Known { head, indexer });
        cache.insert(generation, (stored, known.clone()));
        Ok(known)
    }
}

fn heads(view: &dyn KvView) -> Result<Vec<(Generation, Head)>, StoreError> {
    let mut found = Vec::new();
    let range = layout::ALL_HEADS;
    let mut collect = |key: &[u8], value: &[u8]| {
        found.push(
            layout::generation_of(key)
                .ok_or(StoreError::Damaged { what: "the key of a generation" })
                .and_then(|generation| Ok((generation, from_json("the head of a generation", value)?))),
        );
        ControlFlow::Continue(())
    };
    view.scan(range.start, range.end, &mut collect).map_err(failed("list its generations"))?;
    found.into_iter().collect()
}

fn place(view: &dyn KvView, generation: Generation) -> Result<Place, StoreError> {
    let stored = view.get(&layout::place(generation)).map_err(failed("read where a generation stands"))?;
    from_json("where a generation stands", &stored.ok_or(StoreError::Damaged { what: "where a generation stands" })?)
}

fn info(view: &dyn KvView, generation: Generation, head: Head) -> Result<GenerationInfo, StoreError> {
    let Place { progress, counters } = place(view, generation)?;
    let published = head.state == HeadState::Shown;
    Ok(GenerationInfo { generation, card: head.card, indexes: head.indexes, published, progress, counters })
}

impl<K: Kv> ViewStore for KvStore<K> {
    fn generations(&self) -> Result<Vec<GenerationInfo>, StoreError> {
        let view = self.view()?;
        let there = heads(&*view)?.into_iter().filter(|(_, head)| head.state != HeadState::Discarded);
        there.map(|(generation, head)| info(&*view, generation, head)).collect()
    }

    fn begin(&self, card: &ViewCard, indexes: &[String], progress: &Progress) -> Result<Generation, StoreError> {
        let schema = Schema::parse(&card.schema)
            .map_err(|e| StoreError::Refused(format!("the schema of {} cannot be used: {e}", card.topic())))?;
        let _guard = self.lock();
        let next = self.view()?.get(layout::NEXT_KEY).map_err(failed("read the next generation"))?;
        let number = match next {
            None => 1,
            Some(bytes) => {
                let wrong = StoreError::Damaged { what: "the number of the next generation" };
                u64::from_be_bytes(bytes.as_ref().try_into().map_err(|_| wrong)?)
            }
        };
        let generation = Generation(number);
        let indexes = Indexer::new(card.schema_id, schema, indexes).paths();
        let head = Head { card: Arc::new(card.clone()), indexes, state: HeadState::Filling };
        let place = Place { progress: progress.clone(), counters: Counters::default() };
        let changes = vec![
            (layout::NEXT_KEY.to_vec(), Some(Bytes::copy_from_slice(&(number + 1).to_be_bytes()))),
            (layout::head(generation), Some(to_json(&head)?)),
            (layout::place(generation), Some(to_json(&place)?)),
        ];
        self.write("begin a generation", changes)?;
        Ok(generation)
    }

    fn set_card(&self, generation: Generation, card: &ViewCard) -> Result<(), StoreError> {
        let _guard = self.lock();
        let mut head = self.known(&*self.view()?, generation)?.head.clone();
        if head.card.topic() != card.topic() || head.card.schema != card.schema {
            return Err(StoreError::Refused(format!("generation {generation} is of another edition or schema")));
        }
        head.card = Arc::new(card.clone());
        self.write("keep a card", vec![(layout::head(generation), Some(to_json(&head)?))])
    }

    fn apply(&self, generation: Generation, batch: &Batch, progress: &Progress) -> Result<Counters, StoreError> {
        let _guard = self.lock();
        let mut changes: BTreeMap<Vec<u8>, Option<Bytes>> = BTreeMap::new();
        let counters = {
            let view = self.view()?;
            let known = self.known(&*view, generation)?;
            let Place { counters, .. } = place(&*view, generation)?;
            let mut spans = Spans::new();
            let mut before = Vec::with_capacity(batch.keys().count());
            for (key, value) in batch.changes() {
                let row = layout::row(generation, key);
                // A generation without rows has nothing to look up.
                let was = if counters.rows == 0 { None } else { view.get(&row).map_err(failed("read a row"))? };
                before.push(was.as_ref().map(Bytes::len));
                for (value, entry) in [(was.as_ref(), None), (value, Some(Bytes::new()))] {
                    let atoms = value.map(|value| known.indexer.atoms(value, &mut spans)).unwrap_or_default();
                    for (i, atom) in atoms.iter().enumerate() {
                        let mut at = layout::entries(generation, i, atom);
                        at.extend_from_slice(key);
                        changes.insert(at, entry.clone());
                    }
                }
                if value.is_some() || was.is_some() {
                    changes.insert(row, value.cloned());
                }
            }
            batch.count(counters, before)
        };
        let place = Place { progress: progress.clone(), counters };
        changes.insert(layout::place(generation), Some(to_json(&place)?));
        self.write_and_leave(RESERVE_BYTES, "apply a batch", changes.into_iter().collect())?;
        Ok(counters)
    }

    fn publish(&self, generation: Generation) -> Result<(), StoreError> {
        let _guard = self.lock();
        let (changes, replaced) = {
            let view = self.view()?;
            let mut shown = self.known(&*view, generation)?.head.clone();
            if shown.state == HeadState::Shown {
                return Ok(());
            }
            let same_copy = |h: &Head| h.card.dataset == shown.card.dataset && h.card.view == shown.card.view;
            let mut replaced: Vec<(Generation, Head)> = heads(&*view)?;
            replaced.retain(|(_, head)| head.state == HeadState::Shown && same_copy(head));
            shown.state = HeadState::Shown;
            let mut changes = BTreeMap::from([(layout::head(generation), Some(to_json(&shown)?))]);
            for (old, head) in &mut replaced {
                head.state = HeadState::Discarded;
                changes.insert(layout::head(*old), Some(to_json(head)?));
            }
            (changes, replaced)
        };
        self.write("show a generation", changes.into_iter().collect())?;
        for (old, _) in replaced {
            self.remove(old)?;
        }
        Ok(())
    }

    fn discard(&self, generation: Generation) -> Result<(), StoreError> {
        let _guard = self.lock();
        let stored = self.view()?.get(&layout::head(generation)).map_err(failed("read a generation"))?;
        let Some(stored) = stored else { return Ok(()) };
        let mut head: Head = from_json("the head of a generation", &stored)?;
        if head.state != HeadState::Discarded {
            head.state = HeadState::Discarded;
            let change = (layout::head(generation), Some(to_json(&head)?));
            self.write("discard a generation", vec![change])?;
        }
        self.remove(generation)
    }

    fn snapshot(&self, generation: Generation) -> Result<Box<dyn Snapshot + '_>, StoreError> {
        let view = self.view()?;
        let info = info(&*view, generation, self.known(&*view, generation)?.head.clone())?;
        Ok(Box::new(KvSnapshot { view, info }))
    }

    fn probe(&self) -> Result<(), StoreError> {
        room(&self.dir, &[], RESERVE_BYTES).map_err(failed("find room"))
    }

    fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let note = self.view()?.get(&layout::note(name)).map_err(failed("read a note"))?;
        Ok(note.map(Vec::from))
    }

    fn set_note(&self, name: &str, note: Option<&[u8]>) -> Result<(), StoreError> {
        let _guard = self.lock();
        let change = (layout::note(name), note.map(Bytes::copy_from_slice));
        self.write("write a note", vec![change])
    }
}

struct KvSnapshot<'a> {
    view: Box<dyn KvView + 'a>,
    info: GenerationInfo,
}

impl Snapshot for KvSnapshot<'_> {
    fn info(&self) -> &GenerationInfo {
        &self.info
    }

    fn get(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let row = |key: &&[u8]| self.view.get(&layout::row(self.info.generation, key)).map_err(failed("read a row"));
        keys.iter().map(row).collect()
    }

    fn scan(&self, after: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let [(first, end), _] = layout::contents(self.info.generation);
        let start = after.map_or(first, |key| layout::behind(layout::row(self.info.generation, key)));
        let mut each = |key: &[u8], value: &[u8]| visit(key.get(layout::ROW_PREFIX..).unwrap_or_default(), value);
        self.view.scan(&start, &end, &mut each).map_err(failed("read its rows"))
    }

    fn find(&self, index: &str, value: &Atom, after: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let number = self.info.indexes.iter().position(|path| path == index);
        let number = number.ok_or_else(|| StoreError::Refused(format!("there is no index of {index}")))?;
        let prefix = layout::entries(self.info.generation, number, &index::of_atom(value));
        let mut start = prefix.clone();
        if let Some(after) = after {
            start.extend_from_slice(after);
            start = layout::behind(start);
        }
        let mut result = Ok(());
        let mut each = |entry: &[u8], _: &[u8]| {
            let key = entry.get(prefix.len()..).unwrap_or_default();
            match self.view.get(&layout::row(self.info.generation, key)) {
                Ok(Some(row)) => visit(key, &row),
                Ok(None) => {
                    result = Err(StoreError::Damaged { what: "an index" });
                    ControlFlow::Break(())
                }
                Err(source) => {
                    result = Err(StoreError::Storage { doing: "read a row", source });
                    ControlFlow::Break(())
                }
            }
        };
        self.view.scan(&start, &layout::end_of(&prefix), &mut each).map_err(failed("read an index"))?;
        result
    }
}

#[cfg(test)]
mod tests {
    use kenh_domain::error::chain;
    use kenh_testkit::disk::SmallDisk;

    use super::super::fjall::Fjall;
    use super::super::sled::Sled;
    use super::*;

    const DISK_MIB: u32 = 64;
    /// Enough of them for what a store gathers before it writes: a failure then comes while it is being gathered, too.
    const PUTS: u32 = 2_000;
    const PADDING: usize = 900;

    /// Batch `n`: keys of its own, and its number under a key that they all have.
    fn batch(n: u32) -> Vec<Put> {
        let of = |i: u32| (format!("{n:04}.{i:04}").into_bytes(), Some(Bytes::from(vec![b'7'; PADDING])));
        let last = (b"last".to_vec(), Some(Bytes::copy_from_slice(&n.to_be_bytes())));
        (0..PUTS).map(of).chain([last]).collect()
    }

    /// The batches that are there; each is there as a whole.
    fn there(kv: &impl Kv) -> u32 {
        let view = kv.view().unwrap();
        let last = view.get(b"last").unwrap().map_or(0, |n| u32::from_be_bytes(n.as_ref().try_into().unwrap()));
        let mut keys = Vec::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            assert_eq!(value.len(), PADDING);
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        };
        view.scan(b"0", b"l", &mut visit).unwrap();
        let wanted: Vec<_> = (1..=last).flat_map(batch).map(|(key, _)| key).filter(|key| key != b"last").collect();
        assert!(keys == wanted, "{} keys, and {} of {last} batches", keys.len(), wanted.len());
        last
    }

    fn a_disk_that_fills_up_ends_no_store<K: Kv>(open: fn(&Path) -> Result<K, StoreError>) {
        let disk = SmallDisk::new(DISK_MIB);
        let kv = open(disk.path()).unwrap();
        let mut written = 0;
        for round in 0..3 {
            disk.fill((2 << 20) + round * 300_000);
            let error = loop {
                match kv.write(batch(written + 1)) {
                    Ok(()) => written += 1,
                    Err(error) => break error,
                }
                assert!(written < 100, "the disk is never full");
            };
            assert!(chain(&*error).contains("No space left"), "{}", chain(&*error));
            // Until there is room it may not even open again.
            disk.fill(0);
            assert!(kv.write(batch(written + 1)).is_err());
            disk.empty();
            // The batch that failed is there or it is not, as a whole.
            let found = there(&kv);
            assert!(found == written || found == written + 1, "{found} batches, {written} were written");
            written = found;
            kv.write(batch(written + 1)).unwrap();
            written += 1;
            assert_eq!(there(&kv), written);
        }
        drop(kv);
        assert_eq!(there(&open(disk.path()).unwrap()), written);
    }

    #[test]
    fn a_disk_that_fills_up_ends_no_sled() {
        a_disk_that_fills_up_ends_no_store(Sled::open);
    }

    #[test]
    fn a_disk_that_fills_up_ends_no_fjall() {
        a_disk_that_fills_up_ends_no_store(Fjall::open);
    }
}
