//! Any history of a grant's document.

use proptest::prelude::*;

use super::*;

/// A grant's document, as somebody edits it over time.
#[derive(Debug, Clone)]
struct Document {
    id: u32,
    fields: u8,
    filter: usize,
    system: &'static str,
    key: &'static str,
    purpose: u8,
    /// The line that says how long.
    term: &'static str,
    ended: bool,
}

#[derive(Debug, Clone)]
enum Edit {
    Fields(u8),
    Filter(usize),
    System(&'static str),
    Key(&'static str),
    Purpose(u8),
    Term(&'static str),
    End,
    /// The grant is declared ended, and one with a new id and the same view follows.
    Anew,
    Later(i64),
}

impl Document {
    fn text(&self) -> String {
        let Self { id, system, key, purpose, term, .. } = self;
        let fields = ["Tinh", "Ten", "Tuoi"].into_iter().enumerate().filter(|(i, _)| self.fields & (1 << i) != 0);
        let fields: Vec<&str> = std::iter::once("Ma").chain(fields.map(|(_, name)| name)).collect();
        let filter = ["", "filter: Ma == '1'\n", "filter: Ma in ['1', '2']\n"][self.filter];
        let state = if self.ended { "ended" } else { "active" };
        format!(
            "kind: Grant\nstate: {state}\nid: g{id}\nrecipient: B\nsystems: [{system}]\ndataset: thu\n\
             purpose: Purpose {purpose}\nlegalBasis: [A law]\nfields: [{}]\n{filter}key: {key}\n{term}\n",
            fields.join(", ")
        )
    }

    fn take(&mut self, edit: &Edit) {
        match edit {
            Edit::Fields(fields) => self.fields = *fields,
            Edit::Filter(filter) => self.filter = *filter,
            Edit::System(system) => self.system = system,
            Edit::Key(key) => self.key = key,
            Edit::Purpose(purpose) => self.purpose = *purpose,
            Edit::Term(term) => self.term = term,
            Edit::End => self.ended = true,
            Edit::Anew | Edit::Later(_) => {}
        }
    }
}

const TERMS: [&str; 3] = ["duration: P12M", "duration: P30D", "ends: 1970-03-31"];

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => (0..8_u8).prop_map(Edit::Fields),
        3 => (0..3_usize).prop_map(Edit::Filter),
        1 => prop::sample::select(vec!["b-portal", "b-two"]).prop_map(Edit::System),
        1 => prop::sample::select(vec!["clear", "pseudonym"]).prop_map(Edit::Key),
        1 => (0..3_u8).prop_map(Edit::Purpose),
        1 => prop::sample::select(TERMS.to_vec()).prop_map(Edit::Term),
        1 => Just(Edit::End),
        2 => Just(Edit::Anew),
        1 => (0..40_i64).prop_map(|days| Edit::Later(days * 86_400_000)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// However a grant's document is edited: what is planned can be applied, a second run finds nothing to do, and
    /// nobody is left with a right that the document no longer gives.
    #[test]
    fn any_history_of_a_grant_keeps_to_its_document(edits in prop::collection::vec(edit(), 1..12)) {
        let mut bus = Bus::new();
        let mut document = Document {
            id: 0, fields: 1, filter: 0, system: "b-portal", key: "clear", purpose: 0, term: TERMS[0], ended: false,
        };
        for edit in edits {
            let mut next = document.clone();
            next.take(&edit);
            if let Edit::Later(ms) = edit {
                bus.now += ms;
            }
            if matches!(edit, Edit::Anew) {
                bus.files.write(&format!("g{}.yaml", document.id), &Document { ended: true, ..document.clone() }.text());
                // Not until a day that may be over: a grant does not start so.
                next = Document { id: document.id + 1, ended: false, term: TERMS[0], ..document.clone() };
            }
            let file = if next.id == 0 { "g.yaml".to_owned() } else { format!("g{}.yaml", next.id) };
            if next.id == 1 {
                // The first one moves over from the file that every test has.
                let _ = std::fs::remove_file(bus.files.file("g.yaml"));
            }
            bus.files.write(&file, &next.text());
            match bus.plan() {
                Ok(plan) => bus.set = plan.after,
                Err(problems) => {
                    // A grant whose time has run out does not come back by editing it, nor does one end in the past.
                    let known = |p: &Problem| p.message.contains("never used again") || p.message.ends_with("is over");
                    prop_assert!(problems.iter().all(known), "{:#?}", problems);
                    bus.files.write(&file, &document.text());
                    continue;
                }
            }
            document = next;
            let again = bus.plan().unwrap();
            prop_assert!(again.events.is_empty(), "{:?}", lines(&again));

            let declared = bus.files.read();
            let stands = declared.grants.iter().map(|g| &g.value).find(|g| g.grant.id.as_str() == format!("g{}", document.id));
            let grant = &stands.unwrap().grant;
            let dataset = grant.dataset.clone();
            for view in bus.set.in_force(&dataset, bus.now) {
                let given = &view.activation.grant;
                prop_assert!(!document.ended, "an ended grant is in force");
                prop_assert_eq!(&given.id, &grant.id);
                prop_assert_eq!(&given.systems, &grant.systems);
                prop_assert_eq!(given.key, grant.key);
                prop_assert!(given.fields.iter().all(|f| grant.fields.contains(f)), "a field too many");
                prop_assert!(grant.filter.is_none() || given.filter == grant.filter, "rows too many");
            }
        }
    }
}
