//! Are the addresses that an app declares free, or ours?

use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::errno::Errno;
use supd_api::{Balance, ListenAddress};

use super::app::Surroundings;
use super::findings::Findings;
use crate::cluster::{Endpoint, bind, first_unprivileged_port, holder};
use crate::ctl::boot::access::{Who, Wish};

/// Checks one address.
pub(crate) fn check(app: &str, address: &ListenAddress, around: &Surroundings<'_>, findings: &mut Findings) {
    let endpoint = Endpoint::from(address);
    let holder = holder(&endpoint);
    if holder.as_ref().is_some_and(|holder| around.family.contains(&holder.pid)) {
        return findings.ok("port", app, format!("{address} is held by this daemon"));
    }
    let (error, remedy) = match address {
        ListenAddress::Unix(path) => match path_in_the_way(path, around) {
            None => return findings.ok("port", app, format!("{address} is free")),
            Some(found) => found,
        },
        ListenAddress::Tcp(tcp) => {
            let privileged = tcp.port() != 0 && tcp.port() < first_unprivileged_port();
            if privileged && !around.may_bind_privileged() {
                let errno = Errno::EACCES;
                let refused = crate::cluster::BindError { endpoint, errno };
                (refused.to_string(), refused.remedy())
            } else {
                match bind(&endpoint, Balance::Shared) {
                    Ok(_) => return findings.ok("port", app, format!("{address} is free")),
                    Err(error) => (error.to_string(), error.remedy()),
                }
            }
        }
    };
    let by = holder
        .map_or(String::new(), |holder| format!(" (held by process {}, {})", holder.pid, holder.command));
    findings.failure("port", app, format!("{error}{by}"), remedy);
}

/// What keeps a socket file from being made.
fn path_in_the_way(path: &Path, around: &Surroundings<'_>) -> Option<(String, String)> {
    let shown = path.display();
    if UnixStream::connect(path).is_ok() {
        let remedy = format!("stop the process that answers on {shown}, or choose another path");
        return Some((format!("somebody else answers on {shown}"), remedy));
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    let why = Who::of(around.owner).cannot(Wish::Write, directory)?;
    Some((why, format!("make {} a directory that `{}` may write to", directory.display(), around.owner.name)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use nix::unistd::Uid;

    use super::super::findings::Outcome;
    use super::*;
    use crate::ctl::boot::place::Owner;
    use crate::home::Home;

    fn check_as(family: Vec<i32>, address: &str) -> (Outcome, String) {
        let home = Home::at(Path::new("/")).expect("a home");
        let owner = Owner::of_uid(Uid::effective().as_raw()).expect("a name");
        let around = Surroundings { home: &home, owner: &owner, family, service: None };
        let mut findings = Findings::default();
        check("web", &address.parse().expect("an address"), &around, &mut findings);
        findings.of("port").remove(0)
    }

    #[test]
    fn ports_are_free_ours_or_taken() {
        let us = i32::try_from(std::process::id()).expect("a process id");
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("its address").to_string();
        assert_eq!(check_as(vec![us], &address).0, Outcome::Ok);
        let (outcome, text) = check_as(Vec::new(), &address);
        assert_eq!(outcome, Outcome::Failure);
        assert!(text.contains(&format!("held by process {us}")) && text.contains("another port"), "{text}");
        assert_eq!(check_as(Vec::new(), "127.0.0.1:0").0, Outcome::Ok);
    }

    #[test]
    fn socket_files_are_not_touched() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = dir.path().join("app.sock");
        let address = at.display().to_string();
        assert_eq!(check_as(Vec::new(), &address).0, Outcome::Ok);
        assert!(!at.exists());
        let taken = UnixListener::bind(&at).expect("a socket");
        assert_eq!(check_as(Vec::new(), &address).0, Outcome::Failure);
        let us = i32::try_from(std::process::id()).expect("a process id");
        assert_eq!(check_as(vec![us], &address).0, Outcome::Ok);
        drop(taken);
        assert_eq!(check_as(Vec::new(), &address).0, Outcome::Ok, "nobody answers there any more");
        assert!(check_as(Vec::new(), "/no/such/app.sock").1.contains("/no/such"));
    }
}
