//! A server of tokens for a registry: it gives tokens of access for a token of identity, as clouds do
//! (<https://distribution.github.io/distribution/spec/auth/oauth/>), and the registry takes none but its own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The token of identity that it knows.
pub const IDENTITY: &str = "who.we-are";

const SERVICE: &str = "registry of a test";
const ISSUER: &str = "tokens of a test";

/// One that answers until its owner's process ends.
#[derive(Debug)]
pub struct TokenServer {
    host: String,
    directory: TempDir,
}

impl TokenServer {
    /// On loopback, with a key of its own.
    ///
    /// # Errors
    /// When openssl fails, or no port is free.
    pub fn start() -> Result<Self> {
        let directory = TempDir::new().context("make a directory for a key")?;
        let make = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tokens -keyout key -out certificate";
        openssl(directory.path(), make)?;
        let listener = TcpListener::bind("127.0.0.1:0").context("listen")?;
        let host = listener.local_addr()?.to_string();
        let keys = directory.path().to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that has had enough is no matter.
                let _ = answer(&client, &keys);
            }
        });
        Ok(Self { host, directory })
    }

    /// The lines of a registry's configuration that make it take this server's tokens.
    #[must_use]
    pub fn configuration(&self) -> String {
        format!(
            "auth: {{token: {{realm: 'http://{}/token', service: {SERVICE}, issuer: {ISSUER}, rootcertbundle: {}}}}}\n",
            self.host,
            self.directory.path().join("certificate").display()
        )
    }
}

fn answer(client: &TcpStream, keys: &Path) -> Result<()> {
    let mut reader = BufReader::new(client);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(number) = line.strip_prefix("content-length: ") {
            length = number.parse()?;
        }
    }
    let mut form = String::new();
    reader.take(length).read_to_string(&mut form)?;
    let field = |name: &str| {
        let fields = form.split('&').filter_map(|field| field.split_once('='));
        let mut values = fields.filter(|(of, _)| *of == name);
        values.next().map_or("", |(_, value)| value)
    };
    let is_known = field("grant_type") == "refresh_token"
        && field("refresh_token") == IDENTITY
        && field("service") == SERVICE.replace(' ', "+");
    let scope = field("scope").replace("%3A", ":").replace("%2F", "/");
    let (status, body) = match (is_known, scope.split(':').collect::<Vec<_>>().as_slice()) {
        (true, ["repository", name, "pull"]) => {
            let token = json!({"access_token": token(keys, name)?, "expires_in": 300});
            ("200 OK", token.to_string())
        }
        _ => ("401 Unauthorized", "nobody we know".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    (&mut &*client).write_all((head + &body).as_bytes())?;
    Ok(())
}

/// A JSON Web Token that lets who has it pull.
fn token(keys: &Path, repository: &str) -> Result<String> {
    let certificate = fs::read_to_string(keys.join("certificate"))?;
    let certificate: String = certificate
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [certificate]});
    let claims = json!({
        "iss": ISSUER, "sub": "", "aud": SERVICE, "exp": now + 300, "nbf": now - 60, "iat": now, "jti": "1",
        "access": [{"type": "repository", "name": repository, "actions": ["pull"]}],
    });
    let part = |value: &Value| {
        fs::write(keys.join("part"), value.to_string())?;
        base64url(keys, "part")
    };
    let signed = format!("{}.{}", part(&header)?, part(&claims)?);
    fs::write(keys.join("signed"), &signed)?;
    openssl(keys, "dgst -sha256 -sign key -out signature signed")?;
    Ok(format!("{signed}.{}", base64url(keys, "signature")?))
}

fn base64url(keys: &Path, file: &str) -> Result<String> {
    openssl(keys, &format!("base64 -A -in {file} -out text"))?;
    let text = fs::read_to_string(keys.join("text"))?;
    Ok(text
        .trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_"))
}

fn openssl(directory: &Path, words: &str) -> Result<()> {
    let mut command = Command::new("openssl");
    let output = command
        .current_dir(directory)
        .args(words.split(' '))
        .output();
    let output = output.context("run openssl")?;
    if !output.status.success() {
        bail!(
            "openssl {words}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
