//! The fetcher: speaks to one registry, or to web servers, for who keeps the image store, at the other end of the socket that it is given.
//!
//! * [`socket`]: what is asked and answered;
//! * [`registry`]: one registry, by the `oci-client` crate;
//! * [`web`] and [`discovery`]: files of web servers, and what their pages say of images;
//! * [`logins`]: who asks web servers;
//! * [`manifest`] and [`blob`]: what is brought, again and again where that may help;
//! * [`retry`]: how often, and after how long.
//!
//! It has no privileges, opens none of the caller's files, and keeps none of its own. Digests are not its business: who asked
//! checks them.

mod blob;
mod discovery;
mod identity;
mod logins;
mod manifest;
mod pace;
mod registry;
mod retry;
mod socket;
mod web;

use std::fs::File;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bulkhead_protocol::fetch::{FromFetcher, PARALLEL_BLOBS, SOCKET, ToFetcher};
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::sync::Semaphore;

use registry::Registry;
use retry::MayPass;
use socket::{Requests, Socket, requests};
use web::Web;

/// Memory that it may have. What a registry answers at once (a manifest, a token, an error) is held whole, and nothing else bounds it.
const MAX_MEMORY: u64 = 128 << 20;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bulkhead-fetch: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let socket = Socket::new(bulkhead_jail::inherited(SOCKET)?);
    let limit = Rlimit {
        current: Some(MAX_MEMORY),
        maximum: Some(MAX_MEMORY),
    };
    setrlimit(Resource::Data, limit)
        .map_err(io::Error::from)
        .context("bound the memory")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start")?;
    let provider = rustls::crypto::ring::default_provider();
    // Nobody else installs one.
    let _ = provider.install_default();
    let requests = requests(&socket);
    runtime.block_on(serve(&socket, requests))
}

/// Until nobody asks any more.
async fn serve(socket: &Socket, mut requests: Requests) -> Result<()> {
    match requests.recv().await {
        Some((ToFetcher::Open(whose), _)) => {
            let registry = Registry::new(&whose)?;
            serve_registry(socket, requests, Arc::new(registry)).await
        }
        Some((ToFetcher::Web(how), _)) => serve_web(socket, requests, Web::new(&how)?).await,
        _ => bail!("no registry was named, and no web"),
    }
}

async fn serve_web(socket: &Socket, mut requests: Requests, mut web: Web) -> Result<()> {
    while let Some((request, file)) = requests.recv().await {
        let brought = match request {
            ToFetcher::Login(login) => {
                web.log_in(login);
                continue;
            }
            ToFetcher::Get(get) => {
                let file = File::from(file.context("a request without a file")?);
                web.bring(&get, &file, socket).await
            }
            ToFetcher::Metas(page) => {
                let page = web.page(&page).await;
                page.map(|page| FromFetcher::Metas(discovery::metas(&page)))
            }
            _ => bail!("something of a registry was asked for, and none was named"),
        };
        socket.tell(&brought.unwrap_or_else(|error| failed(None, &error)))?;
    }
    Ok(())
}

async fn serve_registry(
    socket: &Socket,
    mut requests: Requests,
    registry: Arc<Registry>,
) -> Result<()> {
    let slots = Arc::new(Semaphore::new(PARALLEL_BLOBS));
    while let Some((request, file)) = requests.recv().await {
        let file = File::from(file.context("a request without a file")?);
        let (registry, socket) = (Arc::clone(&registry), socket.clone());
        match request {
            ToFetcher::Open(_) => bail!("a second registry was named"),
            ToFetcher::Web(_) | ToFetcher::Login(_) | ToFetcher::Get(_) | ToFetcher::Metas(_) => {
                bail!("a file of a web server was asked for, of a registry")
            }
            ToFetcher::Manifest(reference) => {
                let brought = manifest::bring(&registry, &reference, &file).await;
                socket.tell(&match brought {
                    Ok(()) => FromFetcher::Manifest,
                    Err(error) => failed(None, &error),
                })?;
            }
            ToFetcher::Blob(blob) => {
                let slots = Arc::clone(&slots);
                tokio::spawn(async move {
                    let _slot = slots.acquire().await;
                    let brought = blob::bring(&registry, &blob, &file, &socket).await;
                    let answer = match brought {
                        Ok(()) => FromFetcher::Blob {
                            digest: blob.digest,
                        },
                        Err(error) => failed(Some(&blob.digest), &error),
                    };
                    // Who asked may have gone.
                    let _ = socket.tell(&answer);
                });
            }
        }
    }
    Ok(())
}

fn failed(
    digest: Option<&bulkhead_protocol::bounded::Text<{ bulkhead_protocol::import::MAX_DIGEST }>>,
    error: &(impl std::error::Error + MayPass),
) -> FromFetcher {
    FromFetcher::Failed {
        digest: digest.cloned(),
        why: socket::chain(error),
        may_pass: error.may_pass(),
    }
}
