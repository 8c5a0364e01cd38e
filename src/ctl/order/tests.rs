use std::future::pending;

use serde_json::json;
use supd_api::{HappeningKind, Progress};
use tokio::task::yield_now;

use super::*;
use crate::ctl::fake::{Fake, Then};
use crate::ctl::output::Style;

fn web() -> AppName {
    AppName::new("web").unwrap()
}

fn began() -> Happening {
    let progress = Some(Progress { done: 0, of: 2 });
    Happening {
        at: 0,
        kind: HappeningKind::ReloadBegan,
        app: web(),
        worker: None,
        text: String::new(),
        progress,
        message: None,
    }
}

/// A reload that never ends is a failed test, not a stuck one.
async fn carried_out(
    interrupt: impl Future<Output = ()>,
    session: &mut Session,
) -> Result<Accepted, Failure> {
    let order = Order::moving(Move::Reload, vec![web()], Patience::default());
    let mut culprits = Culprits::default();
    let ended = carry_out(&order, &mut culprits, interrupt, session);
    timeout(Duration::from_secs(30), ended).await.expect("an end")
}

#[tokio::test]
async fn an_interrupted_wait_says_that_the_reload_goes_on() {
    let fake = Fake::moving(Default::default(), "/v1/workers/reload", vec![began()], Then::Silence);
    let (mut session, out, err) = fake.session(Style::default(), None);
    let told = err.clone();
    let interrupt = async move {
        while told.text().is_empty() {
            yield_now().await;
        }
    };
    let ended = carried_out(interrupt, &mut session).await;
    let failure = ended.unwrap_err();
    assert!(matches!(failure, Failure::Interrupted));
    assert_eq!((session.output.failure(failure), out.text().as_str()), (130, ""));
    assert_eq!(
        err.text(),
        "web: 0/2 reloaded\ninterrupted: the reload of web goes on; `supctl events` shows how it ends\n"
    );
}

#[tokio::test]
async fn an_answer_does_not_wait_for_happenings_that_do_not_come() {
    let accepted = json!({ "workers": [] }).to_string();
    let answers = [("POST /v1/workers/reload", (200, accepted))].into_iter().collect();
    let fake = Fake::moving(answers, "/v1/workers/reload", vec![began()], Then::Answer);
    let (mut session, _, err) = fake.session(Style::default(), None);
    let ended = carried_out(pending(), &mut session).await;
    assert_eq!(ended.unwrap(), Accepted::default());
    assert_eq!(err.text(), "web: 0/2 reloaded\n");
}
