//! What a person sees who got everything wrong, in every format.

use std::path::Path;

use supd_api::Secret;

use super::Site;

const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/testdata");

fn seen(name: &str) -> String {
    let mut site = Site::new();
    if name.ends_with(".js") {
        let path = format!("{}:{}", site.path("bin").display(), std::env::var("PATH").unwrap());
        std::fs::remove_file(site.path("bin/node")).unwrap();
        site.options.caller.insert("PATH".to_owned(), Secret::from(path));
    }
    site.write(name, std::fs::read(Path::new(TESTDATA).join(name)).unwrap());
    site.write("terrible.env", "GOOD=1\nthis is no assignment\n2 BAD = hunter2\nOPEN=\"hunter2\n");
    let bad = site.file(name).unwrap_err().to_string();
    assert!(!bad.contains("hunter2"), "{bad}");
    site.stable(&bad)
}

macro_rules! golden {
    ($($test:ident: $name:literal;)*) => {$(
        #[test]
        fn $test() {
            let settings = {
                let mut settings = insta::Settings::clone_current();
                settings.set_snapshot_path(TESTDATA);
                settings.set_prepend_module_to_snapshot(false);
                settings.set_omit_expression(true);
                settings
            };
            settings.bind(|| insta::assert_snapshot!($name, seen($name)));
        }
    )*};
}

golden! {
    terrible_toml: "terrible.toml";
    terrible_yaml: "terrible.yaml";
    terrible_json: "terrible.json";
    terrible_javascript: "terrible.config.js";
    terrible_probes: "probes.toml";
}
