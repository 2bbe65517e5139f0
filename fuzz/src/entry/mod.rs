//! The entry points: what each reads, and what must hold of whatever it takes. Bytes are refused or taken; a panic, a
//! failed assertion, an endless loop or a flood of memory is a finding.

mod documents;
mod formats;
mod ground;
mod kept;
mod wire;

/// One place where bytes come in.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Its name: of the fuzz target, its corpus and its regressions.
    pub name: &'static str,
    /// Reads the bytes, and checks what it made of them.
    pub read: fn(&[u8]),
    /// Good input to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

macro_rules! entries {
    ($($name:ident from $module:ident: $doc:literal,)*) => {
        $(#[doc = $doc] pub const fn $name() -> Entry {
            Entry { name: stringify!($name), read: $module::$name, seeds: $module::seeds::$name }
        })*

        /// All of them.
        pub const ALL: &[Entry] = &[$($name(),)*];
    };
}

entries! {
    envelope from wire: "The envelope of a submitted change, and the end of a submission.",
    submitted from wire: "A submitted change through admission and routing, under everything that is shipped.",
    data_frame from wire: "A record of the data log.",
    schema from wire: "The text of a schema, a zero byte, and a body of it.",
    avro_body from wire: "A body of a shipped schema (the first byte says which).",
    filter from wire: "A row filter over a shipped schema (the first byte says which).",
    jsonl from formats: "JSON lines.",
    national from formats: "The national envelope, single and in batches.",
    csv from formats: "A mapping, a zero byte, and the CSV file that it is for.",
    container from formats: "An Avro object container file.",
    mapping from formats: "A mapping file.",
    own_table from formats: "Somebody's own table, made into a first declaration.",
    declared from documents: "A declared document: contract, agency or grant.",
    control from documents: "Records of the control log, a line each.",
    told from documents: "What roles tell each other as JSON (the first byte says what): view cards, positions, confirmations, \
                          receipts, dead letters, heads, contract cards.",
    registry from documents: "A request to the registry: method, path and query in the first line, then the body.",
    texts from documents: "Short texts (the first byte says what): topics, dates, durations, elements of data.",
    metadata from kept: "The running values beside the router's positions.",
    state_image from kept: "A state image.",
    log_entries from kept: "Keys and values of the embedded log (the first byte says which).",
    cursor from kept: "A cursor of a page.",
}
