//! A supervisor runs a guard of its own only where no built-in monitor of this machine guards it.

use std::path::Path;

use sereno_config::{Env, load};

fn needs_guard(text: &str) -> bool {
    let config = load(Path::new("/srv/sereno.toml"), text, &Env::new());
    config.unwrap_or_else(|problems| panic!("{problems}")).needs_guard()
}

#[test]
fn a_built_in_monitor_that_is_managed_guards_and_nothing_else_does() {
    const HEALTH: &str = "[monitors.health-monitor]\nprogram = \"x\"\n";
    const PORT: &str = "[monitors.port-monitor]\nmanaged = false\n";
    assert!(!needs_guard(""));
    assert!(!needs_guard(HEALTH) && !needs_guard(PORT), "the other one guards");
    assert!(needs_guard(&format!("{HEALTH}{PORT}")));
    assert!(needs_guard(&format!("{HEALTH}{PORT}[monitors.disk]\n")), "it is built in by its name only");
    assert!(!needs_guard(&format!("{HEALTH}{PORT}[supervisor]\nguard = false\n")), "nobody is wanted");
}
