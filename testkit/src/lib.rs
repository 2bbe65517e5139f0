//! Test doubles, builders and the conformance suite of the seam (dev only).
