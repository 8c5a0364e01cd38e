//! What a line looks like in its file.
//!
//! Question answered here: *which bytes stand in the file for these bytes of output?* It may not do any input or output.
//!
//! A piece is what lies between two newlines, or a part of that. Framed bytes can be taken back to the end of any piece, so
//! that output is never half consumed.

use std::borrow::Cow;

use jiff::Zoned;
use serde_json::Value;
use supd_api::{LogForm, Stream};

use super::Source;
use crate::dates::DateFormat;

/// So many framed bytes should be made at a time.
pub(super) const MOST: usize = 256 * 1024;

/// The form of one worker's stream.
pub(super) enum Form {
    Plain,
    Dated(DateFormat),
    Json { date: Option<DateFormat>, members: String },
}

/// What the next piece follows in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// A newline, or nothing.
    Line,
    /// The beginning of the same line.
    Begun,
    /// A line of another writer that has no end.
    Foreign,
}

/// Bytes for a file.
pub(super) struct Framed<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    /// After each piece: how many bytes of output it ends, and how many framed ones. Empty: they are the same.
    pieces: Vec<(usize, usize)>,
}

impl Form {
    pub(super) fn new(form: &LogForm, source: &Source) -> Self {
        match form {
            LogForm::Plain => Self::Plain,
            LogForm::Dated(format) => Self::Dated(DateFormat::new(format)),
            LogForm::Json(format) => {
                let stream = match source.stream {
                    Stream::Out => "out",
                    Stream::Err => "err",
                };
                let name = Value::from(source.app.as_str());
                let members =
                    format!("\"type\":\"{stream}\",\"process_id\":{},\"app_name\":{name}}}\n", source.worker);
                Self::Json { date: format.as_deref().map(DateFormat::new), members }
            }
        }
    }

    /// A line is one object, so that it should be there as a whole.
    pub(super) fn wants_lines(&self) -> bool {
        match self {
            Self::Plain | Self::Dated(_) => false,
            Self::Json { .. } => true,
        }
    }

    /// As many of these bytes as should go now, with what belongs around them. Not more than `room` if possible, but at
    /// least one piece.
    pub(super) fn frame<'a>(&self, bytes: &'a [u8], after: After, room: usize) -> Framed<'a> {
        match self {
            Self::Plain => {
                let taken = whole_lines(bytes, room);
                Framed { bytes: Cow::Borrowed(&bytes[..taken]), pieces: Vec::new() }
            }
            Self::Dated(format) => {
                let prefix = format!("{}: ", format.at(&Zoned::now()));
                pieces(bytes, room, |out, piece, first| {
                    match (first, after) {
                        (true, After::Begun) => {}
                        (true, After::Foreign) => {
                            out.push(b'\n');
                            out.extend_from_slice(prefix.as_bytes());
                        }
                        (true, After::Line) | (false, _) => out.extend_from_slice(prefix.as_bytes()),
                    }
                    out.extend_from_slice(piece);
                })
            }
            Self::Json { date, members } => {
                let now = Zoned::now();
                let timestamp = match date {
                    Some(format) => format.at(&now),
                    None => format!("{:.3}", now.timestamp()),
                };
                let members = format!(",\"timestamp\":{},{members}", Value::from(timestamp));
                pieces(bytes, room, |out, piece, first| {
                    if first && after != After::Line {
                        out.push(b'\n');
                    }
                    out.extend_from_slice(b"{\"message\":");
                    // A Vec takes everything, and a string can always be written.
                    let _ = serde_json::to_writer(&mut *out, &String::from_utf8_lossy(piece));
                    out.extend_from_slice(members.as_bytes());
                })
            }
        }
    }
}

fn pieces<'a>(bytes: &[u8], room: usize, put: impl Fn(&mut Vec<u8>, &[u8], bool)) -> Framed<'a> {
    let mut out = Vec::with_capacity(bytes.len() * 5 / 4);
    let mut pieces: Vec<(usize, usize)> = Vec::new();
    let mut taken = 0;
    for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
        put(&mut out, piece, pieces.is_empty());
        if out.len() > room
            && let Some((_, end)) = pieces.last()
        {
            out.truncate(*end);
            break;
        }
        taken += piece.len();
        pieces.push((taken, out.len()));
    }
    Framed { bytes: Cow::Owned(out), pieces }
}

/// The lines of which the last one ends within `room`; at least one, or its part.
fn whole_lines(bytes: &[u8], room: usize) -> usize {
    if bytes.len() <= room {
        return bytes.len();
    }
    let newline = bytes[..room].iter().rposition(|&byte| byte == b'\n');
    let newline = newline.or_else(|| bytes.iter().position(|&byte| byte == b'\n'));
    newline.map_or(bytes.len(), |newline| newline + 1)
}

impl Framed<'_> {
    /// One piece that is so many bytes of output.
    pub(super) fn piece(bytes: Vec<u8>, taken: usize) -> Self {
        Self { pieces: vec![(taken, bytes.len())], bytes: Cow::Owned(bytes) }
    }

    /// How many bytes of output these are.
    pub(super) fn taken(&self) -> usize {
        self.pieces.last().map_or(self.bytes.len(), |(taken, _)| *taken)
    }

    pub(super) fn is_plain(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Of so many framed bytes, how many end with a piece, and how many bytes of output these are.
    pub(super) fn whole(&self, framed: usize) -> (usize, usize) {
        if self.is_plain() {
            return (framed, framed);
        }
        let piece = self.pieces.iter().rev().find(|(_, end)| *end <= framed);
        piece.map_or((0, 0), |(taken, end)| (*end, *taken))
    }

    /// As [`whole`](Self::whole), with the piece in which the last of so many framed bytes lies.
    pub(super) fn through(&self, framed: usize) -> (usize, usize) {
        let piece = self.pieces.iter().find(|(_, end)| *end >= framed);
        piece.map_or((framed, framed), |(taken, end)| (*end, *taken))
    }

    /// How many framed bytes stand for the pieces within so many bytes of output.
    pub(super) fn length_of(&self, taken: usize) -> usize {
        if self.is_plain() {
            return taken.min(self.bytes.len());
        }
        let piece = self.pieces.iter().rev().find(|(end, _)| *end <= taken);
        piece.map_or(0, |(_, end)| *end)
    }
}

/// Without the first bytes of a character whose last ones are still missing; all of them if there is nothing else.
pub(super) fn whole_characters(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let at = bytes.len() - back;
        let length = match bytes[at] {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if length > back && at > 0 { at } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use supd_api::AppName;
    use supd_keeper::protocol::RunId;

    use super::*;

    fn form(form: &LogForm) -> Form {
        let app = AppName::new("a \"b\"").unwrap();
        Form::new(
            form,
            &Source { run: RunId(1), app, namespace: String::new(), worker: 7, stream: Stream::Err },
        )
    }

    fn framed(kind: &LogForm, bytes: &[u8], after: After, room: usize) -> (String, usize) {
        let framed = form(kind).frame(bytes, after, room).bytes.into_owned();
        (String::from_utf8_lossy(&framed).into_owned(), form(kind).frame(bytes, after, room).taken())
    }

    #[test]
    fn every_line_has_its_date_once() {
        let dated = LogForm::Dated("[t]".to_owned());
        let whole = |after| framed(&dated, b"a\n\nb", after, 1000).0;
        assert_eq!(whole(After::Line), "t: a\nt: \nt: b");
        assert_eq!(whole(After::Begun), "a\nt: \nt: b");
        assert_eq!(whole(After::Foreign), "\nt: a\nt: \nt: b");
        assert_eq!(framed(&dated, b"a\nb\nc\n", After::Line, 11), ("t: a\nt: b\n".to_owned(), 4));
        assert_eq!(framed(&dated, b"long\nb\n", After::Line, 3), ("t: long\n".to_owned(), 5), "at least one");
    }

    #[test]
    fn an_object_has_the_members_of_pm2s() {
        let json = LogForm::Json(Some("[t]".to_owned()));
        let members =
            ",\"timestamp\":\"t\",\"type\":\"err\",\"process_id\":7,\"app_name\":\"a \\\"b\\\"\"}\n";
        let (text, taken) = framed(&json, b"a\"\0\n\xff", After::Line, 1000);
        let expected =
            format!("{{\"message\":\"a\\\"\\u0000\\n\"{members}{{\"message\":\"\u{fffd}\"{members}");
        assert_eq!((text, taken), (expected, 5));
        let (text, _) = framed(&LogForm::Json(None), b"x\n", After::Line, 1000);
        let object: Value = serde_json::from_str(&text).unwrap();
        let time = object["timestamp"].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    }

    #[test]
    fn it_is_known_which_output_framed_bytes_stand_for() {
        let dated = form(&LogForm::Dated("[t]".to_owned()));
        let framed = dated.frame(b"ab\ncd\n", After::Line, 1000);
        assert_eq!(
            [0, 5, 6, 11, 12].map(|bytes| framed.whole(bytes)),
            [(0, 0), (0, 0), (6, 3), (6, 3), (12, 6)]
        );
        assert_eq!([0, 2, 3, 5, 6].map(|taken| framed.length_of(taken)), [0, 0, 6, 6, 12]);
        let plain = Form::Plain.frame(b"ab\ncd\n", After::Line, 4);
        assert_eq!((plain.taken(), plain.whole(2), plain.length_of(1)), (3, (2, 2), 1));
        assert_eq!(Form::Plain.frame(b"abcdef\ng", After::Line, 4).taken(), 7);
    }

    #[test]
    fn characters_are_kept_whole() {
        for (bytes, whole) in [
            (&b"abc"[..], 3),
            ("aé".as_bytes(), 3),
            (b"a\xc3", 1),
            ("a€".as_bytes(), 4),
            (b"a\xe2\x82", 1),
            (b"a\xf0\x9f\x98", 1),
            (b"\xc3", 1),
            (b"\x80\x80\x80\x80", 4),
            (b"", 0),
        ] {
            assert_eq!(whole_characters(bytes), whole, "{bytes:?}");
        }
    }
}
