//! What a certificate says, as far as it concerns us.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

pub struct Facts {
    pub not_before: SystemTime,
    pub not_after: SystemTime,
    /// DNS names, and addresses as text.
    pub names: BTreeSet<String>,
    /// DNS names that it may sign for, with all below them; empty for any.
    pub permitted: Vec<String>,
    pub key_id: Vec<u8>,
    pub issuer_key_id: Vec<u8>,
    pub is_ca: bool,
    pub public_key: Vec<u8>,
}

impl Facts {
    /// `None` for what is no certificate.
    pub fn of(der: &CertificateDer<'_>) -> Option<Facts> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let time = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?));
        let mut facts = Facts {
            not_before: time(certificate.validity().not_before.timestamp())?,
            not_after: time(certificate.validity().not_after.timestamp())?,
            names: BTreeSet::new(),
            permitted: Vec::new(),
            key_id: Vec::new(),
            issuer_key_id: Vec::new(),
            is_ca: certificate.is_ca(),
            public_key: certificate.public_key().subject_public_key.data.to_vec(),
        };
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    facts.names = names.general_names.iter().filter_map(name_text).collect();
                }
                ParsedExtension::NameConstraints(constraints) => {
                    let trees = constraints.permitted_subtrees.iter().flatten();
                    facts.permitted = trees.filter_map(|tree| name_text(&tree.base)).collect();
                }
                ParsedExtension::SubjectKeyIdentifier(id) => facts.key_id = id.0.to_vec(),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    facts.issuer_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec()).unwrap_or_default();
                }
                _ => {}
            }
        }
        Some(facts)
    }
}

fn name_text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
            (Ok(ip), _) => Some(IpAddr::from(ip).to_string()),
            (_, Ok(ip)) => Some(IpAddr::from(ip).to_string()),
            (Err(_), Err(_)) => None,
        },
        _ => None,
    }
}
