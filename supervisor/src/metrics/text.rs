//! Prometheus's text format.

use std::fmt::Write as _;

use super::families::Family;

/// Name and value of each label.
pub(super) type Labels<'a> = Vec<(&'static str, &'a str)>;

/// A page that is being written.
#[derive(Debug, Default)]
pub(super) struct Text(pub(super) String);

impl Text {
    /// Writes a metric with all its samples; a metric without samples is left out.
    pub(super) fn family<'a>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        let Family { name, kind, help } = family;
        for (number, (labels, value)) in samples.into_iter().enumerate() {
            if number == 0 {
                let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
            }
            self.0.push_str(name);
            for (at, (label, value)) in labels.iter().enumerate() {
                self.0.push(if at == 0 { '{' } else { ',' });
                let _ = write!(self.0, "{label}=\"");
                self.escaped(value);
                self.0.push('"');
            }
            let close = if labels.is_empty() { "" } else { "}" };
            let _ = writeln!(self.0, "{close} {value}");
        }
    }

    fn escaped(&mut self, value: &str) {
        for letter in value.chars() {
            match letter {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                other => self.0.push(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_what_has_no_samples_is_not_named() {
        let family = Family { name: "a_total", kind: "counter", help: "What." };
        let mut text = Text::default();
        text.family(&family, []);
        assert_eq!(text.0, "");
        text.family(&family, [(vec![("x", "a\"b\\c\nd"), ("y", "")], 0.5), (vec![], 2.0)]);
        let lines: Vec<&str> = text.0.lines().collect();
        assert_eq!(
            lines,
            [
                "# HELP a_total What.",
                "# TYPE a_total counter",
                r#"a_total{x="a\"b\\c\nd",y=""} 0.5"#,
                "a_total 2"
            ]
        );
    }
}
