//! Where a grant stands, and the one table of how it gets there.
//!
//! [`life`] is a function of what was decided, of what recipients have confirmed, and of the time. [`TABLE`] says for each
//! state who signs what leads to it, which control event that is, and what deadline runs; `docs/grants.md` shows it to
//! people, and a test holds the two together.
//!
//! # Suspending
//! A suspended grant's edition ends, as it does when it is revoked: writing stops at a marker, access and topic go, the
//! agency is told to purge. Resuming is a next edition of the same grant, with the end it had, filled anew. To keep the
//! edition and only pause it would need a second kind of gap in every view (what changed meanwhile, tombstones that were
//! compacted away), and whoever is suspended for cause would keep a copy that nobody corrects. One mechanism for all ends
//! is the simpler promise.

use kenh_domain::confirm::{Claim, Confirmation};
use kenh_domain::control::{ControlSet, ViewEntry};
use kenh_domain::grant::EndReason;
use kenh_domain::names::{GrantId, ProposalId};
use kenh_domain::trust::needs::gaps;
use kenh_domain::trust::{Document, Gap, Standing, Verdict, Vote};
use serde::Serialize;

/// How long the evidence of processing is kept after the end that was granted, at least: 5 years (NĐ 356/2025). The
/// control log and the ledger are kept for ever; the date is for those who must answer for it.
const EVIDENCE_YEARS_MS: i64 = 5 * 366 * kenh_domain::date::DAY_MS;

/// Where a grant stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum State {
    /// Nothing of that name is on the bus: at most a document that somebody has written.
    Requested,
    /// Put to the vote.
    Proposed {
        /// As which proposal.
        proposal: ProposalId,
        /// Until when votes count: milliseconds since 1970 (UTC).
        deadline_ms: i64,
        /// What it lacks, in words.
        lacks: Vec<String>,
    },
    /// Refused, or the deadline passed without what it needs.
    Refused {
        /// As which proposal.
        proposal: ProposalId,
        /// The reasons given; empty when only its time ran out.
        reasons: Vec<String>,
    },
    /// Approved by those who decide; the recipient has not taken it up.
    Approved {
        /// As which proposal.
        proposal: ProposalId,
    },
    /// Approved and taken up: it may come into force.
    TakenUp {
        /// As which proposal.
        proposal: ProposalId,
    },
    /// In force, or with a start that lies ahead.
    Active {
        /// Until when: milliseconds since 1970 (UTC), exclusive.
        ends_ms: i64,
    },
    /// It stands and gives nothing.
    Suspended {
        /// Why, in words.
        because: String,
        /// Until when it may be resumed: milliseconds since 1970 (UTC), exclusive.
        ends_ms: i64,
    },
    /// It gives nothing any more, and the recipient has not yet said that it purged its copy.
    Ended {
        /// Why.
        reason: EndReason,
        /// Why, in words.
        because: String,
    },
    /// Ended, and the recipient says that it has removed every row. What was decided and proven stays.
    Purged {
        /// Why it ended.
        reason: EndReason,
        /// Until when the evidence is kept, at least: milliseconds since 1970 (UTC).
        evidence_until_ms: i64,
    },
}

impl State {
    /// Its name in the table.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Proposed { .. } => "proposed",
            Self::Refused { .. } => "refused",
            Self::Approved { .. } => "approved",
            Self::TakenUp { .. } => "taken-up",
            Self::Active { .. } => "active",
            Self::Suspended { .. } => "suspended",
            Self::Ended { .. } => "ended",
            Self::Purged { .. } => "purged",
        }
    }
}

/// A line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The state.
    pub state: &'static str,
    /// Its Vietnamese name.
    pub vi: &'static str,
    /// Who signs what leads to it.
    pub signs: &'static str,
    /// What leads to it.
    pub event: &'static str,
    /// What deadline runs.
    pub deadline: &'static str,
}

const fn line(
    state: &'static str,
    vi: &'static str,
    signs: &'static str,
    event: &'static str,
    deadline: &'static str,
) -> Line {
    Line { state, vi, signs, event, deadline }
}

/// The life of a grant, in order.
pub const TABLE: [Line; 9] = [
    line("requested", "đề nghị", "nobody", "none: a document from `kenh grant request`", "none"),
    line("proposed", "trình", "its author", "`proposal`", "the proposal's own, for votes"),
    line(
        "refused",
        "từ chối",
        "an owner or data-protection officer",
        "`vote`: refuse, with a written reason and article (`--reason`, `--article`); or the deadline passed",
        "none: it is proposed anew",
    ),
    line(
        "approved",
        "được duyệt",
        "an owner and a data-protection officer, neither the author; in an emergency one of them",
        "`vote`: approve",
        "released within 90 days of the proposal's deadline",
    ),
    line(
        "taken-up",
        "được tiếp nhận",
        "a recipient",
        "`vote`: take-up",
        "released within 90 days of the proposal's deadline",
    ),
    line(
        "active",
        "có hiệu lực",
        "nobody more: the approval counts",
        "`grant`, or `renewal`",
        "its end: 12 months at most with personal data, 72 hours in an emergency",
    ),
    line(
        "suspended",
        "tạm đình chỉ",
        "an owner or data-protection officer",
        "`end`: suspended; resumed by `grant` with the next edition",
        "its end goes on running",
    ),
    line(
        "ended",
        "chấm dứt",
        "by revocation an owner or data-protection officer; by its document one of them or a recipient; else nobody",
        "`end`: revoked, ended, superseded; or its time (expired), or the last day of an article (law)",
        "the recipient purges its copy",
    ),
    line(
        "purged",
        "đã xóa",
        "the recipient",
        "a purge confirmation in `confirm.<agency>`",
        "evidence kept for 5 years after the granted end, at least",
    ),
];

/// Where grant `id` stands at `now_ms` (milliseconds since 1970, UTC), with what its recipient has confirmed.
#[must_use]
pub fn life(set: &ControlSet, confirmed: &[Confirmation], id: &GrantId, now_ms: i64) -> State {
    match set.view_of_grant(id) {
        Some(entry) => of_view(set, confirmed, entry, now_ms),
        None => of_proposals(set, id, now_ms),
    }
}

fn of_view(set: &ControlSet, confirmed: &[Confirmation], entry: &ViewEntry, now_ms: i64) -> State {
    let no = entry.activation.view_no;
    let ends_ms = entry.activation.ends_ms;
    let because = set.reasons.get(&no).cloned().unwrap_or_default();
    let reason = match set.end_of(entry, now_ms) {
        None => return State::Active { ends_ms },
        // A suspension does not outlive the grant.
        Some(EndReason::Suspended) if now_ms < ends_ms => return State::Suspended { because, ends_ms },
        Some(EndReason::Suspended) => EndReason::Expired,
        Some(reason) => reason,
    };
    if confirmed.iter().any(|c| purges(c, entry)) {
        let granted = set.agreed.get(&no).copied().unwrap_or(ends_ms);
        return State::Purged { reason, evidence_until_ms: granted.saturating_add(EVIDENCE_YEARS_MS) };
    }
    State::Ended { reason, because }
}

/// Whether a confirmation says that this very edition is gone.
fn purges(confirmation: &Confirmation, entry: &ViewEntry) -> bool {
    let grant = &entry.activation.grant;
    matches!(confirmation.claim, Claim::Purged { .. })
        && confirmation.edition == entry.activation.edition
        && (&confirmation.agency, &confirmation.dataset, &confirmation.view)
            == (&grant.recipient, &grant.dataset, &grant.view)
}

fn of_proposals(set: &ControlSet, id: &GrantId, now_ms: i64) -> State {
    let mine = |s: &&Standing| matches!(&s.proposal.document, Document::Grant(grant) if &grant.id == id);
    // The one whose votes count longest is the latest word.
    let Some(standing) = set.proposals.values().filter(mine).max_by_key(|s| s.proposal.deadline_ms) else {
        return State::Requested;
    };
    let proposal = standing.proposal.id.clone();
    let refusing: Vec<_> = standing.said(Verdict::Refuse).filter_map(|person| standing.vote_of(person)).collect();
    if !refusing.is_empty() {
        return State::Refused { proposal, reasons: refusing.into_iter().map(Vote::grounds).collect() };
    }
    let lacks = gaps(set, standing, now_ms);
    // Taking up is the recipient's; what else is lacking is for those who decide.
    let decided = |lacks: &[Gap]| lacks.iter().all(|lack| matches!(lack, Gap::TakeUp(_)));
    match lacks {
        lacks if lacks.is_empty() => State::TakenUp { proposal },
        lacks if decided(&lacks) => State::Approved { proposal },
        lacks if now_ms < standing.proposal.deadline_ms => {
            let lacks = lacks.iter().map(ToString::to_string).collect();
            State::Proposed { proposal, deadline_ms: standing.proposal.deadline_ms, lacks }
        }
        _ => State::Refused { proposal, reasons: Vec::new() },
    }
}
