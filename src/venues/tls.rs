//! The TLS that a venue is spoken to with: HTTP/1.1 only, no early data, certificates checked
//! against the system's roots or against one given file and nothing else.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};

/// Why no TLS configuration could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The file of `venue.ca_file` cannot be read, or holds something else.
    #[error("the CA file holds no readable PEM certificate")]
    CaFile(#[source] Option<rustls_pki_types::pem::Error>),
    /// The system has no roots, so no certificate could ever be trusted.
    #[error("the system has no usable root certificates; set a CA file")]
    NoSystemRoots,
    /// A certificate is not one that can be trusted with.
    #[error("a root certificate is malformed")]
    Root(#[source] rustls::Error),
    /// The library refused the configuration.
    #[error("TLS cannot be configured")]
    Library(#[source] rustls::Error),
}

/// A client configuration that trusts the certificates of `ca_file`, or the system's roots.
///
/// # Errors
///
/// [`TlsError`] when that leaves nothing to trust.
pub fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = match ca_file {
        Some(path) => roots_of_file(path)?,
        None => system_roots()?,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Library)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // HTTP/2 writes frames of its own and shares a connection between orders; early data would
    // leave before the handshake says who listens, and can be replayed.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.enable_early_data = false;
    Ok(Arc::new(config))
}

fn roots_of_file(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|e| TlsError::CaFile(Some(e)))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|e| TlsError::CaFile(Some(e)))?;
        roots.add(certificate).map_err(TlsError::Root)?;
    }
    if roots.is_empty() {
        return Err(TlsError::CaFile(None));
    }
    Ok(roots)
}

/// Single certificates of the system that cannot be read are left out: they are not ours to mend.
fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(TlsError::NoSystemRoots);
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_without_a_certificate_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        assert!(matches!(
            client_config(Some(&path)),
            Err(TlsError::CaFile(Some(_)))
        ));
        std::fs::write(&path, "not a certificate").unwrap();
        assert!(matches!(
            client_config(Some(&path)),
            Err(TlsError::CaFile(None))
        ));
    }

    #[test]
    fn only_http_1_1_is_offered_and_no_early_data() {
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, key.cert.pem()).unwrap();
        let config = client_config(Some(&path)).unwrap();
        assert_eq!(config.alpn_protocols, [b"http/1.1"]);
        assert!(!config.enable_early_data);
    }
}
