//! Evaluates an HTTP answer. Pure: status and body go in, the reason of a failure comes out.

use proto::v1;
use regex::bytes::Regex;
use serde_json::Value;
use sereno_monitor::TargetError;

/// Conditions for a good answer.
#[derive(Debug)]
pub(crate) struct Expect {
    status: Vec<(u32, u32)>,
    body: Option<Regex>,
    json: Vec<(String, Value)>,
}

/// Accepted status codes if none are configured.
const DEFAULT_STATUS: (u32, u32) = (200, 399);

/// Why an answer is not good.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Mismatch {
    #[error("status is not expected")]
    Status,
    #[error("body does not match {0:?}")]
    Body(String),
    #[error("body is too long to be read as JSON")]
    TooLong,
    #[error("body is no JSON")]
    NoJson,
    /// A member of the body has another value.
    #[error("{0} is {1}, not {2}")]
    Member(String, Value, Value),
    #[error("{0} is missing, not {1}")]
    Missing(String, Value),
}

impl Expect {
    pub(crate) fn new(spec: &v1::HttpCheck) -> Result<Self, TargetError> {
        let mut status: Vec<_> = spec.expect_status.iter().map(|range| (range.from, range.to)).collect();
        if let Some((from, to)) = status.iter().find(|(from, to)| from > to || *from < 100 || *to > 999) {
            return Err(TargetError::new(
                "http.expect_status",
                format!("{from}-{to} is no range of status codes"),
            ));
        }
        if status.is_empty() {
            status.push(DEFAULT_STATUS);
        }
        let body = match spec.expect_body.as_str() {
            "" => None,
            pattern => Some(Regex::new(pattern).map_err(|error| {
                TargetError::new("http.expect_body", format!("{pattern:?} is no regular expression: {error}"))
            })?),
        };
        let mut json = Vec::new();
        for (path, text) in &spec.expect_json {
            let value = serde_json::from_str(text).map_err(|error| {
                TargetError::new("http.expect_json", format!("{path} = {text:?} is no JSON: {error}"))
            })?;
            json.push((path.clone(), value));
        }
        json.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Self { status, body, json })
    }

    /// Returns why an answer is not good. `cut` means that the body was longer than what was read of it.
    pub(crate) fn judge(&self, status: u16, body: &[u8], cut: bool) -> Result<(), Mismatch> {
        let status = u32::from(status);
        if !self.status.iter().any(|(from, to)| (*from..=*to).contains(&status)) {
            return Err(Mismatch::Status);
        }
        if let Some(pattern) = self.body.as_ref().filter(|pattern| !pattern.is_match(body)) {
            return Err(Mismatch::Body(pattern.to_string()));
        }
        if self.json.is_empty() {
            return Ok(());
        }
        if cut {
            return Err(Mismatch::TooLong);
        }
        let answer: Value = serde_json::from_slice(body).map_err(|_| Mismatch::NoJson)?;
        for (path, wanted) in &self.json {
            match member(&answer, path) {
                Some(got) if same(got, wanted) => {}
                Some(got) => return Err(Mismatch::Member(path.clone(), got.clone(), wanted.clone())),
                None => return Err(Mismatch::Missing(path.clone(), wanted.clone())),
            }
        }
        Ok(())
    }
}

/// Returns the member at a dotted path; a number is an array index. Also finds a member whose own name contains dots.
fn member<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if let Some(found) = step(value, path) {
        return Some(found);
    }
    path.match_indices('.').find_map(|(dot, _)| member(step(value, &path[..dot])?, &path[dot + 1..]))
}

fn step<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(members) => members.get(name),
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => None,
    }
}

/// Whether two values are equal as JSON: `1` and `1.0` are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || (a.is_f64() != b.is_f64() && a.as_f64() == b.as_f64())
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expect(status: &[(u32, u32)], body: &str, json: &[(&str, &str)]) -> Result<Expect, TargetError> {
        Expect::new(&v1::HttpCheck {
            expect_status: status.iter().map(|(from, to)| v1::StatusRange { from: *from, to: *to }).collect(),
            expect_body: body.into(),
            expect_json: json.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect(),
            ..v1::HttpCheck::default()
        })
    }

    #[test]
    fn status_by_ranges() {
        let usual = expect(&[], "", &[]).expect("good");
        for (status, good) in
            [(199, false), (200, true), (301, true), (399, true), (400, false), (503, false)]
        {
            assert_eq!(usual.judge(status, b"", false).is_ok(), good, "{status}");
        }
        let own = expect(&[(200, 200), (418, 420)], "", &[]).expect("good");
        for (status, good) in [(200, true), (201, false), (418, true), (420, true), (421, false)] {
            assert_eq!(own.judge(status, b"", false).is_ok(), good, "{status}");
        }
    }

    #[test]
    fn body_and_json() {
        let body = br#"{"status":"ok","n":1,"db":{"up":true,"lag.ms":3},"list":[{"a":1}],"s":"1"}"#;
        for (json, why) in [
            (("status", r#""ok""#), None),
            (("status", r#""healthy""#), Some(r#"status is "ok", not "healthy""#)),
            (("n", "1.0"), None),
            (("n", r#""1""#), Some(r#"n is 1, not "1""#)),
            (("s", "1"), Some(r#"s is "1", not 1"#)),
            (("db.up", "true"), None),
            (("db.lag.ms", "3"), None),
            (("db", r#"{"lag.ms":3.0,"up":true}"#), None),
            (("db.up.x", "true"), Some("db.up.x is missing, not true")),
            (("list.0.a", "1"), None),
            (("list.1.a", "1"), Some("list.1.a is missing, not 1")),
            (("", "1"), Some(" is missing, not 1")),
        ] {
            let got = expect(&[], "", &[json]).expect("good").judge(200, body, false);
            assert_eq!(got.err().map(|error| error.to_string()).as_deref(), why, "{json:?}");
        }
        let json = expect(&[], "", &[("a", "1")]).expect("good");
        let why =
            |expect: &Expect, body: &[u8], cut| expect.judge(200, body, cut).expect_err("bad").to_string();
        assert_eq!(why(&json, b"<html>", false), "body is no JSON");
        assert_eq!(why(&json, b"{\"a\":1", true), "body is too long to be read as JSON");
        let pattern = expect(&[], "^ok$", &[]).expect("good");
        assert!(pattern.judge(200, b"ok", false).is_ok());
        assert_eq!(why(&pattern, b"no\xff", false), "body does not match \"^ok$\"");
    }

    #[test]
    fn what_can_not_be_expected_names_its_field() {
        for (made, field) in [
            (expect(&[(300, 200)], "", &[]), "http.expect_status: "),
            (expect(&[(0, 200)], "", &[]), "http.expect_status: "),
            (expect(&[], "(", &[]), "http.expect_body: "),
            (expect(&[], "", &[("a", "ok")]), "http.expect_json: "),
        ] {
            let error = made.expect_err("refused").to_string();
            assert!(error.starts_with(field), "{error}");
        }
    }
}
