use clap::Command;

use crate::arguments::{definition, parse};

/// Each subcommand by the words that call it, those of others included.
pub(crate) fn subcommands(of: &Command, words: &str) -> Vec<(String, Command)> {
    let called = of.get_subcommands().flat_map(|command| {
        let words = format!("{words} {}", command.get_name());
        let mut all = subcommands(command, &words);
        all.push((words.trim().to_owned(), command.clone()));
        all
    });
    called.collect()
}

/// What it shows behind its flags.
pub(crate) fn text(command: &Command) -> String {
    command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// The calls in it: what stands behind two blanks explains them.
pub(crate) fn calls(text: &str) -> Vec<Vec<String>> {
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("  bulkhead "));
    let calls = lines.map(|line| line.split("  ").next().unwrap_or(line));
    calls
        .map(|call| call.split_whitespace().map(str::to_owned).collect())
        .collect()
}

#[test]
fn every_subcommand_that_is_for_pods_has_an_example_of_itself() {
    let others = [
        "config",
        "doctor",
        "version",
        "completion",
        "man-pages",
        "help",
        "app help",
    ];
    for (words, command) in subcommands(&definition(), "") {
        let text = text(&command);
        let own = calls(&text)
            .iter()
            .any(|call| call.join(" ").starts_with(&words));
        assert!(own || others.contains(&&*words), "{words}: {text}");
    }
}

#[test]
fn every_example_is_a_command_line() {
    let all = definition();
    let mut texts = vec![text(&all)];
    texts.extend(
        subcommands(&all, "")
            .iter()
            .map(|(_, command)| text(command)),
    );
    for call in texts.iter().flat_map(|text| calls(text)) {
        assert!(parse(&call).is_ok(), "{call:?}: {:?}", parse(&call));
    }
}
