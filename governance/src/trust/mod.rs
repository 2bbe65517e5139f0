//! What persons do with their keys: make one, keep it sealed, sign an event on a machine of their own, hand it in.
//!
//! Whether a signed event counts is not decided here but by whoever folds the control log ([`kenh_domain::trust`]). This
//! is the other half: nothing here runs on a bus but [`submit`], and that carries what others have signed.
//!
//! | module | what |
//! |---|---|
//! | [`key`] | a private key, and the file in which it lies sealed under a passphrase |
//! | [`request`] | an event on its way to those who sign it, as a file that anybody may carry |
//! | [`roster_file`] | the roster as people write it |
//! | [`withheld`](mod@withheld) | what a plan lacks on a bus with a root |

pub mod key;
pub mod request;
pub mod roster_file;
pub mod withheld;

pub use key::{KeyError, KeyFile, Passphrase, PrivateKey};
pub use request::{BusId, FoundError, Request, RequestError, SubmitError, found, submit, would_count};
pub use roster_file::read as read_roster;
pub use withheld::{Withheld, withheld};
