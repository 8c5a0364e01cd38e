//! Which workers does a word mean? As the daemon sees it, but here: what `pm2` says about it names their ids.

use std::env;
use std::path::Path;

use regex::Regex;
use supd_api::{AppView, Fault, FaultCode};

use crate::config;
use crate::ctl::declare;

/// The workers that a word means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meant {
    /// The word.
    pub(super) word: String,
    /// The ids, ascending.
    pub(super) ids: Vec<u32>,
    /// The word is an id.
    pub(super) by_id: bool,
}

impl Meant {
    /// All workers of an app.
    pub(super) fn app(app: &AppView) -> Self {
        let mut ids: Vec<u32> = app.workers.iter().map(|worker| worker.id).collect();
        ids.sort_unstable();
        Self { word: app.declaration.name.to_string(), ids, by_id: false }
    }

    /// The apps to which they belong.
    pub(super) fn apps<'a>(&self, apps: &'a [AppView]) -> Vec<&'a AppView> {
        let own = |app: &&AppView| app.workers.iter().any(|worker| self.ids.contains(&worker.id));
        apps.iter().filter(own).collect()
    }

    /// As targets of a request.
    pub(super) fn targets(&self) -> Vec<String> {
        self.ids.iter().map(u32::to_string).collect()
    }

    /// As PM2 lists them: `0, 1`, or `'0'` as it was typed.
    pub(super) fn shown(&self) -> String {
        let id = |id: &u32| if self.by_id { format!("'{id}'") } else { id.to_string() };
        self.ids.iter().map(id).collect::<Vec<_>>().join(", ")
    }
}

/// What a word means: `all`, a `/regex/`, a name or the path of a script, a namespace, an id; in PM2's order.
///
/// # Errors
/// `NotFound` in PM2's words; `Invalid` for what is no regular expression.
pub(super) fn meant(word: &str, apps: &[AppView]) -> Result<Meant, Fault> {
    let mut by_id = false;
    let found: Vec<&AppView> = if word == "all" {
        apps.iter().collect()
    } else if declare::is_pattern(word) {
        let regex = Regex::new(&word[1..word.len() - 1]).map_err(|error| {
            Fault::new(FaultCode::Invalid, format!("{word} is no regular expression: {error}"))
        })?;
        apps.iter().filter(|app| regex.is_match(app.declaration.name.as_str())).collect()
    } else {
        let named = picked(apps, |app| is_named(app, word));
        let named =
            if named.is_empty() { picked(apps, |app| app.declaration.namespace == word) } else { named };
        by_id = named.is_empty();
        named
    };
    let mut ids: Vec<u32> = if by_id {
        let workers = apps.iter().flat_map(|app| &app.workers).map(|worker| worker.id);
        workers.filter(|id| word.parse() == Ok(*id)).collect()
    } else {
        found.iter().flat_map(|app| &app.workers).map(|worker| worker.id).collect()
    };
    ids.sort_unstable();
    if !ids.is_empty() {
        return Ok(Meant { word: word.to_owned(), ids, by_id });
    }
    let text = match by_id {
        true => format!("Process or Namespace {word} not found"),
        false => "No process found".to_owned(),
    };
    Err(Fault::new(FaultCode::NotFound, text))
}

fn picked(apps: &[AppView], test: impl Fn(&AppView) -> bool) -> Vec<&AppView> {
    apps.iter().filter(|app| test(app)).collect()
}

fn is_named(app: &AppView, word: &str) -> bool {
    let declared = &app.declaration;
    let script = Path::new(&declared.program.script);
    declared.name.as_str() == word
        || (script.is_absolute()
            && env::current_dir().is_ok_and(|here| config::absolute(&here, word) == script))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::fake::{app, worker};

    fn apps() -> Vec<AppView> {
        let mut shop = app("api", vec![worker(2, "api")]);
        shop.declaration.namespace = "shop".to_owned();
        let here = env::current_dir().expect("a directory");
        shop.declaration.program.script = here.join("dir/api.py").display().to_string();
        let mut odd = app("default", vec![worker(3, "default")]);
        odd.declaration.namespace = "shop".to_owned();
        vec![app("web", vec![worker(1, "web"), worker(0, "web")]), shop, odd]
    }

    #[test]
    fn words_mean_what_they_mean_to_pm2() {
        for (word, ids, shown) in [
            ("all", vec![0, 1, 2, 3], "0, 1, 2, 3"),
            ("web", vec![0, 1], "0, 1"),
            ("/^a|^w/", vec![0, 1, 2], "0, 1, 2"),
            ("shop", vec![2, 3], "2, 3"),
            ("default", vec![3], "3"),
            ("dir/api.py", vec![2], "2"),
            ("./dir/../dir/api.py", vec![2], "2"),
            ("1", vec![1], "'1'"),
        ] {
            let meant = meant(word, &apps()).expect(word);
            assert_eq!((meant.ids.clone(), meant.shown().as_str()), (ids, shown), "{word}");
        }
    }

    #[test]
    fn what_means_nothing_is_told_as_pm2_tells_it() {
        let text = |word: &str, apps: &[AppView]| meant(word, apps).expect_err(word).message;
        assert_eq!(text("nope", &apps()), "Process or Namespace nope not found");
        assert_eq!(text("99", &apps()), "Process or Namespace 99 not found");
        assert_eq!(text("/zz/", &apps()), "No process found");
        assert_eq!(text("all", &[]), "No process found");
        assert!(text("/(/", &apps()).contains("no regular expression"));
    }
}
