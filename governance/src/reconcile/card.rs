//! View cards: what a subscriber needs to keep a copy, made from the control set.

use kenh_domain::control::{ControlSet, ViewEntry};
use kenh_domain::grant::{GrantedField, KeyForm};
use kenh_domain::log::Incarnation;
use kenh_domain::notice::{CardState, FORMAT, ViewCard};
use kenh_domain::secret::Secret;

/// The card of an edition; none while its contract or schema is not known (which no control log gives rise to).
pub fn of(
    view: &ViewEntry,
    state: CardState,
    set: &ControlSet,
    master: &Secret,
    incarnation: Incarnation,
) -> Option<ViewCard> {
    let activation = &view.activation;
    let grant = &activation.grant;
    let contract = set.contracts.get(&grant.dataset)?;
    let schema = set.schemas.get(&activation.schema_id)?;
    let pseudonym = grant.key == KeyForm::Pseudonym;
    let unmasked =
        |path: &String| grant.fields.iter().find(|f| &f.path == path && f.mask.is_none()).map(GrantedField::view_name);
    let key_fields = if pseudonym { Vec::new() } else { contract.key.iter().filter_map(unmasked).collect() };
    let comment = |field: &GrantedField| {
        let text = contract.fields.get(&field.path)?.description.clone()?;
        Some((field.view_name(), text))
    };
    let digest_secret = master.derive(&format!("digest/{}", activation.view_no.0));
    Some(ViewCard {
        format: FORMAT,
        agency: grant.recipient.clone(),
        dataset: grant.dataset.clone(),
        view: grant.view.clone(),
        edition: activation.edition,
        state,
        grant: grant.id.clone(),
        partitions: contract.partitions,
        key_fields,
        pseudonym,
        schema_id: activation.schema_id,
        schema: schema.schema.clone(),
        comments: grant.fields.iter().filter_map(comment).collect(),
        incarnation,
        digest_secret: digest_secret.expose().iter().map(|b| format!("{b:02x}")).collect(),
    })
}
