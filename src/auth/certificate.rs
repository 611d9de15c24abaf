//! Users whom a client certificate names (`verify_and_map`).

use std::collections::HashMap;

use crate::tls::PeerNames;

use super::distinguished_name::DistinguishedName;

/// Names of users that are distinguished names. Other names need no preparation.
#[derive(Debug)]
pub(super) struct Certified {
    /// By their parts in whatever order; those with the same parts in different order in the order of the list.
    subjects: HashMap<DistinguishedName, Vec<(DistinguishedName, Box<str>)>>,
}

impl Certified {
    /// For these users.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut subjects: HashMap<_, Vec<_>> = HashMap::new();
        for name in names {
            if let Some(subject) = DistinguishedName::parse(name) {
                let same: &mut Vec<_> = subjects.entry(subject.sorted()).or_default();
                same.push((subject, name.into()));
            }
        }
        Certified { subjects }
    }

    /// The first that `user` knows of the names in a certificate: e-mail addresses, DNS names, URIs, the subject
    /// part by part, then the subject as text. Source: nats-server 2.x, `checkClientTLSCertSubject`.
    pub(super) fn find<T>(
        &self,
        certificate: &PeerNames,
        user: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let alternatives = certificate.emails.iter().chain(&certificate.dns);
        alternatives
            .chain(&certificate.uris)
            .map(String::as_str)
            .filter(|name| !name.is_empty())
            .find_map(&user)
            .or_else(|| {
                self.by_subject(&certificate.subject_in_order)
                    .and_then(&user)
            })
            .or_else(|| certificate.candidates().find_map(&user))
    }

    /// The user whose name has the parts of this subject: in the same order if there is such a one, else in any.
    fn by_subject(&self, subject: &str) -> Option<&str> {
        let subject = DistinguishedName::parse(subject)?;
        let same = self.subjects.get(&subject.sorted())?;
        let in_order = same.iter().find(|(known, _)| *known == subject);
        in_order.or(same.first()).map(|(_, name)| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(emails: &[&str], dns: &[&str], uris: &[&str], subject: &str) -> PeerNames {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        PeerNames {
            emails: owned(emails),
            dns: owned(dns),
            uris: owned(uris),
            subject_in_order: subject.to_owned(),
            subject: subject.to_owned(),
            ..PeerNames::default()
        }
    }

    fn found<'a>(users: &[&'a str], certificate: &PeerNames) -> Option<&'a str> {
        Certified::new(users.iter().copied()).find(certificate, |name| {
            users.iter().copied().find(|user| *user == name)
        })
    }

    #[test]
    fn the_order_of_names() {
        let all = names(
            &["e1@x", "e2@x"],
            &["d.x"],
            &["spiffe://x/u"],
            "CN=alice,O=Acme",
        );
        let mut users = vec!["CN=alice,O=Acme", "spiffe://x/u", "d.x", "e2@x", "e1@x"];
        while let Some(&last) = users.last() {
            assert_eq!(found(&users, &all), Some(last), "{users:?}");
            users.pop();
        }
        assert_eq!(found(&[], &all), None);
        assert_eq!(found(&["alice", "CN=alice", "E1@x"], &all), None);
    }

    #[test]
    fn subjects_part_by_part() {
        let certificate = names(&[], &[], &[], "CN=alice,OU=eng,O=Acme");
        for user in [
            "CN=alice,OU=eng,O=Acme",
            "cn=alice, ou=eng, o=Acme",
            "O=Acme,OU=eng,CN=alice",
            "CN=\\61lice,OU=eng,O=Acme",
        ] {
            assert_eq!(found(&[user], &certificate), Some(user));
        }
        for user in [
            "CN=Alice,OU=eng,O=Acme",
            "CN=alice,OU=eng",
            "CN=alice,OU=eng,O=Acme,C=US",
            "CN=alice+OU=eng,O=Acme",
            "CN=alice,OU=eng,OU=Acme",
            "",
        ] {
            assert_eq!(found(&[user], &certificate), None, "{user}");
        }
        // Who has the order right comes first, wherever they stand.
        let users = ["O=Acme,OU=eng,CN=alice", "CN=alice, OU=eng, O=Acme"];
        assert_eq!(found(&users, &certificate), Some(users[1]));
    }

    #[test]
    fn a_certificate_without_names_is_nobody() {
        let nobody = names(&[""], &[""], &[""], "");
        assert_eq!(found(&["", "CN=", "CN=a"], &nobody), None);
    }

    #[test]
    fn a_value_is_not_more_parts() {
        let certificate = names(&[], &[], &[], "CN=mallory\\,O=Acme");
        assert_eq!(found(&["CN=mallory,O=Acme"], &certificate), None);
        assert_eq!(
            found(&["CN=mallory\\2cO=Acme"], &certificate),
            Some("CN=mallory\\2cO=Acme")
        );
    }
}
