//! The table: which control event needs whose signature, on a bus whose genesis names a root.
//!
//! | event | needs |
//! |---|---|
//! | genesis | nothing: it names the root |
//! | roster | the root |
//! | root | the root before, or the spare, and the root after |
//! | spare | the root, the spare after and, where there is one, the spare before |
//! | rotation | the person's key before and the key after |
//! | agency | a registrar |
//! | law | a person with the role legal |
//! | proposal | its author |
//! | vote | whoever votes |
//! | contract | the proposal's approval by an owner and a data-protection officer of the agency that answers for the dataset: two persons, neither the author, and no refusal |
//! | grant, renewal | the same, and that the recipient has taken it up |
//! | grant for an emergency | the same, but the approval of one of the two persons is enough for 72 hours, and not again within 7 days of such a grant |
//! | relaxation of a rule | the same as a contract; it ends within 72 hours |
//! | restoration of a rule | an owner or data-protection officer of that agency |
//! | end: revoked, suspended | an owner or data-protection officer of that agency |
//! | end: ended | one of those, or a recipient of the agency that receives |
//! | end: superseded | nothing; a newer edition, or an approved grant for the same view, must stand |
//! | end: expired, law | nothing; its time must be over |
//! | epoch | two persons, each an owner or data-protection officer of the provider or of the agency that answers for the dataset |
//! | schema | nothing: a schema counts where a contract or grant names it, and there it is checked |
//!
//! `docs/signatures.md` shows this table; a test holds it to that.

use super::proposal::{Document, Standing, Verdict};
use super::roster::{Member, Role};
use super::{Gap, TrustError, Who};
use crate::contract::{Contract, SchemaVersion};
use crate::control::{Activation, ControlEvent, ControlSet, ViewEntry};
use crate::date::DAY_MS;
use crate::envelope;
use crate::grant::{EndReason, Grant, Term};
use crate::limits::{EMERGENCY_REVIEW_MS, MAX_EMERGENCY_MS, MAX_PERSONAL_MS};
use crate::names::{Agency, Dataset, Person};
use crate::schema::Schema;

/// Who has signed a record; every signature has been verified.
pub struct Signers<'a> {
    /// When: the record's time.
    pub at_ms: i64,
    /// Whether the root has.
    pub root: bool,
    /// The persons.
    pub members: Vec<&'a Member>,
}

impl Signers<'_> {
    fn have(&self, agency: &Agency, role: Role) -> bool {
        self.members.iter().any(|m| &m.agency == agency && m.has(role, self.at_ms))
    }

    fn any_has(&self, role: Role) -> bool {
        self.members.iter().any(|m| m.has(role, self.at_ms))
    }

    fn are(&self, person: &Person) -> bool {
        self.members.iter().any(|m| &m.person == person)
    }

    /// One of them alone.
    fn only(&self, person: &Person) -> Self {
        let members = self.members.iter().copied().filter(|m| &m.person == person).collect();
        Self { at_ms: self.at_ms, root: false, members }
    }

    fn words(&self) -> String {
        let mut who: Vec<String> = self.members.iter().map(|m| format!("{} of {}", m.person, m.agency)).collect();
        if self.root {
            who.push(Who::Root.to_string());
        }
        who.join(", ")
    }

    fn lacking(&self, needs: String) -> TrustError {
        if self.members.is_empty() && !self.root {
            return TrustError::Unsigned { needs };
        }
        TrustError::MissingRole { needs, by: self.words() }
    }
}

/// Whether `event` has what it needs.
///
/// # Errors
/// [`TrustError`]: the record is ignored.
pub fn check(set: &ControlSet, event: &ControlEvent, signers: &Signers<'_>) -> Result<(), TrustError> {
    let require =
        |enough: bool, needs: &dyn Fn() -> String| if enough { Ok(()) } else { Err(signers.lacking(needs())) };
    match event {
        // The fold knows the keys of both and has verified them.
        ControlEvent::Genesis { .. }
        | ControlEvent::Root { .. }
        | ControlEvent::Spare { .. }
        | ControlEvent::Rotation { .. }
        | ControlEvent::Schema(_) => Ok(()),
        ControlEvent::Roster(_) => require(signers.root, &|| "the signature of the root".into()),
        ControlEvent::Agency(_) => require(signers.any_has(Role::Registrar), &|| "the signature of a registrar".into()),
        ControlEvent::Law(_) => {
            require(signers.any_has(Role::Legal), &|| "the signature of a person with the role legal".into())
        }
        ControlEvent::Proposal(proposal) => {
            require(signers.are(&proposal.author), &|| format!("the signature of its author, {}", proposal.author))
        }
        ControlEvent::Vote(vote) => {
            require(signers.are(&vote.person), &|| format!("the signature of {}, whose vote it is", vote.person))?;
            // Somebody else's signature beside it lends no role.
            may_vote(set, vote, &signers.only(&vote.person))
        }
        ControlEvent::Contract(contract) => {
            approved(set, &Document::of_contract(contract), signers.at_ms)?;
            its_own_schemas(set, contract)?;
            keeps_to_a_year(set, contract, signers.at_ms)
        }
        ControlEvent::Grant(activation) => {
            // A start that lies ahead outlives no approval.
            approved(set, &Document::of_grant(&activation.grant), signers.at_ms.max(activation.starts_ms))?;
            machine_made(activation, signers.at_ms)?;
            ends_in_time(set, &activation.grant, activation.starts_ms, activation.ends_ms)
        }
        ControlEvent::Renewal { grant, ends_ms, .. } => {
            approved(set, &Document::of_grant(grant), signers.at_ms)?;
            ends_in_time(set, grant, signers.at_ms, *ends_ms)
        }
        ControlEvent::Relaxation(relaxation) => approved(set, &Document::of_relaxation(relaxation), signers.at_ms),
        ControlEvent::Restoration { relaxation, .. } => {
            let Some(entry) = set.relaxations.get(relaxation) else { return Ok(()) };
            let owner = owner(set, &entry.relaxation.dataset);
            require(owner.is_some_and(|owner| decides(signers, owner)), &|| needs_owner(owner))
        }
        ControlEvent::End { view_no, reason, .. } => {
            let Some(entry) = set.views.get(view_no) else { return Ok(()) };
            let Activation { grant, ends_ms, .. } = &*entry.activation;
            let owner = owner(set, &grant.dataset);
            let by_owner = owner.is_some_and(|owner| decides(signers, owner));
            match reason {
                EndReason::Revoked | EndReason::Suspended => require(by_owner, &|| needs_owner(owner)),
                EndReason::Ended => {
                    let by_recipient = signers.have(&grant.recipient, Role::Recipient);
                    let needs = || format!("{}, or of a recipient of {}", needs_owner(owner), grant.recipient);
                    require(by_owner || by_recipient, &needs)
                }
                EndReason::Superseded => superseded(set, *view_no, signers.at_ms),
                EndReason::Expired | EndReason::Law if *ends_ms <= signers.at_ms => Ok(()),
                EndReason::Expired | EndReason::Law => {
                    Err(TrustError::Unfit(format!("view {} has not expired yet", view_no.0)))
                }
            }
        }
        ControlEvent::Epoch { dataset, provider, by, .. } => {
            let may = |m: &&&Member| {
                let of = &m.agency == provider || owner(set, dataset) == Some(&m.agency);
                of && (m.has(Role::Owner, signers.at_ms) || m.has(Role::DataProtectionOfficer, signers.at_ms))
            };
            let deciding: Vec<_> = signers.members.iter().filter(may).collect();
            let both = by.iter().all(|name| deciding.iter().any(|m| m.person.as_str() == name));
            require(both && deciding.len() >= 2, &|| {
                format!(
                    "the signatures of the two persons that it names, each an owner or data-protection officer of {provider} or of the owner of {dataset}"
                )
            })
        }
    }
}

fn needs_owner(owner: Option<&Agency>) -> String {
    match owner {
        Some(owner) => format!("the signature of an owner or data-protection officer of {owner}"),
        None => "the signature of an owner or data-protection officer of the dataset's agency".into(),
    }
}

fn decides(signers: &Signers<'_>, agency: &Agency) -> bool {
    signers.have(agency, Role::Owner) || signers.have(agency, Role::DataProtectionOfficer)
}

/// The agency that answers for a dataset now.
fn owner<'a>(set: &'a ControlSet, dataset: &Dataset) -> Option<&'a Agency> {
    set.contracts.get(dataset).map(|contract| &contract.owner)
}

/// The agency whose persons decide about a document: the dataset's present owner, or whom a first contract names.
#[must_use]
pub fn decided_by<'a>(set: &'a ControlSet, document: &'a Document) -> Option<&'a Agency> {
    owner(set, document.dataset()).or(match document {
        Document::Contract(contract) => Some(&contract.owner),
        Document::Grant(_) | Document::Relaxation(_) => None,
    })
}

/// Whether a vote may be cast: who approves or refuses decides for the dataset, who takes up is the recipient.
fn may_vote(set: &ControlSet, vote: &super::Vote, signers: &Signers<'_>) -> Result<(), TrustError> {
    // Whether the proposal stands is for the fold.
    let Some(standing) = set.proposals.get(&vote.proposal) else { return Ok(()) };
    let document = &standing.proposal.document;
    match vote.verdict {
        Verdict::Approve | Verdict::Refuse => {
            let agency = decided_by(set, document);
            if agency.is_some_and(|agency| decides(signers, agency)) {
                Ok(())
            } else {
                Err(signers.lacking(needs_owner(agency)))
            }
        }
        Verdict::TakeUp => match document.view() {
            Some((recipient, ..)) if signers.have(recipient, Role::Recipient) => Ok(()),
            Some((recipient, ..)) => Err(signers.lacking(format!("the signature of a recipient of {recipient}"))),
            None => Err(TrustError::Unfit("only a grant is taken up".into())),
        },
        Verdict::AdviseFor | Verdict::AdviseAgainst => Ok(()),
    }
}

/// Whether a document is approved, and by whom it still is to be: the rule that stands in the table.
///
/// # Errors
/// [`TrustError::NotApproved`], saying what is missing.
pub fn approved(set: &ControlSet, document: &Document, at_ms: i64) -> Result<(), TrustError> {
    let digest = document.digest();
    let of_it = set.proposals.values().filter(|s| s.digest == digest);
    let mut missing = format!("no proposal of exactly this document stands; propose it (sha256 {digest})");
    for standing in of_it {
        match gaps(set, standing, at_ms) {
            gaps if gaps.is_empty() => return Ok(()),
            gaps => missing = format!("proposal {} lacks {}", standing.proposal.id, words(&gaps)),
        }
    }
    Err(TrustError::NotApproved { what: document.subject().to_string(), missing })
}

/// Gaps as one text, for people.
#[must_use]
pub fn words(gaps: &[Gap]) -> String {
    gaps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", and ")
}

/// What a proposal still lacks; nothing when it is approved.
#[must_use]
pub fn gaps(set: &ControlSet, standing: &Standing, at_ms: i64) -> Vec<Gap> {
    let document = &standing.proposal.document;
    let Some(roster) = &set.roster else { return vec![Gap::Roster] };
    let Some(agency) = decided_by(set, document) else { return vec![Gap::Contract(document.dataset().clone())] };
    let mut gaps = Vec::new();
    if standing.released.is_some() {
        gaps.push(Gap::Released);
    }
    if at_ms >= standing.lapses_ms() {
        gaps.push(Gap::Lapsed);
    }
    let refusing: Vec<_> = standing.said(Verdict::Refuse).cloned().collect();
    if !refusing.is_empty() {
        gaps.push(Gap::Refused(refusing));
    }
    // A vote with a key that, as is known now, was another's hands by then, is none.
    let still = |person: &&Person| {
        standing
            .signed_with
            .get(*person)
            .is_none_or(|(key, cast_ms)| roster.member(person).is_some_and(|member| member.signs_with(key, *cast_ms)))
    };
    let approving: Vec<&Member> = standing
        .said(Verdict::Approve)
        .filter(still)
        .filter_map(|person| roster.member(person))
        .filter(|m| &m.agency == agency)
        .collect();
    let (owner, officer) = (Role::Owner, Role::DataProtectionOfficer);
    // Two persons: somebody with both roles counts for one of them.
    let two = approving
        .iter()
        .any(|a| a.has(owner, at_ms) && approving.iter().any(|b| b.person != a.person && b.has(officer, at_ms)));
    let emergency = matches!(document, Document::Grant(grant) if grant.emergency && !under_review(set, grant, at_ms));
    let now = |m: &Member| standing.voted_ms(&m.person).is_some_and(|cast_ms| at_ms - cast_ms < MAX_EMERGENCY_MS);
    let one = approving.iter().any(|m| now(m) && (m.has(owner, at_ms) || m.has(officer, at_ms)));
    if !(two || emergency && one) {
        let lacks = |role| !approving.iter().any(|m| m.has(role, at_ms));
        let lacking: Vec<_> = [owner, officer].into_iter().filter(|role| lacks(*role)).collect();
        gaps.push(match lacking.is_empty() {
            true => Gap::SecondPerson(agency.clone()),
            false => Gap::Approval(lacking, agency.clone()),
        });
    }
    if let Some((recipient, ..)) = document.view() {
        let takes_up =
            |p: &Person| roster.member(p).is_some_and(|m| &m.agency == recipient && m.has(Role::Recipient, at_ms));
        if !standing.said(Verdict::TakeUp).filter(still).any(takes_up) {
            gaps.push(Gap::TakeUp(recipient.clone()));
        }
    }
    gaps
}

/// Whether an emergency grant of the same dataset to the same agency has begun so lately that it is not reviewed yet.
fn under_review(set: &ControlSet, grant: &Grant, at_ms: i64) -> bool {
    set.views.values().any(|view| {
        let Activation { grant: other, starts_ms, .. } = &*view.activation;
        other.emergency
            && (&other.recipient, &other.dataset) == (&grant.recipient, &grant.dataset)
            && at_ms < starts_ms.saturating_add(EMERGENCY_REVIEW_MS)
    })
}

/// The ids of a contract's schemas, which nobody signs, are those of the texts that were approved, and of envelopes around
/// them: under another's id, a submission would be read as what it is not.
fn its_own_schemas(set: &ControlSet, contract: &Contract) -> Result<(), TrustError> {
    // A later release may describe an envelope in other words; what it is stays.
    let same = |a: &str, b: &str| {
        a == b || matches!((Schema::parse(a), Schema::parse(b)), (Ok(a), Ok(b)) if a.fingerprint() == b.fingerprint())
    };
    let named = |id| set.schemas.get(&id).map(|known| known.schema.as_str());
    let own = |v: &SchemaVersion| {
        let envelope = envelope::schema(&v.schema).ok().zip(named(v.envelope_id));
        named(v.id) == Some(&v.schema) && envelope.is_some_and(|(wanted, named)| same(&wanted, named))
    };
    let other = |v: &&SchemaVersion| !own(v);
    match contract.schemas.iter().find(other) {
        None => Ok(()),
        Some(v) => Err(TrustError::Unfit(format!(
            "version {} of {}: the schema ids {} and {} are not those of the schema that was approved and of its envelope",
            v.version, contract.dataset, v.id, v.envelope_id
        ))),
    }
}

/// What of an activation nobody signs may not say more than the grant. (That its schema is the view's shows when the
/// shape is compiled under it.)
fn machine_made(activation: &Activation, at_ms: i64) -> Result<(), TrustError> {
    let Activation { grant, starts_ms, secret_label, .. } = activation;
    let (stem, number) = secret_label.rsplit_once('/').unwrap_or_default();
    if number.parse().map(|n| grant.secret_label(n)).as_ref() != Ok(secret_label) {
        return Err(TrustError::Unfit(format!(
            "grant {} would derive pseudonyms under a secret ({stem}) that is not its recipient's and purpose's own",
            grant.id
        )));
    }
    if *starts_ms < at_ms {
        return Err(TrustError::Unfit(format!("grant {} would start before it was activated", grant.id)));
    }
    Ok(())
}

/// No grant holds beyond its last day, or for longer than its duration, whatever calendar is counted by: years of 366
/// days, months of 31, and a day for its last one. None gives personal data for more than a year, and one for an
/// emergency names its template: what that allows is held by `kenh apply` and shown by the review, since templates are no
/// part of the log. (That an emergency is over in 72 hours holds on every bus, see [`ControlSet::apply`].)
fn ends_in_time(set: &ControlSet, grant: &Grant, from_ms: i64, ends_ms: i64) -> Result<(), TrustError> {
    let unfit = |why: String| Err(TrustError::Unfit(format!("grant {} {why}", grant.id)));
    let holds_ms = ends_ms.saturating_sub(from_ms);
    match &grant.duration {
        Term::Duration(duration) => {
            let Some(longest) = longest_days(duration) else {
                return unfit("has no duration that can be read".into());
            };
            if holds_ms > (longest + 1) * DAY_MS {
                return unfit(format!("would hold for longer than {duration}"));
            }
        }
        Term::Ends(day) if ends_ms > day.ends_ms() => {
            return unfit(format!("would hold beyond its last day, {day}"));
        }
        Term::Ends(_) => {}
    }
    if grant.emergency && grant.template.is_none() {
        return unfit("is an emergency grant and names no template".into());
    }
    if holds_ms > MAX_PERSONAL_MS && set.contracts.get(&grant.dataset).is_some_and(|c| c.gives_personal(grant)) {
        return unfit("gives personal data and would hold for more than twelve months".into());
    }
    Ok(())
}

/// No contract makes personal data of what a grant gives for more than a year from now.
fn keeps_to_a_year(set: &ControlSet, contract: &Contract, at_ms: i64) -> Result<(), TrustError> {
    let too_long = |view: &&ViewEntry| {
        let Activation { grant, starts_ms, ends_ms, .. } = &*view.activation;
        view.ended.is_none()
            && grant.dataset == contract.dataset
            && ends_ms.saturating_sub(at_ms.max(*starts_ms)) > MAX_PERSONAL_MS
            && contract.gives_personal(grant)
    };
    match set.views.values().find(too_long) {
        None => Ok(()),
        Some(view) => Err(TrustError::Unfit(format!(
            "contract {} makes personal data of what grant {} gives for more than twelve months; shorten that grant first",
            contract.dataset, view.activation.grant.id
        ))),
    }
}

fn longest_days(duration: &str) -> Option<i64> {
    let mut rest = duration.strip_prefix('P')?;
    let mut days = 0;
    for (letter, each) in [('Y', 366), ('M', 31), ('D', 1)] {
        if let Some((number, tail)) = rest.split_once(letter) {
            days += number.parse::<u16>().ok().map(i64::from)? * each;
            rest = tail;
        }
    }
    rest.is_empty().then_some(days)
}

/// An edition makes room for a newer one of its view, or for an approved grant that will take its name.
fn superseded(set: &ControlSet, view_no: crate::control::ViewNo, at_ms: i64) -> Result<(), TrustError> {
    let Some(entry) = set.views.get(&view_no) else { return Ok(()) };
    let Grant { recipient, dataset, view, .. } = &entry.activation.grant;
    let newer = set
        .editions(recipient, dataset, view)
        .any(|other| other.activation.edition > entry.activation.edition && other.ended.is_none());
    let approved_next = || {
        set.proposals.values().any(|standing| {
            let document = &standing.proposal.document;
            document.view() == Some((recipient, dataset, view))
                && document != &Document::of_grant(&entry.activation.grant)
                && gaps(set, standing, at_ms).is_empty()
        })
    };
    if newer || approved_next() {
        return Ok(());
    }
    Err(TrustError::Unfit(format!(
        "view {} is not superseded: no newer edition or approved grant has its name",
        view_no.0
    )))
}
