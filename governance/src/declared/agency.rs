//! `kind: Agency`: who takes part, and through which systems.

use kenh_domain::control::AgencyDocument;
use kenh_domain::names::Principal;

use super::Marks;
use super::yaml::{Document, Fields};

/// Reads an agency's document from the keys beside `kind`.
pub fn read(doc: &mut Document<'_>, mut fields: Fields<'_>) -> Option<(AgencyDocument, Marks)> {
    let mut marks = Marks::new(fields.at);
    let name = fields.need(doc, "name").and_then(|n| {
        marks.set("name", n.at);
        doc.parsed(n, "the name of an agency")
    });
    let code = fields.need(doc, "code").and_then(|n| doc.text(n, "the code of an agency"));
    let title = fields.need(doc, "title").and_then(|n| doc.text(n, "the title of an agency"));
    let systems = fields.need(doc, "systems").and_then(|n| {
        marks.set("systems", n.at);
        let systems: Vec<Principal> = doc.each(n, "a system of an agency")?;
        for (i, system) in systems.iter().enumerate() {
            if system.is_role() {
                doc.problem(
                    n.at,
                    format!("system {system} bears the name of a role of the bus"),
                    "choose another name",
                );
            }
            if systems[..i].contains(system) {
                doc.problem(n.at, format!("system {system} is named twice"), "");
            }
        }
        Some(systems)
    });
    fields.finish(doc);
    Some((AgencyDocument { name: name?, code: code?, title: title?, systems: systems? }, marks))
}
