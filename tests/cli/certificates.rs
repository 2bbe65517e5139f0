//! Certificates as `kenh enroll` makes them, others that it would not, and a client that shows them: OpenSSL's TLS and HTTP
//! by hand, so that what goes over the wire is seen byte by byte.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{SslConnector, SslFiletype, SslMethod};
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage};
use openssl::x509::{X509, X509Builder, X509NameBuilder};
use serde_json::Value;

use crate::harness::{PATIENCE, Place, Up};

/// A CA in a folder of a place.
pub struct Authority<'a> {
    place: &'a Place,
    folder: String,
}

/// Certificate and key of somebody, in files.
#[derive(Clone)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl<'a> Authority<'a> {
    /// `kenh enroll ca`
    pub fn new(place: &'a Place, folder: &str) -> Self {
        place.kenh(["enroll", "ca", "--out", folder]).ok();
        Self { place, folder: folder.into() }
    }

    pub fn certificate(&self) -> PathBuf {
        self.place.path(&self.folder).join("ca.pem")
    }

    /// `kenh enroll request` and `sign`: the next certificate of a system.
    pub fn enrol(&self, system: &str, hosts: &[&str]) -> Identity {
        let out = self.place.path(&format!("{}-{system}-{}", self.folder, uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&out).unwrap();
        let out = out.to_str().unwrap();
        let made = self.place.kenh(["enroll", "request", system, "--out", out, "--output", "json"]).ok().json();
        let (request, fingerprint) = (made["request"].as_str().unwrap(), made["fingerprint"].as_str().unwrap());
        let mut sign =
            vec!["enroll", "sign", request, "--ca", &self.folder, "--fingerprint", fingerprint, "--out", out];
        sign.extend(["--output", "json"]);
        for host in hosts {
            sign.extend(["--host", host]);
        }
        let signed = self.place.kenh(sign).ok().json();
        let file = |of: &Value, name: &str| PathBuf::from(of[name].as_str().unwrap());
        Identity { certificate: file(&signed, "certificate"), key: file(&made, "key") }
    }

    /// A certificate that `kenh enroll` does not make: any subject, any end.
    pub fn forge(&self, name: &str, subject: &[(&str, &str)], seconds: i64) -> Identity {
        let read = |file: &str| std::fs::read(self.place.path(&self.folder).join(file)).unwrap();
        let ca = X509::from_pem(&read("ca.pem")).unwrap();
        let ca_key = PKey::private_key_from_pem(&read("ca.key")).unwrap();
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut named = X509NameBuilder::new().unwrap();
        for (part, text) in subject {
            named.append_entry_by_text(part, text).unwrap();
        }
        let mut made = X509Builder::new().unwrap();
        made.set_version(2).unwrap();
        made.set_serial_number(&BigNum::from_u32(77).unwrap().to_asn1_integer().unwrap()).unwrap();
        made.set_subject_name(&named.build()).unwrap();
        made.set_issuer_name(ca.subject_name()).unwrap();
        made.set_pubkey(&key).unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let now = i64::try_from(now).unwrap();
        made.set_not_before(&Asn1Time::from_unix(now - 60).unwrap()).unwrap();
        made.set_not_after(&Asn1Time::from_unix(now + seconds).unwrap()).unwrap();
        made.append_extension(BasicConstraints::new().critical().build().unwrap()).unwrap();
        made.append_extension(KeyUsage::new().critical().digital_signature().build().unwrap()).unwrap();
        made.append_extension(ExtendedKeyUsage::new().client_auth().build().unwrap()).unwrap();
        made.sign(&ca_key, MessageDigest::sha256()).unwrap();
        let file = |end: &str| format!("forged-{name}.{end}");
        Identity {
            certificate: self.place.write(&file("pem"), made.build().to_pem().unwrap()),
            key: self.place.write(&file("key"), key.private_key_to_pem_pkcs8().unwrap()),
        }
    }
}

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// One connection, kept.
pub struct Client {
    stream: Box<dyn Stream>,
    /// What goes with each request.
    headers: String,
    /// What came after the last answer.
    rest: Vec<u8>,
}

/// An answer as it came.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Status line and headers, but for the date.
    pub head: String,
    pub body: String,
}

impl Reply {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e} in {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().filter_map(|line| line.split_once(": ")).find(|(n, _)| *n == name).map(|(_, value)| value)
    }
}

impl Client {
    /// Connects. Under TLS 1.3 the other side may refuse the certificate only afterwards: [`Self::ask`] then fails.
    pub fn connect(address: &str, authority: &Authority<'_>, me: Option<&Identity>) -> io::Result<Self> {
        Self::connect_to(address, &authority.certificate(), me)
    }

    /// The same, of a CA that lies elsewhere.
    pub fn connect_to(address: &str, authority: &std::path::Path, me: Option<&Identity>) -> io::Result<Self> {
        let mut connector = SslConnector::builder(SslMethod::tls_client())?;
        connector.set_ca_file(authority)?;
        if let Some(me) = me {
            connector.set_certificate_file(&me.certificate, SslFiletype::PEM)?;
            connector.set_private_key_file(&me.key, SslFiletype::PEM)?;
        }
        let tcp = TcpStream::connect(address)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let stream = connector.build().connect("127.0.0.1", tcp).map_err(|e| io::Error::other(e.to_string()))?;
        Ok(Self { stream: Box::new(stream), headers: String::new(), rest: Vec::new() })
    }

    /// In clear, to a node's loopback listener with its token.
    pub fn local(up: &Up<'_>) -> Self {
        let tcp = TcpStream::connect(&up.address).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream: Box::new(tcp), headers: format!("authorization: Bearer {}\r\n", up.token), rest: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// The next answer.
    pub fn read(&mut self) -> io::Result<Reply> {
        let mut bytes = std::mem::take(&mut self.rest);
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            self.more(&mut bytes)?;
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |n| n.parse().unwrap());
        while bytes.len() < end + length {
            self.more(&mut bytes)?;
        }
        self.rest = bytes.split_off(end + length);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let lines: Vec<_> = head.lines().filter(|line| !line.starts_with("date: ")).collect();
        Ok(Reply { status, head: lines.join("\n"), body: String::from_utf8(bytes.split_off(end)).unwrap() })
    }

    fn more(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let mut some = [0; 16 << 10];
        match self.stream.read(&mut some)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                bytes.extend_from_slice(&some[..n]);
                Ok(())
            }
        }
    }

    /// One request and its answer.
    pub fn ask(&mut self, method: &str, target: &str, body: &str) -> io::Result<Reply> {
        let (headers, length) = (&self.headers, body.len());
        let head = format!("{method} {target} HTTP/1.1\r\nhost: bus\r\n{headers}content-length: {length}\r\n\r\n");
        self.send(head + body)?;
        self.read()
    }

    #[track_caller]
    pub fn get(&mut self, target: &str) -> Reply {
        self.ask("GET", target, "").unwrap()
    }

    #[track_caller]
    pub fn post(&mut self, target: &str, body: &Value) -> Reply {
        self.ask("POST", target, &body.to_string()).unwrap()
    }
}
