//! The logs behind the seam, and the registry client.
