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
        for (number, (labels, value)) in samples.into_iter().enumerate() {
            if number == 0 {
                self.head(family);
            }
            self.sample(family.name, "", &labels, value);
        }
    }

    /// Writes a histogram: each upper bound with the number of values up to it, then the sum and the number of all.
    pub(super) fn histogram(
        &mut self,
        family: &Family,
        buckets: impl IntoIterator<Item = (f64, f64)>,
        (sum, count): (f64, f64),
    ) {
        self.head(family);
        for (bound, so_far) in buckets {
            self.sample(family.name, "_bucket", &[("le", &bound.to_string())], so_far);
        }
        self.sample(family.name, "_bucket", &[("le", "+Inf")], count);
        self.sample(family.name, "_sum", &[], sum);
        self.sample(family.name, "_count", &[], count);
    }

    fn head(&mut self, family: &Family) {
        let Family { name, kind, help } = family;
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        self.0.push_str(suffix);
        for (at, (label, value)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            self.escaped(value);
            self.0.push('"');
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }

    fn escaped(&mut self, value: &str) {
        if !value.contains(['\\', '"', '\n']) {
            return self.0.push_str(value);
        }
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

    #[test]
    fn a_histogram_ends_with_all_its_values() {
        let family = Family { name: "a_seconds", kind: "histogram", help: "What." };
        let mut text = Text::default();
        text.histogram(&family, [(0.025, 1.0), (60.0, 2.0)], (61.5, 3.0));
        let lines: Vec<&str> = text.0.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "# TYPE a_seconds histogram",
                r#"a_seconds_bucket{le="0.025"} 1"#,
                r#"a_seconds_bucket{le="60"} 2"#,
                r#"a_seconds_bucket{le="+Inf"} 3"#,
                "a_seconds_sum 61.5",
                "a_seconds_count 3"
            ]
        );
    }
}
