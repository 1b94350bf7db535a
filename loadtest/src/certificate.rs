//! Certificates for tests: an authority of one's own, servers' certificates of it, and the TLS
//! configurations of both sides. Everything is in memory; files are written only for programs
//! that want files. Nothing here is meant to outlive a test.

use crate::server::tls_of;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// An authority that whoever is told its certificate trusts.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A server's certificate and key.
pub struct ServerIdentity {
    certificate: String,
    key: String,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// No key can be made.
    pub fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "an authority for tests");
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        Ok(Self {
            certificate,
            issuer,
        })
    }

    /// A certificate for a server of these names or addresses.
    ///
    /// # Errors
    /// A name that is none.
    pub fn issue(&self, names: &[&str]) -> Result<ServerIdentity, rcgen::Error> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params)
    }

    /// A certificate for this machine.
    ///
    /// # Errors
    /// No key can be made.
    pub fn local(&self) -> Result<ServerIdentity, rcgen::Error> {
        self.issue(&["localhost", "127.0.0.1"])
    }

    /// A certificate for this machine that was valid once.
    ///
    /// # Errors
    /// No key can be made.
    pub fn expired(&self) -> Result<ServerIdentity, rcgen::Error> {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Result<ServerIdentity, rcgen::Error> {
        let key = KeyPair::generate()?;
        Ok(ServerIdentity {
            certificate: params.signed_by(&key, &self.issuer)?.pem(),
            key: key.serialize_pem(),
        })
    }

    /// What a client that trusts this authority alone needs, with these protocols by ALPN.
    ///
    /// # Errors
    /// None that a new authority can have.
    pub fn client(&self, alpn: &[&str]) -> io::Result<Arc<ClientConfig>> {
        let pem = self.certificate.as_bytes();
        let root = CertificateDer::from_pem_slice(pem).map_err(io::Error::other)?;
        let mut roots = RootCertStore::empty();
        roots.add(root).map_err(io::Error::other)?;
        let provider = tokio_rustls::rustls::crypto::ring::default_provider();
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// Writes the authority's certificate into a folder, for a program that shall trust it.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&self, folder: &Path) -> io::Result<PathBuf> {
        let file = folder.join("authority.crt");
        std::fs::write(&file, &self.certificate).map(|()| file)
    }
}

impl ServerIdentity {
    /// What a server with this certificate needs, with these protocols by ALPN, best first.
    ///
    /// # Errors
    /// None that a new certificate can have.
    pub fn server(&self, alpn: &[&str]) -> io::Result<Arc<ServerConfig>> {
        tls_of(self.certificate.as_bytes(), self.key.as_bytes(), alpn)
    }

    /// Writes certificate and key into a folder, in this order.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&self, folder: &Path) -> io::Result<(PathBuf, PathBuf)> {
        let (certificate, key) = (folder.join("server.crt"), folder.join("server.key"));
        std::fs::write(&certificate, &self.certificate)?;
        std::fs::write(&key, &self.key).map(|()| (certificate, key))
    }
}
