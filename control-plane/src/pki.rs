//! The fleet's own certificate authority: a CA, and certificates that carry a role and a name (see
//! [`crate::security`]). Everything is PEM files under `pki/` in a folder; keys are readable by
//! their owner only. Works without any process running; making what exists already is a no-op.
//! Revoking a certificate before it expires is not here: a lost edge key means a new CA.

use crate::security::file::{read_if_there, write_public, write_secret};
use crate::security::{CONTROL_DNS_NAME, Identity, Role};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use shared::id::NodeId;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folder of certificates in a data folder.
pub const PKI_DIR: &str = "pki";
/// How long a CA certificate is valid.
pub const CA_VALID: Duration = Duration::from_secs(10 * 365 * 86_400);
/// How long the certificate of a node or an operator is valid.
pub const LEAF_VALID: Duration = Duration::from_secs(365 * 86_400);
/// A certificate with less than this left is made anew by [`ensure`].
pub const RENEW_BEFORE: Duration = Duration::from_secs(LEAF_VALID.as_secs() / 3);
/// Certificates are valid from this long before they were made: clocks differ.
const BACKDATED: Duration = Duration::from_secs(3600);
const CA_NAME: &str = "Godwit fleet CA";

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its private key, PKCS #8.
    pub key: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pair(…)")
    }
}

/// Where a certificate and its key are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PairFiles {
    /// The certificate's file.
    pub certificate: PathBuf,
    /// The key's file.
    pub key: PathBuf,
}

impl PairFiles {
    /// The files called `name` in the data folder `data`.
    #[must_use]
    pub fn of(data: &Path, name: &str) -> Self {
        let folder = data.join(PKI_DIR);
        Self {
            certificate: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
        }
    }

    /// What the two files hold; none when either is missing.
    ///
    /// # Errors
    /// As the file system says.
    pub fn read(&self) -> Result<Option<Pair>, PkiError> {
        let certificate = read_if_there(&self.certificate).map_err(at(&self.certificate))?;
        let key = read_if_there(&self.key).map_err(at(&self.key))?;
        Ok(certificate
            .zip(key)
            .map(|(certificate, key)| Pair { certificate, key }))
    }

    fn write(&self, pair: &Pair) -> Result<(), PkiError> {
        // The key first: a certificate without its key would look whole to people.
        write_secret(&self.key, pair.key.as_bytes()).map_err(at(&self.key))?;
        write_public(&self.certificate, pair.certificate.as_bytes()).map_err(at(&self.certificate))
    }
}

/// What went wrong with certificates.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The file system.
    #[error("{path}: {error}")]
    File {
        /// Where.
        path: PathBuf,
        /// What it says.
        error: std::io::Error,
    },
    /// There is no CA in the folder.
    #[error("{0} holds no CA (ca.crt and ca.key): `godwit admin pki init` makes one")]
    NoAuthority(PathBuf),
    /// The CA certificate is not the one that the CA key makes.
    #[error("ca.crt and ca.key do not belong together")]
    Mismatch,
    /// A name that can't be certified.
    #[error("{0:?} can't be a name: 1 to 64 of A-Z a-z 0-9 . _ -")]
    Name(String),
    /// The library refused.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// What a server's certificate is also valid for, besides its identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    /// DNS names.
    pub dns: Vec<String>,
    /// Addresses.
    pub ips: Vec<IpAddr>,
}

impl Hosts {
    /// What every control plane's certificate has: `godwit-control`, and this machine.
    #[must_use]
    pub fn of_control() -> Self {
        Self {
            dns: vec![CONTROL_DNS_NAME.to_owned(), "localhost".to_owned()],
            ips: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        }
    }
}

/// The CA with its key.
pub struct Authority {
    certificate: String,
    key: String,
}

impl Authority {
    /// The CA in the data folder `data`; none when there is none.
    ///
    /// # Errors
    /// As the file system says.
    pub fn load(data: &Path) -> Result<Option<Self>, PkiError> {
        let pair = PairFiles::of(data, "ca").read()?;
        Ok(pair.map(|Pair { certificate, key }| Self { certificate, key }))
    }

    /// The CA in the data folder, made when there is none.
    ///
    /// # Errors
    /// As the file system and the library say.
    pub fn ensure(data: &Path, now_unix_s: u64) -> Result<Self, PkiError> {
        if let Some(authority) = Self::load(data)? {
            return Ok(authority);
        }
        let folder = data.join(PKI_DIR);
        shared::folder::make(&folder).map_err(at(&folder))?;
        let key = KeyPair::generate()?;
        let pair = Pair {
            certificate: ca_params(now_unix_s).self_signed(&key)?.pem(),
            key: key.serialize_pem(),
        };
        PairFiles::of(data, "ca").write(&pair)?;
        Ok(Self {
            certificate: pair.certificate,
            key: pair.key,
        })
    }

    /// The CA's certificate, PEM: what everybody trusts.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A new key and a certificate of it for `identity`, valid for [`LEAF_VALID`].
    ///
    /// # Errors
    /// When the library refuses, or the CA's files don't belong together.
    pub fn issue(
        &self,
        identity: &Identity,
        hosts: &Hosts,
        now_unix_s: u64,
    ) -> Result<Pair, PkiError> {
        // The issuer's name and key id follow from the constants here and the key, so the CA's
        // certificate need not be parsed; that it is the one is checked on the result.
        let issuer = Issuer::new(ca_params(now_unix_s), KeyPair::from_pem(&self.key)?);
        let key = KeyPair::generate()?;
        let params = leaf_params(identity, hosts, now_unix_s)?;
        let certificate = params.signed_by(&key, &issuer)?.pem();
        if !self.signed(&certificate, now_unix_s) {
            return Err(PkiError::Mismatch);
        }
        Ok(Pair {
            certificate,
            key: key.serialize_pem(),
        })
    }

    /// Is this a certificate of this CA, valid at `unix_s`?
    #[must_use]
    pub fn signed(&self, certificate: &str, unix_s: u64) -> bool {
        let parse = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).ok();
        let (Some(root), Some(leaf)) = (parse(&self.certificate), parse(certificate)) else {
            return false;
        };
        let Ok(anchor) = webpki::anchor_from_trusted_cert(&root) else {
            return false;
        };
        let Ok(parsed) = webpki::EndEntityCert::try_from(&leaf) else {
            return false;
        };
        let anchors = [anchor];
        let verified = parsed.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &[],
            UnixTime::since_unix_epoch(Duration::from_secs(unix_s)),
            webpki::KeyUsage::client_auth(),
            None,
            None,
        );
        verified.is_ok()
    }
}

/// All that one machine with both planes needs.
#[derive(Clone, Debug)]
pub struct Pki {
    /// The CA's certificate, PEM.
    pub ca: String,
    /// The control plane's.
    pub control: Pair,
    /// The edge's.
    pub edge: Pair,
    /// An operator's.
    pub operator: Pair,
}

/// Makes what is missing, of another name, of another CA or about to expire in `data`'s `pki/`:
/// the CA, and the certificates `control`, `edge` (for `node`) and `operator`.
///
/// # Errors
/// As the file system and the library say; a node id that can't be certified.
pub fn ensure(data: &Path, node: &NodeId, now_unix_s: u64) -> Result<Pki, PkiError> {
    let authority = Authority::ensure(data, now_unix_s)?;
    let pair = |role: Role, name: &str, hosts: &Hosts| {
        let identity = Identity::new(role, name).ok_or_else(|| PkiError::Name(name.to_owned()))?;
        ensure_pair(data, &authority, &identity, hosts, now_unix_s)
    };
    Ok(Pki {
        control: pair(Role::Control, "control", &Hosts::of_control())?,
        edge: pair(Role::Edge, node.as_str(), &Hosts::default())?,
        operator: pair(Role::Operator, "local", &Hosts::default())?,
        ca: authority.certificate,
    })
}

/// Issues a certificate for `identity` into `data`'s `pki/`, under the file name `name`, whether
/// or not there was one.
///
/// # Errors
/// As the file system and the library say; no CA there.
pub fn issue(
    data: &Path,
    name: &str,
    identity: &Identity,
    hosts: &Hosts,
    now_unix_s: u64,
) -> Result<PairFiles, PkiError> {
    let authority =
        Authority::load(data)?.ok_or_else(|| PkiError::NoAuthority(data.join(PKI_DIR)))?;
    let files = PairFiles::of(data, name);
    files.write(&authority.issue(identity, hosts, now_unix_s)?)?;
    Ok(files)
}

fn ensure_pair(
    data: &Path,
    authority: &Authority,
    identity: &Identity,
    hosts: &Hosts,
    now_unix_s: u64,
) -> Result<Pair, PkiError> {
    let files = PairFiles::of(data, identity.role.as_str());
    if let Some(pair) = files.read()? {
        let der = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).ok();
        let named = der.as_ref().and_then(Identity::of_certificate);
        let then = now_unix_s.saturating_add(RENEW_BEFORE.as_secs());
        if named.as_ref() == Some(identity) && authority.signed(&pair.certificate, then) {
            return Ok(pair);
        }
    }
    let pair = authority.issue(identity, hosts, now_unix_s)?;
    files.write(&pair)?;
    Ok(pair)
}

fn ca_params(now_unix_s: u64) -> CertificateParams {
    let mut params = params(CA_NAME, now_unix_s, CA_VALID);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf_params(
    identity: &Identity,
    hosts: &Hosts,
    now_unix_s: u64,
) -> Result<CertificateParams, PkiError> {
    let mut params = params(&identity.to_string(), now_unix_s, LEAF_VALID);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if identity.role != Role::Operator {
        let server = ExtendedKeyUsagePurpose::ServerAuth;
        params.extended_key_usages.push(server);
    }
    let names = &mut params.subject_alt_names;
    names.push(SanType::URI(identity.uri().as_str().try_into()?));
    for name in &hosts.dns {
        names.push(SanType::DnsName(name.as_str().try_into()?));
    }
    names.extend(hosts.ips.iter().copied().map(SanType::IpAddress));
    Ok(params)
}

fn params(common_name: &str, now_unix_s: u64, valid: Duration) -> CertificateParams {
    let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(now_unix_s);
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.not_before = now - BACKDATED;
    params.not_after = now + valid;
    params
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> PkiError {
    let path = path.to_owned();
    move |error| PkiError::File { path, error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NOW: u64 = 1_780_000_000;

    fn identity(pair: &Pair) -> Identity {
        let der = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
        Identity::of_certificate(&der).unwrap()
    }

    #[test]
    fn made_once_and_anew_when_a_third_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let node = NodeId::from("fra1-a");
        let first = ensure(folder.path(), &node, NOW).unwrap();
        assert_eq!(identity(&first.edge).to_string(), "edge/fra1-a");
        assert_eq!(identity(&first.operator).to_string(), "operator/local");
        assert_eq!(identity(&first.control).role, Role::Control);

        let later = NOW + LEAF_VALID.as_secs() / 2;
        let second = ensure(folder.path(), &node, later).unwrap();
        assert_eq!(second.edge.certificate, first.edge.certificate);

        let late = NOW + LEAF_VALID.as_secs() * 3 / 4;
        let third = ensure(folder.path(), &node, late).unwrap();
        assert_eq!(third.ca, first.ca);
        assert_ne!(third.edge.certificate, first.edge.certificate);

        let renamed = ensure(folder.path(), &NodeId::from("fra1-b"), late).unwrap();
        assert_eq!(identity(&renamed.edge).to_string(), "edge/fra1-b");
        assert_eq!(renamed.control.certificate, third.control.certificate);
    }

    #[test]
    fn keys_are_the_owners_only() {
        let folder = tempfile::tempdir().unwrap();
        ensure(folder.path(), &NodeId::from("a"), NOW).unwrap();
        for name in ["ca", "control", "edge", "operator"] {
            let path = PairFiles::of(folder.path(), name).key;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
    }

    #[test]
    fn another_ca_is_noticed() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let node = NodeId::from("a");
        let first = ensure(one.path(), &node, NOW).unwrap();
        ensure(two.path(), &node, NOW).unwrap();
        let copy = |name: &str| {
            let from = one.path().join(PKI_DIR).join(name);
            std::fs::copy(from, two.path().join(PKI_DIR).join(name)).unwrap();
        };
        copy("ca.crt");
        let operator = Identity::new(Role::Operator, "x").unwrap();
        let issued = issue(two.path(), "x", &operator, &Hosts::default(), NOW);
        assert!(matches!(issued, Err(PkiError::Mismatch)), "{issued:?}");
        copy("ca.key");
        // The CA is whole again; what the other CA has signed is replaced.
        let renewed = ensure(two.path(), &node, NOW).unwrap();
        assert_eq!(renewed.ca, first.ca);
        let authority = Authority::load(one.path()).unwrap().unwrap();
        assert!(authority.signed(&renewed.edge.certificate, NOW));
        assert!(!authority.signed(&renewed.edge.certificate, NOW + LEAF_VALID.as_secs() + 1));
    }

    #[test]
    fn names_are_checked_and_a_ca_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let bad = ensure(folder.path(), &NodeId::from("a/b"), NOW);
        assert!(matches!(bad, Err(PkiError::Name(_))));
        let empty = tempfile::tempdir().unwrap();
        let edge = Identity::new(Role::Edge, "x").unwrap();
        let issued = issue(empty.path(), "x", &edge, &Hosts::default(), NOW);
        assert!(matches!(issued, Err(PkiError::NoAuthority(_))));
    }
}
