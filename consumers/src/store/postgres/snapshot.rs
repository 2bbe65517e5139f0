//! One state to read from: a transaction that is repeatable and read-only.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use kenh_domain::filter::Atom;
use kenh_domain::schema::Type;
use postgres::types::ToSql;

use super::super::{GenerationInfo, Snapshot, StoreError, Visit};
use super::columns::{Columns, Indexed};
use super::encode::MAX_INDEXED_BYTES;
use super::names::{self, quoted};
use super::session::{Reading, failed};

/// Rows of the first page and of the largest.
const PAGE_ROWS: (i64, i64) = (64, 4096);
/// Pages grow while they are below this many bytes.
const PAGE_BYTES: usize = 1 << 20;

pub(super) struct PostgresSnapshot<'a> {
    pub(super) reading: RefCell<Reading<'a>>,
    pub(super) info: GenerationInfo,
    pub(super) columns: Arc<Columns>,
    pub(super) relation: String,
}

/// What a search compares with.
enum Wanted<'a> {
    Nothing,
    Null,
    Value(&'static str, Box<dyn ToSql + Sync + 'a>),
}

impl PostgresSnapshot<'_> {
    /// Visits the rows that `query` gives behind a key, page by page. It has the key as `$1` and how many as `$2`.
    fn pages(
        &self,
        doing: &'static str,
        query: &dyn Fn(bool) -> String,
        more: Option<&(dyn ToSql + Sync)>,
        after: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut after: Option<Vec<u8>> = after.map(<[u8]>::to_vec);
        let mut limit = PAGE_ROWS.0;
        loop {
            let rows = {
                let key = after.as_deref().unwrap_or_default();
                let mut params: Vec<&(dyn ToSql + Sync)> = vec![&key, &limit];
                params.extend(more);
                let mut reading =
                    self.reading.try_borrow_mut().map_err(|_| StoreError::Damaged { what: "a snapshot" })?;
                reading.client()?.query(&query(after.is_some()), &params).map_err(failed(doing))?
            };
            let mut bytes = 0;
            for row in &rows {
                let (key, value): (&[u8], &[u8]) = (row.get(0), row.get(1));
                bytes += key.len() + value.len();
                if visit(key, value).is_break() {
                    return Ok(());
                }
            }
            match rows.last() {
                Some(last) if i64::try_from(rows.len()).is_ok_and(|n| n >= limit) => {
                    after = Some(last.get::<_, &[u8]>(0).to_vec());
                }
                _ => return Ok(()),
            }
            if bytes < PAGE_BYTES {
                limit = (limit * 4).min(PAGE_ROWS.1);
            } else {
                limit = (limit / 2).max(1);
            }
        }
    }
}

impl Snapshot for PostgresSnapshot<'_> {
    fn info(&self) -> &GenerationInfo {
        &self.info
    }

    fn get(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let (key, value) = (quoted(names::KEY), quoted(names::VALUE));
        let query = format!("SELECT {key}, {value} FROM {} WHERE {key} = ANY($1)", self.relation);
        let mut reading = self.reading.try_borrow_mut().map_err(|_| StoreError::Damaged { what: "a snapshot" })?;
        let rows = reading.client()?.query(&query, &[&keys]).map_err(failed("read a row"))?;
        let found: std::collections::BTreeMap<&[u8], &[u8]> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        Ok(keys.iter().map(|key| found.get(key).map(|value| Bytes::copy_from_slice(value))).collect())
    }

    fn scan(&self, after: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let (key, value) = (quoted(names::KEY), quoted(names::VALUE));
        let query = |behind: bool| {
            // The key is named in both, so that it has a type.
            let condition = if behind { ">" } else { ">=" };
            format!("SELECT {key}, {value} FROM {} WHERE {key} {condition} $1 ORDER BY {key} LIMIT $2", self.relation)
        };
        self.pages("read its rows", &query, None, after, visit)
    }

    /// By the index, and beside it the few rows that have something SQL cannot hold: any of them may be it.
    fn find(&self, index: &str, value: &Atom, after: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let indexed = self.columns.index(index);
        let indexed = indexed.ok_or_else(|| StoreError::Refused(format!("there is no index of {index}")))?;
        let wanted = wanted(indexed, value);
        let (key, row, unshown) = (quoted(names::KEY), quoted(names::VALUE), quoted(names::UNSHOWN));
        let (relation, expression) = (&self.relation, &indexed.expression);
        let query = |behind: bool| {
            let behind = format!("{key} {} $1", if behind { ">" } else { ">=" });
            let mut query = format!("SELECT {key}, {row} FROM (");
            let (is, is_not) = match &wanted {
                Wanted::Nothing => (None, "true".to_owned()),
                Wanted::Null => (Some("IS NULL".to_owned()), format!("{expression} IS NOT NULL")),
                Wanted::Value(cast, _) => (Some(format!("= {cast}")), format!("{expression} IS DISTINCT FROM {cast}")),
            };
            if let Some(is) = is {
                // Ordered by the expression too: that is the order of the index, for NULL as well.
                let _ = write!(
                    query,
                    "(SELECT {key}, {row} FROM {relation} WHERE {expression} {is} AND {behind} \
                     ORDER BY {expression}, {key} LIMIT $2) UNION ALL "
                );
            }
            query
                + &format!(
                    "(SELECT {key}, {row} FROM {relation} WHERE {unshown} IS NOT NULL AND {is_not} AND {behind} \
                     ORDER BY {key} LIMIT $2)) found ORDER BY {key} LIMIT $2"
                )
        };
        let value = match &wanted {
            Wanted::Value(_, value) => Some(&**value),
            Wanted::Nothing | Wanted::Null => None,
        };
        self.pages("read an index", &query, value, after, visit)
    }
}

/// What stands for an atom in the column of an index; nothing where no row of the column can be it.
fn wanted<'a>(indexed: &Indexed, atom: &'a Atom) -> Wanted<'a> {
    const AS_TEXT: &str = "$3::text";
    let text = |text: &'a str| -> Wanted<'a> {
        if text.contains('\0') || text.len() > MAX_INDEXED_BYTES {
            return Wanted::Nothing;
        }
        Wanted::Value(AS_TEXT, Box::new(text))
    };
    if !indexed.plain {
        return match atom {
            Atom::Null => Wanted::Null,
            Atom::Bool(b) => Wanted::Value(AS_TEXT, Box::new(b.to_string())),
            Atom::Int(n) => Wanted::Value(AS_TEXT, Box::new(n.to_string())),
            Atom::Date(days) => Wanted::Value(AS_TEXT, Box::new(kenh_domain::date::text(*days))),
            Atom::Text(value) => text(value),
        };
    }
    match (indexed.path.ty().inner(), atom) {
        (_, Atom::Null) => Wanted::Null,
        (Type::Boolean, Atom::Bool(b)) => Wanted::Value("$3::bool", Box::new(*b)),
        (Type::Int | Type::Long, Atom::Int(n)) => Wanted::Value("$3::int8", Box::new(*n)),
        (Type::Date, Atom::Date(days)) => in_calendar(*days),
        (Type::Text | Type::Enum(_), Atom::Text(value)) => text(value),
        (Type::Uuid, Atom::Text(value)) if is_uuid(value) => Wanted::Value("$3::text::uuid", Box::new(&**value)),
        _ => Wanted::Nothing,
    }
}

fn in_calendar<'a>(days: i32) -> Wanted<'a> {
    if super::encode::DAYS.contains(&days) {
        Wanted::Value("(date '1970-01-01' + $3::int4)", Box::new(days))
    } else {
        Wanted::Nothing
    }
}

fn is_uuid(text: &str) -> bool {
    let form = |(i, b): (usize, u8)| if matches!(i, 8 | 13 | 18 | 23) { b == b'-' } else { b.is_ascii_hexdigit() };
    text.len() == 36 && text.bytes().enumerate().all(form)
}
