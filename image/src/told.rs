//! Errors that cross from one process to another: their texts.

use bulkhead_protocol::bounded::{List, Text};
use bulkhead_protocol::import::{Chain, MAX_CAUSES};

/// An error as another process says it, with its causes.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub struct Told {
    text: String,
    source: Option<Box<Told>>,
}

impl Told {
    /// As this process says it.
    pub(crate) fn of(error: &dyn std::error::Error) -> Self {
        Self::from(chain(error))
    }
}

impl From<Chain> for Told {
    fn from(chain: Chain) -> Self {
        let mut told = None;
        for text in chain.into_vec().into_iter().rev() {
            told = Some(Self {
                text: text.to_string(),
                source: told.map(Box::new),
            });
        }
        told.unwrap_or_else(|| Self {
            text: "no reason was given".to_owned(),
            source: None,
        })
    }
}

/// An error and its causes, to be told.
pub(crate) fn chain(error: &dyn std::error::Error) -> Chain {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts = causes.map(|error| Text::truncated(&error.to_string()));
    List::try_from(texts.take(MAX_CAUSES).collect::<Vec<_>>()).expect("no more than the bound")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_arrives_with_its_causes() {
        let cause = std::io::Error::other("the disk is full");
        let error = crate::source::SourceError::Io {
            what: "read",
            path: "a.aci".to_owned(),
            source: cause,
        };
        let told = Told::from(chain(&error));
        assert_eq!(told.to_string(), "cannot read a.aci");
        let cause = std::error::Error::source(&told).unwrap();
        assert_eq!(cause.to_string(), "the disk is full");
        assert!(cause.source().is_none());
    }
}
