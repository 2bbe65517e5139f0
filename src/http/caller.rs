//! Who asks, as authentication has found, and what is his: the one place that says what a system may ask for.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use kenh_domain::control::ControlSet;
use kenh_domain::names::{Agency, Dataset, Principal, View};
use kenh_governance::registry::subjects;

use super::App;
use super::rates::Kept;
use super::refusal::{Code, refuse};
use super::views::Tickets;

/// Who asks.
#[derive(Clone)]
pub enum Caller {
    /// Whoever runs the node.
    Operator,
    /// A system of an agency.
    System {
        /// Which.
        system: Principal,
        /// Whose.
        agency: Agency,
        /// What is kept of it.
        kept: Arc<Kept>,
    },
}

impl Caller {
    /// The subjects of the registry that he may know of; none: all of them.
    pub fn subjects(&self, set: &ControlSet, now_ms: i64) -> Option<BTreeSet<String>> {
        match self {
            Self::Operator => None,
            Self::System { system, .. } => Some(subjects::of_system(set, system, now_ms)),
        }
    }

    /// Whether he may read the copy of a view: a system, if a grant in force gives its agency the view and names it.
    pub fn may_read(&self, set: &ControlSet, (of, dataset, view): (&Agency, &Dataset, &View), now_ms: i64) -> bool {
        let Self::System { system, agency, .. } = self else { return true };
        agency == of
            && set.views.values().filter(|entry| entry.in_force(now_ms)).any(|entry| {
                let grant = &entry.activation.grant;
                (&grant.recipient, &grant.dataset, &grant.view) == (of, dataset, view) && grant.systems.contains(system)
            })
    }

    /// His tickets; nobody else's are known to him.
    pub fn tickets<'a>(&'a self, app: &'a App) -> &'a Tickets {
        match self {
            Self::Operator => &app.tickets,
            Self::System { kept, .. } => &kept.tickets,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        // A route without authentication is a fault of ours: it answers nobody.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!("a request came in without authentication");
            refuse(Code::Internal, "this request failed inside; the node's log says more")
        })
    }
}
