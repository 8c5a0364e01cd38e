//! What is to be said below the table? One line for each thing, however many workers of an app it concerns.

use supd_api::{AppName, LogTrouble, Millis, Status, Watching, WorkerView};

use crate::ctl::{cells, job};

/// What need not be said of a worker that is online.
const PLAIN: [&str; 2] = ["ready", "being replaced"];

/// Something about some workers of an app, or about the app as a whole.
#[derive(PartialEq, Eq)]
enum Remark<'a> {
    /// What should be known about the app.
    Notice(&'a str),
    /// Why they are not plainly online, or what is wrong with them although they are.
    Reason(Status, &'a str),
    /// Why changes of its files are not noticed.
    Unwatched(&'a str),
    /// A file that takes nothing of their output.
    Log(&'a LogTrouble),
    /// What they say about themselves.
    Message(&'a str),
}

/// The lines in order of the table, first what concerns the whole app.
pub(super) fn remarks(workers: &[WorkerView]) -> Vec<String> {
    let mut found: Vec<(&AppName, Remark<'_>, Vec<&WorkerView>)> = Vec::new();
    for worker in workers {
        for remark in about(worker) {
            match found.iter_mut().find(|(app, known, _)| **app == worker.app && *known == remark) {
                Some((_, _, alike)) => alike.push(worker),
                None => found.push((&worker.app, remark, vec![worker])),
            }
        }
    }
    // Stable: apps stay in order of appearance.
    let place = |app: &AppName| workers.iter().position(|worker| worker.app == *app);
    let rank = |remark: &Remark<'_>| match remark {
        Remark::Notice(_) | Remark::Unwatched(_) => 0,
        Remark::Reason(..) => 1,
        Remark::Log(_) => 2,
        Remark::Message(_) => 3,
    };
    found.sort_by_key(|(app, remark, _)| (place(app), rank(remark)));
    found.iter().map(|(app, remark, alike)| line(app, remark, alike)).collect()
}

fn about(worker: &WorkerView) -> impl Iterator<Item = Remark<'_>> {
    let reason = worker.reason.as_str();
    let plain = reason.is_empty() || (worker.status == Status::Online && PLAIN.contains(&reason));
    let notice = worker.notice.as_deref().map(Remark::Notice);
    let reason = (!plain).then_some(Remark::Reason(worker.status, &worker.reason));
    let message = worker.message.as_deref().filter(|text| !text.is_empty()).map(Remark::Message);
    let logs = worker.logs.trouble.iter().map(Remark::Log);
    let unwatched = match &worker.watching {
        Watching::Off | Watching::On => None,
        Watching::Failed(why) => Some(Remark::Unwatched(why)),
    };
    notice.into_iter().chain(unwatched).chain(reason).chain(logs).chain(message)
}

fn line(app: &AppName, remark: &Remark<'_>, alike: &[&WorkerView]) -> String {
    let ids = cells::numbers(&alike.iter().map(|worker| worker.id).collect::<Vec<_>>());
    match remark {
        Remark::Unwatched(why) => format!("{app} is not watched: {}", cells::harmless(why)),
        Remark::Notice(text) => format!("{app}: {}", cells::harmless(text)),
        Remark::Reason(status, text) => {
            let left = left(alike.iter().filter_map(|worker| worker.remaining).min());
            let times: String = alike.iter().map(|worker| job::times(worker)).collect();
            format!("{app} ({ids}) {}: {}{times}{left}", status.as_str(), cells::harmless(text))
        }
        Remark::Log(trouble) => format!("{app} ({ids}): {}", cells::harmless(&cells::trouble(trouble))),
        Remark::Message(text) => format!("{app} ({ids}) says: {}", cells::harmless(text)),
    }
}

/// ` (8s left)`, or nothing.
pub(crate) fn left(remaining: Option<Millis>) -> String {
    remaining.map(|left| format!(" ({} left)", cells::span(left))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::fake::{in_state, worker};

    fn waiting(id: u32, app: &str, left: u64) -> WorkerView {
        let remaining = Some(Millis(left));
        WorkerView { remaining, ..in_state(worker(id, app), Status::Waiting, "exited with code 1") }
    }

    #[test]
    fn nothing_is_said_without_need() {
        assert!(remarks(&[worker(0, "web"), in_state(worker(1, "web"), Status::Stopped, "")]).is_empty());
        let silent = WorkerView { reason: "no answer at /health".to_owned(), ..worker(0, "web") };
        assert_eq!(remarks(&[silent]), ["web (0) online: no answer at /health"]);
    }

    #[test]
    fn what_concerns_several_is_said_once() {
        let workers = [
            waiting(0, "web", 8000),
            waiting(1, "web", 5000),
            in_state(worker(2, "web"), Status::Errored, "exited with code 1"),
            waiting(3, "api", 9000),
        ];
        assert_eq!(
            remarks(&workers),
            [
                "web (0, 1) waiting restart: exited with code 1 (5s left)",
                "web (2) errored: exited with code 1",
                "api (3) waiting restart: exited with code 1 (9s left)",
            ]
        );
    }

    #[test]
    fn a_file_that_takes_nothing_is_named_once() {
        let trouble =
            LogTrouble { path: "/l/web.log".into(), text: "No space left".to_owned(), since: u64::MAX };
        let mut crew = [worker(0, "web"), worker(1, "web")];
        for worker in &mut crew {
            worker.logs.trouble.push(trouble.clone());
        }
        assert_eq!(remarks(&crew), ["web (0, 1): /l/web.log cannot be written for 0s: No space left"]);
    }

    #[test]
    fn an_app_that_is_not_watched_says_so_once() {
        let mut crew = [worker(0, "web"), worker(1, "web")];
        for worker in &mut crew {
            worker.watching = Watching::Failed("no inotify watch left".to_owned());
        }
        assert_eq!(remarks(&crew), ["web is not watched: no inotify watch left"]);
        crew.iter_mut().for_each(|worker| worker.watching = Watching::On);
        assert!(remarks(&crew).is_empty());
    }

    #[test]
    fn notices_come_first_and_messages_last() {
        let mut crew = [worker(0, "web"), waiting(1, "web", 5000), worker(2, "web")];
        for worker in &mut crew {
            worker.notice = Some("rolled back to revision 3: the new one exited with code 1".to_owned());
        }
        crew[0].message = Some("serving 12 \x1b[2J".to_owned());
        crew[2].message = Some(String::new());
        assert_eq!(
            remarks(&crew),
            [
                "web: rolled back to revision 3: the new one exited with code 1",
                "web (1) waiting restart: exited with code 1 (5s left)",
                "web (0) says: serving 12 \\u{1b}[2J",
            ]
        );
    }
}
