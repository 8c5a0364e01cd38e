use indicatif::InMemoryTerm;
use supd_api::HappeningKind as Kind;

use super::*;

/// Bars on a terminal of 80 columns.
fn bars(apps: &[&str]) -> (Bars, InMemoryTerm) {
    let terminal = InMemoryTerm::new(10, 80);
    let apps: Vec<AppName> = apps.iter().map(|app| AppName::new(*app).unwrap()).collect();
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), FRAMES);
    (Bars::new(&apps, target), terminal)
}

fn about(app: &str, worker: Option<u32>, kind: Kind, progress: Option<(u32, u32)>) -> Happening {
    Happening {
        at: 0,
        kind,
        app: AppName::new(app).unwrap(),
        worker,
        text: "the new one exited with code 1; the old workers stay".to_owned(),
        progress: progress.map(|(done, of)| Progress { done, of }),
        message: None,
    }
}

#[test]
fn a_bar_for_each_app_with_its_present_step() {
    let (mut bars, terminal) = bars(&["web", "api-server"]);
    bars.see(&about("web", None, Kind::ReloadBegan, Some((0, 4))));
    bars.see(&about("api-server", None, Kind::ReloadBegan, Some((0, 2))));
    bars.see(&about("api-server", Some(7), Kind::Started, None));
    bars.see(&about("web", None, Kind::ReloadMoved, Some((2, 4))));
    bars.see(&about("web", Some(3), Kind::Draining, None));
    insta::assert_snapshot!(terminal.contents(), @r"
    web         [==========>         ]  2/4  worker 3: draining
    api-server  [                    ]  0/2  worker 7: starting
    ");
    bars.see(&about("web", None, Kind::ReloadFailed, None));
    bars.see(&about("api-server", None, Kind::ReloadDone, Some((2, 2))));
    insta::assert_snapshot!(terminal.contents(), @r"
    web         [==========>         ]  2/4  the new one exited with code 1; the old
    api-server  [====================]  2/2  done
    ");
    drop(bars);
    assert_eq!(terminal.contents(), "");
}

#[test]
fn a_bar_is_there_before_anything_is_counted() {
    let (mut bars, terminal) = bars(&["web"]);
    bars.see(&about("web", None, Kind::ReloadBegan, None));
    insta::assert_snapshot!(terminal.contents(), @"web  [                    ]  begins");
    bars.see(&about("web", Some(0), Kind::Started, None));
    insta::assert_snapshot!(terminal.contents(), @"web  [                    ]  worker 0: starting");
    bars.see(&about("web", None, Kind::ReloadMoved, Some((1, 4))));
    insta::assert_snapshot!(terminal.contents(), @"web  [=====>              ]  1/4  worker 0: starting");
}

#[test]
fn a_bar_stays_on_its_line() {
    let name = "a-name-that-is-far-too-long-for-a-line";
    let (mut bars, terminal) = bars(&[name]);
    bars.see(&about(name, None, Kind::ReloadBegan, Some((10, 1000))));
    let mut failed = about(name, None, Kind::ReloadFailed, None);
    failed.text = "word ".repeat(40) + "\x1b[2J";
    bars.see(&failed);
    insta::assert_snapshot!(terminal.contents(), @"a-name-that-is-far-…  [>                   ]  10/1000  word word word word word");
}

#[test]
fn what_happens_outside_a_reload_has_no_bar() {
    let (mut bars, terminal) = bars(&["web"]);
    bars.see(&about("web", Some(0), Kind::Started, None));
    assert_eq!(terminal.contents(), "");
}
