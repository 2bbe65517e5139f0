//! The cluster's own access lists: making, listing and deleting lines. librdkafka has the calls, rdkafka no wrapper, so
//! that this is the second place that calls librdkafka directly (the first is `fetch`).
//!
//! It knows nothing of the bus: which lines there are to be is said in [`super::boundary`].
#![allow(unsafe_code, reason = "rdkafka wraps no call on access lists; each use says why it is sound")]

use std::ffi::{CStr, CString, c_char};
use std::ptr::{NonNull, null};

use rdkafka::admin::AdminClient;
use rdkafka::bindings as c;
use rdkafka::client::DefaultClientContext;

use super::ADMIN_TIMEOUT;

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A topic.
    Topic,
    /// A consumer group.
    Group,
    /// A transactional id.
    TransactionalId,
    /// The cluster as a whole.
    Cluster,
    /// Something that the client does not know.
    Unknown,
}

/// Which names a line covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// The one name; `*` is every name.
    Literal,
    /// Every name that begins so.
    Prefixed,
    /// Something that the client does not know.
    Unknown,
}

/// What a line allows or denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Everything.
    All,
    /// Read, and what it implies: describe.
    Read,
    /// Write, and what it implies: describe.
    Write,
    /// Make.
    Create,
    /// Delete.
    Delete,
    /// Change.
    Alter,
    /// See that it is there.
    Describe,
    /// Act as a broker.
    ClusterAction,
    /// See settings.
    DescribeConfigs,
    /// Change settings.
    AlterConfigs,
    /// Write idempotently, where no topic may be written.
    IdempotentWrite,
    /// Something that the client does not know.
    Unknown,
}

/// A line of the cluster's access lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    /// What it is about.
    pub kind: Kind,
    /// Which.
    pub name: String,
    /// How `name` is meant.
    pub pattern: Pattern,
    /// Who, as the cluster says it: `User:CN=h29-portal,OU=3`.
    pub principal: String,
    /// From where; `*` is anywhere.
    pub host: String,
    /// What.
    pub right: Right,
    /// Whether it allows; else it denies.
    pub allow: bool,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, name, pattern, principal, host, right, allow } = self;
        let verb = if *allow { "may" } else { "may not" };
        let star = if *pattern == Pattern::Prefixed { "…" } else { "" };
        write!(f, "{principal} {verb} {right:?} {kind:?} {name}{star}")?;
        if host == "*" { Ok(()) } else { write!(f, " from {host}") }
    }
}

/// Why lines could not be listed or changed. Some of a change may be in force.
#[derive(Debug, thiserror::Error)]
#[error("{doing} access lists of the cluster: {reason}")]
pub struct AclError {
    /// What was being done.
    doing: &'static str,
    /// What the client or the cluster said.
    reason: String,
}

/// Every line of a cluster that has to do with one name; none: every line.
pub type About<'a> = Option<(Kind, &'a str)>;

/// Lists lines, sorted. A name is taken as it is: lines with a prefix or `*` that cover it are left out.
///
/// Where this user may not see them (that takes DESCRIBE on the cluster), or the cluster has none, the answer is empty:
/// librdkafka 2.12 reads the cluster's refusal and drops it.
///
/// # Errors
/// [`AclError`].
pub fn list(admin: &AdminClient<DefaultClientContext>, about: About<'_>) -> Result<Vec<Line>, AclError> {
    let doing = "listing the";
    let filter = match about {
        None => everything(doing)?,
        Some((kind, name)) => named(doing, kind, name)?,
    };
    let call = Call::new(admin, c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBEACLS, doing)?;
    // SAFETY: client, filter, options and queue are alive for the call, which copies what it needs of them.
    unsafe { c::rd_kafka_DescribeAcls(call.client, filter.0.as_ptr(), call.options.as_ptr(), call.queue.as_ptr()) }
    let event = call.answer()?;
    // SAFETY: the event is alive; the call answers null for an event of another kind.
    let result = unsafe { c::rd_kafka_event_DescribeAcls_result(event.0.as_ptr()) };
    if result.is_null() {
        return Err(AclError { doing, reason: "the client answered something else".into() });
    }
    let mut count = 0;
    // SAFETY: the result lives in the event; the array it gives has `count` lines and lives as long.
    let lines = unsafe {
        let lines = c::rd_kafka_DescribeAcls_result_acls(result, &raw mut count);
        slice(lines, count).iter().map(|line| read(*line)).collect::<Vec<_>>()
    };
    let mut lines = lines;
    lines.sort();
    Ok(lines)
}

/// Makes lines; one that is there stays.
///
/// # Errors
/// [`AclError`]: the first line that was refused.
pub fn create(admin: &AdminClient<DefaultClientContext>, lines: &[Line]) -> Result<(), AclError> {
    let doing = "adding to the";
    if lines.is_empty() {
        return Ok(());
    }
    let bindings = lines.iter().map(|line| Binding::new(doing, line)).collect::<Result<Vec<_>, _>>()?;
    let mut pointers: Vec<_> = bindings.iter().map(|b| b.0.as_ptr()).collect();
    let call = Call::new(admin, c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATEACLS, doing)?;
    // SAFETY: client, options, queue and the `len` bindings behind the pointers are alive for the call, which copies them.
    unsafe {
        let (to, len) = (pointers.as_mut_ptr(), pointers.len());
        c::rd_kafka_CreateAcls(call.client, to, len, call.options.as_ptr(), call.queue.as_ptr());
    }
    let event = call.answer()?;
    // SAFETY: as in `list`.
    let result = unsafe { c::rd_kafka_event_CreateAcls_result(event.0.as_ptr()) };
    if result.is_null() {
        return Err(AclError { doing, reason: "the client answered something else".into() });
    }
    let mut count = 0;
    // SAFETY: as in `list`; an answer's error is null where there is none, and else lives as long.
    let refused = unsafe {
        let answers = c::rd_kafka_CreateAcls_result_acls(result, &raw mut count);
        slice(answers, count).iter().find_map(|answer| problem(c::rd_kafka_acl_result_error(*answer)))
    };
    refused.map_or(Ok(()), |reason| Err(AclError { doing, reason }))
}

/// Deletes exactly these lines; one that is not there is no error.
///
/// # Errors
/// [`AclError`]: the first line that could not be deleted, also one of which the client does not know what it is.
pub fn delete(admin: &AdminClient<DefaultClientContext>, lines: &[Line]) -> Result<(), AclError> {
    let doing = "taking from the";
    if lines.is_empty() {
        return Ok(());
    }
    let filters = lines.iter().map(|line| exactly(doing, line)).collect::<Result<Vec<_>, _>>()?;
    let mut pointers: Vec<_> = filters.iter().map(|f| f.0.as_ptr()).collect();
    let call = Call::new(admin, c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETEACLS, doing)?;
    // SAFETY: as in `create`.
    unsafe {
        let (to, len) = (pointers.as_mut_ptr(), pointers.len());
        c::rd_kafka_DeleteAcls(call.client, to, len, call.options.as_ptr(), call.queue.as_ptr());
    }
    let event = call.answer()?;
    // SAFETY: as in `list`.
    let result = unsafe { c::rd_kafka_event_DeleteAcls_result(event.0.as_ptr()) };
    if result.is_null() {
        return Err(AclError { doing, reason: "the client answered something else".into() });
    }
    let mut count = 0;
    // SAFETY: as in `create`. A line that was found and could not be deleted has an error of its own.
    let refused = unsafe {
        let answers = c::rd_kafka_DeleteAcls_result_responses(result, &raw mut count);
        slice(answers, count).iter().find_map(|answer| {
            problem(c::rd_kafka_DeleteAcls_result_response_error(*answer)).or_else(|| {
                let mut matched = 0;
                let lines = c::rd_kafka_DeleteAcls_result_response_matching_acls(*answer, &raw mut matched);
                slice(lines, matched).iter().find_map(|line| problem(c::rd_kafka_AclBinding_error(*line)))
            })
        })
    };
    refused.map_or(Ok(()), |reason| Err(AclError { doing, reason }))
}

/// What a call needs beside its lines: options with a time limit, and a queue of its own for the answer.
struct Call<'a> {
    client: *mut c::rd_kafka_t,
    options: NonNull<c::rd_kafka_AdminOptions_t>,
    queue: NonNull<c::rd_kafka_queue_t>,
    doing: &'static str,
    _alive: std::marker::PhantomData<&'a ()>,
}

impl<'a> Call<'a> {
    fn new(
        admin: &'a AdminClient<DefaultClientContext>,
        op: c::rd_kafka_admin_op_t,
        doing: &'static str,
    ) -> Result<Self, AclError> {
        let client = admin.inner().native_ptr();
        let none = || AclError { doing, reason: "the client has no memory left".into() };
        // SAFETY: the client outlives this value (its lifetime); what is made here is destroyed in `drop`.
        let queue = NonNull::new(unsafe { c::rd_kafka_queue_new(client) }).ok_or_else(none)?;
        // SAFETY: as above.
        let Some(options) = NonNull::new(unsafe { c::rd_kafka_AdminOptions_new(client, op) }) else {
            // SAFETY: made above, not used again.
            unsafe { c::rd_kafka_queue_destroy(queue.as_ptr()) }
            return Err(none());
        };
        let call = Self { client, options, queue, doing, _alive: std::marker::PhantomData };
        let mut said = [0 as c_char; ERROR_BYTES];
        // SAFETY: the options are alive, and the buffer has the length that is given.
        let set = unsafe {
            let ms = i32::try_from(ADMIN_TIMEOUT.as_millis()).unwrap_or(i32::MAX);
            c::rd_kafka_AdminOptions_set_request_timeout(options.as_ptr(), ms, said.as_mut_ptr(), said.len())
        };
        if set != c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(AclError { doing, reason: text(&said) });
        }
        Ok(call)
    }

    fn answer(&self) -> Result<Event, AclError> {
        let doing = self.doing;
        // The client itself gives up at the end of its time limit and says so; this waits a little longer.
        let ms = i32::try_from(ADMIN_TIMEOUT.as_millis() + 1_000).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive; the event is ours until destroyed.
        let event = NonNull::new(unsafe { c::rd_kafka_queue_poll(self.queue.as_ptr(), ms) });
        let event = event.map(Event).ok_or_else(|| AclError { doing, reason: "no answer came".into() })?;
        // SAFETY: the event is alive, and so is the text that it gives.
        let (code, said) = unsafe {
            let code = c::rd_kafka_event_error(event.0.as_ptr());
            (code, owned(c::rd_kafka_event_error_string(event.0.as_ptr())))
        };
        if code == c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Ok(event);
        }
        Err(AclError { doing, reason: said })
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        // SAFETY: both were made in `new` and are destroyed once; an answer that comes later is dropped by the client.
        unsafe {
            c::rd_kafka_AdminOptions_destroy(self.options.as_ptr());
            c::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

struct Event(NonNull<c::rd_kafka_event_t>);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made in `Call::answer` alone, of an event that is ours; destroyed once.
        unsafe { c::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

/// A line as the client has it. A filter is the same kind of value, where null stands for anything.
struct Binding(NonNull<c::rd_kafka_AclBinding_t>);

impl Drop for Binding {
    fn drop(&mut self) {
        // SAFETY: made by one of the two calls below, destroyed once; the type of filters is the same.
        unsafe { c::rd_kafka_AclBinding_destroy(self.0.as_ptr()) }
    }
}

/// Most bytes of what the client says about a value that it does not take.
const ERROR_BYTES: usize = 512;

impl Binding {
    fn new(doing: &'static str, line: &Line) -> Result<Self, AclError> {
        let name = c_string(doing, &line.name)?;
        let principal = c_string(doing, &line.principal)?;
        let host = c_string(doing, &line.host)?;
        let mut said = [0 as c_char; ERROR_BYTES];
        // SAFETY: the texts are C strings that outlive the call, which copies them; the buffer has the length given.
        let made = unsafe {
            c::rd_kafka_AclBinding_new(
                line.kind.native(),
                name.as_ptr(),
                line.pattern.native(),
                principal.as_ptr(),
                host.as_ptr(),
                line.right.native(),
                permission(line.allow),
                said.as_mut_ptr(),
                said.len(),
            )
        };
        NonNull::new(made).map(Self).ok_or_else(|| AclError { doing, reason: format!("{line}: {}", text(&said)) })
    }
}

/// Exactly one line.
fn exactly(doing: &'static str, line: &Line) -> Result<Binding, AclError> {
    let name = c_string(doing, &line.name)?;
    let principal = c_string(doing, &line.principal)?;
    let host = c_string(doing, &line.host)?;
    let texts = (name.as_ptr(), principal.as_ptr(), host.as_ptr());
    let kinds = (line.kind.native(), line.pattern.native(), line.right.native(), permission(line.allow));
    // SAFETY: the three texts live until the end of this function.
    unsafe { filter(doing, texts, kinds) }
}

fn everything(doing: &'static str) -> Result<Binding, AclError> {
    let kind = c::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_ANY;
    // SAFETY: there are no texts.
    unsafe { filter(doing, (null(), null(), null()), (kind, ANY_PATTERN, ANY_RIGHT, ANY_PERMISSION)) }
}

fn named(doing: &'static str, kind: Kind, name: &str) -> Result<Binding, AclError> {
    let name = c_string(doing, name)?;
    let kinds = (kind.native(), Pattern::Literal.native(), ANY_RIGHT, ANY_PERMISSION);
    // SAFETY: the text lives until the end of this function.
    unsafe { filter(doing, (name.as_ptr(), null(), null()), kinds) }
}

/// A filter by name, principal and host, where null is any.
///
/// # Safety
/// Each text must be null or a C string; they are copied.
unsafe fn filter(
    doing: &'static str,
    (name, principal, host): (*const c_char, *const c_char, *const c_char),
    (kind, pattern, right, permission): (
        c::rd_kafka_ResourceType_t,
        c::rd_kafka_ResourcePatternType_t,
        c::rd_kafka_AclOperation_t,
        c::rd_kafka_AclPermissionType_t,
    ),
) -> Result<Binding, AclError> {
    let mut said = [0 as c_char; ERROR_BYTES];
    // SAFETY: the caller's; the buffer has the length given.
    let made = unsafe {
        let (out, len) = (said.as_mut_ptr(), said.len());
        c::rd_kafka_AclBindingFilter_new(kind, name, pattern, principal, host, right, permission, out, len)
    };
    NonNull::new(made).map(Binding).ok_or_else(|| AclError { doing, reason: text(&said) })
}

const ANY_PATTERN: c::rd_kafka_ResourcePatternType_t = c::rd_kafka_ResourcePatternType_t::RD_KAFKA_RESOURCE_PATTERN_ANY;
const ANY_RIGHT: c::rd_kafka_AclOperation_t = c::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_ANY;
const ANY_PERMISSION: c::rd_kafka_AclPermissionType_t =
    c::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ANY;

fn permission(allow: bool) -> c::rd_kafka_AclPermissionType_t {
    match allow {
        true => c::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW,
        false => c::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_DENY,
    }
}

/// Two-way tables between our names and the client's; what is in neither is `Unknown`.
macro_rules! native {
    ($ours:ident, $theirs:ident { $($a:ident = $b:ident),+ } else $unknown:ident) => {
        impl $ours {
            const fn native(self) -> c::$theirs {
                match self {
                    $(Self::$a => c::$theirs::$b,)+
                    Self::Unknown => c::$theirs::$unknown,
                }
            }

            const fn from_native(native: c::$theirs) -> Self {
                match native {
                    $(c::$theirs::$b => Self::$a,)+
                    _ => Self::Unknown,
                }
            }
        }
    };
}

native!(Kind, rd_kafka_ResourceType_t {
    Topic = RD_KAFKA_RESOURCE_TOPIC,
    Group = RD_KAFKA_RESOURCE_GROUP,
    TransactionalId = RD_KAFKA_RESOURCE_TRANSACTIONAL_ID,
    Cluster = RD_KAFKA_RESOURCE_BROKER
} else RD_KAFKA_RESOURCE_UNKNOWN);

native!(Pattern, rd_kafka_ResourcePatternType_t {
    Literal = RD_KAFKA_RESOURCE_PATTERN_LITERAL,
    Prefixed = RD_KAFKA_RESOURCE_PATTERN_PREFIXED
} else RD_KAFKA_RESOURCE_PATTERN_UNKNOWN);

native!(Right, rd_kafka_AclOperation_t {
    All = RD_KAFKA_ACL_OPERATION_ALL,
    Read = RD_KAFKA_ACL_OPERATION_READ,
    Write = RD_KAFKA_ACL_OPERATION_WRITE,
    Create = RD_KAFKA_ACL_OPERATION_CREATE,
    Delete = RD_KAFKA_ACL_OPERATION_DELETE,
    Alter = RD_KAFKA_ACL_OPERATION_ALTER,
    Describe = RD_KAFKA_ACL_OPERATION_DESCRIBE,
    ClusterAction = RD_KAFKA_ACL_OPERATION_CLUSTER_ACTION,
    DescribeConfigs = RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
    AlterConfigs = RD_KAFKA_ACL_OPERATION_ALTER_CONFIGS,
    IdempotentWrite = RD_KAFKA_ACL_OPERATION_IDEMPOTENT_WRITE
} else RD_KAFKA_ACL_OPERATION_UNKNOWN);

/// Copies a line out.
///
/// # Safety
/// `line` must be one that the client gave, in an event that is alive.
unsafe fn read(line: *const c::rd_kafka_AclBinding_t) -> Line {
    // SAFETY: the caller's; every text lives in the line. The client gives only values that its own enums have (what it
    // does not know it gives as unknown), which Rust's copies of them name.
    unsafe {
        Line {
            kind: Kind::from_native(c::rd_kafka_AclBinding_restype(line)),
            name: owned(c::rd_kafka_AclBinding_name(line)),
            pattern: Pattern::from_native(c::rd_kafka_AclBinding_resource_pattern_type(line)),
            principal: owned(c::rd_kafka_AclBinding_principal(line)),
            host: owned(c::rd_kafka_AclBinding_host(line)),
            right: Right::from_native(c::rd_kafka_AclBinding_operation(line)),
            allow: c::rd_kafka_AclBinding_permission_type(line)
                == c::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW,
        }
    }
}

/// What an error says; none for null.
///
/// # Safety
/// `error` must be null or one that the client gave, in an event that is alive.
unsafe fn problem(error: *const c::rd_kafka_error_t) -> Option<String> {
    // SAFETY: the caller's; the text lives in the error.
    unsafe {
        let code = (!error.is_null()).then(|| c::rd_kafka_error_code(error))?;
        (code != c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| owned(c::rd_kafka_error_string(error)))
    }
}

/// An array of the client's.
///
/// # Safety
/// `first` must be null or point at `count` values that live as long as what the answer is used for.
unsafe fn slice<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if first.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: the caller's.
    unsafe { std::slice::from_raw_parts(first, count) }
}

/// Copies a text of the client's; empty for null.
///
/// # Safety
/// `text` must be null or a C string.
unsafe fn owned(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

fn c_string(doing: &'static str, text: &str) -> Result<CString, AclError> {
    CString::new(text).map_err(|_| AclError { doing, reason: "a name holds a zero byte".into() })
}

/// What the client wrote into a buffer.
fn text(buffer: &[c_char]) -> String {
    let bytes: Vec<u8> = buffer.iter().take_while(|b| **b != 0).map(|b| b.to_ne_bytes()[0]).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
