//! What machine this is, to write beside a result.

use std::fs;

use serde_json::{Value, json};

/// Model of the CPU.
pub(crate) fn model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    after(&text, "model name").map_or_else(|| "unknown CPU".to_owned(), str::to_owned)
}

/// How many CPUs it has; how many of them are used is another matter.
pub(crate) fn cpus() -> usize {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let is_one = |line: &&str| {
        line.strip_prefix("cpu")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    text.lines().filter(is_one).count()
}

/// Release of the kernel.
pub(crate) fn kernel() -> String {
    let name = rustix::system::uname();
    name.release().to_string_lossy().into_owned()
}

/// Everything that may explain a figure; what is not known is null.
pub(crate) fn to_json() -> Value {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let governor = fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    json!({
        "cpu": model(),
        "cpus": cpus(),
        "is_virtual": after(&cpu, "flags").map(|flags| flags.contains(" hypervisor")),
        "governor": governor.ok().map(|name| name.trim().to_owned()),
        "memory": after(&memory, "MemTotal"),
        "kernel": kernel(),
        "system": system.lines().find_map(|line| {
            Some(line.strip_prefix("PRETTY_NAME=")?.trim_matches('"'))
        }),
    })
}

/// What follows `name` and a colon.
fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, rest)| rest.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known() {
        let value = to_json();
        assert!(value["cpus"].as_u64() > Some(0));
        for name in ["cpu", "kernel", "memory"] {
            assert!(
                value[name].as_str().is_some_and(|text| !text.is_empty()),
                "{name}"
            );
        }
        assert_eq!(after("a : b c\n", "a"), Some("b c"));
    }
}
