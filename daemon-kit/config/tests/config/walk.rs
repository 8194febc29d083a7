//! Whatever stands in a file, it is refused or read: nothing panics.

use std::path::Path;

use crate::cases::{FILES, LINES};
use sereno_config::{Env, applied_text, load};

/// Damaged at random, a file is refused or read, but nothing panics.
#[test]
fn nothing_that_stands_in_a_file_makes_the_parser_panic() {
    let mut seeds: Vec<String> = FILES.iter().map(|(text, _)| (*text).to_owned()).collect();
    seeds.extend(LINES.iter().map(|(lines, _)| format!("[services.web]\ncommand = \"web\"\n{lines}")));
    seeds.push("[".repeat(5000));
    seeds.push(format!("a = {}", "[".repeat(5000)));
    seeds.push(format!("{}a = 1", "a.".repeat(5000)));
    let pieces =
        ["\"", "'", "[", "]", "{", "}", "=", ".", "\n", "$", "${", "-", "0", "1e999", "ñ", "\0", "😀", "\\u"];
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below.max(1)).expect("fits")).expect("fits")
    };
    let mut read = 0;
    for round in 0..6000 {
        let seed = &seeds[round % seeds.len()];
        let mut text: Vec<char> = seed.chars().collect();
        for _ in 0..random(4) {
            let at = random(text.len() + 1);
            match random(3) {
                0 => text.truncate(at),
                1 => drop(text.drain(at..(at + random(6)).min(text.len()))),
                _ => drop(text.splice(at..at, pieces[random(pieces.len())].chars())),
            }
        }
        let text: String = text.into_iter().collect();
        match load(Path::new("/srv/sereno.toml"), &text, &Env::new()) {
            Ok(_) => {
                read += 1;
                let applied =
                    applied_text(Path::new("/srv/sereno.toml"), &text, &Env::new()).expect("it was read");
                let again = load(Path::new("/else/applied.toml"), &applied, &Env::new());
                assert!(again.is_ok(), "{text}\n----\n{applied}\n{again:?}");
            }
            Err(problems) => assert!(!problems.is_empty() && !problems.to_string().is_empty(), "{text}"),
        }
    }
    assert!(read > 100, "the walk also meets files that are good: {read}");
}
