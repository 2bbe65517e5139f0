//! What a decision about one grant comes to, as control events: ending, suspending, resuming; and whom the end of an
//! article or of an agency touches.

use std::collections::BTreeSet;

use kenh_domain::control::{Activation, ControlEvent, ControlSet, ViewEntry, ViewNo};
use kenh_domain::grant::{EndReason, Grant};
use kenh_domain::law::Article;
use kenh_domain::names::{Agency, GrantId};
use kenh_domain::topic::Edition;

use crate::layout;

/// Why nothing is decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// There is none of that name.
    #[error("there is no grant {0}; `kenh grant list` shows those there are")]
    NoGrant(GrantId),
    /// It has ended already.
    #[error("grant {0} has ended already")]
    Ended(GrantId),
    /// It is suspended already.
    #[error("grant {0} is suspended already")]
    Suspended(GrantId),
    /// It is not suspended.
    #[error("grant {0} is not suspended: there is nothing to resume")]
    NotSuspended(GrantId),
    /// Its time ran out while it was suspended.
    #[error("the time of grant {0} ran out while it was suspended: grant it anew, under a new id")]
    RanOut(GrantId),
    /// Its view is another grant's by now.
    #[error("grant {grant} cannot be resumed: its view is held by grant {holder}")]
    Held {
        /// The grant.
        grant: GrantId,
        /// Whose view it is.
        holder: GrantId,
    },
}

/// The events by which a grant is revoked or suspended: every edition of it that stands, and one that is suspended, ends
/// with `reason`; `because` says why in words.
///
/// # Errors
/// [`DecideError`].
pub fn stop(
    set: &ControlSet,
    id: &GrantId,
    reason: EndReason,
    because: &str,
    now_ms: i64,
) -> Result<Vec<ControlEvent>, DecideError> {
    let newest = set.view_of_grant(id).ok_or_else(|| DecideError::NoGrant(id.clone()))?;
    let suspended = |v: &ViewEntry| matches!(v.ended, Some((_, EndReason::Suspended)));
    if reason == EndReason::Suspended && suspended(newest) {
        return Err(DecideError::Suspended(id.clone()));
    }
    let mine = |v: &&ViewEntry| &v.activation.grant.id == id && (layout::stands(v, now_ms) || suspended(v));
    // A resumed grant has an edition before it that was suspended; that one is over.
    let due =
        set.views.values().filter(mine).filter(|v| !suspended(v) || v.activation.view_no == newest.activation.view_no);
    let end = |v: &ViewEntry| ControlEvent::End { view_no: v.activation.view_no, reason, because: because.to_owned() };
    let events: Vec<_> = due.map(end).collect();
    if events.is_empty() { Err(DecideError::Ended(id.clone())) } else { Ok(events) }
}

/// The event by which a suspended grant goes on: its next edition, filled anew, until the end that it had.
///
/// # Errors
/// [`DecideError`].
pub fn resume(set: &ControlSet, id: &GrantId, now_ms: i64) -> Result<ControlEvent, DecideError> {
    let last = set.view_of_grant(id).ok_or_else(|| DecideError::NoGrant(id.clone()))?;
    if !matches!(last.ended, Some((_, EndReason::Suspended))) {
        return Err(DecideError::NotSuspended(id.clone()));
    }
    let old = &*last.activation;
    if old.ends_ms <= now_ms {
        return Err(DecideError::RanOut(id.clone()));
    }
    let Grant { recipient, dataset, view, .. } = &old.grant;
    if let Some(holder) = set.editions(recipient, dataset, view).find(|v| layout::stands(v, now_ms)) {
        return Err(DecideError::Held { grant: id.clone(), holder: holder.activation.grant.id.clone() });
    }
    let edition = set.editions(recipient, dataset, view).map(|v| v.activation.edition.0).max().unwrap_or_default() + 1;
    let view_no = ViewNo(set.views.keys().last().map_or(0, |no| no.0) + 1);
    Ok(ControlEvent::Grant(Box::new(Activation {
        view_no,
        edition: Edition(edition),
        starts_ms: now_ms,
        ..old.clone()
    })))
}

/// The grants that stand, or are suspended, at `now_ms`, each once, newest edition.
pub fn in_life(set: &ControlSet, now_ms: i64) -> impl Iterator<Item = &ViewEntry> {
    let mut seen = BTreeSet::new();
    set.views.values().rev().filter(move |v| {
        let suspended = matches!(v.ended, Some((_, EndReason::Suspended)));
        let lives = layout::stands(v, now_ms) || (suspended && now_ms < v.activation.ends_ms);
        // The newest edition of a grant speaks for it, whether it lives or not.
        seen.insert(v.activation.grant.id.clone()) && lives
    })
}

/// The grants in life that stand on an article.
#[must_use]
pub fn resting_on<'a>(set: &'a ControlSet, article: &Article, now_ms: i64) -> Vec<&'a ViewEntry> {
    in_life(set, now_ms).filter(|v| v.activation.grant.legal_basis.iter().any(|basis| article.bears(basis))).collect()
}

/// The grants in life that must be signed again when an agency is replaced by another: those it receives by, and those on
/// datasets that it answers for.
#[must_use]
pub fn touched_by<'a>(set: &'a ControlSet, agency: &Agency, now_ms: i64) -> Vec<&'a ViewEntry> {
    let answers = |grant: &Grant| set.contracts.get(&grant.dataset).is_some_and(|c| &c.owner == agency);
    in_life(set, now_ms).filter(|v| &v.activation.grant.recipient == agency || answers(&v.activation.grant)).collect()
}
