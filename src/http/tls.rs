//! TLS where agencies and operators come in: both sides show a certificate of the bus's CA.
//!
//! TLS 1.3 and 1.2 by rustls. Nothing of a session is kept: every connection shows its certificate anew. Whether that is in
//! force is asked at each request ([`super::auth`]).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;

/// Why nothing can be served over TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds something else.
    #[error("{key} {file}: {problem} (docs/http.md)")]
    File {
        /// By which key of the configuration.
        key: &'static str,
        /// Which.
        file: PathBuf,
        /// What is wrong; never what stands in it.
        problem: String,
    },
    /// Certificate and key do not go together.
    #[error("http.certificate and http.key do not go together: is the key that certificate's?")]
    Pair(#[source] rustls::Error),
}

fn wrong(key: &'static str, file: &Path, problem: impl Into<String>) -> TlsError {
    TlsError::File { key, file: file.into(), problem: problem.into() }
}

fn certificates(key: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(wrong(key, file, "holds no certificate in PEM")),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(key, file, format!("cannot be read: {error}"))),
    }
}

/// What takes a connection only from whoever shows a certificate of the bus's CA.
///
/// # Errors
/// [`TlsError`].
pub fn acceptor(tls: &Tls) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for authority in certificates("http.authorities", &tls.authorities)? {
        let added = roots.add(authority);
        added.map_err(|error| wrong("http.authorities", &tls.authorities, format!("holds no authority: {error}")))?;
    }
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let clients = clients.map_err(|error| wrong("http.authorities", &tls.authorities, error.to_string()))?;
    let chain = certificates("http.certificate", &tls.certificate)?;
    // Whatever is wrong with it, nothing of a key is said.
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .map_err(|_| wrong("http.key", &tls.key, "cannot be read as a private key in PEM without a passphrase"))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .and_then(|config| config.with_client_cert_verifier(clients).with_single_cert(chain, key))
        .map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
