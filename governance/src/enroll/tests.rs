use DnType::{CommonName as Cn, OrganizationalUnitName as Ou};
use x509_parser::prelude::*;

use super::*;

/// 2026-11-24 14:00 UTC.
const NOW: i64 = 1_795_528_800_000;

fn system() -> Principal {
    "h29-portal".parse().unwrap()
}

fn authority() -> (Authority, String) {
    let (key, certificate) = Authority::make("trial CA", NOW).unwrap();
    (Authority::open(&key, &certificate).unwrap(), certificate)
}

fn serial(number: u32) -> Serial {
    Serial::new(number).unwrap()
}

fn signed(days: u16) -> Result<(String, String), SignError> {
    let (authority, ca) = authority();
    let made = request(&system()).unwrap();
    let request = Request::read(&made.request_pem).unwrap();
    Ok((authority.sign(request, &made.fingerprint, serial(3), &[], NOW, days)?, ca))
}

/// What somebody else's parser reads in a certificate of ours.
#[test]
fn a_certificate_names_the_system_and_its_serial_and_is_good_for_ninety_days() {
    let (pem, ca) = signed(MAX_DAYS).unwrap();
    let (_, pem) = parse_x509_pem(pem.as_bytes()).unwrap();
    let (_, ca) = parse_x509_pem(ca.as_bytes()).unwrap();
    let (certificate, ca) = (pem.parse_x509().unwrap(), ca.parse_x509().unwrap());
    certificate.verify_signature(Some(ca.public_key())).unwrap();
    let parts: Vec<_> = certificate
        .subject()
        .iter_attributes()
        .map(|a| (a.attr_type().to_id_string(), a.as_str().unwrap().to_owned()))
        .collect();
    // OU, then CN: read backwards by RFC 2253.
    assert_eq!(parts, [("2.5.4.11".into(), "3".into()), ("2.5.4.3".into(), "h29-portal".into())]);
    let days = certificate.validity().not_after.timestamp() - certificate.validity().not_before.timestamp();
    assert_eq!(days, 90 * 24 * 60 * 60);
    assert!(certificate.validity().not_before.timestamp() * 1000 <= NOW);
    assert!(!certificate.is_ca());
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    assert!(ca.is_ca());
    let constraints = ca.basic_constraints().unwrap().unwrap().value;
    assert_eq!(constraints.path_len_constraint, Some(0));
}

#[test]
fn days_have_a_bound() {
    for days in [0, 91, u16::MAX] {
        assert!(matches!(signed(days), Err(SignError::Days(d)) if d == days), "{days}");
    }
    assert!(signed(1).is_ok());
}

/// Another request in the place of the one that was read aloud.
#[test]
fn what_was_not_confirmed_is_not_signed() {
    let (authority, _) = authority();
    let (made, other) = (request(&system()).unwrap(), request(&system()).unwrap());
    let given = Request::read(&other.request_pem).unwrap();
    let refused = authority.sign(given, &made.fingerprint, serial(1), &[], NOW, 90);
    assert!(matches!(refused, Err(SignError::Fingerprint)));
}

#[test]
fn a_fingerprint_is_read_as_it_is_written_and_no_shorter() {
    let fingerprint = request(&system()).unwrap().fingerprint;
    let text = fingerprint.to_string();
    assert_eq!(text.split(' ').count(), 16);
    for good in [text.clone(), text.to_uppercase(), text.replace(' ', ""), text.replace(' ', ":")] {
        assert_eq!(good.parse(), Ok(fingerprint), "{good}");
    }
    for bad in ["", &text[..text.len() - 1], &text.replace(' ', "x"), &format!("{text}0"), &text[..19]] {
        assert_eq!(bad.parse::<Fingerprint>(), Err(FingerprintError), "{bad}");
    }
}

/// A request is taken with a name of the bus, the signature of its own key, and nothing else in its subject.
#[test]
fn a_request_that_is_none_is_refused() {
    let made = request(&system()).unwrap();
    assert_eq!(Request::read(&made.request_pem).unwrap().system(), &system());
    for bad in ["", "hello", &made.key_pem, &made.request_pem[..200]] {
        assert!(matches!(Request::read(bad), Err(RequestError::Unreadable(_))));
    }
    assert!(matches!(Request::read(&"x".repeat(MAX_REQUEST_BYTES + 1)), Err(RequestError::TooLarge)));
    // Another signature: six of its bits.
    let mut lines: Vec<String> = made.request_pem.lines().map(str::to_owned).collect();
    let at = lines.len() - 2;
    let other = if lines[at].starts_with('A') { "B" } else { "A" };
    lines[at].replace_range(..1, other);
    let bent = lines.join("\n") + "\n";
    assert!(matches!(Request::read(&bent), Err(RequestError::Unreadable(_))));
    let named = |parts: &[(DnType, &str)]| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        parts.iter().for_each(|(kind, text)| params.distinguished_name.push(kind.clone(), *text));
        Request::read(&params.serialize_request(&key).unwrap().pem().unwrap()).map(|r| r.system)
    };
    assert!(named(&[(Cn, "h29-portal")]).is_ok());
    for bad in
        [&[][..], &[(Cn, "h29 portal")], &[(Cn, "h29-portal"), (Ou, "7")], &[(Ou, "h29-portal")], &[(Cn, "a,OU=1")]]
    {
        assert!(matches!(named(bad), Err(RequestError::Subject)), "{bad:?}");
    }
}

#[test]
fn a_ca_is_opened_with_its_own_key_only() {
    let (key, _) = Authority::make("one", NOW).unwrap();
    let (_, other) = Authority::make("two", NOW).unwrap();
    assert!(matches!(Authority::open(&key, &other), Err(SignError::Authority(_))));
    assert!(matches!(Authority::open("", &other), Err(SignError::Authority(_))));
}

#[test]
fn serials_rise_by_the_register() {
    let issued = |name: &str, number| Issued {
        format: 1,
        system: name.parse().unwrap(),
        serial: serial(number),
        fingerprint: String::new(),
        at_ms: NOW,
        days: 90,
    };
    let text: String = [issued("a", 1), issued("b", 1), issued("a", 2)].iter().map(Issued::line).collect();
    let register = Register::read(&text).unwrap();
    let next = |name: &str| register.next(&name.parse().unwrap()).map(Serial::get);
    assert_eq!((next("a"), next("b"), next("c")), (Ok(3), Ok(2), Ok(1)));
    let twice = text.clone() + &issued("a", 2).line();
    assert!(matches!(Register::read(&twice), Err(RegisterError::Order { line: 4, .. })));
    assert!(matches!(Register::read(&text[..text.len() - 5]), Err(RegisterError::Line { line: 3, .. })));
    let newer = issued("a", 1).line().replace("\"format\":1", "\"format\":2");
    assert!(matches!(Register::read(&newer), Err(RegisterError::Line { line: 1, .. })));
    let last = issued("a", 999_999_999).line();
    assert!(matches!(Register::read(&last).unwrap().next(&"a".parse().unwrap()), Err(RegisterError::Full(_))));
}

#[test]
fn a_host_is_an_address_or_a_name() {
    assert!(matches!(host("127.0.0.1"), Ok(SanType::IpAddress(_))));
    assert!(matches!(host("::1"), Ok(SanType::IpAddress(_))));
    assert!(matches!(host("kafka-1.h29.gov.vn"), Ok(SanType::DnsName(_))));
    for bad in ["", "*.gov.vn", "a..b", "-a.vn", "a b", "đ.vn", &"a.".repeat(200)] {
        assert_eq!(host(bad), Err(HostError), "{bad}");
    }
}
