//! Stores, subscribers and copies from outside, in one binary: it is linked once.

// All of it is test code; said so that the lints know.
#[cfg(test)]
mod copies;
#[cfg(test)]
mod gone;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod memory_store;
#[cfg(test)]
mod stores;
#[cfg(test)]
mod subscriber;
#[cfg(test)]
mod support;
