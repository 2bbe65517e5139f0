//! Declared state, the control log, and the registry.
//!
//! People write agencies, contracts and grants as files. [`declared::read`] reads them, [`plan::plan`] says what they
//! change, [`apply`](apply::apply) makes it so as control events, and [`Control`] keeps topics, access lists and
//! cards as the control log has it. Nothing else writes `kenh.control`. [`registry`] answers what schemas there are;
//! [`new_dataset`] writes a first declaration from somebody's own table; [`enroll`] makes certificates for systems.

#![warn(missing_docs)]

pub mod apply;
pub mod compatibility;
mod control_log;
pub mod declared;
pub mod duration;
pub mod enroll;
pub mod layout;
pub mod life;
pub mod new_dataset;
pub mod plan;
pub mod reconcile;
pub mod registry;
pub mod review;
#[cfg(test)]
mod testing;
pub mod trust;
pub mod validity;

pub use apply::{Applied, ApplyError, apply};
pub use control_log::{AppendError, LoadError, bootstrap, end, load};
pub use declared::{Declared, Problem, read};
pub use plan::{Plan, plan};
pub use reconcile::{Control, Turn, TurnError};
