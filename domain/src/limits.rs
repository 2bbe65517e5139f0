//! Every bound, in one place, with its reason (invariant 6).

/// Longest name of an agency, dataset, view, grant or principal. Five of them and a number still fit into the 249 bytes
/// that Kafka allows a topic name.
pub const MAX_NAME_BYTES: usize = 48;

/// Longest record key, in bytes. The national envelope allows an id of 150 characters; four bytes each, and a composite
/// key has several parts.
pub const MAX_KEY_BYTES: usize = 1024;

/// Largest submitted change, envelope included. Kafka's own default for a record is 1 MiB; a larger document belongs
/// into a distribution that the record points to.
pub const MAX_RECORD_BYTES: usize = 1 << 20;

/// Longest text of one record in a file or request (a JSON line, a CSV row, an element of a batch). Text takes more bytes
/// than the Avro it becomes; four times [`MAX_RECORD_BYTES`] is more than any record that fits needs.
pub const MAX_RECORD_TEXT_BYTES: usize = 4 << 20;

/// Deepest nesting of JSON that is read: what a schema may need, and the envelope around it. Deeper text is refused
/// before it costs any stack.
pub const MAX_JSON_DEPTH: usize = 2 * MAX_SCHEMA_DEPTH;

/// Largest block of an Avro container file, as stored and as decompressed: writers make them of 16 KiB to a few MiB, and a
/// block is held whole.
pub const MAX_CONTAINER_BLOCK_BYTES: usize = 64 << 20;

/// Most columns of a CSV file.
pub const MAX_CSV_COLUMNS: usize = 1024;

/// Most rejected records that an outcome lists; all of them are in the report file.
pub const MAX_LISTED_REJECTIONS: usize = 100;

/// Submitted changes that are held for sending again until the log says that they are durable: bounds what a full log
/// makes a producer repeat.
pub const MAX_UNCONFIRMED_RECORDS: usize = 10_000;
/// Bytes of them.
pub const MAX_UNCONFIRMED_BYTES: usize = 16 << 20;

/// Largest control event: a contract carries its schemas and its frozen code lists.
pub const MAX_CONTROL_BYTES: usize = 8 << 20;

/// Most bytes, record keys and bodies together, of a dataset that is a code list: the router holds it in memory. The
/// largest known today (every administrative unit, with those that were abolished) takes 5 MiB.
pub const MAX_CODE_LIST_BYTES: usize = 256 << 20;

/// Largest record that a log must take, key and value together: a control event, or a change in its framing.
pub const MAX_LOG_RECORD_BYTES: usize = MAX_CONTROL_BYTES + (64 << 10);

/// Longest submission id.
pub const MAX_SUBMISSION_BYTES: usize = 64;

/// Deepest nesting of a schema. The deepest contract known today needs 4; deeper ones make every walk a risk to the
/// stack.
pub const MAX_SCHEMA_DEPTH: usize = 16;

/// Most fields of a schema, nested ones included.
pub const MAX_SCHEMA_FIELDS: usize = 512;

/// Most array and map items of one body, over all its arrays and maps. An item may take no bytes at all (an array of
/// null), so that the length of the body does not bound them; no record of [`MAX_RECORD_BYTES`] can hold more that do.
pub const MAX_BODY_ITEMS: u64 = 1 << 20;

/// Longest text of a row filter, and most terms in it. The longest list known today (every province of a region) has
/// 34 terms.
pub const MAX_FILTER_BYTES: usize = 16 << 10;
/// Most comparisons and list members in a row filter.
pub const MAX_FILTER_TERMS: usize = 1024;
/// Deepest nesting of parentheses and `!` in a row filter: evaluation recurs that deep, and nobody reads deeper ones.
pub const MAX_FILTER_DEPTH: usize = 32;

/// Most grants of one dataset whose filter no index can help (a predicate that must be evaluated for every record).
pub const MAX_SCANNING_FILTERS: usize = 8;

/// Most partitions of a dataset; a transaction pays for each partition it touches.
pub const MAX_PARTITIONS: u32 = 256;

/// Most input records in one router batch: bounds the overlay, the transaction and what an abort must decide again.
pub const MAX_BATCH_RECORDS: usize = 5_000;
/// Most input bytes in one router batch.
pub const MAX_BATCH_BYTES: usize = 8 << 20;
/// Most bytes that one router transaction writes, what the last record taken fans out to excepted: with a hundred
/// grants, eight megabytes of input would be eight hundred of output.
pub const MAX_COMMIT_BYTES: usize = 32 << 20;

/// A marker is written before a batch when the last one is older than this: the grain of time on the bus.
pub const MARKER_INTERVAL_MS: i64 = 1_000;

/// Records of one submission that one running receipt covers; the end of a submission is always answered.
pub const RECEIPT_EVERY: u64 = 1_000;
/// Submissions of one input partition that are counted side by side; beyond that the oldest is answered early.
pub const MAX_OPEN_SUBMISSIONS: usize = 16;

/// Most grants that fill at once; others wait their turn.
pub const MAX_OPEN_LANES: usize = 64;

/// Largest metadata text beside the committed positions: Kafka's default for `offset.metadata.max.bytes`.
pub const MAX_METADATA_BYTES: usize = 4096;

/// Days a tombstone stays in a compacted view topic. A subscriber away for more than half of this fills afresh.
pub const TOMBSTONE_DAYS: u32 = 30;
/// Days that submitted changes, receipts and dead letters are kept.
pub const INTAKE_DAYS: u32 = 30;
/// Days that notices other than view cards are kept.
pub const NOTICE_DAYS: u32 = 365;

/// How far a source's clock may run ahead of the bus before its times count as lying in the future.
pub const MAX_CLOCK_SKEW_MS: i64 = 5 * 60 * 1000;

/// Most violations reported of one record: more help nobody, and a report must stay readable.
pub const MAX_VIOLATIONS: usize = 20;

/// Most signatures of one control record: two persons for a decision, old and new key and root for a rotation, and room.
pub const MAX_SIGNATURES: usize = 8;
/// Longest that a signature may be carried before it is appended, in milliseconds: 90 days, the longest deadline of a
/// review. It bounds how many nonces are remembered.
pub const MAX_CARRIED_MS: i64 = 90 * crate::date::DAY_MS;
/// Most persons of a roster: some for each agency of a country.
pub const MAX_PERSONS: usize = 10_000;
/// Most keys of one person, ended ones included: one a year is more than a working life. A person changes their key alone,
/// so that without a bound one of them could fill the roster.
pub const MAX_KEYS: usize = 64;
/// Most open proposals of one author, that is, neither released nor lapsed: every grant of a ministry at once. Whoever folds
/// the control log keeps them in memory, and a person proposes alone.
pub const MAX_OPEN_PROPOSALS: usize = 256;
/// Bytes of them: a few contracts of the largest size, or all those grants.
pub const MAX_OPEN_PROPOSAL_BYTES: usize = 4 * MAX_CONTROL_BYTES;
/// Most votes of one person on one proposal: people change their minds, and every vote is kept.
pub const MAX_VOTES: usize = 16;
/// Longest name of a review page in a proposal, in bytes: a SHA-256 in hexadecimal. Every vote repeats it.
pub const MAX_PAGE_DIGEST_BYTES: usize = 64;
/// Longest reason of a vote, in bytes.
pub const MAX_REASON_BYTES: usize = 4096;

/// Longest that an emergency grant holds, in milliseconds: 72 hours. Two persons decide within that about whatever is to
/// go on.
pub const MAX_EMERGENCY_MS: i64 = 72 * 3_600_000;
/// How long after the start of an emergency grant one person alone opens no other of the same dataset to the same agency, in
/// milliseconds: until the first is to have been reviewed, five working days later. Else one person could give without end
/// what is to be over after 72 hours.
pub const EMERGENCY_REVIEW_MS: i64 = 7 * crate::date::DAY_MS;
/// Longest that a grant of personal data holds, in milliseconds: twelve months, so that the need is looked at once a year.
/// They are 366 days at most; the last one counts to its end.
pub const MAX_PERSONAL_MS: i64 = 367 * crate::date::DAY_MS;

/// Longest that a relaxation of a rule holds, in milliseconds: 72 hours. A new version of the contract is put to the vote
/// within that; what is relaxed for longer is no rule any more.
pub const MAX_RELAXATION_MS: i64 = 72 * 3_600_000;
