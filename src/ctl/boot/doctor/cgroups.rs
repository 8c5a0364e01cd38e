//! Have workers control groups of their own, and what of the declarations takes one?

use supd_api::CgroupView;

use super::findings::Findings;
use super::ledger::Ledger;

const REMEDY: &str = "`supctl startup` runs supd with `Delegate=yes`; after that, restart the app";

/// Looks at the running daemon's.
pub(crate) fn check(cgroup: &CgroupView, ledger: Option<&Ledger>, findings: &mut Findings) {
    let controllers: &[String] = match cgroup {
        CgroupView::Own { dir, controllers } => {
            let list = if controllers.is_empty() { "none".to_owned() } else { controllers.join(", ") };
            let text = format!("workers have groups of their own in {dir}; controllers: {list}");
            findings.ok("cgroup", "supd", text);
            controllers
        }
        CgroupView::None(why) => {
            findings.ok("cgroup", "supd", format!("workers have no groups of their own: {why}"));
            &[]
        }
    };
    for app in ledger.iter().flat_map(|ledger| &ledger.apps).map(|entry| &entry.revision.declaration) {
        let unkept = app.cgroup.beyond(controllers);
        if !unkept.is_empty() {
            let text = format!("runs without {}: no group of it can keep that", unkept.join(", "));
            findings.warning("cgroup", app.name.as_str(), text, REMEDY);
        }
    }
}

#[cfg(test)]
mod tests {
    use supd_api::CgroupPolicy;

    use super::*;
    use crate::ctl::boot::doctor::findings::Outcome;
    use crate::ctl::fake::declaration;

    #[test]
    fn what_is_declared_and_not_kept_is_a_warning() {
        let mut app = declaration("web");
        app.cgroup = CgroupPolicy { memory_max: Some(1 << 20), pids_max: Some(5), ..CgroupPolicy::default() };
        let base = supd_api::EnvironmentLayer { layer: supd_api::Layer::Base, variables: Default::default() };
        let mut findings = Findings::default();
        let ledger = Ledger { apps: vec![super::super::ledger::Entry::new(app, base, true)] };
        let own =
            CgroupView::Own { dir: "/sys/fs/cgroup/x".to_owned(), controllers: vec!["memory".to_owned()] };
        check(&own, Some(&ledger), &mut findings);
        let told = findings.of("cgroup");
        assert_eq!(told[0].0, Outcome::Ok);
        assert!(
            told[1].0 == Outcome::Warning && told[1].1.starts_with("web: runs without pids_max"),
            "{told:?}"
        );

        let mut findings = Findings::default();
        check(&CgroupView::None("not delegated".to_owned()), Some(&ledger), &mut findings);
        let told = findings.of("cgroup");
        assert!(told[1].1.starts_with("web: runs without memory_max, pids_max"), "{told:?}");
    }
}
