//! The INFO line.

use std::fmt::Write;
use std::net::IpAddr;

use serde::Serialize;

use crate::auth::Nonce;

/// What a server says about itself. Fields that are false or empty are left out, as the
/// original does; clients read a missing field as that.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ServerInfo {
    /// 22 characters, new at each start.
    pub server_id: String,
    /// Name of the server; its id if not configured.
    pub server_name: String,
    /// Version, `N.N.N`.
    pub version: String,
    /// Protocol: 1, which promises async INFO.
    pub proto: u8,
    /// Compiler the server was built with. The name is the original's; clients only show it.
    pub go: String,
    /// Listen host, or that of `client_advertise`.
    pub host: String,
    /// Listen port, or that of `client_advertise`.
    pub port: u16,
    /// Headers are spoken.
    pub headers: bool,
    /// CONNECT has to show who it comes from. Not said if those who show nothing get in, too (nats-server 2.x).
    #[serde(skip_serializing_if = "is_false")]
    pub auth_required: bool,
    /// The client has to start TLS behind this line.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_required: bool,
    /// And to show a certificate.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_verify: bool,
    /// The client may start TLS behind this line.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_available: bool,
    /// Largest payload in bytes; negative for no limit.
    pub max_payload: i64,
    /// Lame duck mode: look for another server.
    #[serde(skip_serializing_if = "is_false")]
    pub ldm: bool,
    /// `host:port` of the servers of the cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connect_urls: Vec<String>,
}

// serde hands the field over by reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl ServerInfo {
    /// The line for one connection: `INFO {…} ␍␊`. The blank in front of CR LF is the original's.
    pub fn line(&self, cid: u64, client_ip: IpAddr, nonce: Option<&Nonce>) -> Vec<u8> {
        // A struct of strings, numbers and flags always serialises.
        let mut json = serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned());
        json.pop();
        let _ = write!(json, ",\"client_id\":{cid},\"client_ip\":\"{client_ip}\"");
        if let Some(nonce) = nonce {
            let _ = write!(json, ",\"nonce\":\"{}\"", String::from_utf8_lossy(nonce));
        }
        json.push('}');
        format!("INFO {json} \r\n").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn line_has_the_fields_clients_read() {
        let mut info = ServerInfo {
            server_id: "S".into(),
            server_name: "n\"m".into(),
            version: "2.0.0".into(),
            proto: 1,
            go: "rust".into(),
            host: "0.0.0.0".into(),
            port: 4222,
            headers: true,
            auth_required: false,
            tls_required: false,
            tls_verify: false,
            tls_available: false,
            max_payload: 1_048_576,
            ldm: false,
            connect_urls: Vec::new(),
        };
        let line = String::from_utf8(info.line(7, Ipv4Addr::LOCALHOST.into(), None)).unwrap();
        assert_eq!(
            line,
            "INFO {\"server_id\":\"S\",\"server_name\":\"n\\\"m\",\"version\":\"2.0.0\",\"proto\":1,\
             \"go\":\"rust\",\"host\":\"0.0.0.0\",\"port\":4222,\"headers\":true,\
             \"max_payload\":1048576,\"client_id\":7,\"client_ip\":\"127.0.0.1\"} \r\n"
        );
        info.ldm = true;
        info.connect_urls.push("a:1".into());
        let line = String::from_utf8(info.line(7, Ipv4Addr::LOCALHOST.into(), None)).unwrap();
        assert!(line.contains("\"ldm\":true,\"connect_urls\":[\"a:1\"]"));
        (info.auth_required, info.tls_required) = (true, true);
        let line = info.line(7, Ipv4Addr::LOCALHOST.into(), Some(b"abcdefghijklmno"));
        let line = String::from_utf8(line).unwrap();
        assert!(line.contains(
            "\"headers\":true,\"auth_required\":true,\"tls_required\":true,\"max_payload\""
        ));
        assert!(line.ends_with(",\"nonce\":\"abcdefghijklmno\"} \r\n"));
    }
}
