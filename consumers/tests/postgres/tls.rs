//! A server elsewhere, over TLS: whoever is not vouched for is not spoken to.

use std::path::{Path, PathBuf};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kenh_consumers::store::postgres::{Options, PostgresStore, Server};
use kenh_consumers::store::{StoreError, ViewStore as _};
use kenh_testkit::PATIENCE;
use kenh_testkit::postgres::Cluster;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name};
use postgres::{Client, Config, NoTls};

use crate::server::{connect, one};
use crate::stores::{batch, progress};
use crate::support::{agency, card, row, rows};

/// Somebody who vouches for servers.
struct Authority {
    certificate: X509,
    key: PKey<Private>,
    file: PathBuf,
}

fn certificate(name: &str, key: &PKey<Private>, serial: u32) -> X509Builder {
    let mut subject = X509Name::builder().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&BigNum::from_u32(serial).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(&subject).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    builder
}

fn key() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
}

impl Authority {
    fn new(name: &str, dir: &Path) -> Self {
        let key = key();
        let mut builder = certificate(name, &key, 1);
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        let (certificate, file) = (builder.build(), dir.join(name));
        std::fs::write(&file, certificate.to_pem().unwrap()).unwrap();
        Self { certificate, key, file }
    }

    /// A certificate for a host and its key, in PEM.
    fn vouch_for(&self, host: &str) -> (Vec<u8>, Vec<u8>) {
        let key = key();
        let mut builder = certificate(host, &key, 2);
        builder.set_issuer_name(self.certificate.subject_name()).unwrap();
        let context = builder.x509v3_context(Some(&self.certificate), None);
        let name = SubjectAlternativeName::new().dns(host).build(&context).unwrap();
        builder.append_extension(name).unwrap();
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        (builder.build().to_pem().unwrap(), key.private_key_to_pem_pkcs8().unwrap())
    }
}

/// Gives the server a certificate. The files must be its own user's, so that it writes them itself.
fn turn_on(server: &Cluster, (certificate, key): (Vec<u8>, Vec<u8>)) {
    let url = server.url().replace("kenh@", "postgres@");
    let mut sql: Client = url.parse::<Config>().unwrap().password(server.password()).connect(NoTls).unwrap();
    for (name, pem) in [("server.crt", certificate), ("server.key", key)] {
        let text = STANDARD.encode(pem);
        let write = format!("COPY (SELECT '{text}') TO PROGRAM 'umask 077; base64 -d > {name}'");
        sql.batch_execute(&write).unwrap();
    }
    sql.batch_execute("ALTER SYSTEM SET ssl = on").unwrap();
    sql.batch_execute("SELECT pg_reload_conf()").unwrap();
}

#[test]
fn a_server_elsewhere_is_spoken_to_over_tls_if_somebody_believed_has_vouched_for_its_name() {
    let (server, dir) = (Cluster::start(), tempfile::tempdir().unwrap());
    let (known, other) = (Authority::new("known", dir.path()), Authority::new("other", dir.path()));
    let open = |host: &str, authorities: Option<&Path>| {
        // The name is looked up nowhere: it is what the certificate must be for.
        let url = server.url().replace("127.0.0.1", host) + "?hostaddr=127.0.0.1";
        let to = Server::new(&url, Some(server.password()), authorities)?;
        PostgresStore::open(Options::on(&to, &agency()))
    };
    let refusal = |host: &str, authorities: Option<&Path>| {
        let Err(StoreError::Storage { source, .. }) = open(host, authorities) else { panic!("{host} was believed") };
        source.to_string()
    };
    let text = refusal("db.example", Some(&known.file));
    assert!(text.contains("does not support TLS"), "{text}");

    turn_on(&server, known.vouch_for("db.example"));
    // The server reads its settings again when it comes to it.
    let deadline = Instant::now() + PATIENCE;
    let store = loop {
        match open("db.example", Some(&known.file)) {
            Ok(store) => break store,
            Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
        }
    };
    let generation = store.begin(&card(1, 1), &[], &progress(0)).unwrap();
    store.apply(generation, &batch([("a", Some(row("a", Some("79"), 5)))]), &progress(1)).unwrap();
    assert_eq!(rows(&store, generation).len(), 1);
    let encrypted =
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'kenh'";
    assert!(one::<bool>(&mut connect(&server), encrypted));
    drop(store);

    for (host, authorities, why) in [
        ("db.example", Some(&*other.file), "certificate verify failed"),
        ("db.example", None, "certificate verify failed"),
        ("another.example", Some(&*known.file), "hostname mismatch"),
    ] {
        let text = refusal(host, authorities);
        assert!(text.contains(why) && !text.contains(server.password()), "{text}");
    }
}
