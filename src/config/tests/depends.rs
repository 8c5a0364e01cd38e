//! The order among apps of one document.

use supd_api::AppName;

use super::{Format, Site};
use crate::config::in_order;

#[test]
fn a_circle_is_told_with_its_way() {
    let site = Site::new();
    let text = "[[apps]]\nname = 'db'\nscript = 'app.js'\n\n\
        [[apps]]\nname = 'web'\nscript = 'app.js'\ndepends_on = ['db', 'api']\n\n\
        [[apps]]\nname = 'api'\nscript = 'app.js'\ndepends_on = { web = 'started' }\n";
    let bad = site.text(text, Format::Toml).unwrap_err().to_string();
    assert_eq!(bad, "input:13: apps[2].depends_on: apps wait for each other in a circle: api -> web -> api");
    let alone = "{name: 'web', script: 'app.js', depends_on: 'web'}";
    let bad = site.text(alone, Format::Json).unwrap_err().to_string();
    assert_eq!(bad, "input:1: depends_on: apps wait for each other in a circle: web -> web");
}

#[test]
fn a_name_of_no_app_here_warns() {
    let mut site = Site::new();
    let text =
        "[[apps]]\nname = 'redis'\nscript = 'app.js'\n[[apps]]\nscript = 'app.js'\ndepends_on = ['rediss']\n";
    let loaded = site.text(text, Format::Toml).unwrap();
    assert_eq!(
        loaded.warnings[0].to_string(),
        "input:6: apps[1].depends_on: no app here is named \"rediss\": it has to be declared elsewhere, and before this one\n  \
         help: did you mean `redis`?"
    );
    site.options.only = vec!["app".to_owned()];
    let text = text.replace("rediss", "redis");
    assert_eq!(site.text(&text, Format::Toml).unwrap().warnings, [], "it is here, and only not meant now");
}

#[test]
fn what_goes_on_for_ever_is_never_completed() {
    let site = Site::new();
    let declared = |fields: &str| {
        let text = format!(
            "[{{name: 'm', script: 'app.js'{fields}}}, {{name: 'w', script: 'app.js', depends_on: {{m: 'completed'}}}}]"
        );
        site.text(&text, Format::Json).map(drop)
    };
    let bad = declared("").unwrap_err().to_string();
    assert_eq!(
        bad,
        "input:1: [1].depends_on: m is never completed: it is started again after each exit\n  \
         help: `autorestart = false` for m, or wait until it is `ready`"
    );
    declared(", autorestart: false").unwrap();
    declared(", stop_exit_codes: 0").unwrap();
}

#[test]
fn names_are_those_of_the_document() {
    let mut site = Site::new();
    site.options.env_name = Some("production".to_owned());
    let text = "apps: [{name: db, script: app.js, append_env_to_name: true, env_production: {}}, \
        {name: web, script: app.js, depends_on: [db], env_production: {}}]\n";
    let loaded = site.text(text, Format::Yaml).unwrap();
    let on: Vec<_> = loaded.apps[1].depends_on.keys().map(|name| name.to_string()).collect();
    assert_eq!(on, ["db-production"]);
}

#[test]
fn what_others_wait_for_comes_first() {
    let sorted = |apps: &[(&str, &str)]| {
        let mut declared = Site::new().text("{name: 'x', script: 'app.js'}", Format::Json).unwrap().apps;
        let like = declared.pop().expect("one app");
        let app = |(name, on): &(&str, &str)| {
            let mut app = like.clone();
            app.name = AppName::new(*name).unwrap();
            app.depends_on = [(AppName::new(*on).unwrap(), Default::default())].into();
            app
        };
        let sorted = in_order(apps.iter().map(app).collect(), |app| app);
        sorted.iter().map(|app| app.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(sorted(&[("a", "c"), ("b", "x"), ("c", "d"), ("d", "x")]), ["b", "d", "c", "a"]);
    assert_eq!(sorted(&[("a", "b"), ("b", "a")]), ["a", "b"], "in a circle nobody comes first");
}

#[test]
fn whoever_waits_for_a_job_should_wait_for_its_end() {
    let site = Site::new();
    let warned = |condition: &str| {
        let text = format!(
            "[{{name: 'm', script: 'app.js', job: {{}}}}, {{name: 'w', script: 'app.js', depends_on: {condition}}}]"
        );
        site.text(&text, Format::Json).unwrap().warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        warned("['m']"),
        ["input:1: [1].depends_on: m is a job, and there only while a run of it goes on\n  \
         help: `depends_on = { m = \"completed\" }`"]
    );
    assert_eq!(warned("{m: 'completed'}"), [""; 0]);
}
