//! The plainest store there could be: the oracle of the others.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use kenh_consumers::store::{
    Batch, CopyId, Counters, Generation, GenerationInfo, Progress, Snapshot, StoreError, ViewStore, Visit,
};
use kenh_domain::filter::Atom;
use kenh_domain::notice::ViewCard;
use kenh_domain::schema::{Schema, Spans};
use kenh_domain::wire;

#[derive(Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Default)]
struct State {
    made: u64,
    generations: BTreeMap<Generation, (GenerationInfo, BTreeMap<Bytes, Bytes>)>,
    notes: BTreeMap<String, Vec<u8>>,
}

impl ViewStore for MemoryStore {
    fn generations(&self) -> Result<Vec<GenerationInfo>, StoreError> {
        Ok(self.0.lock().unwrap().generations.values().map(|(info, _)| info.clone()).collect())
    }

    fn begin(&self, card: &ViewCard, indexes: &[String], progress: &Progress) -> Result<Generation, StoreError> {
        let mut state = self.0.lock().unwrap();
        let schema = Schema::parse(&card.schema).map_err(|e| StoreError::Refused(e.to_string()))?;
        let mut indexes: Vec<String> = indexes.iter().filter(|path| schema.path(path).is_some()).cloned().collect();
        indexes.sort();
        indexes.dedup();
        state.made += 1;
        let generation = Generation(state.made);
        let info = GenerationInfo {
            generation,
            card: Arc::new(card.clone()),
            indexes,
            published: false,
            progress: progress.clone(),
            counters: Counters::default(),
        };
        state.generations.insert(generation, (info, BTreeMap::new()));
        Ok(generation)
    }

    fn set_card(&self, generation: Generation, card: &ViewCard) -> Result<(), StoreError> {
        let mut state = self.0.lock().unwrap();
        let (info, _) = state.generations.get_mut(&generation).ok_or(StoreError::Missing(generation))?;
        info.card = Arc::new(card.clone());
        Ok(())
    }

    fn apply(&self, generation: Generation, batch: &Batch, progress: &Progress) -> Result<Counters, StoreError> {
        let mut state = self.0.lock().unwrap();
        let (info, rows) = state.generations.get_mut(&generation).ok_or(StoreError::Missing(generation))?;
        let before: Vec<_> = batch.keys().map(|key| rows.get(key).map(Bytes::len)).collect();
        info.counters = batch.count(info.counters, before);
        info.progress = progress.clone();
        for (key, value) in batch.changes() {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        Ok(info.counters)
    }

    fn publish(&self, generation: Generation) -> Result<(), StoreError> {
        let mut state = self.0.lock().unwrap();
        let copy: CopyId = state.generations.get(&generation).ok_or(StoreError::Missing(generation))?.0.copy();
        state.generations.retain(|of, (info, _)| *of == generation || info.copy() != copy || !info.published);
        state.generations.get_mut(&generation).unwrap().0.published = true;
        Ok(())
    }

    fn discard(&self, generation: Generation) -> Result<(), StoreError> {
        self.0.lock().unwrap().generations.remove(&generation);
        Ok(())
    }

    fn snapshot(&self, generation: Generation) -> Result<Box<dyn Snapshot + '_>, StoreError> {
        let state = self.0.lock().unwrap();
        let (info, rows) = state.generations.get(&generation).ok_or(StoreError::Missing(generation))?;
        Ok(Box::new(MemorySnapshot { info: info.clone(), rows: rows.clone() }))
    }

    fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().unwrap().notes.get(name).cloned())
    }

    fn set_note(&self, name: &str, note: Option<&[u8]>) -> Result<(), StoreError> {
        let notes = &mut self.0.lock().unwrap().notes;
        match note {
            Some(note) => notes.insert(name.to_owned(), note.to_vec()),
            None => notes.remove(name),
        };
        Ok(())
    }
}

struct MemorySnapshot {
    info: GenerationInfo,
    rows: BTreeMap<Bytes, Bytes>,
}

impl Snapshot for MemorySnapshot {
    fn info(&self) -> &GenerationInfo {
        &self.info
    }

    fn get(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StoreError> {
        Ok(keys.iter().map(|key| self.rows.get(*key).cloned()).collect())
    }

    fn scan(&self, after: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        for (key, value) in &self.rows {
            if after.is_none_or(|after| **key > *after) && visit(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn find(&self, index: &str, value: &Atom, after: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        if !self.info.indexes.iter().any(|path| path == index) {
            return Err(StoreError::Refused("there is no such index".into()));
        }
        let schema = Schema::parse(&self.info.card.schema).unwrap();
        let path = schema.path(index).unwrap();
        let mut spans = Spans::new();
        self.scan(after, &mut |key, row| {
            let (_, body) = wire::split(row).unwrap();
            schema.walk(body, &mut spans).unwrap();
            if value.is(schema.value(body, &spans, &path)) { visit(key, row) } else { ControlFlow::Continue(()) }
        })
    }
}
