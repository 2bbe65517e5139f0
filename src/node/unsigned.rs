//! Beyond one machine only a signed bus (invariant 9): nothing else stops who reaches an unsigned one from granting himself
//! anything.

use kenh_domain::control::Trust;
use kenh_domain::host;

/// A cluster beyond this machine, and a bus where nothing is signed.
#[derive(Debug, thiserror::Error)]
#[error(
    "kafka.bootstrap: {0} is not on this machine, and this bus is unsigned: whoever reaches the cluster as its control role \
     can grant himself anything. Beyond this machine only a signed bus runs: begin with `kenh roster found` \
     (docs/signatures.md)\n\
     kênh: {0} không ở trên máy này và trục không có chữ ký: ai có quyền của vai trò điều khiển đều tự cấp quyền được. Ngoài \
     phạm vi một máy, chỉ trục có chữ ký mới được chạy: bắt đầu bằng `kenh roster found` (docs/signatures.md)"
)]
pub struct Unsigned(String);

/// Whether the cluster at these bootstrap servers may hold a bus that rests on `trust`; none is the directory. A bus that
/// has not begun may be founded.
///
/// # Errors
/// What to do instead.
pub fn may_hold(bootstrap: Option<&str>, trust: Option<&Trust>) -> Result<(), Unsigned> {
    match (bootstrap, trust) {
        (Some(bootstrap), Some(Trust::Unsigned)) if !is_here(bootstrap) => Err(Unsigned(bootstrap.to_owned())),
        _ => Ok(()),
    }
}

/// Whether every broker that is named is on this machine.
fn is_here(bootstrap: &str) -> bool {
    bootstrap.split(',').all(|broker| {
        let broker = broker.trim().rsplit("://").next().unwrap_or_default();
        host::is_loopback(host::of(broker))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_here_when_all_its_brokers_are() {
        for here in ["127.0.0.1:9092", "localhost:1, 127.0.0.2:9092", "[::1]:9092", "PLAINTEXT://127.0.0.1:9092"] {
            assert!(is_here(here), "{here}");
        }
        for elsewhere in ["kafka-1:9093", "127.0.0.1:1,kafka-1:9093", "0.0.0.0:9092", "10.0.0.1:1", ""] {
            assert!(!is_here(elsewhere), "{elsewhere}");
        }
    }
}
