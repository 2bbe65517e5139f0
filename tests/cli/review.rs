//! A review from outside: propose, read, vote, release; and everything that may not pass.

use serde_json::{Value, json};

use crate::harness::Place;

const ID: &str = "dan-cu-1-1-0";

/// The shipped bus, and version 1.1.0 of the population contract in its folder, with one field more in v2.avsc.
fn place(edit: impl FnOnce(&mut Value)) -> Place {
    let place = Place::with_shipped_applied();
    let mut schema: Value = serde_json::from_str(&place.read("schemas/dan-cu/v1.avsc")).unwrap();
    edit(&mut schema);
    place.write("schemas/dan-cu/v2.avsc", schema.to_string());
    let contract = place.read("schemas/dan-cu/contract.yaml").replace("\nversion: 1.0.0", "\nversion: 1.1.0");
    let field = "      - name: ThuDienTu\n        description: Thư điện tử / E-mail address\n        logicalType: string\n        \
                 customProperties:\n          - property: kenh.pii\n            value: basic\n";
    place.write("schemas/dan-cu/contract.yaml", format!("{}\n{field}", contract.trim_end()));
    place
}

fn more(schema: &mut Value) {
    let field = json!({"name": "ThuDienTu", "type": ["null", "string"], "default": null});
    schema["fields"].as_array_mut().unwrap().push(field);
}

fn listed(place: &Place) -> Value {
    place.kenh(["review", "list", "--output", "json"]).ok().json()
}

#[test]
fn a_version_is_proposed_read_voted_on_and_released() {
    let place = place(more);
    let propose = ["schema", "propose", "dan-cu", "--author", "an", "--output", "json"];
    let proposed = place.kenh(propose).ok().json();
    assert_eq!((&proposed["state"], &proposed["blocked"]), (&json!("counts"), &json!(false)));
    // The same name is not taken twice, and nothing that stands is touched by trying.
    place.kenh(propose).exits(3).complains("was made before");

    let of =
        |lang: &str, format: &str| place.kenh(["review", "show", ID, "--lang", lang, "--format", format]).ok().stdout;
    assert!(of("vi", "md").starts_with("# Hợp đồng dữ liệu dan-cu: từ phiên bản 1.0.0 lên 1.1.0"));
    assert!(of("en", "md").contains("- new field ThuDienTu: E-mail address; basic personal data"));
    let html = of("vi", "html");
    assert!(html.starts_with("<!doctype html>") && html.contains("Thư điện tử") && !html.contains("<script"));

    let vote = |verb: &[&str], person: &str| {
        let said = [&["review"], verb, &[ID, "--as", person]].concat();
        place.kenh(said)
    };
    vote(&["approve"], "an").exits(3).complains("does not approve it");
    vote(&["approve"], "binh").ok();
    vote(&["refuse"], "chi").exits(3).complains("without a reason");
    place.kenh(["review", "refuse", ID, "--as", "chi", "--reason", "Thiếu căn cứ"]).ok();
    vote(&["advise", "--against"], "dung").ok();
    let all = listed(&place);
    let votes: Vec<_> = all[0]["votes"].as_array().unwrap().iter().map(|v| v["vote"]["verdict"].clone()).collect();
    assert_eq!(votes, [json!("approve"), json!("refuse"), json!("advise-against")]);
    assert_eq!(all[0]["pageSha256"], proposed["pageSha256"]);

    place.kenh(["apply", "schemas", "broker-config"]).ok();
    assert_eq!(listed(&place)[0]["state"], "in force");
}

#[test]
fn nobody_is_shown_or_votes_on_a_page_that_was_changed() {
    let place = place(more);
    place.kenh(["schema", "propose", "dan-cu", "--author", "an"]).ok();
    let page = format!("reviews/{ID}/review.vi.html");
    place.edit(&page, "Thư điện tử", "Thư điện tư");
    let show = ["review", "show", ID, "--format", "html"];
    place.kenh(show).exits(3).complains("is not the page that was put to the vote");
    place.kenh(["review", "show", ID, "--lang", "en", "--format", "html"]).ok();
    place.edit(&format!("reviews/{ID}/review.md"), "basic personal data", "not personal");
    place.kenh(["review", "approve", ID, "--as", "binh"]).exits(3).complains("its SHA-256 is another");
    assert_eq!(listed(&place)[0]["votes"], json!([]));
}

#[test]
fn what_breaks_a_view_is_not_proposed() {
    let place = place(|schema| {
        more(schema);
        let fields = schema["fields"].as_array_mut().unwrap();
        fields.iter_mut().find(|f| f["name"] == "HoVaTen").unwrap()["type"] = json!("bytes");
    });
    // What cannot be declared is told where it stands.
    place.kenh(["schema", "propose", "dan-cu", "--author", "an"]).exits(3);
    let schema = place.read("schemas/dan-cu/v1.avsc");
    let mut schema: Value = serde_json::from_str(&schema).unwrap();
    schema["fields"].as_array_mut().unwrap().push(json!({"name": "ThuDienTu", "type": "string"}));
    place.write("schemas/dan-cu/v2.avsc", schema.to_string());
    let said = place.kenh(["schema", "propose", "dan-cu", "--author", "an"]).exits(3);
    assert!(said.stdout.contains("BLOCKS") && said.stdout.contains("ThuDienTu"), "{}", said.stdout);
    assert_eq!(listed(&place), json!([]));
    assert!(place.read(&format!("reviews/{ID}/review.en.md")).contains("IT CANNOT COME INTO FORCE LIKE THIS"));
}

#[test]
fn a_grant_is_examined_with_what_its_recipient_then_holds() {
    let place = Place::with_shipped_applied();
    let grant = place.read("broker-config/grants/g18-dan-cu.yaml");
    place.write(
        "second.yaml",
        grant.replace("id: g18-dan-cu", "id: g12-dem").replace("G18", "G12").replace("g18", "g12"),
    );
    let ask = ["review", "grant", "--from", "second.yaml", "--author", "an", "--records", "20000"];
    let said = place.kenh(ask).ok();
    assert!(said.stdout.contains("no longer: SoDinhDanh"), "in the place of its view in clear: {}", said.stdout);
    place.kenh(["review", "show", "g12-dem", "--lang", "en"]).ok().prints("about 20\u{202f}000 records");
    place.edit("second.yaml", "dataset: dan-cu", "dataset: dan-cu\nview: dem");
    let said = place.kenh(ask).exits(3);
    assert!(said.stdout.contains("together they undo it"), "{}", said.stdout);
    assert_eq!(listed(&place).as_array().unwrap().len(), 1);
}

#[test]
fn those_who_sign_a_grant_see_the_bounds_of_its_template() {
    let place = Place::with_shipped_applied();
    let grant = place.read("broker-config/grants/g18-dan-cu.yaml");
    let grant =
        grant.replace("id: g18-dan-cu", "id: g18-mau\nview: mau").replace("duration:", "template: m\nduration:");
    place.write("mau.yaml", grant);
    let template = "kind: GrantTemplate\nname: m\ntitle: Tiêm chủng\npurposes: [Lập kế hoạch tiêm chủng theo xã]\n\
                    maxDuration: P12M\ndatasets: [{dataset: dan-cu, fields: [NgaySinh, GioiTinh, NoiOHienTai]}]\n";
    place.write("templates/m.yaml", template);
    let ask = ["review", "grant", "--from", "mau.yaml", "--author", "an"];
    place.kenh(ask).exits(2).complains("--template");
    let with = ["review", "grant", "--from", "mau.yaml", "--author", "an", "--template", "templates"];
    place.kenh(with).ok();
    let page = place.read("reviews/g18-mau/review.vi.md");
    assert!(page.contains("| trường được cấp theo mẫu | của dan-cu: NgaySinh, GioiTinh, NoiOHienTai"), "{page}");
}
