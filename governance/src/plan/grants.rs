//! Grants: what starts, is renewed, gives way to another edition, or ends. The table is in [`super`].

use std::collections::BTreeMap;

use kenh_domain::control::{Activation, ControlEvent, ViewEntry, ViewNo};
use kenh_domain::error::chain;
use kenh_domain::filter::Filter;
use kenh_domain::grant::{EndReason, Grant, Term};
use kenh_domain::law::{Day, standing_on};
use kenh_domain::limits::MAX_SCANNING_FILTERS;
use kenh_domain::shape::{Shape, ShapeError};
use kenh_domain::topic::Edition;

use super::{Action, Kind, Planner, words};
use crate::declared::{DeclaredGrant, Item, Problem};
use crate::duration::Duration;
use crate::layout;
use crate::registry::subjects;
use crate::review::{Finding, given, template};
use crate::validity::{Validity, last_of_a_year};

/// The label under which pseudonyms and hashes of a recipient and purpose are derived. The number at its end rises when
/// a secret is to be replaced, which makes a new edition.
fn secret_label(grant: &Grant) -> String {
    format!("pseudonym/{}/{}/1", grant.recipient, grant.purpose)
}

/// Whether an edition's grant stands and gives nothing.
const fn is_suspended(view: &ViewEntry) -> bool {
    matches!(view.ended, Some((_, EndReason::Suspended)))
}

/// Whether two grants are of one view: the same name for the same recipient.
fn same_view(a: &Grant, b: &Grant) -> bool {
    (&a.recipient, &a.dataset, &a.view) == (&b.recipient, &b.dataset, &b.view)
}

fn view_name(grant: &Grant) -> String {
    format!("{}.{}.{}", grant.recipient, grant.dataset, grant.view)
}

impl<'a> Planner<'a> {
    /// Plans every declared grant: those that end first, so that their names are free.
    pub(super) fn grants(&mut self) {
        let declared = self.declared;
        self.one_grant_a_view();
        let (ended, active): (Vec<_>, Vec<_>) = declared.grants.iter().partition(|item| item.value.ended);
        for item in &ended {
            self.end_declared(item, &active);
        }
        for item in active {
            let problems = self.problems.len();
            self.refer(item);
            self.may_be_given(item);
            if self.problems.len() == problems {
                self.grant(item);
            }
        }
        self.few_scans();
    }

    /// Two active grants may not make one view.
    fn one_grant_a_view(&mut self) {
        let declared = self.declared;
        let mut names: BTreeMap<String, &Item<DeclaredGrant>> = BTreeMap::new();
        for item in declared.grants.iter().filter(|i| !i.value.ended) {
            let name = view_name(&item.value.grant);
            if let Some(first) = names.insert(name.clone(), item) {
                let message =
                    format!("grants {} and {} both make view {name}", first.value.grant.id, item.value.grant.id);
                self.problems.push(item.problem("id", message, "give one of them another `view`"));
            }
        }
    }

    /// Editions that rest on a grant and are or will be in force, oldest first.
    fn standing(&self, grant: &Grant) -> Vec<&'a ViewEntry> {
        let now = self.now_ms;
        let mine = |v: &&ViewEntry| v.activation.grant.id == grant.id && layout::stands(v, now);
        self.control.views.values().filter(mine).collect()
    }

    /// A grant whose document says `state: ended`.
    fn end_declared(&mut self, item: &Item<DeclaredGrant>, active: &[&Item<DeclaredGrant>]) {
        let grant = &item.value.grant;
        let standing = self.standing(grant);
        let suspended = self.control.view_of_grant(&grant.id).filter(|v| is_suspended(v));
        if let Some(view) = suspended {
            self.end(view.activation.view_no, EndReason::Ended);
            self.say(Action::End, Kind::Grant, &grant.id, vec!["its document says so; it was suspended".into()]);
            return;
        }
        let Some(newest) = standing.last() else {
            self.say(Action::Unchanged, Kind::Grant, &grant.id, vec!["ended".into()]);
            return;
        };
        // Another grant of the same view and shape takes its topic over: see `take_over`.
        let heir = active.iter().map(|i| &i.value.grant).find(|g| {
            same_view(g, &newest.activation.grant)
                && self.standing(g).is_empty()
                && self.same_shape(&newest.activation.grant, g)
        });
        if let Some(heir) = heir {
            let words = vec![format!("its view goes on under grant {}", heir.id)];
            self.say(Action::End, Kind::Grant, &grant.id, words);
            return;
        }
        for view in &standing {
            self.end(view.activation.view_no, EndReason::Ended);
        }
        self.say(Action::End, Kind::Grant, &grant.id, vec!["its document says so; the agency is told to purge".into()]);
    }

    fn end(&mut self, view_no: ViewNo, reason: EndReason) {
        self.events.push(ControlEvent::End { view_no, reason, because: String::new() });
    }

    /// Whatever a grant names must be there, and it must compile.
    fn refer(&mut self, item: &Item<DeclaredGrant>) {
        let grant = &item.value.grant;
        match self.agencies.get(&grant.recipient) {
            None => {
                let message = format!("there is no agency {}", grant.recipient);
                self.problems.push(item.problem("recipient", message, "declare it in broker-config/agencies/"));
            }
            Some(agency) => {
                for system in grant.systems.iter().filter(|s| !agency.systems.contains(s)) {
                    let has: Vec<_> = agency.systems.iter().map(ToString::to_string).collect();
                    let message = format!("{system} is not a system of {}", grant.recipient);
                    self.problems.push(item.problem("systems", message, format!("it has: {}", has.join(", "))));
                }
            }
        }
        let Some(contract) = self.contracts.get(&grant.dataset) else {
            // A contract that is declared with problems is not there either; its own problems are enough.
            let declared = self.declared.contracts.iter().any(|c| c.value.contract.dataset == grant.dataset);
            if !declared {
                let message = format!("there is no dataset {}", grant.dataset);
                self.problems.push(item.problem("dataset", message, "declare its contract in schemas/"));
            } else if self.problems.is_empty() {
                self.problems.push(item.problem(
                    "dataset",
                    format!("the contract of {} has problems", grant.dataset),
                    "",
                ));
            }
            return;
        };
        // What a date comes to is known when the grant is activated: see `ends`.
        if contract.contract.gives_personal(grant)
            && let Term::Duration(duration) = &grant.duration
            && !duration.parse::<Duration>().is_ok_and(Duration::within_a_year)
        {
            let message =
                format!("it gives personal data of {}, and {duration} is more than twelve months", grant.dataset);
            self.problems.push(item.problem(
                "duration",
                message,
                "grant it for P12M at most, and anew when that is over",
            ));
        }
        if let Err(error) = self.compile(grant, None) {
            self.problems.push(wrong_shape(item, &error));
        }
    }

    /// No secret field as it is, and nobody in clear beside their pseudonym: the words are those of the review.
    fn may_be_given(&mut self, item: &Item<DeclaredGrant>) {
        let grant = &item.value.grant;
        let Some(contract) = self.contracts.get(&grant.dataset).map(|c| &c.contract) else { return };
        let others: Vec<_> =
            self.others(grant).filter_map(|g| Some((&self.contracts.get(&g.dataset)?.contract, g))).collect();
        let found = given::classes(contract, grant).0.into_iter().chain(given::linked(contract, grant, others).0);
        let mut problems = Vec::new();
        for Finding { code, field, says, .. } in found {
            let (key, hint) = match code {
                "secret-field" => (mark_of(grant, &field), "leave it out, or let its mask be null or a constant"),
                "pseudonym-beside-clear" => ("key".to_owned(), "end the other grant first, or leave this one out"),
                _ => continue,
            };
            problems.push(item.problem(&key, says.en, hint));
        }
        self.problems.append(&mut problems);
    }

    /// What else the recipient of `grant` holds when everything declared is in force: the declared grants that are or can
    /// come into force, and those that stand undeclared.
    fn others<'s>(&'s self, grant: &'s Grant) -> impl Iterator<Item = &'s Grant> {
        let declared = &self.declared.grants;
        let can_be = |g: &Grant| !self.standing(g).is_empty() || self.control.view_of_grant(&g.id).is_none();
        let to_be = declared.iter().filter(|i| !i.value.ended).map(|i| &i.value.grant).filter(move |g| can_be(g));
        let is_declared = |g: &Grant| declared.iter().any(|i| i.value.grant.id == g.id);
        let standing = self.control.views.values().filter(|v| layout::stands(v, self.now_ms));
        let undeclared = standing.map(|v| &v.activation.grant).filter(move |g| !is_declared(g));
        to_be.chain(undeclared).filter(move |g| g.recipient == grant.recipient && !same_view(g, grant))
    }

    fn compile(&self, grant: &Grant, fixed: Option<&str>) -> Result<Shape, ShapeError> {
        let Some(resolved) = self.contracts.get(&grant.dataset) else {
            return Err(ShapeError::NoSchema { grant: grant.id.clone() });
        };
        Shape::compile(&resolved.contract, &resolved.schemas, grant, None, &secret_label(grant), fixed)
    }

    fn same_shape(&self, a: &Grant, b: &Grant) -> bool {
        match (self.compile(a, None), self.compile(b, None)) {
            (Ok(a), Ok(b)) => a.digest() == b.digest(),
            _ => false,
        }
    }

    /// Whether whoever holds what `old` gives may go on holding it under `new`: every field is still there under its name
    /// and mask, the filter is the same or gone, the key form and its secret are the same.
    fn wider(&self, old: &Grant, new: &Grant) -> bool {
        let Some(schema) = self.contracts.get(&new.dataset).and_then(|c| c.schemas.last()) else { return false };
        let normalised = |g: &Grant| {
            g.filter.as_ref().map(|text| Filter::compile(text, &schema.1).map(|f| f.normalised().to_owned()).ok())
        };
        let rows = match (normalised(old), normalised(new)) {
            (_, None) => true,
            (Some(Some(old)), Some(Some(new))) => old == new,
            _ => false,
        };
        let keyed = self.compile(new, None).is_ok_and(|shape| shape.is_keyed());
        rows && old.key == new.key
            && old.fields.iter().all(|f| new.fields.contains(f))
            && (!keyed || secret_label(old) == secret_label(new))
    }

    /// A grant whose document is active and in order.
    fn grant(&mut self, item: &Item<DeclaredGrant>) {
        let grant = &item.value.grant;
        let standing = self.standing(grant);
        if let Some(newest) = standing.last().copied() {
            let old = &newest.activation.grant;
            if old == grant {
                self.say(Action::Unchanged, Kind::Grant, &grant.id, Vec::new());
            } else if !same_view(old, grant) {
                let message =
                    format!("grant {} makes view {} and cannot move to {}", grant.id, view_name(old), view_name(grant));
                self.problems.push(item.problem(
                    "id",
                    message,
                    "end it (`state: ended`) and write another with a new id",
                ));
            } else if self.same_shape(old, grant) {
                self.renew(item, &standing);
            } else {
                self.replace(item, &standing);
            }
            return;
        }
        if self.used_before(item) {
            return;
        }
        let holders: Vec<&ViewEntry> = self
            .control
            .views
            .values()
            .filter(|v| layout::stands(v, self.now_ms) && same_view(&v.activation.grant, grant))
            .collect();
        match holders.last().copied() {
            None => self.start(item, Action::Create, words::granted),
            Some(holder) if !self.declared_ended(&holder.activation.grant) => {
                let message = format!("view {} is held by grant {}", view_name(grant), holder.activation.grant.id);
                let hint = "declare that grant with `state: ended`, or give this one another `view`";
                self.problems.push(item.problem("id", message, hint));
            }
            Some(holder) if self.same_shape(&holder.activation.grant, grant) => self.take_over(item, &holders),
            Some(_) => self.start(item, Action::Create, words::granted),
        }
    }

    fn declared_ended(&self, grant: &Grant) -> bool {
        self.declared.grants.iter().any(|i| i.value.ended && i.value.grant.id == grant.id)
    }

    /// An id that stood for a grant once: nothing to do if that grant's time ran out and its document is as it was; a
    /// problem if the document would bring it back.
    fn used_before(&mut self, item: &Item<DeclaredGrant>) -> bool {
        let grant = &item.value.grant;
        let Some(last) = self.control.view_of_grant(&grant.id) else {
            if self.control.retired.contains(&grant.id) {
                let message = format!("grant {} has ended: another took its place", grant.id);
                self.problems.push(item.problem("id", message, "write `state: ended`, or give the new grant a new id"));
                return true;
            }
            return false;
        };
        if is_suspended(last) {
            if last.activation.grant == *grant {
                let words = vec!["suspended; `kenh grant resume` lets it go on".into()];
                self.say(Action::Unchanged, Kind::Grant, &grant.id, words);
            } else {
                let message = format!("grant {} is suspended and cannot change", grant.id);
                self.problems.push(item.problem("id", message, "resume it first, or write `state: ended`"));
            }
            return true;
        }
        if last.ended.is_none() && last.activation.grant == *grant {
            let words = vec![format!(
                "its time ran out on {}; to grant it again, give it a new id",
                words::last_day(last.activation.ends_ms)
            )];
            self.say(Action::Unchanged, Kind::Grant, &grant.id, words);
        } else {
            let message = format!("grant {} has ended, and its id is never used again", grant.id);
            self.problems.push(item.problem("id", message, "write `state: ended`, or give the new grant a new id"));
        }
        true
    }

    /// When a grant that starts at `from` ends; a problem if the calendar has no such day, or if the grant goes beyond
    /// what law and template allow. Whatever starts or goes on otherwise comes through here; what only stands does not.
    fn ends(&mut self, item: &Item<DeclaredGrant>, from: i64) -> Option<i64> {
        let grant = &item.value.grant;
        self.rests_on_law_in_force(item);
        self.within_template(item, from);
        let validity = Validity::try_from(&grant.duration).ok();
        if let Some(Validity::Until(day)) = validity {
            self.may_be_the_last(item, day, from);
        }
        let ends = validity.and_then(|v| v.over(from, grant.emergency));
        if ends.is_none() {
            self.problems.push(item.problem("duration", "the grant would end after the calendar does", ""));
        }
        ends
    }

    /// A last day is still to come when it is decided, and with personal data at most twelve months from the activation.
    fn may_be_the_last(&mut self, item: &Item<DeclaredGrant>, day: Day, from: i64) {
        let grant = &item.value.grant;
        if day.ends_ms() <= self.now_ms {
            let message = format!("its last day, {day}, is over");
            let hint = "name a day that is still to come, or end the grant with `state: ended`";
            self.problems.push(item.problem("ends", message, hint));
        }
        let personal = self.contracts.get(&grant.dataset).is_some_and(|c| c.contract.gives_personal(grant));
        if let Some(last) = last_of_a_year(from)
            && personal
            && last < day
        {
            let message = format!(
                "it gives personal data of {}, and {day} is more than twelve months after its activation",
                grant.dataset
            );
            let hint = format!("let it end on {last} at the latest, and grant it anew when that is over");
            self.problems.push(item.problem("ends", message, hint));
        }
    }

    /// No grant starts on an article that is not in force.
    fn rests_on_law_in_force(&mut self, item: &Item<DeclaredGrant>) {
        let now = self.now_ms;
        for article in standing_on(self.articles.values(), &item.value.grant).filter(|a| !a.in_force(now)) {
            let (until, id) = (article.until.map(|day| format!(" to {day}")).unwrap_or_default(), &article.id);
            let message = format!("article {id} is not in force: it is from {}{until}", article.from);
            let hint = "name the article that is in force now; `kenh law list` shows those that are recorded";
            self.problems.push(item.problem("legalBasis", message, hint));
        }
    }

    /// A grant that names a template keeps to its bounds; an emergency has one.
    fn within_template(&mut self, item: &Item<DeclaredGrant>, from: i64) {
        let grant = &item.value.grant;
        let template = grant.template.as_ref().and_then(|name| self.declared.template(name));
        let term = if matches!(grant.duration, Term::Ends(_)) { "ends" } else { "duration" };
        let serves = || template.map(|t| format!("it serves: {}", t.purposes.join("; "))).unwrap_or_default();
        for Finding { code, field, says, .. } in template::beyond(grant, template, from).0 {
            let (key, hint) = match code {
                "emergency-without-template" => ("emergency", "name a template that says `emergency: true`".into()),
                "no-template" => {
                    ("template", "declare it in broker-config/templates/ and apply that folder in the same run".into())
                }
                "template-emergency" => {
                    ("emergency", "let the grant say `emergency: true` when its template does, and only then".into())
                }
                "template-purpose" => ("purpose", serves()),
                "template-duration" if grant.emergency => (term, "an emergency is for P3D (72 hours) at most".into()),
                "template-duration" => (term, "grant it for less".into()),
                "template-dataset" => ("dataset", String::new()),
                _ => ("", "leave it out, or have a grant without this template reviewed".into()),
            };
            let key = if field.is_empty() { key.to_owned() } else { mark_of(grant, &field) };
            self.problems.push(item.problem(&key, says.en, hint));
        }
    }

    /// Same shape, other words: the topic stays. Older editions that still stand follow in all but their fields, so that
    /// a system that was struck off reads none of them.
    fn renew(&mut self, item: &Item<DeclaredGrant>, standing: &[&ViewEntry]) {
        let grant = &item.value.grant;
        let Some((newest, older)) = standing.split_last() else { return };
        if self.control.is_signed() && !older.is_empty() {
            // What the older edition would go on under is no document that anybody has voted on.
            let edition = newest.activation.edition;
            let message = format!("grant {} is renewed once its edition {edition} is filled", grant.id);
            let hint = "on a signed bus one edition is renewed at a time: plan again when `kenh grant list` shows the older one superseded";
            self.problems.push(item.problem("id", message, hint));
            return;
        }
        let Some(ends_ms) = self.ends(item, newest.activation.starts_ms) else { return };
        self.view_fits(item, newest, grant);
        let mut words = words::grant(&newest.activation.grant, grant);
        if ends_ms != newest.activation.ends_ms {
            words.push(format!(
                "until {} and no longer {}",
                words::last_day(ends_ms),
                words::last_day(newest.activation.ends_ms)
            ));
        }
        for view in older {
            let Activation { grant: old, view_no, .. } = &*view.activation;
            let follows =
                Grant { fields: old.fields.clone(), filter: old.filter.clone(), key: old.key, ..grant.clone() };
            self.events.push(ControlEvent::Renewal { view_no: *view_no, grant: Box::new(follows), ends_ms });
        }
        let view_no = newest.activation.view_no;
        self.events.push(ControlEvent::Renewal { view_no, grant: Box::new(grant.clone()), ends_ms });
        words.push("its view stays as it is".into());
        self.say(Action::Change, Kind::Grant, &grant.id, words);
    }

    /// A grant with a new id goes on with the view of one that ends: counted from now.
    fn take_over(&mut self, item: &Item<DeclaredGrant>, holders: &[&ViewEntry]) {
        let grant = &item.value.grant;
        let Some((newest, older)) = holders.split_last() else { return };
        let Some(ends_ms) = self.ends(item, self.now_ms) else { return };
        self.view_fits(item, newest, grant);
        for view in older {
            self.end(view.activation.view_no, EndReason::Superseded);
        }
        let view_no = newest.activation.view_no;
        self.events.push(ControlEvent::Renewal { view_no, grant: Box::new(grant.clone()), ends_ms });
        let words = vec![format!(
            "renews {}; its view stays as it is, until {}",
            newest.activation.grant.id,
            words::last_day(ends_ms)
        )];
        self.say(Action::Change, Kind::Grant, &grant.id, words);
    }

    /// Another shape: a second edition. Wider, it is filled beside the first; else the first ends before it starts.
    fn replace(&mut self, item: &Item<DeclaredGrant>, standing: &[&ViewEntry]) {
        let grant = &item.value.grant;
        let Some(newest) = standing.last() else { return };
        let old = &newest.activation.grant;
        let mut words = words::grant(old, grant);
        if self.wider(old, grant) {
            words.push("it is filled beside the present edition, which ends when it is ready".into());
        } else {
            for view in standing {
                self.end(view.activation.view_no, EndReason::Superseded);
            }
            words.push("the present edition ends first, then the new one is filled".into());
        }
        self.start(item, Action::Change, move |_, _| words);
    }

    /// The next edition of a view comes into force.
    fn start(&mut self, item: &Item<DeclaredGrant>, action: Action, say: impl FnOnce(&Grant, i64) -> Vec<String>) {
        let grant = &item.value.grant;
        let Ok(shape) = self.compile(grant, None) else { return };
        let Some(ends_ms) = self.ends(item, self.now_ms) else { return };
        let editions = self.control.editions(&grant.recipient, &grant.dataset, &grant.view);
        let edition = Edition(editions.map(|v| v.activation.edition.0).max().unwrap_or_default() + 1);
        let view_no = ViewNo(self.next_view);
        self.next_view += 1;
        let mut activation = Activation {
            view_no,
            edition,
            grant: grant.clone(),
            schema_id: kenh_domain::wire::SchemaId(0),
            starts_ms: self.now_ms,
            ends_ms,
            secret_label: secret_label(grant),
        };
        let subject = subjects::of_topic(&activation.topic());
        activation.schema_id = self.schema(subject, 1, shape.view_schema());
        self.events.push(ControlEvent::Grant(Box::new(activation)));
        let words = say(grant, ends_ms);
        self.say(action, Kind::Grant, &grant.id, words);
    }

    /// The view's schema, fixed at its activation, still serves under the contract as it will be.
    fn view_fits(&mut self, item: &Item<DeclaredGrant>, view: &ViewEntry, grant: &Grant) {
        if let Err(error) = self.compile_fixed(view, grant) {
            self.problems.push(wrong_shape(item, &error));
        }
    }

    fn compile_fixed(&self, view: &ViewEntry, grant: &Grant) -> Result<Shape, ShapeError> {
        let fixed = self.control.schemas.get(&view.activation.schema_id).map(|s| s.schema.as_str());
        self.compile(grant, fixed)
    }

    /// Grants that go on, declared or not, hold under the contracts and agencies as they will be: else the change that
    /// breaks them is refused.
    pub(super) fn others_still_hold(&mut self) {
        let ending: Vec<ViewNo> = self
            .events
            .iter()
            .filter_map(|e| match e {
                ControlEvent::End { view_no, .. } => Some(*view_no),
                _ => None,
            })
            .collect();
        let declared = self.declared;
        let mut problems = Vec::new();
        let goes_on = |v: &&ViewEntry| layout::stands(v, self.now_ms) && !ending.contains(&v.activation.view_no);
        for view in self.control.views.values().filter(goes_on) {
            let grant = &view.activation.grant;
            if self.changed.contains(&grant.dataset)
                && let Some(item) = declared.contracts.iter().find(|c| c.value.contract.dataset == grant.dataset)
            {
                if let Err(error) = self.compile_fixed(view, grant) {
                    let message = format!("this version breaks a grant in force: {}", chain(&error));
                    problems.push(item.problem("version", message, "keep the field's type and add another field"));
                }
                for Finding { field, says, .. } in given::secret(&item.value.contract, grant) {
                    let message = format!("grant {} gives {field}, and {}", grant.id, says.en);
                    problems.push(item.problem("version", message, "end that grant, or mask the field in it, first"));
                }
                let personal = item.value.contract.gives_personal(grant);
                let from = view.activation.starts_ms;
                if personal && !Validity::try_from(&grant.duration).is_ok_and(|v| v.within_a_year(from)) {
                    let how = if matches!(grant.duration, Term::Ends(_)) { "holds" } else { "is for" };
                    let message = format!(
                        "grant {} {how} {}; with personal data it may be P12M at most",
                        grant.id, grant.duration
                    );
                    problems.push(item.problem("version", message, "shorten that grant first"));
                }
            }
            // A declared grant has been looked at already, as it will be.
            let looked_at = declared.grants.iter().any(|i| i.value.grant.id == grant.id);
            if let Some(item) = declared.agencies.iter().find(|a| a.value.name == grant.recipient)
                && !looked_at
                && let Some(gone) = grant.systems.iter().find(|s| !item.value.systems.contains(s))
            {
                let message = format!("grant {} names system {gone}, which is gone from here", grant.id);
                problems.push(item.problem("systems", message, "change the grant in the same run"));
            }
        }
        self.problems.append(&mut problems);
    }

    /// Filters that no index helps are asked for every record: a dataset bears a few. What counts is what will be in
    /// force together: a wider edition and the present one, beside which it is filled, are two.
    fn few_scans(&mut self) {
        let ends = |view: &ViewEntry| {
            let end = |e: &ControlEvent| matches!(e, ControlEvent::End { view_no, .. } if *view_no == view.activation.view_no);
            self.events.iter().any(end)
        };
        let scans = |grant: &Grant| {
            grant.filter.is_some() && self.compile(grant, None).is_ok_and(|shape| shape.index().is_none())
        };
        let mut problems = Vec::new();
        for dataset in self.contracts.keys() {
            let standing = self.control.in_force(dataset, self.now_ms);
            let scanning = standing.filter(|v| !ends(v) && scans(&v.activation.grant)).count();
            let starting = self.events.iter().filter_map(|event| match event {
                ControlEvent::Grant(new) if &new.grant.dataset == dataset && scans(&new.grant) => Some(&new.grant.id),
                _ => None,
            });
            for id in starting.skip(MAX_SCANNING_FILTERS.saturating_sub(scanning)) {
                let Some(item) = self.declared.grants.iter().find(|i| &i.value.grant.id == id) else { continue };
                let mut message = format!(
                    "{dataset} has {MAX_SCANNING_FILTERS} grants already whose filter must be asked for every record"
                );
                if self.standing(&item.value.grant).iter().any(|v| !ends(v)) {
                    message.push_str("; a wider edition counts beside the present one until it is filled");
                }
                let hint = "let one condition that always holds be `field == value` or `field in [...]`";
                problems.push(item.problem("filter", message, hint));
            }
        }
        self.problems.append(&mut problems);
    }
}

/// Where the grant's document names a field.
fn mark_of(grant: &Grant, path: &str) -> String {
    let found = grant.fields.iter().position(|f| f.path == path);
    found.map_or_else(|| "fields".to_owned(), |i| format!("fields.{i}"))
}

/// Puts a shape's error where the grant's document has its cause.
fn wrong_shape(item: &Item<DeclaredGrant>, error: &ShapeError) -> Problem {
    let field = |path: &str| mark_of(&item.value.grant, path);
    match error {
        ShapeError::Filter { source, .. } => {
            let hint = source.hint.clone().unwrap_or_default();
            item.problem_within("filter", source.offset, format!("the filter does not fit: {}", source.message), hint)
        }
        ShapeError::FilterNotGranted { field: path, .. } | ShapeError::FilterMasked { field: path, .. } => {
            let offset = item.value.grant.filter.as_ref().and_then(|f| f.find(path)).unwrap_or_default();
            item.problem_within("filter", offset, chain(error), "")
        }
        ShapeError::UnknownField { field: path, .. }
        | ShapeError::DuplicateName { field: path, .. }
        | ShapeError::BadName { field: path, .. }
        | ShapeError::Mask { field: path, .. }
        | ShapeError::LastOfPersonalId { field: path, .. }
        | ShapeError::CannotEmit { field: path, .. } => item.problem(&field(path), chain(error), ""),
        ShapeError::KeyNotGranted { .. } => item.problem("fields", chain(error), ""),
        _ => item.problem("", chain(error), ""),
    }
}
