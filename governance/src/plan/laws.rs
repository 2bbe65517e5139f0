//! Articles of law: which are recorded, and whose last day is set.

use kenh_domain::control::ControlEvent;
use kenh_domain::law::{Article, Day};

use super::{Action, Kind, Planner};

impl Planner<'_> {
    /// Plans every declared article.
    pub(super) fn laws(&mut self) {
        let declared = self.declared;
        for item in &declared.laws {
            let new = &item.value;
            if new.until.is_some_and(|until| until < new.from) {
                let message = format!("article {} would end before it begins", new.id);
                self.problems.push(item.problem("until", message, ""));
                continue;
            }
            let shown =
                |until: Option<Day>| until.map_or_else(|| "open-ended".to_owned(), |day| format!("until {day}"));
            match self.control.articles.get(&new.id) {
                Some(old) if old == new => {
                    self.say(Action::Unchanged, Kind::Law, &new.id, Vec::new());
                    continue;
                }
                // Absence takes nothing back: whoever repealed it did so by another document, or by a command.
                Some(old) if new.until.is_none() && *old == (Article { until: old.until, ..new.clone() }) => {
                    let words = vec![format!("its last day is set: {}", shown(old.until))];
                    self.say(Action::Unchanged, Kind::Law, &new.id, words);
                    continue;
                }
                Some(old) if old.citation != new.citation || old.from != new.from => {
                    let message = format!("article {} is recorded with another citation or first day", new.id);
                    self.problems.push(item.problem("id", message, "give another article another id"));
                    continue;
                }
                Some(old) if old.until != new.until && (over(old, self.now_ms) || over(new, self.now_ms)) => {
                    let message = format!("article {}: its last day is over", new.id);
                    self.problems.push(item.problem("until", message, "a last day is set while it lies ahead"));
                    continue;
                }
                Some(old) => {
                    let words = vec![format!("{}, was {}", shown(new.until), shown(old.until))];
                    self.say(Action::Change, Kind::Law, &new.id, words);
                }
                None => {
                    let words = vec![format!("{}: from {}, {}", new.citation, new.from, shown(new.until))];
                    self.say(Action::Create, Kind::Law, &new.id, words);
                }
            }
            self.articles.insert(new.id.clone(), new.clone());
            self.events.push(ControlEvent::Law(new.clone()));
        }
    }
}

/// Whether its last day is over already.
fn over(article: &Article, now_ms: i64) -> bool {
    article.ends_ms() <= now_ms
}
