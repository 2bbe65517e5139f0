//! Which column a field of a view becomes. `docs/postgres.md` has the table, with reasons.

use kenh_domain::notice::ViewCard;
use kenh_domain::schema::{Path, Schema, Type};

use super::names::{self, quoted};

/// Most digits of a `numeric` that says how many it has (PostgreSQL, "Numeric Types").
const MAX_PRECISION: usize = 1000;

/// A type that PostgreSQL has arrays of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Boolean,
    Integer,
    Bigint,
    Real,
    Double,
    Bytea,
    Numeric {
        precision: usize,
        scale: usize,
    },
    Text,
    Uuid,
    Date,
    /// With the number of microseconds in one unit of the value.
    Time(i64),
    /// With the number of microseconds in one unit of the value.
    Timestamptz(i64),
    /// With the number of microseconds in one unit of the value.
    Timestamp(i64),
}

impl Scalar {
    fn of(ty: &Type) -> Option<Self> {
        Some(match ty {
            Type::Boolean => Self::Boolean,
            Type::Int => Self::Integer,
            Type::Long => Self::Bigint,
            Type::Float => Self::Real,
            Type::Double => Self::Double,
            Type::Bytes | Type::Fixed(_) => Self::Bytea,
            Type::Decimal(decimal) => Self::Numeric { precision: decimal.precision, scale: decimal.scale },
            Type::Text | Type::Enum(_) | Type::Null => Self::Text,
            Type::Uuid => Self::Uuid,
            Type::Date => Self::Date,
            Type::TimeMillis => Self::Time(1000),
            Type::TimeMicros => Self::Time(1),
            Type::TimestampMillis => Self::Timestamptz(1000),
            Type::TimestampMicros => Self::Timestamptz(1),
            Type::LocalTimestampMillis => Self::Timestamp(1000),
            Type::LocalTimestampMicros => Self::Timestamp(1),
            Type::Array(_) | Type::Map(_) | Type::Record(_) | Type::Nullable(..) | Type::Union(_) => return None,
        })
    }

    fn sql(self) -> String {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Bigint => "bigint",
            Self::Real => "real",
            Self::Double => "double precision",
            Self::Bytea => "bytea",
            Self::Numeric { precision, scale } if (1..=MAX_PRECISION).contains(&precision) => {
                return format!("numeric({precision},{scale})");
            }
            Self::Numeric { .. } => "numeric",
            Self::Text => "text",
            Self::Uuid => "uuid",
            Self::Date => "date",
            Self::Time(_) => "time",
            Self::Timestamptz(_) => "timestamptz",
            Self::Timestamp(_) => "timestamp",
        }
        .to_owned()
    }

    /// The number that PostgreSQL knows the type by (`pg_type.oid`); those of its own types never change.
    pub(super) const fn oid(self) -> u32 {
        match self {
            Self::Boolean => 16,
            Self::Integer => 23,
            Self::Bigint => 20,
            Self::Real => 700,
            Self::Double => 701,
            Self::Bytea => 17,
            Self::Numeric { .. } => 1700,
            Self::Text => 25,
            Self::Uuid => 2950,
            Self::Date => 1082,
            Self::Time(_) => 1083,
            Self::Timestamptz(_) => 1184,
            Self::Timestamp(_) => 1114,
        }
    }
}

/// How a column holds its field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// One value.
    Scalar(Scalar),
    /// An array of them, with the type of its items, which may be nullable.
    Array(Scalar, Type),
    /// Anything else: `jsonb`, in the form of every look-up and export.
    Json,
}

impl Kind {
    fn of(ty: &Type) -> Self {
        let inner = ty.inner();
        match inner {
            Type::Array(items) => {
                Scalar::of(items.inner()).map_or(Self::Json, |scalar| Self::Array(scalar, (**items).clone()))
            }
            other => Scalar::of(other).map_or(Self::Json, Self::Scalar),
        }
    }

    fn sql(&self) -> String {
        match self {
            Self::Scalar(scalar) => scalar.sql(),
            Self::Array(scalar, _) => format!("{}[]", scalar.sql()),
            Self::Json => "jsonb".to_owned(),
        }
    }
}

/// A column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    /// The field, by its name in the view.
    pub(super) field: String,
    /// The field's type.
    pub(super) ty: Type,
    /// The column's name.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The place of the field in the record key, where the columns hold that.
    pub(super) key: Option<usize>,
    /// Whether an index is kept of it, or of something in it: a text in it must then fit into one.
    pub(super) indexed: bool,
}

/// An index that a search can use.
pub(super) struct Indexed {
    pub(super) path: Path,
    /// What is indexed, as SQL.
    pub(super) expression: String,
    /// Whether that is the field itself; otherwise it is its text out of a `jsonb`.
    pub(super) plain: bool,
}

/// The columns of a view.
pub(super) struct Columns {
    pub(super) schema: Schema,
    pub(super) all: Vec<Column>,
    pub(super) indexes: Vec<Indexed>,
    /// Whether the record key is the primary key by its fields.
    pub(super) keyed: bool,
}

impl Columns {
    /// Of a view by its card; `indexes` are paths that an index can hold.
    pub(super) fn new(card: &ViewCard, schema: Schema, indexes: &[String]) -> Self {
        let top = |path: &str| path.split('.').next().unwrap_or_default().to_owned();
        let indexed: Vec<String> = indexes.iter().map(|path| top(path)).collect();
        let keyed =
            !card.pseudonym && !card.key_fields.is_empty() && card.key_fields.iter().all(|f| fits_key(&schema, f));
        let column = |field: &kenh_domain::schema::Field| Column {
            field: field.name.clone(),
            ty: field.ty.clone(),
            name: names::column(&field.name),
            kind: Kind::of(&field.ty),
            key: card.key_fields.iter().position(|key| keyed && *key == field.name),
            indexed: indexed.contains(&field.name),
        };
        let all: Vec<Column> = schema.fields().iter().map(column).collect();
        let indexes = indexes.iter().filter_map(|path| schema.path(path)).map(Indexed::new).collect();
        Self { schema, all, indexes, keyed }
    }

    /// The columns' names in the order of the table, ours included, quoted.
    pub(super) fn list(&self) -> String {
        let names = self.all.iter().map(|column| column.name.as_str());
        let names: Vec<String> = names.chain([names::KEY, names::VALUE, names::UNSHOWN]).map(quoted).collect();
        names.join(", ")
    }

    /// What stands between the parentheses of `CREATE TABLE` for `table`.
    pub(super) fn definition(&self, table: &str) -> String {
        let mut parts: Vec<String> = self.all.iter().map(|c| format!("{} {}", quoted(&c.name), c.kind.sql())).collect();
        parts.push(format!("{} bytea NOT NULL", quoted(names::KEY)));
        parts.push(format!("{} bytea NOT NULL", quoted(names::VALUE)));
        parts.push(format!("{} text[]", quoted(names::UNSHOWN)));
        let by_bytes = format!("({})", quoted(names::KEY));
        if self.keyed {
            let mut key: Vec<&Column> = self.all.iter().filter(|column| column.key.is_some()).collect();
            key.sort_by_key(|column| column.key);
            let key: Vec<String> = key.iter().map(|column| quoted(&column.name)).collect();
            parts.push(format!("CONSTRAINT {} PRIMARY KEY ({})", quoted(&format!("{table}_pk")), key.join(", ")));
            parts.push(format!("CONSTRAINT {} UNIQUE {by_bytes}", quoted(&format!("{table}_key"))));
        } else {
            parts.push(format!("CONSTRAINT {} PRIMARY KEY {by_bytes}", quoted(&format!("{table}_pk"))));
        }
        parts.join(", ")
    }

    /// The index of a path.
    pub(super) fn index(&self, path: &str) -> Option<&Indexed> {
        self.indexes.iter().find(|index| index.path.dotted() == path)
    }
}

/// A field of the record key that a column can hold without loss, and in one way only: what admission takes as a part of
/// one ([`kenh_domain::key::KeyPart`]).
fn fits_key(schema: &Schema, field: &str) -> bool {
    let ty = schema.record().field(field).map(|field| &field.ty);
    ty.is_some_and(|ty| matches!(ty, Type::Text | Type::Enum(_) | Type::Date | Type::Int | Type::Long))
}

impl Indexed {
    fn new(path: Path) -> Self {
        let mut names = path.dotted().split('.');
        let mut expression = quoted(&names::column(names.next().unwrap_or_default()));
        let rest: Vec<&str> = names.collect();
        let plain = rest.is_empty();
        for (i, name) in rest.iter().enumerate() {
            let arrow = if i + 1 == rest.len() { "->>" } else { "->" };
            expression = format!("{expression}{arrow}'{name}'");
        }
        if !plain {
            expression = format!("({expression})");
        }
        Self { path, expression, plain }
    }
}
