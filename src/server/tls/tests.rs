//! Certificates over the years, at chosen times.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::authority::{Authority, Leaf};
use super::clock::{Present, first};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn start() -> SystemTime {
    first() + DAY * 250
}

fn at(time: SystemTime) -> Present {
    Present::Known(time)
}

fn der(leaf: &Leaf) -> Vec<u8> {
    leaf.certified.cert[0].to_vec()
}

#[test]
fn the_authority_stays_and_the_certificate_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/tls");
    let needed = names(&["localhost", "127.0.0.1"]);
    let first = Authority::open(&path, &[], at(start())).unwrap();
    let leaf = first.leaf(&needed, at(start())).unwrap();
    let again = Authority::open(&path, &[], at(start() + DAY * 100)).unwrap();
    assert_eq!(again.info().fingerprint, first.info().fingerprint);
    assert_eq!(der(&again.leaf(&needed, at(start() + DAY * 100)).unwrap()), der(&leaf));
    for file in ["ca.pem", "server.pem"] {
        assert_eq!(fs::metadata(path.join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    assert_eq!(fs::read_to_string(path.join("ca.crt")).unwrap(), first.info().pem);
    assert!(!first.info().pem.contains("PRIVATE"));
    assert_eq!(first.info().fingerprint.len(), 32 * 3 - 1);
}

#[test]
fn the_certificate_is_renewed_in_time_and_for_further_names() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open(dir.path(), &[], at(start())).unwrap();
    let needed = names(&["localhost", "192.0.2.1"]);
    let leaf = authority.leaf(&needed, at(start())).unwrap();
    assert!(leaf.serves(&needed, &authority, at(start() + DAY * 260)));
    assert!(!leaf.serves(&needed, &authority, at(start() + DAY * 270)));
    assert!(leaf.serves(&names(&["localhost"]), &authority, at(start())), "an address that went away costs nothing");
    assert!(!leaf.serves(&names(&["localhost", "192.0.2.2"]), &authority, at(start())));
    let renewed = authority.leaf(&needed, at(start() + DAY * 270)).unwrap();
    assert_ne!(der(&renewed), der(&leaf));
    assert!(renewed.serves(&needed, &authority, at(start() + DAY * 520)));
    // A name that the authority may not sign for would spoil the whole certificate: it is left out, and not missed.
    let greedy = names(&["localhost", "door.local", "bank.example"]);
    let leaf = authority.leaf(&greedy, at(start())).unwrap();
    assert!(leaf.serves(&greedy, &authority, at(start())));
    let der = der(&leaf);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let held = format!("{:?}", certificate.subject_alternative_name().unwrap().unwrap().value);
    assert!(held.contains("door.local") && !held.contains("bank.example"), "{held}");
}

#[test]
fn certificates_keep_to_what_browsers_demand() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open(dir.path(), &["gate.example".to_owned()], at(start())).unwrap();
    let leaf = authority.leaf(&names(&["localhost", "gate.example", "::1"]), at(start())).unwrap();
    let der = der(&leaf);
    let (_, leaf) = X509Certificate::from_der(&der).unwrap();
    let life = leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp();
    assert!(life <= 397 * 24 * 3600, "{life}");
    assert!(!leaf.is_ca());
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth && !usage.any);
    assert_eq!(leaf.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 3);

    let info = authority.info();
    let ca_der = CertificateDer::from_pem_slice(info.pem.as_bytes()).unwrap();
    assert_eq!(ca_der.as_ref(), info.der);
    let (_, ca) = X509Certificate::from_der(&ca_der).unwrap();
    assert_eq!(ca.basic_constraints().unwrap().unwrap().value.path_len_constraint, Some(0));
    let constraints = ca.name_constraints().unwrap().unwrap();
    assert!(constraints.critical);
    let permitted = format!("{:?}", constraints.value.permitted_subtrees);
    assert!(permitted.contains("\"local\"") && permitted.contains("gate.example"), "{permitted}");
    assert!(ca.subject().to_string().starts_with("CN=Callbox local CA ("), "{}", ca.subject());
}

#[test]
fn broken_files_are_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let needed = names(&["localhost"]);
    let first = Authority::open(dir.path(), &[], at(start())).unwrap();
    let leaf = first.leaf(&needed, at(start())).unwrap();

    fs::write(dir.path().join("server.pem"), b"\xff not PEM").unwrap();
    assert_ne!(der(&first.leaf(&needed, at(start())).unwrap()), der(&leaf));

    let whole = fs::read_to_string(dir.path().join("ca.pem")).unwrap();
    let certificate_only = first.info().pem;
    let half = &whole[..whole.len() / 2];
    for broken in ["", half, &certificate_only] {
        fs::write(dir.path().join("ca.pem"), broken).unwrap();
        let second = Authority::open(dir.path(), &[], at(start())).unwrap();
        assert_ne!(second.info().fingerprint, first.info().fingerprint);
        assert_eq!(fs::read_to_string(dir.path().join("ca.pem.broken")).unwrap(), broken);
        // The stored certificate is the first authority's.
        let leaf = second.leaf(&needed, at(start())).unwrap();
        assert!(leaf.serves(&needed, &second, at(start())) && !leaf.serves(&needed, &first, at(start())));
    }
}

#[test]
fn an_authority_past_its_time_stays_and_certificates_do_not_outlive_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let needed = names(&["localhost"]);
    let first = Authority::open(dir.path(), &[], at(start())).unwrap();
    let late = start() + DAY * 3600;
    let leaf = Authority::open(dir.path(), &[], at(late)).unwrap().leaf(&needed, at(late)).unwrap();
    let validity = |der: &[u8]| {
        let (_, certificate) = X509Certificate::from_der(der).unwrap();
        (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp())
    };
    assert_eq!(validity(&der(&leaf)).1, validity(&first.info().der).1);
    // There is nothing to gain by renewing it, before both end or afterwards.
    for day in [3649, 3651, 9000] {
        let now = at(start() + DAY * day);
        assert!(leaf.serves(&needed, &first, now), "{day}");
        assert_eq!(Authority::open(dir.path(), &[], now).unwrap().info().fingerprint, first.info().fingerprint);
    }
    assert!(!dir.path().join("ca.pem.broken").exists());
    let _ = fs::remove_file(dir.path().join("server.pem"));
    let after = at(start() + DAY * 3651);
    assert!(
        first.leaf(&needed, after).unwrap().serves(&needed, &first, after),
        "and it does not make one at every look"
    );
}

/// A battery that fails, a network that sets the clock, a person who mistypes the year: the authority that everybody
/// trusts stays, and what is shown once the clock is right is valid then.
#[test]
fn no_clock_costs_the_authority() {
    let year = |year: u64| SystemTime::UNIX_EPOCH + DAY * ((year - 1970) * 36525 / 100 + 300) as u32;
    let needed = names(&["localhost", "192.0.2.1"]);
    let valid = |der: &[u8], time: SystemTime| {
        let (_, certificate) = X509Certificate::from_der(der).unwrap();
        let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
        (certificate.validity().not_before.timestamp()..certificate.validity().not_after.timestamp()).contains(&seconds)
    };
    let installed = first() + DAY * 100;
    for first_start in [1970, 2026, 2040, 2100] {
        let dir = tempfile::tempdir().unwrap();
        let mut fingerprint = None;
        for clock in [first_start, 1970, 2026, 2040, 2026, 2100, 2026, 1970, 2040, 2100, 2026] {
            let now = Present::judge(year(clock), installed);
            let authority = Authority::open(dir.path(), &[], now).unwrap();
            let leaf = authority.leaf(&needed, now).unwrap();
            let made = fingerprint.get_or_insert_with(|| authority.info().fingerprint);
            assert_eq!(*made, authority.info().fingerprint, "{first_start}, {clock}");
            assert!(leaf.serves(&needed, &authority, now), "{first_start}, {clock}: the next look makes another");
            assert!(valid(&authority.info().der, year(2026)), "{first_start}, {clock}");
            if clock == 2026 {
                assert!(valid(&der(&leaf), year(2026)), "{first_start}, {clock}");
            }
        }
        assert!(!dir.path().join("ca.pem.broken").exists());
    }
    // A clock that is known to be wrong is no reason to give up a certificate that is good.
    let dir = tempfile::tempdir().unwrap();
    let now = Present::judge(year(2026), installed);
    let authority = Authority::open(dir.path(), &[], now).unwrap();
    let good = der(&authority.leaf(&needed, now).unwrap());
    let stored = fs::read(dir.path().join("server.pem")).unwrap();
    for (clock, other) in [(1970, "192.0.2.2"), (2100, "192.0.2.3")] {
        let now = Present::judge(year(clock), installed);
        assert_eq!(der(&authority.leaf(&needed, now).unwrap()), good, "{clock}");
        // Nor to make one for a further name that is not good.
        let more = authority.leaf(&names(&["localhost", other]), now).unwrap();
        assert!(valid(&der(&more), year(2026)), "{clock}");
        fs::write(dir.path().join("server.pem"), &stored).unwrap();
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let error = Authority::open(&dir.path().join("file/tls"), &[], at(start())).err().unwrap().to_string();
    assert!(error.contains("file/tls") && error.contains("[state] dir"), "{error}");
}

/// As on a full disk, but for root too: a directory is in the way of the file that is written first.
#[test]
fn a_certificate_that_cannot_be_kept_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let needed = names(&["localhost"]);
    let authority = Authority::open(dir.path(), &[], at(start())).unwrap();
    fs::create_dir_all(dir.path().join("server.pem.tmp/x")).unwrap();
    let leaf = authority.leaf(&needed, at(start())).unwrap();
    assert!(leaf.serves(&needed, &authority, at(start())) && !dir.path().join("server.pem").exists());
    fs::remove_dir_all(dir.path().join("server.pem.tmp")).unwrap();
    assert_ne!(der(&authority.leaf(&needed, at(start())).unwrap()), der(&leaf));
    assert!(dir.path().join("server.pem").exists());
}
