//! What the projector does for the records of one writer schema: a list of byte ranges, constants, conversions and
//! masks, in the order of the view's fields.

use super::convert::{Convert, Misfit, same_bytes};
use super::mask;
use super::view::put_null;
use crate::filter::Filter;
use crate::grant::Mask;
use crate::schema::versions::{Source, StandIn};
use crate::schema::{NullBranch, Path, Spans, Type, Value};
use crate::secret::Secret;

/// For one writer schema.
#[derive(Debug)]
pub(super) struct Plan {
    filter: Option<Filter>,
    steps: Box<[Step]>,
}

#[derive(Debug)]
pub(super) enum Step {
    /// The bytes from the start of one field to the end of another: neighbours are copied together.
    Copy { from: usize, to: usize, next: usize },
    /// The same for every record.
    Constant(Box<[u8]>),
    /// The writer has no such field: `value`, or `null` where the record it would be in is null.
    Default { parent: Path, null: Box<[u8]>, value: Box<[u8]> },
    /// A field that is written in another form, or that a null record may lack.
    Convert { slot: usize, absent: Box<[u8]>, convert: Convert },
    /// A field under a mask.
    Mask { path: Path, mask: Mask, null: Option<NullBranch> },
}

impl Plan {
    pub(super) fn new(filter: Option<Filter>, steps: Vec<Step>) -> Self {
        let mut joined: Vec<Step> = Vec::with_capacity(steps.len());
        for step in steps {
            match (joined.last_mut(), &step) {
                // Slots are numbered in the order of the bytes, so that the one after a field's last begins where the
                // field ends.
                (Some(Step::Copy { to, next, .. }), Step::Copy { from, to: to2, next: next2 }) if next == from => {
                    (*to, *next) = (*to2, *next2);
                }
                (Some(Step::Constant(bytes)), Step::Constant(more)) => *bytes = [&**bytes, &**more].concat().into(),
                _ => joined.push(step),
            }
        }
        Self { filter, steps: joined.into() }
    }

    pub(super) fn filter(&self) -> Option<&Filter> {
        self.filter.as_ref()
    }

    #[inline]
    pub(super) fn matches(&self, body: &[u8], spans: &Spans) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches(body, spans))
    }

    /// Appends the record as the view has it. The body has been walked, so that every range is there.
    pub(super) fn project(&self, body: &[u8], spans: &Spans, secret: Option<&Secret>, out: &mut Vec<u8>) {
        for step in &self.steps {
            match step {
                Step::Copy { from, to, .. } => {
                    let range = spans.get(*from).zip(spans.get(*to)).map(|(from, to)| from.start..to.end);
                    out.extend_from_slice(range.and_then(|range| body.get(range)).unwrap_or_default());
                }
                Step::Constant(bytes) => out.extend_from_slice(bytes),
                Step::Default { parent, null, value } => {
                    let is_null = parent.value(body, spans) == Value::Null;
                    out.extend_from_slice(if is_null { null } else { value });
                }
                Step::Convert { slot, absent, convert } => match spans.get(*slot).and_then(|range| body.get(range)) {
                    Some(bytes) => convert.whole(bytes, out),
                    None => out.extend_from_slice(absent),
                },
                Step::Mask { path, mask, null } => mask::put(mask, path.value(body, spans), *null, secret, out),
            }
        }
    }
}

/// The step for one field of the view.
pub(super) fn step(
    source: &Source,
    view: &Type,
    mask: Option<&Mask>,
    origins: &[&Type],
    secret: Option<&Secret>,
) -> Result<Step, Misfit> {
    match (source, mask) {
        (Source::Field(path), None) => copied(path, view, origins),
        (Source::StandIn(stand_in), None) => default(stand_in, view, |bytes, out| {
            Convert::new(&stand_in.ty, view, origins)?.whole(bytes, out);
            Ok(())
        }),
        (_, Some(mask)) => masked(source, view, mask, secret),
    }
}

const NO_NULL: Misfit = "it may be null, and the view's field may not";

fn null_of(view: &Type) -> Result<Box<[u8]>, Misfit> {
    let mut null = Vec::new();
    if put_null(view, &mut null) { Ok(null.into()) } else { Err(NO_NULL) }
}

fn copied(path: &Path, view: &Type, origins: &[&Type]) -> Result<Step, Misfit> {
    let slot = path.slot();
    if !path.under_nullable() && same_bytes(path.ty(), view) {
        let next = slot + 1 + path.ty().record().map_or(0, |record| record.slots);
        return Ok(Step::Copy { from: slot, to: slot, next });
    }
    let absent = if path.under_nullable() { null_of(view)? } else { Box::default() };
    Ok(Step::Convert { slot, absent, convert: Convert::new(path.ty(), view, origins)? })
}

/// A field that the writer does not have; `write` makes the view's bytes of the default's.
fn default(
    stand_in: &StandIn,
    view: &Type,
    write: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<(), Misfit>,
) -> Result<Step, Misfit> {
    let mut value = Vec::new();
    match &stand_in.bytes {
        Some(bytes) => write(bytes, &mut value)?,
        None => value = null_of(view)?.into(),
    }
    Ok(match &stand_in.parent {
        Some(parent) => Step::Default { parent: parent.clone(), null: null_of(view)?, value: value.into() },
        None => Step::Constant(value.into()),
    })
}

fn masked(source: &Source, view: &Type, mask: &Mask, secret: Option<&Secret>) -> Result<Step, Misfit> {
    let (ty, may_be_null) = match source {
        Source::Field(path) => (path.ty(), path.nullable()),
        Source::StandIn(stand_in) => (&stand_in.ty, stand_in.bytes.is_none() || stand_in.parent.is_some()),
    };
    mask::fits(mask, ty).map_err(|_| "its type is one that the mask is not for")?;
    if *mask == Mask::Null {
        return null_of(view).map(Step::Constant);
    }
    if view.inner() != mask::output(mask, ty, false).inner() {
        return Err("the mask gives another type");
    }
    let null = match view {
        Type::Nullable(_, null) => Some(*null),
        _ => None,
    };
    // A constant hides null as well.
    if null.is_none() && !matches!(mask, Mask::Constant(_)) && mask::gives_null(mask, ty, may_be_null) {
        return Err(NO_NULL);
    }
    let constant = |value: Value<'_>| {
        let mut bytes = Vec::new();
        // Without its secret a shape authorises nothing, so that a hash's bytes are never asked for.
        if *mask != Mask::Hash || secret.is_some() {
            mask::put(mask, value, null, secret, &mut bytes);
        }
        bytes.into_boxed_slice()
    };
    Ok(match source {
        _ if matches!(mask, Mask::Constant(_)) => Step::Constant(constant(Value::Null)),
        Source::Field(path) => Step::Mask { path: path.clone(), mask: mask.clone(), null },
        Source::StandIn(stand_in) => match &stand_in.parent {
            Some(parent) => {
                let (null, value) = (constant(Value::Null), constant(stand_in.value()));
                Step::Default { parent: parent.clone(), null, value }
            }
            None => Step::Constant(constant(stand_in.value())),
        },
    })
}
