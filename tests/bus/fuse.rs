//! Dying between any two steps.
