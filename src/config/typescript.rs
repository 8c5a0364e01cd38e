//! What runs a file of TypeScript? Bun, as with PM2; else Node where it leaves the types out by itself; else tsx.

use std::process::{Command, Stdio};

use super::paths::Places;

/// Node leaves types out when told to, since this version (nodejs.org/api/typescript.html).
const TOLD: (u32, u32) = (22, 6);
const FLAG: &str = "--experimental-strip-types";

/// Program and arguments before the script.
pub(super) type Runner = (&'static str, &'static [&'static str]);

/// The first that is there and can.
///
/// # Errors
/// Why none of them can.
pub(super) fn runner(places: &Places) -> Result<Runner, String> {
    let present = |name| places.program(name).is_some();
    if present("bun") {
        return Ok(("bun", &[]));
    }
    let version = if present("node") { version(places) } else { None };
    match version.map(arguments) {
        Some(Some(arguments)) => Ok(("node", arguments)),
        _ if present("tsx") => Ok(("tsx", &[])),
        // It may be one that can, and says itself if it cannot.
        None if present("node") => Ok(("node", &[])),
        None => Err("the script needs `bun`, `node` or `tsx`, none of which is in PATH".to_owned()),
        Some(None) => {
            let (major, minor) = version.unwrap_or_default();
            Err(format!("Node {major}.{minor} runs no TypeScript, and neither `bun` nor `tsx` is in PATH"))
        }
    }
}

/// What Node of that version must be told; `None`: it is too old.
fn arguments((major, minor): (u32, u32)) -> Option<&'static [&'static str]> {
    let by_itself = (major, minor) >= (23, 6) || (major == 22 && minor >= 18);
    match () {
        () if by_itself => Some(&[]),
        () if (major, minor) >= TOLD => Some(&[FLAG]),
        () => None,
    }
}

/// Major and minor number of the Node that the app would get; `None` if it does not tell.
fn version(places: &Places) -> Option<(u32, u32)> {
    let node = places.program("node")?;
    let mut command = Command::new(node);
    command.arg("--version").env("PATH", &places.path).env_remove("NODE_OPTIONS");
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.trim().strip_prefix('v')?.split('.');
    let mut next = || numbers.next().and_then(|number| number.parse().ok());
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node() {
        for (version, expected) in [
            ((20, 19), None),
            ((22, 5), None),
            ((22, 6), Some(&[FLAG][..])),
            ((22, 18), Some(&[][..])),
            ((23, 5), Some(&[FLAG][..])),
            ((23, 6), Some(&[][..])),
            ((24, 0), Some(&[][..])),
        ] {
            assert_eq!(arguments(version), expected, "{version:?}");
        }
    }
}
