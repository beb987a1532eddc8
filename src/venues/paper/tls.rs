//! A certificate authority of the simulator's own, and its server certificate for loopback.
//!
//! Made once per directory; `venue.ca_file` of the service points to [`CA_FILE`]. The authority's
//! key is never written: nothing else can be signed by it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer};
use rcgen::{KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

/// Name of the authority's certificate, PEM.
pub const CA_FILE: &str = "venue-ca.pem";

const CERTIFICATE_FILE: &str = "venue-server.pem";
const KEY_FILE: &str = "venue-server.key";

/// Why there is no certificate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("the venue's certificate files cannot be used")]
    File(#[source] std::io::Error),
    /// Making the certificates failed.
    #[error("the venue's certificates cannot be made")]
    Make(#[from] rcgen::Error),
    /// A file holds no PEM of its kind.
    #[error("the venue's certificate files cannot be read; delete all three to make new ones")]
    Pem(#[source] rustls_pki_types::pem::Error),
    /// The certificate and the key do not fit.
    #[error("the venue's certificate cannot be served")]
    Serve(#[from] rustls::Error),
}

/// The server's side of TLS, and where the certificate lies that a client must trust.
pub struct Tls {
    /// For the listener.
    pub config: ServerConfig,
    /// For `venue.ca_file`.
    pub ca_file: PathBuf,
}

/// Reads the certificates of a directory, or makes them (all 0600).
///
/// # Errors
///
/// [`TlsError`], when they can be neither read nor made.
pub fn load_or_make(directory: &Path) -> Result<Tls, TlsError> {
    let ca_file = directory.join(CA_FILE);
    let (certificate, key) = (directory.join(CERTIFICATE_FILE), directory.join(KEY_FILE));
    if ![&ca_file, &certificate, &key]
        .into_iter()
        .any(|file| file.exists())
    {
        make(&ca_file, &certificate, &key)?;
    }
    let chain = CertificateDer::pem_file_iter(&certificate).map_err(TlsError::Pem)?;
    let chain = chain
        .collect::<Result<Vec<_>, _>>()
        .map_err(TlsError::Pem)?;
    let key = PrivateKeyDer::from_pem_file(&key).map_err(TlsError::Pem)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Tls { config, ca_file })
}

fn make(ca_file: &Path, certificate: &Path, key: &Path) -> Result<(), TlsError> {
    let mut ca = params(Vec::new(), "FlashGuard venue simulator CA")?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_key = KeyPair::generate()?;
    let ca_certificate = ca.self_signed(&ca_key)?;
    let issuer = Issuer::new(ca, ca_key);

    let names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    let mut server = params(names, "FlashGuard venue simulator")?;
    server.use_authority_key_identifier_extension = true;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let server_key = KeyPair::generate()?;
    let server_certificate = server.signed_by(&server_key, &issuer)?;

    private_file(key, &server_key.serialize_pem())?;
    private_file(certificate, &server_certificate.pem())?;
    private_file(ca_file, &ca_certificate.pem())
}

fn params(names: Vec<String>, common_name: &str) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    // Fixed, so that a wrong clock does not decide whether a simulator can be used.
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    Ok(params)
}

fn private_file(path: &Path, text: &str) -> Result<(), TlsError> {
    let file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path);
    let written = file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(TlsError::File)
}
