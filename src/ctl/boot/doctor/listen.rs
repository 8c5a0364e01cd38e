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
