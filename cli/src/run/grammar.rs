//! Which word of `run`'s command line belongs to what.
//!
//! ```text
//! run [pod flags] IMAGE [app flags] [-- arguments… [---]] IMAGE2 [app flags] …
//! ```
//!
//! rkt's grammar. The words are sorted here, and then each section's flags are read by clap:
//!
//! * `--` begins the arguments of the last image, once an image; `---` ends them, or stands
//!   anywhere between images and means nothing;
//! * a flag of an app stands after the app's image; a flag of the pod stands anywhere but among
//!   arguments; `--mount` may stand before the first image too, and is every app's then;
//! * a flag's value is the next word, whatever it looks like, unless it follows a `=`;
//! * an empty word is nothing, except among arguments.

use std::collections::BTreeMap;

use clap::{Arg, Command};
use thiserror::Error;

/// The flags of a command line, and whose they are.
#[derive(Debug)]
pub(crate) struct FlagTable {
    flags: BTreeMap<String, Flag>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flag {
    owner: Owner,
    takes_next_word: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Pod,
    App,
    /// Known from rkt, but not implemented.
    Nobody(&'static str),
}

/// Flags of an app that are every app's before the first image.
const FOR_EVERY_APP: [&str; 1] = ["--mount"];

/// Flags of rkt that are still to come, each with what it belongs to.
const NOT_SUPPORTED_YET: [(&str, &str); 6] = [
    ("port", "networking"),
    ("ipc", "sharing of System V IPC"),
    ("no-overlay", "pods without a writable layer"),
    ("private-users", "user namespaces"),
    ("store-only", "fetching of images"),
    ("no-store", "fetching of images"),
];

impl FlagTable {
    /// The flags of two clap commands: the pod's (or simply all), and an app's.
    pub(crate) fn new(pod: Command, app: Option<Command>) -> Self {
        let mut flags = BTreeMap::new();
        for (name, subject) in NOT_SUPPORTED_YET {
            let owner = Owner::Nobody(subject);
            flags.insert(
                format!("--{name}"),
                Flag {
                    owner,
                    takes_next_word: false,
                },
            );
        }
        for name in ["-h", "--help"] {
            let flag = Flag {
                owner: Owner::Pod,
                takes_next_word: false,
            };
            flags.insert(name.to_owned(), flag);
        }
        for arg in app.iter().flat_map(Command::get_arguments) {
            insert(&mut flags, arg, Owner::App);
        }
        for arg in pod.get_arguments() {
            insert(&mut flags, arg, Owner::Pod);
        }
        Self { flags }
    }

    /// The index of the first word that is neither a flag nor a flag's value.
    pub(crate) fn first_operand(&self, words: &[String]) -> Option<usize> {
        let mut index = 0;
        while index < words.len() {
            let word = &words[index];
            if !is_flag(word) {
                return Some(index);
            }
            let takes_next = self
                .flags
                .get(word)
                .is_some_and(|flag| flag.takes_next_word);
            index += if takes_next { 2 } else { 1 };
        }
        None
    }
}

fn insert(flags: &mut BTreeMap<String, Flag>, arg: &Arg, owner: Owner) {
    let takes_next_word = arg.get_action().takes_values() && !arg.is_require_equals_set();
    for name in arg.get_long_and_visible_aliases().into_iter().flatten() {
        flags.insert(
            format!("--{name}"),
            Flag {
                owner,
                takes_next_word,
            },
        );
    }
}

/// A lone dash is a word like any other.
fn is_flag(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-')
}

/// The words of `run`, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// The pod's flags.
    pub(crate) pod: Vec<String>,
    /// Flags of every app, each with its value behind a `=`.
    pub(crate) every_app: Vec<String>,
    /// Image by image.
    pub(crate) apps: Vec<AppWords>,
}

/// The words of one app.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AppWords {
    /// The image.
    pub(crate) image: String,
    /// Flags, each with its value behind a `=`.
    pub(crate) flags: Vec<String>,
    /// Arguments for the program.
    pub(crate) arguments: Vec<String>,
}

/// Words in places where they mean nothing.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum GrammarError {
    #[error("an image is required before any app arguments (--)")]
    ArgumentsWithoutImage,
    #[error("only one set of app arguments (--) allowed per image, \"{0}\" has two")]
    ArgumentsTwice(String),
    #[error("{0} is a flag of an app: it goes after the image that it is for")]
    AppFlagBeforeImage(String),
    #[error("{flag} is not supported yet ({subject})")]
    NotSupportedYet { flag: String, subject: &'static str },
}

/// Sorts the words that follow `run`.
pub(crate) fn split(words: &[String], table: &FlagTable) -> Result<Words, GrammarError> {
    let mut split = Words::default();
    let mut words = words.iter();
    let mut last_has_arguments = false;
    while let Some(word) = words.next() {
        match word.as_str() {
            "" | "---" => {}
            "--" => {
                let Some(app) = split.apps.last_mut() else {
                    return Err(GrammarError::ArgumentsWithoutImage);
                };
                if last_has_arguments {
                    return Err(GrammarError::ArgumentsTwice(app.image.clone()));
                }
                last_has_arguments = true;
                let arguments = words.by_ref().take_while(|word| *word != "---");
                app.arguments.extend(arguments.cloned());
            }
            flag if is_flag(flag) => {
                let (name, _) = flag.split_once('=').unwrap_or((flag, ""));
                let known = table.flags.get(name);
                // The owner of a flag that nobody knows is whoever stands before it: clap then
                // reports it, with the flags that it resembles.
                let owner = known.map_or(Owner::App, |flag| flag.owner);
                let section = section(&mut split, owner, name, known.is_some())?;
                let next = known.filter(|known| known.takes_next_word && name == flag);
                match next.and_then(|_| words.next()) {
                    Some(value) => section.push(format!("{flag}={value}")),
                    None => section.push(flag.to_owned()),
                }
            }
            image => {
                split.apps.push(AppWords {
                    image: image.to_owned(),
                    ..AppWords::default()
                });
                last_has_arguments = false;
            }
        }
    }
    Ok(split)
}

/// Where a flag is put.
fn section<'a>(
    words: &'a mut Words,
    owner: Owner,
    name: &str,
    known: bool,
) -> Result<&'a mut Vec<String>, GrammarError> {
    match (owner, words.apps.last_mut()) {
        (Owner::Nobody(subject), _) => Err(GrammarError::NotSupportedYet {
            flag: name.to_owned(),
            subject,
        }),
        (Owner::App, Some(app)) => Ok(&mut app.flags),
        (Owner::App, None) if FOR_EVERY_APP.contains(&name) => Ok(&mut words.every_app),
        (Owner::App, None) if known => Err(GrammarError::AppFlagBeforeImage(name.to_owned())),
        (Owner::App, None) | (Owner::Pod, _) => Ok(&mut words.pod),
    }
}

#[cfg(test)]
#[path = "grammar_test.rs"]
mod tests;
