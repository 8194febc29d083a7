// Inputs for the targets: those of the corpus, bred and spoiled. The same seed gives the same inputs.

use std::io::Write as _;
use std::path::Path;

/// Longest input.
const LONGEST: usize = 4096;

/// Small numbers that are often wrong, and pieces that these formats are made of.
const PIECES: [&[u8]; 28] = [
    b"\0",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\n",
    b"\r\n",
    b"\"",
    b"'",
    b"{",
    b"}",
    b"[[",
    b"]",
    b"=",
    b" = ",
    b"${",
    b"$$",
    b"18446744073709551615",
    b"-9223372036854775808",
    b"1e308",
    b"null",
    b"\xf0\x9f\xa6\x80",
    b"\xc3",
    b"../",
    b"services.",
    b"depends_on = [\"a\"]",
    b"1s",
    b"50MB",
    b"\x1b[2J",
    b":0",
];

/// Where chance comes from (xorshift).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() >> 16).unwrap_or(0) % most.max(1)
    }
}

/// What the corpus has for a target.
pub(crate) fn corpus(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let inputs: Vec<_> = paths.iter().map(|path| std::fs::read(path).expect("can be read")).collect();
    assert!(!inputs.is_empty(), "{}: has no inputs", folder.display());
    inputs
}

/// Feeds so many inputs to a target; says which one it was at, if it panics.
pub(crate) fn feed(name: &str, inputs: &[Vec<u8>], count: u64, seed: u64, target: impl Fn(&[u8])) {
    struct At<'a>(&'a str, &'a [u8]);
    impl Drop for At<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                let words = String::from_utf8_lossy(self.1);
                // The panic itself comes first; nobody reading this is no reason to fail differently.
                let _ = writeln!(std::io::stderr(), "{} at {words:?}, as bytes {:?}", self.0, self.1);
            }
        }
    }
    let run = |input: &[u8]| {
        let _at = At(name, input);
        target(input);
    };
    for input in inputs {
        run(input);
    }
    let mut chance = Chance::new(seed);
    for _ in 0..count {
        run(&spoiled(inputs, &mut chance));
    }
}

fn spoiled(inputs: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut input = inputs[chance.below(inputs.len())].clone();
    for _ in 0..=chance.below(6) {
        let at = chance.below(input.len() + 1);
        let end = (at + chance.below(16)).min(input.len());
        match chance.below(9) {
            0 if at < input.len() => input[at] ^= 1 << chance.below(8),
            1 if at < input.len() => input[at] = u8::try_from(chance.below(256)).unwrap_or(0),
            2 => drop(input.drain(at..end)),
            3 => {
                let copy = input[at..end].to_vec();
                let to = chance.below(input.len() + 1);
                input.splice(to..to, copy);
            }
            4 => input.truncate(at),
            5 | 6 => {
                let piece = PIECES[chance.below(PIECES.len())];
                input.splice(at..at, piece.iter().copied());
            }
            7 => {
                // The rest of another one.
                let other = &inputs[chance.below(inputs.len())];
                input.truncate(at);
                input.extend_from_slice(&other[chance.below(other.len() + 1)..]);
            }
            _ => {
                let byte = u8::try_from(chance.below(256)).unwrap_or(0);
                let again = chance.below(40);
                input.splice(at..at, std::iter::repeat_n(byte, again));
            }
        }
    }
    input.truncate(LONGEST);
    input
}

/// Feeds the corpus of a target, and inputs bred of it, to `target`, which is told its name.
pub(crate) fn fed(name: &str, quick: u64, target: impl Fn(&str, &[u8])) {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let corpora = above.find_map(|folder| Some(folder.join("fuzz/corpus")).filter(|folder| folder.is_dir()));
    let folder = corpora.expect("crates lie in the tree").join(name);
    feed(name, &corpus(&folder), count(quick), 7, |bytes| target(name, bytes));
}

/// How many inputs: as many as the test needs to be quick, or as `SERENO_FUZZ` says.
fn count(quick: u64) -> u64 {
    std::env::var("SERENO_FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(quick)
}
