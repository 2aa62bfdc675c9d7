use bulkhead_protocol::bounded::Text;
use reqwest::Client;
use reqwest::header::AUTHORIZATION;

use super::*;

fn logins() -> Logins {
    let text = |text: &str| Text::try_from(text).unwrap();
    let mut logins = Logins::default();
    logins.add(Login {
        host: Text::try_from("example.com").unwrap(),
        credentials: Credentials::Basic {
            user: text("user"),
            password: text("secret"),
        },
    });
    for host in ["example.com:8443", "127.0.0.1:80", "127.0.0.1"] {
        logins.add(Login {
            host: Text::try_from(host).unwrap(),
            credentials: Credentials::Bearer(text("token")),
        });
    }
    logins
}

/// What a server hears of who asks.
fn told(url: &str) -> Option<String> {
    // Nobody else installs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url: Url = url.parse().unwrap();
    let request = logins().of(&url, Client::new().get(url.clone()));
    let request = request.build().unwrap();
    let header = request.headers().get(AUTHORIZATION)?;
    assert!(header.is_sensitive());
    Some(header.to_str().unwrap().to_owned())
}

#[test]
fn a_server_is_told_by_host_and_port() {
    let basic = Some("Basic dXNlcjpzZWNyZXQ=".to_owned());
    let bearer = Some("Bearer token".to_owned());
    assert_eq!(told("https://example.com/a"), basic);
    assert_eq!(told("https://example.com:443/a"), basic);
    assert_eq!(told("https://EXAMPLE.com/a"), basic);
    assert_eq!(told("https://example.com:8443/a"), bearer);
    for url in [
        "https://example.com:444/",
        "https://www.example.com/",
        "https://example.com.a/",
        "https://a/example.com",
    ] {
        assert_eq!(told(url), None, "{url}");
    }
}

#[test]
fn nobody_is_told_in_the_clear_but_this_host() {
    assert_eq!(told("http://example.com/a"), None);
    assert_eq!(told("http://example.com:8443/a"), None);
    assert_eq!(told("http://127.0.0.1/a"), Some("Bearer token".to_owned()));
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!("{:?}", logins());
    assert!(
        !shown.contains("secret") && !shown.contains("token"),
        "{shown}"
    );
}
