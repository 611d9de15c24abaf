//! Whom a client certificate names.

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The attributes of a subject that have a name of their own, in the order in which Go writes them. Source: Go's
/// crypto/x509/pkix.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("2.5.4.5", "SERIALNUMBER"),
    (COMMON_NAME, "CN"),
    ("2.5.4.11", "OU"),
    ("2.5.4.10", "O"),
    ("2.5.4.17", "POSTALCODE"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.6", "C"),
];
const COMMON_NAME: &str = "2.5.4.3";
const SERIAL_NUMBER: &str = "2.5.4.5";
const DOMAIN_COMPONENT: &str = "0.9.2342.19200300.100.1.25";

/// The names in a verified client certificate that may be those of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerNames {
    /// E-mail addresses among the alternative names.
    pub emails: Vec<String>,
    /// DNS names among the alternative names.
    pub dns: Vec<String>,
    /// URIs among the alternative names.
    pub uris: Vec<String>,
    /// The subject as nats-server writes it: the well-known attributes, the most specific first, whatever their
    /// order in the certificate; `CN=alice,OU=eng,O=Acme`. Empty if it has none of them.
    pub subject: String,
    /// The subject with all its attributes in the order of RFC 2253, which is the certificate's backwards:
    /// `CN=alice,OU=eng,DC=acme,DC=com`.
    pub subject_in_order: String,
    /// `subject` with the domain components behind it in the order of the certificate; `None` if it has none.
    pub subject_with_domain: Option<String>,
}

impl PeerNames {
    /// The names in a certificate in DER; `None` if it cannot be read.
    pub(super) fn of(certificate: &[u8]) -> Option<PeerNames> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let mut names = PeerNames::default();
        let alternatives = certificate
            .extensions()
            .iter()
            .filter_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
                _ => None,
            })
            .flatten();
        for name in alternatives {
            match name {
                GeneralName::RFC822Name(text) => names.emails.push((*text).to_owned()),
                GeneralName::DNSName(text) => names.dns.push((*text).to_owned()),
                GeneralName::URI(text) => names.uris.push((*text).to_owned()),
                _ => {}
            }
        }
        let subject = certificate.subject();
        names.subject = well_known(subject);
        names.subject_in_order = in_order(subject);
        names.subject_with_domain = with_domain(subject, &names.subject);
        Some(names)
    }

    /// All names, in the order in which they are looked up among the users. Source: nats-server 2.15,
    /// checkClientTLSCertSubject; it compares the subject attribute by attribute, here it is compared as text.
    pub fn candidates(&self) -> impl Iterator<Item = &str> {
        let alternatives = self.emails.iter().chain(&self.dns).chain(&self.uris);
        alternatives
            .chain([&self.subject_in_order])
            .chain(&self.subject_with_domain)
            .chain([&self.subject])
            .map(String::as_str)
            .filter(|name| !name.is_empty())
    }
}

/// SHA-256 of the public key in a certificate, both in DER, which is what `pinned_certs` of nats-server lists;
/// `None` if the certificate cannot be read.
pub(super) fn key_digest(certificate: &[u8]) -> Option<[u8; 32]> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    digest(&SHA256, certificate.public_key().raw)
        .as_ref()
        .try_into()
        .ok()
}

/// What nats-server calls the RDN sequence: Go's pkix.Name, which keeps the well-known attributes only, all of a
/// kind together, and of some the last alone.
fn well_known(subject: &X509Name<'_>) -> String {
    let mut parts = Vec::new();
    for (oid, name) in ATTRIBUTES {
        let mut values: Vec<_> = subject
            .iter_attributes()
            .filter(|attribute| attribute.attr_type().to_id_string() == *oid)
            .filter_map(text_of)
            .map(|value| format!("{name}={}", escaped(value)))
            .collect();
        if [COMMON_NAME, SERIAL_NUMBER].contains(oid) {
            values.drain(..values.len().saturating_sub(1));
        }
        if !values.is_empty() {
            parts.push(values.join("+"));
        }
    }
    parts.join(",")
}

/// RFC 2253 in full.
fn in_order(subject: &X509Name<'_>) -> String {
    let mut parts: Vec<_> = subject
        .iter_rdn()
        .map(|rdn| rdn.iter().map(attribute).collect::<Vec<_>>().join("+"))
        .collect();
    parts.reverse();
    parts.join(",")
}

fn with_domain(subject: &X509Name<'_>, well_known: &str) -> Option<String> {
    let components: Vec<_> = subject
        .iter_attributes()
        .filter(|attribute| attribute.attr_type().to_id_string() == DOMAIN_COMPONENT)
        .filter_map(text_of)
        .map(|value| format!("DC={value}"))
        .collect();
    (!components.is_empty()).then(|| format!("{well_known},{}", components.join(",")))
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    let name = match ATTRIBUTES.iter().find(|(known, _)| *known == oid) {
        Some((_, name)) => name,
        None if oid == DOMAIN_COMPONENT => "DC",
        None => oid.as_str(),
    };
    match text_of(attribute) {
        Some(value) => format!("{name}={}", escaped(value)),
        None => format!("{name}=#{}", hex(attribute.attr_value().data)),
    }
}

fn text_of<'a>(attribute: &'a AttributeTypeAndValue<'_>) -> Option<&'a str> {
    attribute.as_str().ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As Go escapes: what RFC 2253 wants, with a backslash before the character.
fn escaped(value: &str) -> String {
    let last = value.char_indices().next_back().map_or(0, |(at, _)| at);
    let mut text = String::with_capacity(value.len());
    for (at, c) in value.char_indices() {
        let is_special = match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            ' ' => at == 0 || at == last,
            '#' => at == 0,
            _ => false,
        };
        if is_special {
            text.push('\\');
        }
        text.push(c);
    }
    text
}
