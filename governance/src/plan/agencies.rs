//! Agencies: who joins, and whose document changes.

use super::{Action, Kind, Planner, words};
use kenh_domain::control::ControlEvent;

impl Planner<'_> {
    /// Plans every declared agency.
    pub(super) fn agencies(&mut self) {
        let declared = self.declared;
        for item in &declared.agencies {
            let new = &item.value;
            for (name, other) in &self.agencies {
                if name != &new.name
                    && let Some(shared) = new.systems.iter().find(|s| other.systems.contains(s))
                {
                    let message = format!("system {shared} belongs to {name} already");
                    self.problems.push(item.problem("systems", message, "a system acts for one agency"));
                }
            }
            match self.control.agencies.get(&new.name) {
                None => {
                    let words = vec![format!("{}, with {}", new.title, words::count(new.systems.len(), "system"))];
                    self.say(Action::Create, Kind::Agency, &new.name, words);
                }
                Some(old) if old == new => {
                    self.say(Action::Unchanged, Kind::Agency, &new.name, Vec::new());
                    continue;
                }
                Some(old) => {
                    let mut words = Vec::new();
                    words::text("code", &old.code, &new.code, &mut words);
                    words::text("title", &old.title, &new.title, &mut words);
                    words::members("systems", &old.systems, &new.systems, &mut words);
                    self.say(Action::Change, Kind::Agency, &new.name, words);
                }
            }
            self.agencies.insert(new.name.clone(), new.clone());
            self.events.push(ControlEvent::Agency(new.clone()));
        }
    }
}
