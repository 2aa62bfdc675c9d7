//! The values of the isolators that limit an amount.

use serde::{Deserialize, Serialize};

use super::error::ValueError;
use super::quantity::Quantity;

/// What is wanted at least, and allowed at most; at least one of the two is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawResource")]
pub struct Resource {
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Quantity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<Quantity>,
}

#[derive(Deserialize)]
struct RawResource {
    request: Option<Quantity>,
    limit: Option<Quantity>,
}

impl Resource {
    /// A resource with this limit and no request.
    ///
    /// # Errors
    ///
    /// When the limit is zero.
    pub fn limited(limit: Quantity) -> Result<Self, ValueError> {
        Self::try_from(RawResource {
            request: None,
            limit: Some(limit),
        })
    }

    /// What the app asks for at least.
    #[must_use]
    pub fn request(&self) -> Option<&Quantity> {
        self.request.as_ref()
    }

    /// What the app may use at most; never zero.
    #[must_use]
    pub fn limit(&self) -> Option<&Quantity> {
        self.limit.as_ref()
    }
}

impl TryFrom<RawResource> for Resource {
    type Error = ValueError;

    fn try_from(raw: RawResource) -> Result<Self, ValueError> {
        if raw.request.is_none() && raw.limit.is_none() {
            return Err(ValueError::Rule("has neither request nor limit".to_owned()));
        }
        if raw
            .limit
            .as_ref()
            .is_some_and(|limit| limit.milli_units() == 0)
        {
            return Err(ValueError::Rule("limit: nothing runs with 0".to_owned()));
        }
        Ok(Self {
            request: raw.request,
            limit: raw.limit,
        })
    }
}

/// A limit that holds for all devices: the specification has no other form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawBandwidth")]
pub struct Bandwidth {
    default: bool,
    limit: Quantity,
}

#[derive(Deserialize)]
struct RawBandwidth {
    #[serde(default)]
    default: bool,
    request: Option<Quantity>,
    limit: Quantity,
}

impl Bandwidth {
    /// What the app may use at most.
    #[must_use]
    pub fn limit(&self) -> &Quantity {
        &self.limit
    }
}

impl TryFrom<RawBandwidth> for Bandwidth {
    type Error = ValueError;

    fn try_from(raw: RawBandwidth) -> Result<Self, ValueError> {
        if !raw.default {
            return Err(ValueError::Rule("default: must be true".to_owned()));
        }
        if raw.request.is_some() {
            return Err(ValueError::Rule("request: must not be given".to_owned()));
        }
        Ok(Self {
            default: true,
            limit: raw.limit,
        })
    }
}
