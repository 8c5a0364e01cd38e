//! env: what a worker sees, and who set it.

use supd_api::{EnvironmentView, Fault, FaultCode, Layer};

use crate::ctl::output::Failure;
use crate::ctl::{Session, cells};

/// `env`. Without a terminal plain `NAME=value` lines, as env(1) prints them.
pub(crate) async fn env(target: String, session: &mut Session) -> Result<(), Failure> {
    let workers = session.client.workers(std::slice::from_ref(&target)).await?;
    let Some(worker) = workers.first() else {
        return Err(Fault::new(FaultCode::NotFound, format!("`{target}` has no worker")).into());
    };
    let view: EnvironmentView = session.client.get(&format!("/v1/workers/{}/env", worker.id)).await?;
    let output = &mut session.output;
    if output.style.json {
        return Ok(output.json(&view)?);
    }
    let layers: Vec<String> = view.variables.iter().map(|variable| layer(&variable.layer)).collect();
    let width = layers.iter().map(|layer| layer.chars().count()).max().unwrap_or(0);
    for (variable, layer) in view.variables.iter().zip(layers) {
        let (name, value) = (&variable.name, variable.value.reveal());
        if output.style.width.is_some() {
            output.line(format!("{layer:<width$}  {name}={}", cells::harmless(value)))?;
        } else {
            output.line(format!("{name}={value}"))?;
        }
    }
    Ok(())
}

fn layer(layer: &Layer) -> String {
    match layer {
        Layer::Base => "base".to_owned(),
        Layer::Caller => "caller".to_owned(),
        Layer::EnvFile(file) => cells::harmless(&file.display().to_string()),
        Layer::Env => "env".to_owned(),
        Layer::EnvNamed(name) => format!("env_{}", cells::harmless(name)),
        Layer::Setting => "supctl set".to_owned(),
        Layer::Supd => "supd".to_owned(),
    }
}
