//! Keeping the cluster's own access lists as the bus's lists say. The process with the control role's certificate does it;
//! to every other it is without effect.
//!
//! # Order
//! A list is written to `kenh.access` first, then the cluster's lines follow, and the call returns when they are in force.
//! Where the second step fails, the topic is *owed*: whoever asks for its list pays first, so that the control role, which
//! compares lists with what they should be, comes back to it. What a process left owing when it died is drift, which
//! [`KafkaLog::mend`] finds by comparing everything.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Instant;

use kenh_domain::identity::{Identity, Serial};
use kenh_domain::log::AdminError;
use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;

use super::acl::{self, AclError, Kind, Line, Pattern, Right};
use super::boundary::{self, Drift};
use super::{ADMIN_TIMEOUT, KafkaLog};

/// Most lines of one request: the cluster takes 1,000 records of its metadata at once, and each line is one.
const AT_ONCE: usize = 500;
/// How often a comparison is made again because the lists changed meanwhile.
const TRIES: usize = 5;

fn failed(error: AclError) -> AdminError {
    AdminError::Storage(Box::new(error))
}

impl KafkaLog {
    /// Who this process is to the cluster; none where it shows no certificate.
    #[must_use]
    pub const fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Whether this process keeps the cluster's own access lists: it shows the control role's certificate.
    #[must_use]
    pub fn keeps_the_boundary(&self) -> bool {
        self.identity.as_ref().is_some_and(|me| me.system == Principal::control())
    }

    /// Whether this process shows a certificate, and not the one that topics and lists are kept with.
    pub(super) fn only_looks(&self) -> bool {
        self.identity.is_some() && !self.keeps_the_boundary()
    }

    pub(super) fn not_ours(&self, does: &str) -> AdminError {
        let me = self.identity.as_ref().map_or_else(|| "a process without certificate".to_owned(), ToString::to_string);
        AdminError::Storage(format!("only the control role, with its certificate, {does}; this is {me}").into())
    }

    /// Lines of other certificates go, lines of new ones come.
    pub(super) fn put_in_force(&self, system: &Principal, serials: &BTreeSet<Serial>) -> Result<(), AdminError> {
        if !self.keeps_the_boundary() {
            return Err(self.not_ours("admits certificates"));
        }
        if !boundary::may_have_certificates(system) {
            return Err(AdminError::Storage(format!("a system may not be called {system}").into()));
        }
        self.access.set_serials(system, serials.clone())?;
        self.mend().map(|_| ())
    }

    /// What the cluster's lists have that they should not, and the other way round. Changes nothing.
    ///
    /// # Errors
    /// [`AdminError::Storage`], also when this process does not keep the boundary: to others the cluster's lists look empty.
    pub fn drift(&self) -> Result<Drift, AdminError> {
        if !self.keeps_the_boundary() {
            return Err(self.not_ours("keeps access lists"));
        }
        for _ in 0..TRIES {
            self.access.catch_up()?;
            let at = self.access.read_until();
            let found = acl::list(&self.topics.admin, None).map_err(failed)?.into_iter().collect();
            let wanted = self.access.everything(boundary::all_lines);
            self.access.catch_up()?;
            // A list that changed meanwhile would look like drift.
            if self.access.read_until() == at {
                return Ok(Drift::between(&wanted, &found));
            }
        }
        Err(AdminError::Storage("access lists change faster than they can be compared: try again".into()))
    }

    /// Makes the cluster's lists what they should be; answers what was not so. A line of a kind that the client does not
    /// know stays, and is answered every time.
    ///
    /// # Errors
    /// [`AdminError::Storage`], also when this process does not keep the boundary.
    pub fn mend(&self) -> Result<Drift, AdminError> {
        let drift = self.drift()?;
        let begun = Instant::now();
        let mut left = drift.clone();
        // The broker that is asked learns of a change a moment after the controller has taken it.
        while !(left.missing.is_empty() && left.unexpected.iter().all(|line| !is_known(line))) {
            if begun.elapsed() > ADMIN_TIMEOUT {
                return Err(AdminError::Storage("the cluster does not take its access lists".into()));
            }
            self.change(&left)?;
            left = self.drift()?;
        }
        for line in &drift.unexpected {
            tracing::warn!(%line, "a line of the cluster's access lists was taken out: nothing of the bus gives this right");
        }
        if !drift.missing.is_empty() {
            tracing::info!(lines = drift.missing.len(), "lines were added to the cluster's access lists");
        }
        self.owed.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(drift)
    }

    /// Rights go before others come.
    fn change(&self, drift: &Drift) -> Result<(), AdminError> {
        let admin = &self.topics.admin;
        let gone: Vec<Line> = drift.unexpected.iter().filter(|line| is_known(line)).cloned().collect();
        for lines in gone.chunks(AT_ONCE) {
            acl::delete(admin, lines).map_err(failed)?;
        }
        for lines in drift.missing.chunks(AT_ONCE) {
            acl::create(admin, lines).map_err(failed)?;
        }
        Ok(())
    }

    /// Brings the cluster's lines of one topic in line with its list.
    pub(super) fn enforce(&self, topic: &Topic) -> Result<(), AdminError> {
        if !self.keeps_the_boundary() {
            return Ok(());
        }
        self.owed.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.clone());
        self.pay(topic)
    }

    /// Does what [`Self::enforce`] left undone for a topic.
    pub(super) fn pay(&self, topic: &Topic) -> Result<(), AdminError> {
        if !self.owed.lock().unwrap_or_else(PoisonError::into_inner).contains(topic) {
            return Ok(());
        }
        let begun = Instant::now();
        let name = topic.to_string();
        let wanted = self.access.everything(|lists, serials| {
            lists.get(topic).map(|list| boundary::topic_lines(topic, list, serials)).unwrap_or_default()
        });
        loop {
            let about = Some((Kind::Topic, name.as_str()));
            let found = acl::list(&self.topics.admin, about).map_err(failed)?.into_iter().collect();
            let drift = Drift::between(&wanted, &found);
            if drift.is_none() {
                break;
            }
            // As in `mend`.
            if begun.elapsed() > ADMIN_TIMEOUT {
                return Err(AdminError::Storage(
                    format!("the cluster does not take the access list of {topic}").into(),
                ));
            }
            self.change(&drift)?;
        }
        self.owed.lock().unwrap_or_else(PoisonError::into_inner).remove(topic);
        Ok(())
    }
}

fn is_known(line: &Line) -> bool {
    line.kind != Kind::Unknown && line.pattern != Pattern::Unknown && line.right != Right::Unknown
}
