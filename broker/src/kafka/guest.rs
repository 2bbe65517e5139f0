//! A process that shows the certificate of an agency's system: for whom it acts. A system acts for one agency, and the
//! cluster shows it the notices of that one alone.

use kenh_domain::identity::Identity;
use kenh_domain::names::Agency;
use kenh_domain::topic::Topic;
use rdkafka::error::KafkaError;

use super::KafkaLog;

/// A system of an agency, by its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Which system, and which of its certificates.
    pub identity: Identity,
    /// The agency that it acts for.
    pub agency: Agency,
}

/// Why it is not known for whom a certificate acts.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// The cluster could not be asked.
    #[error("the cluster does not say which topics there are for {identity}")]
    Cluster {
        /// Who we are.
        identity: Identity,
        /// Why not.
        #[source]
        source: KafkaError,
    },
    /// The cluster shows it nothing of any agency.
    #[error(
        "the certificate {identity} is not in force on this cluster, or no agency has such a system: the cluster shows it \
         no notices. Ask the operator of the bus to put it in force (kenh enroll admit {} {}; docs/boundary.md)",
        .identity.system, .identity.serial
    )]
    NotInForce {
        /// Who we are.
        identity: Identity,
    },
    /// The cluster shows it the notices of more than one agency.
    #[error(
        "the cluster shows {identity} the notices of several agencies: it does not hold its clients to access lists \
         (docs/boundary.md)"
    )]
    Open {
        /// Who we are.
        identity: Identity,
    },
}

impl KafkaLog {
    /// The system of an agency that this process is; none where it shows a role's certificate, or none at all.
    ///
    /// # Errors
    /// [`GuestError`].
    pub fn guest(&self) -> Result<Option<Guest>, GuestError> {
        let Some(identity) = self.identity.clone().filter(|me| !me.system.is_role()) else { return Ok(None) };
        let topics = match self.topics.all() {
            Ok(topics) => topics,
            Err(source) => return Err(GuestError::Cluster { identity, source }),
        };
        let mut told = topics.into_keys().filter_map(|topic| match topic {
            Topic::Notice(agency) => Some(agency),
            _ => None,
        });
        match (told.next(), told.next()) {
            (Some(agency), None) => Ok(Some(Guest { identity, agency })),
            (None, _) => Err(GuestError::NotInForce { identity }),
            (Some(_), Some(_)) => Err(GuestError::Open { identity }),
        }
    }
}
