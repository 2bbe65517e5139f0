//! One file a command. Each takes what was typed and the configuration, and says how it ended.

pub mod apply;
pub mod catalog;
pub mod dead_letter;
pub mod demo;
pub mod doctor;
pub mod elsewhere;
pub mod enroll;
pub mod grant;
pub mod key;
pub mod law;
pub mod new_dataset;
pub mod produce;
pub mod review;
pub mod roster;
pub mod rule;
pub mod schema;
pub mod show;
pub mod status;
pub mod subscribe;
pub mod up;
pub mod view;

use crate::output;

/// How a command ended, other than done: the exit codes of the command line.
#[derive(Debug)]
pub enum Failure {
    /// Exit 1: failed, or not known; safe to repeat.
    Failed(Box<dyn std::error::Error + Send + Sync>),
    /// Exit 2: wrong use.
    Usage(String),
    /// Exit 3: rejected by a rule; what was rejected has been listed, nothing is half done.
    Rejected,
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl Failure {
    /// A failure that is only a sentence.
    pub fn because(sentence: impl Into<String>) -> Self {
        Self::Failed(sentence.into().into())
    }

    /// Says what happened on stderr and gives the exit code.
    pub fn report(&self) -> u8 {
        match self {
            Self::Failed(error) => {
                output::note(format_args!("kenh: {error}"));
                let mut cause = error.source();
                while let Some(next) = cause {
                    output::note(format_args!("  because: {next}"));
                    cause = next.source();
                }
                1
            }
            Self::Usage(message) => {
                output::note(format_args!("kenh: {message}"));
                2
            }
            Self::Rejected => 3,
        }
    }
}
