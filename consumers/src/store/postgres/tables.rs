//! Format 1 of the tables, and the statements that make and move them.
//!
//! | table of the internal schema | what |
//! |---|---|
//! | `store` | one row: the format number, the number of the next generation |
//! | `generations` | per generation its card and indexes, whether it is shown or discarded, progress and counters |
//! | `notes` | the subscriber's notes |
//! | `_g7` | the rows of generation 7 until it is shown; then the table moves to the agency's schema, under its name |
//!
//! The agency's schema holds the tables that are shown and the view `kenh_copies`, which tells about them.

use kenh_domain::notice::ViewCard;
use postgres::Client;

use super::super::index::Indexer;
use super::super::layout::Place;
use super::super::{CopyId, FORMAT, Generation, StoreError};
use super::columns::Columns;
use super::names::{self, literal, quoted};
use super::session::{Options, failed};

/// Whether there is a store; looks at its format.
pub(super) fn format(client: &mut Client, options: &Options) -> Result<bool, StoreError> {
    let of = failed("be opened");
    let tables: Vec<String> = client
        .query(
            "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1",
            &[&options.internal],
        )
        .map_err(&of)?
        .iter()
        .map(|row| row.get(0))
        .collect();
    if tables.is_empty() {
        return Ok(false);
    }
    if !tables.iter().any(|table| table == "store") {
        return Err(StoreError::Damaged { what: "its format number" });
    }
    let query = format!("SELECT format FROM {}.store", quoted(&options.internal));
    let format: i64 = client.query_one(&query, &[]).map_err(&of)?.get(0);
    match u32::try_from(format) {
        Ok(found) if found > FORMAT => Err(StoreError::Newer { found }),
        Ok(_) => Ok(true),
        Err(_) => Err(StoreError::Damaged { what: "its format number" }),
    }
}

/// Makes what a new store needs, or looks at the format of an old one.
pub(super) fn prepare(client: &mut Client, options: &Options) -> Result<(), StoreError> {
    if format(client, options)? {
        return Ok(());
    }
    let of = failed("be opened");
    let internal = quoted(&options.internal);
    // Only where it is not there: the right to make schemas is asked for otherwise.
    for schema in [&options.internal, &options.schema] {
        let there = client.query_opt("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[schema]).map_err(&of)?;
        if there.is_none() {
            client.batch_execute(&format!("CREATE SCHEMA {}", quoted(schema))).map_err(&of)?;
        }
    }
    let (schema, copies) = (quoted(&options.schema), quoted(names::COPIES));
    let counter = |name: &str| format!("(place::jsonb->'counters'->>'{name}')::bigint AS \"{name}\"");
    let counters: Vec<String> = ["rows", "bytes", "inserted", "updated", "left"].map(counter).into();
    let counters = counters.join(", ");
    client
        .batch_execute(&format!(
            "CREATE TABLE {internal}.store (format bigint NOT NULL, next bigint NOT NULL);
             INSERT INTO {internal}.store VALUES ({FORMAT}, 1);
             CREATE TABLE {internal}.generations (
                 generation bigint PRIMARY KEY, card text NOT NULL, indexes text[] NOT NULL,
                 shown boolean NOT NULL DEFAULT false, discarded boolean NOT NULL DEFAULT false,
                 table_name text NOT NULL, place text NOT NULL);
             CREATE UNIQUE INDEX generations_shown ON {internal}.generations (table_name) WHERE shown;
             CREATE TABLE {internal}.notes (name text PRIMARY KEY, note bytea NOT NULL);
             CREATE VIEW {schema}.{copies} AS SELECT table_name AS \"table\",
                 card::jsonb->>'dataset' AS \"dataset\", card::jsonb->>'view' AS \"view\",
                 (card::jsonb->>'edition')::bigint AS \"edition\", card::jsonb->>'grant' AS \"grant\", generation,
                 {counters},
                 (SELECT CASE WHEN bool_and(r <> 'null') THEN
                     to_timestamp(min((r->>'clock_ms')::bigint) / 1000.0) END
                     FROM jsonb_array_elements(place::jsonb->'progress'->'reached') r) AS \"complete_as_of\",
                 to_timestamp((place::jsonb->'progress'->>'seen_ms')::bigint / 1000.0) AS \"read_at\"
                 FROM {internal}.generations WHERE shown AND NOT discarded;
             COMMENT ON VIEW {schema}.{copies} IS {};
             COMMENT ON SCHEMA {internal} IS {};",
            literal("The tables that Kênh keeps here, and as of when they are complete."),
            literal("Kênh's own. The cards hold secrets: give nobody rights here."),
        ))
        .map_err(of)
}

/// A generation as the table of generations has it.
pub(super) struct Head {
    pub(super) generation: Generation,
    pub(super) card: String,
    pub(super) indexes: Vec<String>,
    pub(super) shown: bool,
    pub(super) discarded: bool,
    pub(super) table: String,
    place: String,
}

impl Head {
    /// Those that `condition` holds for, by number.
    pub(super) fn select(client: &mut Client, options: &Options, condition: &str) -> Result<Vec<Self>, StoreError> {
        let query = format!(
            "SELECT generation, card, indexes, shown, discarded, table_name, place FROM {}.generations WHERE {condition}",
            quoted(&options.internal)
        );
        let rows = client.query(&query, &[]).map_err(failed("list its generations"))?;
        let head = |row: &postgres::Row| Self {
            generation: Generation(u64::try_from(row.get::<_, i64>(0)).unwrap_or_default()),
            card: row.get(1),
            indexes: row.get(2),
            shown: row.get(3),
            discarded: row.get(4),
            table: row.get(5),
            place: row.get(6),
        };
        let mut heads: Vec<Self> = rows.iter().map(head).collect();
        heads.sort_by_key(|head| head.generation);
        Ok(heads)
    }

    /// One that is there.
    pub(super) fn of(client: &mut Client, options: &Options, generation: Generation) -> Result<Self, StoreError> {
        let found = Self::select(client, options, &format!("NOT discarded AND generation = {generation}"))?;
        found.into_iter().next().ok_or(StoreError::Missing(generation))
    }

    pub(super) fn card(&self) -> Result<ViewCard, StoreError> {
        serde_json::from_str(&self.card).map_err(|_| StoreError::Damaged { what: "the head of a generation" })
    }

    pub(super) fn place(&self) -> Result<Place, StoreError> {
        serde_json::from_str(&self.place).map_err(|_| StoreError::Damaged { what: "where a generation stands" })
    }

    /// Its table, with the schema, quoted.
    pub(super) fn relation(&self, options: &Options) -> String {
        if self.shown { shown(options, &self.table) } else { hidden(options, self.generation) }
    }
}

pub(super) fn shown(options: &Options, table: &str) -> String {
    format!("{}.{}", quoted(&options.schema), quoted(table))
}

pub(super) fn hidden(options: &Options, generation: Generation) -> String {
    format!("{}.{}", quoted(&options.internal), quoted(&names::hidden(generation)))
}

/// Where rows are gathered before they go into a table that has some: of this connection, emptied by every commit.
pub(super) fn stage(generation: Generation) -> String {
    format!("pg_temp.{}", quoted(&format!("_stage{generation}")))
}

/// The table of a generation with its indexes, unseen.
pub(super) fn create(options: &Options, generation: Generation, columns: &Columns) -> String {
    let table = hidden(options, generation);
    let name = names::hidden(generation);
    let mut sql = format!("CREATE TABLE {table} ({});\n", columns.definition(&name));
    let key = quoted(names::KEY);
    for (i, index) in columns.indexes.iter().enumerate() {
        let name = quoted(&format!("{name}_i{i}"));
        sql += &format!("CREATE INDEX {name} ON {table} ({}, {key});\n", index.expression);
    }
    let (name, unshown) = (quoted(&format!("{name}_unshown")), quoted(names::UNSHOWN));
    sql + &format!("CREATE INDEX {name} ON {table} ({key}) WHERE {unshown} IS NOT NULL;\n")
}

/// Comments on a table and its columns, from the card.
pub(super) fn comments(table: &str, columns: &Columns, card: &ViewCard) -> String {
    let about = format!(
        "Dataset {}, view {}, edition {}, under grant {}. Kept by Kênh: read it, and do not write to it.",
        card.dataset, card.view, card.edition, card.grant
    );
    let mut sql = format!("COMMENT ON TABLE {table} IS {};\n", literal(&about));
    let mut put = |column: &str, text: &str| {
        let text = if text.is_empty() { "NULL".to_owned() } else { literal(text) };
        sql += &format!("COMMENT ON COLUMN {table}.{} IS {text};\n", quoted(column));
    };
    for column in &columns.all {
        let mut lines = Vec::new();
        for (field, text) in &card.comments {
            match field.strip_prefix(&column.field) {
                Some("") => lines.insert(0, text.clone()),
                Some(rest) if rest.starts_with('.') => lines.push(format!("{}: {text}", &rest[1..])),
                _ => {}
            }
        }
        put(&column.name, &lines.join("\n"));
    }
    put(names::KEY, "The record key, in UTF-8.");
    put(names::VALUE, "The row as received, in Confluent's wire format.");
    put(names::UNSHOWN, "Fields of this row that SQL cannot hold: their columns are NULL.");
    sql
}

/// The columns of a view, and the paths that are indexed.
pub(super) fn columns(card: &ViewCard, indexes: &[String]) -> Result<(Columns, Vec<String>), StoreError> {
    let schema = kenh_domain::schema::Schema::parse(&card.schema)
        .map_err(|e| StoreError::Refused(format!("the schema of {} cannot be used: {e}", card.topic())))?;
    let indexes = Indexer::new(card.schema_id, schema.clone(), indexes).paths();
    Ok((Columns::new(card, schema, &indexes), indexes))
}

/// The rights that others have on a table, as statements that give them on `to`.
pub(super) fn grants(client: &mut Client, from: &str, to: &str) -> Result<String, StoreError> {
    let rows = client.query(
        "SELECT a.privilege_type, a.is_grantable, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END
         FROM pg_class c, aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
         WHERE c.oid = $1::text::regclass AND a.grantee <> c.relowner AND (a.grantee = 0 OR r.oid IS NOT NULL)",
        &[&from],
    );
    let rows = rows.map_err(failed("read who may see a table"))?;
    let grant = |row: &postgres::Row| {
        let (right, again, who): (String, bool, String) = (row.get(0), row.get(1), row.get(2));
        format!("GRANT {right} ON {to} TO {who}{};\n", if again { " WITH GRANT OPTION" } else { "" })
    };
    Ok(rows.iter().map(grant).collect())
}

/// The name of a copy's table, kept with its generation.
pub(super) fn table_of(card: &ViewCard) -> String {
    names::table(&CopyId::of(card))
}
