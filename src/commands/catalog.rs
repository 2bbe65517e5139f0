//! `kenh catalog [DATASET]`: which datasets there are, what is in them, and how to ask.

use kenh_domain::contract::Period;
use kenh_governance::life::{Offer, catalog};

use super::Failure;
use crate::cli::{Catalog, Output};
use crate::config::Config;
use crate::output;

/// `kenh catalog`
pub fn run(asked: &Catalog, config: &Config, out: Output) -> Result<(), Failure> {
    let (_, set) = super::show::load(config)?;
    let offers = catalog(&set);
    let Some(dataset) = &asked.dataset else {
        if out == Output::Json {
            output::json(&offers);
        } else {
            list(&offers);
        }
        return Ok(());
    };
    let offer = offers.iter().find(|offer| &offer.dataset == dataset).ok_or_else(|| {
        Failure::because(format!("there is no dataset {dataset}; `kenh catalog` shows those there are"))
    })?;
    if out == Output::Json {
        output::json(offer);
    } else {
        show(offer);
    }
    Ok(())
}

fn within(period: Option<Period>) -> String {
    period.map_or_else(|| "no promise".into(), |p| format!("within {} {:?}", p.count, p.unit).to_lowercase())
}

fn list(offers: &[Offer]) {
    output::table(
        &["dataset", "what", "owner", "fields#", "personal", "updated"],
        offers.iter().map(|o| {
            vec![
                format!("{}{}", o.dataset, if o.synthetic { " (synthetic)" } else { "" }),
                o.description.clone(),
                format!("{} {}", o.owner, o.owner_title),
                o.fields.len().to_string(),
                if o.personal { "yes" } else { "no" }.into(),
                within(o.update_within),
            ]
        }),
    );
}

fn show(offer: &Offer) {
    let mark = if offer.synthetic { " (synthetic)" } else { "" };
    output::line(format_args!("{}{mark} version {}: {}", offer.dataset, offer.version, offer.description));
    output::line(format_args!("  owner / cơ quan chủ quản: {} {}", offer.owner, offer.owner_title));
    let contacts: Vec<_> = offer.contacts.iter().map(|c| format!("{} {}", c.channel, c.url)).collect();
    output::line(format_args!("  contact / liên hệ: {}", contacts.join("; ")));
    output::line(format_args!("  updated / cập nhật: {}", within(offer.update_within)));
    output::line(format_args!("  record key / khóa bản ghi: {}", offer.key.join(", ")));
    output::line(format_args!("  how to ask / cách đề nghị: {}", offer.how_to_ask));
    output::table(
        &["field / trường", "personal data / dữ liệu cá nhân", "element", "meaning / ý nghĩa"],
        offer.fields.iter().map(|f| {
            let class = format!("{:?}{}", f.pii, if f.secret { ", secret" } else { "" }).to_lowercase();
            vec![
                f.path.clone(),
                class,
                f.element.clone().unwrap_or_default(),
                f.description.clone().unwrap_or_default(),
            ]
        }),
    );
}
