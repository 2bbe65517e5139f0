//! Which hosts are this machine: what does not leave it may do without TLS, and without signatures.

use std::net::IpAddr;

/// Whether a host is this machine by its very name: `localhost`, or an address of the loopback. What a name server would
/// say of another name is not asked.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The host of `host:port`, `[::1]:port` or a host alone; without brackets.
#[must_use]
pub fn of(authority: &str) -> &str {
    if let Some((host, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return host;
    }
    authority.split_once(':').map_or(authority, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_what_says_so() {
        for here in ["127.0.0.1:9092", "localhost:1", "localhost", "127.0.0.2", "[::1]:9092", "[::1]"] {
            assert!(is_loopback(of(here)), "{here}");
        }
        let elsewhere =
            ["kafka-1:9093", "0.0.0.0:9092", "localhost.example:1", "10.0.0.1", "", ":1", "[::2]:1", "[::1"];
        for elsewhere in elsewhere {
            assert!(!is_loopback(of(elsewhere)), "{elsewhere}");
        }
    }
}
