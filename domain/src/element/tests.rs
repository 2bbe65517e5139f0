//! Values that an element takes and refuses, and the table of them in the docs.

use super::*;
use proptest::prelude::*;

#[test]
fn golden_values() {
    use Element as E;
    let good: &[(Element, &[&str])] = &[
        (E::PersonalId, &["001204012345", "079095000001", "096555123456"]),
        (E::OldIdCard, &["012345678"]),
        (E::TaxCode, &["0100109106", "0100112437", "0300588569", "0301442379-001"]),
        (E::UnitCode, &["01", "001", "00001"]),
        (E::ProvinceCode, &["01", "02", "79", "96"]),
        (E::CommuneCode, &["00001", "26740"]),
        (E::BirthYear, &["1800", "1985", "2199"]),
        (E::AgencyCode, &["G01", "H29", "H29.5.1", "G22.99.999.1"]),
        (E::SocialInsuranceNo, &["0123456789"]),
        (E::HealthInsuranceCard, &["DN4790123456789"]),
        (E::HealthFacility, &["79024", "01A01"]),
        (E::Phone, &["0912345678"]),
        (E::PersonName, &["Nguyễn Văn A", "H'Hen Niê", "Y Phôn"]),
        (E::EthnicGroup, &["01", "54"]),
        (E::Sex, &["0", "1", "2"]),
        (E::Dossier, &["H29.5-251123-0001"]),
        (E::PartialDate, &["1800", "2199-12", "2024-02-29", "1985-01-31"]),
        (E::CountryCode, &["VN", "LA"]),
    ];
    let bad: &[(Element, &[&str])] = &[
        (
            E::PersonalId,
            &["", "00120401234", "0012040123456", "101204012345", "003204012345", "001604012345", "00120401234x"],
        ),
        (E::OldIdCard, &["12345678", "01234567a"]),
        (E::TaxCode, &["0100109107", "010010910", "0100109106-000", "0100109106-1", "0100109106001"]),
        (E::UnitCode, &["1", "0001", "000001", "1a"]),
        (E::ProvinceCode, &["", "00", "03", "97", "1", "001", "7９", "ab"]),
        (E::CommuneCode, &["", "0001", "000001", "2674a", " 26740", "-6740"]),
        (E::BirthYear, &["", "1799", "2200", "85", "01985", "198a", "+985"]),
        (E::AgencyCode, &["A01", "G1", "G01.", "G01.1234", "G01.1.1.1.1", "g01"]),
        (E::SocialInsuranceNo, &["", "012345678", "012345678x"]),
        (E::HealthInsuranceCard, &["dn4790123456789", "DN4030123456789", "ĐN479012345678"]),
        (E::HealthFacility, &["03024", "79a01", "7902"]),
        (E::Phone, &["0112345678", "912345678", "09123456789"]),
        (E::PersonName, &["", " A", "A  B", "A1", "A\tB"]),
        (E::EthnicGroup, &["00", "55", "1"]),
        (E::Sex, &["3", "", "nam"]),
        (
            E::PartialDate,
            &[
                "",
                "85",
                "1799",
                "2200",
                "1985-13",
                "1985-1",
                "2023-02-29",
                "1985-04-31",
                "198504",
                "1985-04-30 ",
                "19850430",
            ],
        ),
        (E::CountryCode, &["vn", "VNM", "V1", "Đ"]),
        (E::Dossier, &["H29-251323-0001", "H29-251123-1", "251123-0001"]),
    ];
    for element in Element::ALL {
        assert!([good, bad].iter().all(|cases| cases.iter().any(|(of, _)| of == element)), "{}", element.name());
    }
    for (element, texts) in good {
        for text in *texts {
            assert_eq!(element.check(text), Ok(()), "{} {text}", element.name());
        }
    }
    for (element, texts) in bad {
        for text in *texts {
            assert!(element.check(text).is_err(), "{} took {text:?}", element.name());
        }
    }
}

#[test]
fn the_provinces_since_july_2025_kept_their_codes() {
    let since = "01 04 08 11 12 14 15 19 20 22 24 25 31 33 37 38 40 42 44 46 48 51 52 56 66 68 75 79 80 82 86 91 92 96";
    assert_eq!(since.split(' ').filter(|code| Element::ProvinceCode.check(code).is_ok()).count(), 34);
}

#[test]
fn the_dictionary_in_the_docs_is_this_one() {
    let docs = include_str!("../../../docs/dictionary.md");
    assert!(docs.contains(&table()), "docs/dictionary.md differs; it should hold:\n{}", table());
}

#[test]
fn every_element_is_told_in_both_languages_and_its_samples_are_values_of_it() {
    for element in Element::ALL {
        assert_ne!(element.form(Lang::En), element.form(Lang::Vi), "{}", element.name());
        assert!(!element.samples().is_empty(), "{}", element.name());
        for sample in element.samples() {
            assert_eq!(element.check(sample), Ok(()), "{} {sample}", element.name());
        }
    }
    let first = |e: Element| e.samples()[0];
    let states = (first(Element::Sex).parse().unwrap(), first(Element::BirthYear).parse().unwrap());
    assert_eq!(personal_id_states(first(Element::PersonalId)), Some(states));
}

#[test]
fn a_personal_id_states_sex_and_year() {
    assert_eq!(personal_id_states("001204012345"), Some((1, 2004)));
    assert_eq!(personal_id_states("079195000001"), Some((2, 1995)));
    assert_eq!(personal_id_states("x"), None);
}

proptest! {
    #[test]
    fn one_wrong_digit_of_a_tax_code_is_found(head in "[0-9]{9}", at in 0usize..10, by in 1u8..10) {
        let code = (b'0'..=b'9').map(|d| format!("{head}{}", d as char)).find(|c| tax_code(c).is_ok());
        prop_assume!(code.is_some());
        let mut wrong = code.unwrap().into_bytes();
        wrong[at] = b'0' + (wrong[at] - b'0' + by) % 10;
        let wrong = String::from_utf8(wrong).unwrap();
        prop_assert_eq!(tax_code(&wrong), Err(Rule::CheckDigit));
    }

    #[test]
    fn any_text_is_judged_without_a_panic(text: String) {
        for element in Element::ALL {
            let _ = element.check(&text);
        }
    }
}
