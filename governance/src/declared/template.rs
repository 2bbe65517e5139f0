//! `kind: GrantTemplate`: the most that grants of one kind may give. A grant that names it and goes beyond is refused.
//!
//! A template is a bound and gives nothing by itself. It is declared state only: what came into force under it is the
//! grant, which carries its name.

use kenh_domain::names::Dataset;

use super::Marks;
use super::yaml::{Document, Fields, Node};
use crate::duration::Duration;

/// Upper bounds for grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its name: what a grant's `template` says.
    pub name: String,
    /// What it is for, for people.
    pub title: String,
    /// The purposes that it serves, word for word.
    pub purposes: Vec<String>,
    /// The longest duration.
    pub duration: Duration,
    /// Whether its grants are for emergencies.
    pub emergency: bool,
    /// The datasets, each with the dotted paths that may be given; a path stands for all below it.
    pub datasets: Vec<(Dataset, Vec<String>)>,
}

impl Template {
    /// Whether it lets a grant give the field at `path` of a dataset.
    #[must_use]
    pub fn gives(&self, dataset: &Dataset, path: &str) -> bool {
        let covers = |whole: &String| {
            path.strip_prefix(whole.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.datasets.iter().any(|(name, fields)| name == dataset && fields.iter().any(covers))
    }
}

/// Reads a template's document from the keys beside `kind`.
pub fn read(doc: &mut Document<'_>, mut fields: Fields<'_>) -> Option<(Template, Marks)> {
    let mut marks = Marks::new(fields.at);
    let name = fields.need(doc, "name").and_then(|n| {
        marks.set("name", n.at);
        doc.text(n, "the name of a template")
    });
    let title = fields.need(doc, "title").and_then(|n| doc.text(n, "the title of a template"));
    let purposes = fields.need(doc, "purposes").and_then(|n| doc.each(n, "a purpose of a template"));
    let duration = fields.need(doc, "maxDuration").and_then(|n| {
        marks.set("maxDuration", n.at);
        doc.parsed(n, "the longest duration of a template")
    });
    let emergency = match fields.take("emergency") {
        Some(node) => doc.boolean(node, "whether a template is for emergencies"),
        None => Some(false),
    };
    let datasets = fields.need(doc, "datasets").and_then(|n| {
        let items = doc.list(n, "datasets of a template")?.to_vec();
        Some(items.iter().filter_map(|item| dataset(doc, item)).collect())
    });
    fields.finish(doc);
    let template = Template {
        name: name?,
        title: title?,
        purposes: purposes?,
        duration: duration?,
        emergency: emergency?,
        datasets: datasets?,
    };
    Some((template, marks))
}

fn dataset(doc: &mut Document<'_>, node: &Node) -> Option<(Dataset, Vec<String>)> {
    let mut fields = doc.fields(node, "a dataset of a template")?;
    let name = fields.need(doc, "dataset").and_then(|n| doc.parsed(n, "the dataset of a template"));
    let paths = fields.need(doc, "fields").and_then(|n| doc.each(n, "a field of a template"));
    fields.finish(doc);
    Some((name?, paths?))
}
