//! From an image's name to its addresses: appc's meta discovery.
//!
//! `https://example.com/app?ac-discovery=1` is asked, then `https://example.com?ac-discovery=1`, until a page has an element
//! `<meta name="ac-discovery" content="PREFIX TEMPLATE">` whose prefix the name begins with. Pages are read by the fetcher.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use bulkhead_protocol::fetch::{Meta, MetaKind};
use bulkhead_trust::Prefix;

use crate::registry::FetchError;
use crate::store::Remote;
use crate::web::Web;

/// What stands before a name.
const SCHEME: &str = "aci://";

/// Names of labels that every image has.
const VERSION: &str = "version";
const ARCH: &str = "arch";
const OS: &str = "os";

/// The name of an ACI, and labels that tell it from others of this name: `NAME[:VERSION][,LABEL=VALUE…]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AciName {
    name: Prefix,
    /// Those that are given.
    labels: BTreeMap<String, String>,
}

/// Text that is no name of an ACI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the name of an ACI: {problem}")]
pub struct BadAciName {
    text: String,
    problem: &'static str,
}

/// Pages that say nothing of a name.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// None has a fitting element, or could be read.
    #[error("no page says where {name} is; the last one was {page}")]
    Nowhere {
        /// The name.
        name: String,
        /// The address of the last page.
        page: String,
        /// What was wrong with it, if it could not be read.
        source: Option<FetchError>,
    },
}

impl AciName {
    /// Whether this text is such a name.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// A name without labels.
    #[must_use]
    pub fn of(name: Prefix) -> Self {
        Self {
            name,
            labels: BTreeMap::new(),
        }
    }

    /// A name with labels, each of which can stand in an address.
    pub(crate) fn with_labels<'a>(
        name: Prefix,
        given: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, BadAciName> {
        let mut labels = BTreeMap::new();
        for (label, value) in given {
            let is_of_address = |b: u8| b.is_ascii_alphanumeric() || b"-._~+".contains(&b);
            let bad = |problem| BadAciName {
                text: format!("{name},{label}={value}"),
                problem,
            };
            if label.parse::<Prefix>().is_err() || matches!(label, "name" | "ext") {
                return Err(bad("a label has another name"));
            }
            if value.is_empty() || !value.bytes().all(is_of_address) {
                return Err(bad(
                    "the value of a label has letters, digits and \"-._~+\"",
                ));
            }
            if labels.insert(label.to_owned(), value.to_owned()).is_some() {
                return Err(bad("a label is given twice"));
            }
        }
        Ok(Self { name, labels })
    }

    /// Without its labels.
    #[must_use]
    pub fn name(&self) -> &Prefix {
        &self.name
    }

    /// Names and values of the labels that are given.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (&String, &String)> {
        self.labels.iter()
    }

    /// Where the image is.
    ///
    /// # Errors
    /// When no page says it.
    pub fn discover(&self, web: &mut Web, plain_http: bool) -> Result<Remote, DiscoveryError> {
        self.look(web, plain_http, |metas| {
            let mut images = metas.iter().filter(|meta| meta.kind == MetaKind::Image);
            images.find_map(|meta| self.remote(&meta.template))
        })
    }

    /// Where keys of those who sign the image are.
    ///
    /// # Errors
    /// When no page says it.
    pub fn discover_keys(
        &self,
        web: &mut Web,
        plain_http: bool,
    ) -> Result<Vec<String>, DiscoveryError> {
        self.look(web, plain_http, |metas| {
            let keys = metas.iter().filter(|meta| meta.kind == MetaKind::Keys);
            let urls: Vec<String> = keys.map(|meta| meta.template.to_string()).collect();
            (!urls.is_empty()).then_some(urls)
        })
    }

    /// Asks page after page for elements that fit.
    fn look<T>(
        &self,
        web: &mut Web,
        plain_http: bool,
        find: impl Fn(&[Meta]) -> Option<T>,
    ) -> Result<T, DiscoveryError> {
        let schemes: &[&str] = match plain_http {
            true => &["https", "http"],
            false => &["https"],
        };
        let mut last = (String::new(), None);
        let beginnings: Vec<&str> = self.name.ancestry().collect();
        for beginning in beginnings.into_iter().rev() {
            for scheme in schemes {
                let page = format!("{scheme}://{beginning}?ac-discovery=1");
                last = match web.metas(&page) {
                    Ok(mut metas) => {
                        metas.retain(|meta| self.begins_with(&meta.prefix));
                        if let Some(found) = find(&metas) {
                            return Ok(found);
                        }
                        (page, None)
                    }
                    Err(error) => (page, Some(error)),
                };
            }
        }
        let (page, source) = last;
        Err(DiscoveryError::Nowhere {
            name: self.name.to_string(),
            page,
            source,
        })
    }

    /// By whole parts: `example.com/ap` is no beginning of `example.com/app`.
    fn begins_with(&self, prefix: &str) -> bool {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        self.name.ancestry().any(|beginning| beginning == prefix)
    }

    /// What a template says of this name, if it asks for nothing that is not known.
    fn remote(&self, template: &str) -> Option<Remote> {
        let default = |label: &str| match label {
            VERSION => Some("latest"),
            OS => Some("linux"),
            ARCH => Some("amd64"),
            _ => None,
        };
        let mut labels = self.labels.clone();
        for label in [VERSION, OS, ARCH] {
            let value = default(label).unwrap_or_default();
            labels.entry(label.to_owned()).or_insert(value.to_owned());
        }
        let mut filled = template.replace("{name}", self.name.as_str());
        for (label, value) in &labels {
            filled = filled.replace(&format!("{{{label}}}"), value);
        }
        let of = |ending: &str| filled.replace("{ext}", ending);
        let (aci, signature) = (of("aci"), of("aci.asc"));
        if aci.contains(['{', '}']) {
            return None;
        }
        let signature = match signature == aci {
            true => Remote::of_url(&aci).signature,
            false => signature,
        };
        Some(Remote {
            name: self.to_string(),
            aci,
            signature,
            image: Some(self.name.to_string()),
            dependency: None,
        })
    }
}

impl FromStr for AciName {
    type Err = BadAciName;

    fn from_str(text: &str) -> Result<Self, BadAciName> {
        let bad = |problem| BadAciName {
            text: text.to_owned(),
            problem,
        };
        let mut parts = text.strip_prefix(SCHEME).unwrap_or(text).split(',');
        let first = parts.next().unwrap_or_default();
        let (name, version) = match first.split_once(':') {
            Some((name, version)) => (name, Some((VERSION, version))),
            None => (first, None),
        };
        let name = name.parse();
        let name =
            name.map_err(|_| bad("a name has small letters, digits and \"-._~/\" between them"))?;
        let others = parts.map(|part| part.split_once('='));
        let given: Option<Vec<(&str, &str)>> =
            version.map(Some).into_iter().chain(others).collect();
        let given = given.ok_or_else(|| bad("a label is of the form NAME=VALUE"))?;
        Self::with_labels(name, given)
    }
}

impl fmt::Display for AciName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.name)?;
        let version = self.labels.get(VERSION);
        version.map_or(Ok(()), |version| write!(f, ":{version}"))?;
        let others = self.labels.iter().filter(|(label, _)| *label != VERSION);
        for (label, value) in others {
            write!(f, ",{label}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> AciName {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_has_a_version_and_labels() {
        for (text, shown) in [
            ("aci://example.com/app", "aci://example.com/app"),
            ("example.com/app:1.0", "aci://example.com/app:1.0"),
            ("aci://a,version=2,os=linux", "aci://a:2,os=linux"),
        ] {
            assert_eq!(parsed(text).to_string(), shown);
        }
        for text in [
            "",
            "aci://",
            "a/",
            "A",
            "a:",
            "a:1/2",
            "a,b",
            "a,b=",
            "a:1,version=2",
            "a,name=b",
            "a b",
            "a,=b",
            "a:{ext}",
        ] {
            assert!(text.parse::<AciName>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_template_is_filled_with_name_and_labels() {
        let template = "https://a/{arch}/{os}/{name}-{version}.{ext}";
        let remote = parsed("example.com/app:1.0").remote(template).unwrap();
        assert_eq!(remote.aci, "https://a/amd64/linux/example.com/app-1.0.aci");
        assert_eq!(
            remote.signature,
            "https://a/amd64/linux/example.com/app-1.0.aci.asc"
        );
        assert_eq!(remote.image.as_deref(), Some("example.com/app"));
        let remote = parsed("a,arch=arm64").remote(template).unwrap();
        assert_eq!(remote.aci, "https://a/arm64/linux/a-latest.aci");
        let fixed = parsed("a").remote("https://a/a.aci").unwrap();
        assert_eq!(fixed.signature, "https://a/a.aci.asc");
        assert_eq!(parsed("a").remote("https://a/{flavor}"), None);
        let flavor = parsed("a,flavor=x").remote("https://a/{flavor}").unwrap();
        assert_eq!(flavor.aci, "https://a/x");
    }

    #[test]
    fn a_prefix_is_a_beginning_by_whole_parts() {
        let name = parsed("example.com/app/web");
        for prefix in [
            "example.com",
            "example.com/",
            "example.com/app",
            "example.com/app/web",
        ] {
            assert!(name.begins_with(prefix), "{prefix}");
        }
        for prefix in ["", "example", "example.com/ap", "example.com/app/web/more"] {
            assert!(!name.begins_with(prefix), "{prefix}");
        }
    }
}
