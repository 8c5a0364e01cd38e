//! What does a command line of PM2 say? Flags stand anywhere, before the command or after it. Nothing is looked up here.

use serde_json::{Map, Value, json};

use super::commands::{self, Command};
use super::flags::{EVERYWHERE, Flag, Means, Opt, Shape, Takes};

/// A command line, taken apart.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// `None`: there is none.
    pub(super) command: Option<&'static Command>,
    /// What is neither flag nor value.
    pub(super) words: Vec<String>,
    /// The flags in their order.
    given: Vec<(&'static Flag, Option<String>)>,
    /// What follows `--`.
    pub(super) rest: Option<Vec<String>>,
    /// What looks like a flag and is none.
    pub(super) unknown: Vec<String>,
}

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    UnknownCommand(String),
    UnknownOption(String),
    /// The flag needs a value.
    MissingValue(&'static str),
    /// The flag takes none.
    NeedlessValue(&'static str),
    /// The command needs a word of this kind.
    MissingWord(&'static str),
    /// The command has no use for this word.
    NeedlessWord(String),
}

/// A word that may belong to the flag before it.
struct Doubtful {
    /// Which of the flags that are given.
    flag: usize,
    /// Where among the words it stands.
    at: usize,
}

/// Takes a command line apart, without the program's name.
///
/// # Errors
/// [`Wrong`] says what cannot be understood.
pub(super) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Line, Wrong> {
    let arguments: Vec<String> = arguments.into_iter().collect();
    let own = own_flags(&arguments);
    let line = take_apart(own, arguments)?;
    line.unknown.first().map_or(Ok(()), |option| Err(Wrong::UnknownOption(option.clone())))?;
    line.check()
}

/// As [`parse`], with these flags beside those that are known everywhere. Unknown ones are no error.
///
/// # Errors
/// The same.
pub(super) fn parse_leniently(
    own: &'static [Flag],
    arguments: impl IntoIterator<Item = String>,
) -> Result<Line, Wrong> {
    take_apart(own, arguments.into_iter().collect())?.check()
}

fn take_apart(own: &'static [Flag], arguments: Vec<String>) -> Result<Line, Wrong> {
    let mut line = Line::default();
    let mut doubtful: Vec<Doubtful> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut rest = arguments.into_iter().peekable();
    while let Some(argument) = rest.next() {
        if argument == "--" {
            line.rest = Some(rest.collect());
            break;
        }
        let (flag, attached, cluster) = match as_flag(&argument, own) {
            Ok(Some(found)) => found,
            Ok(None) => {
                words.push(argument);
                continue;
            }
            Err(Unknown) => {
                line.unknown.push(argument);
                continue;
            }
        };
        line.given.extend(cluster.into_iter().map(|flag| (flag, None)));
        let takes = |word: &String| may_take(flag.takes, word);
        let value = match (flag.takes, attached) {
            (Takes::Nothing, None) => None,
            (Takes::Nothing, Some(_)) => return Err(Wrong::NeedlessValue(flag.long)),
            (_, Some(value)) => Some(value),
            (Takes::Value, None) => Some(rest.next().ok_or(Wrong::MissingValue(flag.long))?),
            (Takes::Numbers, None) => {
                let mut numbers = Vec::new();
                while let Some(number) = rest.next_if(takes) {
                    numbers.push(number);
                }
                if numbers.is_empty() {
                    return Err(Wrong::MissingValue(flag.long));
                }
                Some(numbers.join(","))
            }
            (Takes::MaybeNumber | Takes::MaybeFormat, None) => rest.next_if(takes),
            (Takes::Maybe, None) => {
                if let Some(word) = rest.next_if(takes) {
                    doubtful.push(Doubtful { flag: line.given.len(), at: words.len() });
                    words.push(word);
                }
                None
            }
        };
        line.given.push((flag, value));
    }
    line.settle(words, doubtful)?;
    Ok(line)
}

/// The flags of the command, which may stand behind them: the first argument that names one.
fn own_flags(arguments: &[String]) -> &'static [Flag] {
    let before = arguments.iter().take_while(|argument| *argument != "--");
    before
        .filter_map(|argument| commands::find(argument))
        .map(|command| command.flags)
        .next()
        .unwrap_or_default()
}

type Found = (&'static Flag, Option<String>, Vec<&'static Flag>);

/// It looks like a flag, and there is none of that name.
struct Unknown;

/// The flag that an argument is, the value attached to it, and the short flags before it in one argument (`-sf`).
fn as_flag(argument: &str, own: &'static [Flag]) -> Result<Option<Found>, Unknown> {
    let flags = || own.iter().chain(EVERYWHERE);
    if let Some(long) = argument.strip_prefix("--") {
        let (name, value) =
            long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value.to_owned())));
        let flag = flags().find(|flag| flag.long == name).ok_or(Unknown)?;
        return Ok(Some((flag, value, Vec::new())));
    }
    // `-` is standard input, and no flag of PM2 begins with a digit: `scale app -1`.
    let Some(letters) = argument.strip_prefix('-').filter(|rest| !rest.is_empty()) else { return Ok(None) };
    if letters.starts_with(|first: char| first.is_ascii_digit()) {
        return Ok(None);
    }
    let mut before = Vec::new();
    let mut letters = letters.chars();
    while let Some(letter) = letters.next() {
        let flag = flags().find(|flag| flag.short == Some(letter)).ok_or(Unknown)?;
        let attached = letters.as_str();
        if attached.is_empty() {
            return Ok(Some((flag, None, before)));
        }
        if flag.takes != Takes::Nothing {
            return Ok(Some((flag, Some(attached.strip_prefix('=').unwrap_or(attached).to_owned()), before)));
        }
        before.push(flag);
    }
    Err(Unknown)
}

/// Whether a word can be what may follow a flag.
fn may_take(takes: Takes, word: &str) -> bool {
    match takes {
        Takes::Nothing | Takes::Value => false,
        // `--watch false` is no folder, but meant as a value.
        Takes::Maybe => !word.starts_with('-'),
        Takes::MaybeNumber => word.parse::<u64>().is_ok(),
        Takes::MaybeFormat => ["YY", "MM", "DD", "HH", "mm", "ss"].iter().any(|token| word.contains(token)),
        Takes::Numbers => word.split([',', ' ']).all(|part| part.parse::<i64>().is_ok()),
    }
}

impl Line {
    /// Gives each doubtful word to its flag, as PM2 does, unless the command would lack its target then.
    fn settle(&mut self, words: Vec<String>, doubtful: Vec<Doubtful>) -> Result<(), Wrong> {
        let sure = words.len() - doubtful.len();
        let named = words.first().filter(|_| doubtful.first().is_none_or(|first| first.at > 0));
        let command = named.and_then(|name| commands::find(name));
        // A command without its target is of no use, even where PM2 has a default for it.
        let enough = command.is_none_or(|command| sure > command.least.max(1));
        let enough = enough && named.is_some();
        let mut kept = Vec::new();
        for (at, word) in words.into_iter().enumerate() {
            match doubtful.iter().find(|doubt| doubt.at == at && enough) {
                Some(doubt) => self.given[doubt.flag].1 = Some(word),
                None => kept.push(word),
            }
        }
        self.words = kept;
        if self.words.is_empty() {
            return Ok(());
        }
        let name = self.words.remove(0);
        self.command = Some(commands::find(&name).ok_or(Wrong::UnknownCommand(name))?);
        Ok(())
    }

    fn check(self) -> Result<Self, Wrong> {
        let Some(command) = self.command.filter(|_| !self.has(Opt::Help)) else { return Ok(self) };
        if self.words.len() < command.least {
            return Err(Wrong::MissingWord(command.words));
        }
        match command.most.and_then(|most| self.words.get(most)) {
            Some(word) => Err(Wrong::NeedlessWord(word.clone())),
            None => Ok(self),
        }
    }

    /// Whether that is given.
    pub(super) fn has(&self, option: Opt) -> bool {
        self.given.iter().any(|(flag, _)| flag.means == Means::Option(option))
    }

    /// What was given with it, last.
    pub(super) fn value(&self, option: Opt) -> Option<&str> {
        let given = self.given.iter().rev().find(|(flag, _)| flag.means == Means::Option(option));
        given.and_then(|(_, value)| value.as_deref())
    }

    /// Which of these was given last.
    pub(super) fn last_of(&self, options: &[Opt]) -> Option<Opt> {
        self.given.iter().rev().find_map(|(flag, _)| match flag.means {
            Means::Option(option) => options.contains(&option).then_some(option),
            Means::Field(..) | Means::Without(_) => None,
        })
    }

    /// What the flags, and the arguments after `--`, say about an app.
    pub(super) fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        for (flag, value) in &self.given {
            if let Means::Field(name, shape) = flag.means {
                set(&mut fields, name, shape, value.as_deref());
            }
        }
        if let Some(arguments) = &self.rest {
            fields.insert("args".to_owned(), json!(arguments));
        }
        fields
    }

    /// Flags that configure what supd does not have, and why not.
    pub(super) fn without(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.given.iter().filter_map(|(flag, _)| match flag.means {
            Means::Without(why) if !why.is_empty() => Some((flag.long, why)),
            Means::Without(_) | Means::Field(..) | Means::Option(_) => None,
        })
    }
}

fn set(fields: &mut Map<String, Value>, name: &str, shape: Shape, value: Option<&str>) {
    let word = value.unwrap_or_default();
    let parts = || word.split([',', ' ']).filter(|part| !part.is_empty());
    let set = match shape {
        // PM2's own default holds.
        Shape::Number if value.is_none() => return,
        Shape::Text => json!(word),
        Shape::Number => number(word),
        Shape::Switch => value.map_or(json!(true), |word| json!(word)),
        Shape::Off => json!(false),
        Shape::Always(text) => json!(text),
        Shape::List => json!(parts().collect::<Vec<_>>()),
        Shape::Integers => json!(parts().map(number).collect::<Vec<_>>()),
        Shape::Seconds => json!(milliseconds(word)),
        Shape::Element => match (value, fields.remove(name)) {
            (None, Some(before)) => before,
            (None, None) => json!(true),
            (Some("true" | "false"), _) => json!(word == "true"),
            (Some(word), Some(Value::Array(mut before))) => {
                before.push(json!(word));
                Value::Array(before)
            }
            (Some(word), _) => json!([word]),
        },
    };
    fields.insert(name.to_owned(), set);
}

fn number(word: &str) -> Value {
    word.parse::<i64>().map_or_else(|_| json!(word), |number| json!(number))
}

/// PM2's `--watch-delay 4` is four seconds; what is no number is left to whoever reads the field.
fn milliseconds(word: &str) -> Value {
    word.parse::<f64>().map_or_else(|_| json!(word), |seconds| json!((seconds * 1000.0).round() as i64))
}

#[cfg(test)]
mod tests;
