//! What went wrong with TLS, in words for the person at the terminal: what it is, and what to do.

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};
use x509_parser::time::ASN1Time;

/// Where a further authority is named.
const KEY: &str = "[signaling] ca_file";

/// The sentence for an error of TLS.
pub fn explain(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        )
        | Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            "the server speaks no version of TLS that is still safe: it has to speak TLS 1.2 or 1.3".to_owned()
        }
        Error::PeerIncompatible(error) => {
            format!("the server and this device have no kind of TLS in common ({error:?}): bring the server up to date")
        }
        Error::AlertReceived(AlertDescription::HandshakeFailure) => {
            "the server found no kind of TLS that it shares with this device: bring the server up to date".to_owned()
        }
        Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            "the server does not know the host name in the URL: write the name that its certificate is for".to_owned()
        }
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => "the server wants a certificate of its clients, and this device has none: let it accept a token instead"
            .to_owned(),
        Error::AlertReceived(alert) => format!("the server broke off TLS ({alert:?}): its log may say why"),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server does not answer in TLS: without it, the URL begins with ws://".to_owned()
        }
        Error::NoCertificatesPresented => "the server shows no certificate: give it one".to_owned(),
        other => format!("TLS with the server failed ({other}): the server's log may say why"),
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::ExpiredContext { time, not_after } => format!(
            "the server's certificate was valid until {}, and this device's clock says {}: renew the certificate, or set \
             the clock if it is wrong",
            date(*not_after),
            date(*time)
        ),
        CertificateError::Expired => {
            "the server's certificate has expired: renew it, or set this device's clock if it is wrong".to_owned()
        }
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the server's certificate is valid only from {} on, and this device's clock says {}: set the clock, here or \
             where the certificate was made",
            date(*not_before),
            date(*time)
        ),
        CertificateError::NotValidYet => {
            "the server's certificate is not valid yet: set this device's clock if it is wrong".to_owned()
        }
        CertificateError::UnknownIssuer => format!(
            "the server's certificate comes from nobody that this device trusts: put the certificate of the authority that \
             made it, or the server's own, into a PEM file and name the file as {KEY}"
        ),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            let names: Vec<&str> = presented.iter().map(|name| plain(name)).collect();
            match names.is_empty() {
                true => format!(
                    "the server's certificate names no host (subjectAltName), so it is not for {expected}: have one made \
                     for {expected}, or name exactly this certificate as {KEY}"
                ),
                false => format!(
                    "the server's certificate is for {}, not for {expected}: write one of its names into [signaling] url, \
                     or have a certificate made for {expected}",
                    names.join(", ")
                ),
            }
        }
        CertificateError::NotValidForName => {
            "the server's certificate is for another host name than that in [signaling] url: write its name there, or have \
             another certificate made"
                .to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate is not made for TLS servers: have one made whose extended key usage has serverAuth"
                .to_owned()
        }
        CertificateError::BadSignature => format!(
            "the server's certificate is not signed with the key of the authority it names: if that authority was made \
             anew, name its present certificate as {KEY}"
        ),
        CertificateError::Revoked => "the server's certificate has been revoked: have another one made".to_owned(),
        CertificateError::BadEncoding | CertificateError::UnhandledCriticalExtension => {
            format!("the server's certificate cannot be read here ({error}): have another one made")
        }
        CertificateError::ApplicationVerificationFailure => {
            "the server shows another certificate than the one that is expected of it: another program may have its port"
                .to_owned()
        }
        // The verifier keeps this one to itself but for its name.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => format!(
            "the server shows an authority's certificate as its own, as 'openssl req -x509' makes them: name exactly that \
             certificate as {KEY}, or make one with -addext basicConstraints=critical,CA:FALSE"
        ),
        other => format!(
            "the server's certificate cannot be used ({other}): have one made with a key of P-256 or RSA 2048 and SHA-256"
        ),
    }
}

/// The verifier writes names as its own types do: `DnsName("door.example")`.
fn plain(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    match ASN1Time::from_timestamp(seconds).map(|time| time.to_datetime()) {
        Ok(t) => {
            format!("{}-{:02}-{:02} {:02}:{:02} UTC", t.year(), u8::from(t.month()), t.day(), t.hour(), t.minute())
        }
        Err(_) => format!("second {seconds} after 1970"),
    }
}
