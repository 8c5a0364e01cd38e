//! check: is this declaration right? Nothing is started, no daemon is asked.

use serde_json::{Value, json};
use supd_api::FaultCode;

use crate::config::{self, Problem};
use crate::ctl::args::CheckArgs;
use crate::ctl::declare;
use crate::ctl::output::{Failure, Output};

/// `check`.
pub(crate) fn check(args: &CheckArgs, output: &mut Output) -> Result<(), Failure> {
    if args.schema {
        return Ok(output.json(&config::schema())?);
    }
    let file = match &args.file {
        Some(file) => file.clone(),
        None => declare::default_file()?,
    };
    let (apps, problems, warnings) = match declare::load(&file, &args.selection) {
        Ok(loaded) => (loaded.apps, Vec::new(), loaded.warnings),
        Err(rejected) => (Vec::new(), rejected.problems, Vec::new()),
    };
    let names: Vec<&str> = apps.iter().map(|app| app.name.as_str()).collect();
    if output.style.json {
        output.json(&json!({
            "valid": problems.is_empty(),
            "apps": names,
            "problems": problems.iter().map(shape).collect::<Vec<_>>(),
            "warnings": warnings.iter().map(shape).collect::<Vec<_>>(),
        }))?;
    } else {
        warnings.iter().for_each(|warning| output.warning(&declare::spell(warning)));
        problems.iter().for_each(|problem| output.error(&declare::spell(problem)));
        if problems.is_empty() {
            output.say(format!("{file} is valid: {}", names.join(", ")))?;
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Failure::Told(FaultCode::Invalid)) }
}

fn shape(problem: &Problem) -> Value {
    let Problem { origin, line, path, message, hint } = problem;
    json!({ "origin": origin, "line": line, "path": path, "message": message, "hint": hint })
}
