//! What services write: any bytes, as many as they like.

use std::io::Read;
use std::process::Stdio;

use crate::harness::{System, eventually, poll};

#[test]
fn any_bytes_come_out_as_they_went_in() {
    // Latin-1, NUL, escape sequences, no newline at the end.
    let system = System::new(
        r#"
        [services.odd]
        shell = "printf 'caf\\351\\000\\033[31m\\377\\n'; printf 'to stderr' >&2; exec sleep 1000"
        "#,
    )
    .up();
    let expected = b"caf\xe9\0\x1b[31m\xff\n";
    eventually("stdout", || system.log("odd.out.log") == expected);
    eventually("stderr", || system.log("odd.err.log") == b"to stderr");
    let output = system.command(&["logs", "odd", "--stdout"]).output().expect("ctl runs");
    assert_eq!(output.stdout, expected);
}

#[test]
fn rotation_loses_no_line_and_cuts_none() {
    let system = System::new(
        r#"
        [services.talker]
        shell = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo \"line $i of a story that is told in many lines\"; done; exec sleep 1000"
        log = { max_size = "100KB", keep = 50, compress = false }
        "#,
    )
    .up();
    let all = || {
        let mut text = Vec::new();
        for number in (1..=50).rev() {
            text.extend(system.log(&format!("talker.out.log.{number}")));
        }
        text.extend(system.log("talker.out.log"));
        String::from_utf8(text).expect("text")
    };
    assert!(poll(|| all().lines().count() >= 20_000), "{} lines", all().lines().count());
    for (number, line) in (1..).zip(all().lines()) {
        assert_eq!(line, format!("line {number} of a story that is told in many lines"));
    }
    assert!(system.path(".sereno/log/talker.out.log.2").exists(), "it was rotated");
    for number in 1..=2 {
        assert!(
            system.log(&format!("talker.out.log.{number}")).ends_with(b"\n"),
            "cut in the middle of a line"
        );
    }
}

#[test]
fn follow_sees_both_streams_over_a_restart() {
    let system = System::new(
        r#"
        [services.web]
        shell = "echo begin $$; echo problem >&2; exec sleep 1000"
        "#,
    )
    .up();
    let mut follow = system.command(&["logs", "-f", "web"]).stdout(Stdio::piped()).spawn().expect("ctl runs");
    let mut stdout = follow.stdout.take().expect("piped");
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut text, mut buffer) = (String::new(), [0; 1024]);
        while let Ok(read @ 1..) = stdout.read(&mut buffer) {
            text.push_str(&String::from_utf8_lossy(&buffer[..read]));
            let _ = sender.send(text.clone());
        }
    });
    let mut seen = String::new();
    let mut shows = |what: &str, times: usize| {
        eventually(what, || {
            while let Ok(text) = lines.try_recv() {
                seen = text;
            }
            seen.matches(what).count() >= times
        });
    };
    shows("begin", 1);
    shows("problem", 1);
    system.ctl(&["restart", "web"]).succeeded();
    shows("begin", 2);
    shows("problem", 2);
    follow.kill().expect("killed");
    follow.wait().expect("gone");
}

#[test]
fn many_services_are_told_apart_and_n_is_kept() {
    let system = System::new(
        r#"
        [services.a]
        shell = "for i in 1 2 3 4 5; do echo a$i; done; exec sleep 1000"
        [services.b]
        shell = "for i in 1 2 3 4 5; do echo b$i; done; exec sleep 1000"
        "#,
    )
    .up();
    eventually("both", || {
        system.log("a.out.log").ends_with(b"a5\n") && system.log("b.out.log").ends_with(b"b5\n")
    });
    let out = system.ctl(&["logs", "-n", "2"]).succeeded().out;
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["a | a4", "a | a5", "b | b4", "b | b5"]);
}

#[test]
fn a_disk_that_is_full_stops_no_service_and_recovers() {
    // A device that is always full stands for the disk: what can not be written is counted, not waited for.
    let system = System::new(
        r#"
        [services.talker]
        shell = "i=0; while [ ! -e {here}/done ]; do i=$((i+1)); echo line $i; done; touch {here}/gone; exec sleep 1000"
        log = { stdout = "{here}/full/talker.log" }
        "#,
    );
    std::fs::write(system.path("full"), "a file where the folder should be").expect("written");
    let system = system.up();
    let dropping =
        system.until("talker", "dropping", |talker| talker.0["log"]["dropped_bytes"].as_u64() > Some(0));
    assert!(dropping.reason().contains("its log can not be written"), "{}", dropping.0);
    std::fs::remove_file(system.path("full")).expect("removed");
    let log = system.path("full/talker.log");
    eventually("it recovered", || log.exists());
    std::fs::write(system.path("done"), "").expect("written");
    eventually("it was never blocked", || system.path("gone").exists());
    eventually("the gap is marked", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains("bytes could not be written here]"))
    });
    system.until("talker", "well", |talker| talker.reason().is_empty());
}

#[test]
fn rotated_and_compressed_files_are_one_log_and_grep_finds_in_all_of_them() {
    let system = System::new(
        r#"
        [services.web]
        shell = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo line $i; [ $((i % 100)) = 0 ] && sleep 0.2; done; exec sleep 1000"
        log = { max_size = "1kB", keep = 50 }
        [services.db]
        shell = "echo line of db; exec sleep 1000"
        "#,
    )
    .up();
    let lines: Vec<String> = (1..=400).map(|line| format!("line {line}\n")).collect();
    let all = lines.concat();
    let read = || system.ctl(&["logs", "-n", "100000", "web"]).succeeded().out;
    eventually("every line is there, once and in order", || read() == all);
    eventually("a file was compressed", || system.path(".sereno/log/web.out.log.2.gz").exists());
    assert_eq!(read(), all, "compressed files are part of it");
    let last = system.ctl(&["logs", "-n", "2", "--grep", "line 1..$", "web"]).succeeded().out;
    assert_eq!(last, "line 198\nline 199\n");
    let both = system.ctl(&["logs", "--since", "1h", "-g", "db|400"]).succeeded().out;
    let mut lines: Vec<&str> = both.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["db  | line of db", "web | line 400"]);
    let wrong = system.ctl(&["logs", "-g", "a(", "web"]);
    assert!(wrong.err.contains("unclosed group"), "{}", wrong.err);
}

#[test]
fn who_follows_sees_a_service_that_comes_later_from_its_first_line_on() {
    let web = "[services.web]\nshell = \"echo from web; exec sleep 1000\"\n";
    let system = System::new(web).up();
    let path = system.path("followed");
    let file = std::fs::File::create(&path).expect("made");
    let mut follower = system.command(&["logs", "-f"]).stdout(file).spawn().expect("ctl runs");
    let seen = |what: &str| std::fs::read_to_string(&path).unwrap_or_default().contains(what);
    eventually("what is there", || seen("from web"));
    system.write(&format!("{web}[services.late]\nshell = \"echo first; echo second; exec sleep 1000\"\n"));
    system.ctl(&["apply"]).succeeded();
    eventually("what comes later", || seen("late | first\nlate | second\n"));
    follower.kill().expect("it runs");
    follower.wait().expect("it ends");
}
