//! `capabilities`: the parts of root's power that a service may have at all, by their Linux names.

use super::problem::Wrong;
use super::tree::Node;
use super::value;

/// Every capability, in the order of their numbers.
pub const CAPABILITIES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// Parses the name of a capability into its bit. The prefix `CAP_` and capital letters are accepted.
pub(super) fn capability(node: &Node) -> Result<u64, Wrong> {
    let text = value::text(node)?.to_ascii_lowercase();
    let name = text.strip_prefix("cap_").unwrap_or(&text);
    let number = CAPABILITIES.iter().position(|known| *known == name);
    number
        .map(|number| 1 << number)
        .ok_or_else(|| "must be a capability of Linux, such as \"net_bind_service\"".into())
}
