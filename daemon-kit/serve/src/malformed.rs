//! Explains in words why a malformed call is reset. Clients in some languages send the percent-encoded path
//! of a Unix socket as `:authority`, and the HTTP/2 library resets such a call before our code sees it: a
//! person would only read `RST_STREAM (error code 1)`. This module watches the outgoing bytes and replaces
//! such a reset by a gRPC status.

use std::collections::BTreeSet;

/// Length of a frame header: length, type, flags, stream.
const HEADER: usize = 9;
/// Length of a whole `RST_STREAM`: its header and an error code.
const RESET: usize = HEADER + 4;

const HEADERS_FRAME: u8 = 1;
const RESET_FRAME: u8 = 3;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PROTOCOL_ERROR: [u8; 4] = [0, 0, 0, 1];
const NO_ERROR: [u8; 4] = [0, 0, 0, 0];

const WHY: &str = "malformed call: on a Unix socket its authority must be localhost (Python: grpc.default_authority; \
                   grpcurl: -authority)";

/// Parses the frames that a server sends over one connection.
#[derive(Debug, Default)]
pub(super) struct Explainer {
    /// Bytes of the current frame's header that were sent so far.
    header: Vec<u8>,
    /// Number of bytes of the current frame that are still to be sent.
    payload: usize,
    /// Open streams that have been answered.
    answered: BTreeSet<u32>,
}

/// What to do with the next bytes to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send the first number of bytes unchanged; the second number of bytes follows in the same way.
    Pass(usize, usize),
    /// Send these bytes in place of the first [`RESET`] bytes.
    Replace(Vec<u8>),
}

impl Explainer {
    /// Examines the next bytes to send.
    pub(super) fn next(&self, bytes: &[u8]) -> Step {
        // Covers the rest of the current frame, and all frames up to one that must be replaced.
        let missing = (HEADER - self.header.len()) % HEADER;
        let Some(rest) = bytes.get(..missing) else { return Step::Pass(bytes.len(), 0) };
        let mut at = match &self.header[..] {
            [] => self.payload,
            begun => missing + length(&[begun, rest].concat()),
        };
        while let Some(frame) = bytes.get(at..at + HEADER) {
            if let Some(stream) = self.is_unexplained(&bytes[at..]) {
                return if at == 0 { Step::Replace(explained(stream)) } else { Step::Pass(at, 0) };
            }
            at += HEADER + length(frame);
        }
        Step::Pass(bytes.len(), at.saturating_sub(bytes.len()))
    }

    /// Notes that these bytes were sent unchanged.
    pub(super) fn sent(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let rest = self.payload.min(bytes.len());
            self.payload -= rest;
            bytes = &bytes[rest..];
            let missing = (HEADER - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.header.len() == HEADER {
                self.begin_frame();
            }
        }
    }

    fn begin_frame(&mut self) {
        let header = std::mem::take(&mut self.header);
        self.payload = length(&header);
        let (kind, flags, stream) = (header[3], header[4], stream(&header));
        // This flag ends a stream in DATA and HEADERS frames; both come after the first HEADERS.
        if kind == RESET_FRAME || (kind <= HEADERS_FRAME && flags & END_STREAM != 0) {
            self.answered.remove(&stream);
        } else if kind == HEADERS_FRAME {
            self.answered.insert(stream);
        }
    }

    fn is_unexplained(&self, bytes: &[u8]) -> Option<u32> {
        let frame = bytes.get(..RESET)?;
        let stream = stream(frame);
        let resets = frame[3] == RESET_FRAME && frame[HEADER..] == PROTOCOL_ERROR;
        (resets && !self.answered.contains(&stream)).then_some(stream)
    }
}

/// Number of bytes that a replacement stands for.
pub(super) const REPLACED: usize = RESET;

fn length(header: &[u8]) -> usize {
    header[..3].iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
}

fn stream(header: &[u8]) -> u32 {
    u32::from_be_bytes([header[5] & 0x7f, header[6], header[7], header[8]])
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("it is short").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Builds an answer without a message: `INVALID_ARGUMENT` with the reason. Its header fields are literals
/// that are never indexed, so the header tables of both sides do not change.
fn explained(stream: u32) -> Vec<u8> {
    const STATUS_200: u8 = 0x88;
    const CONTENT_TYPE: [u8; 2] = [0x0f, 31 - 15];
    const NEW_NAME: u8 = 0;
    let text = |text: &str| {
        // A text shorter than 127 bytes has a length of one byte.
        let mut bytes = vec![u8::try_from(text.len()).expect("it is short")];
        bytes.extend(text.as_bytes());
        bytes
    };
    let mut fields = vec![STATUS_200];
    fields.extend(CONTENT_TYPE);
    fields.extend(text("application/grpc"));
    for (name, value) in [("grpc-status", "3"), ("grpc-message", WHY)] {
        fields.push(NEW_NAME);
        fields.extend(text(name));
        fields.extend(text(value));
    }
    let mut bytes = frame(HEADERS_FRAME, END_STREAM | END_HEADERS, stream, &fields);
    bytes.extend(frame(RESET_FRAME, 0, stream, &NO_ERROR));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reset(stream: u32, code: [u8; 4]) -> Vec<u8> {
        frame(RESET_FRAME, 0, stream, &code)
    }

    /// Returns all outgoing bytes, processed in pieces of `at_once` bytes.
    fn through(bytes: &[u8], at_once: usize) -> Vec<u8> {
        let (mut explainer, mut out, mut at) = (Explainer::default(), Vec::new(), 0);
        while at < bytes.len() {
            match explainer.next(&bytes[at..]) {
                Step::Replace(with) => {
                    out.extend(with);
                    at += REPLACED;
                }
                Step::Pass(count, _) => {
                    let count = count.min(at_once);
                    explainer.sent(&bytes[at..at + count]);
                    out.extend(&bytes[at..at + count]);
                    at += count;
                }
            }
        }
        out
    }

    #[test]
    fn only_a_reset_of_a_call_that_had_no_answer_is_explained() {
        let mut bytes = frame(4, 0, 0, &[0; 12]);
        bytes.extend(frame(HEADERS_FRAME, END_HEADERS, 1, b"fields"));
        bytes.extend(reset(1, PROTOCOL_ERROR));
        bytes.extend(frame(0, 0, 3, &reset(9, PROTOCOL_ERROR)));
        bytes.extend(reset(5, [0, 0, 0, 8]));
        for at_once in [1, 5, 13, 1_000] {
            assert_eq!(through(&bytes, at_once), bytes, "{at_once}");
        }
        let mut more = bytes.clone();
        more.extend(reset(7, PROTOCOL_ERROR));
        more.extend(frame(0, 0, 3, b"data"));
        let mut expected = bytes;
        expected.extend(explained(7));
        expected.extend(frame(0, 0, 3, b"data"));
        for at_once in [1, 5, 13, 1_000] {
            assert_eq!(through(&more, at_once), expected, "{at_once}");
        }
        assert!(WHY.len() < 127 && !WHY.contains('%'));
    }
}
