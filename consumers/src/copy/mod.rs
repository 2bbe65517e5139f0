//! Reading a copy: look-up by key, pages, search by a row filter, export, digest.
//!
//! Every answer comes from one state of the copy and says which ([`AsOf`]). A copy that readers are not shown (it is being
//! filled for the first time, or was purged) is [`CopyError::None`].

mod cursor;
pub mod digest;
mod export;
mod row;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use kenh_domain::filter::{Filter, FilterError, IndexKey};
use kenh_domain::notice::ViewCard;
use kenh_domain::schema::{Schema, Spans};
use kenh_domain::topic::Edition;

use crate::store::{CopyId, Generation, GenerationInfo, Snapshot, StoreError, ViewStore};

pub use cursor::{Cursor, CursorError};
pub use export::{ExportError, Exported, Format};
pub use row::{AsOf, Row, RowError};

use row::Form;

/// Most rows of one page, and most keys of one look-up: bounds what an answer holds in memory.
pub const MAX_PAGE: usize = 1_000;
/// Most rows that one search without an index looks at before it answers with what it has and a cursor: bounds how long
/// a store without snapshots makes the subscriber wait.
pub const MAX_SCAN: usize = 50_000;

/// Why a copy could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is no copy to be seen.
    #[error("there is no copy of {0} to be read: it is being filled, it was purged, or there is no grant")]
    None(CopyId),
    /// The store failed.
    #[error("the copy cannot be read")]
    Store(#[from] StoreError),
    /// The filter is none.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A row cannot be shown.
    #[error(transparent)]
    Row(#[from] RowError),
    /// The cursor is of an edition that is no longer there.
    #[error("the cursor is of edition {cursor}, and the copy is now of edition {now}; start without one")]
    Replaced {
        /// The edition that the cursor is of.
        cursor: Edition,
        /// The edition of the copy.
        now: Edition,
    },
    /// More keys than a look-up takes.
    #[error("{0} keys; at most {MAX_PAGE} can be looked up at once")]
    TooMany(usize),
}

/// Rows, and how to go on.
#[derive(Debug, Clone)]
pub struct Page {
    /// The rows, in key order (of a search by an index with several values: in key order for each value).
    pub rows: Vec<Row>,
    /// Where the next page starts; none when there is nothing more. A page may have fewer rows than asked for, or none,
    /// and a cursor all the same.
    pub next: Option<Cursor>,
    /// The state they were read from.
    pub as_of: AsOf,
}

/// What a copy is.
#[derive(Clone)]
pub struct Shown {
    /// The view's card.
    pub card: Arc<ViewCard>,
    /// Dotted paths of the fields that an index is kept of.
    pub indexes: Vec<String>,
    /// The state.
    pub as_of: AsOf,
}

/// The digest of a copy and the state it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyDigest {
    /// 64 hexadecimal digits; [`kenh_domain::digest`].
    pub hex: String,
    /// Rows.
    pub rows: u64,
    /// The state.
    pub as_of: AsOf,
}

/// The reading side of one copy. Cheap to make; one may be kept and shared between threads.
pub struct Copy {
    store: Arc<dyn ViewStore>,
    id: CopyId,
    /// What was last shown: saves parsing a schema for every look-up.
    seen: Mutex<Option<(Generation, Form)>>,
}

/// The copies of a store that can be read now, by dataset and view.
///
/// # Errors
/// [`StoreError`].
pub fn list(store: &dyn ViewStore) -> Result<Vec<(CopyId, Shown)>, StoreError> {
    let shown = store.generations()?.into_iter().filter(|info| info.published);
    let mut copies: Vec<_> = shown.map(|info| (info.copy(), Shown::of(&info))).collect();
    copies.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(copies)
}

impl Shown {
    fn of(info: &GenerationInfo) -> Self {
        Self { card: info.card.clone(), indexes: info.indexes.clone(), as_of: AsOf::of(info) }
    }
}

impl Copy {
    /// The copy of that name in a store. Whether there is one is seen when it is read.
    #[must_use]
    pub fn new(store: Arc<dyn ViewStore>, id: CopyId) -> Self {
        Self { store, id, seen: Mutex::default() }
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> &CopyId {
        &self.id
    }

    /// Card, counters and freshness.
    ///
    /// # Errors
    /// [`CopyError`].
    pub fn shown(&self) -> Result<Shown, CopyError> {
        self.with_snapshot(|snapshot, _| Ok(Shown::of(snapshot.info())))
    }

    /// The row of a record key.
    ///
    /// # Errors
    /// [`CopyError`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Row>, CopyError> {
        Ok(self.lookup(&[key])?.0.pop().flatten())
    }

    /// The rows of some record keys, in their order, and the state they were read from.
    ///
    /// # Errors
    /// [`CopyError`]; `TooMany` beyond [`MAX_PAGE`] keys.
    pub fn lookup(&self, keys: &[&[u8]]) -> Result<(Vec<Option<Row>>, AsOf), CopyError> {
        if keys.len() > MAX_PAGE {
            return Err(CopyError::TooMany(keys.len()));
        }
        self.with_snapshot(|snapshot, form| {
            let values = snapshot.get(keys)?;
            let row = |(key, value): (&&[u8], Option<Bytes>)| {
                value.map(|value| Row { key: Bytes::copy_from_slice(key), value, form: form.clone() })
            };
            Ok((keys.iter().zip(values).map(row).collect(), AsOf::of(snapshot.info())))
        })
    }

    /// Up to `limit` rows (at most [`MAX_PAGE`]) behind a cursor, or the first ones.
    ///
    /// # Errors
    /// [`CopyError`].
    pub fn page(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, CopyError> {
        self.with_snapshot(|snapshot, form| {
            let mut gather = Gather::new(form, None, limit);
            check(after, snapshot)?;
            snapshot
                .scan(after.and_then(|cursor| cursor.key.as_deref()), &mut |key, value| gather.visit(key, value))?;
            gather.finish(snapshot, 0)
        })
    }

    /// Up to `limit` rows (at most [`MAX_PAGE`]) that a row filter holds for, behind a cursor of the same search, or the
    /// first ones. The filter is the subset of CEL that grants use ([`kenh_domain::filter`]), over the fields of the view.
    /// Where it has an equality on an indexed field it looks there; otherwise it looks at up to [`MAX_SCAN`] rows.
    ///
    /// # Errors
    /// [`CopyError`]; `Filter` when the text is no filter for the view.
    pub fn search(&self, filter: &str, after: Option<&Cursor>, limit: usize) -> Result<Page, CopyError> {
        self.with_snapshot(|snapshot, form| {
            let filter = Filter::compile(filter, &form.schema)?;
            check(after, snapshot)?;
            let index = filter.index().filter(|index| snapshot.info().indexes.contains(&index.path));
            let mut gather = Gather::new(form, Some(&filter), limit);
            match index {
                Some(IndexKey { path, values }) => {
                    let first = after.map_or(0, |cursor| cursor.step as usize);
                    let mut step = first;
                    for (i, value) in values.iter().enumerate().skip(first) {
                        step = i;
                        let behind = after.filter(|_| i == first).and_then(|cursor| cursor.key.as_deref());
                        // Each value starts with its own first key.
                        gather.last = behind.map(<[u8]>::to_vec);
                        snapshot.find(&path, value, behind, &mut |key, row| gather.visit(key, row))?;
                        if gather.stopped {
                            break;
                        }
                    }
                    gather.finish(snapshot, step)
                }
                None => {
                    let behind = after.and_then(|cursor| cursor.key.as_deref());
                    snapshot.scan(behind, &mut |key, row| gather.visit(key, row))?;
                    gather.finish(snapshot, 0)
                }
            }
        })
    }

    /// The digest of all rows, from one state. A store without snapshots makes the subscriber wait for it.
    ///
    /// # Errors
    /// [`CopyError`].
    pub fn digest(&self) -> Result<CopyDigest, CopyError> {
        self.with_snapshot(|snapshot, _| {
            let digest = digest::of(snapshot)?;
            Ok(CopyDigest { hex: digest.hex(), rows: digest.rows(), as_of: AsOf::of(snapshot.info()) })
        })
    }

    /// Reads one state of the generation that is shown.
    fn with_snapshot<T>(
        &self,
        read: impl FnOnce(&dyn Snapshot, &Form) -> Result<T, CopyError>,
    ) -> Result<T, CopyError> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((generation, form)) = seen {
            match self.store.snapshot(generation) {
                Ok(snapshot) => return read(&*snapshot, &form),
                Err(StoreError::Missing(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let shown = self.store.generations()?.into_iter().find(|info| info.published && info.copy() == self.id);
        let info = shown.ok_or_else(|| CopyError::None(self.id.clone()))?;
        let schema = Schema::parse(&info.card.schema).map_err(|_| StoreError::Damaged { what: "a schema" })?;
        let form = Form { schema_id: info.card.schema_id, schema };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((info.generation, form.clone()));
        let snapshot = self.store.snapshot(info.generation).map_err(|error| match error {
            StoreError::Missing(_) => CopyError::None(self.id.clone()),
            other => other.into(),
        })?;
        read(&*snapshot, &form)
    }
}

/// A cursor of another edition may be of other keys.
fn check(after: Option<&Cursor>, snapshot: &dyn Snapshot) -> Result<(), CopyError> {
    let now = snapshot.info().card.edition;
    match after {
        Some(cursor) if cursor.edition != now => Err(CopyError::Replaced { cursor: cursor.edition, now }),
        _ => Ok(()),
    }
}

/// Gathers the rows of a page.
struct Gather<'a> {
    form: &'a Form,
    filter: Option<&'a Filter>,
    limit: usize,
    rows: Vec<Row>,
    looked_at: usize,
    /// The last key looked at.
    last: Option<Vec<u8>>,
    stopped: bool,
    failure: Option<RowError>,
    spans: Spans,
}

impl<'a> Gather<'a> {
    fn new(form: &'a Form, filter: Option<&'a Filter>, limit: usize) -> Self {
        let limit = limit.clamp(1, MAX_PAGE);
        let (rows, last, spans) = (Vec::new(), None, Spans::new());
        Self { form, filter, limit, rows, looked_at: 0, last, stopped: false, failure: None, spans }
    }

    fn visit(&mut self, key: &[u8], value: &[u8]) -> ControlFlow<()> {
        // One row too many says that there is a next page.
        if self.rows.len() >= self.limit || self.looked_at >= MAX_SCAN {
            self.stopped = true;
            return ControlFlow::Break(());
        }
        self.looked_at += 1;
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        match self.holds(value) {
            Ok(false) => {}
            Ok(true) => {
                let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
                self.rows.push(Row { key, value, form: self.form.clone() });
            }
            Err(error) => {
                self.failure = Some(error);
                self.stopped = true;
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn holds(&mut self, value: &[u8]) -> Result<bool, RowError> {
        let Some(filter) = self.filter else { return Ok(true) };
        let body = self.form.body(value)?;
        self.form.schema.walk(body, &mut self.spans)?;
        Ok(filter.matches(body, &self.spans))
    }

    fn finish(self, snapshot: &dyn Snapshot, step: usize) -> Result<Page, CopyError> {
        if let Some(error) = self.failure {
            return Err(error.into());
        }
        let edition = snapshot.info().card.edition;
        let step = u32::try_from(step).unwrap_or(u32::MAX);
        let next = self.stopped.then_some(Cursor { edition, step, key: self.last });
        Ok(Page { rows: self.rows, next, as_of: AsOf::of(snapshot.info()) })
    }
}
