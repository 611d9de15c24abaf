//! The table of configuration keys at top level: names and effect of each.
//!
//! Knows no files; `file.rs` applies it. Blocks have tables of their own.

use gnatsd_core::conf::{Position, Value};
use gnatsd_core::engine::Limits;

use super::block::{Key, ignored, not_yet, read, set};
use super::options::{self, Advertise, CONNECTIONS_MAX_DEFAULT, Options};
use super::values::{bool, int, listen, text};
use super::{authorization, tls};

/// Options in the making.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) options: Options,
    /// Host for monitoring; `None` for that of the clients, which may come later.
    pub(super) http_host: Option<String>,
    /// Lines for standard output, as gnatsd prints them before there is a log.
    pub(super) stdout_notes: Vec<String>,
    /// Where the users stand that have no password and no nkey, and could come by certificate only.
    pub(super) without_password: Vec<(String, Position)>,
    /// Where logins stand, or something that was meant to be them.
    pub(super) logins: Option<Position>,
    /// Where `no_auth_user` stands.
    pub(super) no_auth_user: Option<Position>,
}

/// Every key with a meaning at top level.
pub(super) const KEYS: &[Key<Draft>] = &[
    set(&["listen"], |draft, value| {
        let (host, port) = listen(value)?;
        draft.options.port = options::client_port(port)?;
        // A port alone says nothing about a host that stands elsewhere in the file: forgetting
        // a loopback address there would open the server to the world.
        if let Some(host) = host {
            draft.options.host = host;
        }
        Ok(())
    }),
    set(&["host", "net"], |draft, value| {
        draft.options.host = options::host(text(value)?);
        Ok(())
    }),
    set(&["port"], |draft, value| {
        draft.options.port = options::client_port(int(value)?)?;
        Ok(())
    }),
    set(&["client_advertise"], |draft, value| {
        draft.options.client_advertise = Advertise::parse(text(value)?)?;
        Ok(())
    }),
    set(&["server_name"], |draft, value| {
        draft.options.server_name = options::server_name(text(value)?)?;
        Ok(())
    }),
    set(&["http"], |draft, value| {
        let (host, port) = listen(value)?;
        draft.options.http_port = options::port(port)?;
        if host.is_some() {
            draft.http_host = host;
        }
        Ok(())
    }),
    set(&["https"], |draft, value| {
        let (host, port) = listen(value)?;
        draft.options.https_port = options::port(port)?;
        if host.is_some() {
            draft.http_host = host;
        }
        Ok(())
    }),
    set(&["https_port"], |draft, value| {
        draft.options.https_port = options::port(int(value)?)?;
        Ok(())
    }),
    set(&["http_port", "monitor_port"], |draft, value| {
        draft.options.http_port = options::port(int(value)?)?;
        Ok(())
    }),
    set(&["pid_file", "pidfile"], |draft, value| {
        draft.options.pid_file = options::path(text(value)?);
        Ok(())
    }),
    set(&["log_file", "logfile"], |draft, value| {
        draft.options.log_file = options::path(text(value)?);
        Ok(())
    }),
    set(&["debug"], |draft, value| {
        draft.options.debug = bool(value)?;
        Ok(())
    }),
    set(&["trace"], |draft, value| {
        draft.options.trace = bool(value)?;
        Ok(())
    }),
    set(&["logtime"], |draft, value| {
        draft.options.logtime = bool(value)?;
        Ok(())
    }),
    set(&["logtime_utc"], |draft, value| {
        draft.options.logtime_utc = bool(value)?;
        Ok(())
    }),
    set(&["max_control_line"], |draft, value| {
        let default = Limits::default().control_line_bytes_max;
        draft.options.limits.control_line_bytes_max = options::positive_or(int(value)?, default)?;
        Ok(())
    }),
    set(&["max_payload"], |draft, value| {
        draft.options.limits.payload_bytes_max = match int(value)? {
            0 => Limits::default().payload_bytes_max,
            number => number,
        };
        Ok(())
    }),
    set(&["max_pending"], |draft, value| {
        let default = Limits::default().pending_bytes_max;
        draft.options.limits.pending_bytes_max = options::positive_or(int(value)?, default)?;
        Ok(())
    }),
    set(&["max_connections", "max_conn"], |draft, value| {
        draft.options.max_connections = match int(value)? {
            0 => CONNECTIONS_MAX_DEFAULT,
            number => number,
        };
        Ok(())
    }),
    set(&["max_subscriptions", "max_subs"], |draft, value| {
        let number = int(value)?;
        // Below zero means no limit too, as in 1.2.0.
        draft.options.limits.subscriptions_max = options::positive_or(number.max(0), 0)?;
        Ok(())
    }),
    set(&["ping_interval"], |draft, value| {
        let default = Limits::default().ping_interval;
        draft.options.limits.ping_interval = match value {
            Value::Integer(number) => options::seconds_or(*number, default)?,
            other => options::duration_or("ping_interval", text(other)?, default)?,
        };
        Ok(())
    }),
    set(&["ping_max"], |draft, value| {
        let default = Limits::default().ping_max;
        draft.options.limits.ping_max = options::positive_or(int(value)?, default)?;
        Ok(())
    }),
    set(&["write_deadline"], |draft, value| {
        let default = Limits::default().write_deadline;
        draft.options.limits.write_deadline = match value {
            Value::Integer(number) => {
                let note = "WARNING: write_deadline should be converted to a duration";
                draft.stdout_notes.push(note.to_owned());
                options::seconds_or(*number, default)?
            }
            other => options::duration_or("write_deadline", text(other)?, default)?,
        };
        Ok(())
    }),
    set(&["no_fast_producer_stall"], |draft, value| {
        draft.options.limits.slow_fast_publishers = !bool(value)?;
        Ok(())
    }),
    set(&["cores"], |draft, value| {
        draft.options.cores = options::cores(int(value)?)?;
        Ok(())
    }),
    set(&["driver"], |draft, value| {
        draft.options.driver = options::driver(text(value)?)?;
        Ok(())
    }),
    // Who may do what, and over which connection.
    read(&["authorization"], |draft, entry, findings| {
        authorization::read_block(draft, &entry.value, findings);
    }),
    read(&["no_auth_user"], |draft, entry, findings| {
        if let Some(name) = findings.take(&entry.value.position, text(&entry.value.value)) {
            draft.options.authorization.no_auth_user = (!name.is_empty()).then(|| name.to_owned());
            draft.no_auth_user = Some(entry.value.position.clone());
        }
    }),
    read(&["tls"], |draft, entry, findings| {
        draft.options.tls = tls::read_block(entry, findings);
    }),
    set(&["allow_non_tls"], |draft, value| {
        draft.options.allow_non_tls = bool(value)?;
        Ok(())
    }),
    not_yet(&["accounts"]),
    not_yet(&["system_account", "system"]),
    not_yet(&["no_system_account", "no_system", "no_sys_acc"]),
    not_yet(&["default_sentinel"]),
    not_yet(&["operator", "operators", "roots", "root"]),
    not_yet(&["trusted", "trusted_keys"]),
    not_yet(&["resolver", "account_resolver", "accounts_resolver"]),
    not_yet(&["resolver_tls"]),
    not_yet(&["resolver_preload"]),
    not_yet(&["resolver_pinned_accounts"]),
    not_yet(&["mappings", "maps"]),
    not_yet(&["ocsp"]),
    not_yet(&["ocsp_cache"]),
    not_yet(&["proxies"]),
    not_yet(&["proxy_protocol"]),
    not_yet(&["max_sub_tokens", "max_subscription_tokens"]),
    // Other listeners, outputs and protocols.
    not_yet(&["cluster"]),
    not_yet(&["websocket", "ws"]),
    not_yet(&["http_base_path"]),
    not_yet(&["prof_port"]),
    not_yet(&["ports_file_dir"]),
    not_yet(&["syslog"]),
    not_yet(&["remote_syslog"]),
    not_yet(&["no_header_support"]),
    // Products this is not.
    ignored(&["jetstream"]),
    ignored(&["store_dir", "storedir"]),
    ignored(&["default_js_domain"]),
    ignored(&["leafnodes", "leaf"]),
    ignored(&["gateway"]),
    ignored(&["mqtt"]),
    ignored(&["feature_flags"]),
    // Refinements without which a server runs, a little differently.
    ignored(&["server_tags"]),
    ignored(&["server_metadata"]),
    ignored(&["trace_verbose"]),
    ignored(&["trace_headers"]),
    ignored(&["max_traced_msg_len"]),
    ignored(&["log_size_limit"]),
    ignored(&["log_max_num"]),
    ignored(&["lame_duck_duration"]),
    ignored(&["lame_duck_grace_period"]),
    ignored(&["write_timeout"]),
    ignored(&["max_closed_clients"]),
    ignored(&["disable_sublist_cache"]),
    ignored(&["connect_error_reports"]),
    ignored(&["reconnect_error_reports"]),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_lower_case_and_taken_once() {
        let mut seen = HashSet::new();
        for name in KEYS.iter().flat_map(|key| key.names) {
            assert!(seen.insert(name), "{name}");
            assert_eq!(*name, name.to_lowercase());
        }
    }
}
