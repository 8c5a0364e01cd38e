//! When is a probe asked, and who hears of it?

use std::time::Duration;

use supd_api::Probe;
use supd_keeper::protocol::RunId;
use tokio::sync::{mpsc, watch as latest};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::question::Question;
use super::tally::Tally;
use super::{Finding, Outgoing, Role, Target};

/// However short an interval is declared, the loop is left alone for so long.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// The first pause of a program that is starting; each further one is twice as long.
const HURRY: Duration = Duration::from_millis(50);

/// A probe at work. Dropping it ends it: a command that is running is killed.
#[derive(Debug)]
#[must_use = "dropping it ends the probe"]
pub struct Watch {
    task: JoinHandle<()>,
    last: latest::Receiver<Option<Answer>>,
}

impl Watch {
    /// The last answer, whether or not it counted, for people; `None`: there has been none yet.
    pub fn last_answer(&self) -> Option<String> {
        self.last.borrow().as_ref().map(|answer| answer.text.clone())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) passed: bool,
    pub(super) text: String,
}

/// Somebody who can be asked.
pub(super) trait Ask {
    /// Takes no longer than the timeout of the probe.
    fn ask(&mut self) -> impl Future<Output = Answer> + Send;
}

/// Starts asking. `age`: how long ago the process was started, from which the initial delay counts. Needs a tokio runtime.
pub fn watch(target: Target, probe: &Probe, age: Duration, outlet: mpsc::UnboundedSender<Outgoing>) -> Watch {
    let (run, role) = (target.run, target.role);
    let questioner = Question::new(target, probe, outlet.clone());
    start(questioner, run, role, probe, age, outlet)
}

fn start(
    asked: impl Ask + Send + 'static,
    run: RunId,
    role: Role,
    probe: &Probe,
    age: Duration,
    outlet: mpsc::UnboundedSender<Outgoing>,
) -> Watch {
    let (note, last) = latest::channel(None);
    let first = Instant::now() + probe.initial_delay.duration().saturating_sub(age);
    let period = probe.interval.duration().max(INTERVAL_MIN);
    let tally = Tally::new(role, probe);
    let task = tokio::spawn(async move {
        Round { run, role, first, period, tally, note, outlet }.go(asked).await;
    });
    Watch { task, last }
}

struct Round {
    run: RunId,
    role: Role,
    first: Instant,
    period: Duration,
    tally: Tally,
    note: latest::Sender<Option<Answer>>,
    outlet: mpsc::UnboundedSender<Outgoing>,
}

impl Round {
    async fn go(mut self, mut asked: impl Ask) {
        let mut ticks = interval_at(self.first, self.period);
        // As Go's ticker: after a check that took long the next one comes at once, later ones in step.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            let mut answer = asked.ask().await;
            if !answer.passed && !self.tally.is_told() && self.role != Role::Live {
                self.note.send_replace(Some(answer.clone()));
                answer = self.hurry(&mut asked, answer).await;
            }
            let is_news = self.tally.count(answer.passed);
            self.note.send_replace(Some(answer.clone()));
            if is_news && !self.tell(answer) {
                return;
            }
        }
    }

    /// Most programs are up long before the first interval is over, and somebody waits for them: until then they are asked
    /// more often. Of all these answers one counts.
    async fn hurry(&self, asked: &mut impl Ask, mut answer: Answer) -> Answer {
        let mut pause = HURRY;
        while !answer.passed && Instant::now() + pause < self.first + self.period {
            tokio::time::sleep(pause).await;
            pause *= 2;
            answer = asked.ask().await;
            self.note.send_replace(Some(answer.clone()));
        }
        answer
    }

    /// Whether to go on.
    fn tell(&self, Answer { passed, text: answer }: Answer) -> bool {
        let finding = Finding { run: self.run, role: self.role, passed, answer };
        let heard = self.outlet.send(Outgoing::Finding(finding)).is_ok();
        match self.role {
            Role::Startup => false,
            Role::Ready | Role::Live => heard,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use supd_api::{Check, Millis};

    use super::*;

    /// Answers by script, each after so many milliseconds; after the last one it never answers.
    struct Scripted {
        answers: VecDeque<(char, u64)>,
        asked: mpsc::UnboundedSender<Instant>,
    }

    impl Ask for Scripted {
        async fn ask(&mut self) -> Answer {
            self.asked.send(Instant::now()).unwrap();
            let Some((answer, after)) = self.answers.pop_front() else { return std::future::pending().await };
            tokio::time::sleep(Duration::from_millis(after)).await;
            Answer { passed: answer == '+', text: format!("answer {answer}") }
        }
    }

    struct Scene {
        watch: Watch,
        asked: mpsc::UnboundedReceiver<Instant>,
        findings: mpsc::UnboundedReceiver<Outgoing>,
        start: Instant,
    }

    fn scene(role: Role, age: u64, answers: &[(char, u64)]) -> Scene {
        let probe = Probe {
            check: Check::Exec { command: Vec::new() },
            initial_delay: Millis(3000),
            interval: Millis(1000),
            timeout: Millis(5000),
            success_threshold: 1,
            failure_threshold: 2,
        };
        let (sender, asked) = mpsc::unbounded_channel();
        let (outlet, findings) = mpsc::unbounded_channel();
        let scripted = Scripted { answers: answers.iter().copied().collect(), asked: sender };
        let start = Instant::now();
        let watch = super::start(scripted, RunId(1), role, &probe, Duration::from_millis(age), outlet);
        Scene { watch, asked, findings, start }
    }

    /// An hour of virtual time is over at once.
    async fn soon<T>(coming: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(3600), coming).await.expect("in time")
    }

    impl Scene {
        async fn times<const N: usize>(&mut self) -> [u128; N] {
            let mut times = [0; N];
            for time in &mut times {
                *time = (soon(self.asked.recv()).await.unwrap() - self.start).as_millis();
            }
            times
        }

        async fn finding(&mut self) -> Option<bool> {
            match soon(self.findings.recv()).await? {
                Outgoing::Finding(finding) => Some(finding.passed),
                Outgoing::HandOver { .. } => unreachable!(),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_check_waits_and_the_others_follow_in_step() {
        let mut scene = scene(Role::Live, 0, &[('-', 10), ('-', 990), ('+', 0), ('+', 0)]);
        assert_eq!(scene.times().await, [3000, 4000, 5000, 6000]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_starting_is_asked_more_often_within_the_first_interval() {
        let mut late = scene(Role::Ready, 0, &[('-', 0); 8]);
        assert_eq!(late.times().await, [3000, 3050, 3150, 3350, 3750, 4000, 5000]);
        let mut early = scene(Role::Startup, 0, &[('-', 0), ('-', 0), ('+', 0)]);
        assert_eq!(early.finding().await, Some(true));
        assert_eq!(early.start.elapsed().as_millis(), 3150);
        // With a threshold of two the second regular answer fails it, not the second of all.
        let mut failed = scene(Role::Startup, 0, &[('-', 0); 8]);
        assert_eq!(failed.finding().await, Some(false));
        assert_eq!(failed.start.elapsed().as_millis(), 4000);
    }

    #[tokio::test(start_paused = true)]
    async fn the_age_of_the_process_counts() {
        assert_eq!(scene(Role::Ready, 2500, &[('+', 0)]).times().await, [500, 1500]);
        assert_eq!(scene(Role::Ready, 60_000, &[('+', 0)]).times().await, [0, 1000]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_long_check_the_next_one_comes_at_once_and_later_ones_in_step() {
        let mut scene = scene(Role::Live, 3000, &[('-', 2300), ('+', 0), ('+', 0)]);
        assert_eq!(scene.times().await, [0, 2300, 3000, 4000]);
    }

    #[tokio::test(start_paused = true)]
    async fn findings_are_told_once_and_when_they_change() {
        let mut scene =
            scene(Role::Live, 3000, &[('+', 0), ('+', 0), ('-', 0), ('-', 0), ('-', 0), ('+', 0)]);
        assert_eq!(scene.watch.last_answer(), None);
        for expected in [true, false, true] {
            assert_eq!(scene.finding().await, Some(expected));
        }
        assert_eq!(scene.start.elapsed().as_millis(), 5000);
        assert_eq!(scene.watch.last_answer().as_deref(), Some("answer +"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_count_can_still_be_seen() {
        let mut scene = scene(Role::Live, 3000, &[('-', 0)]);
        assert_eq!(scene.times().await, [0, 1000]);
        assert_eq!(scene.watch.last_answer().as_deref(), Some("answer -"));
        assert!(scene.findings.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_startup_probe_ends_with_its_finding() {
        for (answers, found) in [(&[('-', 0); 8][..], false), (&[('-', 0), ('+', 0)][..], true)] {
            let mut scene = scene(Role::Startup, 3000, answers);
            assert_eq!(scene.finding().await, Some(found));
            assert_eq!(scene.finding().await, None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_it_ends_it() {
        let mut scene = scene(Role::Ready, 3000, &[('+', 0)]);
        assert_eq!(scene.times().await, [0, 1000]);
        drop(scene.watch);
        assert_eq!(soon(scene.asked.recv()).await, None);
    }
}
