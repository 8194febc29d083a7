//! More memory than it may use, of all its processes together: a restart of its own kind.

use crate::harness::{System, wants};

#[test]
fn a_family_that_eats_too_much_is_restarted_and_that_is_no_crash() {
    if wants("perl", None).is_none() {
        return;
    }
    // Two that eat 40 MB each: only together they are too many. The second run eats nothing.
    let file = |limit: &str| {
        format!(
            r#"
            [services.hungry]
            shell = """
            [ -e {{here}}/ate ] && exec sleep 600
            eat() {{ perl -e 'my $food = "x" x 40_000_000; open F, ">", "{{here}}/ate"; close F; sleep 600'; }}
            eat & eat & wait
            """
            {limit}
            "#
        )
    };
    // Where the kernel does not count for us, who belongs to it is known by descent.
    let system = System::new(&file("")).without_cgroups().up();
    let before = system.service("hungry");
    crate::harness::eventually("eaten", || system.path("ate").exists());

    // Found only now that it must not: a live change.
    system.write(&file("memory_max = \"60MB\""));
    let plan = system.ctl(&["plan"]).out;
    assert!(plan.contains("live") && plan.contains("memory_max"), "{plan}");
    system.ctl(&["apply"]).succeeded();
    assert_eq!(system.service("hungry").pid(), before.pid(), "nothing but memory restarts it");
    let after = system.until_restarted(&before);
    assert_eq!((after.number("restarts"), after.number("streak")), (1, 0), "{}", system.story());
    let why = system.why("hungry");
    let told = why.iter().any(|line| line.contains(" over memory_max 60 MB"));
    assert!(told && why.last().is_some_and(|line| line.contains("ready after")), "{why:#?}");
}
