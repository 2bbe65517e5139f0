//! A golden table of what filters mean, and of what is refused.

use super::testing::{RECORD, Row, schema};
use super::{Atom, Filter, FilterError, IndexKey, Terms};
use crate::limits::{MAX_FILTER_BYTES, MAX_FILTER_DEPTH, MAX_FILTER_TERMS};
use crate::schema::{Schema, Spans};
use crate::wire::SchemaId;

fn matches(text: &str, row: &Row) -> bool {
    let schema = schema();
    let filter = Filter::compile(text, &schema).unwrap_or_else(|e| panic!("{text}: {e}"));
    let body = row.encode();
    let mut spans = Spans::new();
    schema.walk(&body, &mut spans).unwrap();
    filter.matches(&body, &spans)
}

fn refused(text: &str) -> FilterError {
    Filter::compile(text, &schema()).map(|f| f.normalised().to_owned()).expect_err(text)
}

/// Every text with a row that has all, and one where whatever may be null is null.
#[test]
fn the_golden_table() {
    let full = Row {
        so: 7,
        dai: 9_007_199_254_740_993,
        thuc: 2.5,
        ma: "79".into(),
        ten: Some("Hồ Chí Minh".into()),
        so_null: Some(-1),
        ngay: 20_270, // 2025-07-01
        ngay_null: Some(20_269),
        gioi: 1, // NU
        co: true,
        co_null: Some(false),
        noi: Some(("01".into(), Some(3))),
    };
    let null = Row { ten: None, so_null: None, ngay_null: None, co_null: None, noi: None, ..full.clone() };
    for (text, of_full, of_null) in [
        // Equality, and null.
        ("ma == \"79\"", true, true),
        ("ma == '79'", true, true),
        ("'79' == ma", true, true),
        ("ma != \"79\"", false, false),
        ("ten == null", false, true),
        ("ten != null", true, false),
        ("ten == \"x\"", false, false),
        ("ten != \"x\"", true, true),
        ("ma == null", false, false),
        ("ma != null", true, true),
        ("!(ten == null)", true, false),
        // Order, and null in no order.
        ("so < 8", true, true),
        ("so <= 7", true, true),
        ("so > 7", false, false),
        ("so >= 7", true, true),
        ("8 > so", true, true),
        ("so_null < 0", true, false),
        ("so_null >= 0", false, false),
        ("!(so_null < 0)", false, true),
        ("ten < \"I\"", true, false),
        ("ten >= \"\"", true, false),
        ("so >= -0x10 && so == 0x07", true, true),
        // Numbers by exact value.
        ("thuc == 2.5", true, true),
        ("thuc > 2", true, true),
        ("so == 7.0", true, true),
        ("so < 7.5", true, true),
        ("so > -1e300", true, true),
        ("dai == 9007199254740993", true, true),
        ("dai == 9007199254740992.0", false, false),
        ("dai > 9007199254740992.0", true, true),
        ("dai < 9.3e18", true, true),
        ("so in [1, 7.0]", true, true),
        ("thuc in [1, 2.5]", true, true),
        // Dates as dates.
        ("ngay == \"2025-07-01\"", true, true),
        ("ngay > \"2025-06-30\"", true, true),
        ("ngay < \"2025-07-01\"", false, false),
        ("ngay_null < ngay", true, false),
        ("ngay_null == ngay", false, false),
        ("ngay_null != ngay", true, true),
        ("ngay_null == null", false, true),
        ("ngay in [\"2025-07-01\"]", true, true),
        // Enums as text.
        ("gioi == \"NU\"", true, true),
        ("gioi != \"NAM\"", true, true),
        ("gioi in [\"NAM\"]", false, false),
        ("gioi > \"NA\"", true, true),
        ("gioi.startsWith(\"N\")", true, true),
        ("gioi == ma", false, false),
        // Booleans.
        ("co", true, true),
        ("!co", false, false),
        ("co == true", true, true),
        ("co_null", false, false),
        ("!co_null", true, true),
        ("co_null == false", true, false),
        ("co_null in [false, null]", true, true),
        // Lists.
        ("ma in [\"01\", \"79\"]", true, true),
        ("ma in [\"01\", \"02\",]", false, false),
        ("ten in [\"x\", null]", false, true),
        ("ten in [\"Hồ Chí Minh\"]", true, false),
        ("!(ten in [null])", true, false),
        // Prefixes.
        ("ma.startsWith(\"7\")", true, true),
        ("ma.startsWith(\"\")", true, true),
        ("ten.startsWith('Hồ')", true, false),
        ("!ten.startsWith('Hồ')", false, true),
        // Through nested records.
        ("noi.ma_tinh == \"01\"", true, false),
        ("noi.ma_tinh != \"01\"", false, true),
        ("noi.ma_tinh == null", false, true),
        ("noi.cap <= 3", true, false),
        ("noi == null", false, true),
        // Other types, with null only.
        ("luc != null", true, true),
        ("luc == null", false, false),
        // Joined.
        ("ma == \"79\" && so == 7 || co_null", true, true),
        ("(ma == \"1\" || so == 7) && noi != null", true, false),
        ("ma == \"1\" || ma == \"2\" || !(so == 7)", false, false),
        ("!!(so == 7) // hết", true, true),
        ("ma == \"\\u0037\\x39\"", true, true),
        ("ma == \"\\067\\071\"", true, true),
        ("ten != \"\\\"\\\\\\n\\t'\\U0001F600\"", true, true),
    ] {
        assert_eq!((matches(text, &full), matches(text, &null)), (of_full, of_null), "{text}");
    }
}

#[test]
fn what_is_refused_is_said_with_place_and_hint() {
    let mut wrong = Vec::new();
    for (text, offset, part) in [
        ("", 0, "empty"),
        ("  // chỉ lời bàn", 21, "empty"),
        ("mã == 1", 1, "no meaning"),
        ("Ma == \"79\"", 0, "did you mean ma?"),
        ("noi.matinh == \"79\"", 0, "did you mean noi.ma_tinh?"),
        ("ma == \"79\" && noi.xyzxyz == 1", 14, "fields are"),
        ("ma = \"79\"", 3, "equality is =="),
        ("ma == “79”", 6, "straight quotes"),
        ("ma == 79", 6, "in quotes"),
        ("so == \"7\"", 6, "without quotes"),
        ("so == true", 6, "without quotes"),
        ("co == 1", 6, "true or false"),
        ("co < true", 5, "== or !="),
        ("ngay == 20250701", 8, "YYYY-MM-DD"),
        ("ngay == \"2025-02-29\"", 8, "no day of the calendar"),
        ("ngay == \"01/07/2025\"", 8, "YYYY-MM-DD"),
        ("ngay in [null, \"x\"]", 15, "YYYY-MM-DD"),
        ("gioi == \"NƯ\"", 8, "did you mean NU?"),
        ("gioi in [\"KHAC\"]", 9, "it has NAM, NU"),
        ("so < null", 5, "== null"),
        ("luc > 5", 6, "only be compared with null"),
        ("ds == 5", 6, "only be compared with null"),
        ("ngay == ma", 0, "cannot be compared"),
        ("ds == ds", 0, "cannot be compared"),
        ("co < co_null", 0, "cannot be compared"),
        ("ma", 0, "not a condition"),
        ("noi", 0, "not a condition"),
        ("true", 0, "a literal is no condition"),
        ("1 == 1", 2, "name a field"),
        ("so == 1 == co", 8, "cannot be compared"),
        ("!co == true", 4, "in parentheses after !"),
        ("(so) == 7", 5, "cannot be compared"),
        ("(co) == true", 5, "cannot be compared"),
        ("ma in \"79\"", 6, "in [ ]"),
        ("ma in []", 6, "no row would match"),
        ("ma in [\"1\" \"2\"]", 11, "comma"),
        ("\"79\" in ds", 8, "in [ ]"),
        ("ma.startsWith(7)", 14, "in quotes"),
        ("so.startsWith(\"7\")", 0, "for texts"),
        ("ma.startsWith(\"7\") == true", 19, "startsWith is a condition"),
        ("ma.endsWith(\"9\")", 11, "no functions"),
        ("size(ma) > 1", 4, "no functions"),
        ("ds[0] == 1", 2, "no functions and no indexes"),
        ("ma == r\"x\"", 7, "a text cannot follow a name"),
        ("so + 1 == 2", 3, "does not calculate"),
        ("so == 1u", 6, "unsigned"),
        ("so == 1x", 6, "not a number"),
        ("so == 0x", 6, "not a number"),
        ("thuc == 1.", 8, "not a number"),
        ("thuc == 1e999", 8, "not a number"),
        ("so == 99999999999999999999", 6, "64 bits"),
        ("ma == \"79", 6, "does not end"),
        ("ma == \"7\n9\"", 8, "end of a line"),
        ("ma == \"\\q\"", 7, "escape"),
        ("ma == \"\\ud800\"", 7, "escape"),
        ("ma == \"\\x4\"", 7, "escape"),
        ("(ma == \"79\"", 0, "not closed"),
        ("ma == \"79\")", 10, "not opened"),
        ("ma == \"79\" so == 7", 11, "&& or ||"),
        ("ma == \"79\" &&", 13, "too early"),
        ("&& ma == \"79\"", 0, "expected here"),
        ("noi. == 1", 5, "field name"),
        ("while == 1", 0, "reserved word"),
        ("noi.in == 1", 4, "reserved word"),
        ("ma == \"79\" & so == 7", 11, "and is &&"),
        ("so == -", 6, "expected here"),
    ] {
        let error = refused(text);
        if error.offset != offset || !error.to_string().contains(part) {
            wrong.push(format!("{text}: not {part:?} at {offset}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_error_repeats_no_literal() {
    for text in [
        "ngay == \"bimat-1\"",
        "so == \"bimat-1\"",
        "gioi == \"bimat-1\"",
        "ma == \"bimat-1\" x",
        "ma in [\"bimat-1\" 1]",
    ] {
        let error = refused(text);
        assert!(!error.to_string().contains("bimat"), "{error}");
    }
}

#[test]
fn size_is_bounded_and_never_overflows_the_stack() {
    let many = |n: usize| vec!["so==1"; n].join("||");
    assert!(Filter::compile(&many(MAX_FILTER_TERMS), &schema()).is_ok());
    assert!(refused(&many(MAX_FILTER_TERMS + 1)).message.contains("more than 1024"));
    assert!(refused(&many(10_000)).message.contains(&MAX_FILTER_BYTES.to_string()));
    let list = |n: usize| format!("so in [{}]", vec!["1"; n].join(","));
    assert!(Filter::compile(&list(MAX_FILTER_TERMS - 1), &schema()).is_ok());
    assert!(refused(&list(MAX_FILTER_TERMS)).message.contains("more than 1024"));

    let deep = |open: &str, close: &str, n: usize| format!("{}co{}", open.repeat(n), close.repeat(n));
    assert!(Filter::compile(&deep("(", ")", MAX_FILTER_DEPTH), &schema()).is_ok());
    assert!(Filter::compile(&deep("!", "", MAX_FILTER_DEPTH), &schema()).is_ok());
    for n in [MAX_FILTER_DEPTH + 1, 7_000] {
        for text in [deep("(", ")", n), deep("!", "", n), deep("!(", ")", n / 2 + 1), deep("(", "", n)] {
            assert!(refused(&text).message.contains("nested deeper"), "{n}");
        }
    }
    assert!(refused(&deep("(", ")", 10_000)).message.contains("bytes"));
}

#[test]
fn equal_syntax_has_one_text() {
    for (texts, normal) in [
        (&["ma=='79'", " ( ma == \"79\" ) ", "'79' == ma // x", "ma == \"\\x379\""][..], "ma == \"79\""),
        (&["(co && (so==1)) && co_null", "co&&so == 0x1&&co_null"], "co && so == 1 && co_null"),
        (&["co || (so == 1 && co)", "co||so==1&&co"], "co || so == 1 && co"),
        (&["(co || so == 1) && co"], "(co || so == 1) && co"),
        (&["!(so==1)", "!((so == 1))"], "!(so == 1)"),
        (&["!(co)", "! co"], "!co"),
        (&["!!(ma.startsWith('7'))"], "!!ma.startsWith(\"7\")"),
        (&["!(ma in['a',null,])"], "!(ma in [\"a\", null])"),
        (&["1.50 < thuc"], "thuc > 1.5"),
        (&["thuc == 1e21"], "thuc == 1e21"),
        (&["ma == '\"\\\\\\n\\a'"], "ma == \"\\\"\\\\\\n\\u0007\""),
    ] {
        for text in texts {
            let filter = Filter::compile(text, &schema()).unwrap();
            assert_eq!(filter.normalised(), normal, "{text}");
            assert_eq!(Filter::compile(normal, &schema()).unwrap().normalised(), normal);
        }
    }
}

#[test]
fn the_index_takes_an_equality_that_must_hold() {
    let text = |t: &str| Atom::Text(t.into());
    for (filter, key) in [
        ("ma == \"79\"", Some(("ma", vec![text("79")]))),
        ("ngay_null == null && noi.ma_tinh == \"79\"", Some(("noi.ma_tinh", vec![text("79")]))),
        ("ngay_null == null", Some(("ngay_null", vec![Atom::Null]))),
        ("ma in [\"79\", \"01\", \"79\"] && so > 1", Some(("ma", vec![text("01"), text("79")]))),
        ("ma in [\"79\", \"01\"] && so == 7", Some(("so", vec![Atom::Int(7)]))),
        ("(so in [2, 1] && (co))", Some(("co", vec![Atom::Bool(true)]))),
        ("ngay == \"1970-01-02\"", Some(("ngay", vec![Atom::Date(1)]))),
        ("ten in [null, \"x\"]", Some(("ten", vec![Atom::Null, text("x")]))),
        ("ma == \"79\" || so == 7", None),
        ("!(ma == \"79\")", None),
        ("ma != \"79\" && so < 3 && ma.startsWith(\"7\")", None),
        ("thuc == 1.5", None),
        ("so in [1, 1.5]", None),
        ("gioi == ma", None),
    ] {
        let index = Filter::compile(filter, &schema()).unwrap().index();
        let want = key.map(|(path, values)| IndexKey { path: path.to_owned(), values });
        assert_eq!(index, want, "{filter}");
    }
}

#[test]
fn the_fields_it_names_are_listed_once() {
    let filter = Filter::compile("ma == \"1\" || noi.cap == 1 && ngay_null < ngay && ma != ten", &schema()).unwrap();
    assert_eq!(filter.paths(), ["ma", "ngay", "ngay_null", "noi.cap", "ten"].map(str::to_owned));
}

#[test]
fn a_field_that_an_older_version_lacks_takes_its_default_or_null() {
    let with = |more: &str| {
        Schema::parse(&format!(r#"{{"type":"record","name":"R","fields":[{{"name":"ma","type":"string"}}{more}]}}"#))
            .unwrap()
    };
    let more = r#",{"name":"loai","type":{"type":"enum","name":"L","symbols":["A","B"]},"default":"B"},
        {"name":"noi","type":["null",{"type":"record","name":"N","fields":[{"name":"tinh","type":"string"}]}]}"#;
    let none = r#",{"name":"bat_buoc","type":"int"}"#;
    let schemas = [(SchemaId(1), with("")), (SchemaId(2), with(more))];
    let body = [4, b'7', b'9'];
    let mut spans = Spans::new();
    schemas[0].1.walk(&body, &mut spans).unwrap();
    for (text, want) in [
        ("loai == \"B\"", true),
        ("loai == \"A\"", false),
        ("noi == null", true),
        ("noi.tinh == \"79\"", false),
        ("noi.tinh != \"79\" && ma == \"79\"", true),
    ] {
        let filters = Filter::compile_versions(text, &schemas).unwrap();
        assert_eq!(filters.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(filters[0].1.matches(&body, &spans), want, "{text}");
    }
    let schemas = [(SchemaId(1), with("")), (SchemaId(2), with(none))];
    let error = Filter::compile_versions("bat_buoc == 1", &schemas).unwrap_err();
    assert!(error.message.contains("schema 1 has no field bat_buoc"), "{error}");
}

#[test]
fn the_test_record_is_the_one_in_its_schema() {
    assert_eq!(schema().text(), RECORD);
}

#[test]
fn every_comparison_is_told_also_those_that_decide_nothing() {
    let row = Row {
        so: 7,
        dai: 0,
        thuc: 0.0,
        ma: "79".into(),
        ten: None,
        so_null: None,
        ngay: 0,
        ngay_null: None,
        gioi: 0,
        co: false,
        co_null: None,
        noi: None,
    };
    let schema = schema();
    let (body, mut spans) = (row.encode(), Spans::new());
    schema.walk(&body, &mut spans).unwrap();
    // Named as in a view, and shown as in the grant.
    let name = |path: &str| if path == "tinh" { "ma".to_owned() } else { path.to_owned() };
    let terms = Terms::of("tinh=='79' && !(co || so < 7) && (ten == null || so in [1,2])", &name).unwrap();
    let mut each = Vec::new();
    assert!(terms.outcome(&schema, &body, &spans, &mut each).unwrap());
    let told: Vec<(&str, bool)> = each.iter().map(|(text, holds)| (text.as_str(), *holds)).collect();
    let wanted =
        [("tinh == \"79\"", true), ("co", false), ("so < 7", false), ("ten == null", true), ("so in [1, 2]", false)];
    assert_eq!(told, wanted);
}
