//! Files that hold declarations: which they are, and their text.
//!
//! Question answered here: *is this a declaration file, in which format, and what is its text?* Nothing that is
//! not an ordinary, small file of UTF-8 gets past here.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

use super::Format;

/// A larger file is not a declaration. Bytes.
pub(super) const LARGEST: u64 = 1 << 20;

/// How a declaration file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Parsed.
    Text(Format),
    /// Evaluated by `node`.
    JavaScript,
}

/// The kind of a file by its name: PM2's rule, by substring (`x.json.bak` counts), applied to the last part of the
/// path; and `.toml`, by its end.
pub(super) fn kind(name: &str) -> Option<Kind> {
    let name = name.rsplit('/').next().unwrap_or(name);
    let contains = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    match () {
        () if name.ends_with(".toml") => Some(Kind::Text(Format::Toml)),
        () if contains(&[".json"]) => Some(Kind::Text(Format::Json)),
        () if contains(&[".yml", ".yaml"]) => Some(Kind::Text(Format::Yaml)),
        () if contains(&[".config.js", ".config.cjs", ".config.mjs"]) => Some(Kind::JavaScript),
        () => None,
    }
}

/// Why a file has no text.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// The line of the fault, from 1.
    pub(super) line: Option<usize>,
    /// What is wrong.
    pub(super) message: String,
}

impl From<String> for Unreadable {
    fn from(message: String) -> Self {
        Self { line: None, message }
    }
}

/// Opens an ordinary file of at most [`LARGEST`] bytes; a named pipe does not block it.
pub(super) fn open(file: &Path) -> Result<File, Unreadable> {
    let explain = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "you may not read it".to_owned(),
        _ => format!("cannot read it: {error}"),
    };
    let opened =
        OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(file).map_err(explain)?;
    let metadata = opened.metadata().map_err(explain)?;
    let kind = metadata.file_type();
    match () {
        () if kind.is_dir() => Err("it is a directory, not a file".to_owned().into()),
        () if kind.is_fifo() => {
            Err("it is a named pipe, not a file; give `-` to read standard input".to_owned().into())
        }
        () if !kind.is_file() => Err("it is a device or a socket, not a file".to_owned().into()),
        () if metadata.len() > LARGEST => Err(too_large()),
        () => Ok(opened),
    }
}

/// The text of a file, without a byte order mark.
pub(super) fn read_text(file: &Path) -> Result<String, Unreadable> {
    let mut bytes = Vec::new();
    let opened = open(file)?;
    opened.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot read it: {error}"))?;
    check_text(bytes)
}

/// Bytes as text, if they can be a declaration.
fn check_text(bytes: Vec<u8>) -> Result<String, Unreadable> {
    if bytes.len() as u64 > LARGEST {
        return Err(too_large());
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        Unreadable { line: Some(line_at(error.as_bytes(), good)), message: "it is not UTF-8 text".to_owned() }
    })?;
    check_str(&text)?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Whether a text can be a declaration at all.
pub(super) fn check_str(text: &str) -> Result<(), Unreadable> {
    if text.len() as u64 > LARGEST {
        return Err(too_large());
    }
    match text.find('\0') {
        Some(at) => Err(Unreadable {
            line: Some(line_at(text.as_bytes(), at)),
            message: "it contains a NUL byte, so it is not text".to_owned(),
        }),
        None => Ok(()),
    }
}

fn line_at(bytes: &[u8], offset: usize) -> usize {
    bytes[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
}

fn too_large() -> Unreadable {
    format!("it is larger than {} MiB", LARGEST >> 20).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let text = |format| Some(Kind::Text(format));
        for (name, kind_of) in [
            ("ecosystem.toml", text(Format::Toml)),
            ("a.json", text(Format::Json)),
            ("a.json5", text(Format::Json)),
            ("x.json.bak", text(Format::Json)),
            ("x.config.json", text(Format::Json)),
            ("dir/a.yml", text(Format::Yaml)),
            ("a.yaml", text(Format::Yaml)),
            ("ecosystem.config.js", Some(Kind::JavaScript)),
            ("x.config.cjs", Some(Kind::JavaScript)),
            ("x.config.mjs", Some(Kind::JavaScript)),
            ("app.js", None),
            ("x.config.ts", None),
            ("server.toml.js", None),
            ("my.json.d/app.js", None),
            ("web", None),
            ("", None),
        ] {
            assert_eq!(kind(name), kind_of, "{name}");
        }
    }

    #[test]
    fn texts() {
        assert_eq!(check_text(b"\xef\xbb\xbfa".to_vec()).unwrap(), "a");
        assert_eq!(check_text(b"a\nb\xff".to_vec()).unwrap_err().line, Some(2));
        assert_eq!(check_text(b"a\n\n\0".to_vec()).unwrap_err().line, Some(3));
        assert!(check_text(vec![b' '; LARGEST as usize + 1]).unwrap_err().message.contains("1 MiB"));
    }
}
