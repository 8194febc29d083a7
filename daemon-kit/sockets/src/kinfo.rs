//! Pure: parses macOS's data about one process (`struct kinfo_proc`, `KERN_PROCARGS2`). Both layouts are
//! unchanged since the first 64-bit macOS.

/// Length of `struct kinfo_proc`, and the offsets of pid, parent and group.
const LENGTH: usize = 648;
const PID: usize = 40;
const PARENT: usize = 560;
const GROUP: usize = 564;

/// Returns parent and group of the requested process.
pub(super) fn relatives(bytes: &[u8], pid: u32) -> Option<(u32, u32)> {
    let bytes = bytes.get(..LENGTH)?;
    (u32_at(bytes, PID)? == pid).then_some(())?;
    Some((u32_at(bytes, PARENT)?, u32_at(bytes, GROUP)?))
}

/// Returns the command in one line, and the value of a variable. The layout is: number of arguments, the
/// program, zeros, then arguments and environment, each terminated by a zero.
pub(super) fn command_and(bytes: &[u8], variable: &str) -> (String, Option<String>) {
    let count = u32_at(bytes, 0).and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    let rest = bytes.get(4..).unwrap_or_default();
    let program = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let rest = &rest[program..];
    let begin = rest.iter().position(|byte| *byte != 0).unwrap_or(rest.len());
    let mut texts = rest[begin..].split(|byte| *byte == 0);
    let arguments: Vec<_> = texts.by_ref().take(count).map(String::from_utf8_lossy).collect();
    let mut environment = texts.take_while(|text| !text.is_empty());
    let value = environment
        .find_map(|entry| entry.strip_prefix(variable.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec));
    (arguments.join(" "), value.and_then(|value| String::from_utf8(value).ok()))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relatives_of_the_right_process() {
        let mut bytes = vec![0; LENGTH];
        for (at, number) in [(PID, 812_u32), (PARENT, 700), (GROUP, 811)] {
            bytes[at..at + 4].copy_from_slice(&number.to_ne_bytes());
        }
        assert_eq!(relatives(&bytes, 812), Some((700, 811)));
        assert_eq!(relatives(&bytes, 813), None, "another");
        assert_eq!(relatives(&bytes[..LENGTH - 1], 812), None, "not whole");
    }

    #[test]
    fn a_command_and_its_environment_are_told_apart() {
        let bytes = [&2_u32.to_ne_bytes()[..], b"/bin/x\0\0\0x\0-v\0A=1\0AB=2\0\0AC=3\0"].concat();
        assert_eq!(command_and(&bytes, "AB"), ("x -v".into(), Some("2".into())));
        assert_eq!(command_and(&bytes, "AC").1, None, "behind the environment");
        for cut in 0..bytes.len() {
            let _ = command_and(&bytes[..cut], "AB");
        }
        assert_eq!(command_and(&[255; 64], "AB").1, None);
    }
}
