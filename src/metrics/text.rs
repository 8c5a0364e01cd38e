//! The two forms of text: OpenMetrics 1.0 and Prometheus' text format 0.0.4.
//!
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md> and
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::fmt::Write;

/// Which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text format 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Form {
    /// The one that a client with this `Accept` reads. Who does not name OpenMetrics gets what everybody reads.
    pub fn accepted(accept: Option<&str>) -> Self {
        let asked = |accept: &str| accept.contains("application/openmetrics-text");
        if accept.is_some_and(asked) { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What kind of figures a family has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up, until it begins anew.
    Counter,
    /// Always 1; the labels are what is told.
    Info,
}

/// Figures of one name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    /// Without the ending that tells the kind (`_total`, `_info`).
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// One sentence without characters that have to be escaped.
    pub(super) help: &'static str,
}

/// A page being written.
pub(super) struct Page {
    form: Form,
    text: String,
    /// Of the present family.
    sample: String,
}

impl Page {
    pub(super) fn new(form: Form) -> Self {
        Self { form, text: String::new(), sample: String::new() }
    }

    /// Begins a family; its samples follow.
    pub(super) fn begin(&mut self, family: &Family) {
        let Family { name, kind, help } = *family;
        let (ending, kind_now) = match (kind, self.form) {
            (Kind::Gauge, _) => ("", "gauge"),
            (Kind::Counter, _) => ("_total", "counter"),
            (Kind::Info, Form::OpenMetrics) => ("_info", "info"),
            (Kind::Info, Form::Prometheus) => ("_info", "gauge"),
        };
        self.sample = format!("{name}{ending}");
        let named = match self.form {
            Form::OpenMetrics => name,
            Form::Prometheus => &self.sample,
        };
        let unit = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit));
        // Writing into a text does not fail.
        let _ = writeln!(self.text, "# HELP {named} {help}\n# TYPE {named} {kind_now}");
        if let (Form::OpenMetrics, Some(unit)) = (self.form, unit) {
            let _ = writeln!(self.text, "# UNIT {named} {unit}");
        }
    }

    /// One figure of the present family.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(&self.sample);
        for (index, (name, text)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            escape(text, &mut self.text);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// The whole page.
    pub(super) fn end(mut self) -> String {
        if self.form == Form::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// As both forms want the value of a label.
fn escape(text: &str, to: &mut String) {
    for letter in text.chars() {
        match letter {
            '\\' => to.push_str("\\\\"),
            '"' => to.push_str("\\\""),
            '\n' => to.push_str("\\n"),
            letter => to.push(letter),
        }
    }
}
