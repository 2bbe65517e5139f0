//! The template that a grant names: its bounds, for the page that people sign; and what of the grant goes beyond them, in
//! the same words for a review, which blocks, and for planning, which refuses.

use kenh_domain::grant::{Grant, Term};

use super::{Findings, Severity, Words, words};
use crate::declared::Template;
use crate::validity::Validity;

/// Longest emergency: 72 hours.
const EMERGENCY: &str = "P3D";

/// Labels and contents for the page: whether the grant is for an emergency, the template it names, and the bounds of
/// `template`, which is the one of that name, if there is one.
pub fn facts(grant: &Grant, template: Option<&Template>) -> Vec<(Words, Words)> {
    let mut out = Vec::new();
    let mut say = |en: &str, vi: &str, what: Words| out.push((Words::new(en, vi), what));
    if grant.emergency {
        let what = Words::new(
            "EMERGENCY: the approval of one of those who decide is enough; it ends within 72 hours of its start, and is to be reviewed by the fifth working day",
            "KHẨN CẤP: chỉ cần một người có thẩm quyền phê duyệt; chấm dứt chậm nhất 72 giờ sau khi có hiệu lực và phải được rà soát trong vòng năm ngày làm việc",
        );
        say("kind of grant", "loại văn bản", what);
    }
    let Some(name) = &grant.template else {
        say("template", "theo mẫu", Words::new("none", "không theo mẫu nào"));
        return out;
    };
    let title = template.map(|t| format!(", {}", t.title)).unwrap_or_default();
    say("template", "theo mẫu", Words::same(format!("{name}{title}")));
    let Some(template) = template else { return out };
    if template.emergency {
        let what = Words::new("emergencies only", "chỉ dùng trong trường hợp khẩn cấp");
        say("the template is for", "mẫu dùng cho", what);
    }
    for purpose in &template.purposes {
        say("the template serves the purpose", "mẫu phục vụ mục đích", words::bilingual(purpose));
    }
    let longest = template.duration.to_string();
    say("the template allows at most", "thời hạn dài nhất theo mẫu", Words::same(longest));
    for (dataset, fields) in template.datasets.iter().filter(|(dataset, _)| dataset == &grant.dataset) {
        let en = format!("of {dataset}: {}, each with all that lies within it", fields.join(", "));
        let vi = format!("của {dataset}: {}, gồm cả các trường bên trong", fields.join(", "));
        say("the template gives", "trường được cấp theo mẫu", Words::new(en, vi));
    }
    out
}

/// What of `grant` is not within the template that it names, if it is activated at `from_ms` (milliseconds since 1970,
/// UTC); `template` is the one of that name, if there is one.
pub fn beyond(grant: &Grant, template: Option<&Template>, from_ms: i64) -> Findings {
    let mut found = Findings::default();
    let Some(name) = &grant.template else {
        if grant.emergency {
            let says = Words::new(
                "an emergency grant is made from a template only",
                "văn bản khẩn cấp phải được lập theo một mẫu",
            );
            found.find(Severity::Blocks, "emergency-without-template", "", says);
        }
        return found;
    };
    let Some(template) = template else {
        let says = Words::new(format!("there is no template {name}"), format!("không có mẫu {name}"));
        found.find(Severity::Blocks, "no-template", "", says);
        return found;
    };
    if grant.emergency != template.emergency {
        let (is, la) = if template.emergency { ("is", "chỉ dùng") } else { ("is not", "không dùng") };
        let en = format!("template {name} {is} for emergencies");
        let says = Words::new(en, format!("mẫu {name} {la} cho trường hợp khẩn cấp"));
        found.find(Severity::Blocks, "template-emergency", "", says);
    }
    if !template.purposes.contains(&grant.purpose) {
        let en = format!("template {name} does not serve this purpose");
        let says = Words::new(en, format!("mẫu {name} không phục vụ mục đích này"));
        found.find(Severity::Blocks, "template-purpose", "", says);
    }
    let most = if grant.emergency { EMERGENCY.parse().unwrap_or(template.duration) } else { template.duration };
    let within = |v: Validity, most| v.within(most, from_ms, grant.emergency);
    let short = |v: Validity| within(v, template.duration) && within(v, most);
    if !Validity::try_from(&grant.duration).is_ok_and(short) {
        let says = match &grant.duration {
            Term::Duration(duration) => Words::new(
                format!("{duration} is longer than template {name} allows"),
                format!("thời hạn {duration} dài hơn mức mẫu {name} cho phép"),
            ),
            Term::Ends(day) => Words::new(
                format!("{day} is later than template {name} allows"),
                format!("ngày cuối cùng {} muộn hơn mức mẫu {name} cho phép", words::date(*day)),
            ),
        };
        found.find(Severity::Blocks, "template-duration", "", says);
    }
    if template.datasets.iter().all(|(dataset, _)| dataset != &grant.dataset) {
        let en = format!("template {name} is not for {}", grant.dataset);
        let says = Words::new(en, format!("mẫu {name} không dùng cho {}", grant.dataset));
        found.find(Severity::Blocks, "template-dataset", "", says);
        return found;
    }
    for field in grant.fields.iter().filter(|f| !template.gives(&grant.dataset, &f.path)) {
        let en = format!("template {name} does not give {}", field.path);
        let says = Words::new(en, format!("mẫu {name} không cấp trường {}", field.path));
        found.find(Severity::Blocks, "template-field", &field.path, says);
    }
    found
}
