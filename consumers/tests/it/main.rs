//! Stores, subscribers and copies from outside, in one binary.

mod copies;
mod kill;
mod memory_store;
mod stores;
mod subscriber;
mod support;
