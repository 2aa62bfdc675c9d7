//! The words of a call.

use std::ffi::OsString;

use super::{Call, DEBUG_VARIABLE, STAGE1_VARIABLE, dist};

/// Behind the subcommand further ones add to it; before it one behind it would take its place.
const UNSIGNED: &str = "--insecure-options=image";

impl Call {
    pub(super) fn all_words(&self) -> Vec<OsString> {
        let mut words = self.words.clone();
        let takes_unsigned = self.takes_unsigned && self.program == dist().join("bin/bulkhead");
        if self.apps.is_empty() && takes_unsigned {
            words.insert(0, UNSIGNED.into());
        }
        if let Some(data) = &self.data {
            words.push("--dir".into());
            words.push(data.into());
        }
        if self.apps.is_empty() {
            words.extend(self.pod_flags.iter().cloned());
            return words;
        }
        words.push("run".into());
        if takes_unsigned {
            words.push(UNSIGNED.into());
        }
        if let Some(stage1) = std::env::var_os(STAGE1_VARIABLE) {
            let mut flag = OsString::from("--stage1=");
            flag.push(stage1);
            words.push(flag);
        }
        if std::env::var_os(DEBUG_VARIABLE).is_some_and(|value| value == "1") {
            words.push("--debug".into());
        }
        words.extend(self.pod_flags.iter().cloned());
        for app in &self.apps {
            words.push(app.image.clone());
            words.extend(app.flags.iter().cloned());
            if !app.arguments.is_empty() {
                words.push("--".into());
                words.extend(app.arguments.iter().cloned());
                words.push("---".into());
            }
        }
        words
    }
}
