//! A double that stands before a log changes a few of its methods and hands the others on as they are.

/// Inside an `impl Log`: the named methods, handed on to the log in a field. Each double names what it does not change, so
/// that a new promise of the seam makes it decide.
///
/// ```
/// # use std::sync::Arc;
/// # use kenh_domain::log::{AdminError, Log, TopicSpec};
/// struct Full(Arc<dyn Log>);
///
/// impl Log for Full {
///     fn create_topic(&self, _: &TopicSpec) -> Result<(), AdminError> {
///         Err(AdminError::Storage("no room".into()))
///     }
///     kenh_testkit::hand_on!(0: incarnation, delete_topic, topics, set_access, access, claim, writer, reader, bounds,
///         shows_uncommitted, maintain);
/// }
/// # assert!(Full(kenh_testkit::MemoryLog::new()).topics().is_ok());
/// ```
#[macro_export]
macro_rules! hand_on {
    ($inner:tt: $($method:ident),+ $(,)?) => { $($crate::hand_on!(@$method $inner);)+ };
    (@incarnation $inner:tt) => {
        fn incarnation(&self) -> ::kenh_domain::log::Incarnation {
            self.$inner.incarnation()
        }
    };
    (@create_topic $inner:tt) => {
        fn create_topic(&self, spec: &::kenh_domain::log::TopicSpec) -> Result<(), ::kenh_domain::log::AdminError> {
            self.$inner.create_topic(spec)
        }
    };
    (@delete_topic $inner:tt) => {
        fn delete_topic(&self, topic: &::kenh_domain::topic::Topic) -> Result<(), ::kenh_domain::log::AdminError> {
            self.$inner.delete_topic(topic)
        }
    };
    (@topics $inner:tt) => {
        fn topics(&self) -> Result<Vec<::kenh_domain::log::TopicSpec>, ::kenh_domain::log::AdminError> {
            self.$inner.topics()
        }
    };
    (@set_access $inner:tt) => {
        fn set_access(
            &self,
            topic: &::kenh_domain::topic::Topic,
            access: &[::kenh_domain::log::Access],
        ) -> Result<(), ::kenh_domain::log::AdminError> {
            self.$inner.set_access(topic, access)
        }
    };
    (@access $inner:tt) => {
        fn access(
            &self,
            topic: &::kenh_domain::topic::Topic,
        ) -> Result<Vec<::kenh_domain::log::Access>, ::kenh_domain::log::AdminError> {
            self.$inner.access(topic)
        }
    };
    (@claim $inner:tt) => {
        fn claim(
            &self,
            principal: &::kenh_domain::names::Principal,
            group: &::kenh_domain::names::Group,
        ) -> Result<Box<dyn ::kenh_domain::log::Claim>, ::kenh_domain::log::ClaimError> {
            self.$inner.claim(principal, group)
        }
    };
    (@writer $inner:tt) => {
        fn writer(&self, principal: &::kenh_domain::names::Principal) -> Box<dyn ::kenh_domain::log::Writer> {
            self.$inner.writer(principal)
        }
    };
    (@reader $inner:tt) => {
        fn reader(
            &self,
            principal: &::kenh_domain::names::Principal,
            from: &[(::kenh_domain::log::TopicPartition, ::kenh_domain::log::Position)],
        ) -> Result<Box<dyn ::kenh_domain::log::Reader>, ::kenh_domain::log::ReadError> {
            self.$inner.reader(principal, from)
        }
    };
    (@bounds $inner:tt) => {
        fn bounds(
            &self,
            principal: &::kenh_domain::names::Principal,
            of: &::kenh_domain::log::TopicPartition,
        ) -> Result<::kenh_domain::log::Bounds, ::kenh_domain::log::ReadError> {
            self.$inner.bounds(principal, of)
        }
    };
    (@shows_uncommitted $inner:tt) => {
        fn shows_uncommitted(&self) -> bool {
            self.$inner.shows_uncommitted()
        }
    };
    (@maintain $inner:tt) => {
        fn maintain(&self, now_ms: i64) -> Result<(), ::kenh_domain::log::AdminError> {
            self.$inner.maintain(now_ms)
        }
    };
}
