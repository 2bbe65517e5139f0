//! Fields beside each other: the parts of a date of birth, and the personal ID with sex and year.

use super::*;

const PERSON: &str = r#"{"type":"record","name":"P","fields":[
    {"name":"id","type":"string"},
    {"name":"sex","type":"int"},
    {"name":"born","type":{"type":"record","name":"Born","fields":[
        {"name":"year","type":["null","int"],"default":null},
        {"name":"month","type":["null","int"],"default":null},
        {"name":"day","type":["null","int"],"default":null}]}}]}"#;

fn people() -> Rules {
    let mut contract = contract();
    contract.schemas[0].schema = PERSON.into();
    contract.code_lists.clear();
    contract.providers.truncate(1);
    let element = |name: &str| FieldRules { element: Some(name.into()), ..Default::default() };
    let bound = |most: &str| FieldRules { minimum: Some("1".into()), maximum: Some(most.into()), ..Default::default() };
    contract.fields = [
        ("id", element("personal-id")),
        ("sex", element("sex")),
        ("born.year", element("birth-year")),
        ("born.month", bound("12")),
        ("born.day", bound("31")),
    ]
    .map(|(path, rules)| (path.to_owned(), rules))
    .into();
    Rules::compile(&contract).unwrap()
}

fn person(id: &str, sex: i64, born: [Option<i64>; 3]) -> Vec<u8> {
    let mut out = Vec::new();
    envelope::put_text(id, &mut out);
    envelope::put_long(sex, &mut out);
    for part in born {
        envelope::put_long(part.is_some().into(), &mut out);
        if let Some(part) = part {
            envelope::put_long(part, &mut out);
        }
    }
    out
}

fn found(id: &str, sex: i64, born: [Option<i64>; 3]) -> Vec<(Rule, String)> {
    let found =
        people().check_record(&person(id, sex, born), RECORD, (Relaxed::NONE, &CodeLists::NotAsked), &mut Spans::new());
    found.rejections.into_iter().map(|r| (r.rule, r.field)).collect()
}

#[test]
fn the_day_of_a_birth_date_in_parts_is_one_of_its_month() {
    let day = |y: Option<i64>, m: Option<i64>, d: Option<i64>| {
        let id = if y == Some(2000) { "079200000001" } else { "079085000001" };
        let id = if y == Some(1996) { "079096000001" } else { id };
        found(id, 0, [y, m, d])
    };
    let no_such_day = vec![(Rule::DayOfMonth, "born.day".to_owned())];
    for (y, m, d) in [(1985, 2, 29), (1985, 2, 31), (1996, 2, 30), (2000, 2, 30), (1985, 4, 31), (1985, 11, 31)] {
        assert_eq!(day(Some(y), Some(m), Some(d)), no_such_day, "{y} {m} {d}");
    }
    for (y, m, d) in [(1985, 2, 28), (1996, 2, 29), (2000, 2, 29), (1985, 12, 31), (1985, 4, 30)] {
        assert_eq!(day(Some(y), Some(m), Some(d)), [], "{y} {m} {d}");
    }
    // What is not known contradicts nothing; without its year, a 29 February may have been.
    assert_eq!(day(None, Some(2), Some(29)), []);
    assert_eq!(day(None, Some(2), Some(30)), no_such_day);
    assert_eq!(day(Some(1985), None, Some(31)), []);
    assert_eq!(day(Some(1985), Some(2), None), []);
    // A part beyond its own bounds is told once, by them.
    assert_eq!(day(Some(1985), Some(2), Some(32)), [(Rule::Maximum, "born.day".to_owned())]);
    assert_eq!(day(Some(1985), Some(13), Some(31)), [(Rule::Maximum, "born.month".to_owned())]);
}

#[test]
fn a_personal_id_agrees_with_sex_and_year() {
    let year = |year| [Some(year), None, None];
    assert_eq!(found("079085000001", 1, year(1985)), []);
    assert_eq!(found("079085000001", 2, year(1985)), [(Rule::IdSex, "sex".to_owned())]);
    assert_eq!(found("079085000001", 1, year(1986)), [(Rule::IdBirthYear, "born.year".to_owned())]);
}

#[test]
fn a_rejection_says_the_form_of_the_element_in_both_languages_and_no_value() {
    let body = person("079085", 1, [Some(1985), None, None]);
    let found = people().check_record(&body, RECORD, (Relaxed::NONE, &CodeLists::NotAsked), &mut Spans::new());
    let [rejection] = found.rejections.as_slice() else { panic!("{:?}", found.rejections) };
    let (en, vi) = (rejection.message(Lang::En), rejection.message(Lang::Vi));
    assert!(en.contains("(personal-id: personal ID, 12 digits"), "{en}");
    assert!(vi.contains("(personal-id: số định danh cá nhân, 12 chữ số"), "{vi}");
    assert!(!(en + &vi).contains("079085"));
}
