//! Who asks which web server.

use std::collections::BTreeMap;

use bulkhead_protocol::fetch::{Credentials, Login};
use reqwest::{RequestBuilder, Url};

use crate::web::is_of_this_host;

/// Credentials by server.
#[derive(Debug, Default)]
pub(crate) struct Logins(BTreeMap<String, Credentials>);

impl Logins {
    pub(crate) fn add(&mut self, login: Login) {
        self.0.insert(login.host.to_string(), login.credentials);
    }

    /// A request to this address, with what its server is to be told: nobody else, and not in the clear.
    pub(crate) fn of(&self, url: &Url, request: RequestBuilder) -> RequestBuilder {
        // Who is in the address, asks.
        let may_be_told = url.scheme() == "https" || is_of_this_host(url);
        if !may_be_told || !url.username().is_empty() {
            return request;
        }
        match self.0.get(&server(url)) {
            // Tokens of identity are of registries.
            None | Some(Credentials::Anonymous | Credentials::Identity(_)) => request,
            Some(Credentials::Basic { user, password }) => {
                request.basic_auth(user.as_str(), Some(password.as_str()))
            }
            Some(Credentials::Bearer(token)) => request.bearer_auth(token.as_str()),
        }
    }
}

/// The host, with its port if that is not the usual one.
fn server(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        None => host.to_owned(),
        Some(port) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
#[path = "logins_test.rs"]
mod tests;
