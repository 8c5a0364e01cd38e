//! Files that are shown to browsers.

use std::fs;
use std::io::Write;
use std::net::TcpStream;

use serde_json::json;

use crate::daemon::{Daemon, finish};
use crate::http::{Connection, Traffic};
use crate::process;
use crate::wait::until;

fn site(daemon: &Daemon) -> String {
    let site = daemon.file("site");
    fs::create_dir_all(site.join("docs")).expect("a site");
    // What the traffic of the other stories wants to see.
    for (name, text) in [("index.html", "{\"pid\":1}"), ("docs/index.html", "docs"), (".env", "KEY=1")] {
        fs::write(site.join(name), text).expect("a page");
    }
    site.display().to_string()
}

fn get(address: &str, path: &str, fields: &str) -> (u16, String) {
    // Its worker may not have taken the socket yet; the connection waits.
    let reply =
        Connection::open(address).and_then(|mut it| it.send("GET", path, fields, b"")).expect("a reply");
    (reply.status, String::from_utf8(reply.body).expect("text"))
}

#[test]
fn a_directory_is_served_by_workers_that_share_a_port_and_a_reload_loses_no_request() {
    let daemon = Daemon::start();
    let (site, address) = (site(&daemon), daemon.address(8186));
    let host = address.split(':').next().expect("a host");
    daemon.ok(&["serve", &site, "8186", "--host", host, "-i", "2"]);
    let list = daemon.list();
    assert_eq!(list.len(), 2);
    assert!(list.iter().all(|worker| worker["app"] == "static-page-server-8186"), "{list:#?}");
    assert_eq!(get(&address, "/docs/", ""), (200, "docs".to_owned()));
    assert_eq!(get(&address, "/.env", "").0, 404);

    let before = daemon.pids();
    let traffic = Traffic::start(&address);
    daemon.ok(&["reload", "static-page-server-8186"]);
    let answers = traffic.finish();
    assert!(answers[&1] > 0);
    assert!(daemon.pids().iter().all(|pid| !before.contains(pid)));
    daemon.ctl(&["serve", &site, "8186", "--host", host]).expect(5).says(&["is running already"]);
    daemon.ctl(&["serve", "/no/such", "8187"]).expect(4).says(&["no such directory"]);
}

#[test]
fn a_password_is_asked_for_and_never_shown() {
    let daemon = Daemon::start();
    let (site, address) = (site(&daemon), daemon.address(8188));
    let host = address.split(':').next().expect("a host");
    let mut command = daemon.command(&["serve", &site, "8188", "--host", host, "--basic-auth-username", "a"]);
    let serve = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    finish(serve.spawn().expect("supctl")).expect(4).says(&["needs a password"]);
    finish(serve.env("PM2_SERVE_BASIC_AUTH_PASSWORD", "hunter4").spawn().expect("supctl")).expect(0);

    assert_eq!(get(&address, "/", "").0, 401);
    assert_eq!(get(&address, "/", "authorization: Basic YTpodW50ZXI0\r\n").0, 200);
    for pid in process::of_home(daemon.home()) {
        assert!(!process::command_line(pid).contains("hunter4"));
    }
    assert!(!daemon.ok(&["describe", "all", "--json"]).out.contains("hunter4"));
    assert!(!daemon.read("supd.log").contains("hunter4"));
}

#[test]
fn a_declaration_serves_too_and_an_open_download_ends_before_its_worker() {
    let daemon = Daemon::start();
    let (site, address) = (site(&daemon), daemon.address(8189));
    let host = address.split(':').next().expect("a host");
    let large = vec![b'x'; 32 << 20];
    fs::write(format!("{site}/large"), &large).expect("a file");
    let env = json!({ "PM2_SERVE_PATH": site, "PM2_SERVE_PORT": 8189, "PM2_SERVE_HOST": host });
    daemon.run(&json!([{ "name": "pages", "script": "serve", "env": env }]));

    assert_eq!(get(&address, "/", "").0, 200);
    let pid = daemon.pid(0);
    let mut slow = TcpStream::connect(&address).expect("a connection");
    slow.write_all(b"GET /large HTTP/1.1\r\nhost: test\r\n\r\n").expect("a request");
    until("the download has begun", || {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
        let mut files = open.filter_map(|fd| fs::read_link(fd.path()).ok());
        files.any(|file| file.ends_with("large")).then_some(())
    });
    let stop = daemon.spawn(&["stop", "pages"]);
    daemon.until_status(0, "stopping");
    let reply = Connection::over(slow).reply().expect("the whole file");
    assert_eq!(reply.body.len(), large.len());
    finish(stop).expect(0);
    assert!(!process::is_alive(pid));
    assert_eq!(daemon.worker(0)["last_exit"]["exit"], json!({ "code": 0 }));
}
