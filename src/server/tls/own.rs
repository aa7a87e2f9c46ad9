//! The certificate of the local authority, made anew for further names and addresses, and in time.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::sign::CertifiedKey;

use super::authority::{Authority, Leaf};
use super::clock::Present;
use super::{CaInfo, TlsError, names};

pub struct Own {
    authority: Authority,
    listen: IpAddr,
    names: Vec<String>,
    leaf: Leaf,
}

impl Own {
    /// In `dir`; for a server at `listen`, and for `names` beside this machine's own.
    pub fn open(dir: &Path, listen: IpAddr, names: &[String]) -> Result<(Own, Arc<CertifiedKey>), TlsError> {
        let now = Present::now();
        let authority = Authority::open(dir, names, now)?;
        let leaf = authority.leaf(&names::needed(listen, names), now)?;
        let certified = leaf.certified.clone();
        Ok((Own { authority, listen, names: names.to_vec(), leaf }, certified))
    }

    pub fn ca(&self) -> CaInfo {
        self.authority.info()
    }

    /// Another certificate, where the one in use serves no longer.
    pub fn look(&mut self) -> Option<Result<Arc<CertifiedKey>, TlsError>> {
        let now = Present::now();
        let needed = names::needed(self.listen, &self.names);
        if self.leaf.serves(&needed, &self.authority, now) {
            return None;
        }
        Some(self.authority.renew(&needed, Some(&self.leaf), now).map(|fresh| {
            self.leaf = fresh;
            self.leaf.certified.clone()
        }))
    }
}
