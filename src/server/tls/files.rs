//! A certificate and its key in files of a person's, read again when others are there.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::TlsError;
use crate::base::text;

pub struct Files {
    cert: PathBuf,
    key: PathBuf,
    seen: [Stamp; 2],
}

/// Tells whether a file has changed, or another has taken its place, such as behind certbot's links.
type Stamp = Option<(SystemTime, u64, u64, u64)>;

impl Files {
    pub fn open(cert: &Path, key: &Path) -> Result<(Files, Arc<CertifiedKey>), TlsError> {
        let files = Files { seen: [stamp(cert), stamp(key)], cert: cert.to_owned(), key: key.to_owned() };
        let certified = files.read()?;
        Ok((files, certified))
    }

    /// What is there now, if that is something else than at the last look. A failure is told once a change, not once a look.
    pub fn look(&mut self) -> Option<Result<Arc<CertifiedKey>, TlsError>> {
        let now = [stamp(&self.cert), stamp(&self.key)];
        if self.seen == now {
            return None;
        }
        self.seen = now;
        Some(self.read())
    }

    fn read(&self) -> Result<Arc<CertifiedKey>, TlsError> {
        let Files { cert, key, .. } = self;
        let read = |path: &PathBuf, key| {
            std::fs::read(path).map(text::utf8_where_text).map_err(|error| TlsError::Read {
                path: path.clone(),
                key,
                error,
            })
        };
        let (cert_pem, key_pem) = (read(cert, "cert_file")?, read(key, "key_file")?);
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&cert_pem)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::NoCertificate { path: cert.clone() })?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate { path: cert.clone() });
        }
        let private = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| TlsError::NoKey { path: key.clone() })?;
        match CertifiedKey::from_der(chain, private, &ring::default_provider()) {
            Ok(certified) => Ok(Arc::new(certified)),
            Err(error) => Err(TlsError::Unusable { cert: cert.clone(), key: key.clone(), error }),
        }
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.dev(), metadata.ino()))
}
