//! Which certificate a handshake shows, at any moment: a public authority's for the names it vouches for, and for all else
//! the one that is always there.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::acme::{Answers, Issued};

#[derive(Debug)]
pub struct Faces {
    usual: RwLock<Arc<CertifiedKey>>,
    /// Where a public authority has vouched.
    public: RwLock<Option<Public>>,
    /// For that authority, when it comes to see.
    answers: Answers,
    /// Where things stand, for people.
    word: RwLock<Option<String>>,
}

#[derive(Debug)]
struct Public {
    certified: Arc<CertifiedKey>,
    names: BTreeSet<String>,
}

impl Faces {
    pub fn new(usual: Arc<CertifiedKey>, answers: Answers) -> Faces {
        Faces { usual: RwLock::new(usual), public: RwLock::default(), answers, word: RwLock::default() }
    }

    pub fn set_usual(&self, certified: Arc<CertifiedKey>) {
        *write(&self.usual) = certified;
    }

    pub fn set_public(&self, issued: Option<&Issued>) {
        let public = issued.map(|issued| Public { certified: issued.certified.clone(), names: issued.names.clone() });
        *write(&self.public) = public;
    }

    pub fn set_word(&self, word: Option<String>) {
        *write(&self.word) = word;
    }

    fn face(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let public = read(&self.public);
        let public = public.as_ref().filter(|public| name.is_some_and(|name| public.names.contains(name)));
        public.map_or_else(|| read(&self.usual).clone(), |public| public.certified.clone())
    }
}

impl ResolvesServerCert for Faces {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match Answers::concern(&hello) {
            true => self.answers.certificate(hello.server_name()),
            false => Some(self.face(hello.server_name())),
        }
    }
}

/// Tells at any later time which certificates are in use.
#[derive(Clone, Debug)]
pub struct Shown(pub(super) Arc<Faces>);

impl Shown {
    /// The usual one.
    pub fn certificate(&self) -> Option<CertificateDer<'static>> {
        read(&self.0.usual).cert.first().cloned()
    }

    /// Whether a public authority vouches for this name now.
    pub fn is_public(&self, name: &str) -> bool {
        read(&self.0.public).as_ref().is_some_and(|public| public.names.contains(name))
    }

    /// Where things stand with the certificate, in one line for people, where there is more to say than that there is one.
    pub fn word(&self) -> Option<String> {
        read(&self.0.word).clone()
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
