//! A run that does its work, but has grown too large: it is replaced when its turn has come, and serves until then.

use serde::{Deserialize, Serialize};

use crate::clock::Mono;
use crate::event::What;
use crate::id::RunId;
use crate::phase::Phase;
use crate::restart::{Life, Streak};
use crate::seat::{About, Manner, Rest, Run, Seat, Turn, Wish};

/// That a run is too large.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Oversize {
    why: String,
    stay: Stay,
}

/// How long it is let be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stay {
    /// Those before it were soon too large as well.
    Until(Mono),
    /// Until enough others are where they shall be.
    ItsTurn,
    /// It is being replaced.
    Over,
}

impl Run {
    /// It shall be replaced by another of its own kind.
    pub(super) fn is_to_go(&self) -> bool {
        self.unfit.is_some() || self.oversize.as_ref().is_some_and(|oversize| oversize.stay == Stay::Over)
    }

    /// Why it is too large, if it is.
    pub(crate) fn too_large(&self) -> Option<&str> {
        self.oversize.as_ref().map(|oversize| oversize.why.as_str())
    }

    /// Until when it is let be although it is too large.
    pub(crate) fn stays_until(&self) -> Option<Mono> {
        match self.oversize.as_ref()?.stay {
            Stay::Until(until) if self.phase.is_active() => Some(until),
            Stay::Until(_) | Stay::ItsTurn | Stay::Over => None,
        }
    }

    fn waits_for_its_turn(&self) -> bool {
        self.phase.is_active() && self.oversize.as_ref().is_some_and(|it| it.stay == Stay::ItsTurn)
    }
}

impl Seat {
    /// Takes note that a run uses more memory than it may. That is no failure, and PM2 counts failures anew then.
    pub(crate) fn oversize(&mut self, turn: &mut Turn<'_>, run: RunId, why: String) {
        let Some(known) = self.runs.iter_mut().find(|known| known.id == run) else { return };
        let Phase::Ready { since } = known.phase else { return };
        if known.oversize.is_some() || known.unfit.is_some() {
            return;
        }
        let (uptime, ready) = (turn.now.mono.since(known.started.mono), turn.now.mono.since(since));
        let delay = self.growth.outgrown(Life { run, uptime, ready: Some(ready) });
        let stay = if delay.is_zero() { Stay::ItsTurn } else { Stay::Until(turn.now.mono + delay) };
        known.oversize = Some(Oversize { why: why.clone(), stay });
        self.streak = Streak::default();
        self.last_oversize = Some((why.clone(), turn.now.wall));
        turn.told.push((About::Worker(self.worker), What::Oversize(why)));
        if !delay.is_zero() {
            turn.told.push((About::Worker(self.worker), What::Waiting(delay)));
        }
    }

    /// Those that have stayed for long enough wait for their turn.
    pub(super) fn stays_end(&mut self, now: Mono) {
        for oversize in self.runs.iter_mut().filter_map(|run| run.oversize.as_mut()) {
            if matches!(oversize.stay, Stay::Until(until) if until <= now) {
                oversize.stay = Stay::ItsTurn;
            }
        }
    }

    /// Whether its wanted run is too large and waits for its turn.
    pub(crate) fn has_oversize(&self) -> bool {
        self.wish == Wish::Up && self.is_settled() && self.fresh().is_some_and(Run::waits_for_its_turn)
    }

    /// Lets it be replaced.
    pub(crate) fn dismiss_oversize(&mut self, manner: Manner) {
        let Some(run) = self.fresh().map(|run| run.id) else { return };
        self.manner = manner;
        for oversize in self.runs.iter_mut().filter(|it| it.id == run).filter_map(|it| it.oversize.as_mut()) {
            oversize.stay = Stay::Over;
        }
    }

    /// A start is under way, or about to be: no failure keeps it down.
    pub(crate) fn is_moving(&self) -> bool {
        self.wish == Wish::Up && self.rest == Rest::None && !self.is_settled()
    }
}
