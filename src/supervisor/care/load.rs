//! Apps that scale themselves: their load goes to the core, and what it makes of it is put into words.

use std::collections::BTreeMap;

use supd_api::{AutoscaleView, Fault, FaultCode};
use supd_core::{AppName, Autoscale, Bytes, Event, Finding, Hold, Load, Millicpu};

use crate::supervisor::care::figures::{Loads, spoken};
use crate::supervisor::turn::Shell;

impl Shell {
    /// One app after another: what the new workers of one will use is not available to the next.
    pub(crate) fn on_loads(&mut self, loads: Loads) {
        let Loads { runs, mut available } = loads;
        let mut by_app: BTreeMap<AppName, Vec<Load>> = BTreeMap::new();
        for load in runs {
            if let Some((app, ..)) = self.core.run(load.run) {
                by_app.entry(app.clone()).or_default().push(load);
            }
        }
        for (app, runs) in by_app {
            let before = self.worker_count(&app);
            let mean = runs.iter().map(|load| load.memory.0).sum::<u64>() / runs.len().max(1) as u64;
            self.turn(Event::Load { app: app.clone(), runs, available });
            let more = u64::from(self.worker_count(&app).saturating_sub(before));
            available = available.map(|bytes| Bytes(bytes.0.saturating_sub(mean.saturating_mul(more))));
        }
    }

    fn worker_count(&self, app: &AppName) -> u32 {
        self.core.scaling(app).map_or(0, |scaling| scaling.count)
    }

    /// How an app scales itself, if it does.
    pub(crate) fn autoscale_view(&self, app: &AppName) -> Option<AutoscaleView> {
        let scaling = self.core.scaling(app)?;
        let finding = scaling.finding;
        Some(AutoscaleView {
            min: scaling.rules.min,
            max: scaling.rules.max,
            workers: scaling.count,
            since: scaling.since.0,
            cpu: finding.and_then(|it| it.cpu?.mean).map(percent),
            memory: finding.and_then(|it| it.memory?.mean).map(|bytes| bytes.0),
            wanted: finding.and_then(|it| it.wanted),
            held: scaling.hold.map(held),
        })
    }
}

impl Shell {
    /// What was said by hand would not last beyond the bounds of an app that scales itself.
    pub(crate) fn refuse_beyond_bounds(&self, app: &AppName, count: u32) -> Result<(), Fault> {
        let Some(Autoscale { min, max, .. }) = self.core.scaling(app).map(|scaling| scaling.rules) else {
            return Ok(());
        };
        if (*min..=*max).contains(&count) {
            return Ok(());
        }
        let message = format!("{count} workers; {app} scales itself between {min} and {max}");
        Err(Fault::new(FaultCode::Invalid, message)
            .hint("change `min` and `max` of its `autoscale`, then `supctl apply` it"))
    }
}

fn percent(share: Millicpu) -> f64 {
    share.0 as f64 / 10.0
}

/// `scaled 2 → 4: cpu 91 % of one processor, target 60 %`
pub(crate) fn scaled(from: u32, to: u32, finding: &Finding) -> String {
    let but = finding.hold.map(|hold| format!("; {}{}", wanted(finding), held(hold))).unwrap_or_default();
    format!("scaled {from} → {to}: {}{but}", load(finding))
}

/// `6 wanted, held at 4: no more are allowed (max); cpu 91 % of one processor, target 60 %`
pub(crate) fn scaling_held(at: u32, finding: &Finding) -> String {
    let why = finding.hold.map(held).unwrap_or_default();
    format!("{}held at {at}: {why}; {}", wanted(finding), load(finding))
}

fn wanted(finding: &Finding) -> String {
    finding.wanted.map(|wanted| format!("{wanted} wanted, ")).unwrap_or_default()
}

/// What a worker uses in the mean.
fn load(finding: &Finding) -> String {
    let mut parts = Vec::new();
    if let Some(cpu) = finding.cpu {
        let mean =
            cpu.mean.map_or("unknown".to_owned(), |mean| format!("{:.0} % of one processor", percent(mean)));
        parts.push(format!("cpu {mean}, target {:.0} %", percent(cpu.target)));
    }
    if let Some(memory) = finding.memory {
        let mean = memory.mean.map_or("unknown".to_owned(), |mean| spoken(mean.0));
        parts.push(format!("memory {mean}, target {}", spoken(memory.target.0)));
    }
    parts.join("; ")
}

fn held(hold: Hold) -> String {
    match hold {
        Hold::Maximum => "no more are allowed (max)".to_owned(),
        Hold::Minimum => "no fewer are allowed (min)".to_owned(),
        Hold::Memory { available, worker } => format!(
            "the machine has {} of memory available, and a worker uses {}",
            spoken(available.0),
            spoken(worker.0)
        ),
        Hold::Step => "the others come in the next step".to_owned(),
        Hold::Window => "more were needed not long ago (stabilization)".to_owned(),
        Hold::Unknown => "not enough is known of its load yet".to_owned(),
        Hold::Rollout => "it waits for the end of a reload".to_owned(),
        Hold::Stopped => "nothing is decided while a worker is stopped".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use supd_core::Figure;

    use super::*;

    #[test]
    fn in_words() {
        let mut finding = Finding {
            cpu: Some(Figure { mean: Some(Millicpu(912)), target: Millicpu(600) }),
            memory: None,
            wanted: Some(4),
            hold: None,
        };
        assert_eq!(scaled(2, 4, &finding), "scaled 2 → 4: cpu 91 % of one processor, target 60 %");
        finding.hold = Some(Hold::Memory { available: Bytes(100 << 20), worker: Bytes(300 << 20) });
        finding.memory = Some(Figure { mean: None, target: Bytes(200 << 20) });
        assert_eq!(
            scaling_held(3, &finding),
            "4 wanted, held at 3: the machine has 100.0mb of memory available, and a worker uses 300.0mb; \
             cpu 91 % of one processor, target 60 %; memory unknown, target 200.0mb"
        );
        finding = Finding { hold: Some(Hold::Minimum), wanted: None, memory: None, ..finding };
        assert_eq!(
            scaled(1, 2, &finding),
            "scaled 1 → 2: cpu 91 % of one processor, target 60 %; no fewer are allowed (min)"
        );
    }
}
