//! Every call of the registry, right and wrong.

use kenh_domain::contract::{Contract, Effective, Provider, SchemaVersion, VersionSource};
use kenh_domain::control::{
    Activation, AgencyDocument, ControlEvent, ControlRecord, FORMAT, SchemaDocument, Trust, ViewNo,
};
use kenh_domain::envelope;
use kenh_domain::grant::{EndReason, Grant, GrantedField, KeyForm};
use kenh_domain::log::Position;
use kenh_domain::names::View;
use kenh_domain::topic::Edition;

use super::*;

const V1: &str = r#"{"type":"record","name":"R","fields":[{"name":"Ma","type":"string"}]}"#;
const V2: &str = r#"{"type":"record","name":"R","fields":[{"name":"Ma","type":"string"},{"name":"Ten","type":["null","string"],"default":null}]}"#;
const SEEN: &str = r#"{"type":"record","name":"Thu","fields":[{"name":"Ma","type":"string"}]}"#;

fn set() -> ControlSet {
    let texts = [
        ("kenh.SubmissionEnd", envelope::SUBMISSION_END_SCHEMA.to_owned()),
        ("thu-value", V1.to_owned()),
        ("in.thu.A-value", envelope::schema(V1).unwrap()),
        ("thu-value", V2.to_owned()),
        ("in.thu.A-value", envelope::schema(V2).unwrap()),
        ("view.B.thu.main.1-value", SEEN.to_owned()),
    ];
    let mut events = vec![ControlEvent::Genesis { trust: Trust::Unsigned }];
    for (id, (subject, schema)) in (1..).zip(texts) {
        let document = SchemaDocument { id: SchemaId(id), subject: subject.into(), version: 1, schema };
        events.push(ControlEvent::Schema(document));
    }
    let agency = |name: &str| {
        let systems = vec![format!("{name}-portal").parse().unwrap()];
        ControlEvent::Agency(AgencyDocument {
            name: name.parse().unwrap(),
            code: name.into(),
            title: name.into(),
            systems,
        })
    };
    events.extend([agency("A"), agency("B")]);
    let schemas = vec![
        SchemaVersion { version: 1, id: SchemaId(2), schema: V1.into(), envelope_id: SchemaId(3) },
        SchemaVersion { version: 2, id: SchemaId(4), schema: V2.into(), envelope_id: SchemaId(5) },
    ];
    events.push(ControlEvent::Contract(Box::new(Contract {
        dataset: "thu".parse().unwrap(),
        version: "1.0.0".into(),
        owner: "A".parse().unwrap(),
        description: String::new(),
        partitions: 1,
        key: vec!["Ma".into()],
        providers: vec![Provider { agency: "A".parse().unwrap(), rows: None }],
        version_source: VersionSource::Provider,
        max_version_step: None,
        effective: Effective::AtOnce,
        open: false,
        synthetic: false,
        schemas,
        fields: BTreeMap::new(),
        code_lists: BTreeMap::new(),
        terms: kenh_domain::contract::Terms::default(),
    })));
    for edition in 1..=2 {
        let grant = Grant {
            id: "g".parse().unwrap(),
            recipient: "B".parse().unwrap(),
            systems: vec!["B-portal".parse().unwrap()],
            dataset: "thu".parse().unwrap(),
            view: View::main(),
            purpose: "p".into(),
            legal_basis: vec!["l".into()],
            fields: vec![GrantedField { path: "Ma".into(), name: None, mask: None }],
            filter: None,
            key: KeyForm::Clear,
            duration: "P12M".into(),
            template: None,
            emergency: false,
        };
        events.push(ControlEvent::Grant(Box::new(Activation {
            view_no: ViewNo(edition),
            edition: Edition(edition),
            grant,
            schema_id: SchemaId(6),
            starts_ms: 0,
            ends_ms: 1,
            secret_label: String::new(),
        })));
    }
    events.push(ControlEvent::End { view_no: ViewNo(1), reason: EndReason::Ended, because: String::new() });
    let mut set = ControlSet::default();
    for (position, event) in (1..).zip(events) {
        let record = ControlRecord { format: FORMAT, at_ms: 0, event, signatures: vec![] };
        set.apply(Position(position), &serde_json::to_vec(&record).unwrap()).unwrap();
    }
    set
}

fn ask(method: &str, target: &str, body: &str) -> (u16, Value) {
    let set = set();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let answer = Registry::new(&set).handle(method, path, query, body.as_bytes());
    (answer.status, answer.body)
}

fn get(target: &str) -> (u16, Value) {
    ask("GET", target, "")
}

fn post(target: &str, schema: &str) -> (u16, Value) {
    ask("POST", target, &json!({ "schema": schema }).to_string())
}

/// Status and error code of a call that is refused.
fn code((status, body): (u16, Value)) -> (u16, u64) {
    assert!(body["message"].as_str().is_some_and(|m| !m.is_empty()), "{body}");
    (status, body["error_code"].as_u64().unwrap())
}

#[test]
fn subjects_are_listed_without_those_of_ended_views() {
    let live = json!(["in.thu.A-value", "kenh.SubmissionEnd", "thu-value", "view.B.thu.main.2-value"]);
    assert_eq!(get("/subjects"), (200, live));
    assert_eq!(get("/subjects?subjectPrefix=thu"), (200, json!(["thu-value"])));
    assert_eq!(get("/subjects?deleted=true").1.as_array().unwrap().len(), 5);
}

#[test]
fn versions_of_a_subject_are_found_by_number_and_as_latest() {
    assert_eq!(get("/subjects/thu-value/versions"), (200, json!([1, 2])));
    let first = json!({"subject": "thu-value", "version": 1, "id": 2, "schema": V1});
    assert_eq!(get("/subjects/thu-value/versions/1"), (200, first));
    for latest in ["latest", "-1", "2"] {
        let (status, body) = get(&format!("/subjects/thu-value/versions/{latest}"));
        assert_eq!((status, &body["id"], &body["version"]), (200, &json!(4), &json!(2)));
    }
    assert_eq!(get("/subjects/in.thu.A-value/versions/1").1["id"], 3);
    assert_eq!(get("/subjects/in%2Ethu.A-value/versions").0, 200, "a subject may come percent-encoded");
    assert_eq!(get("/subjects/thu-value/versions/1/schema"), (200, serde_json::from_str(V1).unwrap()));
    assert_eq!(get("/subjects/thu-value/versions/1/referencedby"), (200, json!([])));
    assert_eq!(code(get("/subjects/nobody/versions")), (404, 40401));
    assert_eq!(code(get("/subjects/nobody/versions/1")), (404, 40401));
    assert_eq!(code(get("/subjects/thu-value/versions/3")), (404, 40402));
    for wrong in ["0", "-2", "x", "99999999999"] {
        assert_eq!(code(get(&format!("/subjects/thu-value/versions/{wrong}"))), (422, 42202), "{wrong}");
    }
}

#[test]
fn schemas_are_found_by_id() {
    assert_eq!(get("/schemas/ids/2"), (200, json!({ "schema": V1 })));
    assert_eq!(get("/schemas/ids/2/schema"), (200, serde_json::from_str(V1).unwrap()));
    assert_eq!(get("/schemas/ids/2/versions"), (200, json!([{"subject": "thu-value", "version": 1}])));
    let both = json!(["view.B.thu.main.1-value", "view.B.thu.main.2-value"]);
    assert_eq!(get("/schemas/ids/6/subjects"), (200, both));
    assert_eq!(get("/schemas/types"), (200, json!(["AVRO"])));
    assert_eq!(get("/schemas").1.as_array().unwrap().len(), 6);
    for (path, status) in [("/schemas/ids/99", 404), ("/schemas/ids/x", 404), ("/schemas/ids/99/schema", 404)] {
        assert_eq!(code(get(path)), (status, 40403), "{path}");
    }
}

#[test]
fn a_schema_is_looked_up_by_what_it_says_and_not_by_its_spaces() {
    let spaced = serde_json::to_string_pretty(&serde_json::from_str::<Value>(V1).unwrap()).unwrap();
    let (status, body) = post("/subjects/thu-value", &spaced);
    assert_eq!((status, &body["id"], &body["version"], &body["schema"]), (200, &json!(2), &json!(1), &json!(V1)));
    assert_eq!(code(post("/subjects/nobody", V1)), (404, 40401));
    assert_eq!(code(post("/subjects/thu-value", SEEN)), (404, 40403));
    assert_eq!(code(post("/subjects/thu-value", "{}")), (422, 42201));
    assert_eq!(code(ask("POST", "/subjects/thu-value", "nonsense")), (422, 42201));
    let json_schema = json!({ "schema": V1, "schemaType": "JSON" }).to_string();
    assert_eq!(code(ask("POST", "/subjects/thu-value", &json_schema)), (422, 42201));
    let references = json!({ "schema": V1, "references": [{}] }).to_string();
    assert_eq!(code(ask("POST", "/subjects/thu-value", &references)), (422, 42201));
}

#[test]
fn a_released_schema_answers_its_id_and_any_other_how_to_propose_it() {
    assert_eq!(post("/subjects/thu-value/versions", V2), (200, json!({ "id": 4 })));
    let next = V2.replace(r#""default":null}"#, r#""default":null},{"name":"X","type":"int","default":0}"#);
    let (status, body) = post("/subjects/thu-value/versions", &next);
    assert_eq!((status, &body["error_code"]), (403, &json!(40301)));
    assert!(body["message"].as_str().unwrap().contains("kenh apply"));
    assert_eq!(code(post("/subjects/nobody/versions", V1)), (403, 40301));
    let (status, body) = post("/subjects/thu-value/versions", SEEN);
    assert_eq!((status, &body["error_code"]), (409, &json!(409)));
    let message = body["message"].as_str().unwrap();
    assert!(
        message.starts_with("Schema being registered is incompatible with an earlier schema for subject"),
        "{message}"
    );
    assert!(message.contains("version 1: name-changed"), "{message}");
    assert_eq!(code(post("/subjects/thu-value/versions", "{}")), (422, 42201));
}

#[test]
fn compatibility_is_told_with_its_reasons() {
    let grows = r#"{"type":"record","name":"R","fields":[{"name":"Ma","type":"string"},{"name":"X","type":"int"}]}"#;
    assert_eq!(post("/compatibility/subjects/thu-value/versions/latest", V1), (200, json!({ "is_compatible": true })));
    assert_eq!(post("/compatibility/subjects/thu-value/versions/1", grows), (200, json!({ "is_compatible": false })));
    let (_, told) = post("/compatibility/subjects/thu-value/versions?verbose=true", grows);
    let messages: Vec<&str> = told["messages"].as_array().unwrap().iter().map(|m| m.as_str().unwrap()).collect();
    assert_eq!(messages.len(), 2, "one for each released version");
    assert!(messages[0].starts_with("version 1: default-missing: field X is new and has no default"), "{messages:?}");
    // As Confluent's client for Python writes it.
    assert_eq!(post("/compatibility/subjects/thu-value/versions?normalize=False&verbose=True", grows).1, told);
    let fine = json!({ "is_compatible": true, "messages": [] });
    assert_eq!(post("/compatibility/subjects/thu-value/versions?verbose=true", V2), (200, fine));
    assert_eq!(code(post("/compatibility/subjects/nobody/versions", V1)), (404, 40401));
    assert_eq!(code(post("/compatibility/subjects/thu-value/versions/9", V1)), (404, 40402));
    assert_eq!(code(post("/compatibility/subjects/thu-value/versions/0", V1)), (422, 42202));
    assert_eq!(code(post("/compatibility/subjects/thu-value/versions/1", "{}")), (422, 42201));
}

#[test]
fn settings_are_told_and_nothing_is_changed_or_deleted_here() {
    let level = json!({ "compatibilityLevel": "BACKWARD_TRANSITIVE" });
    assert_eq!(get("/config"), (200, level.clone()));
    assert_eq!(get("/config/thu-value"), (200, level));
    assert_eq!(code(get("/config/nobody")), (404, 40401));
    assert_eq!(get("/mode"), (200, json!({ "mode": "READONLY" })));
    assert_eq!(get("/"), (200, json!({})));
    assert_eq!(get("/contexts"), (200, json!(["."])));
    for (method, path) in [
        ("DELETE", "/subjects/thu-value"),
        ("DELETE", "/subjects/thu-value/versions/1"),
        ("PUT", "/config"),
        ("DELETE", "/config/thu-value"),
        ("PUT", "/mode/thu-value"),
        ("PATCH", "/subjects"),
    ] {
        assert_eq!(code(ask(method, path, "")), (405, 405), "{method} {path}");
    }
    assert_eq!(code(get("/nothing/here")), (404, 404));
}

const APICURIO: &str = "/apis/registry/v3";

/// A version as Apicurio's API has it.
fn version(subject: &str, version: u32, id: u32) -> Value {
    json!({
        "groupId": "default", "artifactId": subject, "artifactType": "AVRO", "state": "ENABLED",
        "version": version.to_string(), "globalId": id, "contentId": id,
    })
}

#[test]
fn apicurios_api_finds_schemas_by_id_version_and_text() {
    let get = |path: &str| get(&format!("{APICURIO}{path}"));
    let artifact = "/groups/default/artifacts/thu-value/versions";
    let v1: Value = serde_json::from_str(V1).unwrap();
    for kind in ["contentIds", "globalIds"] {
        assert_eq!(get(&format!("/ids/{kind}/2")), (200, v1.clone()));
        assert_eq!(get(&format!("/ids/{kind}/2/references")), (200, json!([])));
        assert_eq!(get(&format!("/ids/{kind}/99")).0, 404);
        assert_eq!(get(&format!("/ids/{kind}/99/references")).0, 404);
    }
    let both = json!({ "count": 2, "versions": [version("thu-value", 1, 2), version("thu-value", 2, 4)] });
    assert_eq!(get(artifact), (200, both));
    assert_eq!(get(&format!("{artifact}/1")), (200, version("thu-value", 1, 2)));
    assert_eq!(get(&format!("{artifact}/branch%3Dlatest")), (200, version("thu-value", 2, 4)));
    assert_eq!(get(&format!("{artifact}/1/content")), (200, v1));
    assert_eq!(get(&format!("{artifact}/1/references")), (200, json!([])));
    for unknown in ["/thu-value/versions/3", "/nobody/versions/1", "/nobody/versions", "/thu-value/versions/3/content"]
    {
        let (status, body) = get(&format!("/groups/default/artifacts{unknown}"));
        assert_eq!((status, &body["status"]), (404, &json!(404)), "{unknown}");
        assert!(body["title"].as_str().is_some_and(|t| t.contains("not found")), "{body}");
    }
    assert_eq!(get("/groups/another/artifacts/thu-value/versions").0, 404, "there is one group");

    let search = |query: &str, text: &str| ask("POST", &format!("{APICURIO}/search/versions?{query}"), text);
    let found = json!({ "count": 1, "versions": [version("thu-value", 2, 4)] });
    assert_eq!(search("artifactId=thu-value&groupId=default", V2), (200, found));
    let none = json!({ "count": 0, "versions": [] });
    assert_eq!(search("artifactId=thu-value", SEEN), (200, none.clone()));
    assert_eq!(search("artifactId=nobody", V2), (200, none.clone()));
    assert_eq!(search("artifactId=thu-value&groupId=another", V2), (200, none));
    assert_eq!(search("groupId=default", V2).0, 422);
    assert_eq!(search("artifactId=thu-value", "nonsense").0, 422);
}

#[test]
fn apicurios_api_registers_what_is_released_and_says_why_not() {
    let create = |artifact: &str, schema: &str| {
        let sent = json!({
            "artifactId": artifact, "artifactType": "AVRO",
            "firstVersion": { "content": { "content": schema, "contentType": "application/json" } },
        });
        ask("POST", &format!("{APICURIO}/groups/default/artifacts?ifExists=FIND_OR_CREATE_VERSION"), &sent.to_string())
    };
    let next = |query: &str, schema: &str| {
        let sent = json!({ "content": { "content": schema, "contentType": "application/json", "references": [] } });
        ask("POST", &format!("{APICURIO}/groups/default/artifacts/thu-value/versions{query}"), &sent.to_string())
    };
    let (status, body) = create("thu-value", V1);
    assert_eq!((status, &body["version"]), (200, &version("thu-value", 1, 2)));
    assert_eq!(body["artifact"]["artifactId"], "thu-value");
    assert_eq!(next("", V2), (200, version("thu-value", 2, 4)));
    assert_eq!(next("?dryRun=true", V2), (200, version("thu-value", 2, 4)));

    let wider = V2.replace(r#""default":null}"#, r#""default":null},{"name":"X","type":"int","default":0}"#);
    for (status, body) in [create("thu-value", &wider), create("nobody", V1), next("", &wider)] {
        assert_eq!((status, &body["status"]), (403, &json!(403)));
        assert!(body["detail"].as_str().unwrap().contains("kenh schema propose"), "{body}");
    }
    let (status, body) = next("?dryRun=true", &wider);
    assert_eq!(
        (status, &body["version"], &body["contentId"]),
        (200, &json!("3"), &Value::Null),
        "no id before release"
    );
    for query in ["", "?dryRun=true"] {
        let (status, body) = next(query, &wider.replace(r#","default":0"#, ""));
        assert_eq!((status, &body["name"]), (409, &json!("RuleViolationException")));
        let causes = body["causes"].as_array().unwrap();
        assert_eq!((causes.len(), &causes[0]["context"]), (2, &json!("X")), "one for each released version");
        let said = causes[0]["description"].as_str().unwrap();
        assert!(said.starts_with("version 1: default-missing: field X is new and has no default"), "{said}");
    }

    let missing = ask("POST", &format!("{APICURIO}/groups/default/artifacts/nobody/versions?dryRun=true"), "{}");
    assert_eq!(missing.0, 422);
    let at = |sent: Value| ask("POST", &format!("{APICURIO}/groups/default/artifacts"), &sent.to_string()).0;
    let content = json!({ "content": { "content": V1, "references": [{}] } });
    assert_eq!(at(json!({ "artifactId": "thu-value", "firstVersion": content })), 422, "references are not taken");
    assert_eq!(at(json!({ "artifactId": "thu-value", "artifactType": "PROTOBUF" })), 422);
    assert_eq!(at(json!({ "artifactId": "thu-value" })), 422);
    for (method, path) in [("DELETE", "/groups/default/artifacts/thu-value"), ("GET", "/admin/rules"), ("GET", "")] {
        assert_eq!(ask(method, &format!("{APICURIO}{path}"), "").0, 404, "{method} {path}");
    }
}

#[test]
fn what_is_not_visible_does_not_exist() {
    let set = set();
    let registry = Registry::new(&set).visible(&|subject| subject.starts_with("view.B."));
    let get = |path: &str| {
        let answer = registry.handle("GET", path, "", b"");
        (answer.status, answer.body)
    };
    assert_eq!(get("/subjects"), (200, json!(["view.B.thu.main.2-value"])));
    assert_eq!(code(get("/subjects/thu-value/versions")), (404, 40401));
    assert_eq!(code(get("/schemas/ids/2")), (404, 40403));
    assert_eq!(get("/schemas/ids/6").0, 200);

    let apicurio = |method: &str, path: &str, body: &str| {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let answer = registry.handle(method, &format!("{APICURIO}{path}"), query, body.as_bytes());
        (answer.status, answer.body)
    };
    assert_eq!(apicurio("GET", "/ids/contentIds/6", "").0, 200);
    assert_eq!(apicurio("GET", "/ids/contentIds/2", "").0, 404);
    assert_eq!(apicurio("GET", "/groups/default/artifacts/thu-value/versions/1", "").0, 404);
    assert_eq!(apicurio("POST", "/search/versions?artifactId=thu-value", V1).1["count"], 0);
    let sent = json!({ "artifactId": "thu-value", "firstVersion": { "content": { "content": V1 } } }).to_string();
    assert_eq!(apicurio("POST", "/groups/default/artifacts", &sent).0, 403);
}

/// Who sees what: a change of it shows here.
#[test]
fn a_system_sees_the_subjects_of_its_topics_and_of_what_its_agency_provides() {
    let set = set();
    let of = |system: &str, now_ms: i64| {
        let own = subjects::of_system(&set, &system.parse().unwrap(), now_ms);
        let registry = Registry::new(&set).visible(&|subject| own.contains(subject));
        registry.handle("GET", "/subjects", "deleted=true", b"").body
    };
    assert_eq!(of("A-portal", 0), json!(["in.thu.A-value", "kenh.SubmissionEnd", "thu-value"]));
    assert_eq!(of("B-portal", 0), json!(["view.B.thu.main.2-value"]), "the first edition has ended");
    assert_eq!(of("B-portal", 1), json!([]), "its time has run out");
    for nobody in ["C-portal", "kenh-router", "kenh-control"] {
        assert_eq!(of(nobody, 0), json!([]), "{nobody}");
    }
}

#[test]
fn percent_signs_that_are_no_escape_stay() {
    for (text, decoded) in [("a%20b", "a b"), ("%C4%90", "Đ"), ("100%", "100%"), ("%zz", "%zz"), ("%4", "%4")] {
        assert_eq!(answer::percent_decode(text), decoded);
    }
}
