//! `kenh new dataset --from FILE.csv`: a first contract, schema, mapping and grant from somebody's own table.

use kenh_governance::new_dataset::{Request, draft};
use serde_json::json;

use super::Failure;
use crate::cli::{NewDataset, Output};
use crate::output;
use crate::output::thousands;

/// `kenh new dataset`
pub fn run(new: &NewDataset, output: Output) -> Result<(), Failure> {
    let request = Request {
        from: new.from.clone(),
        name: new.name.clone(),
        provider: new.provider.clone(),
        recipient: new.recipient.clone(),
        key: new.key.clone(),
        into: new.into.clone(),
    };
    let draft = draft(&request)?;
    let written = draft.write()?;
    if output == Output::Json {
        output::json(&json!({
            "dataset": draft.dataset, "rows": draft.rows, "key": draft.key, "created": written.created,
            "unchanged": written.unchanged, "notes": draft.notes,
            "fields": draft.fields.iter().map(|f| json!({
                "header": f.header, "name": f.name, "type": f.kind.to_string(),
                "nullable": f.nullable,
            })).collect::<Vec<_>>(),
        }));
        return Ok(());
    }
    output::line(format_args!("{}: {} rows read from {}", draft.dataset, thousands(draft.rows), new.from.display()));
    output::table(
        &["column", "field", "type", "may be empty", "record key"],
        draft.fields.iter().map(|f| {
            let yes = |on: bool| if on { "yes" } else { "" }.to_owned();
            vec![
                f.header.clone(),
                f.name.clone(),
                f.kind.to_string(),
                yes(f.nullable),
                yes(draft.key.contains(&f.name)),
            ]
        }),
    );
    for file in &written.created {
        output::line(format_args!("created   {}", file.display()));
    }
    for file in &written.unchanged {
        output::line(format_args!("unchanged {}", file.display()));
    }
    for note in &draft.notes {
        output::note(format_args!("look at: {note}"));
    }
    let (name, recipient) = (&draft.dataset, &new.recipient);
    output::line("Next:");
    for command in [
        "kenh apply schemas broker-config".to_owned(),
        format!("kenh produce {name} --from {}", new.from.display()),
        format!("kenh subscribe {recipient} --once"),
        format!("kenh view list {recipient} {name}"),
    ] {
        output::line(format_args!("  {command}"));
    }
    Ok(())
}
