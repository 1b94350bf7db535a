//! Certificates for the simulated edges, signed by the control plane's own authority from its data
//! folder, as `godwit admin pki issue` would make them: a thousand calls of that take a minute.

use super::SwarmError;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer as Signer, KeyPair,
    KeyUsagePurpose, SanType,
};
use std::path::Path;

/// The authority's name, as the control plane writes it.
const CA_NAME: &str = "Godwit fleet CA";

/// A certificate and its key, PEM.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// Signs.
pub(super) struct Issuer {
    ca: String,
    signer: Signer<'static, KeyPair>,
}

impl Issuer {
    /// The authority of the control plane with this data folder.
    pub(super) fn of_fleet(data: &Path) -> Result<Self, SwarmError> {
        let read = |name: &str| {
            let path = data.join("pki").join(name);
            std::fs::read_to_string(&path)
                .map_err(|error| SwarmError::of(&path.display().to_string(), &error))
        };
        let key = KeyPair::from_pem(&read("ca.key")?).map_err(|error| refused(&error))?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, CA_NAME);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self {
            ca: read("ca.crt")?,
            signer: Signer::new(params, key),
        })
    }

    /// The authority's certificate, PEM.
    pub(super) fn ca(&self) -> &str {
        &self.ca
    }

    /// A certificate for the edge of that number.
    pub(super) fn edge(&self, number: usize) -> Result<Pair, SwarmError> {
        let key = KeyPair::generate().map_err(|error| refused(&error))?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let uri = format!("spiffe://godwit/edge/{}", name(number));
        let uri = uri.as_str().try_into().map_err(|error| refused(&error))?;
        params.subject_alt_names.push(SanType::URI(uri));
        let certificate = params
            .signed_by(&key, &self.signer)
            .map_err(|error| refused(&error))?;
        Ok(Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// The edge's id.
pub(super) fn name(number: usize) -> String {
    format!("swarm-{number}")
}

fn refused(error: &rcgen::Error) -> SwarmError {
    SwarmError::of("certificate", error)
}
