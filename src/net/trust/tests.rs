//! Handshakes in memory, with the certificates that people make.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    AlertDescription, ClientConnection, Error, InvalidMessage, PeerIncompatible, ServerConfig, ServerConnection,
};

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

struct Shown {
    certificate: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

fn params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
}

/// What `openssl req -x509` makes.
fn authority(names: &[&str]) -> CertificateParams {
    let mut params = params(names);
    // Each is somebody else, as authorities are.
    params.distinguished_name.push(DnType::CommonName, format!("authority {}", fastrand::u64(..)));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn valid(from: SystemTime, to: SystemTime, mut params: CertificateParams) -> CertificateParams {
    (params.not_before, params.not_after) = (from.into(), to.into());
    params
}

fn self_signed(params: CertificateParams) -> Shown {
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Shown { certificate: certificate.der().clone(), pem: certificate.pem(), key }
}

fn signed_by(issuer: &Shown, params: CertificateParams) -> Shown {
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::from_ca_cert_der(&issuer.certificate, &issuer.key).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    Shown { certificate: certificate.der().clone(), pem: certificate.pem(), key }
}

/// A handshake of a device that was given `pem` with a server that shows `shown`.
fn handshake(pem: &str, shown: &Shown, name: &str) -> Result<(), String> {
    let trust = Trust::Authority { name: "ca.pem".to_owned(), pem: pem.as_bytes().to_vec() };
    let key = PrivateKeyDer::try_from(shown.key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![shown.certificate.clone()], key)
        .unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client_config(&trust).unwrap(), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().map_err(|error| format!("server: {error}"))?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().map_err(|error| explain(&error))?;
    }
    Ok(())
}

#[test]
fn the_certificate_that_was_named_is_accepted_though_it_is_an_authoritys() {
    let server = self_signed(authority(&["127.0.0.1"]));
    assert_eq!(handshake(&server.pem, &server, "127.0.0.1"), Ok(()));
    let unnamed = self_signed(authority(&[]));
    assert_eq!(handshake(&unnamed.pem, &unnamed, "door.example"), Ok(()), "known by its key alone");
    let both = format!("{}{}", server.pem, unnamed.pem);
    assert_eq!(handshake(&both, &unnamed, "door.example"), Ok(()));
}

#[test]
fn no_other_certificate_is() {
    let (server, other) = (self_signed(authority(&["127.0.0.1"])), self_signed(authority(&["127.0.0.1"])));
    let error = handshake(&other.pem, &server, "127.0.0.1").unwrap_err();
    assert!(error.contains("nobody that this device trusts") || error.contains("authority"), "{error}");
    // The certificate is public; its key is not.
    let thief = Shown { certificate: server.certificate.clone(), pem: server.pem.clone(), key: other.key };
    let key = PrivateKeyDer::try_from(thief.key.serialize_der()).unwrap();
    let stolen = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![thief.certificate.clone()], key);
    assert!(stolen.is_err(), "not even the thief's own TLS takes it");
}

#[test]
fn an_authority_vouches_as_before() {
    let ca = self_signed(authority(&[]));
    let server = signed_by(&ca, params(&["door.example"]));
    assert_eq!(handshake(&ca.pem, &server, "door.example"), Ok(()));
}

#[test]
fn each_refusal_says_what_it_is_and_what_to_do() {
    let ca = self_signed(authority(&[]));
    let now = SystemTime::now();
    let old = |params| valid(now - 20 * DAY, now - 10 * DAY, params);
    let early = valid(now + 10 * DAY, now + 20 * DAY, params(&["door.example"]));
    let mut mail = params(&["door.example"]);
    mail.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
    let unused = || self_signed(authority(&[]));
    let cases = [
        (signed_by(&ca, old(params(&["door.example"]))), ca.pem.clone(), ["was valid until", "renew"]),
        (signed_by(&ca, early), ca.pem.clone(), ["valid only from", "set the clock"]),
        (
            signed_by(&ca, params(&["gate.example"])),
            ca.pem.clone(),
            ["is for gate.example, not for door.example", "[signaling] url"],
        ),
        (signed_by(&ca, params(&[])), ca.pem.clone(), ["names no host", "door.example"]),
        (signed_by(&ca, mail), ca.pem.clone(), ["not made for TLS servers", "serverAuth"]),
        (
            signed_by(&ca, params(&["door.example"])),
            unused().pem,
            ["nobody that this device trusts", "[signaling] ca_file"],
        ),
    ];
    for (shown, pem, parts) in cases {
        let error = handshake(&pem, &shown, "door.example").unwrap_err();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    // An authority's certificate that was not named itself, but signed by one that was.
    let below = signed_by(&ca, authority(&["door.example"]));
    let error = handshake(&ca.pem, &below, "door.example").unwrap_err();
    assert!(error.contains("as its own") && error.contains("CA:FALSE"), "{error}");
    // Named itself, it is held to what it says all the same.
    let expired = self_signed(old(authority(&["door.example"])));
    let error = handshake(&expired.pem, &expired, "door.example").unwrap_err();
    assert!(error.contains("was valid until"), "{error}");
    let elsewhere = self_signed(authority(&["gate.example"]));
    let error = handshake(&elsewhere.pem, &elsewhere, "door.example").unwrap_err();
    assert!(error.contains("is for gate.example, not for door.example"), "{error}");
}

#[test]
fn no_error_of_tls_reaches_people_in_the_librarys_words_alone() {
    let old = Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13);
    for (error, part) in [
        (old, "TLS 1.2 or 1.3"),
        (Error::AlertReceived(AlertDescription::ProtocolVersion), "TLS 1.2 or 1.3"),
        (Error::AlertReceived(AlertDescription::HandshakeFailure), "bring the server up to date"),
        (Error::AlertReceived(AlertDescription::UnrecognisedName), "URL"),
        (Error::AlertReceived(AlertDescription::InternalError), "its log"),
        (Error::InvalidMessage(InvalidMessage::InvalidContentType), "ws://"),
        (Error::NoCertificatesPresented, "give it one"),
        (Error::DecryptError, "log"),
    ] {
        let sentence = explain(&error);
        assert!(sentence.contains(part) && sentence.contains("server"), "{sentence}");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_its_fault() {
    let trust = |pem: &str| Trust::Authority { name: "/etc/callbox/ca.pem".to_owned(), pem: pem.as_bytes().to_vec() };
    let damaged = self_signed(authority(&[])).pem.replacen("MI", "!!", 1);
    let garbage = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    for (pem, part) in [("hello", "CERTIFICATE section"), (&damaged, "damaged"), (garbage, "certificate 1 in it")] {
        let error = client_config(&trust(pem)).unwrap_err().to_string();
        assert!(error.contains("/etc/callbox/ca.pem") && error.contains(part), "{error}");
    }
}
