//! From a view topic to an agency's own copy.
