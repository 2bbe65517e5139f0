//! Errors as people and logs are told them.

/// An error with its causes, outermost first, on one line: `reading a code list: topic data.don-vi is missing`.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        line.push_str(": ");
        line.push_str(&next.to_string());
        cause = next.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::chain;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Because(&'static str, #[source] Option<Box<Self>>);

    #[test]
    fn causes_follow_what_they_caused() {
        let root = Because("no room", None);
        assert_eq!(chain(&root), "no room");
        let error = Because("not written", Some(Because("the log", Some(root.into())).into()));
        assert_eq!(chain(&error), "not written: the log: no room");
    }
}
