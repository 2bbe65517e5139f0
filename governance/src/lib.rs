//! Declared state, control log, registry.
