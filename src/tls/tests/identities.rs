//! Whom certificates name.

use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DistinguishedName, DnType, SanType};
use rustls::version::{TLS12, TLS13};

use super::super::{PeerNames, TlsServer};
use super::{Certs, Link, Wire};
use crate::tls::TlsOptions;

const DOMAIN_COMPONENT: &[u64] = &[0, 9, 2342, 19200300, 100, 1, 25];

fn subject(parts: &[(DnType, &str)]) -> CertificateParams {
    let mut name = DistinguishedName::new();
    for (kind, value) in parts {
        name.push(kind.clone(), *value);
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params
}

fn names_of(params: CertificateParams) -> PeerNames {
    PeerNames::of(Certs::new().issue("client", params).der()).unwrap()
}

#[test]
fn subjects_are_written_as_go_writes_them() {
    let names = names_of(subject(&[
        (DnType::CountryName, "US"),
        (DnType::StateOrProvinceName, "CA"),
        (DnType::LocalityName, "Los Angeles"),
        (DnType::OrganizationName, "Synadia Communications Inc."),
        (DnType::OrganizationalUnitName, "NATS.io, core"),
        (DnType::CommonName, " #al\"ice+ "),
    ]));
    let expected = "CN=\\ #al\\\"ice\\+\\ ,OU=NATS.io\\, core,O=Synadia Communications Inc.,L=Los Angeles,ST=CA,C=US";
    assert_eq!(names.subject, expected);
    assert_eq!(names.subject_in_order, expected);
    assert_eq!(names.subject_with_domain, None);
}

#[test]
fn the_order_of_the_certificate_is_one_form_of_three() {
    let names = names_of(subject(&[
        (DnType::CommonName, "www"),
        (DnType::OrganizationName, "Acme"),
        (DnType::CustomDnType(DOMAIN_COMPONENT.to_vec()), "acme"),
    ]));
    assert_eq!(names.subject, "CN=www,O=Acme");
    assert_eq!(names.subject_in_order, "DC=acme,O=Acme,CN=www");
    assert_eq!(
        names.subject_with_domain.as_deref(),
        Some("CN=www,O=Acme,DC=acme")
    );
}

#[test]
fn alternative_names_come_first() {
    let text = |text: &str| Ia5String::try_from(text).unwrap();
    let mut params = subject(&[(DnType::CommonName, "alice")]);
    params.subject_alt_names = vec![
        SanType::URI(text("spiffe://acme/alice")),
        SanType::DnsName(text("alice.acme.com")),
        SanType::Rfc822Name(text("alice@acme.com")),
        SanType::IpAddress([127, 0, 0, 1].into()),
    ];
    let names = names_of(params);
    let candidates: Vec<_> = names.candidates().collect();
    assert_eq!(
        candidates,
        [
            "alice@acme.com",
            "alice.acme.com",
            "spiffe://acme/alice",
            "CN=alice",
            "CN=alice",
        ]
    );
}

#[test]
fn a_session_knows_its_client() {
    let certs = Certs::new();
    certs.issue("client", subject(&[(DnType::CommonName, "alice")]));
    let server = TlsServer::new(&TlsOptions {
        verify_and_map: true,
        ..certs.verifying()
    })
    .unwrap();
    for version in [&TLS12, &TLS13] {
        let client = certs.client(version, Some("client"));
        let link = Link::new(&server, &client, Wire::new());
        assert_eq!(link.session.peer_names().unwrap().subject, "CN=alice");
    }
}

#[test]
fn rubbish_names_nobody() {
    assert_eq!(PeerNames::of(b""), None);
    assert_eq!(PeerNames::of(&[0x30; 100]), None);
}
