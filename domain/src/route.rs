//! Route: whom an admitted change concerns, and what they see of it.
//!
//! A [`Holding`] says that a view holds a record and what it last saw of it; [`Effects`] collects what is to be written.

use std::ops::Range;

use crate::control::ViewNo;

/// That a view holds a record, and a digest of what it last saw of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// The edition of the view.
    pub view: ViewNo,
    /// Keyed digest of the projection that was last written. Equal digest: the recipient would learn nothing new, so
    /// nothing is written (that a hidden field changed is none of its business).
    pub digest: u64,
}

/// One record to be written to a view. Its bytes lie in the arena of the [`Effects`] that holds it: views of one shape
/// share them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewWrite {
    /// Which edition of a view.
    pub view: ViewNo,
    /// Where in the arena its key lies.
    pub key: Range<usize>,
    /// Where its value lies, wire header included; none is a tombstone.
    pub value: Option<Range<usize>>,
}

/// What routing says is to be done; reused from record to record, so that routing allocates nothing once it is warm.
#[derive(Default)]
pub struct Effects {
    /// Bytes of keys and values.
    pub arena: Vec<u8>,
    /// What is to be written, in order.
    pub writes: Vec<ViewWrite>,
    /// The record's holdings after the change it was last routed for, by view number.
    pub holdings: Vec<Holding>,
}

impl Effects {
    /// Forgets everything but keeps its buffers.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.writes.clear();
        self.holdings.clear();
    }
}
