//! From the fields about watching to their policy.
//!
//! Question answered here: *changes of which files replace the workers of an app?*

use supd_api::WatchPolicy;

use super::paths::Places;
use super::problem::{Report, shown};
use super::read::App;
use super::resolve::span;
use super::value::{Texts, WatchOptions, WatchedPaths};

/// The policy with every default filled in. What is declared beside `watch = false` is kept, for it can be switched on.
pub(super) fn watch(app: &App, places: &Places, report: &mut Report) -> WatchPolicy {
    let fields = &app.fields;
    let watched = fields.watch.as_ref().and_then(|WatchedPaths(paths)| paths.as_ref());
    let paths: Vec<_> = watched.into_iter().flatten().map(|path| places.absolute(path)).collect();
    for path in paths.iter().filter(|path| !path.exists()) {
        let text = format!("nothing is there: {}", shown(&path.to_string_lossy()));
        let hint = "it is watched once it is there; patterns belong into `ignore_watch`";
        report.warning(&app.at("watch"), text, Some(hint.to_owned()));
    }
    let mut ignore = fields.ignore_watch.as_ref().map(|Texts(patterns)| patterns.clone()).unwrap_or_default();
    let mut gitignore = false;
    if let Some(WatchOptions(options)) = &fields.watch_options {
        ignore.extend(options.ignored.iter().cloned());
        gitignore = options.gitignore;
        for option in &options.inert {
            let text = "the option has no effect: supd is told of changes by the kernel";
            report.warning(&app.at("watch_options").key(option, None), text, None);
        }
    }
    ignore.retain(|pattern| !pattern.is_empty());
    let delay = span(&fields.watch_delay).unwrap_or(WatchPolicy::DEFAULT_DELAY);
    WatchPolicy { enabled: watched.is_some(), paths, ignore, delay, gitignore }
}
