//! From the fields about output to their policy.
//!
//! Question answered here: *where does output go, and what does it look like there?*

use serde_json::Value;
use supd_api::{DeclaredRotation, ExecMode, LogForm, LogPolicy, LogTarget, OnFull, RotationField};

use super::paths::Places;
use super::problem::{Place, Report, shown};
use super::read::App;
use super::resolve::flag;
use super::validate::check_rotation;
use super::value::{Compress, Full, Keep, LogFile, LogType, Schedule, Sink, Size, Text};

/// What PM2 makes of `time: true`.
const TIME: &str = "YYYY-MM-DDTHH:mm:ss";

/// The policy with every default filled in.
pub(super) fn logs(app: &App, places: &Places, report: &mut Report) -> LogPolicy {
    let fields = &app.fields;
    let combined = fields.log_file.as_ref().and_then(|LogFile(file)| file.as_ref());
    let name = |text: &Option<Text>| text.as_ref().map(|Text(text)| text.clone());
    let given = [
        ("out_file", name(&fields.out_file).map(Some), LogTarget::Default),
        ("error_file", name(&fields.error_file).map(Some), LogTarget::Default),
        ("log_file", combined.cloned(), LogTarget::Discard),
    ];
    let off = flag(&fields.disable_logs, false);
    let [out_file, error_file, log_file] = given.map(|(field, given, default)| match given {
        Some(_) if off => {
            report.warning(&app.at(field), "the field has no effect with `disable_logs`", None);
            LogTarget::Discard
        }
        None if off => LogTarget::Discard,
        None => default,
        Some(None) => LogTarget::Default,
        Some(Some(text)) => file(&text, &app.at(field), places, report),
    });
    // PM2's rule: one worker by declaration, not by number.
    let alone = fields.instances.is_none()
        && fields.autoscale.is_none()
        && fields.exec_mode.as_ref().is_none_or(|mode| mode.0 == ExecMode::Fork);
    let merge_logs = flag(&fields.merge_logs, alone);
    let sink = fields.log_sink.as_ref().and_then(|Sink(sink)| *sink);
    let on_full = fields.on_full.as_ref().map_or_else(OnFull::default, |Full(on_full)| *on_full);
    let (form, rotation) = (form(app), rotation(app));
    LogPolicy { out_file, error_file, log_file, merge_logs, form, rotation, on_full, sink }
}

fn form(app: &App) -> LogForm {
    let fields = &app.fields;
    let format = fields.log_date_format.as_ref().map(|Text(format)| format.clone());
    let format = format.filter(|format| !format.is_empty());
    let format = format.or_else(|| flag(&fields.time, false).then(|| TIME.to_owned()));
    match (&fields.log_type, format) {
        (Some(LogType(true)), format) => LogForm::Json(format),
        (Some(LogType(false)) | None, Some(format)) => LogForm::Dated(format),
        (Some(LogType(false)) | None, None) => LogForm::Plain,
    }
}

fn rotation(app: &App) -> DeclaredRotation {
    let fields = &app.fields;
    DeclaredRotation {
        size: fields.rotate_size.as_ref().map(|Size(size)| *size),
        interval: fields.rotate_interval.as_ref().map(|Schedule(interval)| interval.clone()),
        keep: fields.keep.as_ref().map(|Keep(keep)| *keep),
        keep_days: fields.keep_days.as_ref().map(|Keep(days)| *days),
        max_total: fields.max_total.as_ref().map(|Size(size)| *size),
        min_free: fields.min_free.as_ref().map(|Size(size)| *size),
        compress: fields.compress.as_ref().map(|Compress(compression)| *compression),
        date_format: fields.rotate_date_format.as_ref().map(|Text(format)| format.clone()),
        time_zone: None,
    }
}

/// One member from a text, as the field that stands for it takes it.
pub(super) fn rotation_field(field: RotationField, text: &str) -> Result<DeclaredRotation, String> {
    let (value, nothing) = (Value::from(text), DeclaredRotation::default());
    let declared = match field {
        RotationField::Size => DeclaredRotation { size: Some(Size::try_from(value)?.0), ..nothing },
        RotationField::Interval => {
            DeclaredRotation { interval: Some(Schedule::try_from(value)?.0), ..nothing }
        }
        RotationField::Keep => DeclaredRotation { keep: Some(Keep::try_from(value)?.0), ..nothing },
        RotationField::KeepDays => DeclaredRotation { keep_days: Some(Keep::try_from(value)?.0), ..nothing },
        RotationField::MaxTotal => DeclaredRotation { max_total: Some(Size::try_from(value)?.0), ..nothing },
        RotationField::MinFree => DeclaredRotation { min_free: Some(Size::try_from(value)?.0), ..nothing },
        RotationField::Compress => {
            DeclaredRotation { compress: Some(Compress::try_from(value)?.0), ..nothing }
        }
        RotationField::DateFormat => {
            DeclaredRotation { date_format: Some(Text::try_from(value)?.0), ..nothing }
        }
        RotationField::TimeZone => DeclaredRotation { time_zone: Some(Some(text.to_owned())), ..nothing },
    };
    match check_rotation(&declared).into_iter().next() {
        Some((_, problem)) => Err(problem),
        None => Ok(declared),
    }
}

fn file(text: &str, at: &Place, places: &Places, report: &mut Report) -> LogTarget {
    if matches!(text, "NULL" | "/dev/null") {
        return LogTarget::Discard;
    }
    let file = places.absolute(text);
    if text.is_empty() || text.ends_with('/') || file.is_dir() {
        let message =
            format!("expected a file for the log, found the directory {}", shown(&file.to_string_lossy()));
        report.problem(at, message, None);
    }
    LogTarget::File(file)
}
