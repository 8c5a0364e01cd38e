//! Which workers a client means, by PM2's order of interpretation.
//!
//! What a target is, the apps that are there decide; of a name, a namespace, a pattern and `all` are also workers that come later.

use std::collections::BTreeSet;

use regex::RegexBuilder;
use supd_api::{Fault, FaultCode};

use crate::logs::{Named, Workers};
use crate::nearest::nearest;

/// A regular expression larger than this when compiled is refused.
const REGEX_SIZE: usize = 1 << 20;

/// What of a worker a target may name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) worker: u32,
    pub(super) app: &'a str,
    pub(super) namespace: &'a str,
    pub(super) script: &'a str,
}

/// What these targets name, now and later.
///
/// # Errors
/// `NotFound` or `Invalid`, for the first target that names nothing that is there: then none is meant.
pub(super) fn meant(targets: &[String], all: &[Candidate<'_>]) -> Result<Workers, Fault> {
    let mut meant = Vec::new();
    for target in targets {
        let named = Workers(one(target, all)?);
        if !all.iter().any(|candidate| candidate.is_of(&named)) {
            return Err(not_found(target, all));
        }
        meant.extend(named.0);
    }
    Ok(Workers(meant))
}

/// The ids of all workers that these targets name now.
///
/// # Errors
/// As of [`meant`].
pub(super) fn resolve(targets: &[String], all: &[Candidate<'_>]) -> Result<BTreeSet<u32>, Fault> {
    let named = meant(targets, all)?;
    Ok(all.iter().filter(|candidate| candidate.is_of(&named)).map(|candidate| candidate.worker).collect())
}

impl Candidate<'_> {
    pub(super) fn is_of(&self, workers: &Workers) -> bool {
        workers.include(self.app, self.namespace, self.worker)
    }
}

fn one(target: &str, all: &[Candidate<'_>]) -> Result<Vec<Named>, Fault> {
    if target == "all" {
        return Ok(vec![Named::All]);
    }
    if let Some(pattern) = target.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'))
        && !pattern.is_empty()
    {
        let regex = RegexBuilder::new(pattern).size_limit(REGEX_SIZE).build().map_err(|error| {
            Fault::new(FaultCode::Invalid, format!("`{target}` is not a regular expression: {error}"))
        })?;
        return Ok(vec![Named::Pattern(regex)]);
    }
    let by_name: BTreeSet<&str> = all
        .iter()
        .filter(|candidate| candidate.app == target || candidate.script == target)
        .map(|candidate| candidate.app)
        .collect();
    if !by_name.is_empty() {
        return Ok(by_name.into_iter().map(|app| Named::App(app.to_owned())).collect());
    }
    if all.iter().any(|candidate| candidate.namespace == target) {
        return Ok(vec![Named::Namespace(target.to_owned())]);
    }
    Ok(target.parse().map_or(Vec::new(), |id| vec![Named::Worker(id)]))
}

fn not_found(target: &str, all: &[Candidate<'_>]) -> Fault {
    if target == "all" {
        return Fault::new(FaultCode::NotFound, "there are no apps").hint("start one: `supctl start FILE`");
    }
    let fault = Fault::new(
        FaultCode::NotFound,
        format!("no app, worker id or namespace `{}`", target.escape_debug()),
    );
    let names = all.iter().flat_map(|candidate| [candidate.app, candidate.namespace]);
    match nearest(target, names) {
        Some(name) => fault.hint(format!("did you mean `{name}`?")),
        None => fault.hint("`supctl list` shows what there is"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Candidate<'static>> {
        [
            (0, "web", "default", "/srv/web.js"),
            (1, "web", "default", "/srv/web.js"),
            (2, "api", "shop", "/srv/api.py"),
            (3, "default", "shop", "/srv/x"),
        ]
        .map(|(worker, app, namespace, script)| Candidate { worker, app, namespace, script })
        .to_vec()
    }

    fn ids(targets: &[&str]) -> Result<Vec<u32>, FaultCode> {
        let targets: Vec<String> = targets.iter().map(|&target| target.to_owned()).collect();
        resolve(&targets, &all()).map(|ids| ids.into_iter().collect()).map_err(|fault| fault.code)
    }

    #[test]
    fn what_a_target_means() {
        assert_eq!(ids(&["all"]), Ok(vec![0, 1, 2, 3]));
        assert_eq!(ids(&["web"]), Ok(vec![0, 1]));
        assert_eq!(ids(&["1", "2"]), Ok(vec![1, 2]));
        assert_eq!(ids(&["shop"]), Ok(vec![2, 3]));
        assert_eq!(ids(&["default"]), Ok(vec![3]), "a name beats a namespace");
        assert_eq!(ids(&["/^a|^w/"]), Ok(vec![0, 1, 2]));
        assert_eq!(ids(&["/srv/web.js"]), Ok(vec![0, 1]));
    }

    #[test]
    fn what_comes_later_is_meant_too() {
        let later = |target: &str, app: &str, namespace: &str| {
            meant(&[target.to_owned()], &all()).expect("known").include(app, namespace, 9)
        };
        for target in ["all", "shop", "/^new|^api/"] {
            assert!(later(target, "new", "shop"), "{target}");
        }
        for target in ["web", "1", "default", "/srv/web.js", "/^a/"] {
            assert!(!later(target, "new", "default"), "{target}");
        }
        assert!(later("web", "web", "default") && later("/srv/web.js", "web", "default"));
    }

    #[test]
    fn what_means_nothing() {
        assert_eq!(ids(&["web", "wbe"]), Err(FaultCode::NotFound), "one that is missing spoils all");
        assert_eq!(ids(&["/(/"]), Err(FaultCode::Invalid));
        assert_eq!(ids(&["99"]), Err(FaultCode::NotFound));
        assert_eq!(ids(&["/nothing/"]), Err(FaultCode::NotFound));
        let targets = ["wbe".to_owned()];
        let hint = resolve(&targets, &all()).expect_err("unknown").hint;
        assert_eq!(hint.as_deref(), Some("did you mean `web`?"));
    }
}
